/* A writer that opens a FIFO and is gone at once: who waits to open it for reading has seen it; and the other way round. */
#include "probe.h"

static int reads(void *unused)
{
	(void)unused;
	char c;
	long fd = sys(openat, AT_FDCWD, "p", O_RDONLY);
	return fd < 0 || sys(read, fd, &c, 1) != 0;
}
static int writes(void *unused)
{
	(void)unused;
	return sys(openat, AT_FDCWD, "p", O_WRONLY) < 0;
}

/* How many of ten end who sleep in open(2) while the other end flashes up. */
static int ended(int (*sleeper)(void *), int flags)
{
	int n = 0;
	for (int i = 0; i < 10; i++) {
		long pid = spawn(sleeper, NULL);
		await_sleep(pid, pid);
		long fd = must(sys(openat, AT_FDCWD, "p", flags | O_NONBLOCK));
		must(sys(close, fd));
		n += reap(pid) == 0;
	}
	return n;
}

PROBE("pipe/fifo_flash", "reader", "writer")
{
	must(sys(mknod, "p", S_IFIFO | 0600, 0));
	observe("reader", "openat", ret_int(ended(reads, O_WRONLY)), ARGS(f_hex("flags", O_RDONLY)), STATE());
	observe("writer", "openat", ret_int(ended(writes, O_RDONLY)), ARGS(f_hex("flags", O_WRONLY)), STATE());
}
