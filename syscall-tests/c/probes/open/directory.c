/* O_DIRECTORY takes only directories; directories open only for reading. */
#include "probe.h"

PROBE("open/directory", "on_directory", "on_file", "write_directory", "creat_directory", "below_file")
{
	put_file("f", "x", 1);
	must(sys(mkdirat, AT_FDCWD, "d", 0755));
	long fd = sys(openat, AT_FDCWD, "d", O_RDONLY | O_DIRECTORY);
	observe("on_directory", "openat", ret_fd(fd), ARGS(f_hex("flags", O_RDONLY | O_DIRECTORY)),
		STATE(f_hex("type", fstat_of((int)fd).st_mode & S_IFMT), f_hex("status", status_flags(fd))));
	observe("on_file", "openat", ret_fd(sys(openat, AT_FDCWD, "f", O_RDONLY | O_DIRECTORY)),
		ARGS(f_hex("flags", O_RDONLY | O_DIRECTORY)), STATE());
	observe("write_directory", "openat", ret_fd(sys(openat, AT_FDCWD, "d", O_WRONLY)),
		ARGS(f_hex("flags", O_WRONLY)), STATE());
	observe("creat_directory", "openat", ret_fd(sys(openat, AT_FDCWD, "d", O_RDONLY | O_CREAT, 0600)),
		ARGS(f_hex("flags", O_RDONLY | O_CREAT)), STATE());
	observe("below_file", "openat", ret_fd(sys(openat, AT_FDCWD, "f/x", O_RDWR | O_CREAT, 0600)),
		ARGS(f_str("path", "f/x")), STATE());
}
