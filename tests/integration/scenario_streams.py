"""A stateful Kafka Streams application with exactly_once_v2, flipped while it works: per key its output is, record by record,
what one cluster alone makes of the same input; no task dies, no exception is left to the application.
"""

import random
import re
import time
from collections import defaultdict

from . import native, process, verify, workers

PARTITIONS = 4
RATE = 200
FLIPS = ["cutover", "rollback", "cutover"]
# What the library says when tasks die that it then revives without a word to the application.
DEATHS = re.compile(
    "thread is being fenced|states of tasks .* corrupted|Closed dirty|encountered an exception", re.IGNORECASE
)


class Streams:
    """The application between two topics of a cluster or of the proxy."""

    def __init__(self, folder, bootstrap, source, output):
        self.bootstrap, self.source, self.output = bootstrap, source, output
        self.worker = workers.Worker(
            "streams",
            "transform",
            folder,
            f"app-{output}",
            bootstrap=bootstrap,
            topic=source,
            output=output,
            state=folder / f"state-{output}",
        )

    def wait_ready(self):
        self.worker.wait_ready(120)
        return self

    def wait_written(self, records, limit=120):
        """Until there are as many outputs, each committed."""
        process.wait_until(
            f"{records} records of {self.output}",
            lambda: (
                sum(native.offsets(self.bootstrap, self.output, "latest").values()) >= records
                and len(native.log(self.bootstrap, self.output)) >= records
            ),
            limit,
            [self.worker.child],
            pause=1,
        )

    def complaints(self):
        errors = [line for line in verify.lines(self.worker.out) if line.startswith("E ")]
        deaths = [line for line in verify.lines(self.worker.log) if DEATHS.search(line)]
        return errors + deaths

    def by_key(self):
        """key -> its outputs, in order."""
        found = defaultdict(list)
        for _, value in sorted(native.log(self.bootstrap, self.output).items()):
            key, _, total = value.partition("=")
            found[key].append(total)
        return found


def _run(lab, flips, chance):
    """One input through the proxy with flips at random moments, the same natively; returns how many records."""
    source, output = (lab.topic(name, partitions=PARTITIONS) for name in ("streams-in", "streams-out"))
    application = Streams(lab.folder, lab.bootstrap, source, output)
    filler = {"bootstrap": lab.bootstrap, "topic": source, "partitions": PARTITIONS, "rate": RATE, "idempotent": "true"}
    filler = workers.Worker("confluent", "produce", lab.folder, f"f-{source}", **filler).wait_ready()
    application.wait_ready()
    for direction in flips:
        time.sleep(chance.uniform(1, 5))
        lab.flip(direction)
    time.sleep(chance.uniform(1, 5))
    filler.stop(patience=150)
    given = native.read(lab.bootstrap, source)
    records = sum(map(len, given.values()))
    application.wait_written(records)
    application.worker.stop()
    expected = _on_one_cluster(lab, given, f"{output}-alone")
    _compare(application.by_key(), expected)
    assert not application.complaints(), application.complaints()[:5]
    return records


def _on_one_cluster(lab, given, name):
    cluster = lab.source.bootstrap
    for topic in (f"{name}-in", name):
        native.create_topic(cluster, topic, PARTITIONS, copies=min(3, lab.brokers))
    native.write(cluster, f"{name}-in", [(p, None, m.value()) for p, messages in given.items() for m in messages])
    application = Streams(lab.folder, cluster, f"{name}-in", name).wait_ready()
    application.wait_written(sum(map(len, given.values())))
    application.worker.stop()
    found = application.by_key()
    _delete_topics(cluster, name)  # the proxy would miss them on the other cluster
    return found


def _delete_topics(bootstrap, part_of_name):
    admin = native.admin(bootstrap)

    def theirs():
        return [topic for topic in admin.list_topics(timeout=10).topics if part_of_name in topic]

    for done in admin.delete_topics(theirs()).values():
        done.result()
    process.wait_until("topics deleted", lambda: not theirs(), 30)


def _compare(found, expected):
    assert expected, "no output at all"
    wrong = [key for key in sorted(found.keys() | expected.keys()) if found.get(key) != expected.get(key)]
    shown = {key: _first_difference(found.get(key, []), expected.get(key, [])) for key in wrong[:5]}
    assert not wrong, f"{len(wrong)} of {len(expected)} keys differ: {shown}"


def _first_difference(found, expected):
    at = next((i for i, pair in enumerate(zip(found, expected)) if pair[0] != pair[1]), min(len(found), len(expected)))
    return f"{len(found)} of {len(expected)}, at {at}: {found[at : at + 2]} instead of {expected[at : at + 2]}"


def scenario_flips(lab, settings):
    times = settings.times or (20 if settings.full else 1)
    records = 0
    for number in range(times):
        lab.bring_home("source")
        records += _run(lab, FLIPS, random.Random(number))
    return f"{times} times, {records} records"


def scenario_without_flips(lab, settings):
    return f"{_run(lab, [], random.Random(0))} records"


def scenario_one_cluster(lab, settings):
    """The baseline: an application without any proxy is as clean."""
    return f"{_run(lab, [], random.Random(0))} records"


scenario_flips.lab = scenario_without_flips.lab = {"purpose": "transactions", "features": {"transaction.version": 2}}
scenario_one_cluster.lab = {"purpose": "transactions", "features": {"transaction.version": 2}} | {"direct": True}
scenario_without_flips.only_by_name = scenario_one_cluster.only_by_name = True
