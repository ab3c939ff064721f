#!/bin/sh
# Random system calls from several threads for 60 seconds (FUZZ_SECONDS): the sandbox outlives them, nothing panics, and at least
# 80 % of the implemented calls have succeeded. Then the gofer's protocol from both sides, for 10 seconds each
# (FUZZ_GOFER_SECONDS): memory and descriptors do not grow either. FUZZ_SEED repeats a run.
. "$(dirname "$0")/lib.sh"
bevor=$PWD/target/release/bevor
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
chmod 755 "$dir"
cc -static -O1 -pthread -Wall -Werror -o "$dir/fuzz" syscall-tests/fuzz/fuzz.c
# CI repeats one seed, so that a change is judged by itself; by hand each run is another.
seed=${FUZZ_SEED:-$([ -n "${CI:-}" ] && echo 1 || date +%s)}
echo "fuzz: seed $seed"
"$bevor" do --debug-log "$dir/log" --bind "$dir:/fuzz:ro" -- /bin/sh -c "FUZZ_IN_SANDBOX=1 /fuzz/fuzz --seed $seed --seconds ${FUZZ_SECONDS:-60} --threads 3 && echo ALIVE" >"$dir/out"
grep -v '^ok ' "$dir/out"
grep -q '^ALIVE$' "$dir/out"
if grep -n 'panicked' "$dir/log"; then
    echo "fuzz: a handler panicked (seed $seed)" >&2
    exit 1
fi
"$bevor" syscalls >"$dir/table"
sed -n 's/^ok \([0-9]*\) .*/\1/p' "$dir/out" >"$dir/ok"
awk -F '[:,"]+' '
    FNR == NR { ok[$1] = 1; next }
    /"answered":false/ { next }
    { all++; if ($3 in ok) hit++; else missed = missed " " $5 }
    END {
        printf "fuzz: %d of %d implemented calls have succeeded; not:%s\n", hit, all, missed
        exit !(hit >= 0.8 * all)
    }' "$dir/ok" "$dir/table"
# The gofer's protocol, as a taken-over sentry would speak it, and as a taken-over gofer would.
export BEVOR_FUZZ_SEED=$seed BEVOR_FUZZ_SECONDS=${FUZZ_GOFER_SECONDS:-10}
cargo test -q --locked -p bevor-gofer --test fuzz -- --nocapture
cargo test -q --locked -p bevor-fs --test hostile_gofer -- --nocapture
