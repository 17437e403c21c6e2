#!/bin/sh
# Builds ${XDG_CACHE_HOME:-~/.cache}/crossover/clients/franz/worker.
set -eu
cd "$(dirname "$0")"
out="${XDG_CACHE_HOME:-$HOME/.cache}/crossover/clients/franz"
PATH="$(../install-tools.sh go):$PATH"
mkdir -p "$out"
GOTOOLCHAIN=local go build -trimpath -o "$out/worker" .
