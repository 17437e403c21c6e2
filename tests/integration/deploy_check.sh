#!/bin/bash
# Checks deploy/ as far as a machine without a cluster can: deploy_check.sh [CROSSOVER_BINARY]
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
binary=${1:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

echo "systemd unit"
if command -v systemd-analyze >/dev/null; then
  # The executable is not installed here; what matters is the rest of the unit.
  sed "s|/usr/bin/crossover|/bin/true|" "$root/deploy/crossover.service" >"$work/crossover.service"
  said=$(systemd-analyze verify "$work/crossover.service" 2>&1 | grep -F crossover.service || true)
  if [ -n "$said" ]; then
    echo "$said"
    exit 1
  fi
  # 10 is everything exposed, 0 nothing.
  systemd-analyze security --offline=true --threshold=20 "$work/crossover.service" >"$work/security" 2>&1 ||
    { tail -1 "$work/security"; exit 1; }
  tail -1 "$work/security"
else
  echo "  skipped: no systemd-analyze"
fi

echo "manifests, alerts, container file"
python3 - "$root" "$binary" "$work" <<'PYTHON'
import pathlib
import re
import shutil
import subprocess
import sys

import yaml

root, binary, work = pathlib.Path(sys.argv[1]), sys.argv[2], pathlib.Path(sys.argv[3])
try:
    import kubernetes_validate
except ImportError:
    kubernetes_validate = None
    print("  not compared with the Kubernetes schemas: kubernetes-validate is not installed")


def check_manifest(path):
    documents = list(yaml.safe_load_all(path.read_text()))
    for document in documents:
        if kubernetes_validate:
            kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)
    config = next(d for d in documents if d["kind"] == "ConfigMap")
    pod = next(d for d in documents if d["kind"] == "Deployment")["spec"]["template"]["spec"]
    names = [volume["configMap"]["name"] for volume in pod["volumes"]]
    assert names == [config["metadata"]["name"]], f"{path}: the pod mounts {names}"
    settings = yaml.safe_load(config["data"]["crossover.yaml"])
    drain = settings.get("shutdown", {}).get("drain_seconds", 30)
    assert pod["terminationGracePeriodSeconds"] > drain, f"{path}: killed while it drains"
    for service in (d for d in documents if d["kind"] == "Service"):
        ports = {port["port"] for port in service["spec"]["ports"]}
        first, count = settings["broker_ports"]["first"], settings["broker_ports"]["count"]
        assert ports == {9092, *range(first, first + count)}, f"{path}: {ports} are not the listeners"
    if binary:
        file = work / (path.stem + "-config.yaml")
        file.write_text(config["data"]["crossover.yaml"])
        subprocess.run([binary, "validate", str(file)], check=True, stdout=subprocess.DEVNULL)
    print(f"  {path.name}: {len(documents)} objects")


def check_alerts():
    path = root / "deploy/alerts.yaml"
    known = set(re.findall(r"crossover_[a-z_]+", (root / "src/metrics.cc").read_text()))
    rules = [rule for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]
    for rule in rules:
        used = set(re.findall(r"crossover_[a-z_]+", rule["expr"]))
        assert used and used <= known, f"{rule['alert']}: no such metric: {used - known}"
        assert rule["annotations"]["summary"] and rule["annotations"]["description"]
    if shutil.which("promtool"):
        subprocess.run(["promtool", "check", "rules", str(path)], check=True)
    print(f"  alerts.yaml: {len(rules)} rules")


def check_containerfile():
    text = (root / "deploy/Containerfile").read_text().replace("\\\n", " ")
    packages = [word for line in re.findall(r"--no-install-recommends(.*?)&&", text, re.S) for word in line.split()]
    assert packages
    if shutil.which("apt-cache"):
        for package in packages:
            said = subprocess.run(["apt-cache", "policy", package], capture_output=True, text=True).stdout
            assert "Candidate:" in said and "(none)" not in said.split("Candidate:")[1].split("\n")[0], f"no package {package}"
    for copied in re.findall(r"^COPY (?!--from)(\S+)", text, re.M):
        assert (root / copied).exists()
    print(f"  Containerfile: {len(packages)} packages")


for manifest in sorted((root / "deploy").glob("kubernetes-*.yaml")):
    check_manifest(manifest)
check_alerts()
check_containerfile()
PYTHON
echo "deploy: passed"
