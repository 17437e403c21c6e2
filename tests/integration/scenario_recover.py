"""The home cluster dies with writes under way: the route goes on at the other one without its word."""

import threading
import time

from confluent_kafka import Consumer, TopicPartition

from . import native, process, verify, workers

CLIENTS = ["java-4.4.0", "confluent"]
PARTITIONS = 6
# Every client tells the application of brokers that are gone.
SEEN_BY_DESIGN = ["errors"]


class Tail:
    """A reader that is in no group, from the beginning on; `log` is what it has seen."""

    def __init__(self, bootstrap, topic):
        self.log, self.changed, self.over = {}, [], False
        settings = {"bootstrap.servers": bootstrap, "group.id": "none", "enable.auto.commit": False, "log_level": 0}
        self.consumer = Consumer(settings | {"auto.offset.reset": "error"})
        self.consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.over:
            for message in self.consumer.consume(500, 0.2):
                if message.error():
                    continue
                place, value = (message.partition(), message.offset()), message.value().decode().split("|")[0]
                if self.log.setdefault(place, value) != value:
                    self.changed.append((place, self.log[place], value))
        self.consumer.close()

    def stop(self):
        self.over = True
        self.thread.join()


def _lose_home(lab, producers, how):
    before = sum(producer.count("A") for producer in producers)
    process.wait_until("some acknowledged", lambda: sum(p.count("A") for p in producers) >= before + 300, 60)
    for node in lab.source.running():
        how(node)
    process.wait_until("the proxy sees it", lambda: not _reachable(lab, "source"), 30)


def _reachable(lab, name):
    return lab.proxy.status()["clusters"][name]["reachable"]


def _recover(lab, words=None):
    body = None if words is None else {"confirm": words}
    return lab.proxy.call("POST", "/v1/routes/default/recover", body)


def _refused_with_names(lab, topic):
    code, report = lab.proxy.call("POST", "/v1/routes/default/cutover")
    assert code == 409 and report["result"] == "failed", (code, report)
    gate = next(gate for gate in report["gates"] if gate["name"] == "old_home_unreachable")
    assert not gate["ok"] and f"{topic}-" in gate["detail"] and "crossover recover default" in gate["detail"], gate


def _plan(lab):
    """Neither without the words nor with others anything is changed."""
    generation = lab.proxy.route()["generation"]
    for words in (None, "yes", f"recover default to target at generation {generation + 1}"):
        code, plan = _recover(lab, words)
        assert code == 409 and plan["result"] == "unconfirmed", (code, plan)
        route = lab.proxy.route()
        assert (route["home"], route["generation"]) == ("source", generation), route
    return plan


def _judge(producers, log, plan, topic):
    """Everything acknowledged is where it was acknowledged; twice there is only what the plan named as in doubt."""
    verdict = verify.Verdict()
    acked = {producer.name: verify.read_producer(producer.out, verdict) for producer in producers}
    verify.judge(acked, log, verdict)
    faults = verdict.faults(allow=[*SEEN_BY_DESIGN, "duplicated"])
    assert not faults and verdict.acked, f"{faults} {dict(verdict.examples)}"
    in_doubt = {p["partition"]: p["records_in_doubt"] for p in plan["partitions"] if p["topic"] == topic}
    places = {}
    for (partition, _), value in log.items():
        places.setdefault(value, []).append(partition)
    twice = [partitions[0] for partitions in places.values() if len(partitions) > 1]
    for partition in set(twice):
        assert twice.count(partition) <= in_doubt[partition], (partition, twice.count(partition), in_doubt)
    return verdict, len(twice)


def _start(lab, name):
    lab.bring_home("source")
    topic = lab.topic(name, partitions=PARTITIONS)
    options = {"bootstrap": lab.bootstrap, "topic": topic, "partitions": PARTITIONS, "rate": 500, "acks": "all"}
    producers = [
        workers.Worker(client, "produce", lab.folder, f"{name}-{client}", idempotent="true", **options)
        for client in CLIENTS
    ]
    for producer in producers:
        producer.wait_ready()
    return topic, producers


