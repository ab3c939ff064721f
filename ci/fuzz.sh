#!/bin/bash
# Random system calls from several processes for 60 seconds: the sandbox outlives them and serves a bystander all the while, nothing panics,
# what is killed ends, what the kernel keeps is given back, its processes do not grow, and every call that is answered has succeeded.
#   ci/fuzz.sh [SECONDS]        ci/full calls it with its own number of seconds, e.g. 1800
# FUZZ_SEED repeats a run; FUZZ_FIRST begins with a later round of it; BEVOR is another program to test; FUZZ_GROWTH is how many KiB the
# sandbox's processes may grow by. On failure one command that repeats it is printed.
. "$(dirname "$0")/lib.sh"
bevor=${BEVOR:-$PWD/target/release/bevor}
seconds=${1:-${FUZZ_SECONDS:-60}}
# CI repeats one seed, so that a change is judged by itself; by hand each run is another.
seed=${FUZZ_SEED:-$([ -n "${CI:-}" ] && echo 1 || date +%s)}
first=${FUZZ_FIRST:-0}
growth=${FUZZ_GROWTH:-8192}
dir=$(mktemp -d)
chmod 755 "$dir"
mkdir -m 1777 "$dir/rw"
mkdir "$dir/bin"
command=
cleanup() {
    [ -z "$command" ] || kill -KILL "$command" 2>/dev/null || true
    umount "$dir/rw" 2>/dev/null || true
    rm -rf "$dir"
}
trap cleanup EXIT
cc -static -O1 -pthread -Wall -Wextra -Werror -o "$dir/bin/fuzz" syscall-tests/fuzz/*.c

# The writable bind has a file system of its own where that can be had: random sizes must not fill the machine's disk.
bind=(--bind "$dir/bin:/fuzz:ro")
if mount -t tmpfs -o size=64m,mode=1777 none "$dir/rw" 2>/dev/null; then
    bind+=(--bind "$dir/rw:/rw")
else
    echo "fuzz: no tmpfs could be mounted: runs without a writable bind"
fi

failed() {
    echo "fuzz: $1" >&2
    [ ! -e "$dir/log" ] || tail -n 20 "$dir/log" >&2
    echo "fuzz: repeat with: FUZZ_SEED=$seed FUZZ_FIRST=${2:-$first} BEVOR=$bevor ci/fuzz.sh 60" >&2
    exit 1
}

# What sentry and gofer are doing, for a hang.
stacks() {
    for task in /proc/[0-9]*/task/*; do
        pid=${task#/proc/}
        pid=${pid%%/*}
        case " $sentry $gofer " in
        *" $pid "*) echo "$task $(cat "$task/comm") $(cat "$task/wchan" 2>/dev/null) $(cat "$task/syscall" 2>/dev/null)" >&2 ;;
        esac
    done
    ! command -v gdb >/dev/null 2>&1 || gdb -p "$sentry" -batch -ex 'thread apply all bt 12' >&2 2>/dev/null || true
}

# KiB of memory and number of descriptors of a process.
memory() { awk '/^Pss:/ { print $2; exit }' "/proc/$1/smaps_rollup" 2>/dev/null || awk '/^VmRSS:/ { print $2 }' "/proc/$1/status"; }
descriptors() { ls "/proc/$1/fd" | wc -l; }

echo "fuzz: seed $seed, $seconds seconds"
mkfifo "$dir/in" "$dir/out"
FUZZ_IN_SANDBOX=1 "$bevor" do --debug-log "$dir/log" --file-memory 256M "${bind[@]}" -- \
    /fuzz/fuzz --seed "$seed" --seconds "$seconds" --threads 3 --first "$first" --wait 1 <"$dir/in" >"$dir/out" &
command=$!
exec 3>"$dir/in" 4<"$dir/out"
sentry= gofer= base= last= round=$first ended=
: >"$dir/ok"
while true; do
    status=0
    IFS= read -r -t 120 line <&4 || status=$?
    if [ "$status" -gt 128 ]; then
        stacks
        failed "nothing was heard for 120 seconds after round $round" "$round"
    fi
    [ "$status" = 0 ] || break
    case $line in
    "ok "*) echo "$line" >>"$dir/ok" ;;
    calm*)
        if [ -z "$sentry" ]; then
            # Of the command's two children, the sentry is the one that has further processes.
            for child in $(cat "/proc/$command/task/$command/children"); do
                if [ -n "$(cat "/proc/$child/task/$child/children")" ]; then sentry=$child; else gofer=$child; fi
            done
        fi
        read -r _ round rest <<<"$line"
        last="$(memory "$sentry") $(descriptors "$sentry") $(memory "$gofer") $(descriptors "$gofer")"
        # The first batches fill caches: what is compared with comes after them.
        batches=$((${batches:-0} + 1))
        [ "$batches" != 5 ] || base=$last
        if [ "$batches" = 1 ] || [ "$batches" = 5 ] || [ $((batches % 50)) = 0 ]; then
            read -r sm sf gm gf <<<"$last"
            echo "round $round: sentry $sm KiB, $sf descriptors; gofer $gm KiB, $gf descriptors; $rest"
        fi
        echo go >&3
        ;;
    *) echo "$line" ;;
    esac
done
wait "$command" || ended=$?
command=
[ -z "$ended" ] || failed "the run ended with status $ended after round $round" $((round > first + 8 ? round - 8 : first))
! grep -n 'panicked' "$dir/log" || failed "a handler panicked" "$first"
read -r sm sf gm gf <<<"$last"
echo "fuzz: at the end, round $round: sentry $sm KiB, $sf descriptors; gofer $gm KiB, $gf descriptors; $rest"
if [ -n "$base" ]; then
    read -r bsm bsf bgm bgf <<<"$base"
    [ "$sm" -le $((bsm + growth)) ] || failed "the sentry grew from $bsm to $sm KiB"
    [ "$gm" -le $((bgm + growth)) ] || failed "the gofer grew from $bgm to $gm KiB"
    [ "$sf" -le $((bsf + 64)) ] || failed "the sentry's descriptors grew from $bsf to $sf"
    [ "$gf" -le $((bgf + 64)) ] || failed "the gofer's descriptors grew from $bgf to $gf"
fi
"$bevor" syscalls >"$dir/table"
sed -n 's/^ok \([0-9]*\) .*/\1/p' "$dir/ok" >"$dir/succeeded"
awk -F '[:,"]+' '
    FILENAME ~ /succeeded$/ { ok[$1] = 1; next }
    /"answered":false/ { next }
    { all++; if ($3 in ok) hit++; else missed = missed " " $5 }
    END {
        printf "fuzz: %d of %d implemented calls have succeeded\n", hit, all
        if (missed) { printf "fuzz: never:%s\n", missed; exit 1 }
    }' "$dir/succeeded" "$dir/table" || [ "$seconds" -lt 60 ] || failed "calls were not reached"
