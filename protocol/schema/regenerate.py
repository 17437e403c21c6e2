#!/usr/bin/env python3
"""Derives apis.inc and messages.inc from the message definitions inside the official kafka-clients jars.

  regenerate.py           rewrite the two files beside this script
  regenerate.py --check   exit 1 and print a diff when they are not what the jars say

The table is the union over RELEASES: at each version the newest release that speaks it decides. Versions that a
release itself marks unstable (`latestVersionUnstable` of the request: brokers do not offer them by default) are left
out. Names are those of the newest schema; a field renamed between releases is recognised by its place.
Jars come from Maven Central through mvn and are kept in ${XDG_CACHE_HOME:-~/.cache}/crossover/jars.
"""
import argparse
import difflib
import json
import os
import pathlib
import re
import subprocess
import sys
import zipfile

from roles import role

RELEASES = ["4.4.0", "3.9.1", "2.8.2"]  # newest first
HERE = pathlib.Path(__file__).resolve().parent
NEVER = 32767
TYPES = {"bool": "boolean", "int8": "int8", "int16": "int16", "uint16": "uint16", "int32": "int32", "uint32": "uint32",
         "int64": "int64", "float64": "float64", "uuid": "uuid", "string": "string", "bytes": "bytes",
         "records": "records"}


def jar(release):
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "crossover" / "jars"
    path = cache / f"kafka-clients-{release}.jar"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mvn", "-q", "-B", "org.apache.maven.plugins:maven-dependency-plugin:copy",
                        f"-Dartifact=org.apache.kafka:kafka-clients:{release}", f"-DoutputDirectory={cache}"],
                       check=True, stdout=sys.stderr)
    return path


def strip_comments(text):
    return re.sub(r'("(?:\\.|[^"\\])*")|//[^\n]*', lambda m: m.group(1) or "", text)


def versions(text, limit):
    """The versions that "3+", "0-4", "2" or "none" names, as a set within `limit`."""
    if not text or text == "none":
        return frozenset()
    first, _, last = text.partition("-")
    if text.endswith("+"):
        first, last = text[:-1], NEVER
    last = int(last or first)
    return frozenset(v for v in limit if int(first) <= v <= last)


class Node:
    """A field: of one release when read, of the union after merging."""

    def __init__(self, spec, limit, structs):
        self.name = spec["name"]
        self.array = spec["type"].startswith("[]")
        base = spec["type"].removeprefix("[]")
        self.type = TYPES.get(base, "structure")
        self.struct = base if self.type == "structure" else None
        self.present = versions(spec["versions"], limit) | versions(spec.get("taggedVersions"), limit)
        self.nullable = versions(spec.get("nullableVersions"), self.present)
        self.tagged = versions(spec.get("taggedVersions"), self.present)
        self.tag = int(spec["tag"]) if self.tagged else -1
        self.default = spec.get("default")
        fields = (spec.get("fields") or structs[base]) if self.struct else []
        self.children = [Node(f, self.present, structs) for f in fields]

    def kind(self):
        return (self.type, self.array)

    def restrict(self, keep):
        """Forgets every version outside `keep`; false when nothing is left."""
        self.present &= keep
        self.nullable &= keep
        self.tagged &= keep
        self.tag = self.tag if self.tagged else -1
        self.children = [c for c in self.children if c.restrict(keep)]
        return bool(self.present)


class Message:
    def __init__(self, spec, stable):
        self.key, self.direction, self.name = spec["apiKey"], spec["type"], spec["name"]
        self.versions = versions(spec["validVersions"], stable)
        self.flexible = versions(spec.get("flexibleVersions", "none"), self.versions)
        structs = {s["name"]: s["fields"] for s in spec.get("commonStructs", [])}
        collect_structs(spec.get("fields", []), structs)
        nodes = [Node(f, self.versions, structs) for f in spec.get("fields", [])]
        self.fields = [n for n in nodes if n.restrict(self.versions)]


def collect_structs(fields, structs):
    for field in fields:
        if field.get("fields"):
            structs.setdefault(field["type"].removeprefix("[]"), field["fields"])
            collect_structs(field["fields"], structs)


def read_release(release):
    with zipfile.ZipFile(jar(release)) as archive:
        # raw_decode: one file of 2.8 has a bracket too many behind its object.
        specs = [json.JSONDecoder().raw_decode(strip_comments(archive.read(n).decode()).lstrip())[0] for n in sorted(archive.namelist())
                 if re.fullmatch(r"common/message/\w+\.json", n)]
    specs = [s for s in specs if s["type"] in ("request", "response")]
    stable = {}
    for spec in specs:
        if spec["type"] == "request":
            valid = versions(spec["validVersions"], range(100))
            stable[spec["apiKey"]] = valid - ({max(valid)} if valid and spec.get("latestVersionUnstable") else set())
    return {(s["apiKey"], s["type"]): Message(s, stable[s["apiKey"]]) for s in specs}


def wire_order(nodes, version):
    return [n for n in nodes if version in n.present and version not in n.tagged]


