/* Words in shared memory wake across processes; private ones don't reach the other's copy. */
#include "probe.h"

static int child(void *at)
{
	int32_t *words = at;
	words[1] = (int32_t)-sys(futex, &words[0], FUTEX_WAIT, 0, NULL);
	return 7;
}

PROBE("futex/shared", "wake", "child", "file")
{
	int32_t *words = pages(1, true);
	words[1] = 99;
	long pid = spawn(child, words);
	await_waiters(&words[0], 0, 0, 1);
	long r = sys(futex, &words[0], FUTEX_WAKE, 10);
	int status = reap(pid);
	observe("wake", "futex", ret_int(r), ARGS(f_int("op", FUTEX_WAKE)), STATE(f_int("child_result", words[1])));
	observe("child", "wait4", ret_int(status), ARGS(), STATE(f_int("exit", WEXITSTATUS(status))));
	put_file("f", "\0\0\0\0\0\0\0\0", 8);
	long fd = must(sys(openat, AT_FDCWD, "f", O_RDWR));
	int32_t *one = (int32_t *)must(sys(mmap, NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	int32_t *two = (int32_t *)must(sys(mmap, NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	pid = spawn(child, one);
	await_waiters(&one[0], 0, 0, 1);
	r = sys(futex, &two[0], FUTEX_WAKE, 10);
	/* A wake that didn't reach the child must not leave it behind. */
	if (r != 1)
		sys(kill, pid, SIGKILL);
	status = reap(pid);
	observe("file", "futex", ret_int(r), ARGS(f_int("op", FUTEX_WAKE)), STATE(f_hex("status", (uint64_t)status)));
}
