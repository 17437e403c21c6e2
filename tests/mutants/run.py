#!/usr/bin/env python3
"""Breaks one rule of the design at a time in a copy of its source and demands that the simulator, or the unit test that
the mutant names, reports it.

run.py [NAME ...]     all mutants, or those named; needs build/ configured; last line `N passed, N failed`
run.py --check        only that every mutant still fits the code, and that every check of the simulator has one
       --jobs N       so many at once (default: one per core)
       --seeds A..B   other seeds than the mutant's own
       --build DIR    default build
       --into FILE    enters in its table (between its marks) at which seed each was caught

Nothing in the tree is changed: the mutated source is compiled to an object of its own and linked before the libraries
of the build, which then leave theirs out.
"""

import argparse
import concurrent.futures
import dataclasses
import os
import pathlib
import re
import shlex
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from mutants import CHECKS, MUTANTS, UNBROKEN  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]


# --- whether the list fits the code ---


def misfits():
    """Old texts that are not there exactly once, and checks that nothing shows to work."""
    names = [mutant.name for mutant in MUTANTS]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"{name}: there are several mutants of that name"
    written = [text.read_text(encoding="utf-8") for text in (ROOT / "tests/unit").glob("*.cc")]
    for mutant in MUTANTS:
        suite, _, test = mutant.unit.partition(".")
        if mutant.unit and not any(re.search(rf"TEST(_F)?\({suite}, {test}\)", text) for text in written):
            yield f"{mutant.name}: there is no unit test {mutant.unit}"
        for edit in mutant.edits:
            count = (ROOT / edit.file).read_text(encoding="utf-8").count(edit.old) if (ROOT / edit.file).is_file() else 0
            if count != 1:
                yield f"{mutant.name}: its text occurs {count} times in {edit.file}: {edit.old!r}"
        for kind in mutant.kinds:
            if kind not in CHECKS:
                yield f"{mutant.name}: the simulator has no check '{kind}'"
    caught = {kind for mutant in MUTANTS for kind in mutant.kinds}
    for kind in CHECKS:
        if kind not in caught and kind not in UNBROKEN:
            yield f"no mutant shows that the simulator's check '{kind}' works"
    yield from unknown_checks()


def unknown_checks():
    """Every complaint of the simulator begins with the name of its check."""
    for source in sorted((ROOT / "tests/sim").glob("*.cc")):
        for call in re.finditer(r"\bviolated_?\(\s*(\"(?:[^\"\\]|\\.)*\"|[^\"();]*)", source.read_text(encoding="utf-8")):
            text = call.group(1)
            if text.startswith('"') and not any(text[1:].startswith(kind + ":") for kind in CHECKS):
                yield f"{source.relative_to(ROOT)}: a complaint of no known check: {text}"
            elif not text.startswith('"') and "name_" in text:
                yield f"{source.relative_to(ROOT)}: a complaint that does not begin with its check: {text}"


# --- making and running mutants ---


class Build:
    """How ninja compiles and links what reports."""

    def __init__(self, folder, targets):
        self.folder = ROOT / folder
        done = subprocess.run(["ninja", "-C", self.folder, *targets], capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stdout[-4000:] + done.stderr[-4000:])
        listed = subprocess.run(
            ["ninja", "-C", self.folder, "-t", "commands", *targets], capture_output=True, text=True, check=True
        )
        self.compiles, self.links = {}, {}
        for line in listed.stdout.splitlines():
            words = shlex.split(line)
            if "-c" in words:
                source = pathlib.Path(words[words.index("-c") + 1])
                self.compiles[str(source.relative_to(ROOT))] = words
            elif "-o" in words and (target := pathlib.Path(words[words.index("-o") + 1]).name) in targets:
                self.links[target] = words[2 : words.index("&&", 2)]  # `: && link && what follows`

    def compile(self, file, text, out):
        source = out / (file.replace("/", "_"))
        source.write_text(text, encoding="utf-8")
        words = list(self.compiles[file])
        if words[0].endswith("ccache"):
            words = words[1:]
        target = source.with_suffix(".o")
        words[words.index("-o") + 1] = str(target)
        words[words.index("-c") + 1] = str(source)
        for option in ("-MF", "-MT"):
            at = words.index(option)
            del words[at : at + 2]
        # A mutant may leave something unused, and runs too briefly to be worth more.
        words = [w for w in words if w not in ("-MD", "-g", "-Werror", "-O2")] + ["-O0", "-w"]
        subprocess.run(words, cwd=self.folder, check=True, capture_output=True, text=True)
        return target

    def make(self, mutant):
        out = self.folder / "mutants" / mutant.name
        out.mkdir(parents=True, exist_ok=True)
        texts = {}
        for edit in mutant.edits:
            text = texts.get(edit.file) or (ROOT / edit.file).read_text(encoding="utf-8")
            if text.count(edit.old) != 1:
                raise ValueError(f"its text occurs {text.count(edit.old)} times in {edit.file}: {edit.old!r}")
            texts[edit.file] = text.replace(edit.old, edit.new)
        objects = [str(self.compile(file, text, out)) for file, text in texts.items()]
        target = target_of(mutant)
        program = out / target
        words = list(self.links[target])
        at = words.index("-o")
        words[at + 1] = str(program)
        first = next(i for i, w in enumerate(words) if w.endswith(".o"))
        words[first + 1 : first + 1] = [*objects, "-Wl,-s"]
        subprocess.run(words, cwd=self.folder, check=True, capture_output=True, text=True)
        return program


