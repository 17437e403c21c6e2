#!/bin/bash
# Installs on Debian 12 what building, the demo and the tests need, and says what. What is there already is left alone.
#
#   tests/install.sh                everything
#   tests/install.sh --build-only   what building and the demo on embedded clusters need
#   tests/install.sh --real         what the demo on real clusters needs besides: Java and Maven
#   tests/install.sh --tests        what only the tests need: the above, clang, Chromium, Go, Node
#
# Debian's packages need root or sudo. Kafka, the client libraries, Go and Node come from Maven Central, PyPI, npm and
# the Go module proxy, by their ordinary clients, into ${XDG_CACHE_HOME:-~/.cache}/crossover.
set -euo pipefail
cd "$(dirname "$0")/.."

build="ccache cmake g++ libboost1.81-dev libboost-json1.81-dev libgmock-dev libgtest-dev librdkafka-dev libyaml-cpp-dev
  ninja-build prometheus-cpp-dev python3 python3-venv util-linux zlib1g-dev"
real="maven openjdk-17-jdk-headless"
tests="chromium chromium-driver clang-16 clang-format-14 libclang-rt-16-dev python3-jsonschema python3-selenium
  python3-yaml"

installed() {
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    echo "installing Debian packages needs root or sudo" >&2
    exit 1
  fi
}

debian() {
  local missing=()
  for package in "$@"; do
    installed "$package" || missing+=("$package")
  done
  [ ${#missing[@]} = 0 ] && return
  echo "installing Debian packages: ${missing[*]}"
  local log
  log=$(mktemp)
  if ! { as_root apt-get update -qq &&
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"; } \
    >"$log" 2>&1 </dev/null; then
    tail -n 30 "$log" >&2
    exit 1
  fi
  rm -f "$log"
}

# Says itself what it installs, and prints the tool's folder, which nobody wants here.
language_tools() {
  for tool in go node; do
    tests/integration/clients/install-tools.sh "$tool" >/dev/null
  done
}

# What compares manifests with the Kubernetes schemas is only on PyPI.
python_checks() {
  local where="${XDG_CACHE_HOME:-$HOME/.cache}/crossover/tools/checks"
  [ -e "$where/done" ] && return
  echo "installing kubernetes-validate and PyYAML from PyPI into the user's cache"
  /usr/bin/python3 -m venv "$where"
  "$where/bin/pip" install -q --disable-pip-version-check kubernetes-validate==1.37.0 PyYAML==6.0.3
  touch "$where/done"
}

command -v apt-get >/dev/null || {
  echo "this is not Debian: install the counterparts of $build $real $tests" | tr -s ' \n' ' ' >&2
  echo >&2
  exit 1
}
# shellcheck disable=SC2086  # the lists are to be split
case "${1:-}" in
  --build-only) debian $build ;;
  --real) debian $build $real ;;
  --tests)
    debian $real $tests
    language_tools
    python_checks
    ;;
  "")
    debian $build $real $tests
    language_tools
    python_checks
    ;;
  *)
    sed -n '2,10s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
