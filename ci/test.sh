#!/bin/sh
# Unit and integration tests of every crate.
. "$(dirname "$0")/lib.sh"
cargo test --workspace --locked
