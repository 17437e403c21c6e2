"""Writes that bypass the proxy are noticed, before a flip and after, and never shown to clients as their own."""

from . import native, process


def _reported(lab, topic, cluster):
    """status names topic and cluster among the strangers' writes."""
    rows = lab.proxy.status().get("strangers", [])
    return [row for row in rows if row.get("topic") == topic and row.get("cluster") == cluster]


def _write_native(lab, cluster, topic, text):
    native.write(lab.cluster(cluster).bootstrap, topic, [(0, None, text)])


def scenario_before_a_flip(lab, settings):
    lab.bring_home("source")
    topic = lab.topic("stranger", partitions=1)
    native.write(lab.bootstrap, topic, [(0, None, b"own:0:0|")])
    assert not _reported(lab, topic, "target"), "nobody wrote to the target yet"
    _write_native(lab, "target", topic, b"stranger")
    process.wait_until("the report", lambda: _reported(lab, topic, "target"), 15)
    lab.flip("cutover", limit=5)
    native.write(lab.bootstrap, topic, [(0, None, b"own:0:1|")])
    assert native.log(lab.bootstrap, topic) == {(0, 0): "own:0:0", (0, 1): "own:0:1"}


def scenario_after_a_flip(lab, settings):
    lab.bring_home("source")
    topic = lab.topic("straggler", partitions=1)
    native.write(lab.bootstrap, topic, [(0, None, b"own:0:0|")])
    lab.flip("cutover")
    assert not _reported(lab, topic, "source")
    _write_native(lab, "source", topic, b"stranger")
    process.wait_until("the report", lambda: _reported(lab, topic, "source"), 15)
    native.write(lab.bootstrap, topic, [(0, None, b"own:0:1|")])
    lab.flip("rollback", limit=5)
    native.write(lab.bootstrap, topic, [(0, None, b"own:0:2|")])
    assert native.log(lab.bootstrap, topic) == {(0, n): f"own:0:{n}" for n in range(3)}
    assert _reported(lab, topic, "source"), "a rollback must not forget what was found"
