"""Loops that read, write and commit in transactions.

A loop reads records `K:<partition>:<n>` from its input topic and writes each as `K:<partition>:<n>/<id>.<transaction>`
to partition (partition + n) % PARTITIONS of its output topic.
"""

import itertools
import re
import time

from . import native, process, verify, workers
from .exactly_once import Verdict, judge, read_transactions

PARTITIONS = 4
CONNECTION = re.compile("^E (_TRANSPORT|_ALL_BROKERS_DOWN) ")
_numbers = itertools.count(1)


class Loop:
    """A producer of the input, the loop, and a reader of the output, all through the lab's proxy."""

    def __init__(self, lab, client, rate=150, every=40, interval=150, abort_every=7, helper="confluent"):
        self.lab, self.client = lab, client
        self.name = f"{client}-{next(_numbers)}"
        self.input = lab.topic(f"in-{client}", partitions=PARTITIONS)
        self.output = lab.topic(f"out-{client}", partitions=PARTITIONS)
        self.group = f"loop-{self.name}"
        loop = {"group": self.group, "output": self.output, "partitions": PARTITIONS}
        loop |= {"every": every, "interval": interval, "abort_every": abort_every}
        filler = {"partitions": PARTITIONS, "rate": rate, "idempotent": "true"}
        reader = {"group": f"reader-{self.name}", "isolation": "read_committed"}
        self.loop = self._worker(client, "transform", f"t-{self.name}", self.input, loop)
        self.reader = self._worker(helper, "consume", f"r-{self.name}", self.output, reader)
        self.filler = self._worker(helper, "produce", f"f-{self.name}", self.input, filler)

    def _worker(self, client, verb, name, topic, options):
        return workers.Worker(client, verb, self.lab.folder, name, bootstrap=self.lab.bootstrap, topic=topic, **options)

    def wait_ready(self):
        for worker in (self.loop, self.reader, self.filler):
            worker.wait_ready(120)
        return self

    def flows(self, least=3, limit=60):
        """Waits until that many more transactions were committed."""
        before = self._committed()
        children = [worker.child for worker in (self.loop, self.reader, self.filler)]
        process.wait_until(
            f"{self.client}: {least} more transactions", lambda: self._committed() >= before + least, limit, children
        )

    def _committed(self):
        return sum(" committed " in line for line in verify.lines(self.loop.out))

    def finish(self, limit=600, still=20, foreign=None):
        """Stops the input, waits until all of it came out or nothing more comes, and judges. Values that begin as `foreign`
        does are of others."""
        verdict, acked = Verdict(), verify.Verdict()
        self.stop_input()
        told = verify.read_producer(self.filler.out, acked)
        inputs = {f"{self.filler.name}:{p}:{n}" for p, n in told}
        for (partition, number), offset in told.items():
            if offset == verify.NOT_TOLD:
                verdict.error(f"other {self.filler.name}:{partition}:{number} acknowledged without an offset")
        self._wait_for(inputs, limit, still)
        problems = [self._stopped(worker) for worker in (self.loop, self.reader)]
        for problem in filter(None, problems):
            verdict.error(f"other {problem}")
        # What others write to the home cluster while a flip looks for its end may be read and lie in no segment.
        log = verify.read_consumers([self.reader.out], acked, foreign)
        verdict.two_at_one_offset = acked.two_at_one_offset
        for worker in (self.reader, self.filler):
            for line in verify.lines(worker.out):
                if line.startswith(("E ", "F ")):
                    # librdkafka tells the application of every connection that it loses.
                    verdict.error(f"{'connection' if CONNECTION.search(line) else 'other'} {worker.name} {line}")
        judge(inputs, {self.loop.name: read_transactions(self.loop.out, verdict)}, log, verdict)
        self._read_again(log, foreign, verdict)
        self._judge_positions(verdict)
        return verdict

    def stop_input(self):
        self.filler.stop(patience=150)

    def _wait_for(self, inputs, limit, still):
        deadline, moved, size = time.monotonic() + limit, time.monotonic(), 0
        while time.monotonic() < min(deadline, moved + still):
            log = verify.read_consumers([self.reader.out], verify.Verdict())
            if inputs <= {value.rpartition("/")[0] for value in log.values()}:
                time.sleep(1)  # for what should not come
                return
            if len(log) > size:
                size, moved = len(log), time.monotonic()
            time.sleep(0.5)

    @staticmethod
    def _stopped(worker):
        try:
            worker.stop(patience=90)
        except RuntimeError as problem:
            return str(problem)

    def _read_again(self, log, foreign, verdict):
        """What a reader finds that begins now is what the live one was given."""
        again = native.log(self.lab.bootstrap, self.output)
        again = {place: value for place, value in again.items() if not foreign or not value.startswith(foreign)}
        for place in sorted(log.keys() | again.keys()):
            if log.get(place) != again.get(place):
                verdict.note("read_otherwise", f"{place}: {log.get(place)}, later {again.get(place)}")

    def _judge_positions(self, verdict):
        ends = native.offsets(self.lab.bootstrap, self.input, "latest")
        committed = native.committed(self.lab.bootstrap, self.group, self.input)
        for partition, end in ends.items():
            if end and committed.get(partition) != end:
                verdict.note("wrong_position", f"{self.input}/{partition}: {committed.get(partition)} of {end}")