def _goes_on(lab, plan, producers):
    """The answer, and how long until everybody's writes were acknowledged again."""
    began = time.monotonic()
    before = [producer.count("A") for producer in producers]
    code, done = _recover(lab, plan["confirm"])
    assert code == 200 and done["result"] == "done", (code, done)
    process.wait_until("writes go on", lambda: all(p.count("A") > n + 100 for p, n in zip(producers, before)), 60)
    route = lab.proxy.route()
    assert route["home"] == "target" and route["recovered"], route
    return done, time.monotonic() - began


def _roll_back(lab, producers, settings):
    """Stragglers could still land for half a minute, and until then it is refused."""
    gates = lab.proxy.call("POST", "/v1/routes/default/rollback?dry_run=true")[1]["gates"]
    red = [gate["name"] for gate in gates if not gate["ok"]]
    assert set(red) <= {"unknown_outcomes", "in_sync_replicas", "leaders", "new_home_transactions"}, red
    if not settings.full:
        return
    lab.flip("rollback", limit=90)
    assert not lab.proxy.route()["recovered"]
    before = [producer.count("A") for producer in producers]
    process.wait_until(
        "writes go on there", lambda: all(p.count("A") > n + 100 for p, n in zip(producers, before)), 60
    )


def scenario_the_home_dies(lab, settings):
    topic, producers = _start(lab, "dies")
    tail = Tail(lab.bootstrap, topic)
    code, report = _recover(lab, "recover default to target at generation 0")
    assert code == 409 and report["result"] == "refused" and "answers" in report["error"], (code, report)
    _lose_home(lab, producers, lab.source.kill)
    _refused_with_names(lab, topic)
    plan = _plan(lab)
    assert plan["in_doubt"], "writes were under way"
    plan, took = _goes_on(lab, plan, producers)
    for node in lab.source.ports:
        lab.source.start(node, wait=False)
    lab.source.wait()
    process.wait_until("the proxy sees it again", lambda: _reachable(lab, "source"), 60)
    _roll_back(lab, producers, settings)
    workers.stop_all(producers, patience=150)
    log = native.log(lab.bootstrap, topic)
    process.wait_until("the reader sees all", lambda: len(tail.log) >= len(log), 60)
    tail.stop()
    assert not tail.changed and tail.log == log, tail.changed[:3]
    verdict, twice = _judge(producers, log, plan, topic)
    doubt = sum(row["records"] for row in plan["in_doubt"])
    return f"{verdict.acked} acknowledged, {doubt} in doubt, {twice} twice; writes went on after {took:.1f} s"


def scenario_the_home_freezes(lab, settings):
    """Its brokers stop in the middle of everything, and take what lies in their sockets when they go on."""
    topic, producers = _start(lab, "freezes")
    _lose_home(lab, producers, lab.source.suspend)
    plan = _plan(lab)
    plan, took = _goes_on(lab, plan, producers)
    assert plan["in_doubt"], "writes were under way"
    for node in lab.source.ports:
        lab.source.resume(node)
    process.wait_until("the proxy sees it again", lambda: _reachable(lab, "source"), 60)
    lab.proxy.kill()  # whoever comes next takes the recovered state
    lab.proxy.start()
    route = lab.proxy.route()
    assert route["home"] == "target" and route["recovered"], route
    before = [producer.count("A") for producer in producers]
    process.wait_until("writes go on", lambda: all(p.count("A") > n + 100 for p, n in zip(producers, before)), 60)
    workers.stop_all(producers, patience=150)
    verdict, twice = _judge(producers, native.log(lab.bootstrap, topic), plan, topic)
    ends = native.offsets(lab.source.bootstrap, topic, "latest")
    hidden = sum(ends[p["partition"]] - p["end_offset"] for p in plan["partitions"] if p["topic"] == topic)
    doubt = sum(row["records"] for row in plan["in_doubt"])
    return (
        f"{verdict.acked} acknowledged, {doubt} in doubt, {twice} twice, {hidden} hidden on the old home; "
        f"writes went on after {took:.1f} s"
    )
