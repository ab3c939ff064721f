#!/bin/sh
# Conformance: the probes natively and in Bevor, compared with the recorded differences, in every mode that must not matter.
. "$(dirname "$0")/lib.sh"
harness=target/release/bevor-harness
if ! [ -x "$harness" ] || ! "$harness" --help 2>/dev/null | grep -q selfcheck; then
    echo "gate: no $harness that has checks; build it with ci/build.sh" >&2
    exit 1
fi
"$harness" selfcheck
# As it is; on the root's overlay and on a bind mount in place of a tmpfs; when the stub answers nothing itself; and when blocked calls
# are dropped and made again at random.
set --
for column in bevor bevor-overlay bevor-bind bevor-local-off bevor-torture; do
    set -- "$@" --runtime "$column" --require "$column"
done
"$harness" run "$@"
