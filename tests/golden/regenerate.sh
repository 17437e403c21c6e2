#!/bin/sh
# Rewrites the golden bytes from their foreign makers; with --check only compares. Needs JDK 17, Maven, Go and gzip.
set -eu
cd "$(dirname "$0")"
kafka_newest=4.4.0
kafka_older="2.8.2 3.9.1" # for versions that the newest dropped, each only what those before it do not have

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

java_run() { # kafka version, class, arguments, file to leave out
  mvn -q -B -f java -Dkafka.version="$1" -Dgolden.exclude="${4:-none}" -Dgolden.target="$work/$1" \
    compile exec:java -Dexec.mainClass="golden.$2" -Dexec.args="$3" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
}

java_run "$kafka_newest" Messages "$work/kafka-clients.tsv"
java_run "$kafka_newest" Batches "$work/batches.tsv"
for version in $kafka_older; do
  java_run "$version" Messages "$work/more.tsv $work/kafka-clients.tsv" '**/Batches.java'
  cat "$work/more.tsv" >>"$work/kafka-clients.tsv"
done
(cd go && go run . >"$work/franz-go.tsv")

status=0
for name in kafka-clients franz-go batches; do
  if [ "${1:-}" != --check ]; then
    gzip -9nc "$work/$name.tsv" >"$name.tsv.gz"
  elif ! gzip -dc "$name.tsv.gz" | cmp -s - "$work/$name.tsv"; then
    echo "$name.tsv.gz is not what its maker writes; run regenerate.sh" >&2
    status=1
  fi
done
exit $status
