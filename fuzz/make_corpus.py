#!/usr/bin/env python3
"""Writes the seed corpora from the golden bytes (tests/golden). Files that a fuzzer's finding left are kept."""

import gzip
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

    batches = [bytes.fromhex(row[11]) for row in rows("batches") if len(row[11]) < 2000]
    choice = struct.pack(">q", 1_700_000_005_000)
    for i, batch in enumerate(batches):
        write("record_batch", f"single-{i}", choice + batch)
    write("record_batch", "several", choice + batches[0] + batches[1] + batches[2][:70])


if __name__ == "__main__":
    main()
