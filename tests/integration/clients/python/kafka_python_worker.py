"""kafka-python."""

import logging

import worker_io
from kafka import ConsumerRebalanceListener, KafkaConsumer, KafkaProducer
from kafka.errors import KafkaError


def produce(args, out):
    settings = {
        "acks": args.acks if args.acks == "all" else int(args.acks),
        "enable_idempotence": args.idempotent == "true",
    }
    if args.retries is not None:
        settings["retries"] = args.retries
    producer = KafkaProducer(bootstrap_servers=args.bootstrap.split(","), **settings)

    def send(partition, number):
        def failed(error):
            out.line(f"F {partition} {number} {error!r}")
            out.line(f"E {error!r}")

        def delivered(metadata):
            out.line(f"A {partition} {number} {metadata.offset if metadata.offset is not None else -1}")

        try:
            future = producer.send(args.topic, worker_io.value(args.id, partition, number), partition=partition)
            future.add_callback(delivered).add_errback(failed)
        except KafkaError as error:
            out.line(f"E {error!r}")

    producer.partitions_for(args.topic)
    first = 0
    if args.warm:
        for partition in range(args.partitions):
            send(partition, 0)
        producer.flush()
        first = args.partitions
    worker_io.ready()
    for record in worker_io.paced(args, first):
        send(*record)
    producer.flush()
    producer.close()


def consume(args, out):
    consumer = KafkaConsumer(
        bootstrap_servers=args.bootstrap.split(","),
        group_id=args.group,
        auto_offset_reset="earliest",
        auto_commit_interval_ms=1000,
        isolation_level=args.isolation,
    )

    class Rewind(ConsumerRebalanceListener):
        seen = set()

        def on_partitions_revoked(self, revoked):
            pass

        def on_partitions_assigned(self, assigned):
            fresh = [partition for partition in assigned if partition not in self.seen]
            self.seen.update(fresh)
            if args.from_beginning and fresh:
                consumer.seek_to_beginning(*fresh)

    consumer.subscribe([args.topic], listener=Rewind())
    # 3.0.12 sometimes hangs for good, on a broker without any proxy too, when metadata of its topic come while it joins:
    # it joins anew, is elected leader and never sends its assignment. So it learns them before it first polls.
    consumer.topics()
    consumer.partitions_for_topic(args.topic)
    told = False
    while not worker_io.stop.is_set():
        try:
            for partition, messages in consumer.poll(timeout_ms=100).items():
                for message in messages:
                    out.line(f"C {partition.partition} {message.offset} {message.value.split(b'|')[0].decode()}")
        except KafkaError as error:
            out.line(f"E {error!r}")
        if not told and consumer.assignment():
            worker_io.ready()
            told = True
    consumer.close()


def main():
    # What a run that never got going did instead stands in its log.
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    args = worker_io.options()
    out = worker_io.Output(args.out)
    (produce if args.verb == "produce" else consume)(args, out)
    out.close()


main()
