#!/usr/bin/env python3
"""Writes the seed corpora from the golden bytes (tests/golden). Files that a fuzzer's finding left are kept."""

import gzip
import json
import pathlib
import struct

HERE = pathlib.Path(__file__).resolve().parent
GOLDEN = HERE.parent / "tests" / "golden"

# One message of each shape is enough: the rest of the table is reached by mutation and by the golden test.
APIS = [0, 1, 2, 3, 8, 9, 10, 11, 18, 19, 22, 23, 24, 26, 28, 32, 60, 61, 68, 75, 78, 88]


def rows(name):
    with gzip.open(GOLDEN / f"{name}.tsv.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            yield line.rstrip("\n").split("\t")


def write(target, name, data):
    folder = HERE / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"seed-{name}").write_bytes(data)


def messages():
    """The newest version of some APIs, and the oldest, which is not flexible."""
    table = {}
    first = {}
    for api, direction, version, variant, body, *_ in rows("kafka-clients"):
        key = (int(api), direction)
        first[key] = min(first.get(key, 99), int(version))
        table[(*key, int(version), variant)] = bytes.fromhex(body)
    for api in APIS:
        for direction in ("request", "response"):
            versions = sorted({v for a, d, v, _ in table if (a, d) == (api, direction)})
            for version, variant in ((versions[0], "full"), (versions[-1], "tags")):
                body = table.get((api, direction, version, variant))
                if body is not None:
                    yield api, direction, version, version - first[(api, direction)], variant, body


def request_frame(api, version, body, flexible):
    header = struct.pack(">hhih", api, version, 7, 4) + b"seed" + (b"\0" if flexible else b"")
    return struct.pack(">i", len(header) + len(body)) + header + body


def session_scripts():
    """Steps as session_fuzz.cc reads them: a request comes, the connection opens, the broker answers."""

    def sized(step, data, then=b""):
        return bytes([step]) + struct.pack(">H", len(data)) + data + then

    bodies = {(api, direction, version, variant): body for api, direction, version, _, variant, body in messages()}
    opened, fenced, flipped, later = b"\x06\x00", b"\x08\x02", b"\x08\x04", b"\x09\x0a"
    for (api, direction, version, variant), body in bodies.items():
        answer = bodies.get((api, "response", version, variant))
        if direction != "request" or answer is None:
            continue
        request = sized(0, request_frame(api, version, body, variant != "full"))
        # All through the listener of virtual broker 1; the second request meets a fence and is released by the flip.
        yield f"{api}-{version}-{variant}", (
            b"\x01" + request + opened + sized(4, answer, b"\x00") + later
            + fenced + request + later + flipped + opened + b"\x06\x01" + sized(4, answer, b"\x00") + sized(4, answer, b"\x01")
            + b"\x07\x00"
        )


def control_records():
    chain = {"v": 1, "by": "p"}
    uuid = lambda letter: letter * 21 + "A"
    segments = [["source", 0, 0, 100, 0, 5, 0], ["target", 100, 0, -1, 6, -1, 1]]
    topic = {"topic": "orders", "id": uuid("B"), "source_id": uuid("B"), "target_id": uuid("C"), "count": 1}
    route = {"id": "default", "name": "default", "topics": [], "home": "target", "generation": 1}
    routes = {"revision": 1, "routes": [{**route, "opened": True}], "deleted": []}
    part = {"v": 1, "type": "part", "parts": "x", "n": 0,
            "topics": [{**topic, "partitions": [{"p": 0, "segments": segments, "producers": [[77, 2, 9, 0]]}]}]}
    holes = {**part, "topics": [{**topic, "count": 2, "partitions": []}]}
    versions = {"apis": [[0, 3, 13], [3, 0, 13]], "features": [["metadata.version", 1, 27]], "finalized": {"metadata.version": 27}}
    broker = {"virtual": 1, "cluster": "source", "node": 1, "port": 9093}
    flip = {**chain, "route": route, "parts": "x", "part_count": 1}
    snapshot = {**chain, "type": "snapshot", "id": "s", "prev": -1, "cluster_id": "c", "brokers": [broker],
                "source": versions, "routes": routes, "parts": "x", "part_count": 1}
    identity = {**chain, "type": "identity", "id": "a", "prev": -1, "cluster_id": "c"}
    yield "identity-broker-versions", [identity, {**chain, **broker, "type": "broker", "id": "b", "prev": 0},
                                       {**chain, **versions, "cluster": "target", "type": "versions", "id": "v", "prev": 1}]
    yield "flip", [identity, part, {**flip, "type": "close", "id": "f", "prev": 0}, part,
                   {**flip, "type": "open", "id": "g", "prev": 2}]
    yield "snapshot", [part, snapshot, {**chain, "type": "forget", "id": "t", "prev": 1, "topic": "orders", "topic_id": uuid("B")}]
    yield "routes", [{**chain, **routes, "type": "routes", "id": "r", "prev": -1}]
    yield "lost-race", [identity, {**identity, "id": "z", "cluster_id": "d"}]
    yield "newer-format", [{**identity, "v": 2}]
    yield "default-route-deleted", [{**chain, **routes, "deleted": ["default"], "type": "routes", "id": "r", "prev": -1}]
    yield "partitions-missing", [holes, snapshot]


def main():
    for old in (HERE / "corpus").glob("*/seed-*"):
        old.unlink()
    frames = []
    for api, direction, version, nth, variant, body in messages():
        choice = bytes([api, direction == "response", nth])
        write("walk", f"{api}-{direction}-{version}-{variant}", choice + body)
        if direction == "request":
            write("error_reply", f"{api}-{version}-{variant}", choice + body)
            frames.append(request_frame(api, version, body, variant != "full"))
    for i in range(0, len(frames), 3):
        stream = b"".join(frames[i : i + 3])
        write("frame", f"requests-{i}", bytes([i % 256]) + stream)
    write("frame", "huge-claim", b"\x05" + struct.pack(">i", 100 * 1024 * 1024) + b"0123456789")
    write("frame", "negative", b"\x01" + struct.pack(">i", -1))

    for name, script in session_scripts():
        write("session", name, script)
    for name, lines in control_records():
        write("control_state", name, "\n".join(json.dumps(line) for line in lines).encode())

    batches = [bytes.fromhex(row[11]) for row in rows("batches") if len(row[11]) < 2000]
    choice = struct.pack(">q", 1_700_000_005_000)
    for i, batch in enumerate(batches):
        write("record_batch", f"single-{i}", choice + batch)
    write("record_batch", "several", choice + batches[0] + batches[1] + batches[2][:70])


if __name__ == "__main__":
    main()
