"""Readers of the past across three flips: from the beginning, lagging, from a timestamp, by committed offsets."""

import time

from . import native, process, workers
from .cluster import run_tool
from .lab import Spliced, Traffic

GROUPS_TOOL = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
FLIPS = ("cutover", "rollback", "cutover")


def _three_flips(lab, traffic, spliced=None, pause=1.0):
    for direction in FLIPS:
        traffic.flows(300)
        time.sleep(pause)
        report = lab.flip(direction)
        if spliced:
            spliced.add(report)
    traffic.flows(300)


def scenario_from_the_beginning(lab, settings):
    lab.bring_home("source")
    topic = lab.topic("beginning")
    traffic = Traffic(lab, "java-4.4.0", topic).wait_ready()
    _three_flips(lab, traffic)
    verdict = traffic.expect_clean()
    for client in ("java-4.4.0", "java-2.8.2", "confluent", "kafka-python"):
        late = workers.Worker(
            client,
            "consume",
            lab.folder,
            f"late-{client}",
            bootstrap=lab.bootstrap,
            topic=topic,
            group=f"late-{client}",
            from_beginning=True,
        )
        late.wait_ready()
        left = workers.wait_consumed(traffic.producers, [late])
        late.stop()
        assert not left, f"{client} never read {len(left)} records"
        found = workers.verdict(traffic.producers, [late])
        assert not found.faults() and not found.reread, (
            f"{client}: {found.faults()} reread {found.reread} {dict(found.examples)}"
        )
    return f"{verdict.acked} records"


def scenario_lagging(lab, settings):
    """One consumer stopped before the flips and started after them, one frozen across them."""
    lab.bring_home("source")
    topic = lab.topic("lagging")
    traffic = Traffic(lab, "java-4.4.0", topic).wait_ready()
    traffic.flows(500)
    options = {"bootstrap": lab.bootstrap, "topic": topic}
    stopped = [
        workers.Worker(c, "consume", lab.folder, f"stopped-{c}", group=f"stopped-{c}", **options)
        for c in ("java-4.4.0", "confluent")
    ]
    frozen = workers.Worker("java-4.4.0", "consume", lab.folder, "frozen", group="frozen", **options)
    for worker in [*stopped, frozen]:
        worker.wait_ready()
    traffic.flows(500)
    process.wait_until("the lagging consumers read", lambda: all(w.count("C") > 100 for w in [*stopped, frozen]), 30)
    workers.stop_all(stopped)
    frozen.child.send_signal(process.signal.SIGSTOP)
    _three_flips(lab, traffic)
    frozen.child.send_signal(process.signal.SIGCONT)
    resumed = [
        workers.Worker(w.client, "consume", lab.folder, f"resumed-{w.client}", group=f"stopped-{w.client}", **options)
        for w in stopped
    ]
    for worker in resumed:
        worker.wait_ready()
    traffic.expect_clean()
    for parts in ([frozen], *([before, after] for before, after in zip(stopped, resumed))):
        workers.wait_consumed(traffic.producers, parts)
        workers.stop_all([part for part in parts if process.alive(part.child)])
        found = workers.verdict(traffic.producers, parts)
        assert not found.faults(), f"{parts[0].name}: {found.faults()} {dict(found.examples)}"
        assert not found.reread, (
            f"{parts[0].name}: read {found.reread} records again, though it left its group in order"
        )


