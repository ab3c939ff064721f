/* What could not be stored is not taken: a position stays, a pipe and a socket keep their data. */
#include "probe.h"

PROBE("rw/bad_buffer", "file", "vector", "pipe", "socket")
{
	char buf[64], page[4096];
	put_file("f", "0123456789abcdef", 16);
	long fd = must(sys(openat, AT_FDCWD, "f", O_RDONLY));
	long r = sys(read, fd, NULL, 8);
	observe("file", "read", ret_int(r), ARGS(f_int("count", 8)), STATE(f_int("position", sys(lseek, fd, 0, SEEK_CUR))));
	struct iovec iov[2] = {{page, 4}, {NULL, 8}};
	r = sys(readv, fd, iov, 2);
	observe("vector", "readv", ret_int(r), ARGS(f_int("count", 12)), STATE(f_int("position", sys(lseek, fd, 0, SEEK_CUR))));
	int p[2];
	make_pipe(p, O_NONBLOCK);
	must(sys(write, p[1], "piped", 5));
	r = sys(read, p[0], NULL, 5);
	observe("pipe", "read", ret_int(r), ARGS(f_int("count", 5)), STATE(f_int("left", sys(read, p[0], buf, sizeof buf))));
	must(sys(socketpair, AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p));
	must(sys(write, p[1], "sent", 4));
	r = sys(read, p[0], NULL, 4);
	observe("socket", "read", ret_int(r), ARGS(f_int("count", 4)), STATE(f_int("left", sys(read, p[0], buf, sizeof buf))));
}
