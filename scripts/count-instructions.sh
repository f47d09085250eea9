#!/usr/bin/env bash
# Counts the instructions of one transition of the order saga in the core: the same on every machine of a kind, whatever else runs.
#
#   scripts/count-instructions.sh
#
# Needs valgrind. Prints: instructions a transition.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/packages.sh
source scripts/packages.sh
need valgrind valgrind

cargo build --quiet --release --locked -p backstitch-saga --example transitions
program=$(realpath "${CARGO_TARGET_DIR:-target}")/release/examples/transitions

count() { # count SAGAS: instructions of a run with so many sagas.
  valgrind --tool=callgrind --callgrind-out-file=/dev/null "$program" "$1" 2>&1 >/dev/null | sed -n 's/.*Collected : \([0-9]*\).*/\1/p'
}

few=$(count 200)
many=$(count 1200)
echo "$(((many - few) / 5000)) instructions a transition" # 1,000 sagas more, five transitions each.
