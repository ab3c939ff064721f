/* O_NOFOLLOW refuses a final symbolic link; with O_PATH it gives the link itself. */
#include "probe.h"

PROBE("open/nofollow", "follows", "refuses", "path", "path_read", "loop", "parent")
{
	put_file("f", "abcdef", 6);
	must(sys(symlinkat, "f", AT_FDCWD, "link"));
	must(sys(symlinkat, "loop", AT_FDCWD, "loop"));
	must(sys(symlinkat, ".", AT_FDCWD, "here"));
	long fd = sys(openat, AT_FDCWD, "link", O_RDONLY);
	observe("follows", "openat", ret_fd(fd), ARGS(f_str("path", "link"), f_hex("flags", O_RDONLY)),
		STATE(f_hex("type", fstat_of((int)fd).st_mode & S_IFMT), f_int("size", fstat_of((int)fd).st_size)));
	observe("refuses", "openat", ret_fd(sys(openat, AT_FDCWD, "link", O_RDONLY | O_NOFOLLOW)),
		ARGS(f_str("path", "link"), f_hex("flags", O_NOFOLLOW)), STATE());
	fd = sys(openat, AT_FDCWD, "link", O_PATH | O_NOFOLLOW);
	struct stat st = fstat_of((int)fd);
	observe("path", "openat", ret_fd(fd), ARGS(f_str("path", "link"), f_hex("flags", O_PATH | O_NOFOLLOW)),
		STATE(f_hex("type", st.st_mode & S_IFMT), f_int("size", st.st_size), f_hex("status", status_flags(fd))));
	char data[8];
	observe("path_read", "read", ret_int(sys(read, fd, data, sizeof data)), ARGS(f_fd("fd", fd)), STATE());
	observe("loop", "openat", ret_fd(sys(openat, AT_FDCWD, "loop", O_RDONLY)), ARGS(f_str("path", "loop")), STATE());
	fd = sys(openat, AT_FDCWD, "here/here/f", O_RDONLY | O_NOFOLLOW);
	observe("parent", "openat", ret_fd(fd), ARGS(f_str("path", "here/here/f"), f_hex("flags", O_NOFOLLOW)),
		STATE(f_int("size", fstat_of((int)fd).st_size)));
}
