"""What transactions bind together flips together; whose transaction holds a flip up, and how it is aborted; what Kafka's tools
are told of producers and groups after a flip.
"""

import subprocess

from confluent_kafka import Consumer, IsolationLevel, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import OffsetSpec

from . import cluster, native, process
from .proxy import BINARY

LIMIT = 30  # seconds


def _producer(lab, name, **settings):
    producer = Producer(
        {"bootstrap.servers": lab.bootstrap, "log_level": 0, "transactional.id": name, "client.id": f"owner-of-{name}"}
        | settings
    )
    producer.init_transactions(LIMIT)
    return producer


def _transaction(producer, topics, value):
    producer.begin_transaction()
    for topic in topics:
        producer.produce(topic, value, partition=0)
    producer.commit_transaction(LIMIT)


def _open(producer, topic, value):
    producer.begin_transaction()
    producer.produce(topic, value, partition=0)
    producer.flush(LIMIT)


def _expect_fenced(producer):
    try:
        producer.commit_transaction(LIMIT)
    except KafkaException as problem:
        assert problem.args[0].fatal(), f"the owner of an aborted transaction was told something else: {problem}"
        return
    raise AssertionError("the owner of an aborted transaction committed it")


def _tool(lab, *arguments):
    """Rows of kafka-transactions.sh as dicts."""
    text = cluster.run_tool("org.apache.kafka.tools.TransactionsCommand", "--bootstrap-server", lab.bootstrap, *arguments)
    lines = [line.split() for line in text.strip().splitlines()]
    head = next(i for i, line in enumerate(lines) if "ProducerId" in line)
    return [dict(zip(lines[head], line)) for line in lines[head + 1 :]]


def _command(lab, *arguments):
    done = subprocess.run(
        [BINARY, *arguments, "--admin", f"127.0.0.1:{lab.proxy.admin}"], capture_output=True, text=True, timeout=120
    )
    return done.returncode, done.stdout + done.stderr


def scenario_widened(lab, settings):
    """A transaction over the topics of two routes keeps either from flipping alone; widened, both go."""
    lab.bring_home("source")
    topics = [lab.topic("coupled", partitions=1) for _ in range(2)]
    lab.route_each(topics)
    one, two = topics
    producer = _producer(lab, f"shop-{one}")
    _transaction(producer, topics, b"coupled:0:0|")
    process.wait_until("the coupling to be shown", lambda: lab.proxy.route(one)["coupling_count"] == 1, 20)
    coupling = lab.proxy.route(one)["couplings"][0]
    assert coupling["torn"] and coupling["topics"] == sorted(topics), coupling
    code, text = _command(lab, "status")
    assert code == 0 and "TORN" in text and f"shop-{one}" in text, text
    code, report = lab.proxy.call("POST", f"/v1/routes/{one}/cutover")
    gate = next(gate for gate in report["gates"] if gate["name"] == "coupled_topics")
    assert code == 409 and not gate["ok"] and f"shop-{one}" in gate["detail"] and two in gate["detail"], report
    code, report = lab.proxy.call("POST", f"/v1/routes/{one}/cutover?widen=true")
    assert code == 200 and report["result"] == "done" and report["added_topics"] == [two], report
    assert lab.proxy.route(one)["defined_topics"] == sorted(topics) and lab.proxy.home(one) == "target"
    _transaction(producer, topics, b"coupled:0:1|")
    for topic in topics:
        assert list(native.log(lab.bootstrap, topic).values()) == ["coupled:0:0", "coupled:0:1"], topic
        assert len(native.log(lab.target.bootstrap, topic)) == 1, "the second one is on the target"


