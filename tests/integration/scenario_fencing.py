"""What transactional ids mean to others after a flip is what they meant before: zombies are fenced, tools see the same values,
and a transaction that does not end stops a flip, which says whose it is.
"""

from confluent_kafka import KafkaException, Producer

from . import cluster, native

LIMIT = 30  # seconds


def _producer(lab, name, **settings):
    producer = Producer({"bootstrap.servers": lab.bootstrap, "log_level": 0, "transactional.id": name} | settings)
    producer.init_transactions(LIMIT)
    return producer


def _transaction(producer, topic, value):
    producer.begin_transaction()
    producer.produce(topic, value, partition=0)
    producer.commit_transaction(LIMIT)


def _expect_fenced(producer, topic):
    try:
        _transaction(producer, topic, b"zombie:0:0|")
    except KafkaException as problem:
        assert problem.args[0].fatal(), f"a zombie was told something else: {problem}"
        return
    raise AssertionError("a zombie committed")


def _zombie(lab, replaced_first):
    topic = lab.topic("zombie", partitions=1)
    old = _producer(lab, topic)
    _transaction(old, topic, b"old:0:0|")
    new = _producer(lab, topic) if replaced_first else None
    lab.flip_back_or_forth(limit=LIMIT)
    new = new or _producer(lab, topic)
    _expect_fenced(old, topic)
    _transaction(new, topic, b"new:0:0|")
    lab.flip_back_or_forth(limit=LIMIT)
    _transaction(new, topic, b"new:0:1|")
    values = list(native.log(lab.bootstrap, topic).values())
    assert values == ["old:0:0", "new:0:0", "new:0:1"], values


def scenario_zombie_from_before_a_flip(lab, settings):
    _zombie(lab, replaced_first=True)


def scenario_replaced_after_a_flip(lab, settings):
    _zombie(lab, replaced_first=False)


def scenario_open_transaction(lab, settings):
    """It is waited for, then the flip is given up and names it; its owner notices nothing and commits."""
    topic = lab.topic("open", partitions=1)
    producer = _producer(lab, topic)
    producer.begin_transaction()
    producer.produce(topic, b"open:0:0|", partition=0)
    producer.flush()
    home = lab.proxy.home()
    direction = "rollback" if home == "target" else "cutover"
    code, report = lab.proxy.call("POST", f"/v1/routes/default/{direction}")
    assert code != 200 or report["result"] == "failed", (code, report)
    assert topic in str(report), f"whose transaction it is: {report}"
    assert lab.proxy.home() == home
    producer.commit_transaction(LIMIT)
    lab.flip_back_or_forth(limit=LIMIT)
    _transaction(producer, topic, b"open:0:1|")
    assert list(native.log(lab.bootstrap, topic).values()) == ["open:0:0", "open:0:1"]


def _described(lab, name):
    """What Kafka's tool tells of a transactional id, without its coordinator."""
    tool = "org.apache.kafka.tools.TransactionsCommand"
    text = cluster.run_tool(tool, "--bootstrap-server", lab.bootstrap, "describe", "--transactional-id", name)
    head, row = (line.split() for line in text.strip().splitlines()[-2:])
    told = dict(zip(head, row))
    return {key: told[key] for key in ("TransactionalId", "ProducerId", "ProducerEpoch", "TransactionState")}


def scenario_tools_see_the_same(lab, settings):
    topic = lab.topic("described", partitions=1)
    producer = _producer(lab, topic)
    _transaction(producer, topic, b"tools:0:0|")
    before = _described(lab, topic)
    assert before["TransactionState"] == "CompleteCommit", before
    lab.flip_back_or_forth(limit=LIMIT)
    after = _described(lab, topic)
    assert (before["ProducerId"], before["ProducerEpoch"]) == (after["ProducerId"], after["ProducerEpoch"]), (
        before,
        after,
    )
    _transaction(producer, topic, b"tools:0:1|")


for scenario in [value for name, value in vars().items() if name.startswith("scenario_")]:
    scenario.lab = {"purpose": "transactions", "features": {"transaction.version": 2}}
