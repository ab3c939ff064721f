#!/bin/sh
# Conformance: the probes natively and in Bevor, compared with the recorded differences.
. "$(dirname "$0")/lib.sh"
harness=target/release/bevor-harness
if ! [ -x "$harness" ] || ! "$harness" --help 2>/dev/null | grep -q selfcheck; then
    echo "gate: the harness has no checks yet; nothing to run"
    exit 0
fi
"$harness" selfcheck
"$harness" run
