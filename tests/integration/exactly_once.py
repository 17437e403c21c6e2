"""Judges what transactional loops (loops.py) made of their input."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from . import verify

SHOWN = 5  # examples kept of each finding


@dataclass
class Verdict:
    inputs: int = 0  # acknowledged to the producer of the input
    visible: int = 0  # records of the output
    committed: int = 0  # transactions
    aborted: int = 0  # transactions aborted on purpose
    undone: int = 0  # transactions that ended otherwise than the application wanted
    lost: int = 0  # an input without an output
    duplicated: int = 0  # an input with two
    out_of_order: int = 0  # an output behind that of a later input of the same partition, in one partition
    unasked: int = 0  # an output without an input
    aborted_visible: int = 0  # a record of an aborted transaction
    torn: int = 0  # a committed transaction of which some records cannot be seen
    two_at_one_offset: int = 0
    read_otherwise: int = 0  # a place where a reader that came later found something else
    wrong_position: int = 0  # a committed position of the group that is not the end of its input
    errors: Counter = field(default_factory=Counter)  # by kind: connection, retriable, abortable, fatal, other
    examples: dict = field(default_factory=lambda: defaultdict(list))

    def note(self, finding, text):
        setattr(self, finding, getattr(self, finding) + 1)
        self._show(finding, text)

    def error(self, text):
        kind = text.split(" ", 1)[0]
        self.errors[kind if kind in ("connection", "retriable", "abortable", "fatal") else "other"] += 1
        self._show("errors", text)

    def _show(self, finding, text):
        if len(self.examples[finding]) < SHOWN:
            self.examples[finding].append(text)

    def faults(self, allow=()):
        """The findings that must be zero and are not."""
        kinds = ["undone", "lost", "duplicated", "out_of_order", "unasked", "aborted_visible", "torn"]
        kinds += ["two_at_one_offset", "read_otherwise", "wrong_position"]
        found = {kind: getattr(self, kind) for kind in kinds if kind not in allow and getattr(self, kind)}
        errors = {kind: count for kind, count in self.errors.items() if kind not in allow}
        return found | ({"errors": errors} if errors else {})

    def __str__(self):
        return (
            f"{self.inputs} records in {self.committed} transactions, {self.aborted} aborted, {self.undone} undone, "
            f"errors {dict(self.errors)}"
        )


def read_transactions(path, verdict):
    """'<id>.<transaction>' without the id -> (how it ended, records)."""
    ended = {}
    for line in verify.lines(path):
        kind, _, rest = line.partition(" ")
        if kind == "T":
            number, outcome, records = rest.split()
            ended[int(number)] = outcome, int(records)
            setattr(verdict, outcome, getattr(verdict, outcome) + 1)
        elif kind == "E":
            verdict.error(rest)
    return ended


def judge(inputs, transactions, log, verdict):
    """inputs: the values acknowledged. transactions: id -> number -> (outcome, records). log: (partition, offset) -> value
    of the output as a reader of committed records saw it."""
    places, highest, seen = defaultdict(list), {}, Counter()
    for (partition, offset), value in sorted(log.items()):
        record, _, origin = value.rpartition("/")
        writer, _, number = origin.rpartition(".")
        _judge_order(record, partition, offset, places, highest, verdict)
        places[record].append((partition, offset))
        seen[writer, int(number)] += 1
        if transactions.get(writer, {}).get(int(number), ("", 0))[0] in ("aborted", "undone"):
            verdict.note("aborted_visible", f"{value} at {partition}/{offset}")
    for record in inputs:
        if record not in places:
            verdict.note("lost", record)
    for record in places:
        if record not in inputs:
            verdict.note("unasked", f"{record} at {places[record]}")
    for writer, ended in transactions.items():
        for number, (outcome, records) in ended.items():
            if outcome == "committed" and seen[writer, number] != records:
                verdict.note("torn", f"{writer}.{number}: {seen[writer, number]} of {records} records")
    verdict.inputs += len(inputs)
    verdict.visible += len(log)
    return verdict


def _judge_order(record, partition, offset, places, highest, verdict):
    if record in places:
        verdict.note("duplicated", f"{record} at {places[record] + [(partition, offset)]}")
        return
    origin, _, number = record.rpartition(":")
    previous = highest.get((partition, origin), -1)
    if int(number) < previous:
        verdict.note("out_of_order", f"{record} at {partition}/{offset} behind {previous}")
    highest[partition, origin] = max(previous, int(number))
