"""Two real clusters and the proxy between them; traffic through it; a judge of each flip."""

import itertools
import shutil
import tempfile
import time
from pathlib import Path

from . import native, process, verify, workers
from .cluster import Cluster
from .proxy import Direct, FlipFailed, Proxy
from .relay import Relay

# Cleaners and retention run often enough for a test to wait for them.
BROKER_PROPERTIES = {
    "log.cleaner.backoff.ms": 500,
    "log.retention.check.interval.ms": 1000,
    "log.segment.delete.delay.ms": 500,
    "log.initial.task.delay.ms": 500,
}
_numbers = itertools.count(1)


class Lab:
    def __init__(
        self,
        source_version="4.3.1",
        target_version="4.3.1",
        brokers=3,
        direct=False,
        properties=None,
        settings="",
        purpose="",
        features=None,
        relayed=False,
    ):
        self.purpose = purpose  # what would disturb others: run.py shares a lab only among equals
        self.versions = source_version, target_version
        self.brokers, self.direct, self.settings = brokers, direct, settings
        self.properties = BROKER_PROPERTIES | (properties or {})
        self.cluster_options = {"features": features, "relayed": relayed}
        self.source = self.target = self.proxy = self.relay = None

    def __enter__(self):
        return self.up()

    def __exit__(self, *_):
        self.down()

    def up(self):
        self.folder = Path(tempfile.mkdtemp(prefix="crossover-lab-"))
        # Both clusters number their brokers alike, as most do: an id that leaks then leads to the wrong one.
        options = {"properties": self.properties} | self.cluster_options
        self.source = Cluster("source", self.brokers, self.versions[0], **options)
        self.target = None if self.direct else Cluster("target", self.brokers, self.versions[1], **options)
        for cluster in self.clusters():
            cluster.up(wait=False)
        for cluster in self.clusters():
            cluster.wait()
        if self.cluster_options["relayed"]:
            self.relay = Relay([pair for cluster in self.clusters() for pair in cluster.relayed.values()], self.folder)
        if self.direct:
            self.proxy = Direct(self.source.entrance)
        else:
            self.proxy = Proxy(self.source.entrance, self.target.entrance, self.folder, self.settings).start()
        return self

    def down(self, keep=False):
        if self.proxy:
            self.proxy.kill()
        if self.relay:
            self.relay.stop()
        for cluster in self.clusters():
            cluster.down(keep)
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    def clusters(self):
        return [cluster for cluster in (self.source, self.target) if cluster]

    def cluster(self, name):
        return {"source": self.source, "target": self.target}[name]

    @property
    def bootstrap(self):
        return self.proxy.bootstrap

    def topic(self, name, **options):
        """A fresh topic of that name on both clusters."""
        name = f"{name}-{next(_numbers)}"
        for cluster in self.clusters():
            native.create_topic(cluster.bootstrap, name, copies=min(3, self.brokers), **options)
        if not self.direct:
            process.wait_until(f"{name} through the proxy", lambda: native.visible(self.bootstrap, name), 30)
        return name

    def route_each(self, topics):
        """Each topic a route of its own, of its name."""
        for topic in topics:
            code, answer = self.proxy.call("PUT", f"/v1/routes/{topic}", {"topics": [topic]})
            assert code == 200, answer

    def bring_home(self, cluster, limit=60):
        """Flips until the default route's home is that cluster: where a scenario wants to begin."""
        if self.proxy.home() != cluster:
            self.flip("cutover" if cluster == "target" else "rollback", limit)

    def flip(self, direction, limit=0, route="default"):
        """One flip; with a limit, again and again while gates are closed."""
        deadline = time.monotonic() + limit
        while True:
            try:
                return self.proxy.flip(direction, **({} if self.direct else {"route": route}))
            except FlipFailed:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)

    def flip_back_or_forth(self, **options):
        return self.flip("rollback" if self.proxy.home() == "target" else "cutover", **options)


