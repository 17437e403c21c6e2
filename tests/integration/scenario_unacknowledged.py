"""Producers with acks=0, which hear of nothing: no answer, no error, no reason to ask for a new leader."""

import itertools
import threading
import time

from confluent_kafka import Producer

from . import native, process

SETTLED = 10  # seconds after which a producer must have found a new leader
ELECTED = 5  # seconds that an election may take to be noticed by this test
PAUSE = 0.002  # seconds between two records of one producer


def _producer(lab, **settings):
    return Producer({"bootstrap.servers": lab.bootstrap, "log_level": 0, "acks": 0, "linger.ms": 0} | settings)


def _values(lab, topic):
    log = native.log(lab.bootstrap, topic)
    return list(log.values())


def scenario_come_and_go(lab, settings):
    """Each producer sends some records and closes at once, during flips: what it wrote to its socket arrives."""
    lab.bring_home("source")
    topic = lab.topic("short-lived")
    sent, stop, names = [], threading.Event(), itertools.count()

    def come_and_go():
        while not stop.is_set():
            producer, name = _producer(lab), next(names)
            for number in range(50):
                producer.produce(topic, f"{name}:0:{number}|", partition=number % 6)
            left = producer.flush(60)
            assert left == 0, f"{left} records not sent"
            sent.append((name, 50))
            del producer

    threads = [threading.Thread(target=come_and_go) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(12 if settings.full else 4):
            at = len(sent)
            process.wait_until("producers come and go", lambda: len(sent) > at + 10, 60)
            lab.flip_back_or_forth(limit=30)
        at = len(sent)
        process.wait_until("producers come and go", lambda: len(sent) > at + 10, 60)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    expected = {f"{name}:0:{number}" for name, count in sent for number in range(count)}
    process.wait_until("all records", lambda: expected <= set(_values(lab, topic)), 30, pause=1)
    seen = _values(lab, topic)
    assert len(seen) == len(set(seen)), f"{len(seen) - len(set(seen))} twice"
    return f"{len(sent)} producers, {len(seen)} records, 0 lost"


def scenario_leader_moves(lab, settings):
    """A leader moves and no broker goes: some records are lost, as they are without a proxy, and soon no more."""
    lab.bring_home("source")
    topic = _topic_led_by_another(lab)
    producer, stop, sent_at = _producer(lab), threading.Event(), []

    def send():
        while not stop.is_set():
            producer.produce(topic, f"p:0:{len(sent_at)}|", partition=0)
            sent_at.append(time.monotonic())
            producer.poll(0)
            time.sleep(PAUSE)
        producer.flush(60)

    thread = threading.Thread(target=send)
    thread.start()
    moved_at = []
    try:
        for home in ("source", "target"):
            _sends(sent_at)
            assert lab.proxy.home() == home, lab.proxy.home()
            _elect_preferred(lab.cluster(home), topic)
            moved_at.append(time.monotonic())
            time.sleep(SETTLED)
            lab.flip_back_or_forth(limit=30)
            _sends(sent_at)
    finally:
        stop.set()
        thread.join()
    sent = len(sent_at)
    process.wait_until("the last record", lambda: f"p:0:{sent - 1}" in _values(lab, topic), 30, pause=1)
    seen = _values(lab, topic)
    missing = set(range(sent)) - {int(value.split(":")[2]) for value in seen}
    late = [n for n in missing if not any(-ELECTED <= sent_at[n] - at <= SETTLED for at in moved_at)]
    assert not late, f"{len(late)} of {len(missing)} lost records were sent when no leader had moved: {sorted(late)[:5]}"
    assert len(seen) == len(set(seen)), "some records are there twice"
    return f"{sent} records, {len(missing)} lost while a leader moved"


def _sends(sent_at, more=500):
    at = len(sent_at)
    process.wait_until("records sent", lambda: len(sent_at) > at + more, 60)


def _topic_led_by_another(lab):
    """On both clusters the partition's preferred leader follows, and an election would move it."""
    topic = "moved-leader"
    for cluster in lab.clusters():
        first, *others = sorted(cluster.ports)
        native.create_topic(cluster.bootstrap, topic, assignment=[[first, *others]])
        cluster.restart(first)
        process.wait_until("another leader", lambda: native.leaders(cluster.bootstrap, topic)[0] in others, 30)
        process.wait_until("all in sync", lambda: native.in_sync(cluster.bootstrap, topic), 60, pause=0.5)
    process.wait_until(topic, lambda: native.visible(lab.bootstrap, topic), 30)
    return topic


def _elect_preferred(cluster, topic):
    first = min(cluster.ports)
    native.elect_preferred(cluster.bootstrap, topic, 0)
    process.wait_until("the preferred leader", lambda: native.leaders(cluster.bootstrap, topic)[0] == first, 30)
