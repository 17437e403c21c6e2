#!/usr/bin/env python3
"""Checks that need only the text of the repository; each finding is a line, the exit code says whether there is one.

lint.py              all checks
lint.py --no-format  without clang-format-14, which has to be installed
"""

import argparse
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
CODE = (".cc", ".h", ".inc")
FUNCTION_LINES = 70

# What a folder may include besides itself. The pure folders know neither sockets nor files, clocks or threads.
LAYERS = {
    "protocol": set(),
    "proxy": {"protocol"},
    "config": {"protocol", "proxy"},
    "src": {"protocol", "proxy", "config"},
    "tests/sim": {"protocol", "proxy", "config"},
    "tests/unit": {"protocol", "proxy", "config", "tests/sim"},
    "tests/runtime": {"protocol", "proxy", "config", "src", "tests/sim", "tests/unit"},
    "tests/integration": {"protocol", "proxy", "config", "src", "tests/unit"},
    "fuzz": {"protocol", "proxy", "config", "tests/unit"},
}
# The admin endpoint's requests and answers as values: a part of src/ without I/O.
PURE_PARTS_OF_SRC = {"src/admin_api.h", "src/admin_backend.h", "src/admin_json.h"}
IMPURE = re.compile(
    r"boost/asio|librdkafka|prometheus|openssl|<thread>|<mutex>|<condition_variable>|<chrono>|<fstream>|<iostream>"
    r"|<filesystem>|<random>|<sys/|<netinet|<arpa|<unistd"
)
PURE = {"protocol", "proxy"}
EMBEDDED = "tests/sim/embedded_main.cc"  # the simulated brokers' sockets
NO_SOCKETS = re.compile(r"boost/asio|librdkafka|<sys/socket|<netinet|<arpa")

# Spelt so that this file does not hold them.
BANNED = re.compile(r"\b(TO" r"DO|FIX" r"ME|X" r"XX|HA" r"CK)\b|(?i:not impl" r"emented|unimpl" r"emented)")
# A path of somebody's machine, or where a package registry answers.
MACHINE = re.compile(r"(?<![\w.$}/-])/(?:ho" r"me|ro" r"ot|Us" r"ers|wo" r"rk)/\w")
HOSTS = re.compile(
    r"(?:repo\d*|registry|proxy|index|files)\.(?:maven|npmjs|golang|pypi|crates|pythonhosted)\b|https?://[\w.]*"
    r"(?:pypi|npmjs|maven|golang)\.(?:org|com)"
)


def tracked():
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def text_of(name):
    try:
        return (ROOT / name).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


def folder_of(name):
    return next((folder for folder in sorted(LAYERS, key=len, reverse=True) if name.startswith(folder + "/")), None)


def includes(text):
    return re.findall(r'^\s*#include\s+(?:"([^"]+)"|(<[^>]+>))', text, re.MULTILINE)


def check_layers(name, text):
    folder = folder_of(name)
    if folder is None:
        return
    for own, foreign in includes(text):
        if own:
            there = folder_of(own)
            if there is None and "/" in own:
                yield f"{name}: {own} is in no layer"
            elif there not in (None, folder, *LAYERS[folder]) and own not in PURE_PARTS_OF_SRC:
                yield f"{name}: {folder} may not include {own}"
        elif folder in PURE and IMPURE.search(foreign):
            yield f"{name}: {folder} is pure and may not include {foreign}"
        elif folder in ("config", "tests/sim", "tests/unit", "fuzz") and NO_SOCKETS.search(foreign) and name != EMBEDDED:
            yield f"{name}: {folder} may not include {foreign}"


def check_words(name, text):
    for number, line in enumerate(text.splitlines(), 1):
        for pattern, what in (
            (BANNED, "unfinished work"),
            (MACHINE, "a path of one machine"),
            (HOSTS, "the host of a registry"),
        ):
            found = pattern.search(line)
            if found:
                yield f"{name}:{number}: {what}: {found.group(0)}"
        if line != line.rstrip():
            yield f"{name}:{number}: space at the line's end"


def check_included(code):
    """Each header is included by somebody."""
    used = {own for text in code.values() for own, _ in includes(text) if own}
    for name in code:
        # A file may be included by its name alone from its own folder.
        short = name.rsplit("/", 1)[1]
        if name.endswith((".h", ".inc")) and name not in used and short not in used:
            yield f"{name}: nobody includes it"


