"""Starts the made-up proxy on a free port and stops it."""
import contextlib
import subprocess


@contextlib.contextmanager
def fake_proxy(binary):
    command = [binary, "run", "--source", "source.example:9092", "--target", "target.example:9092", "--admin", "127.0.0.1:0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        if not line.startswith("admin endpoint at port "):
            raise RuntimeError(f"the made-up proxy did not start: {line!r}")
        yield f"127.0.0.1:{int(line.split()[-1])}"
    finally:
        process.terminate()
        if process.wait(timeout=20) != 0:
            raise RuntimeError(f"the made-up proxy ended with {process.returncode}")
