"""Runs the scenarios against real clusters and the built proxy. The last line is `N passed, N failed`.

    python3 -m tests.integration.run [SCENARIO ...] [--full] [--list]
SCENARIO is a file without `scenario_` (flip) or one function of it (flip.source_2_8).
"""

import argparse
import importlib
import sys
import time
import traceback
from dataclasses import dataclass

from . import install, process

FILES = [
    "flip",
    "identity",
    "history",
    "kill",
    "compaction",
    "strangers",
    "brokers",
    "unacknowledged",
    "hostile",
    "hold",
    "recover",
    "versions",
    "cuts",
    "exactly_once",
    "transactions",
    "fencing",
    "couplings",
    "streams",
    "collision",
]


@dataclass
class Settings:
    """Of a run, seen by every scenario."""

    full: bool
    json: str | None
    times: int | None = None

    @property
    def seconds(self):
        return 120 if self.full else 15


class Labs:
    """One pair of clusters at a time, kept for the next scenario that wants the same; a fresh one after a failure."""

    def __init__(self, make):
        self._make, self._lab, self._wanted = make, None, None

    def get(self, wanted):
        if self._lab is None or self._wanted != wanted:
            self.drop()
            self._lab, self._wanted = self._make(**wanted), wanted
            self._lab.up()
        return self._lab

    def proxy_log(self):
        return self._lab and getattr(self._lab.proxy, "log", None)

    def drop(self, keep=False):
        if self._lab:
            self._lab.down(keep)
        self._lab = None


def scenarios(names):
    """(full name, function) of what was asked for, in the order of FILES; baselines only by name."""
    for file in FILES:
        wanted = [name for name in names if name.split(".")[0] == file]
        if names and not wanted:
            continue
        module = importlib.import_module(f".scenario_{file}", __package__)
        for name, function in vars(module).items():
            if not name.startswith("scenario_"):
                continue
            by_name = getattr(function, "only_by_name", False)
            if f"{file}.{name[9:]}" in wanted or (not by_name and (not names or file in wanted)):
                yield f"{file}.{name[9:]}", function


def run_one(name, function, labs, settings, keep):
    """Whether it passed. A scenario says by its attribute `lab` which clusters it wants, None for its own."""
    began = time.monotonic()
    try:
        wanted = getattr(function, "lab", {})
        note = function(labs.get(wanted), settings) if wanted is not None else function(settings)
        print(f"ok   {name} ({time.monotonic() - began:.0f} s){': ' + note if note else ''}", flush=True)
        return True
    except Exception:
        print(f"FAIL {name} ({time.monotonic() - began:.0f} s)\n{traceback.format_exc(limit=-4)}", flush=True)
        if labs.proxy_log():
            print(f"the proxy's log ends:\n{process.tail(labs.proxy_log())}", flush=True)
        labs.drop(keep)
        return False


def main():
    parser = argparse.ArgumentParser(
        prog="run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scenarios", nargs="*")
    parser.add_argument("--full", action="store_true", help="two minutes per cell, every version, 100 flips measured")
    parser.add_argument("--json", metavar="FILE", help="where scenarios that measure write their figures")
    parser.add_argument("--keep", action="store_true", help="leave logs and data of failed scenarios")
    parser.add_argument(
        "--again",
        action="store_true",
        help="run what failed once more, on clusters of its own: a stall of the machine rarely comes twice",
    )
    parser.add_argument("--times", type=int, metavar="N", help="of a scenario that repeats itself")
    parser.add_argument("--list", action="store_true")
    args = parser.parse_args()
    install.enter_venv("tests.integration.run")
    process.exit_on_sigterm()
    from .lab import Lab

    chosen = list(scenarios(args.scenarios))
    if args.list:
        print("\n".join(name for name, _ in chosen))
        return
    labs, passed, failed, at_second = Labs(Lab), 0, 0, []
    settings = Settings(args.full, args.json, args.times)
    for name, function in chosen:
        first = run_one(name, function, labs, settings, args.keep)
        if first or (args.again and run_one(f"{name} (second run)", function, labs, settings, args.keep)):
            passed += 1
            at_second += [] if first else [name]
        else:
            failed += 1
    labs.drop()
    if at_second:
        print(f"passed at their second run only, each worth a look: {', '.join(at_second)}")
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    main()