def scenario_from_a_timestamp(lab, settings):
    lab.bring_home("source")
    topic = lab.topic("times", partitions=2)
    traffic = Traffic(lab, "java-4.4.0", topic, partitions=2, rate=500).wait_ready()
    _three_flips(lab, traffic)
    traffic.expect_clean()
    logs = {
        partition: [(message.timestamp()[1], message.offset()) for message in messages]
        for partition, messages in native.read(lab.bootstrap, topic).items()
    }
    first = min(log[0][0] for log in logs.values())
    last = max(log[-1][0] for log in logs.values())
    times = [first - 1000, *(first + (last - first) * i // 40 for i in range(41)), last + 1000]
    for when in times:
        given = native.offsets(lab.bootstrap, topic, when)
        for partition, log in logs.items():
            expected = next((offset for stamp, offset in log if stamp >= when), -1)
            # librdkafka tells the log's end where there is no such record.
            allowed = {expected} if expected >= 0 else {-1, log[-1][1] + 1}
            assert given[partition] in allowed, (
                f"partition {partition} at {when - first} ms: {given[partition]}, not {expected}"
            )
    return f"{len(times)} instants"


def _groups_tool(bootstrap, group):
    """partition -> (current offset, log end offset), as kafka-consumer-groups prints them."""
    text = run_tool(GROUPS_TOOL, "--bootstrap-server", bootstrap, "--describe", "--group", group)
    rows = [line.split() for line in text.splitlines() if line.startswith(group)]
    return {int(row[2]): (int(row[3]), int(row[4])) for row in rows if row[3] != "-"}


def scenario_committed_offsets(lab, settings):
    """In every segment: exact through the proxy, on the source the source's true projection."""
    lab.bring_home("source")
    topic = lab.topic("committed", partitions=3)
    spliced = Spliced(topic)
    traffic = Traffic(lab, "java-4.4.0", topic, partitions=3, rate=1000).wait_ready()
    _three_flips(lab, traffic, spliced)
    traffic.expect_clean()
    ends = native.offsets(lab.bootstrap, topic, "latest")
    cases = []
    for index in range(4):
        bases = {p: spliced.segments[p][index][0] for p in range(3)}
        nexts = {p: spliced.segments[p][index + 1][0] if index < 3 else ends[p] for p in range(3)}
        cases.append({p: bases[p] for p in range(3)})
        cases.append({p: (bases[p] + nexts[p]) // 2 for p in range(3)})
        cases.append({p: nexts[p] for p in range(3)})
    for number, positions in enumerate(cases):
        group = f"{topic}-at-{number}"
        native.commit(lab.bootstrap, group, topic, positions)
        assert native.committed(lab.bootstrap, group, topic) == positions, f"case {number}"
        told = native.committed(lab.source.bootstrap, group, topic)
        expected = {p: spliced.projection(p, offset, "source") for p, offset in positions.items()}
        assert told == expected, f"case {number}: the source says {told}, the projection of {positions} is {expected}"
        if number % 3 == 1:
            shown = _groups_tool(lab.bootstrap, group)
            assert shown == {p: (positions[p], ends[p]) for p in positions}, f"case {number}: {shown}"
            shown = _groups_tool(lab.source.bootstrap, group)
            assert {p: row[0] for p, row in shown.items()} == expected, f"case {number} natively: {shown}"
    return f"{len(cases)} positions in 4 segments"


def scenario_group_of_two_clients(lab, settings):
    """A Java and a librdkafka member share a group through three flips; one leaves in the middle."""
    lab.bring_home("source")
    topic = lab.topic("shared")
    traffic = Traffic(lab, "java-4.4.0", topic).wait_ready()
    options = {"bootstrap": lab.bootstrap, "topic": topic, "group": f"shared-{topic}"}
    members = [workers.Worker("java-2.8.2", "consume", lab.folder, "member-java", **options).wait_ready()]
    traffic.flows(500)
    lab.flip("cutover")
    traffic.flows(500)
    members.append(workers.Worker("confluent", "consume", lab.folder, "member-confluent", **options))
    time.sleep(3)
    lab.flip("rollback")
    traffic.flows(500)
    members[0].stop()
    lab.flip("cutover")
    traffic.flows(500)
    traffic.expect_clean()
    workers.wait_consumed(traffic.producers, members)
    members[1].stop()
    found = workers.verdict(traffic.producers, members)
    assert not found.faults(), (found.faults(), dict(found.examples))


def scenario_group_of_the_newer_protocol(lab, settings):
    """Members that let the broker assign partitions (KIP-848) are told topic ids: always the virtual ones."""
    lab.bring_home("source")
    topic = lab.topic("heartbeats")
    traffic = Traffic(lab, "java-4.4.0", topic).wait_ready()
    options = {"bootstrap": lab.bootstrap, "topic": topic, "group": f"newer-{topic}", "protocol": "consumer"}
    members = [workers.Worker("java-4.4.0", "consume", lab.folder, f"newer-{i}", **options) for i in range(2)]
    process.wait_until("the members read", lambda: sum(member.count("C") for member in members) > 500, 60)
    _three_flips(lab, traffic)
    traffic.expect_clean()
    workers.wait_consumed(traffic.producers, members)
    workers.stop_all(members)
    found = workers.verdict(traffic.producers, members)
    assert not found.faults(), (found.faults(), dict(found.examples))


def scenario_log_ends(lab, settings):
    """Earliest and latest of the virtual log are the first segment's start and the last one's end."""
    lab.bring_home("source")
    topic = lab.topic("ends", partitions=2)
    spliced, total = Spliced(topic), 0
    for direction in FLIPS:
        native.write(lab.bootstrap, topic, [(i % 2, None, f"e:{i % 2}:{total + i // 2}|".encode()) for i in range(100)])
        total += 50
        spliced.add(lab.flip(direction))
        assert native.offsets(lab.bootstrap, topic, "earliest") == {0: 0, 1: 0}
        assert native.offsets(lab.bootstrap, topic, "latest") == {0: total, 1: total}
    log = native.log(lab.bootstrap, topic)
    assert log == {(p, n): f"e:{p}:{n}" for p in range(2) for n in range(total)}
    spliced.check_natively(lab, log)
