"""The built proxy as a process, and its admin API."""

import json
import os
import urllib.error
import urllib.request

from . import install, process

BINARY = os.environ.get("CROSSOVER_BIN") or install.ROOT / "build" / "src" / "crossover"
PORTS = 64  # the bootstrap listener's and the virtual brokers'


class FlipFailed(Exception):
    pass


class Proxy:
    """Keeps its addresses over restarts, so that clients find it again."""

    def __init__(self, source, target, folder, settings=""):
        self.source, self.target, self.folder = source, target, folder
        self.listen = process.free_ports(PORTS)
        self.admin = process.free_ports()
        self.config = folder / "proxy.yaml"
        self.config.write_text(f"broker_ports:\n  count: {PORTS - 1}\nshutdown:\n  drain_seconds: 2\n{settings}")
        self.log = folder / "proxy.log"
        self.child = None

    @property
    def bootstrap(self):
        return f"127.0.0.1:{self.listen}"

    def start(self, crash_at=None, wait=True):
        environment = dict(os.environ) | ({"CROSSOVER_CRASH_AT": crash_at} if crash_at else {})
        if not os.access(BINARY, os.X_OK):
            raise RuntimeError(f"no proxy at {BINARY}: build it first, or name it in CROSSOVER_BIN")
        command = [
            BINARY,
            "run",
            "--source",
            self.source,
            "--target",
            self.target,
            "--listen",
            self.bootstrap,
            "--admin",
            f"127.0.0.1:{self.admin}",
            "--config",
            self.config,
        ]
        self.child = process.spawn(command, self.log, env=environment)
        if wait:
            process.wait_until("the proxy", self.ready, 60, [self.child])
        return self

    def ready(self):
        try:
            return self.call("GET", "/readyz", timeout=2)[0] == 200
        except OSError:
            return False

    def stop(self):
        return process.end([self.child], patience=40)

    def kill(self):
        process.end([self.child], process.signal.SIGKILL)

    def call(self, method, path, body=None, timeout=90):
        """(status code, decoded JSON or text)."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.admin}{path}", data, method=method, headers={"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return answer.status, _decoded(answer.read())
        except urllib.error.HTTPError as problem:
            return problem.code, _decoded(problem.read())

    def status(self):
        return self.call("GET", "/v1/status")[1]

    def route(self, name="default"):
        return next(route for route in self.status()["routes"] if route["route"] == name)

    def home(self, route="default"):
        return self.route(route)["home"]

    def flip(self, direction, route="default"):
        """cutover or rollback; the report, or FlipFailed with the gates that stood in the way."""
        code, report = self.call("POST", f"/v1/routes/{route}/{direction}")
        if not isinstance(report, dict) or report.get("result") not in ("done", "unchanged"):
            raise FlipFailed(f"{direction} answered {code}: {_why(report)}")
        return report

    def log_size(self):
        return os.path.getsize(self.log)

    def log_since(self, position):
        with open(self.log, errors="replace") as log:
            log.seek(position)
            return log.read()

    def resident_mib(self):
        with open(f"/proc/{self.child.pid}/status") as status:
            return next(int(line.split()[1]) // 1024 for line in status if line.startswith("VmRSS"))


class Direct:
    """Stands in for the proxy where clients connect to the source itself: the baseline, without flips."""

    def __init__(self, source):
        self.bootstrap = source

    def start(self):
        return self

    def stop(self):
        return []

    kill = stop

    def home(self):
        return "source"

    def flip(self, direction):
        return {"direction": direction, "result": "unchanged"}


def _decoded(data):
    try:
        return json.loads(data)
    except ValueError:
        return data.decode(errors="replace")


def _why(report):
    if not isinstance(report, dict):
        return report
    closed = [f"{gate['name']}: {gate.get('detail')}" for gate in report.get("gates", []) if not gate.get("ok", True)]
    return f"{report.get('error') or report.get('result')} {closed}"
