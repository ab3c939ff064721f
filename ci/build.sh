#!/bin/sh
# The programs that are shipped.
. "$(dirname "$0")/lib.sh"
cargo build --release --workspace --locked
test -x target/release/bevor
