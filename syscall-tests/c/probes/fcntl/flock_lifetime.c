/* A flock belongs to the open description: duplicates and children keep it, its last close and nothing before releases it. */
#include "probe.h"
#include <sys/file.h>

static long a;
static int other(void)
{
	long b = must(sys(openat, AT_FDCWD, "f", O_RDWR));
	int e = err_of(sys(flock, b, LOCK_EX | LOCK_NB));
	must(sys(close, b));
	return e;
}
static int closes(void *arg)
{
	(void)arg;
	return (int)-sys(close, a);
}
static int unlocks(void *arg)
{
	(void)arg;
	return (int)-sys(flock, a, LOCK_UN);
}
static int waits(void *arg)
{
	(void)arg;
	long b = sys(openat, AT_FDCWD, "f", O_RDWR);
	return (int)-sys(flock, b, LOCK_EX);
}

PROBE("fcntl/flock_lifetime", "after_close", "dup_keeps", "last_close", "child_closes", "child_unlocks", "waiter", "read_only", "downgrade", "conversion_loses", "waiter_again", "path")
{
	put_file("f", "x", 1);
	a = must(sys(openat, AT_FDCWD, "f", O_RDWR));
	must(sys(flock, a, LOCK_EX));
	require(other() == EAGAIN);
	long r = sys(close, a);
	observe("after_close", "close", ret_int(r), ARGS(), STATE(f_errno("other", other())));
	a = must(sys(openat, AT_FDCWD, "f", O_RDWR));
	long d = must(sys(dup, a));
	must(sys(flock, a, LOCK_EX));
	r = sys(close, a);
	observe("dup_keeps", "close", ret_int(r), ARGS(), STATE(f_errno("other", other())));
	r = sys(close, d);
	observe("last_close", "close", ret_int(r), ARGS(), STATE(f_errno("other", other())));
	a = must(sys(openat, AT_FDCWD, "f", O_RDWR));
	must(sys(flock, a, LOCK_EX));
	int status = reap(spawn(closes, NULL));
	observe("child_closes", "close", ret_int(status), ARGS(), STATE(f_errno("other", other())));
	status = reap(spawn(unlocks, NULL));
	observe("child_unlocks", "flock", ret_int(status), ARGS(), STATE(f_errno("other", other())));
	must(sys(flock, a, LOCK_EX));
	long pid = spawn(waits, NULL);
	await_sleep(pid, pid);
	r = sys(flock, a, LOCK_UN);
	observe("waiter", "flock", ret_int(r), ARGS(f_int("op", LOCK_UN)), STATE(f_int("status", reap(pid))));
	must(sys(flock, a, LOCK_SH));
	long b = must(sys(openat, AT_FDCWD, "f", O_RDONLY));
	observe("read_only", "flock", ret_int(sys(flock, b, LOCK_SH | LOCK_NB)), ARGS(f_int("op", LOCK_SH)), STATE(f_errno("other", other())));
	must(sys(flock, b, LOCK_UN));
	must(sys(flock, a, LOCK_EX));
	r = sys(flock, a, LOCK_SH | LOCK_NB);
	observe("downgrade", "flock", ret_int(r), ARGS(f_int("op", LOCK_SH)), STATE(f_errno("shared", err_of(sys(flock, b, LOCK_SH | LOCK_NB)))));
	/* A conversion that fails has given up what was held. */
	r = sys(flock, a, LOCK_EX | LOCK_NB);
	must(sys(flock, b, LOCK_UN));
	observe("conversion_loses", "flock", ret_int(r), ARGS(f_int("op", LOCK_EX | LOCK_NB)), STATE(f_errno("other", other())));
	must(sys(flock, a, LOCK_EX));
	pid = spawn(waits, NULL);
	await_sleep(pid, pid);
	r = sys(flock, a, LOCK_UN);
	observe("waiter_again", "flock", ret_int(r), ARGS(), STATE(f_int("status", reap(pid))));
	long path = must(sys(openat, AT_FDCWD, "f", O_PATH));
	observe("path", "flock", ret_int(sys(flock, path, LOCK_SH)), ARGS(), STATE());
}
