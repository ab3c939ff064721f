#!/bin/sh
# The microbenchmark, natively and in Bevor: prints the ratios and keeps them as JSON (BENCH_JSON). No figure fails the step.
. "$(dirname "$0")/lib.sh"
json=${BENCH_JSON:-target/bench.json}
target/release/bevor-harness bench --variants base,pinned --repeat "${BENCH_REPEAT:-1}" --json "$json"
test -s "$json"
