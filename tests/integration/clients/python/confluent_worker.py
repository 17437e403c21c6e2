"""librdkafka's newest release, through confluent-kafka."""

import confluent_transform
import worker_io
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer


def produce(args, out):
    settings = {
        "bootstrap.servers": args.bootstrap,
        "acks": args.acks,
        "enable.idempotence": args.idempotent == "true",
        "error_cb": lambda error: out.line(f"E {error.name()} {error.str()}"),
    }
    if args.idempotent != "true":
        # Without idempotence a retry could overtake what is in flight, on any cluster.
        settings["max.in.flight.requests.per.connection"] = 1
    if args.retries is not None:
        settings["retries"] = args.retries
    producer = Producer(settings)
    pauses = worker_io.Pauses(out)
    # An idempotent one knows of some records by the acknowledgement of a later batch, without an offset: the library
    # tells that as it would tell an answer without one.
    not_told = -2 if args.idempotent == "true" else -1

    def send(partition, number):
        def delivered(error, message):
            if error is not None:
                out.line(f"F {partition} {number} {error.name()} {error.str()}")
                out.line(f"E {error.name()} {error.str()}")
            else:
                pauses.acknowledged()
                offset = message.offset()
                out.line(f"A {partition} {number} {not_told if offset is None or offset < 0 else offset}")

        while True:
            try:
                producer.produce(
                    args.topic, worker_io.value(args.id, partition, number), partition=partition, on_delivery=delivered
                )
                return
            except BufferError:
                producer.poll(0.01)
            except KafkaException as problem:
                out.line(f"E {problem}")
                return

    producer.list_topics(args.topic, timeout=30)
    first = 0
    if args.warm:
        for partition in range(args.partitions):
            send(partition, 0)
        producer.flush()
        first = args.partitions
    worker_io.ready()
    # Serves callbacks as they come, so that pauses are told as they were.
    for record in worker_io.paced(args, first, producer.poll):
        send(*record)
    producer.flush()


def consume(args, out):
    consumer = Consumer(
        {
            "bootstrap.servers": args.bootstrap,
            "group.id": args.group,
            "auto.offset.reset": "earliest",
            "auto.commit.interval.ms": 1000,
            "isolation.level": args.isolation,
            "error_cb": lambda error: out.line(f"E {error.name()} {error.str()}"),
        }
    )
    told = False

    def assigned(consumer, partitions):
        nonlocal told
        if args.from_beginning:
            for partition in partitions:
                partition.offset = -2
        consumer.assign(partitions)
        if not told:
            worker_io.ready()
        told = True

    consumer.subscribe([args.topic], on_assign=assigned)
    while not worker_io.stop.is_set():
        for message in consumer.consume(500, timeout=0.1):
            if message.error() is None:
                out.line(f"C {message.partition()} {message.offset()} {message.value().split(b'|')[0].decode()}")
            elif message.error().code() != KafkaError._PARTITION_EOF:
                out.line(f"E {message.error().name()} {message.error().str()}")
    consumer.close()


def transform(args, out):
    try:
        confluent_transform.Transform(args, out).run()
    finally:
        out.close()


def main():
    args = worker_io.options()
    out = worker_io.Output(args.out)
    {"produce": produce, "consume": consume, "transform": transform}[args.verb](args, out)
    out.close()


main()