def scenario_aborted(lab, settings):
    """An open transaction abandons a flip, which names its owner, or is aborted where the operator says so."""
    lab.bring_home("source")
    topic = lab.topic("aborted", partitions=1)
    owner = _producer(lab, topic)
    _open(owner, topic, b"drop:0:0|")
    described = _tool(lab, "describe", "--transactional-id", topic)[0]
    code, report = lab.proxy.call("POST", "/v1/routes/default/cutover?abort_open=true")
    assert code == 200 and report["result"] == "done", report
    (named,) = report["aborted"]
    assert named["transactional_id"] == topic and named["topics"] == [topic] and named["state"] == "Ongoing", named
    assert named["client_id"] == f"owner-of-{topic}" and named["peer"].startswith("127.0.0.1:"), named
    assert (str(named["producer_id"]), str(named["producer_epoch"])) == (
        described["ProducerId"],
        described["ProducerEpoch"],
    ), (named, described)
    _expect_fenced(owner)
    owner = _producer(lab, topic)
    _transaction(owner, [topic], b"keep:0:0|")
    _open(owner, topic, b"drop:0:1|")
    code, text = _command(lab, "abort-transaction", topic)
    assert code == 0 and topic in text, text
    _expect_fenced(owner)
    code, answer = lab.proxy.call("POST", f"/v1/transactions/{topic}/abort")
    assert code == 409 and "no transaction open" in answer["error"], answer
    code, answer = lab.proxy.call("POST", f"/v1/transactions/not-{topic}/abort")
    assert code == 409 and "kafka-transactions.sh abort" in answer["hint"], answer
    lab.flip("rollback", limit=LIMIT)
    _transaction(_producer(lab, topic), [topic], b"keep:0:1|")
    assert list(native.log(lab.bootstrap, topic).values()) == ["keep:0:0", "keep:0:1"]


def _as_the_tools_say(lab, topic, producer):
    """The producer's id and epoch, and the virtual offset at which its open transaction began, agree in all views."""
    written = len(native.log(lab.bootstrap, topic))
    _transaction(producer, [topic], b"tools:0:0|")
    _open(producer, topic, b"tools:0:1|")
    place = TopicPartition(topic, 0)
    asked = native.admin(lab.bootstrap).list_offsets(
        {place: OffsetSpec.latest()}, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=LIMIT
    )
    start = asked[place].result().offset  # the last stable offset
    described = _tool(lab, "describe", "--transactional-id", topic)[0]
    names = (described["ProducerId"], described["ProducerEpoch"])
    (row,) = _tool(lab, "describe-producers", "--topic", topic, "--partition", "0")
    assert (row["ProducerId"], row["ProducerEpoch"]) == names, (row, described)
    assert row["CurrentTransactionStartOffset"] == str(start), (row, start)
    listed = [row for row in _tool(lab, "list") if row["TransactionalId"] == topic]
    assert [row["ProducerId"] for row in listed] == [names[0]], (listed, names)
    assert not any(row["TransactionalId"].startswith("__crossover") for row in _tool(lab, "list"))
    producer.commit_transaction(LIMIT)
    assert len(native.log(lab.bootstrap, topic)) == written + 2
    return names


def scenario_tools(lab, settings):
    lab.bring_home("source")
    topic = lab.topic("tools", partitions=1)
    producer = _producer(lab, topic)
    names = [_as_the_tools_say(lab, topic, producer)]
    for _ in range(2):
        lab.flip_back_or_forth(limit=LIMIT)
        names.append(_as_the_tools_say(lab, topic, producer))
    return f"producer ids and epochs {names}"


def scenario_groups(lab, settings):
    """A group whose offsets went to the target with a transaction is deleted there."""
    lab.bring_home("source")
    topic = lab.topic("group", partitions=1)
    native.write(lab.bootstrap, topic, [(0, b"k", b"v")] * 5)
    lab.flip("cutover", limit=LIMIT)
    producer = _producer(lab, topic)
    consumer = Consumer({"bootstrap.servers": lab.bootstrap, "log_level": 0, "group.id": topic})
    try:
        metadata = consumer.consumer_group_metadata()
        producer.begin_transaction()
        producer.produce(topic, b"group:0:0|", partition=0)
        producer.send_offsets_to_transaction([TopicPartition(topic, 0, 3)], metadata, LIMIT)
        producer.commit_transaction(LIMIT)
    finally:
        consumer.close()
    assert native.committed(lab.bootstrap, topic, topic) == {0: 3}
    assert native.committed(lab.target.bootstrap, topic, topic), "the offsets are on the target"
    shown = [c for c in lab.proxy.route()["couplings"] if c["transactional_id"] == topic]
    assert shown and shown[0]["groups"] == [topic], shown
    native.admin(lab.bootstrap).delete_consumer_groups([topic], request_timeout=LIMIT)[topic].result()
    for place in (lab, lab.target):
        left = native.committed(place.bootstrap, topic, topic)
        assert all(offset < 0 for offset in left.values()), left
    lab.flip("rollback", limit=LIMIT)


for scenario in [value for name, value in vars().items() if name.startswith("scenario_")]:
    scenario.lab = {"purpose": "couplings", "brokers": 1, "settings": "flip:\n  transactions_ms: 3000\n"}