def rename_by_place(old, new, common):
    """Gives the nodes of an older release the names that newer ones use for the same place on the wire."""
    for version in sorted(common):
        olds, news = wire_order(old, version), wire_order(new, version)
        if [n.kind() for n in olds] == [n.kind() for n in news]:
            for a, b in zip(olds, news):
                a.name = b.name
    for a in old:
        for b in new:
            if a.tag >= 0 and a.tag == b.tag and a.kind() == b.kind():
                a.name = b.name
            if a.name == b.name and a.struct and b.struct:
                rename_by_place(a.children, b.children, common & a.present & b.present)


def merge(union, older):
    """Adds the nodes of an older release, restricted to versions of its own, at their places in wire order."""
    at = 0
    for node in older:
        same = next((i for i, n in enumerate(union) if n.name == node.name and n.kind() == node.kind()), None)
        if same is None:
            union.insert(at, node)
            at += 1
            continue
        match = union[same]
        if match.tagged and node.tagged and match.tag != node.tag:
            raise ValueError(f"{node.name}: tag changed")
        match.tag = max(match.tag, node.tag)
        match.present |= node.present
        match.nullable |= node.nullable
        match.tagged |= node.tagged
        merge(match.children, node.children)
        at = max(at, same + 1)


def shape(nodes, version):
    """What version `version` looks like on the wire; merging must not change it."""
    fields = [(n.name, n.kind(), version in n.nullable, n.tag if version in n.tagged else -1, shape(n.children, version))
              for n in nodes if version in n.present]
    return [f for f in fields if f[3] < 0], sorted(f for f in fields if f[3] >= 0)


def union_of(messages):
    """One message from its definitions in several releases, newest first."""
    whole = messages[0]
    for message in messages[1:]:
        rename_by_place(message.fields, whole.fields, message.versions & whole.versions)
        own = message.versions - whole.versions
        before = {v: shape(message.fields, v) for v in own} | {v: shape(whole.fields, v) for v in whole.versions}
        flexible = message.flexible & own
        merge(whole.fields, [n for n in message.fields if n.restrict(own)])
        whole.versions |= own
        whole.flexible |= flexible
        for version, wanted in before.items():
            if shape(whole.fields, version) != wanted:
                raise ValueError(f"{whole.name} v{version}: the merged table differs from the release's schema")
    return whole


def read_union():
    releases = [read_release(r) for r in RELEASES]
    keys = {k for release in releases for k in release}
    order = {"request": 0, "response": 1}
    merged = []
    for key in sorted(keys, key=lambda k: (k[0], order[k[1]])):
        messages = [r[key] for r in releases if key in r and r[key].versions]
        if messages:
            merged.append(union_of(messages))
    return merged


def span(numbers, what):
    """first and last of a contiguous set."""
    first, last = min(numbers), max(numbers)
    if len(numbers) != last - first + 1:
        raise ValueError(f"{what}: versions {sorted(numbers)} are not one range")
    return f"{first}, {last}"


def emit_table(name, message, nodes, path, lines):
    """Rows of one structure, after those of the structures inside it."""
    rows = []
    for node in nodes:
        here = path + [node.name]
        child = f"{name}_{node.name}"
        if node.struct:
            emit_table(child, message, node.children, here, lines)
        what = f"{message.name}.{'.'.join(here)}"
        row = [node.name, node.type, role(message.name, ".".join(here), node.type), span(node.present, what)]
        row += ["ARRAY"] if node.array else []
        row += [f"NULLABLE({span(node.nullable, what)})"] if node.nullable else []
        row += [f"TAGGED({node.tag}, {span(node.tagged, what)})"] if node.tagged else []
        row += [f"CHILDREN({child})"] if node.struct else []
        rows.append(f"  FIELD({', '.join(row)})")
    if rows:
        lines += [f"TABLE({name})", *rows, "END", ""]


def emit(messages):
    note = ["// Derived by regenerate.py from kafka-clients " + ", ".join(RELEASES) + "; do not edit."]
    apis = note + [f"CROSSOVER_API({m.name.removesuffix('Request')}, {m.key})"
                   for m in messages if m.direction == "request"]
    lines = note + [
        "// FIELD(name, type, role, first version, last version, more...)", ""]
    index = []
    for message in messages:
        api = message.name.removesuffix("Request").removesuffix("Response")
        flexible = min(message.flexible, default=NEVER)
        lines.append(f"// {message.name} ({message.key}), versions {min(message.versions)} to {max(message.versions)}, "
                     + ("never flexible" if flexible == NEVER else f"flexible from {flexible}"))
        emit_table(message.name, message, message.fields, [], lines)
        index.append(f"MESSAGE({api}, {message.direction}, {message.name}, {span(message.versions, message.name)}, "
                     f"{flexible})")
    return {"apis.inc": "\n".join(apis) + "\n", "messages.inc": "\n".join(lines + index) + "\n"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="exit 1 with a diff when the files have drifted")
    check = parser.parse_args().check
    drift = False
    for name, wanted in emit(read_union()).items():
        path = HERE / name
        present = path.read_text() if path.exists() else ""
        if not check:
            path.write_text(wanted)
        elif present != wanted:
            drift = True
            sys.stdout.writelines(difflib.unified_diff(present.splitlines(True), wanted.splitlines(True),
                                                       f"{name} (checked in)", f"{name} (from the jars)"))
    return int(drift)


if __name__ == "__main__":
    sys.exit(main())
