"""Transactional producers through the proxy."""

from confluent_kafka import Producer

from . import native

LIMIT = 30  # seconds


def _producer(lab, name):
    producer = Producer({"bootstrap.servers": lab.bootstrap, "transactional.id": name, "linger.ms": 0, "log_level": 0})
    producer.init_transactions(LIMIT)
    return producer


def _transaction(producer, topic, number, commit, records=5):
    """Returns what its readers are to see."""
    values = [f"{number}.{i}" for i in range(records)]
    producer.begin_transaction()
    for value in values:
        producer.produce(topic, value.encode(), partition=0)
    producer.flush()
    (producer.commit_transaction if commit else producer.abort_transaction)(LIMIT)
    return values if commit else []


def _committed(lab, topic):
    log = native.log(lab.bootstrap, topic)
    return [log[place] for place in sorted(log)]


def scenario_before_and_after_a_flip(lab, settings):
    """Committed ones are read in full and in order, aborted ones never, in every segment; flips are no event."""
    lab.bring_home("source")
    topic = lab.topic("transactions", partitions=1)
    producer = _producer(lab, topic)
    expected = []
    for number in range(60):
        if number % 15 == 10:
            lab.flip_back_or_forth()
        expected += _transaction(producer, topic, number, commit=number % 3 > 0)
    assert _committed(lab, topic) == expected
    return f"4 flips, {len(expected)} records"


def scenario_between_routes(lab, settings):
    """One producer writes in turn to topics whose homes differ: its id goes from cluster to cluster between its
    transactions, by itself and with flips, and its client, which goes on with its sequences, notices nothing."""
    lab.bring_home("source")
    topics = [lab.topic("between", partitions=1) for _ in range(2)]
    lab.route_each(topics)
    one, two = topics
    producer = _producer(lab, f"between-{one}")
    expected = {one: [], two: []}
    moves = _moves(lab)

    def write(first, last, where):
        for number in range(first, last):
            topic = where(number)
            expected[topic] += _transaction(producer, topic, number, commit=number % 4 < 3)

    write(0, 5, lambda _: one)
    lab.flip("cutover", route=one)
    write(5, 25, lambda number: topics[number % 2])
    lab.flip("cutover", route=two)
    write(25, 35, lambda number: topics[number % 2])
    alone = _moves(lab) - moves
    # What a process has not seen itself, no gate holds together: the id stays behind when this flips.
    lab.proxy.stop()
    lab.proxy.start()
    moves = _moves(lab)
    lab.flip("rollback", route=one)
    write(35, 55, lambda number: topics[number % 2])
    alone += _moves(lab) - moves
    for topic in topics:
        assert _committed(lab, topic) == expected[topic], topic
    assert alone >= 30, f"the id moved by itself {alone} times"
    lab.flip("rollback", route=two)
    for topic in topics:  # the lab is the next scenario's, too
        code, answer = lab.proxy.call("DELETE", f"/v1/routes/{topic}")
        assert code == 200, answer
    return f"the id moved by itself {alone} times, {sum(len(v) for v in expected.values())} records"


def _moves(lab):
    return lab.proxy.log_since(0).count("transactional_ids_moved")


scenario_before_and_after_a_flip.lab = {"purpose": "transactions", "features": {"transaction.version": 2}}
scenario_between_routes.lab = scenario_before_and_after_a_flip.lab
