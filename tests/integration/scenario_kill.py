"""The proxy killed at every step of a flip and started again: status tells the truth, nothing is lost."""

import random
import threading
import time

from . import native, process, verify
from .lab import Traffic

STEPS = ["prepare", "fence", "drain", "boundary", "record_before", "record_after", "open", "release"]
CLIENTS = ["java-4.4.0", "confluent"]
# librdkafka tells the application of every lost connection, with or without a proxy in between.
SEEN_BY_DESIGN = ["errors"]


def _start_traffic(lab, name):
    traffics = [Traffic(lab, client, lab.topic(name), rate=1000) for client in CLIENTS]
    for traffic in traffics:
        traffic.wait_ready()
    return traffics


def _flip_in_background(lab, direction):
    def call():
        try:
            code, report = lab.proxy.call("POST", f"/v1/routes/default/{direction}", timeout=60)
            # Not the death that is waited for: that is then missed, and this says why.
            print(f"{direction} answered {code}: {report.get('error')}", _closed_gates(report), flush=True)
        except OSError:
            pass  # the proxy died while it was asked

    caller = threading.Thread(target=call)
    caller.start()
    return caller


def _closed_gates(report):
    return [gate for gate in report.get("gates", []) if not gate.get("ok")]


def _writes_go_home(lab, traffics):
    """What status says is where records go: only that cluster's logs grow."""
    home = lab.proxy.home()
    others = {"source": "target", "target": "source"}[home]
    for traffic in traffics:
        traffic.flows(100)
        before = [
            sum(native.offsets(lab.cluster(name).bootstrap, traffic.topic, "latest").values())
            for name in (home, others)
        ]
        traffic.flows(100)
        after = [
            sum(native.offsets(lab.cluster(name).bootstrap, traffic.topic, "latest").values())
            for name in (home, others)
        ]
        assert after[0] > before[0] and after[1] == before[1], (
            f"home {home}: its log went {before[0]} to {after[0]}, the other {before[1]} to {after[1]}"
        )
    return home


def _finish(traffics):
    for traffic in traffics:
        traffic.expect_clean(allow=SEEN_BY_DESIGN)
        java_errors = [
            line
            for worker in traffic.producers + traffic.consumers
            for line in verify.lines(worker.out)
            if line.startswith("E ")
        ]
        assert not traffic.client.startswith("java") or not java_errors, java_errors[:3]


def _crash_once(lab, step, direction, traffics):
    lab.proxy.stop()
    lab.proxy.start(crash_at=step)
    for traffic in traffics:
        traffic.flows(200)
    before = lab.proxy.home()
    caller = _flip_in_background(lab, direction)
    process.wait_until(f"the crash at {step}", lambda: not process.alive(lab.proxy.child), 30)
    caller.join()
    lab.proxy.start()
    after = _writes_go_home(lab, traffics)
    # A flip whose record was written goes forward; one without it did not happen.
    if step in STEPS[STEPS.index("record_after") :]:
        assert after != before, f"killed at {step}, after the record, the flip is gone"
    else:
        assert after == before, f"killed at {step}, before the record, the flip happened"
    return after


def scenario_each_step(lab, settings):
    lab.bring_home("source")
    traffics = _start_traffic(lab, "steps")
    homes = []
    for step in STEPS:
        homes.append(_crash_once(lab, step, "rollback" if lab.proxy.home() == "target" else "cutover", traffics))
        lab.flip_back_or_forth(limit=30)
    _finish(traffics)
    return f"homes after each: {dict(zip(STEPS, homes))}"


def scenario_any_instant(lab, settings):
    """SIGKILL some milliseconds after a flip was asked for."""
    chance = random.Random(7)
    lab.bring_home("source")
    traffics = _start_traffic(lab, "instants")
    for _ in range(30 if settings.full else 6):
        direction = "rollback" if lab.proxy.home() == "target" else "cutover"
        # Just started, a proxy waits until its predecessor's heartbeats have surely ended: not in what is timed here.
        lab.proxy.call("POST", f"/v1/routes/default/{direction}?dry_run=true")
        caller = _flip_in_background(lab, direction)
        time.sleep(chance.uniform(0, 0.15))
        lab.proxy.kill()
        caller.join()
        lab.proxy.start()
        _writes_go_home(lab, traffics)
    _finish(traffics)


def scenario_killed_without_a_flip(lab, settings):
    lab.bring_home("source")
    traffics = _start_traffic(lab, "idle")
    lab.flip("cutover")
    for _ in range(3):
        for traffic in traffics:
            traffic.flows(200)
        lab.proxy.kill()
        time.sleep(0.5)
        lab.proxy.start()
    _finish(traffics)


def scenario_restart_with_one_cluster_down(lab, settings):
    """A restarted proxy serves what is homed on the cluster that runs, under the same addresses."""
    lab.bring_home("target")
    topic = lab.topic("half")
    native.write(lab.bootstrap, topic, [(0, None, b"h:0:0|")])
    lab.proxy.stop()
    for node in lab.source.running():
        lab.source.kill(node)
    try:
        lab.proxy.start()
        native.write(lab.bootstrap, topic, [(0, None, b"h:0:1|")])
        log = native.log(lab.target.bootstrap, topic)
        assert max(log.values()) == "h:0:1", log
    finally:
        for node in lab.source.ports:
            lab.source.start(node, wait=False)
        lab.source.wait(limit=120)
    lab.bring_home("source", limit=60)
