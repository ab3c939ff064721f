/* One fault each. */
#include "probe.h"

PROBE("open/errors", "enoent", "empty", "name_max", "path_max", "efault", "dirfd_ebadf", "dirfd_enotdir", "trailing_slash")
{
	static char name[NAME_MAX + 2], path[PATH_MAX + 1];
	memset(name, 'n', NAME_MAX + 1);
	for (size_t i = 0; i < PATH_MAX; i++)
		path[i] = i % 2 ? '/' : '.';
	put_file("f", "", 0);
	long file = must(sys(openat, AT_FDCWD, "f", O_RDONLY));
#define FAULT(id, dirfd, text, flags) \
	observe(id, "openat", ret_fd(sys(openat, dirfd, text, flags, 0600)), ARGS(f_hex("flags", flags)), STATE())
	FAULT("enoent", AT_FDCWD, "missing", O_RDWR);
	FAULT("empty", AT_FDCWD, "", O_RDWR);
	FAULT("name_max", AT_FDCWD, name, O_RDWR | O_CREAT);
	FAULT("path_max", AT_FDCWD, path, O_RDONLY);
	FAULT("efault", AT_FDCWD, (char *)8, O_RDONLY);
	FAULT("dirfd_ebadf", 4000, "f", O_RDONLY);
	FAULT("dirfd_enotdir", file, "f", O_RDONLY);
	FAULT("trailing_slash", AT_FDCWD, "f/", O_RDONLY);
}
