"""Each check of lint.py finds what it is for."""

import unittest

import lint


class Finds(unittest.TestCase):
    def layer(self, name, include):
        return list(lint.check_layers(name, f"#include {include}\n"))

    def test_upward_includes(self):
        self.assertTrue(self.layer("protocol/a.cc", '"proxy/cluster.h"'))
        self.assertTrue(self.layer("proxy/a.h", '"src/channel.h"'))
        self.assertTrue(self.layer("tests/sim/a.cc", '"src/channel.h"'))
        self.assertTrue(self.layer("proxy/a.h", '"elsewhere/a.h"'))
        self.assertFalse(self.layer("src/a.cc", '"protocol/types.h"'))
        self.assertFalse(self.layer("fuzz/a.cc", '"src/admin_api.h"'))

    def test_the_outside_world_in_pure_folders(self):
        self.assertTrue(self.layer("proxy/a.cc", "<thread>"))
        self.assertTrue(self.layer("tests/unit/a.cc", "<boost/asio/io_context.hpp>"))
        self.assertFalse(self.layer("src/a.cc", "<boost/asio/io_context.hpp>"))
        self.assertFalse(self.layer(lint.EMBEDDED, "<boost/asio/io_context.hpp>"))

    def test_words(self):
        for line in ["// TO" "DO: x", "not impl" "emented", 'p = "/ho' 'me/a"', "https://repo1." "maven.org/x", "x "]:
            self.assertTrue(list(lint.check_words("a", line)), line)
        self.assertFalse(list(lint.check_words("a", "what is to do; ${HOME}/work; /usr/bin/true")))

    def test_files_that_nobody_uses(self):
        self.assertTrue(list(lint.check_included({"proxy/a.h": ""})))
        self.assertFalse(list(lint.check_included({"proxy/a.h": "", "proxy/a.cc": '#include "proxy/a.h"'})))
        self.assertTrue(list(lint.check_compiled({"src/a.cc": ""}, {"src/CMakeLists.txt": "add_library(x b.cc)"})))
        self.assertFalse(list(lint.check_compiled({"src/a.cc": ""}, {"src/CMakeLists.txt": "add_library(x a.cc)"})))

    def test_long_functions(self):
        code = {"src/a.cc": "int f() {\n" + "  g();\n" * lint.FUNCTION_LINES + "}\n"}
        self.assertTrue(list(lint.check_lengths(code, set())))
        self.assertFalse(list(lint.check_lengths(code, {"src/a.cc f"})))
        self.assertTrue(list(lint.check_lengths({}, {"src/a.cc f"})))

    def test_an_api_without_policy(self):
        code = {"protocol/schema/apis.inc": "CROSSOVER_API(Produce, 0)", "proxy/api_policy.h": "Fetch"}
        self.assertTrue(list(lint.check_policy(code)))


if __name__ == "__main__":
    unittest.main()
