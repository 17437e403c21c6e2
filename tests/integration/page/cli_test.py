#!/usr/bin/env python3
"""The command line as people and scripts use it: output, exit codes, completion."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from fake_proxy import fake_proxy

ROOT = pathlib.Path(__file__).resolve().parents[3]


class CommandLine:
    def __init__(self, binary):
        self.binary = binary

    def __call__(self, *words, expect=0, **environment):
        clean = {key: value for key, value in os.environ.items() if key != "CROSSOVER_ADMIN"}
        done = subprocess.run([self.binary, *words], capture_output=True, text=True, env={**clean, **environment}, timeout=60)
        assert done.returncode == expect, f"{words}: {done.returncode}, expected {expect}\n{done.stdout}{done.stderr}"
        return done.stdout if expect == 0 else done.stdout + done.stderr


def check_usage(crossover):
    assert crossover("--version").startswith("crossover ")
    commands = ["run", "validate", "config", "status", "cutover", "rollback", "recover", "routes", "log-level", "completion"]
    for command in commands:
        assert command in crossover("--help")
        assert "Usage: crossover " + command in crossover(command, "--help")
    for wrong in [(), ("fly",), ("status", "x"), ("status", "--loud"), ("status", "--json", "--json"), ("status", "--admin"),
                  ("status", "--json=1"), ("validate",), ("cutover", "a", "b"), ("cutover", "a/b"), ("routes", "--define", "a"),
                  ("routes", "r", "--define", "a", "--delete"), ("log-level",), ("completion", "tcsh"), ("status", "--admin", "9644"),
                  ("run",), ("run", "--source", "a:1"), ("run", "--source", "a", "--target", "b:1")]:
        crossover(*wrong, expect=2)


def check_config(crossover):
    for example in sorted((ROOT / "config").glob("*.example.yaml")):
        assert "valid" in crossover("validate", str(example))
    with tempfile.TemporaryDirectory() as folder:
        wrong = pathlib.Path(folder) / "wrong.yaml"
        wrong.write_text("admin:\n  listen: 9644\nsurprise: 1\n")
        said = crossover("validate", str(wrong), expect=1)
        assert f"{wrong}:2: admin.listen: expected HOST:PORT" in said and f"{wrong}:3: surprise: unknown key" in said, said
        effective = crossover("config", "--source", "a:1", "--target", "[::1]:2", "--listen", "127.0.0.1:7000")
        assert "first: 7001" in effective and "[::1]:2" in effective, effective
        file = pathlib.Path(folder) / "effective.yaml"
        file.write_text(effective)
        assert crossover("config", "--config", str(file)) == effective
    assert "source.bootstrap: missing" in crossover("config", expect=1)


def check_admin(crossover, address):
    assert "no answer" in crossover("status", "--admin", "127.0.0.1:1", expect=1)
    here = {"CROSSOVER_ADMIN": address}
    status = crossover("status", **here)
    assert "✔ source" in status and "WARNING: writes that bypassed the proxy" in status, status
    assert json.loads(crossover("status", "--json", "--admin", address))["version"]
    assert "orders" in crossover("routes", **here)
    assert "[source 0…41,200) [target 41,200…59,500) [source 59,500…∞)" in crossover("routes", "orders", "--topic", "orders", **here)
    assert "would go ahead" in crossover("cutover", "orders", "--dry-run", **here)
    report = crossover("cutover", "orders", **here)
    for part in ["cutover done, generation 3", "✔  replicas in sync", "drain", "Held requests: 250", "source at 46,200"]:
        assert part in report, report
    assert "nothing to do" in crossover("cutover", "orders", **here)
    assert json.loads(crossover("rollback", "orders", "--json", **here))["result"] == "done"
    assert "there is no route nope" in crossover("cutover", "nope", expect=1, **here)
    crossover("routes", "new", "--define", "a,b", **here)
    crossover("routes", "orders", "--delete", **here)
    assert "the body does not define a route" in crossover("routes", "new", "--define", "a b", expect=1, **here)
    crossover("log-level", "debug", **here)
    assert "not a log level" in crossover("log-level", "loud", expect=1, **here)


def check_completion(crossover):
    for shell in ["bash", "zsh", "fish"]:
        script = crossover("completion", shell)
        assert "cutover" in script and "dry-run" in script
        if shutil.which(shell):
            subprocess.run([shell, "-n"], input=script, text=True, check=True)
    ask = crossover("completion", "bash") + "COMP_WORDS=(crossover cutover --d); COMP_CWORD=2; _crossover; echo ${COMPREPLY[@]}"
    assert subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True).stdout.strip() == "--dry-run"


def main():
    crossover = CommandLine(sys.argv[1])
    check_usage(crossover)
    check_config(crossover)
    check_completion(crossover)
    with fake_proxy(sys.argv[1]) as address:
        check_admin(crossover, address)
    print("command line: passed")


if __name__ == "__main__":
    main()
