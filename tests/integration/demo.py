"""The main job, shown: live clients flipped between two clusters and back, judged record by record. tests/demo runs it.

python3 -m tests.integration.demo [--real] [--seconds 20] [--rate 2000] [--keep]
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from . import install, process

EMBEDDED = os.environ.get("CROSSOVER_EMBEDDED") or install.ROOT / "build" / "tests" / "sim" / "embedded_cluster"
FLIPS = ["cutover", "rollback", "cutover"]
PARTITIONS = 6
TOPIC = "demo"
GATES_LIMIT_S = 20  # a flip is tried so long while a gate is closed
LISTEN, ADMIN = 9092, 9644  # where the ports are free
AFTER_FLIP_S = 1.0  # a pause that ends within this time belongs to the flip


class Embedded:
    """Three simulated brokers behind real sockets; told apart from the other cluster's by every identity."""

    def __init__(self, name, first_id, folder):
        self.port = process.free_ports(3)
        self.log = folder / f"{name}.log"
        options = {"name": name, "listen": f"127.0.0.1:{self.port}", "brokers": 3, "first-id": first_id}
        options |= {"cluster-id": f"{name}-cluster", "seed": first_id, "first-leader-epoch": first_id}
        options |= {"first-producer-id": first_id * 1000}
        self.command = [EMBEDDED, *(word for key, value in options.items() for word in (f"--{key}", value))]
        self.child = None

    @property
    def bootstrap(self):
        return ",".join(f"127.0.0.1:{self.port + i}" for i in range(3))

    def up(self, wait=True):
        self.child = process.spawn(self.command, self.log)
        return self

    def wait(self):
        process.wait_until("embedded cluster", lambda: "READY" in self.log.read_text(), 20, [self.child])

    def down(self):
        process.end([self.child])


class Demo:
    """Two clusters and the proxy: what lab.Traffic wants of a lab."""

    def __init__(self, real):
        from .proxy import Proxy

        self.folder = Path(tempfile.mkdtemp(prefix="crossover-demo-"))
        self.clusters = self._real() if real else self._embedded()
        for cluster in self.clusters:
            cluster.up(wait=False)
        for cluster in self.clusters:
            cluster.wait()
        self.proxy = Proxy(*(cluster.bootstrap for cluster in self.clusters), self.folder)
        _usual_ports(self.proxy)
        self.proxy.start()

    def _embedded(self):
        return [Embedded("source", 1, self.folder), Embedded("target", 101, self.folder)]

    def _real(self):
        from .cluster import Cluster

        return [Cluster("source", 3), Cluster("target", 3, first_id=101)]

    @property
    def bootstrap(self):
        return self.proxy.bootstrap

    @property
    def page(self):
        return f"http://127.0.0.1:{self.proxy.admin}/"

    def create_topic(self, name):
        from . import native

        for cluster in self.clusters:
            native.create_topic(cluster.bootstrap, name, PARTITIONS)
        process.wait_until(f"{name} through the proxy", lambda: native.visible(self.bootstrap, name), 30)

    def down(self):
        self.proxy.stop()
        for cluster in self.clusters:
            cluster.down()
        shutil.rmtree(self.folder, ignore_errors=True)


class Watch:
    """Follows the workers' outputs: how many records, and the pauses between acknowledgements."""

    def __init__(self, traffic):
        self.files = [(worker.out, 0) for worker in traffic.producers + traffic.consumers]
        self.counts = {"A": 0, "C": 0}
        self.pauses = []  # (milliseconds, clock at the end)

    def poll(self):
        for index, (path, position) in enumerate(self.files):
            with open(path, "rb") as file:
                file.seek(position)
                data = file.read()
            whole = data[: data.rfind(b"\n") + 1]
            self.files[index] = path, position + len(whole)
            for line in whole.decode(errors="replace").splitlines():
                kind, _, rest = line.partition(" ")
                if kind in self.counts:
                    self.counts[kind] += 1
                elif kind == "P":
                    milliseconds, clock = rest.split()
                    self.pauses.append((float(milliseconds), float(clock)))

    def longest(self, within=(), outside=()):
        """The longest pause that ended within one of the spans of time, or outside all of them; 0 if none is known."""
        chosen = [
            ms
            for ms, clock in self.pauses
            if (not within or _inside(clock, within)) and not (outside and _inside(clock, outside))
        ]
        return max(chosen, default=0.0)


def _inside(clock, spans):
    return any(first <= clock <= last for first, last in spans)


class Line:
    """One line that is rewritten on a terminal, and a line every other second elsewhere."""

    def __init__(self):
        self.terminal = sys.stdout.isatty()
        self.printed = 0.0

    def show(self, text):
        if self.terminal:
            print(f"\r\033[K{text}", end="", flush=True)
        elif time.monotonic() - self.printed >= 2:
            self.printed = time.monotonic()
            print(text, flush=True)

    def say(self, text):
        """A line that stays."""
        print(f"\r\033[K{text}" if self.terminal else text, flush=True)


def _usual_ports(proxy):
    from .proxy import PORTS

    if all(map(process.is_free, range(LISTEN, LISTEN + PORTS))):
        proxy.listen = LISTEN
    if process.is_free(ADMIN):
        proxy.admin = ADMIN


