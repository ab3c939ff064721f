#!/bin/sh
# Unit and integration tests of every crate.
. "$(dirname "$0")/lib.sh"
# One sandbox at a time: many tests start whole ones, and beside each other on two CPUs they measure the machine's patience. (By hand they run
# in parallel; `forged_requests_and_claims_are_refused` then hangs now and then, which is a bug that is not understood yet.)
export RUST_TEST_THREADS="${RUST_TEST_THREADS:-1}"
cargo test --workspace --locked
