#!/bin/bash
# Random packets in the gofer's protocol, from both sides at once: as a sentry that was taken over would send requests, and as a gofer that
# was taken over would answer them. Nothing panics, hangs or grows, and no answer is believed that cannot be.
#   ci/fuzz-gofer.sh [SECONDS]        BEVOR_FUZZ_SEED repeats a run
. "$(dirname "$0")/lib.sh"
export BEVOR_FUZZ_SECONDS=${1:-${FUZZ_GOFER_SECONDS:-10}}
export BEVOR_FUZZ_SEED=${BEVOR_FUZZ_SEED:-$([ -n "${CI:-}" ] && echo 1 || date +%s)}
echo "fuzz-gofer: seed $BEVOR_FUZZ_SEED, $BEVOR_FUZZ_SECONDS seconds"
# Built one after the other, run at once.
cargo test -q --locked -p bevor-gofer --test fuzz --no-run
cargo test -q --locked -p bevor-fs --test hostile_gofer --no-run
cargo test -q --locked -p bevor-gofer --test fuzz -- --nocapture &
gofer=$!
status=0
cargo test -q --locked -p bevor-fs --test hostile_gofer -- --nocapture || status=1
wait "$gofer" || status=1
[ "$status" = 0 ] || echo "fuzz-gofer: repeat with: BEVOR_FUZZ_SEED=$BEVOR_FUZZ_SEED ci/fuzz-gofer.sh $BEVOR_FUZZ_SECONDS" >&2
exit "$status"
