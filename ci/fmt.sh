#!/bin/sh
# The sources are formatted.
. "$(dirname "$0")/lib.sh"
cargo fmt --all -- --check
