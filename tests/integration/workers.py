"""Starts client workers: what each client is, and one process of it."""

import functools
import signal
import time
from pathlib import Path

from . import install, process, verify

CLIENTS = install.HERE / "clients"


def _java(version):
    return lambda: [
        "java",
        "-Xmx192m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        *install.java_logging("ERROR"),
        "-cp",
        f"{install.java_worker()}:{install.client_jars(version)}/*",
        "Worker",
    ]


def _streams():
    return [
        "java",
        "-Xmx256m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        *install.java_logging("WARN"),
        "-cp",
        f"{install.streams_application()}:{install.streams_jars()}/*",
        "Application",
    ]


def _python(name, packages=install.PYTHON_PACKAGES):
    return lambda: [install.venv_python(packages), CLIENTS / "python" / f"{name}_worker.py"]


@functools.cache
def _build(name):
    """A client in a folder of its own, built by its build.sh into the cache."""
    install.run(CLIENTS / name / "build.sh")
    return install.CACHE.parent / "clients" / name / "worker"


def _built(name):
    return lambda: [_build(name)]


# client -> how to get the command of its worker
COMMANDS = {
    "java-4.4.0": _java("4.4.0"),
    "java-4.3.1": _java("4.3.1"),
    "java-2.8.2": _java("2.8.2"),
    "java-3.4.1": _java("3.4.1"),
    "confluent": _python("confluent"),
    "confluent-2.8.2": _python("confluent", install.OLDER_PYTHON_PACKAGES),
    "librdkafka-2.0.2": lambda: [install.cpp_worker()],
    "kafka-python": _python("kafka_python"),
    "franz": _built("franz"),
    "sarama": _built("sarama"),
    "kafkajs": _built("kafkajs"),
    "kafkago": _built("kafkago"),
    "streams": _streams,  # only transforms
}
PYTHON = {"confluent", "confluent-2.8.2", "kafka-python"}
BUILT = {"franz", "sarama", "kafkajs", "kafkago"}
ONLY_TRANSACTIONS = {"java-3.4.1", "confluent-2.8.2", "streams"}
NOT_IDEMPOTENT = {"kafkago"}  # has no idempotent producer


class Worker:
    """One worker process; a producer's id is its name. Its output file is `out`, what it prints else goes to `log`."""

    def __init__(self, client, verb, folder, name, **options):
        self.client, self.name, self.acks = client, name, options.get("acks")
        self.look = None  # what to print when it hangs
        self.out, self.log = Path(folder) / f"{name}.out", Path(folder) / f"{name}.log"
        words = [verb] + (["--id", name] if verb != "consume" else [])
        for key, value in (options | {"out": self.out}).items():
            words += [f"--{key.replace('_', '-')}"] + ([] if value is True else [str(value)])
        self.out.touch()
        self.log.touch()
        # stdin stays open: its end tells the worker to stop, also when this harness is killed.
        self.child = process.spawn([*COMMANDS[client](), *words], self.log, stdin=process.subprocess.PIPE)

    def wait_ready(self, limit=90):
        process.wait_until(
            f"{self.client} {self.name}", lambda: "READY" in self.log.read_text(errors="replace"), limit, [self.child]
        )
        return self

    def stop(self, patience=60):
        """Lets it flush and close; a worker that ends otherwise than asked is an error of its own."""
        killed = process.end([self.child], patience=patience, before_kill=self.tell_where_it_stands)
        if killed or self.child.returncode not in (0, -15):
            raise RuntimeError(
                f"{self.client} {self.name} ended with {self.child.returncode}{' (killed)' if killed else ''}\n"
                + process.tail(self.log)
            )

    def tell_where_it_stands(self, _=None):
        """A worker that hangs is looked at before it is killed: its stacks, and what the proxy has of its connections."""
        if self.client in PYTHON and process.alive(self.child):
            self.child.send_signal(signal.SIGUSR1)
            time.sleep(0.5)
        if self.look:
            print(f"{self.client} {self.name} hangs; {self.look()}", flush=True)

    def count(self, kind):
        return sum(line.startswith(kind + " ") for line in verify.lines(self.out))


def stop_all(workers, patience=60):
    """Stops all at the same time."""
    for worker in workers:
        if process.alive(worker.child):
            worker.child.terminate()
    for worker in workers:
        worker.stop(patience)


def wait_consumed(producers, consumers, limit=60, still=15):
    """After the producers ended: until consumers saw all acknowledged records, or nothing for `still` s."""
    expected = {}
    for producer in producers:
        for partition, number in verify.read_producer(producer.out, verify.Verdict()):
            expected[f"{producer.name}:{partition}:{number}"] = True
    deadline, moved, positions, left = time.monotonic() + limit, time.monotonic(), {}, set(expected)
    while left and time.monotonic() < min(deadline, moved + still):
        for consumer in consumers:
            with open(consumer.out, "rb") as file:
                file.seek(positions.get(consumer.name, 0))
                data = file.read()
            whole = data[: data.rfind(b"\n") + 1]
            positions[consumer.name] = positions.get(consumer.name, 0) + len(whole)
            if whole:
                moved = time.monotonic()
            for line in whole.decode(errors="replace").splitlines():
                if line.startswith("C "):
                    left.discard(line.split(" ", 3)[3])
        time.sleep(0.2)
    return left


def verdict(producers, consumers):
    return verify.verify(
        {producer.name: producer.out for producer in producers},
        [consumer.out for consumer in consumers],
        unanswered(producers),
    )


def unanswered(producers):
    return {producer.name for producer in producers if producer.acks == "0"}


def have(client):
    """Whether this checkout has the client's worker."""
    return client not in BUILT or (CLIENTS / client / "build.sh").exists()


def measured():
    """The clients of the matrix."""
    return [client for client in COMMANDS if have(client) and client not in ONLY_TRANSACTIONS]
