"""Fetches what the end-to-end tests run, each once, into the user's cache: jars, a Python environment, workers."""

import fcntl
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "crossover" / "integration"
TOOLS_VERSION = "4.3.1"  # the newest whose tools are published; they speak to every broker from 2.1
PYTHON_PACKAGES = ["confluent-kafka==2.16.1", "kafka-python==3.0.12", "lz4", "crc32c"]
# librdkafka before it gave up brokers that the cluster does not list for a while (2.10); see scenario_cuts.py.
OLDER_PYTHON_PACKAGES = ["confluent-kafka==2.8.2"]
APT_PACKAGES = "openjdk-17-jdk-headless maven python3-venv g++ librdkafka-dev"


def version_of(text):
    return tuple(int(part) for part in text.split(".")[:2])


@contextmanager
def once(path):
    """Yields a folder to fill, or None when an earlier run filled it. A run that breaks off leaves nothing behind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_name(path.name + ".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():
            yield None
            return
        part = path.with_name(path.name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        yield part
        part.rename(path)


def run(*command, **options):
    done = subprocess.run(
        [str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options
    )
    if done.returncode:
        raise RuntimeError(
            f"{' '.join(str(word) for word in command)}\n{done.stdout}\nDebian packages needed: {APT_PACKAGES}"
        )
    return done.stdout


def _maven(out, version, profiles):
    if version_of(version) < (4, 0):
        log = ["-Dlog.group=org.slf4j", "-Dlog.artifact=slf4j-reload4j", "-Dlog.version=1.7.36"]
    else:
        log = []
    run(
        "mvn",
        "-q",
        "-B",
        "-f",
        HERE / "pom.xml",
        "dependency:copy-dependencies",
        "-DincludeScope=runtime",
        f"-Dkafka.version={version}",
        f"-DoutputDirectory={out}",
        *log,
        *(["-P" + profiles] if profiles else []),
    )


def broker_jars(version):
    with once(CACHE / "broker" / version) as part:
        if part:
            _maven(part, version, "broker")
    return CACHE / "broker" / version


def client_jars(version):
    with once(CACHE / "client" / version) as part:
        if part:
            _maven(part, version, "")
    return CACHE / "client" / version


def streams_jars():
    with once(CACHE / "streams" / TOOLS_VERSION) as part:
        if part:
            _maven(part, TOOLS_VERSION, "streams")
    return CACHE / "streams" / TOOLS_VERSION


def tool_jars():
    with once(CACHE / "tools" / TOOLS_VERSION) as part:
        if part:
            _maven(part, TOOLS_VERSION, "broker,tools")
    return CACHE / "tools" / TOOLS_VERSION


def java_logging(level):
    return [
        f"-Dcrossover.level={level}",
        f"-Dlog4j2.configurationFile={HERE}/log4j2.properties",
        f"-Dlog4j.configuration=file:{HERE}/log4j.properties",
    ]


def java_worker():
    """Classes of the Java worker: compiled against the oldest client it runs with."""
    return _compiled("java", client_jars("2.8.2"))


def streams_application():
    return _compiled("streams", streams_jars(), "java")


def _compiled(client, jars, *more):
    sources = [source for folder in (client, *more) for source in sorted((HERE / "clients" / folder).glob("*.java"))]
    path = CACHE / f"{client}-worker-{max(map(_stamp, sources))}"
    with once(path) as part:
        if part:
            run("javac", "--release", "11", "-Xlint:-options", "-cp", f"{jars}/*", "-d", part, *sources)
    return path


def cpp_worker():
    source = HERE / "clients" / "librdkafka" / "worker.cc"
    path = CACHE / f"librdkafka-worker-{_stamp(source)}"
    with once(path) as part:
        if part:
            run("g++", "-std=c++20", "-O1", "-Wall", "-Wextra", "-Werror", source, "-lrdkafka++", "-o", part / "worker")
    return path / "worker"


def _stamp(source):
    return format(int(source.stat().st_mtime_ns) & 0xFFFFFFFFFFFF, "x")


def _venv(packages):
    return CACHE / ("venv-" + "-".join(package.replace("==", "") for package in packages))


def venv_ready():
    return (_venv(PYTHON_PACKAGES) / "done").exists()


def venv_python(packages=PYTHON_PACKAGES):
    """The interpreter of an environment with these Python clients. A changed list of packages makes a new one."""
    path = _venv(packages)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_name(path.name + ".lock"), "w") as lock:  # not once(): an environment cannot be moved
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (path / "done").exists():
            shutil.rmtree(path, ignore_errors=True)
            run(sys.executable, "-m", "venv", path)
            run(path / "bin/pip", "install", "-q", *packages)
            (path / "done").touch()
    return path / "bin" / "python"


def enter_venv(module):
    """Goes on as the same program under the environment's interpreter, so that the harness has the clients too."""
    python = venv_python()
    if Path(sys.prefix).resolve() == python.parent.parent.resolve():
        return
    os.chdir(ROOT)
    os.execv(python, [str(python), "-m", module, *sys.argv[1:]])


def install_all(versions=("4.3.1",)):
    tool_jars()
    for version in versions:
        broker_jars(version)
    for version in ("4.4.0", "4.3.1", "3.4.1", "2.8.2"):
        client_jars(version)
    java_worker()
    streams_application()
    cpp_worker()
    venv_python()
    venv_python(OLDER_PYTHON_PACKAGES)


if __name__ == "__main__":
    install_all(sys.argv[1:] or ["4.3.1"])
