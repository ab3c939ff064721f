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

PROBE("pipe/fifo_flash", "reader", "writer")
{
	int ended = 0;
	must(sys(mknod, "p", S_IFIFO | 0600, 0));
	for (int i = 0; i < 10; i++) {
		long pid = spawn(reads, NULL);
		await_sleep(pid, pid);
		long fd = must(sys(openat, AT_FDCWD, "p", O_WRONLY | O_NONBLOCK));
		must(sys(close, fd));
		ended += reap(pid) == 0;
	}
	observe("reader", "openat", ret_int(ended), ARGS(f_hex("flags", O_RDONLY)), STATE());
	ended = 0;
	for (int i = 0; i < 10; i++) {
		long pid = spawn(writes, NULL);
		await_sleep(pid, pid);
		long fd = must(sys(openat, AT_FDCWD, "p", O_RDONLY | O_NONBLOCK));
		must(sys(close, fd));
		ended += reap(pid) == 0;
	}
	observe("writer", "openat", ret_int(ended), ARGS(f_hex("flags", O_WRONLY)), STATE());
}
