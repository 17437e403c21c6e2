"""Each client through cutover, rollback, cutover: nothing lost, doubled, out of order, moved; no error seen."""

import json
import threading
import time
from pathlib import Path

from . import matrix, native, workers
from .lab import Spliced, Traffic, judge_log

TOGETHER = 4  # cells at the same time, in CI; the full run measures each alone


def run_cells(lab, settings, cells):
    results = []
    together = 1 if settings.full else TOGETHER
    for start in range(0, len(cells), together):
        results += matrix.run_group(lab, cells[start : start + together], settings.seconds)
    if settings.json:
        path = Path(settings.json)
        earlier = json.loads(path.read_text()) if path.exists() else []
        path.write_text(json.dumps(earlier + results, indent=1))
    print(matrix.render(results), flush=True)
    bad = {f"{r['client']} {r['mode']}": (r["faults"], r.get("examples")) for r in results if not r["ok"]}
    assert not bad, bad
    holds = [hold for hold in map(matrix.longest_hold, results) if hold is not None]
    return f"{len(results)} cells, longest hold {max(holds, default=0):.0f} ms"


def scenario_clients(lab, settings):
    return run_cells(lab, settings, list(matrix.cells(workers.measured())))


def scenario_every_record_in_one_segment(lab, settings):
    """What the clusters themselves hold is what the flips' answers say, record by record."""
    lab.bring_home("source")
    topic = lab.topic("truth")
    spliced = Spliced(topic)
    traffic = Traffic(lab, "java-4.4.0", topic).wait_ready()
    for direction in ("cutover", "rollback", "cutover"):
        traffic.flows()
        report = spliced.add(lab.flip(direction))
        assert report["direction"] == direction, report
        moved = {entry["partition"] for entry in report["partitions"] if entry["topic"] == topic}
        assert moved == set(range(6)), f"partitions of the answer: {sorted(moved)}"
        traffic.flows()
    traffic.expect_clean()
    log = native.log(lab.bootstrap, topic)
    verdict = judge_log(traffic, log)
    assert not verdict.faults(), (verdict.faults(), dict(verdict.examples))
    spliced.check_natively(lab, log)
    return f"{verdict.acked} records"


def scenario_repeated_and_dry_run(lab, settings):
    """A dry run changes nothing; a call that already took effect is harmless."""
    lab.bring_home("source")
    before = lab.proxy.route()["generation"]
    code, report = lab.proxy.call("POST", "/v1/routes/default/cutover?dry_run=true")
    assert code == 200 and report["gates"], (code, report)
    assert (lab.proxy.home(), lab.proxy.route()["generation"]) == ("source", before)
    lab.flip("cutover")
    after = lab.proxy.route()["generation"]
    lab.flip("cutover")
    assert (lab.proxy.home(), lab.proxy.route()["generation"]) == ("target", after)
    assert after > before, (before, after)
    lab.flip("rollback")


def scenario_two_callers_at_once(lab, settings):
    """Two flips asked for at the same moment: one home in the end, the same that status tells, nothing lost."""
    lab.bring_home("source")
    topic = lab.topic("race")
    traffic = Traffic(lab, "java-4.4.0", topic).wait_ready()
    answers = []
    callers = [
        threading.Thread(target=lambda d=d: answers.append(lab.proxy.call("POST", f"/v1/routes/default/{d}")))
        for d in ("cutover", "cutover", "rollback")
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(answers) == 3, answers
    traffic.flows()
    lab.bring_home("target", limit=20)
    traffic.flows()
    traffic.expect_clean()


def scenario_route_of_topics(lab, settings):
    """A route of its own flips alone; the rest stays where it is."""
    lab.bring_home("source")
    topics = {name: lab.topic(name) for name in ("moving", "staying")}
    code, answer = lab.proxy.call("PUT", "/v1/routes/trial", {"topics": [topics["moving"]]})
    assert code in (200, 201), (code, answer)
    traffics = {name: Traffic(lab, "java-4.4.0", topic, rate=1000) for name, topic in topics.items()}
    for traffic in traffics.values():
        traffic.wait_ready()
    time.sleep(1)
    lab.flip("cutover", route="trial")
    assert (lab.proxy.home("trial"), lab.proxy.home()) == ("target", "source")
    ends = {name: native.offsets(lab.target.bootstrap, topic, "latest") for name, topic in topics.items()}
    for traffic in traffics.values():
        traffic.flows()
    grown = {
        name: native.offsets(lab.target.bootstrap, topic, "latest") != ends[name] for name, topic in topics.items()
    }
    assert grown == {"moving": True, "staying": False}, grown
    lab.flip("rollback", route="trial")
    for traffic in traffics.values():
        traffic.flows()
        traffic.expect_clean()
    code, answer = lab.proxy.call("DELETE", "/v1/routes/trial")
    assert code in (200, 204), (code, answer)


def scenario_one_client_talks_to_both_routes(lab, settings):
    """One produce request may span routes, one consumer reads of both homes."""
    lab.bring_home("source")
    topics = [lab.topic("span-a"), lab.topic("span-b")]
    assert lab.proxy.call("PUT", "/v1/routes/span", {"topics": topics[:1]})[0] in (200, 201)
    lab.flip("cutover", route="span")
    records = [(i % 6, None, f"s:{i % 6}:{i // 6}|".encode()) for i in range(600)]
    for topic in topics:
        native.write(lab.bootstrap, topic, records)
    for topic, cluster in zip(topics, (lab.target, lab.source)):
        assert native.log(lab.bootstrap, topic) == native.log(cluster.bootstrap, topic)
    lab.flip("rollback", route="span")
    assert lab.proxy.call("DELETE", "/v1/routes/span")[0] in (200, 204)


def scenario_heartbeats_outlive_retention(lab, settings):
    """The labs' brokers check retention every second: what the proxies tell each other is not theirs to delete yet."""
    lab.bring_home("source")
    position = lab.proxy.log_size()
    for _ in range(8):
        time.sleep(1)
        code, report = lab.proxy.call("POST", "/v1/routes/default/cutover?dry_run=true")
        assert code == 200, (code, report.get("error"), [gate for gate in report.get("gates", []) if not gate["ok"]])
    assert "heartbeats_read_anew" not in lab.proxy.log_since(position)
