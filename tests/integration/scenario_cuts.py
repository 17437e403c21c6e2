"""Connections to the brokers cut at random bytes, brokers killed and started again, and flips meanwhile: acks=all, three
replicas, two of them in sync. Nothing lost, nothing doubled, nothing out of order; errors are what the clients make of it.
"""

import random
import re
import threading
import time
from collections import Counter

from . import native, process, verify, workers
from .lab import Traffic, judge_log
from .loops import Loop
from .proxy import FlipFailed

# librdkafka from 2.10 on gives up brokers that the cluster does not list for a while; of a group's coordinator that was one of
# them its transactions then wait without end, on a cluster without a proxy as well (2.16: two loops of three in 29 kills).
LOOPS = ["java-4.4.0", "java-3.4.1", "confluent-2.8.2", "franz"]
IDEMPOTENT = [
    "java-4.4.0",
    "java-2.8.2",
    "confluent",
    "librdkafka-2.0.2",
    "kafka-python",
    "franz",
    "sarama",
    "kafkajs",
]
# Numbers what follows a record that it gave up like that one, which may have landed: the cluster takes both for the same.
REUSES_SEQUENCES = {"kafkajs"}
CUTS_PER_FLIP = 4
LIMIT_PER_FLIP = 120  # seconds
CUTS_WITHOUT_A_BROKER = 2
FAULTS = ["lost", "duplicated", "out_of_order", "without_offset", "wrong_offset", "two_at_one_offset"]


