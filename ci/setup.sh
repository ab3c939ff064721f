#!/bin/sh
# What the other steps need beside cargo and rustc.
. "$(dirname "$0")/lib.sh"
have cargo cargo rustc
have cc gcc libc6-dev
have setpriv util-linux
have strace strace
cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt
cargo clippy --version >/dev/null 2>&1 || rustup component add clippy
cargo fetch --locked
