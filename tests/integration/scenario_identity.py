"""One virtual cluster: what clients and Kafka's own tools see of it does not change in a flip and names no real one."""

import re

from . import native
from .cluster import run_tool
from .proxy import PORTS

TOOLS = {
    "topics": ["org.apache.kafka.tools.TopicCommand", "--describe"],
    "versions": ["org.apache.kafka.tools.BrokerApiVersionsCommand"],
    "cluster": ["org.apache.kafka.tools.ClusterTool", "cluster-id"],
    "offsets": ["org.apache.kafka.tools.GetOffsetShell"],
    "groups": ["org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", "--describe", "--all-groups"],
    "configs": ["kafka.admin.ConfigCommand", "--describe", "--entity-type", "topics"],
}


def _seen(lab, topic):
    """What a client is told of the cluster and of a topic."""
    metadata = native.admin(lab.bootstrap).list_topics(timeout=10)
    described = run_tool(*TOOLS["topics"], "--topic", topic, "--bootstrap-server", lab.bootstrap)
    return {
        "cluster id": metadata.cluster_id,
        "brokers": {broker.id: (broker.host, broker.port) for broker in metadata.brokers.values()},
        "topic id": re.search(r"TopicId: (\S+)", described)[1],
        "partitions": len(metadata.topics[topic].partitions),
    }


def scenario_constant_through_flips(lab, settings):
    lab.bring_home("source")
    topic = lab.topic("identity")
    first = _seen(lab, topic)
    allowed = range(lab.proxy.listen, lab.proxy.listen + PORTS)
    assert all(port in allowed for _, port in first["brokers"].values()), first["brokers"]
    leaders = set()
    for direction in ("cutover", "rollback", "cutover"):
        leaders |= set(native.leaders(lab.bootstrap, topic).values())
        lab.flip(direction)
        assert _seen(lab, topic) == first, f"after {direction}"
    assert leaders <= set(first["brokers"]), (leaders, first["brokers"])
    lab.proxy.stop()
    lab.proxy.start()
    assert _seen(lab, topic) == first, "after a restart"


def scenario_no_real_name_in_any_tool(lab, settings):
    """Neither a real broker's address nor a real cluster's or topic's id is printed, whichever cluster is at home."""
    lab.bring_home("source")
    topic = lab.topic("hidden")
    native.write(lab.bootstrap, topic, [(p, None, b"h:%d:0|" % p) for p in range(6)])
    native.commit(lab.bootstrap, f"group-{topic}", topic, {0: 1})
    real = {}
    for cluster in lab.clusters():
        real |= {f"port of {cluster.name}": f":{port}" for port in cluster.ports.values()}
        real[f"cluster id of {cluster.name}"] = native.admin(cluster.bootstrap).list_topics(timeout=10).cluster_id
    for home in ("source", "target"):
        lab.bring_home(home)
        for name, command in TOOLS.items():
            printed = run_tool(*command, "--bootstrap-server", lab.bootstrap)
            assert printed.strip(), f"{name} printed nothing"
            leaked = [what for what, text in real.items() if text in printed]
            assert not leaked, f"{name}, home {home}: {leaked}\n{printed[:2000]}"
