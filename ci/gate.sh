#!/bin/sh
# Conformance: the probes natively and in Bevor, compared with the recorded differences, in every mode that must not matter.
. "$(dirname "$0")/lib.sh"
harness=target/release/bevor-harness
if ! [ -x "$harness" ] || ! "$harness" --help 2>/dev/null | grep -q selfcheck; then
    echo "gate: no $harness that has checks; build it with ci/build.sh" >&2
    exit 1
fi
"$harness" selfcheck
"$harness" run
# A sandbox has a /tmp of its own; this repository may lie in the host's.
case $PWD/ in
/tmp/*) bind="--bind $PWD/target/release:$PWD/target/release:ro" ;;
*) bind= ;;
esac
# The same differences when the stub answers nothing itself, and when blocked calls are dropped and made again at random.
for mode in --local-calls=off --torture=1; do
    echo "gate: bevor do $mode"
    "$harness" run --json "target/conformance/bevor$mode.json" --runtime "bevor=$PWD/target/release/bevor do --boot-nonce {nonce} $bind $mode --"
done
