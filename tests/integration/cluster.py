"""Real Apache Kafka clusters on loopback: KRaft in combined mode, or 2.8.2 with ZooKeeper.

    python3 -m tests.integration.cluster up --brokers 3 --version 4.3.1 [--set key=value ...] [--nodes-from 101]
runs one until Ctrl-C. In tests:
    with Cluster("source", brokers=3) as source: ... source.bootstrap ... source.kill(2); source.start(2)
"""

import argparse
import base64
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

from . import install, process

HEAP = ["-Xms96m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
SMALL_HEAP = ["-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]


class Cluster:
    """Brokers have the node ids first_id, first_id + 1, ... and are addressed by them. `features` are finalized levels that
    are not the version's own; with `relayed` clients that come by `entrance` stay on ports where a relay listens."""

    def __init__(
        self,
        name,
        brokers=3,
        version="4.3.1",
        first_id=1,
        properties=None,
        folder=None,
        archive=True,
        features=None,
        relayed=False,
    ):
        self.name, self.version, self.first_id = name, version, first_id
        self.zookeeper = install.version_of(version) < (3, 0)
        self.extra = dict(properties or {})
        self.jars = install.broker_jars(version)
        self.archive = class_archive(version) if archive else None
        self.folder = Path(folder or tempfile.mkdtemp(prefix=f"crossover-{name}-"))
        self.owns_folder = folder is None
        self.cluster_id = _uuid_text()
        self.voters = {}
        self.features = dict(features or {})
        self.ports = {}
        self.relayed = {}  # node -> the relay's port and the broker's behind it
        self.children = {}
        self.zookeeper_child = None
        self.copies = 3 if brokers >= 3 else 1
        for node in range(first_id, first_id + brokers):
            self.ports[node] = process.free_ports()
            if relayed:
                self.relayed[node] = process.free_ports(), process.free_ports()
            if not self.zookeeper:
                self.voters[node] = process.free_ports()

    # ---- the whole cluster ----

    def __enter__(self):
        return self.up()

    def __exit__(self, *_):
        self.down()

    def up(self, wait=True):
        if self.zookeeper:
            self._start_zookeeper()
        for node in self.ports:
            self._write_properties(node)
        if not self.zookeeper:
            self._format()
        for node in self.ports:
            self._spawn(node)
        if wait:
            self.wait()
        return self

    def down(self, keep=False):
        process.end([child for child in self.children.values()], signal.SIGKILL)
        process.end([self.zookeeper_child] if self.zookeeper_child else [], signal.SIGKILL)
        if self.owns_folder and not keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def bootstrap(self):
        return ",".join(f"127.0.0.1:{port}" for port in self.ports.values())

    @property
    def entrance(self):
        """Where the proxy comes in."""
        return ",".join(
            f"127.0.0.1:{self.relayed[node][0] if self.relayed else port}" for node, port in self.ports.items()
        )

    def running(self):
        return [node for node in self.ports if process.alive(self.children.get(node))]

    def wait(self, nodes=None, limit=120):
        """Until each named broker answers and knows all that run."""
        nodes = self.running() if nodes is None else nodes
        wanted = set(self.running())
        process.wait_until(
            f"cluster {self.name}",
            lambda: all(brokers_known(self.ports[n]) >= wanted for n in nodes),
            limit,
            [self.children[n] for n in nodes],
            pause=0.2,
        )

    # ---- single brokers ----

    def stop(self, node):
        process.end([self.children[node]], signal.SIGTERM, 60)

    def kill(self, node):
        process.end([self.children[node]], signal.SIGKILL)

    def suspend(self, node):
        """A broker that keeps its connections and answers nothing."""
        self.children[node].send_signal(signal.SIGSTOP)

    def resume(self, node):
        self.children[node].send_signal(signal.SIGCONT)

    def start(self, node, wait=True):
        self._spawn(node)
        if wait:
            self.wait([node])

    def restart(self, node):
        self.stop(node)
        self.start(node)

    def change_port(self, node):
        """The same broker at another address."""
        self.stop(node)
        self.ports[node] = process.free_ports()
        self._write_properties(node)
        self.start(node)
        return self.ports[node]

    def add(self):
        """One more broker, in KRaft without a controller role; returns its id."""
        node = max(self.ports) + 1
        self.ports[node] = process.free_ports()
        self._write_properties(node)
        if not self.zookeeper:
            self._clone_format(node)
        self._spawn(node)
        self.wait([node])
        return node

    def remove(self, node):
        """Takes a broker away for good. It must lead and hold nothing any more."""
        if self.voters.get(node):
            raise ValueError("a controller cannot be removed")
        self.stop(node)
        del self.ports[node]
        if not self.zookeeper:
            self.tool(
                "org.apache.kafka.tools.ClusterTool",
                "unregister",
                "--bootstrap-server",
                self.bootstrap,
                "--id",
                str(node),
            )

    def tool(self, main, *args, check=True):
        return run_tool(main, *args, check=check)

    # ---- inside ----

    def _path(self, node):
        return self.folder / f"broker-{node}"

    def _write_properties(self, node):
        self._path(node).mkdir(parents=True, exist_ok=True)
        text = "".join(f"{key}={value}\n" for key, value in {**self._properties(node), **self.extra}.items())
        (self._path(node) / "server.properties").write_text(text)

    def _properties(self, node):
        copies = self.copies
        common = {
            "log.dirs": self._path(node) / "data",
            "default.replication.factor": copies,
            "min.insync.replicas": min(2, copies),
            "offsets.topic.replication.factor": copies,
            "offsets.topic.num.partitions": 3,
            "transaction.state.log.replication.factor": copies,
            "transaction.state.log.num.partitions": 3,
            "transaction.state.log.min.isr": min(2, copies),
            "group.initial.rebalance.delay.ms": 0,
            "auto.create.topics.enable": "false",
            "num.network.threads": 2,
            "num.io.threads": 4,
            "log.cleaner.dedupe.buffer.size": 16777216,
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.ports[node]}",
            "controlled.shutdown.enable": "true",
            "broker.rack": f"rack{node % 3}",
        }
        listener = f"PLAINTEXT://127.0.0.1:{self.ports[node]}"
        if self.zookeeper:
            return common | {
                "broker.id": node,
                "listeners": listener,
                "zookeeper.connect": f"127.0.0.1:{self.zookeeper_port}",
                "zookeeper.connection.timeout.ms": 30000,
            }
        is_voter = node in self.voters
        names = {"PLAINTEXT": (self.ports[node], self.ports[node])}
        if self.relayed:
            names["RELAYED"] = self.relayed[node]
        bound = ",".join(f"{name}://127.0.0.1:{own}" for name, (_, own) in names.items())
        kraft = {
            "process.roles": "broker,controller" if is_voter else "broker",
            "node.id": node,
            "controller.quorum.voters": ",".join(f"{n}@127.0.0.1:{port}" for n, port in self.voters.items()),
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,RELAYED:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "listeners": bound + (f",CONTROLLER://127.0.0.1:{self.voters[node]}" if is_voter else ""),
            "advertised.listeners": ",".join(f"{name}://127.0.0.1:{told}" for name, (told, _) in names.items()),
        }
        if install.version_of(self.version) >= (4, 0):
            kraft |= {
                "share.coordinator.state.topic.replication.factor": copies,
                "share.coordinator.state.topic.min.isr": min(2, copies),
                "share.coordinator.state.topic.num.partitions": 3,
            }
        return common | kraft

    def _format(self):
        """Formats the first broker with Kafka's tool and copies the result: a JVM less per broker."""
        properties = self._path(self.first_id) / "server.properties"
        words = ["format", "-t", self.cluster_id, "-c", properties]
        for feature, level in self.features.items():
            words += ["--feature", f"{feature}={level}"]
        install.run(*java(self.jars, "kafka.tools.StorageTool", *words, opts=SMALL_HEAP))
        for node in self.ports:
            if node != self.first_id:
                self._clone_format(node)

    def _clone_format(self, node):
        source, data = self._path(self.first_id) / "data", self._path(node) / "data"
        data.mkdir(parents=True)
        for name in ("bootstrap.checkpoint", "meta.properties"):
            if (source / name).exists():
                shutil.copy(source / name, data / name)
        own = {"node.id": str(node), "directory.id": _uuid_text()}
        lines = (data / "meta.properties").read_text().splitlines()
        changed = [
            f"{line.split('=')[0]}={own.get(line.split('=')[0], line.partition('=')[2])}"
            for line in lines
            if "=" in line
        ]
        (data / "meta.properties").write_text("\n".join(changed) + "\n")

    def _spawn(self, node):
        if process.alive(self.children.get(node)):
            raise RuntimeError(f"broker {node} runs already")
        opts = [*HEAP, *([f"-XX:SharedArchiveFile={self.archive}", "-Xlog:disable"] if self.archive else [])]
        command = java(self.jars, "kafka.Kafka", self._path(node) / "server.properties", opts=opts, level="INFO")
        self.children[node] = process.spawn(command, self._path(node) / "log", cwd=self._path(node))

    def _start_zookeeper(self):
        where = self.folder / "zookeeper"
        where.mkdir(parents=True)
        self.zookeeper_port = process.free_ports()
        (where / "zookeeper.properties").write_text(
            f"dataDir={where}/data\nclientPort={self.zookeeper_port}\nclientPortAddress=127.0.0.1\n"
            "admin.enableServer=false\nmaxClientCnxns=0\n"
        )
        command = java(
            self.jars,
            "org.apache.zookeeper.server.quorum.QuorumPeerMain",
            where / "zookeeper.properties",
            opts=SMALL_HEAP,
            level="INFO",
        )
        self.zookeeper_child = process.spawn(command, where / "log", cwd=where)
        process.wait_until("ZooKeeper", lambda: _accepts(self.zookeeper_port), 60, [self.zookeeper_child])


def java(jars, main, *args, opts=(), level="WARN"):
    return ["java", *opts, *install.java_logging(level), "-cp", f"{jars}/*", main, *args]


def run_tool(main, *args, check=True):
    """One of Kafka's command line tools by its class; returns what it printed on standard output."""
    command = [str(word) for word in java(install.tool_jars(), main, *args, opts=SMALL_HEAP, level="ERROR")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if check and done.returncode:
        raise RuntimeError(f"{main} {args}: {done.stdout}{done.stderr}")
    return done.stdout


def class_archive(version):
    """A shared class archive, made by one run of one broker: halves the time and the processor seconds of a start."""
    with install.once(install.CACHE / "archive" / version) as part:
        if part:
            once = Cluster(f"archive-{version}", brokers=1, version=version, archive=False)
            HEAP.append(f"-XX:ArchiveClassesAtExit={part / 'classes.jsa'}")
            try:
                once.up()
                once.stop(once.first_id)
            finally:
                HEAP.pop()
                once.down()
            if not (part / "classes.jsa").exists():
                raise RuntimeError("the JVM wrote no class archive")
    return install.CACHE / "archive" / version / "classes.jsa"


def brokers_known(port):
    """Ids of the live brokers that the one at this port tells of; empty when it does not answer."""
    # Metadata v1, no topics.
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as link:
            link.settimeout(2)
            body = struct.pack(">hhih4si", 3, 1, 1, 4, b"wait", 0)
            link.sendall(struct.pack(">i", len(body)) + body)
            size = struct.unpack(">i", link.recv(4, socket.MSG_WAITALL))[0]
            data = link.recv(size, socket.MSG_WAITALL)
        count, at, ids = struct.unpack_from(">i", data, 4)[0], 8, set()
        for _ in range(count):
            node, host_size = struct.unpack_from(">ih", data, at)
            at += 6 + host_size + 4
            at += 2 + max(0, struct.unpack_from(">h", data, at)[0])
            ids.add(node)
        return ids
    except (OSError, struct.error):
        return set()


def _accepts(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def _uuid_text():
    """Kafka's text of a random id. Its tools take one that starts with a dash for an option."""
    raw = uuid.uuid4().bytes
    return base64.urlsafe_b64encode(bytes([raw[0] & 0x7F]) + raw[1:]).decode().rstrip("=")


def main():
    parser = argparse.ArgumentParser(
        prog="cluster", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("verb", choices=["up"])
    parser.add_argument("--brokers", type=int, default=3)
    parser.add_argument("--version", default="4.3.1")
    parser.add_argument("--nodes-from", type=int, default=1)
    parser.add_argument("--set", action="extend", nargs="+", default=[], metavar="KEY=VALUE")
    args = parser.parse_args()
    process.exit_on_sigterm()
    began = time.monotonic()
    properties = dict(item.split("=", 1) for item in args.set)
    with Cluster("cluster", args.brokers, args.version, args.nodes_from, properties) as cluster:
        print(
            f"bootstrap {cluster.bootstrap}\nlogs {cluster.folder}\npid {os.getpid()}\n"
            f"up in {time.monotonic() - began:.1f} s",
            flush=True,
        )
        try:
            signal.pause()
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
