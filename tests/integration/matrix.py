"""Every client through cutover, rollback, cutover; the table of results.

    python3 -m tests.integration.matrix [--clients NAME ...] [--source VERSION ...] [--full] [--json FILE]
    python3 -m tests.integration.matrix --render FILE [--into README.md]
--direct connects to the source without the proxy: the baseline.
"""

import argparse
import datetime
import json
import sys
import time
from pathlib import Path

from . import install, process

FLIPS = ["cutover", "rollback", "cutover"]
BEGIN, END = "<!-- matrix begin -->", "<!-- matrix end -->"
MODES = {  # mode -> options of the traffic
    "idempotent": {"acks": "all", "idempotent": True},
    "acks=all": {"acks": "all", "idempotent": False},
    "acks=1": {"acks": "1", "idempotent": False},
    "retries=0": {"acks": "all", "idempotent": False, "retries": 0},
    "acks=0": {"acks": "0", "idempotent": False},
}


def cells(clients):
    from . import workers

    for client in clients:
        yield client, "acks=all" if client in workers.NOT_IDEMPOTENT else "idempotent"
        yield client, "acks=1"
        if client == "java-4.4.0":
            yield client, "retries=0"
            yield client, "acks=0"


def run_group(lab, group, seconds, rate=2000):
    """Runs some cells at the same time: the same flips carry them all. Returns one result per cell."""
    from .lab import Traffic

    lab.bring_home("source")
    traffics = []
    for client, mode in group:
        topic = lab.topic(f"matrix-{client}", partitions=6)
        traffics.append(Traffic(lab, client, topic, rate=rate, **MODES[mode]))
    flips, problem = [], None
    try:
        for traffic in traffics:
            traffic.wait_ready()
        for direction in FLIPS:
            time.sleep(seconds / (len(FLIPS) + 1))
            flips.append(lab.flip(direction))
        time.sleep(seconds / (len(FLIPS) + 1))
    except Exception as caught:  # becomes the result of every cell it concerns
        problem = str(caught)
    return [result_of(lab, traffic, mode, seconds, flips, problem) for traffic, (_, mode) in zip(traffics, group)]


def result_of(lab, traffic, mode, seconds, flips, problem):
    result = {
        "client": traffic.client,
        "mode": mode,
        "source": lab.versions[0],
        "target": None if lab.direct else lab.versions[1],
        "seconds": seconds,
        "date": datetime.date.today().isoformat(),
        "direct": lab.direct,
        "hold_ms": [flip.get("hold_ms") for flip in flips],
    }
    try:
        verdict = traffic.finish()
        result |= verdict.as_json()
        faults = verdict.faults(traffic.idempotent)
        # In CI's size other work shares the machine; the full run measures the rate as well.
        if verdict.acked < seconds * traffic.rate * (0.95 if seconds >= 60 else 0.5):
            faults["too_few"] = verdict.acked
        if problem:
            faults["run"] = problem
    except Exception as caught:
        faults = {"run": problem or str(caught)}
    return result | {"faults": faults, "ok": not faults}


def longest_hold(result):
    return max(
        (hold["max"] for hold in result.get("hold_ms", []) if hold and hold.get("max") is not None), default=None
    )


COLUMNS = ["acked", "lost", "duplicated", "out_of_order", "wrong_offset", "gaps", "errors"]


def render(results):
    head = [
        "client",
        "producer",
        "source → target",
        "seconds",
        *[c.replace("_", " ") for c in COLUMNS],
        "longest hold",
        "result",
        "date",
    ]
    rows = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for r in results:
        hold = longest_hold(r)
        path = r["source"] + (" (direct)" if r["direct"] else f" → {r['target']}")
        words = [
            r["client"],
            r["mode"],
            path,
            f"{r['seconds']:g}",
            *[str(r.get(c, "-")) for c in COLUMNS],
            "-" if hold is None else f"{hold:.0f} ms",
            "ok" if r["ok"] else "failed: " + ", ".join(r["faults"]),
            r["date"],
        ]
        rows.append("| " + " | ".join(words) + " |")
    return "\n".join(rows) + "\n"


def replace_between_marks(path, table):
    text = Path(path).read_text()
    before, _, rest = text.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise SystemExit(f"{path} lacks {BEGIN} and {END}")
    Path(path).write_text(f"{before}{BEGIN}\n{table}{END}{after}")


def run(clients, sources, target, seconds, parallel, direct, rate, report=print):
    from .lab import Lab

    results = []
    for source in sources:
        wanted = list(cells(clients))
        with Lab(source, target, direct=direct) as lab:
            for start in range(0, len(wanted), parallel):
                for result in run_group(lab, wanted[start : start + parallel], seconds, rate):
                    results.append(result)
                    report(
                        f"{'ok  ' if result['ok'] else 'FAIL'} {result['client']} {result['mode']} from {source}: "
                        f"{result.get('acked', 0)} acknowledged {result['faults'] or ''} {result.get('examples') or ''}"
                    )
                    sys.stdout.flush()
    return results


def main():
    parser = argparse.ArgumentParser(
        prog="matrix", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", nargs="+")
    parser.add_argument("--source", nargs="+", default=["4.3.1"], metavar="VERSION")
    parser.add_argument("--target", default="4.3.1", metavar="VERSION")
    parser.add_argument("--full", action="store_true", help="120 s per cell instead of 15")
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--rate", type=float, default=2000)
    parser.add_argument("--parallel", type=int, default=1, help="cells that run at the same time")
    parser.add_argument("--direct", action="store_true")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--render", metavar="FILE", help="only print the table of an earlier run")
    parser.add_argument("--into", metavar="FILE", help="put the table between the marks in this file")
    args = parser.parse_args()
    if args.render:
        results = json.loads(Path(args.render).read_text())
    else:
        install.enter_venv("tests.integration.matrix")
        process.exit_on_sigterm()
        from . import workers

        clients = args.clients or workers.measured()
        seconds = args.seconds or (120 if args.full else 15)
        results = run(clients, args.source, args.target, seconds, args.parallel, args.direct, args.rate)
    if args.json:
        Path(args.json).write_text(json.dumps(results, indent=1))
    table = render(results)
    if args.into:
        replace_between_marks(args.into, table)
    if args.render:
        print(table)
        return
    print(table)
    failed = sum(not result["ok"] for result in results)
    print(f"{len(results) - failed} passed, {failed} failed")
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
