"""Transactions with librdkafka's newest release: reads, writes and commits positions in one."""

import time

import worker_io
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition


class Transform:
    def __init__(self, args, out):
        self.args, self.out = args, out
        common = {
            "bootstrap.servers": args.bootstrap,
            "error_cb": lambda error: out.line(f"E connection {error.name()} {error.str()}"),
        }
        self.producer = Producer(common | {"transactional.id": args.id})
        self.consumer = Consumer(
            common
            | {
                "group.id": args.group,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
            }
        )
        self.number, self.open, self.told = 0, False, False

    def run(self):
        try:
            self._persistently(self.producer.init_transactions)
            self.consumer.subscribe([self.args.topic], on_assign=self._assigned, on_revoke=self._revoked)
            while not worker_io.stop.is_set():
                self._guarded(self._step)
            self._guarded(self._finish)
            self.consumer.close()
        except KafkaException as problem:
            self.out.line(f"E fatal {problem}")
            raise

    def _guarded(self, work):
        """What an application does about an error: abort, go back to what is committed, go on."""
        try:
            work()
        except KafkaException as problem:
            self.out.line(f"E abortable {problem}")
            if problem.args[0].fatal():
                raise
            self._abort("undone")

    def _step(self):
        for message in self.consumer.consume(self.args.every, timeout=0.05):
            if message.error() is None:
                self._begin()
                self._send(message)
            elif message.error().code() != KafkaError._PARTITION_EOF:
                self.out.line(f"E retriable {message.error()}")
        self.producer.poll(0)
        if self.open and (
            self.records >= self.args.every or time.monotonic() - self.began >= self.args.interval / 1000
        ):
            self._finish()

    def _begin(self):
        if not self.open:
            self.producer.begin_transaction()
            self.open, self.records, self.next, self.began = True, 0, {}, time.monotonic()
            self.number += 1

    def _send(self, message):
        value, partition = worker_io.transformed(self.args, message.value(), message.partition(), self.number)
        while True:
            try:
                self.producer.produce(self.args.output, value, partition=partition)
                break
            except BufferError:
                self.producer.poll(0.01)
        self.next[message.partition()] = message.offset() + 1
        self.records += 1

    def _finish(self):
        if not self.open:
            return
        if self.args.abort_every and self.number % self.args.abort_every == 0:
            # Aborted before its first partition is added (the coordinator still finishes the one before), librdkafka ends
            # a transaction that the coordinator has not seen: INVALID_TXN_STATE, fatal.
            self.producer.flush()
            self._abort("aborted")
            return
        places = [TopicPartition(self.args.topic, partition, offset) for partition, offset in self.next.items()]
        group = self.consumer.consumer_group_metadata()
        self._persistently(lambda: self.producer.send_offsets_to_transaction(places, group))
        self._persistently(self.producer.commit_transaction)
        self._tell("committed")

    def _abort(self, word):
        if self.open:
            self._persistently(self.producer.abort_transaction)
            self._tell(word)
        for place in self._committed_positions():
            self.consumer.seek(TopicPartition(place.topic, place.partition, max(place.offset, -2)))

    def _committed_positions(self):
        """Of a coordinator that has just been killed librdkafka gives up here, where it goes on elsewhere."""
        for left in reversed(range(20)):
            try:
                return self.consumer.committed(self.consumer.assignment(), timeout=30)
            except KafkaException as problem:
                if not left:
                    raise
                self.out.line(f"E retriable {problem}")
                time.sleep(0.5)

    def _persistently(self, call):
        """librdkafka says which errors a call may simply be repeated after."""
        for left in reversed(range(10)):
            try:
                return call()
            except KafkaException as problem:
                if not problem.args[0].retriable() or not left:
                    raise
                self.out.line(f"E retriable {problem}")

    def _tell(self, word):
        self.out.line(f"T {self.number} {word} {self.records}")
        self.open = False

    def _assigned(self, consumer, partitions):
        if not self.told:
            worker_io.ready()
        self.told = True

    def _revoked(self, consumer, partitions):
        self._guarded(self._finish)
