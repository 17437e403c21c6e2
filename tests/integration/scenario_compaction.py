"""Logs that lose records: compaction, deleted keys, retention at the start and in the middle, a stopped follower."""

import random
import time

from . import native, process
from .lab import Traffic

# Small segments and short lives, before a flip's prepare, which raises delete.retention.ms where it must.
COMPACTED = {
    "cleanup.policy": "compact",
    "segment.ms": "200",
    "min.cleanable.dirty.ratio": "0.001",
    "delete.retention.ms": "100",
    "max.compaction.lag.ms": "1000",
}
KEYS = 50


class KeyedTopic:
    """A compacted topic and what each key's last value is."""

    def __init__(self, lab, partitions=2):
        self.lab, self.partitions = lab, partitions
        self.topic = lab.topic("compacted", partitions=partitions, config=COMPACTED)
        self.last, self.serial, self.chance = {}, 0, random.Random(11)

    def write(self, records=400):
        batch = []
        for _ in range(records):
            key = self.chance.randrange(KEYS)
            self.serial += 1
            value = None if self.chance.random() < 0.2 else b"v%d" % self.serial
            batch.append((key % self.partitions, b"k%d" % key, value))
            self.last[b"k%d" % key] = value
        native.write(self.lab.bootstrap, self.topic, batch)

    def roll(self):
        """A segment becomes cleanable once a record that is younger by segment.ms begins the next one."""
        for _ in range(3):
            time.sleep(0.4)
            for partition in range(self.partitions):
                key = b"roll%d" % partition
                self.serial += 1
                self.last[key] = b"r%d" % self.serial
                native.write(self.lab.bootstrap, self.topic, [(partition, key, self.last[key])])

    def records_in(self, cluster):
        return sum(len(messages) for messages in native.read(cluster.bootstrap, self.topic).values())

    def wait_cleaned(self, cluster, below):
        process.wait_until(f"the cleaner of {cluster.name}", lambda: self.records_in(cluster) < below, 60, pause=1)

    def expect_last_values(self, where):
        seen = {}
        for messages in native.read(self.lab.bootstrap, self.topic).values():
            for message in messages:
                seen[message.key()] = message.value()
        alive = {key: value for key, value in seen.items() if value is not None}
        expected = {key: value for key, value in self.last.items() if value is not None}
        risen = [key for key in alive if key not in expected]
        wrong = [key for key in expected if alive.get(key) != expected[key]]
        assert not risen and not wrong, (
            f"{where}: deleted keys that rose {risen[:5]}, keys without their last value {wrong[:5]}"
        )


def scenario_last_value_of_every_key(lab, settings):
    lab.bring_home("source")
    keyed = KeyedTopic(lab)
    homes = ["source"]
    for direction in ("cutover", "rollback", "cutover", "rollback"):
        home = lab.cluster(homes[-1])
        keyed.write()
        before = keyed.records_in(home)
        keyed.roll()
        keyed.wait_cleaned(home, before)
        keyed.expect_last_values(f"home {homes[-1]}, cleaned")
        lab.flip(direction, limit=10)
        homes.append("target" if direction == "cutover" else "source")
        keyed.expect_last_values(f"after {direction}")
        keyed.write(100)
        keyed.expect_last_values(f"written after {direction}")
    keyed.roll()
    time.sleep(5)  # both cleaners go over closed segments as well
    keyed.expect_last_values("in the end")
    return f"{keyed.serial} writes to {KEYS} keys"


def scenario_last_records_compacted_away(lab, settings):
    """A closed segment whose end was compacted away is passed, not waited at."""
    lab.bring_home("source")
    topic = lab.topic("tailless", partitions=1, config=COMPACTED)
    native.write(lab.bootstrap, topic, [(0, b"a", b"t:0:%d|" % n) for n in range(200)])
    lab.flip("cutover")
    native.write(lab.bootstrap, topic, [(0, b"b", b"t:0:%d|" % n) for n in range(200, 210)])
    # Behind the proxy: two younger records on the source let its cleaner take the closed segment's last one too.
    for key in (b"a", b"c", b"c"):
        time.sleep(0.5)
        native.write(lab.source.bootstrap, topic, [(0, key, b"stray")])
    process.wait_until("the source's cleaner", lambda: _first_record(lab.source, topic) >= 200, 60, pause=1)
    log = native.read(lab.bootstrap, topic)[0]
    offsets = [message.offset() for message in log]
    assert offsets == sorted(set(offsets)) and b"stray" not in [m.value() for m in log]
    assert offsets[-1] == 209, f"the open segment was not reached: {offsets}"


def _first_record(cluster, topic):
    return native.read(cluster.bootstrap, topic)[0][0].offset()


def _write_numbers(lab, topic, first, count):
    """In batches of ten: what is deleted up to a batch's middle may still be delivered with the rest of it."""
    for start in range(first, first + count, 10):
        native.write(lab.bootstrap, topic, [(0, None, b"n:0:%d|" % n) for n in range(start, start + 10)])


