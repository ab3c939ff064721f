/* Who is killed while waiting in open(2) for the other end of a FIFO is no end of it any more. */
#include "probe.h"

static int opens(void *flags)
{
	sys(openat, AT_FDCWD, "fifo", (long)flags);
	return 0;
}

PROBE("pipe/fifo_killed", "before", "reader", "writer")
{
	must(sys(mknodat, AT_FDCWD, "fifo", S_IFIFO | 0600, 0));
	observe("before", "openat", ret_fd(sys(openat, AT_FDCWD, "fifo", O_WRONLY | O_NONBLOCK)), ARGS(), STATE());
	long pid = spawn(opens, (void *)O_RDONLY);
	await_sleep(pid, pid);
	must(sys(kill, pid, SIGKILL));
	reap(pid);
	observe("reader", "openat", ret_fd(sys(openat, AT_FDCWD, "fifo", O_WRONLY | O_NONBLOCK)), ARGS(), STATE());
	pid = spawn(opens, (void *)O_WRONLY);
	await_sleep(pid, pid);
	must(sys(kill, pid, SIGKILL));
	reap(pid);
	long fd = must(sys(openat, AT_FDCWD, "fifo", O_RDONLY | O_NONBLOCK));
	char c;
	observe("writer", "read", ret_int(sys(read, fd, &c, 1)), ARGS(), STATE());
}