def work(demo, watch, line, seconds, home):
    """Lets the clients work and shows how they do."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        watch.poll()
        acked, consumed = watch.counts["A"], watch.counts["C"]
        line.show(
            f"  acknowledged {acked:9,}   consumed {consumed:9,}   lag {max(0, acked - consumed):6,}"
            f"   home {home:6}   {demo.page}"
        )
        time.sleep(0.1)


def flip(demo, direction):
    """(report, span of time it took). Tried again while a gate is closed, as an operator would."""
    from .proxy import FlipFailed

    deadline = time.monotonic() + GATES_LIMIT_S
    while True:
        began = time.time()
        try:
            return demo.proxy.flip(direction), (began, time.time() + AFTER_FLIP_S)
        except FlipFailed:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def describe(report):
    steps = ", ".join(f"{step['name']} {step['ms']:.1f}" for step in report["steps"])
    held = report["hold_ms"]
    return f"{held['count']} requests held, the longest {held['max']:.1f} ms; ms by step: {steps}"


def run_flips(demo, traffic, watch, line, seconds):
    """[(report, span)] of the flips, with equal times before, between and behind them."""
    flips, home, pause = [], "source", seconds / (len(FLIPS) + 1)
    work(demo, watch, line, pause, home)
    for direction in FLIPS:
        report, span = flip(demo, direction)
        flips.append((report, span))
        home = demo.proxy.home()
        line.say(f"  {direction:8} to the {home}: {describe(report)}")
        work(demo, watch, line, pause, home)
    return flips


def table(verdict, watch, flips):
    """(name, value, remark) rows; the four that decide come as numbers."""
    spans = [span for _, span in flips]
    jumps = verdict.gaps + verdict.without_offset + verdict.wrong_offset + verdict.two_at_one_offset
    rows = [
        ("acknowledged", verdict.acked, ""),
        ("consumed", verdict.consumed, ""),
        ("lost", verdict.lost, "acknowledged, never consumed"),
        ("duplicated", verdict.duplicated, "one record at two offsets"),
        ("out of order", verdict.out_of_order, "behind a later one of its partition"),
        ("offset jumps", jumps, "gaps, or consumed at another offset than acknowledged, or at one that was not told"),
        ("client errors", verdict.errors + verdict.failed, "seen by the application"),
        ("longest pause", f"{watch.longest():.0f} ms", "between two acknowledgements, over the whole run"),
        ("  outside flips", f"{watch.longest(outside=spans):.0f} ms", "the same, for comparison"),
    ]
    for number, (report, span) in enumerate(flips, 1):
        held, pause = report["hold_ms"]["max"], watch.longest(within=[span])
        rows.append((f"  flip {number}", f"{pause:.0f} ms", f"{report['direction']}; longest hold {held:.1f} ms"))
    return rows


def render(rows):
    width = max(len(name) for name, _, _ in rows)
    texts = [f"{value:,}" if isinstance(value, int) else value for _, value, _ in rows]
    return "\n".join(
        f"  {name:{width}}  {text:>10}   {remark}".rstrip() for (name, _, remark), text in zip(rows, texts)
    )


def judge(traffic, watch, flips):
    """Stops the clients, prints the verdict, and says whether nothing is wrong."""
    verdict = traffic.finish()
    watch.poll()
    faults = verdict.faults()
    if len(flips) < len(FLIPS):
        faults["flips"] = f"{len(flips)} of {len(FLIPS)}"
    if not verdict.acked:
        faults["acknowledged"] = 0
    print(f"\n{render(table(verdict, watch, flips))}\n")
    for finding, texts in verdict.examples.items():
        print(f"  {finding}: {'; '.join(texts)}")
    print("verdict: passed" if not faults else f"verdict: FAILED {faults}", flush=True)
    return not faults


def keep_going(demo):
    """Light traffic, so that the page shows clients and throughput, until Ctrl-C."""
    from .lab import Traffic

    Traffic(demo, "confluent", TOPIC, partitions=PARTITIONS, rate=200).wait_ready()
    binary = os.environ.get("CROSSOVER_BIN", "build/src/crossover")
    print(f"\nstill running, until Ctrl-C:\n  page     {demo.page}\n  clients  {demo.bootstrap}")
    print(f"  try      {binary} rollback default --admin 127.0.0.1:{demo.proxy.admin}", flush=True)
    while True:
        time.sleep(1)


def show(args):
    from .lab import Traffic

    what = "real Apache Kafka" if args.real else "embedded"
    print(f"starting two {what} clusters of three brokers, and the proxy between them", flush=True)
    demo, line = Demo(args.real), Line()
    try:
        demo.create_topic(TOPIC)
        print(f"clients connect to {demo.bootstrap}; the page is at {demo.page}")
        traffic = Traffic(demo, "confluent", TOPIC, partitions=PARTITIONS, rate=args.rate).wait_ready()
        print(f"an idempotent producer, {args.rate:g} records/s, and a consumer group: confluent-kafka", flush=True)
        watch, flips = Watch(traffic), []
        try:
            flips = run_flips(demo, traffic, watch, line, args.seconds)
        except Exception as problem:  # the clients are judged all the same
            line.say(f"  {problem}")
        good = judge(traffic, watch, flips)
        if args.keep:
            keep_going(demo)
        return good
    finally:
        demo.down()


def main():
    parser = argparse.ArgumentParser(prog="tests/demo", description=__doc__.split("\n")[0])
    parser.add_argument("--real", action="store_true", help="two real Apache Kafka clusters instead of embedded ones")
    parser.add_argument("--seconds", type=float, default=20, help="how long the clients work (20)")
    parser.add_argument("--rate", type=float, default=2000, help="records per second (2000)")
    parser.add_argument("--keep", action="store_true", help="go on after the verdict until Ctrl-C")
    args = parser.parse_args()
    if not install.venv_ready():
        print("installing the Python clients from PyPI into the user's cache", flush=True)
    install.enter_venv("tests.integration.demo")
    process.exit_on_sigterm()
    if args.real:
        print("Apache Kafka comes from Maven Central, once", flush=True)
    try:
        good = show(args)
    except KeyboardInterrupt:
        print()
        good = args.keep
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
