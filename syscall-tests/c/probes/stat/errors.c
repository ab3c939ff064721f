/* One fault each, and AT_EMPTY_PATH. */
#include "probe.h"

PROBE("stat/errors", "empty_path", "enoent", "empty_without_flag", "enotdir", "flags", "efault", "fstat_ebadf", "dirfd_ebadf")
{
	put_file("f", "abc", 3);
	long fd = must(sys(openat, AT_FDCWD, "f", O_RDONLY));
	struct stat st = {0};
	long r = sys(newfstatat, fd, "", &st, AT_EMPTY_PATH);
	observe("empty_path", "newfstatat", ret_int(r), ARGS(f_hex("flags", AT_EMPTY_PATH)),
		STATE(f_int("size", st.st_size), f_bool("same", st.st_ino == lstat_of("f").st_ino)));
#define FAULT(id, dirfd, path, buf, flags) \
	observe(id, "newfstatat", ret_int(sys(newfstatat, dirfd, path, buf, flags)), ARGS(f_hex("flags", flags)), STATE())
	FAULT("enoent", AT_FDCWD, "missing", &st, 0);
	FAULT("empty_without_flag", fd, "", &st, 0);
	FAULT("enotdir", AT_FDCWD, "f/x", &st, 0);
	FAULT("flags", AT_FDCWD, "f", &st, 0x8000000);
	FAULT("efault", AT_FDCWD, "f", (void *)8, 0);
	FAULT("dirfd_ebadf", 4000, "f", &st, 0);
	observe("fstat_ebadf", "fstat", ret_int(sys(fstat, 4000, &st)), ARGS(f_int("fd", 4000)), STATE());
}
