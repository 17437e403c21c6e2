#!/bin/sh
# Builds ${XDG_CACHE_HOME:-~/.cache}/crossover/clients/kafkajs/worker.
set -eu
cd "$(dirname "$0")"
out="${XDG_CACHE_HOME:-$HOME/.cache}/crossover/clients/kafkajs"
tools="$(../install-tools.sh node)"
PATH="$tools:$PATH"
mkdir -p "$out"
cp package.json package-lock.json "$out"
# npm ci begins by removing what is installed: only when the pinned versions changed.
if ! cmp -s package-lock.json "$out/installed.json"; then
  (cd "$out" && npm ci --silent --no-audit --no-fund)
  cp package-lock.json "$out/installed.json"
fi
cp worker.js "$out"
printf '#!/bin/sh\nexec "%s/node" "%s/worker.js" "$@"\n' "$tools" "$out" >"$out/worker"
chmod +x "$out/worker"
