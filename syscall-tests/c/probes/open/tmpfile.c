/* O_TMPFILE makes a file without a name, which linkat gives it. */
#include "probe.h"

PROBE("open/tmpfile", "nameless", "named", "read_only", "exclusive")
{
	long fd = sys(openat, AT_FDCWD, ".", O_TMPFILE | O_RDWR, 0640);
	must(sys(write, fd, "data", 4));
	struct stat st = fstat_of((int)fd);
	observe("nameless", "openat", ret_fd(fd), ARGS(f_hex("flags", O_TMPFILE | O_RDWR)),
		STATE(f_uint("nlink", st.st_nlink), f_hex("mode", st.st_mode), f_int("size", st.st_size)));
	char path[64], data[8];
	snprintf(path, sizeof path, "/proc/self/fd/%ld", fd);
	long r = sys(linkat, AT_FDCWD, path, AT_FDCWD, "name", AT_SYMLINK_FOLLOW);
	long n = get_file("name", data, sizeof data);
	observe("named", "linkat", ret_int(r), ARGS(f_hex("flags", AT_SYMLINK_FOLLOW)),
		STATE(f_uint("nlink", fstat_of((int)fd).st_nlink), f_bytes("data", data, n > 0 ? (size_t)n : 0)));
	observe("read_only", "openat", ret_fd(sys(openat, AT_FDCWD, ".", O_TMPFILE | O_RDONLY, 0640)), ARGS(f_hex("flags", O_TMPFILE)), STATE());
	fd = must(sys(openat, AT_FDCWD, ".", O_TMPFILE | O_RDWR | O_EXCL, 0640));
	snprintf(path, sizeof path, "/proc/self/fd/%ld", fd);
	observe("exclusive", "linkat", ret_int(sys(linkat, AT_FDCWD, path, AT_FDCWD, "other", AT_SYMLINK_FOLLOW)), ARGS(),
		STATE(f_errno("made", lstat_errno("other"))));
}
