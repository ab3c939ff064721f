#!/bin/sh
# The published table is what the gate's results render, its catalogue is what the committed facts give, and nothing in manifests,
# expectations and claims is unfounded. At least 97 % of the observations agree.
. "$(dirname "$0")/lib.sh"
harness=target/release/bevor-harness
"$harness" catalogue --check
"$harness" lint --results target/conformance/results.json
"$harness" table --check --min-agree 97
