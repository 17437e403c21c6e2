"""Judges what producers were told against what consumers saw.

python3 -m tests.integration.verify --produced K=FILE ... --consumed FILE ...
"""

import argparse
import itertools
import json
from collections import defaultdict
from dataclasses import dataclass, field

SHOWN = 5  # examples kept of each finding
NOT_TOLD = -1  # in place of an offset; what lies below is a library's own word that it never asked where the record lies


@dataclass
class Verdict:
    acked: int = 0
    consumed: int = 0  # distinct places (partition, offset)
    reread: int = 0  # the same record at the same offset again: at-least-once delivery, no fault
    lost: int = 0  # acknowledged, never consumed
    duplicated: int = 0  # one record at two offsets
    out_of_order: int = 0  # a record behind a later one of the same producer and partition
    without_offset: int = 0  # acknowledged without one, which only acks=0 may be: retries are told the first copy's
    wrong_offset: int = 0  # consumed only at other offsets than the producer was given
    two_at_one_offset: int = 0  # different records at one offset
    gaps: int = 0  # offsets never consumed between the first and the last
    failed: int = 0  # records whose delivery failed
    errors: int = 0  # errors the application saw
    examples: dict = field(default_factory=lambda: defaultdict(list))

    def note(self, finding, text):
        setattr(self, finding, getattr(self, finding) + 1)
        if len(self.examples[finding]) < SHOWN:
            self.examples[finding].append(text)

    def faults(self, idempotent=True, allow=()):
        """The findings that must be zero and are not."""
        kinds = ["lost", "out_of_order", "without_offset", "wrong_offset", "two_at_one_offset", "gaps", "failed", "errors"]
        if idempotent:
            kinds.append("duplicated")
        return {kind: getattr(self, kind) for kind in kinds if kind not in allow and getattr(self, kind)}

    def as_json(self):
        return vars(self) | {"examples": dict(self.examples)}


def lines(path):
    """Complete lines only: the last one may still be being written."""
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.endswith("\n"):
                yield line[:-1]


def read_producer(path, verdict):
    """(partition, number) -> offset of each acknowledged record."""
    acked = {}
    for line in lines(path):
        kind, _, rest = line.partition(" ")
        if kind == "A":
            partition, number, offset = rest.split()
            acked[int(partition), int(number)] = int(offset)
        elif kind == "F":
            verdict.note("failed", line)
        elif kind == "E":
            verdict.note("errors", line)
    return acked


def read_consumers(paths, verdict, foreign=None):
    """(partition, offset) -> value, over all consumers of a group, without those that begin as `foreign` does."""
    log = {}
    for path in paths:
        for line in lines(path):
            kind, _, rest = line.partition(" ")
            if kind == "C":
                partition, offset, value = rest.split(" ", 2)
                if foreign and value.startswith(foreign):
                    continue
                place = int(partition), int(offset)
                if place in log and log[place] != value:
                    verdict.note(
                        "two_at_one_offset", f"partition {place[0]} offset {place[1]}: {log[place]} and {value}"
                    )
                verdict.reread += place in log
                log[place] = value
            elif kind == "E":
                verdict.note("errors", line)
    return log


def judge(acked, log, verdict, unanswered=()):
    """acked: producer id -> (partition, number) -> offset. log: (partition, offset) -> 'producer:partition:number'.
    unanswered: the producers with acks=0."""
    offsets = defaultdict(list)
    highest = {}
    for (partition, offset), value in sorted(log.items()):
        producer, own_partition, number = value.rsplit(":", 2)
        record = producer, int(own_partition), int(number)
        if record not in offsets:
            previous = highest.get(record[:2], -1)
            if record[2] < previous:
                verdict.note("out_of_order", f"{value} at {partition}/{offset} behind {previous}")
            highest[record[:2]] = max(previous, record[2])
        else:
            verdict.note("duplicated", f"{value} at {partition}/{offsets[record] + [offset]}")
        offsets[record].append(offset)
    for producer, records in acked.items():
        for (partition, number), offset in records.items():
            seen = offsets.get((producer, partition, number))
            if offset == NOT_TOLD and producer not in unanswered:
                verdict.note("without_offset", f"{producer}:{partition}:{number} acknowledged without an offset")
            if not seen:
                verdict.note("lost", f"{producer}:{partition}:{number} acknowledged at {offset}")
            elif offset >= 0 and offset not in seen:
                verdict.note(
                    "wrong_offset", f"{producer}:{partition}:{number} acknowledged at {offset}, consumed at {seen}"
                )
    _count_gaps(log, verdict)
    verdict.acked += sum(len(records) for records in acked.values())
    verdict.consumed += len(log)
    return verdict


def _count_gaps(log, verdict):
    per_partition = defaultdict(list)
    for partition, offset in sorted(log):
        per_partition[partition].append(offset)
    for partition, offsets in per_partition.items():
        for before, after in itertools.pairwise(offsets):
            if after != before + 1:
                verdict.note("gaps", f"partition {partition}: {before} then {after}")


def verify(producers, consumers, unanswered=()):
    """producers: id -> output file; consumers: output files of one group; unanswered: the producers with acks=0."""
    verdict = Verdict()
    acked = {name: read_producer(path, verdict) for name, path in producers.items()}
    return judge(acked, read_consumers(consumers, verdict), verdict, unanswered)


def main():
    parser = argparse.ArgumentParser(
        prog="verify", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--produced", nargs="+", required=True, metavar="ID=FILE")
    parser.add_argument("--consumed", nargs="+", required=True, metavar="FILE")
    parser.add_argument("--not-idempotent", action="store_true", help="duplicates are no fault")
    parser.add_argument("--unanswered", nargs="+", default=[], metavar="ID", help="producers with acks=0")
    args = parser.parse_args()
    verdict = verify(dict(item.split("=", 1) for item in args.produced), args.consumed, args.unanswered)
    print(json.dumps(verdict.as_json(), indent=1))
    raise SystemExit(1 if verdict.faults(not args.not_idempotent) else 0)


if __name__ == "__main__":
    main()
