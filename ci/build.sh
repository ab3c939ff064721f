#!/bin/sh
# The programs that are shipped.
. "$(dirname "$0")/lib.sh"
cargo build --release --workspace --locked
test -x target/release/bevor
# The switch that takes defences away for tests is not in it.
case $(target/release/bevor do --weaken filter -- /bin/true 2>&1) in
*"unexpected argument '--weaken'"*) ;;
*)
    echo "build: the shipped bevor can be weakened" >&2
    exit 1
    ;;
esac
# Nor are bugs that tests switch on.
case $(target/release/bevor do --mutant none -- /bin/true 2>&1) in
*"unexpected argument '--mutant'"*) ;;
*)
    echo "build: the shipped bevor holds mutants" >&2
    exit 1
    ;;
esac
