"""The judge of transactional loops: each fault is found, and only it."""

import tempfile
import unittest

from . import exactly_once

INPUTS = {"k:0:0", "k:0:1", "k:0:4", "k:1:0"}
TRANSACTIONS = {"t": {1: ("committed", 2), 2: ("aborted", 2), 3: ("committed", 2)}}
LOG = {(0, 10): "k:0:0/t.1", (1, 20): "k:0:1/t.1", (0, 13): "k:0:4/t.3", (1, 23): "k:1:0/t.3"}


def faults(inputs=INPUTS, transactions=TRANSACTIONS, log=LOG):
    return exactly_once.judge(inputs, transactions, log, exactly_once.Verdict()).faults()


class ExactlyOnceTest(unittest.TestCase):
    def test_clean(self):
        self.assertEqual(faults(), {})

    def test_lost(self):
        self.assertEqual(faults(inputs=INPUTS | {"k:1:1"}), {"lost": 1})

    def test_duplicated_and_the_transaction_that_did_it(self):
        transactions = {"t": TRANSACTIONS["t"] | {4: ("committed", 1)}}
        self.assertEqual(faults(transactions=transactions, log=LOG | {(0, 16): "k:0:0/t.4"}), {"duplicated": 1})

    def test_order_is_per_partition_of_both_topics(self):
        log = {(0, 10): "k:0:4/t.1", (1, 20): "k:0:1/t.1", (0, 13): "k:0:0/t.3", (1, 23): "k:1:0/t.3"}
        self.assertEqual(faults(log=log), {"out_of_order": 1})

    def test_an_aborted_record_that_can_be_seen(self):
        log = LOG | {(0, 13): "k:0:4/t.2", (1, 23): "k:1:0/t.2"}
        self.assertEqual(faults(log=log), {"aborted_visible": 2, "torn": 1})

    def test_a_transaction_that_the_application_gave_up(self):
        transactions = {"t": TRANSACTIONS["t"] | {3: ("undone", 2)}}
        self.assertEqual(faults(transactions=transactions), {"aborted_visible": 2})

    def test_half_a_transaction(self):
        self.assertEqual(
            faults(inputs=INPUTS - {"k:1:0"}, log={p: v for p, v in LOG.items() if p != (1, 23)}), {"torn": 1}
        )

    def test_nobody_wrote_that(self):
        self.assertEqual(faults(inputs=INPUTS - {"k:1:0"}), {"unasked": 1})

    def test_a_transaction_of_unknown_end_may_be_seen(self):
        transactions = {"t": {number: end for number, end in TRANSACTIONS["t"].items() if number != 3}}
        self.assertEqual(faults(transactions=transactions), {})

    def test_outputs_of_workers(self):
        verdict = exactly_once.Verdict()
        with tempfile.NamedTemporaryFile("w") as file:
            file.write("T 1 committed 5\nT 2 aborted 3\nT 3 undone 3\nE abortable why\nE strange\nT 4 commi")
            file.flush()
            ended = exactly_once.read_transactions(file.name, verdict)
        self.assertEqual(ended, {1: ("committed", 5), 2: ("aborted", 3), 3: ("undone", 3)})
        self.assertEqual(verdict.faults(), {"undone": 1, "errors": {"abortable": 1, "other": 1}})
        self.assertEqual(verdict.faults(allow=["undone", "abortable"]), {"errors": {"other": 1}})


if __name__ == "__main__":
    unittest.main()