class Disturbance:
    """Cuts, kills and flips until there were as many of each as wanted."""

    def __init__(self, lab, cuts, seed):
        self.lab, self.cuts, self.random = lab, cuts, random.Random(seed)
        self.flips_wanted = max(1, cuts // CUTS_PER_FLIP)
        self.flips, self.refused, self.kills = 0, Counter(), 0
        self.gone = None  # the cluster and the broker of it that was killed
        self.done = threading.Event()

    def run(self):
        flipper = threading.Thread(target=self._keep_flipping)
        flipper.start()
        deadline = time.monotonic() + LIMIT_PER_FLIP * self.flips_wanted
        number = 0
        try:
            while number < self.cuts or self.flips < self.flips_wanted:
                assert time.monotonic() < deadline, f"{number} cuts, {self.flips} flips, refused: {dict(self.refused)}"
                self._cut()
                number += 1
                if number % 25 == 0:
                    print(f"     {number} cuts, {self.kills} brokers killed, {self.flips} flips", flush=True)
                self._kill_or_start()
                # Once there were enough cuts, what is still wanted are flips, and each cut may cost one.
                time.sleep(self.random.uniform(0, 2 if number < self.cuts else 6))
        finally:
            self.done.set()
            flipper.join()
        self._start_it_again()
        self._settle()
        self.lab.flip_back_or_forth(limit=120)
        return f"{number} cuts, {self.kills} brokers killed, {self.flips} flips; refused: {dict(self.refused)}"

    def _cut(self):
        before = self.lab.relay.cuts()
        self.lab.relay.cut()
        process.wait_until("a cut", lambda: self.lab.relay.cuts() > before, 60)

    def _kill_or_start(self):
        """A broker is gone for two cuts, once between two flips: while replicas are behind there are none."""
        if self.gone:
            self.cuts_without_it += 1
            if self.cuts_without_it == CUTS_WITHOUT_A_BROKER:
                self._start_it_again()
        elif self.kills <= self.flips:
            self._kill_a_broker()

    def kill_for_a_while(self):
        self._kill_a_broker()
        time.sleep(self.random.uniform(1, 15))
        self._start_it_again()

    def _kill_a_broker(self):
        self._settle()
        cluster = self.random.choice(self.lab.clusters())
        node = self.random.choice(list(cluster.ports))
        cluster.kill(node)
        self.gone, self.cuts_without_it = (cluster, node), 0
        self.kills += 1

    def _start_it_again(self):
        if self.gone:
            cluster, node = self.gone
            cluster.start(node, wait=False)
            self.gone = None

    def _settle(self):
        """Two brokers of a cluster at once would be more than its replicas bear."""
        for cluster in self.lab.clusters():
            process.wait_until(f"{cluster.name} in sync", lambda c=cluster: _in_sync(c), 120, pause=0.5)

    def _keep_flipping(self):
        chance = random.Random(self.random.random())
        while not self.done.wait(chance.uniform(0.5, 4)):
            try:
                self.lab.flip_back_or_forth()
                self.flips += 1
            except FlipFailed as problem:
                self.refused.update(re.findall(r"['\"](\w+): ", str(problem)) or [str(problem)])


def _in_sync(cluster):
    topics = native.admin(cluster.bootstrap).list_topics(timeout=10).topics.values()
    return all(len(p.isrs) == len(p.replicas) for topic in topics for p in topic.partitions.values())


def _cuts(settings):
    return 250 if settings.full else 13


def scenario_idempotent(lab, settings):
    clients = [client for client in IDEMPOTENT if workers.have(client)]
    traffics = [Traffic(lab, client, lab.topic(f"cut-{client}"), rate=200, consumers=0) for client in clients]
    for traffic in traffics:
        traffic.wait_ready()
    note = Disturbance(lab, _cuts(settings), seed=3).run()
    for traffic in traffics:
        traffic.flows(50, limit=120)
    bad = {}
    for traffic in traffics:
        workers.stop_all(traffic.producers, patience=150)
        verdict = _judge(traffic, native.log(lab.bootstrap, traffic.topic))
        print(f"     {traffic.client}: {_figures(traffic, verdict)}", flush=True)
        found = {kind: getattr(verdict, kind) for kind in FAULTS if getattr(verdict, kind)}
        if found or not verdict.acked:
            bad[traffic.client] = found, dict(verdict.examples)
    assert not bad, bad
    return note


def _judge(traffic, log):
    if traffic.client not in REUSES_SEQUENCES:
        return judge_log(traffic, log)
    verdict = verify.Verdict()
    return verify.judge({p.name: _before_the_first_failure(p, verdict) for p in traffic.producers}, log, verdict)


def _before_the_first_failure(producer, verdict):
    first = {}
    for line in verify.lines(producer.out):
        if line.startswith("F "):
            partition, number = map(int, line.split()[1:3])
            first[partition] = min(number, first.get(partition, number))
    acked = verify.read_producer(producer.out, verdict)
    return {(p, number): offset for (p, number), offset in acked.items() if number < first.get(p, number + 1)}


def scenario_one_cluster(lab, settings):
    """The baseline: what the clients make of cuts and killed brokers without a proxy."""
    return scenario_idempotent(lab, settings)


def _figures(traffic, verdict):
    errors = Counter(
        re.sub(r"\d+", "n", line)[:90]
        for p in traffic.producers
        for line in verify.lines(p.out)
        if line[:2] in ("E ", "F ")
    )
    told = f", told: {dict(errors.most_common(3))}" if errors else ""
    return f"{verdict.acked} acknowledged, {verdict.consumed} in the log, {verdict.failed} failed{told}"


def scenario_transactional(lab, settings):
    loops = [Loop(lab, client, rate=100) for client in LOOPS]
    for loop in loops:
        loop.wait_ready()
    note = Disturbance(lab, _cuts(settings), seed=4).run()
    _judge_loops(loops)
    return note


def _judge_loops(loops):
    """Lets them come to an end; returns their verdicts."""
    for loop in loops:
        loop.flows(limit=120)
    for loop in loops:
        loop.stop_input()
    verdicts, bad = [], {}
    for loop in loops:
        verdict = loop.finish()
        print(f"     {loop.client}: {verdict}", flush=True)
        verdicts.append(verdict)
        # A broker that is gone may cost a transaction, and says so; nothing may come of one that was undone.
        found = verdict.faults(allow=["undone", "connection", "retriable", "abortable"])
        if found:
            bad[loop.name] = found, dict(verdict.examples)
    assert not bad, bad
    return verdicts


def scenario_one_cluster_loops(lab, settings):
    """The baseline: what killed brokers cost librdkafka's transactional loops without a proxy."""
    loops = [Loop(lab, "confluent-2.8.2", rate=60).wait_ready() for _ in range(3)]
    disturbance = Disturbance(lab, 0, seed=5)
    for _ in range(settings.times or 25):
        disturbance.kill_for_a_while()
    verdicts = _judge_loops(loops)
    return ", ".join(f"{verdict.undone} undone beside {verdict.committed} committed" for verdict in verdicts)


scenario_idempotent.lab = scenario_transactional.lab = {"purpose": "cuts", "relayed": True}
scenario_one_cluster.lab = {"purpose": "cuts", "relayed": True, "direct": True}
scenario_one_cluster_loops.lab = {"purpose": "cuts", "direct": True}
scenario_one_cluster.only_by_name = scenario_one_cluster_loops.only_by_name = True
