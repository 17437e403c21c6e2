"""Transactional producers through the proxy."""

from confluent_kafka import Producer

from . import native


def scenario_before_and_after_a_flip(lab, settings):
    """Committed ones are read in full, aborted ones never; the transactional id closes the flip's gate. On a topic that
    was flipped and is back on the source too."""
    lab.bring_home("source")
    topic = lab.topic("transactions", partitions=1)
    lab.flip("cutover")
    lab.flip("rollback")
    producer = Producer({"bootstrap.servers": lab.bootstrap, "transactional.id": topic})
    producer.init_transactions(30)
    for number in range(20):
        producer.begin_transaction()
        for i in range(5):
            producer.produce(topic, f"{'keep' if number % 2 else 'drop'}:0:{number * 5 + i}|".encode(), partition=0)
        producer.flush()
        (producer.commit_transaction if number % 2 else producer.abort_transaction)(30)
    code, report = lab.proxy.call("POST", "/v1/routes/default/cutover")
    refused = code != 200 or report["result"] == "failed"
    assert refused and topic in str(report["gates"]), (
        f"a transactional id must close a gate that names it: {code} {report}"
    )
    log = native.log(lab.bootstrap, topic)
    assert len(log) == 50 and all(value.startswith("keep") for value in log.values()), len(log)


# The transactional id keeps the gate closed for the rest of the lab's life.
scenario_before_and_after_a_flip.lab = {"purpose": "transactions", "features": {"transaction.version": 2}}
