#!/usr/bin/env bash
# Runs the clients of other makers (tests/clients) on a real Kafka and on the embedded broker, with the same expectations, and checks
# that the table in docs/kafka-clients.md says what they showed.
#
#   clients.sh                 both brokers, then the table
#   clients.sh --write         the same, and writes the table anew
#   clients.sh --full          all of librdkafka's suite that can run, some 20 minutes a broker; the rest as above
#   clients.sh --only NAMES    these clients alone (names as tests/clients/run.py has them, separated by commas), without the table
#
# The brokers listen on free loopback ports, keep their data in a temporary folder and are gone when it ends. Java, Maven, Node, Go, kcat,
# a C++ compiler and make are needed; scripts/test gets what is missing.
#
# Environment:
#   BACKSTITCH_TEST_PYTHON   a Python with what scripts/requirements.txt names; scripts/test makes one
#   BACKSTITCH_TEST_BROKER   the program that serves an embedded broker; default target/debug/examples/embedded
#   KAFKA_JARS               the folder that real-kafka.sh has fetched into
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() { sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}" >&2; exit 2; }

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
broker=${BACKSTITCH_TEST_BROKER:-$target/debug/examples/embedded}
python=${BACKSTITCH_TEST_PYTHON:-$target/venv/bin/python}
export KAFKA_JARS=${KAFKA_JARS:-$target/kafka}

write=no only=no run_options=()
while [ $# -gt 0 ]; do
  case $1 in
    --write) write=yes; shift ;;
    --full) run_options+=(--full); shift ;;
    --only) only=yes; run_options+=(--only "${2:?--only needs names}"); shift 2 ;;
    *) usage ;;
  esac
done
[ -x "$broker" ] || { echo "clients.sh: $broker is not there: cargo build -p backstitch-broker --example embedded" >&2; exit 1; }
[ -x "$python" ] || { echo "clients.sh: $python is not there: scripts/test --only clients makes it" >&2; exit 1; }

scratch=$(mktemp -d /tmp/backstitch-clients.XXXXXX)
embedded_pids=()
leave() {
  local status=$? pid
  trap - EXIT INT TERM
  for pid in ${embedded_pids[@]+"${embedded_pids[@]}"}; do kill "$pid" 2>/dev/null || true; done
  for dir in "$scratch"/kafka*; do [ ! -d "$dir" ] || scripts/real-kafka.sh remove "$dir" || true; done
  rm -rf "$scratch"
  exit "$status"
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# start_kafka NAME PROPERTIES: prints its address. As librdkafka's suite and LogCompactionTester want it: four partitions where nobody
# says how many, groups that wait a moment for company, small segments, a cleaner that is quick, and records of any age that stay.
start_kafka() {
  KAFKA_PROPERTIES="num.partitions=4;group.initial.rebalance.delay.ms=150;log.segment.bytes=1048576;log.cleaner.backoff.ms=500;log.cleaner.min.cleanable.ratio=0.01;log.retention.ms=-1;$2" \
    scripts/real-kafka.sh start "$scratch/$1" 0
}

# start_embedded NAME [OPTION…]: leaves its address in $address. It serves until its standard input is closed.
start_embedded() {
  local name=$1
  shift
  mkfifo "$scratch/$name.in"
  "$broker" --path "$scratch/$name.db" --port 0 "$@" <"$scratch/$name.in" >"$scratch/$name.address" 2>"$scratch/$name.log" &
  embedded_pids+=($!)
  # shellcheck disable=SC2034 # It is held open, and not written to.
  exec {held}>"$scratch/$name.in"
  until [ -s "$scratch/$name.address" ]; do
    kill -0 "${embedded_pids[-1]}" 2>/dev/null || { cat "$scratch/$name.log" >&2; echo "clients.sh: the embedded broker did not start" >&2; exit 1; }
    sleep 0.05
  done
  address=$(cat "$scratch/$name.address")
}

failed=no
run() { # run LABEL ADDRESS ADDRESS_THAT_MAKES_NO_TOPICS
  "$python" tests/clients/run.py --label "$1" --bootstrap "$2" --no-auto-create "$3" --results "$target/clients/$1.json" \
    ${run_options[@]+"${run_options[@]}"} || failed=yes
}

mkdir -p "$target/clients"
kafka=$(start_kafka kafka "")
kafka_without=$(start_kafka kafka-without "auto.create.topics.enable=false")
run kafka "$kafka" "$kafka_without"
scripts/real-kafka.sh remove "$scratch/kafka"
scripts/real-kafka.sh remove "$scratch/kafka-without"

start_embedded embedded --auto-create
embedded=$address
start_embedded embedded-without
run embedded "$embedded" "$address"

if [ "$only" = no ] && [ "$failed" = yes ]; then
  echo "clients.sh: not as expected, so the table is left as it is" >&2
elif [ "$only" = no ]; then
  table=(tests/clients/table.py "$target/clients/kafka.json" "$target/clients/embedded.json")
  [ "$write" = yes ] || table+=(--check)
  "$python" "${table[@]}" || failed=yes
fi
[ "$failed" = no ]