def _numbers_read(lab, topic, start):
    """Values from an offset on; a reset of the reader is an exception."""
    return [
        int(message.value().split(b"|")[0].split(b":")[2])
        for message in native.read(lab.bootstrap, topic, {0: start})[0]
    ]


def _expect_numbers(lab, topic, start, expected):
    numbers = _numbers_read(lab, topic, start)
    missing, surplus = sorted(set(expected) - set(numbers)), sorted(set(numbers) - set(expected))
    assert numbers == expected, (
        f"from {start}: missing {missing[:3]}..{missing[-3:]}, too many {surplus[:3]}, {len(numbers)} read"
    )


def _three_segments(lab, name):
    """100 records on the source, 100 on the target, 100 on the source again."""
    lab.bring_home("source")
    topic = lab.topic(name, partitions=1)
    for index, direction in enumerate(("cutover", "rollback")):
        _write_numbers(lab, topic, index * 100, 100)
        lab.flip(direction)
    _write_numbers(lab, topic, 200, 100)
    return topic


def scenario_retention_at_the_start(lab, settings):
    topic = _three_segments(lab, "start")
    native.delete_records(lab.source.bootstrap, topic, {0: 40})
    process.wait_until("the virtual start", lambda: native.offsets(lab.bootstrap, topic, "earliest") == {0: 40}, 10)
    assert _numbers_read(lab, topic, 40) == list(range(40, 300))
    native.delete_records(lab.source.bootstrap, topic, {0: 100})
    process.wait_until("the virtual start", lambda: native.offsets(lab.bootstrap, topic, "earliest") == {0: 100}, 10)
    assert _numbers_read(lab, topic, 100) == list(range(100, 300))


def scenario_retention_in_the_middle(lab, settings):
    """The target's closed segment loses records while the source's first one keeps its own."""
    topic = _three_segments(lab, "middle")
    native.delete_records(lab.target.bootstrap, topic, {0: 30})
    for start in (0, 90, 100, 110, 130):
        expected = [n for n in range(start, 300) if not 100 <= n < 130]
        _expect_numbers(lab, topic, start, expected)
    native.delete_records(lab.target.bootstrap, topic, {0: 100})
    for start in (0, 99, 100, 150, 199, 200):
        expected = [n for n in range(start, 300) if not 100 <= n < 200]
        _expect_numbers(lab, topic, start, expected)


def scenario_emptied_by_time(lab, settings):
    """retention.ms itself, not an administrator, empties the closed segment."""
    lab.bring_home("source")
    topic = lab.topic("expired", partitions=1)
    _write_numbers(lab, topic, 0, 100)
    lab.flip("cutover")
    _write_numbers(lab, topic, 100, 10)
    native.alter_topic(lab.source.bootstrap, topic, {"retention.ms": "500", "segment.ms": "500"})
    process.wait_until(
        "the source's retention",
        lambda: native.offsets(lab.source.bootstrap, topic, "earliest") == {0: 100},
        60,
        pause=1,
    )
    _write_numbers(lab, topic, 110, 10)
    process.wait_until("the virtual start", lambda: native.offsets(lab.bootstrap, topic, "earliest") == {0: 100}, 10)
    assert _numbers_read(lab, topic, 100) == list(range(100, 120))


def scenario_delete_records_through_the_proxy(lab, settings):
    topic = _three_segments(lab, "admin-delete")
    native.delete_records(lab.bootstrap, topic, {0: 150})
    process.wait_until("the virtual start", lambda: native.offsets(lab.bootstrap, topic, "earliest") == {0: 150}, 10)
    assert _numbers_read(lab, topic, 150) == list(range(150, 300))


def scenario_acks_1_with_a_stopped_follower(lab, settings):
    """What only the leader has is not lost: the flip waits for the follower, or a gate gives it up."""
    lab.bring_home("source")
    follower = max(lab.source.ports)
    others = [node for node in lab.source.ports if node != follower]
    assignment = [[others[p % 2], others[(p + 1) % 2], follower] for p in range(4)]
    topic = lab.topic("follower", assignment=assignment)
    traffic = Traffic(lab, "java-4.4.0", topic, partitions=4, acks="1", idempotent=False).wait_ready()
    traffic.flows(500)
    lab.source.suspend(follower)
    try:
        time.sleep(1)
        code, report = lab.proxy.call("POST", "/v1/routes/default/cutover")
        happened = code == 200 and report["result"] == "done"
        if not happened:
            assert report["gates"] or report["error"], report
            assert lab.proxy.home() == "source"
    finally:
        lab.source.resume(follower)
    traffic.flows(200)
    lab.bring_home("target", limit=60)
    traffic.flows(200)
    traffic.expect_clean(allow=["errors"])
    return "the flip waited" if happened else f"abandoned: {report.get('error')}"
