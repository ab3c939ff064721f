#!/bin/sh
# Programs in Bevor: every script in ci/e2e, each runnable alone.
. "$(dirname "$0")/lib.sh"
ran=0
for script in ci/e2e/*.sh; do
    [ -e "$script" ] || continue
    echo "e2e: $script"
    BEVOR=$PWD/target/release/bevor bash "$script"
    ran=$((ran + 1))
done
echo "e2e: $ran scripts"
