"""Transactional loops of every client that has them, flipped at random moments; the same on one cluster, without flips."""

import random
import time

from .loops import Loop

CLIENTS = ["java-4.4.0", "java-3.4.1", "confluent", "franz"]
PROTOCOLS = 2  # the two of transactions: half of the flips each


def _run(lab, flips, seed=0, seconds=0):
    """Flips as many times as told and goes on for some seconds; fails on anything that a cluster alone would not do."""
    chance = random.Random(seed)
    lab.bring_home("source")
    loops = [Loop(lab, client) for client in CLIENTS]
    for loop in loops:
        loop.wait_ready()
    _flow(loops)
    for number in range(1, flips + 1):
        time.sleep(chance.uniform(0, 1))
        lab.flip_back_or_forth()
        if number % 5 == 0:
            _flow(loops)  # one that stands still for ever is found here, not at the end
    time.sleep(seconds)
    for loop in loops:
        loop.stop_input()
    verdicts = {loop.client: loop.finish() for loop in loops}
    for client, verdict in verdicts.items():
        print(f"     {client}: {verdict}", flush=True)
    bad = {client: (v.faults(), dict(v.examples)) for client, v in verdicts.items() if v.faults()}
    assert not bad, bad
    assert all(v.committed and v.aborted and v.inputs for v in verdicts.values()), "a loop did nothing"
    return f"{flips} flips, {sum(v.committed for v in verdicts.values())} transactions"


def _flow(loops):
    for loop in loops:
        loop.flows()


def _flips(settings):
    return (1000 if settings.full else 50) // PROTOCOLS


def scenario_protocol_1(lab, settings):
    return _run(lab, _flips(settings), seed=1)


def scenario_protocol_2(lab, settings):
    return _run(lab, _flips(settings), seed=2)


def scenario_without_flips(lab, settings):
    return _run(lab, flips=0, seconds=settings.seconds)


def scenario_one_cluster_2(lab, settings):
    """The baseline: what the clients do without any proxy."""
    return _run(lab, flips=0, seconds=settings.seconds)


def scenario_one_cluster_1(lab, settings):
    return _run(lab, flips=0, seconds=settings.seconds)


def _lab(protocol, **more):
    return {"purpose": "transactions", "features": {"transaction.version": protocol}} | more


scenario_protocol_2.lab = _lab(2)
scenario_protocol_1.lab = _lab(1)
scenario_without_flips.lab = _lab(2)
scenario_one_cluster_2.lab = _lab(2, direct=True)
scenario_one_cluster_1.lab = _lab(1, direct=True)
for baseline in (scenario_without_flips, scenario_one_cluster_2, scenario_one_cluster_1):
    baseline.only_by_name = True
