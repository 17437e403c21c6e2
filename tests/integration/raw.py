"""Requests that no client library makes: producer ids asked for one by one, and batches written under a given one."""

import itertools
import socket
import struct
import time

import crc32c

PRODUCE, INIT_PRODUCER_ID, DESCRIBE_PRODUCERS = 0, 22, 61
LOADING = 14  # COORDINATOR_LOAD_IN_PROGRESS


class Link:
    """One connection to a broker."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), 30)
        self.correlations = itertools.count(1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def call(self, api, version, body, flexible=False):
        """The answer's body."""
        header = struct.pack(">hhih3s", api, version, next(self.correlations), 3, b"raw") + (b"\0" if flexible else b"")
        self.socket.sendall(struct.pack(">i", len(header + body)) + header + body)
        size = struct.unpack(">i", self._receive(4))[0]
        return self._receive(size)[5 if flexible else 4 :]

    def _receive(self, size):
        data = b""
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            if not more:
                raise OSError("the broker closed the connection")
            data += more
        return data

    def init_producer_id(self):
        while True:
            answer = self.call(INIT_PRODUCER_ID, 1, struct.pack(">hi", -1, 0))
            _, error, producer_id, _ = struct.unpack_from(">ihqh", answer)
            if not error:
                return producer_id
            if error != LOADING:
                raise RuntimeError(f"InitProducerId: error {error}")
            time.sleep(0.1)  # while the broker asks the controller for more


def burn(port, beyond):
    """Takes producer ids from a broker until one is greater than that."""
    with Link(port) as link:
        while link.init_producer_id() <= beyond:
            pass


def active_producers(port, topic, partition):
    """Producer ids that the leader at this port knows of."""
    name = topic.encode()
    body = b"\x02" + bytes([len(name) + 1]) + name + b"\x02" + struct.pack(">i", partition) + b"\0\0"
    with Link(port) as link:
        answer = link.call(DESCRIBE_PRODUCERS, 0, body, flexible=True)
    at = 4 + 1 + 1 + len(name) + 1  # throttle time, topics, name, partitions
    _, error = struct.unpack_from(">ih", answer, at)
    text, at = _varint(answer, at + 6)
    if error:
        raise RuntimeError(f"DescribeProducers: error {error}")
    count, at = _varint(answer, at + max(0, text - 1))
    row = struct.calcsize(">qiiqiq") + 1
    return {struct.unpack_from(">q", answer, at + i * row)[0] for i in range(count - 1)}


def _varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not data[at - 1] & 0x80:
            return value, at


def _zigzag(number):
    number, out = number << 1, b""
    while number >= 0x80:
        out, number = out + bytes([number & 0x7F | 0x80]), number >> 7
    return out + bytes([number])


def batch(producer_id, sequence, value):
    """A batch of one record, format v2."""
    record = b"\0\0\0\x01" + _zigzag(len(value)) + value + b"\0"  # attributes, deltas, no key, value, no headers
    now = int(time.time() * 1000)
    checked = struct.pack(">hiqqqhii", 0, 0, now, now, producer_id, 0, sequence, 1) + _zigzag(len(record)) + record
    return struct.pack(">qiibI", 0, len(checked) + 9, -1, 2, crc32c.crc32c(checked)) + checked


class Producer:
    """Writes to one partition as an idempotent producer of a chosen id, at its leader."""

    def __init__(self, port, topic, partition, producer_id):
        self.link, self.topic, self.partition, self.producer_id = Link(port), topic.encode(), partition, producer_id
        self.sequence = 0

    def write(self, value):
        """The record's offset; an error is an exception."""
        records = batch(self.producer_id, self.sequence, value)
        topic = struct.pack(">h", len(self.topic)) + self.topic
        body = struct.pack(">hhii", -1, -1, 30000, 1) + topic
        body += struct.pack(">iii", 1, self.partition, len(records)) + records
        answer = self.link.call(PRODUCE, 7, body)
        _, error, offset = struct.unpack_from(">ihq", answer, 4 + len(topic) + 4)
        if error:
            raise RuntimeError(f"producer {self.producer_id} at sequence {self.sequence}: error {error}")
        self.sequence += 1
        return offset
