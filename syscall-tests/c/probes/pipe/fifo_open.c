/* The two ends of a FIFO wait for each other, and the flags hold for who waited. */
#include "probe.h"

static int flags_;
static long *out;
static int opens(void *arg)
{
	(void)arg;
	long fd = sys(openat, AT_FDCWD, "fifo", flags_);
	out[0] = fd;
	out[1] = fd_flags(fd);
	out[2] = status_flags(fd);
	char c = 'x';
	out[3] = (flags_ & O_ACCMODE) == O_RDONLY ? sys(read, fd, &c, 1) : sys(write, fd, &c, 1);
	return 0;
}

static void meet(const char *id, int waiter, int other)
{
	flags_ = waiter;
	long pid = spawn(opens, NULL);
	await_sleep(pid, pid);
	long fd = must(sys(openat, AT_FDCWD, "fifo", other));
	char c = 'y';
	long n = (other & O_ACCMODE) == O_RDONLY ? sys(read, fd, &c, 1) : sys(write, fd, &c, 1);
	int status = reap(pid);
	must(sys(close, fd));
	observe(id, "openat", ret_int(out[0] >= 0 ? 0 : out[0]), ARGS(f_hex("flags", (uint64_t)waiter)),
		STATE(f_int("status", status), f_hex("fd", (uint64_t)out[1]), f_hex("file", (uint64_t)out[2]), f_int("moved", out[3]), f_int("other", n)));
}

PROBE("pipe/fifo_open", "reader", "reader_cloexec", "writer", "writer_cloexec", "both_ways", "read_nonblock", "write_nonblock", "rdwr_nonblock", "fifo_trunc", "fifo_directory", "fifo_append")
{
	must(sys(mknodat, AT_FDCWD, "fifo", S_IFIFO | 0600, 0));
	out = pages(1, true);
	meet("reader", O_RDONLY, O_WRONLY);
	meet("reader_cloexec", O_RDONLY | O_CLOEXEC, O_WRONLY);
	meet("writer", O_WRONLY, O_RDONLY);
	meet("writer_cloexec", O_WRONLY | O_CLOEXEC, O_RDONLY);
	long rw = sys(openat, AT_FDCWD, "fifo", O_RDWR);
	observe("both_ways", "openat", ret_fd(rw), ARGS(f_hex("flags", O_RDWR)), STATE(f_hex("file", (uint64_t)status_flags(rw))));
	must(sys(close, rw));
	long r = sys(openat, AT_FDCWD, "fifo", O_RDONLY | O_NONBLOCK);
	char c;
	long n = sys(read, r, &c, 1);
	observe("read_nonblock", "openat", ret_fd(r), ARGS(f_hex("flags", O_RDONLY | O_NONBLOCK)), STATE(f_int("read", n)));
	long w = sys(openat, AT_FDCWD, "fifo", O_WRONLY | O_NONBLOCK);
	n = sys(read, r, &c, 1);
	observe("write_nonblock", "openat", ret_fd(w), ARGS(f_hex("flags", O_WRONLY | O_NONBLOCK)), STATE(f_int("read", n)));
	must(sys(close, r));
	must(sys(close, w));
	observe("rdwr_nonblock", "openat", ret_bool(sys(openat, AT_FDCWD, "fifo", O_RDWR | O_NONBLOCK) >= 0), ARGS(), STATE());
	observe("fifo_trunc", "openat", ret_bool(sys(openat, AT_FDCWD, "fifo", O_RDWR | O_TRUNC) >= 0), ARGS(), STATE());
	observe("fifo_directory", "openat", ret_fd(sys(openat, AT_FDCWD, "fifo", O_RDWR | O_DIRECTORY)), ARGS(), STATE());
	long a = sys(openat, AT_FDCWD, "fifo", O_RDWR | O_APPEND);
	observe("fifo_append", "openat", ret_bool(a >= 0), ARGS(), STATE(f_hex("file", (uint64_t)status_flags(a))));
}