def target_of(mutant):
    return "unit_tests" if mutant.unit else "simulate"


def kind_of(complaint):
    """`at 123 ms: KIND: ...`"""
    text = re.sub(r"^at \d+ ms: ", "", complaint)
    return next((kind for kind in CHECKS if text.startswith(kind + ":")), "?")


def hunt(program, mutant, seeds):
    """(seed and complaint, or None; what else was reported)."""
    others = []
    words = [str(program), "--seeds", f"{seeds[0]}..{seeds[1]}", *mutant.options]
    run = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        for line in run.stdout:
            found = re.match(r"seed (\d+): (.*)", line)
            if not found:
                if not re.match(r"\d+ seeds, ", line):
                    others.append(line.strip())
                continue
            if kind_of(found.group(2)) in mutant.kinds:
                return found.groups(), others
            others.append(f"seed {found.group(1)}: {found.group(2)}")
        if run.wait() not in (0, 1):
            others.append(f"the simulator ended with code {run.returncode}")
    finally:
        run.kill()
        run.wait()
        run.stdout.close()
    return None, others


def fails(program, mutant):
    run = subprocess.run([str(program), f"--gtest_filter={mutant.unit}"], capture_output=True, text=True, timeout=300)
    if run.returncode == 0:
        return None
    told = re.search(r"Failure\n(.*)", run.stdout)
    return "", told.group(1) if told else f"exit code {run.returncode}"


@dataclasses.dataclass
class Result:
    mutant: object
    passed: bool
    text: str
    seed: str = ""
    complaint: str = ""


def one(build, mutant, seeds):
    began = time.monotonic()
    try:
        program = build.make(mutant)
    except (ValueError, KeyError) as problem:
        return Result(mutant, False, f"does not fit the code: {problem}")
    except subprocess.CalledProcessError as problem:
        return Result(mutant, False, f"does not build: {problem.stderr[-1500:]}")
    seeds = seeds or mutant.seeds
    if mutant.unit:
        caught, others = fails(program, mutant), []
    else:
        caught, others = hunt(program, mutant, seeds)
    program.unlink()
    took = f"{time.monotonic() - began:.0f} s"
    if mutant.unit:
        text = f"reported by {mutant.unit}, {took}: {caught[1]}" if caught else f"{mutant.unit} does not report it"
        return Result(mutant, bool(caught), text, *(caught or ("", "")))
    if caught:
        return Result(mutant, True, f"caught at seed {caught[0]}, {took}: {caught[1]}", *caught)
    told = f"; reported instead: {others[0]}" if others else ""
    return Result(mutant, False, f"NOT caught in seeds {seeds[0]}..{seeds[1]}, {took}{told}")


def enter(file, results):
    """One row for each mutant, in the order of the list; rows of mutants that did not run stay."""
    path = ROOT / file
    before, rest = path.read_text(encoding="utf-8").split("<!-- mutants begin -->\n")
    table, after = rest.split("<!-- mutants end -->")
    rows = {line.split(" | ")[0].strip("| `"): line for line in table.splitlines()[2:]}
    for r in results:
        check = f"`{r.mutant.unit}`" if r.mutant.unit else kind_of(r.complaint)
        check = check if r.passed else "**not caught**"
        rows[r.mutant.name] = f"| `{r.mutant.name}` | {r.mutant.rule} | {check} | {r.seed} |"
    lines = ["| mutant | the rule that it breaks | reported by | at seed |", "|---|---|---|---|"]
    lines += [rows[m.name] for m in MUTANTS if m.name in rows]
    text = before + "<!-- mutants begin -->\n" + "\n".join(lines) + "\n<!-- mutants end -->" + after
    path.write_text(text, encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--seeds", type=lambda text: tuple(int(n) for n in text.split("..")))
    parser.add_argument("--build", default="build")
    parser.add_argument("--into")
    args = parser.parse_args()
    found = list(misfits())
    if args.check:
        print("\n".join(found) if found else f"{len(MUTANTS)} mutants fit the code, {len(CHECKS)} checks are covered")
        sys.exit(1 if found else 0)
    chosen = [m for m in MUTANTS if not args.names or m.name in args.names]
    unknown = set(args.names) - {m.name for m in MUTANTS}
    if unknown:
        sys.exit(f"no such mutant: {', '.join(sorted(unknown))}")
    build = Build(args.build, sorted({target_of(mutant) for mutant in chosen}))
    results = []
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        runs = {pool.submit(one, build, mutant, args.seeds): mutant for mutant in chosen}
        for done in concurrent.futures.as_completed(runs):
            r = done.result()
            results.append(r)
            print(f"{'ok  ' if r.passed else 'FAIL'} {r.mutant.name}: {r.text}", flush=True)
            if args.into:
                enter(args.into, [r])
    passed = sum(r.passed for r in results)
    print(f"{passed} passed, {len(chosen) - passed} failed")
    sys.exit(0 if passed == len(chosen) else 1)


if __name__ == "__main__":
    main()