class Traffic:
    """One producer and one consumer group of a client on a topic."""

    def __init__(
        self,
        lab,
        client,
        topic,
        partitions=6,
        rate=2000,
        acks="all",
        idempotent=True,
        retries=None,
        consumers=1,
        consumer_client=None,
    ):
        self.lab, self.client, self.topic, self.idempotent, self.rate = lab, client, topic, idempotent, rate
        self.number = next(_numbers)
        common = {"bootstrap": lab.bootstrap, "topic": topic}
        self.consumers = [
            workers.Worker(
                consumer_client or client,
                "consume",
                lab.folder,
                f"c{self.number}-{i}",
                group=f"g-{topic}-{self.number}",
                **common,
            )
            for i in range(consumers)
        ]
        more = {} if retries is None else {"retries": retries}
        self.producers = [
            workers.Worker(
                client,
                "produce",
                lab.folder,
                f"p{self.number}",
                partitions=partitions,
                rate=rate,
                acks=acks,
                idempotent="true" if idempotent else "false",
                **more,
                **common,
            )
        ]

        if hasattr(lab.proxy, "call"):  # not where clients speak to a cluster directly
            for worker in self.producers + self.consumers:
                worker.look = lambda: lab.proxy.call("GET", "/v1/connections")[1]

    def wait_ready(self):
        for worker in self.producers + self.consumers:
            worker.wait_ready()
        return self

    def produced(self):
        return sum(producer.count("A") for producer in self.producers)

    def flows(self, least=200, limit=60):
        """Waits until that many more records were acknowledged: a flip that stops them for ever is found here."""
        before = self.produced()
        try:
            process.wait_until(
                f"{self.client}: {least} more acknowledged",
                lambda: self.produced() >= before + least,
                limit,
                [worker.child for worker in self.producers + self.consumers],
            )
        except RuntimeError:
            for producer in self.producers:
                producer.tell_where_it_stands()
            raise

    def finish(self, limit=90):
        workers.stop_all(self.producers, patience=150)
        workers.wait_consumed(self.producers, self.consumers, limit)
        workers.stop_all(self.consumers)
        return workers.verdict(self.producers, self.consumers)

    def expect_clean(self, allow=(), **options):
        verdict = self.finish(**options)
        faults = verdict.faults(self.idempotent, allow)
        assert not faults, f"{self.client}: {faults} {dict(verdict.examples)}"
        assert verdict.acked > 0, f"{self.client}: nothing acknowledged"
        return verdict


class Spliced:
    """The virtual log of a topic as the flips' answers tell it: an account to hold the proxy to."""

    def __init__(self, topic):
        self.topic = topic
        self.segments = {}  # partition -> [(virtual base, cluster, real base)]

    def add(self, report):
        for entry in report["partitions"]:
            if entry["topic"] == self.topic:
                own = self.segments.setdefault(entry["partition"], [(0, entry["from"]["cluster"], 0)])
                own.append((entry["virtual_boundary"], entry["to"]["cluster"], entry["to"]["start_offset"]))
        return report

    def real(self, partition, offset):
        """(cluster, real offset) of a virtual one."""
        base, cluster, real_base = [s for s in self.segments.get(partition, [(0, "source", 0)]) if s[0] <= offset][-1]
        return cluster, real_base + offset - base

    def projection(self, partition, offset, cluster):
        """Where a reader at this virtual offset would go on, on that cluster."""
        segments = self.segments.get(partition, [(0, "source", 0)])
        ends = [s[0] for s in segments[1:]] + [None]
        place = 0
        for (base, home, real_base), end in zip(segments, ends):
            if home == cluster and base <= offset:
                place = real_base + (offset if end is None else min(offset, end)) - base
        return place

    def check_natively(self, lab, log):
        """Each record of the virtual log, (partition, offset) -> value, lies where the account says."""
        real = {name: native.log(lab.cluster(name).bootstrap, self.topic) for name in ("source", "target")}
        expected = {"source": {}, "target": {}}
        for (partition, offset), value in log.items():
            cluster, at = self.real(partition, offset)
            expected[cluster][partition, at] = value
        for name, places in expected.items():
            for place, value in places.items():
                assert real[name].get(place) == value, f"{name} {place}: {real[name].get(place)} instead of {value}"


def judge_log(traffic, log):
    """The verdict on a log read otherwise than by the traffic's own consumers."""
    verdict = verify.Verdict()
    acked = {p.name: verify.read_producer(p.out, verdict) for p in traffic.producers}
    return verify.judge(acked, log, verdict, workers.unanswered(traffic.producers))
