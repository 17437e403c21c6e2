"""Brokers restarted, re-addressed, added and removed under load: no error that a direct connection would not have."""

from confluent_kafka.admin import NewPartitions

from . import native, process, workers
from .lab import Traffic

CLIENTS = ["java-4.4.0", "confluent", "kafka-python"]
# librdkafka tells the application of every connection that a restarted broker drops, with or without a proxy.
TELLS_OF_LOST_CONNECTIONS = {"confluent"}


def _traffics(lab, name, clients=CLIENTS):
    traffics = [Traffic(lab, client, lab.topic(name), rate=500) for client in clients]
    for traffic in traffics:
        traffic.wait_ready()
    return traffics


def _flow(traffics):
    for traffic in traffics:
        traffic.flows(200)


def _finish(traffics):
    for traffic in traffics:
        traffic.expect_clean(allow=["errors"] if traffic.client in TELLS_OF_LOST_CONNECTIONS else [])


def _in_sync(cluster):
    """Until every replica is back: a rolling restart waits for that, with or without a proxy."""

    def complete():
        topics = native.admin(cluster.bootstrap).list_topics(timeout=10).topics.values()
        return all(len(p.isrs) == len(p.replicas) for topic in topics for p in topic.partitions.values())

    process.wait_until(f"{cluster.name} in sync", complete, 60, pause=0.5)


def scenario_rolling_restart(lab, settings):
    """Every broker of each cluster; in the full run of both, whichever is at home."""
    traffics = _traffics(lab, "rolling")
    for home in ("source", "target"):
        lab.bring_home(home, limit=30)
        for cluster in lab.clusters() if settings.full else [lab.cluster(home)]:
            for node in list(cluster.ports):
                cluster.restart(node)
                _in_sync(cluster)
                _flow(traffics)
    _finish(traffics)


def scenario_killed_broker(lab, settings):
    lab.bring_home("source")
    traffics = _traffics(lab, "killed")
    node = min(lab.source.ports)
    lab.source.kill(node)
    _flow(traffics)
    lab.source.start(node)
    _in_sync(lab.source)
    lab.flip("cutover", limit=30)
    _flow(traffics)
    _finish(traffics)


def scenario_re_addressed(lab, settings):
    lab.bring_home("source")
    traffics = _traffics(lab, "moved")
    for cluster in lab.clusters():
        for node in list(cluster.ports)[:2]:
            cluster.change_port(node)
            _in_sync(cluster)
            _flow(traffics)
        lab.flip_back_or_forth(limit=30)
        _flow(traffics)
    _finish(traffics)


def scenario_added_and_removed(lab, settings):
    """A broker that appears leads a topic soon after; one that goes leaves no trace in what clients see."""
    lab.bring_home("source")
    traffics = _traffics(lab, "resized", ["java-4.4.0"])
    for cluster in lab.clusters():
        known = _virtual_brokers(lab)
        node = cluster.add()
        process.wait_until("the new virtual broker", lambda: len(_virtual_brokers(lab)) == len(known) + 1, 30)
        topic = _topic_led_by(lab, cluster, node)
        native.write(lab.bootstrap, topic, [(0, None, b"x:0:0|")])
        assert len(native.log(lab.bootstrap, topic)) == 1
        for both in lab.clusters():
            native.delete_topic(both.bootstrap, topic)
        cluster.remove(node)
        process.wait_until("the virtual broker's end", lambda: len(_virtual_brokers(lab)) == len(known), 60)
        _flow(traffics)
        lab.flip_back_or_forth(limit=30)
    _finish(traffics)


def _virtual_brokers(lab):
    return set(native.admin(lab.bootstrap).list_topics(timeout=10).brokers)


def _topic_led_by(lab, cluster, node):
    lab.bring_home(cluster.name, limit=30)
    name = f"led-by-new-{cluster.name}-{node}"
    for each in lab.clusters():
        first = node if each is cluster else min(each.ports)
        native.create_topic(each.bootstrap, name, assignment=[[first]], config={"min.insync.replicas": "1"})
    process.wait_until(name, lambda: name in native.admin(lab.bootstrap).list_topics(timeout=10).topics, 30)
    return name


def scenario_topic_administration(lab, settings):
    """Created, widened and deleted through the proxy: done on both clusters."""
    lab.bring_home("source")
    name = "administered"
    native.create_topic(lab.bootstrap, name, partitions=2, config={"retention.ms": "7654321"})
    counts = [len(native.leaders(cluster.bootstrap, name)) for cluster in lab.clusters()]
    assert counts == [2, 2], counts
    native.admin(lab.bootstrap).create_partitions([NewPartitions(name, 5)])[name].result()
    process.wait_until("five partitions", lambda: len(native.leaders(lab.bootstrap, name)) == 5, 20)
    # The answer comes from the controller; a broker of the other cluster may learn of it a little later.
    process.wait_until(
        "five partitions on both clusters",
        lambda: [len(native.leaders(cluster.bootstrap, name)) for cluster in lab.clusters()] == [5, 5],
        20,
    )
    consumer = workers.Worker(
        "java-4.4.0", "consume", lab.folder, "administered", bootstrap=lab.bootstrap, topic=name, group=name
    ).wait_ready()
    native.write(lab.bootstrap, name, [(p, None, b"a:%d:0|" % p) for p in range(5)])
    lab.flip("cutover")
    native.write(lab.bootstrap, name, [(p, None, b"a:%d:1|" % p) for p in range(5)])
    process.wait_until("ten records", lambda: consumer.count("C") == 10, 30)
    consumer.stop()
    native.delete_topic(lab.bootstrap, name)
    process.wait_until(
        "the topic's end",
        lambda: all(name not in native.admin(c.bootstrap).list_topics(timeout=10).topics for c in lab.clusters()),
        20,
    )


def scenario_deleted_and_recreated(lab, settings):
    """Behind the proxy's back: the new topic's log starts anew, records of the old one are never spliced before it."""
    lab.bring_home("source")
    topic = lab.topic("again", partitions=1)
    native.write(lab.bootstrap, topic, [(0, None, b"old:0:%d|" % n) for n in range(10)])
    lab.flip("cutover")
    native.write(lab.bootstrap, topic, [(0, None, b"old:0:1%d|" % n) for n in range(10)])
    for cluster in lab.clusters():
        native.delete_topic(cluster.bootstrap, topic)
        process.wait_until(
            "the deletion", lambda c=cluster: topic not in native.admin(c.bootstrap).list_topics(timeout=10).topics, 20
        )
    for cluster in lab.clusters():
        native.create_topic(cluster.bootstrap, topic, partitions=1)
    process.wait_until("the new topic", lambda: _ends(lab, topic) == {0: 0}, 30, pause=0.5)
    native.write(lab.bootstrap, topic, [(0, None, b"new:0:0|")])
    assert set(native.log(lab.bootstrap, topic).values()) == {"new:0:0"}


def _ends(lab, topic):
    try:
        earliest, latest = (native.offsets(lab.bootstrap, topic, which) for which in ("earliest", "latest"))
        return {p: latest[p] - earliest[p] for p in latest}
    except Exception:  # while the topic is gone
        return None
