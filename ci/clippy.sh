#!/bin/sh
# No warning, in any target.
. "$(dirname "$0")/lib.sh"
cargo clippy --workspace --all-targets --locked -- -D warnings