def check_compiled(code, cmake):
    """Each source is named by a CMakeLists.txt, or gathered by its pattern."""
    for name in code:
        if not name.endswith(".cc"):
            continue
        folder, short = name.rsplit("/", 1)
        lists = [text for path, text in cmake.items() if path.startswith(folder.split("/")[0])]
        own = next((text for path, text in cmake.items() if path == f"{folder}/CMakeLists.txt"), "")
        named = any(re.search(rf"(?<![\w]){re.escape(short)}\b", text) for text in lists)
        if not named and "*.cc" not in own and not (short.endswith("_fuzz.cc") and "*_fuzz.cc" in own):
            if name.startswith("tests/integration/clients/"):  # the harness compiles it
                continue
            yield f"{name}: nothing compiles it"


def functions(text):
    """(first line, number of lines) of each function: what stands between a line that opens it and its closing brace."""
    lines = text.splitlines()
    starts = []
    for number, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        if re.match(r"\s*(namespace|class|struct|enum|union|extern)\b", line):
            continue
        if line.endswith("{") and indent <= 2 and re.search(r"\)[\w\s:>&,(){}*.-]*\{$", line):
            if not re.match(r"\s*(if|for|while|switch|else|do)\b", line):
                starts.append((number, indent))
    for number, indent in starts:
        closing = " " * indent + "}"
        for after in range(number + 1, len(lines)):
            if lines[after].startswith(closing) and not lines[after].startswith(closing + " else"):
                yield number + 1, after - number + 1
                break


def check_lengths(code, allowed):
    seen = set()
    for name, text in code.items():
        for number, length in functions(text):
            if length <= FUNCTION_LINES:
                continue
            line = text.splitlines()[number - 1].strip()
            word = re.search(r"([\w:~]+)\(", line)
            key = f"{name} {word.group(1) if word else line}"
            seen.add(key)
            if key not in allowed:
                yield f"{name}:{number}: {length} lines in one function (at most {FUNCTION_LINES}): {key}"
    for key in sorted(allowed - seen):
        yield f"tests/lint_allowed.txt: no longer needed: {key}"


def check_format(code):
    tool = shutil.which("clang-format-14")
    if tool is None:
        yield "clang-format-14 is not installed (tests/install.sh --tests)"
        return
    names = [name for name in code if name.endswith((".cc", ".h"))]
    done = subprocess.run([tool, "--dry-run", "-Werror", *names], cwd=ROOT, capture_output=True, text=True)
    for name in sorted(set(re.findall(r"^(\S+?):\d+:\d+: error:", done.stderr, re.MULTILINE))):
        yield f"{name}: not formatted (clang-format-14 -i {name})"
    if done.returncode and "error:" not in done.stderr:
        yield done.stderr.strip()


def check_policy(code):
    """An API of the table has a row of policy."""
    apis = re.findall(r"CROSSOVER_API\((\w+),", code["protocol/schema/apis.inc"])
    policy = code["proxy/api_policy.h"]
    if not apis:
        yield "protocol/schema/apis.inc: no API found"
    for api in apis:
        if not re.search(rf"\b{api}\b", policy):
            yield f"proxy/api_policy.h: no row for {api}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--no-format", action="store_true")
    args = parser.parse_args()
    texts = {name: text for name in tracked() if (text := text_of(name)) is not None}
    code = {name: text for name, text in texts.items() if name.endswith(CODE)}
    cmake = {name: text for name, text in texts.items() if name.endswith(("CMakeLists.txt", ".cmake"))}
    allowed = {line for line in texts.get("tests/lint_allowed.txt", "").splitlines() if line and line[0] != "#"}
    found = [line for name, text in code.items() for line in check_layers(name, text)]
    # The inputs of fuzz targets are bytes from anywhere.
    found += [line for name, text in texts.items() if "/corpus/" not in name for line in check_words(name, text)]
    found += [*check_included(code), *check_compiled(code, cmake), *check_lengths(code, allowed), *check_policy(code)]
    if not args.no_format:
        found += check_format(code)
    print("\n".join(found) if found else f"lint: {len(texts)} files, nothing found")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
