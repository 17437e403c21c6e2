"""Producers to whom the target gave the ids that the proxy's clients have from the source: they write to the same partitions
natively while the clients are flipped. Nobody loses anything, nothing is there twice.
"""

import threading
import time

from . import native, process, raw
from .lab import Traffic, judge_log
from .loops import Loop

CLIENTS = ["java-4.4.0", "confluent", "franz"]
PARTITIONS = 4
ALLOCATED = 1 << 32  # beyond it are the proxy's own
PAUSE = 0.05  # seconds between two rounds of the natives


def _ports(cluster):
    return list(cluster.ports.values())


def _let_ids_overlap(source, target):
    """The next ids that the source hands out are some that the target has yet to hand out."""
    highest = 0
    for port in _ports(target):
        with raw.Link(port) as link:
            highest = max(highest, link.init_producer_id())
    for port in _ports(source):
        # Beyond the block of a thousand that it has, and the one that it may have fetched ahead.
        raw.burn(port, highest + 3000)


def _ids(cluster, topics):
    """(topic, partition) -> ids of the producers that wrote there."""
    found = {}
    for topic in topics:
        for partition, leader in native.leaders(cluster.bootstrap, topic).items():
            found[topic, partition] = raw.active_producers(cluster.ports[leader], topic, partition)
    return found


class Natives(threading.Thread):
    """Writes under those ids to those partitions until it is stopped. The first error ends it."""

    def __init__(self, cluster, ids):
        super().__init__(daemon=True)
        leaders = {topic: native.leaders(cluster.bootstrap, topic) for topic, _ in ids}
        self.producers = {
            (topic, partition, producer_id): raw.Producer(
                cluster.ports[leaders[topic][partition]], topic, partition, producer_id
            )
            for (topic, partition), producer_ids in ids.items()
            for producer_id in producer_ids
        }
        self.cluster, self.written, self.error = cluster, {}, None
        self.ended = threading.Event()

    def run(self):
        try:
            number = 0
            while not self.ended.wait(PAUSE):
                for (topic, partition, producer_id), producer in self.producers.items():
                    value = f"native-{producer_id}:{partition}:{number}"
                    offset = producer.write(f"{value}|".encode())
                    self.written.setdefault(topic, {})[partition, offset] = value
                number += 1
        except (OSError, RuntimeError) as problem:
            self.error = problem

    def finish(self):
        """What they were told is what their cluster has."""
        self.ended.set()
        self.join()
        assert self.error is None, self.error
        for topic, written in self.written.items():
            log = native.log(self.cluster.bootstrap, topic)
            found = {place: value for place, value in log.items() if value.startswith("native-")}
            assert found == written, f"{topic}: {len(found)} of {len(written)} records of the natives, or others"
        return sum(map(len, self.written.values()))


def _collide(lab, topics):
    """Gives the target's allocator the ids that the writers of these topics have on the source, and starts natives."""
    process.wait_until("writers", lambda: all(_ids(lab.source, topics).values()), 60, pause=1)
    ids = _ids(lab.source, topics)
    highest = max(max(known) for known in ids.values())
    assert highest < ALLOCATED, f"{highest} is no id that a cluster hands out"
    raw.burn(_ports(lab.target)[0], highest)
    natives = Natives(lab.target, ids)
    natives.start()
    return natives


def _flip(lab, writers, natives, flips):
    for _ in range(flips):
        for writer in writers:
            writer.flows()
        lab.flip_back_or_forth(limit=30)
        assert natives.error is None, natives.error
        time.sleep(1)


def scenario_idempotent(lab, settings):
    lab.bring_home("source")
    _let_ids_overlap(lab.source, lab.target)
    topics = [lab.topic("collision", partitions=PARTITIONS) for _ in CLIENTS]
    traffics = [
        Traffic(lab, client, topic, PARTITIONS, rate=200, consumers=0) for client, topic in zip(CLIENTS, topics)
    ]
    for traffic in traffics:
        traffic.wait_ready()
    natives = _collide(lab, topics)
    _flip(lab, traffics, natives, 30 if settings.full else 5)
    foreign = natives.finish()
    for traffic in traffics:
        for producer in traffic.producers:
            producer.stop(patience=150)
        verdict = judge_log(traffic, native.log(lab.bootstrap, traffic.topic))
        faults = verdict.faults()
        assert not faults and verdict.acked, (traffic.client, faults, dict(verdict.examples))
    return f"{len(natives.producers)} natives wrote {foreign} records"


def scenario_transactional(lab, settings):
    lab.bring_home("source")
    _let_ids_overlap(lab.source, lab.target)
    loops = [Loop(lab, client) for client in CLIENTS]
    for loop in loops:
        loop.wait_ready()
    natives = _collide(lab, [loop.output for loop in loops])
    _flip(lab, loops, natives, 30 if settings.full else 5)
    foreign = natives.finish()
    for loop in loops:
        loop.stop_input()
    bad = {}
    for loop in loops:
        verdict = loop.finish(foreign="native-")
        if verdict.faults():
            bad[loop.client] = verdict.faults(), dict(verdict.examples)
    assert not bad, bad
    return f"{len(natives.producers)} natives wrote {foreign} records"


scenario_idempotent.lab = scenario_transactional.lab = {"purpose": "transactions", "features": {"transaction.version": 2}}
