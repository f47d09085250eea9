#!/usr/bin/env bash
# The loss test: `backstitch broker` is killed with -9 every 3 s while three clients of other makers write, and an outside checker says
# whether anything that was acknowledged is lost, doubled, out of order or visible though aborted. First the checker is shown planted faults.
#
#   loss.sh                      as long as BACKSTITCH_LOSS_SECONDS says; default 40
#   loss.sh --seconds 600        ten minutes; all options are those of tests/clients/loss/loss.py, see --help
#   loss.sh --plain              without transactions: every commit of records is nothing but appends
#
# Java, Maven and Go are needed; scripts/test --only loss gets what is missing.
#
# Environment:
#   BACKSTITCH_LOSS_SECONDS   seconds of writing; default 40
#   BACKSTITCH_BIN            the program whose `broker` is killed; default target/debug/backstitch
#   BACKSTITCH_TEST_PYTHON    a Python with what scripts/requirements.txt names; scripts/test makes one
#   KAFKA_JARS                the folder that real-kafka.sh has fetched into
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
python=${BACKSTITCH_TEST_PYTHON:-$target/venv/bin/python}
export BACKSTITCH_BIN=${BACKSTITCH_BIN:-$target/debug/backstitch}
export KAFKA_JARS=${KAFKA_JARS:-$target/kafka}
[ -x "$BACKSTITCH_BIN" ] || { echo "loss.sh: $BACKSTITCH_BIN is not there: cargo build --bin backstitch" >&2; exit 2; }
[ -x "$python" ] || { echo "loss.sh: $python is not there: scripts/test --only loss makes it" >&2; exit 2; }

"$python" tests/clients/loss/judge_test.py
exec "$python" tests/clients/loss/loss.py --seconds "${BACKSTITCH_LOSS_SECONDS:-40}" "$@"
