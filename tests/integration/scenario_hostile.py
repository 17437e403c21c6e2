"""Peers that misbehave: the proxy's memory stays bounded, its log says what happened, other clients notice nothing."""

import os
import socket
import struct
import time
from contextlib import ExitStack, contextmanager

from . import process
from .lab import Traffic

MEMORY_MIB = 200  # that an attack may add


def _connect(lab):
    link = socket.create_connection(("127.0.0.1", lab.proxy.listen), 5)
    link.settimeout(10)
    return link


def _closed_by_peer(link):
    try:
        while link.recv(65536):
            pass
        return True
    except ConnectionError:
        return True
    except TimeoutError:
        return False


@contextmanager
def _others_unaffected(lab, flip=True):
    """A Java client works through the attack and a flip in the middle of it; memory stays bounded."""
    lab.bring_home("source")
    traffic = Traffic(lab, "java-4.4.0", lab.topic("bystander"), rate=1000).wait_ready()
    traffic.flows(500)
    before = lab.proxy.resident_mib()
    yield
    traffic.flows(500)
    if flip:
        lab.flip("cutover", limit=10)
    traffic.flows(500)
    grown = lab.proxy.resident_mib() - before
    assert grown < MEMORY_MIB, f"{grown} MiB more"
    traffic.expect_clean()


def scenario_idle_connections(lab, settings):
    with ExitStack() as links, _others_unaffected(lab):
        for _ in range(1000):
            links.enter_context(_connect(lab))
        process.wait_until(
            "1000 connections in status",
            lambda: lab.proxy.call("GET", "/v1/connections")[1]["count"] >= 1000,
            20,
        )


def scenario_huge_frame_length(lab, settings):
    """A length of 100 MiB is within a broker's own limit: accepted, but memory is only taken for bytes that came."""
    with ExitStack() as links, _others_unaffected(lab):
        position = lab.proxy.log_size()
        for length in (100 << 20, (100 << 20) + 1, 0x7FFFFFFF, -1, -0x80000000):
            for _ in range(20):
                link = links.enter_context(_connect(lab))
                link.sendall(struct.pack(">i", length) + b"\0" * 64)
                if not 0 <= length <= 100 << 20:
                    assert _closed_by_peer(link), f"a frame of {length} bytes was not refused"
        process.wait_until(
            "the log to tell why connections were closed", lambda: "frame length" in lab.proxy.log_since(position), 5
        )


def scenario_real_huge_frames(lab, settings):
    """Clients that do send what they announce, all at once, are slowed, not bought memory for without limit."""
    with ExitStack() as links, _others_unaffected(lab, flip=False):
        chunk = b"\0" * 65536
        for _ in range(10):
            link = links.enter_context(_connect(lab))
            link.settimeout(0.5)
            # Metadata v1 with a topic count that the rest must prove wrong.
            head = struct.pack(">hhih", 3, 1, 1, -1) + struct.pack(">i", 1 << 20)
            try:
                link.sendall(struct.pack(">i", 90 << 20) + head)
                for _ in range(64):  # 4 MiB each
                    link.sendall(chunk)
            except OSError:
                pass


def scenario_garbage(lab, settings):
    with ExitStack() as links, _others_unaffected(lab):
        position = lab.proxy.log_size()
        for _ in range(50):
            link = links.enter_context(_connect(lab))
            try:
                link.sendall(os.urandom(4096))
            except OSError:
                continue
        for words in (
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500,
        ):
            link = links.enter_context(_connect(lab))
            link.sendall(words)
            assert _closed_by_peer(link), f"{words[:8]} was not refused"
        # A well-formed header of an unknown API, of an unknown version, and a Produce cut short.
        for body in (
            struct.pack(">hhih", 9999, 0, 1, -1),
            struct.pack(">hhih", 3, 999, 1, -1),
            struct.pack(">hhih", 0, 7, 1, -1) + b"\xff" * 6,
        ):
            link = links.enter_context(_connect(lab))
            link.sendall(struct.pack(">i", len(body)) + body)
            link.shutdown(socket.SHUT_WR)
            assert _closed_by_peer(link)
        assert lab.proxy.log_since(position), "the log says nothing of it"


def scenario_half_open_client(lab, settings):
    """A peer that stops in the middle of a frame and one that never reads its answers."""
    with ExitStack() as links, _others_unaffected(lab):
        for _ in range(20):
            links.enter_context(_connect(lab)).sendall(b"\0\0")
        request = struct.pack(">hhih", 3, 1, 1, -1) + struct.pack(">i", -1)
        for _ in range(5):
            link = links.enter_context(_connect(lab))
            link.setblocking(False)
            deadline = time.monotonic() + 3
            while time.monotonic() < deadline:
                try:
                    link.send((struct.pack(">i", len(request)) + request) * 100)
                except BlockingIOError:
                    time.sleep(0.01)
                except OSError:
                    break


def scenario_broker_that_stops_answering(lab, settings):
    """A frozen broker keeps its connections: clients of the other brokers go on, and it is taken back when it wakes."""
    lab.bring_home("source")
    frozen = max(lab.source.ports)
    others = [node for node in lab.source.ports if node != frozen]
    # Two replicas, none of them frozen: their leaders answer all the time.
    topic = lab.topic("elsewhere", assignment=[[others[p % 2], others[(p + 1) % 2]] for p in range(4)])
    traffic = Traffic(lab, "java-4.4.0", topic, partitions=4, rate=1000).wait_ready()
    traffic.flows(500)
    before = lab.proxy.resident_mib()
    lab.source.suspend(frozen)
    try:
        for _ in range(3):
            traffic.flows(1000, limit=15)
        assert lab.proxy.call("GET", "/v1/status", timeout=5)[0] == 200
    finally:
        lab.source.resume(frozen)
    process.wait_until("the broker's return", lambda: lab.proxy.call("GET", "/readyz")[0] == 200, 30)
    lab.bring_home("target", limit=60)
    traffic.flows(500)
    assert lab.proxy.resident_mib() - before < MEMORY_MIB
    traffic.expect_clean(allow=["errors"])
