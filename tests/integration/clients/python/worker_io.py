"""What the Python workers share: the contract's options, output file, pace and end (tests/integration/README.md)."""

import argparse
import faulthandler
import os
import signal
import threading
import time


class Output:
    """Lines reach the file within 100 ms."""

    def __init__(self, path):
        self._file = open(path, "w", encoding="utf-8")
        self._lock = threading.Lock()
        threading.Thread(target=self._keep_flushing, daemon=True).start()

    def line(self, text):
        with self._lock:
            self._file.write(text.replace("\n", " ") + "\n")

    def _keep_flushing(self):
        while not self._file.closed:
            time.sleep(0.1)
            with self._lock:
                if not self._file.closed:
                    self._file.flush()

    def close(self):
        with self._lock:
            self._file.close()


class Pauses:
    """Tells how long no acknowledgement came, when that was long."""

    def __init__(self, out):
        self._out, self._last = out, None

    def acknowledged(self):
        now = time.monotonic()
        if self._last is not None and now - self._last >= 0.01:
            self._out.line(f"P {(now - self._last) * 1000:.1f} {time.time():.3f}")
        self._last = now


stop = threading.Event()


def options():
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    faulthandler.register(signal.SIGUSR1)  # its stacks, when it hangs
    threading.Thread(target=_stop_at_end_of_input, daemon=True).start()
    parser = argparse.ArgumentParser()
    verbs = parser.add_subparsers(dest="verb", required=True)
    produce = verbs.add_parser("produce")
    produce.add_argument("--partitions", type=int, required=True)
    produce.add_argument("--rate", type=float, required=True)
    produce.add_argument("--acks", default="all")
    produce.add_argument("--idempotent", default="true")
    produce.add_argument("--retries", type=int)
    produce.add_argument("--id", required=True)
    produce.add_argument("--warm", action="store_true")
    consume = verbs.add_parser("consume")
    consume.add_argument("--group", required=True)
    consume.add_argument("--from-beginning", action="store_true")
    consume.add_argument("--isolation", default="read_uncommitted")
    transform = verbs.add_parser("transform")
    transform.add_argument("--group", required=True)
    transform.add_argument("--output", required=True)
    transform.add_argument("--partitions", type=int, required=True)
    transform.add_argument("--id", required=True)
    transform.add_argument("--every", type=int, default=100)
    transform.add_argument("--interval", type=int, default=200)
    transform.add_argument("--abort-every", type=int, default=0)
    for verb in (produce, consume, transform):
        for name in ("bootstrap", "topic", "out"):
            verb.add_argument("--" + name, required=True)
    return parser.parse_args()


def _stop_at_end_of_input():
    while os.read(0, 4096):
        pass
    stop.set()


def ready():
    print("READY", flush=True)


def value(identity, partition, number):
    return f"{identity}:{partition}:{number}|".ljust(100).encode()


def transformed(args, value, partition, transaction):
    """What a transaction writes for a record that it read, and to which partition."""
    text = value.split(b"|")[0].decode()
    number = int(text.rsplit(":", 1)[1])
    return f"{text}/{args.id}.{transaction}|".ljust(100).encode(), (partition + number) % args.partitions


SHORTEST_WAIT, LONGEST_WAIT = 0.002, 0.05  # seconds: rounds at high rates; how late the end is noticed


def paced(args, first, wait=time.sleep):
    """Yields (partition, number) of each record that is due. Until the next is, it calls `wait` with the seconds, which may
    return earlier."""
    began, i = time.monotonic(), first
    while not stop.is_set():
        due = int((time.monotonic() - began) * args.rate) + first
        while i < due and not stop.is_set():
            yield i % args.partitions, i // args.partitions
            i += 1
        until_next = began + (i - first + 1) / args.rate - time.monotonic()
        wait(min(max(until_next, SHORTEST_WAIT), LONGEST_WAIT))
