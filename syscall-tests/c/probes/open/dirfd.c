/* A relative path starts at the directory descriptor, wherever the working directory is. */
#include "probe.h"

PROBE("open/dirfd", "relative", "absolute_ignores")
{
	must(sys(mkdirat, AT_FDCWD, "d", 0755));
	put_file("f", "outer", 5);
	put_file("d/f", "in", 2);
	long dir = must(sys(openat, AT_FDCWD, "d", O_RDONLY | O_DIRECTORY));
	char data[8], path[PATH_MAX + 8];
	long fd = sys(openat, dir, "f", O_RDONLY);
	long n = sys(read, fd, data, sizeof data);
	observe("relative", "openat", ret_fd(fd), ARGS(f_fd("dirfd", dir)), STATE(f_bytes("data", data, n > 0 ? (size_t)n : 0)));
	long len = must(sys(getcwd, path, PATH_MAX));
	memcpy(path + len - 1, "/f", 3);
	fd = sys(openat, 4000, path, O_RDONLY);
	n = sys(read, fd, data, sizeof data);
	observe("absolute_ignores", "openat", ret_fd(fd), ARGS(f_int("dirfd", 4000)),
		STATE(f_bytes("data", data, n > 0 ? (size_t)n : 0)));
}
