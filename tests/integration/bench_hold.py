"""Measures how long a flip holds producers, broken into its steps.

python3 -m tests.integration.bench_hold [--flips 100] [--partitions 100] [--rate 5000] [--json FILE]
"""

import argparse
import datetime
import json
import os
import time
from pathlib import Path

from . import install, process

PRODUCERS = 2  # processes that share the rate


def measure(lab, flips=100, partitions=100, rate=5000, pause=1.0):
    from .lab import Traffic

    lab.bring_home("source")
    topic = lab.topic("hold", partitions=partitions)
    traffics = [
        Traffic(
            lab, "java-4.4.0", topic, partitions=partitions, rate=rate / PRODUCERS, consumers=1 if i == 0 else 0
        )
        for i in range(PRODUCERS)
    ]
    for traffic in traffics:
        traffic.wait_ready()
    reports = []
    try:
        for _ in range(flips):
            traffics[0].flows(int(rate / PRODUCERS * pause))
            reports.append(lab.flip_back_or_forth())
        for traffic in traffics:
            traffic.flows()
    finally:
        acked = _finish(traffics)
    steps = list(dict.fromkeys(step["name"] for report in reports for step in report["steps"]))
    by_step = {
        name: [step["ms"] for report in reports for step in report["steps"] if step["name"] == name] for name in steps
    }
    longest = [report["hold_ms"]["max"] for report in reports]
    drains = [sum(step["ms"] for step in report["steps"] if step["name"] == "drain") for report in reports]
    return {
        "date": datetime.date.today().isoformat(),
        "versions": lab.versions,
        "cores": os.cpu_count(),
        "flips": flips,
        "partitions": partitions,
        "rate": rate,
        "acked": acked,
        "hold_ms": summary(longest),
        "hold_p99_ms": summary([report["hold_ms"]["p99"] for report in reports]),
        # What the flip itself adds: a drain is the slowest acknowledgement that was under way.
        "beyond_drain_ms": summary([hold - drain for hold, drain in zip(longest, drains)]),
        "steps_ms": {name: summary(values) for name, values in by_step.items()},
        "each": [
            {"direction": report["direction"], "hold_ms": report["hold_ms"], "steps": report["steps"]}
            for report in reports
        ],
    }


def _finish(traffics):
    """All producers write to one topic, which one group reads: they are judged together."""
    from . import verify, workers

    producers = [producer for traffic in traffics for producer in traffic.producers]
    workers.stop_all(producers, patience=150)
    consumers = [consumer for traffic in traffics for consumer in traffic.consumers]
    workers.wait_consumed(producers, consumers)
    workers.stop_all(consumers)
    verdict = verify.verify(
        {producer.name: producer.out for producer in producers}, [consumer.out for consumer in consumers]
    )
    assert not verdict.faults(), (verdict.faults(), dict(verdict.examples))
    return verdict.acked


def summary(values):
    ordered = sorted(values)
    return (
        {"p50": _at(ordered, 0.5), "p99": _at(ordered, 0.99), "max": ordered[-1]}
        if ordered
        else {"p50": 0, "p99": 0, "max": 0}
    )


def _at(ordered, share):
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def render(figures):
    rows = [
        f"{figures['flips']} flips of {figures['partitions']} partitions at {figures['rate']} records/s"
        f" on {figures['cores']} cores, {figures['date']}",
        "",
        "| ms | p50 | p99 | max |",
        "|---|---|---|---|",
    ]
    named = {
        "longest hold of a request, per flip": figures["hold_ms"],
        "the same less the drain": figures["beyond_drain_ms"],
        **{f"step {k}": v for k, v in figures["steps_ms"].items()},
    }
    rows += [f"| {name} | {v['p50']:.1f} | {v['p99']:.1f} | {v['max']:.1f} |" for name, v in named.items()]
    return "\n".join(rows) + "\n"


def write(figures, path):
    if path:
        Path(path).write_text(json.dumps(figures, indent=1))


def main():
    parser = argparse.ArgumentParser(
        prog="bench_hold", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--flips", type=int, default=100)
    parser.add_argument("--partitions", type=int, default=100)
    parser.add_argument("--rate", type=float, default=5000)
    parser.add_argument("--json", metavar="FILE")
    args = parser.parse_args()
    install.enter_venv("tests.integration.bench_hold")
    process.exit_on_sigterm()
    from .lab import Lab

    began = time.monotonic()
    with Lab() as lab:
        figures = measure(lab, args.flips, args.partitions, args.rate)
    write(figures, args.json)
    print(render(figures) + f"took {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
