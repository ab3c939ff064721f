/* A pipe that is opened again through /proc/self/fd waits for no other side, as a FIFO would. */
#include "probe.h"

static long again(int fd, int flags)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	return sys(openat, AT_FDCWD, path, flags, 0);
}

PROBE("pipe/reopen", "no_writer", "left", "end", "no_reader", "no_reader_nonblock", "broken", "both")
{
	int p[2];
	char data[8] = "";
	make_pipe(p, 0);
	must(sys(write, p[1], "abc", 3));
	must(sys(close, p[1]));
	long fd = again(p[0], O_RDONLY);
	observe("no_writer", "openat", ret_fd(fd), ARGS(f_hex("flags", O_RDONLY)), STATE());
	long n = sys(read, fd, data, sizeof data);
	observe("left", "read", ret_int(n), ARGS(), STATE(f_bytes("data", data, 3)));
	observe("end", "read", ret_int(sys(read, fd, data, sizeof data)), ARGS(), STATE());
	mask_signals(SIG_BLOCK, SIGBIT(SIGPIPE));
	make_pipe(p, 0);
	must(sys(close, p[0]));
	fd = again(p[1], O_WRONLY);
	observe("no_reader", "openat", ret_fd(fd), ARGS(f_hex("flags", O_WRONLY)), STATE());
	observe("no_reader_nonblock", "openat", ret_fd(again(p[1], O_WRONLY | O_NONBLOCK)), ARGS(f_hex("flags", O_WRONLY | O_NONBLOCK)), STATE());
	observe("broken", "write", ret_int(sys(write, fd, "x", 1)), ARGS(), STATE());
	/* One for both sides finds what it writes itself. */
	fd = again(p[1], O_RDWR);
	n = sys(write, fd, "xy", 2);
	long got = sys(read, fd, data, sizeof data);
	observe("both", "openat", ret_fd(fd), ARGS(f_hex("flags", O_RDWR)), STATE(f_int("wrote", n), f_int("got", got)));
}
