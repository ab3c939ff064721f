/* A bad buffer is EFAULT and moves nothing; a directory can't be read; a bad descriptor comes first. */
#include "probe.h"

PROBE("rw/efault", "read", "write", "write_unmapped", "directory", "ebadf_first", "ebadf_write")
{
	put_file("f", "abcdef", 6);
	long fd = must(sys(openat, AT_FDCWD, "f", O_RDWR));
	char *gone = pages(1, false);
	must(sys(munmap, gone, 4096));
	long n = sys(read, fd, 8, 3);
	observe("read", "read", ret_int(n), ARGS(f_uint("count", 3)), STATE(f_int("offset", tell(fd))));
	n = sys(write, fd, 8, 3);
	char data[8];
	long len = get_file("f", data, sizeof data);
	observe("write", "write", ret_int(n), ARGS(f_uint("count", 3)), STATE(f_bytes("data", data, (size_t)len)));
	n = sys(write, fd, gone, 3);
	observe("write_unmapped", "write", ret_int(n), ARGS(f_uint("count", 3)), STATE(f_int("offset", tell(fd))));
	long dir = must(sys(openat, AT_FDCWD, ".", O_RDONLY));
	observe("directory", "read", ret_int(sys(read, dir, data, 3)), ARGS(f_fd("fd", dir)), STATE());
	observe("ebadf_first", "read", ret_int(sys(read, -1, 8, 3)), ARGS(f_int("fd", -1)), STATE());
	observe("ebadf_write", "write", ret_int(sys(write, 4000, "x", 1)), ARGS(f_int("fd", 4000)), STATE());
}
