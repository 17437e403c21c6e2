"""Child processes that never outlive the tests, free loopback ports, waiting."""

import atexit
import random
import signal
import socket
import subprocess
import sys
import time

# util-linux's own way to let a child die with its parent: safe beside threads, unlike a hook between fork and exec.
_WITH_PARENT = ["setpriv", "--pdeathsig", "KILL"]
_children = []
_given = set()  # ports, also of what has not started yet


def spawn(command, log, **options):
    """Starts a child that writes to the file `log`. Only from the main thread: it dies with the calling one."""
    with open(log, "ab") as out:
        options = {"stdin": subprocess.DEVNULL, "stdout": out, "stderr": out, **options}
        child = subprocess.Popen([*_WITH_PARENT, *(str(word) for word in command)], **options)
    child.log_path = log
    _children.append(child)
    return child


def alive(child):
    return child is not None and child.poll() is None


def end(children, how=signal.SIGTERM, patience=30, before_kill=None):
    """Signals all, waits, then kills what is left. Returns the children that had to be killed."""
    children = [child for child in children if alive(child)]
    for child in children:
        child.send_signal(how)
    deadline = time.monotonic() + patience
    killed = []
    for child in children:
        try:
            child.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            if before_kill:
                before_kill(child)
            child.kill()
            child.wait()
            killed.append(child)
    return killed


@atexit.register
def _end_all():
    end(_children, signal.SIGKILL)


def exit_on_sigterm():
    """Lets atexit run on SIGTERM too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def wait_until(what, ready, limit, children=(), pause=0.1):
    """Polls ready() until it is true and returns that; fails with the logs' ends when a child died or time is up."""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        answer = ready()
        if answer:
            return answer
        for child in children:
            if not alive(child):
                raise RuntimeError(f"{what}: process {child.pid} ended with {child.returncode}\n{tail(child.log_path)}")
        time.sleep(pause)
    logs = "\n".join(tail(child.log_path) for child in children)
    raise RuntimeError(f"{what}: not within {limit} s\n{logs}")


def tail(path, lines=25):
    try:
        with open(path, errors="replace") as log:
            return "".join(log.readlines()[-lines:]) + f"(log: {path})"
    except OSError as problem:
        return str(problem)


def free_ports(count=1):
    """`count` consecutive free ports below the ephemeral range: no client's own socket takes one in a restart."""
    for _ in range(200):
        base = random.randrange(11000, 32000 - count)
        ports = range(base, base + count)
        if _given.isdisjoint(ports) and all(map(is_free, ports)):
            _given.update(ports)
            return base
    raise RuntimeError("no free ports")


def is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
