#!/bin/sh
# What the other steps need beside cargo and rustc.
. "$(dirname "$0")/lib.sh"
have cargo cargo rustc
have cc gcc libc6-dev
have setpriv util-linux
have dmesg util-linux
have unshare util-linux
have strace strace
# Programs that tests run in the sandbox.
have perl perl-base
have python3 python3
have git git
have make make
have find findutils
have gzip gzip
have tar tar
# libc's static half has no program to look for.
echo 'int main(void) { return 0; }' | cc -static -x c -o /dev/null - || {
    echo "ci: cc cannot link statically; install libc6-dev" >&2
    exit 1
}
cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt
cargo clippy --version >/dev/null 2>&1 || rustup component add clippy
cargo fetch --locked
