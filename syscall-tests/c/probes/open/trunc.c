/* O_TRUNC empties a file that is opened for writing, and needs no O_CREAT. */
#include "probe.h"

PROBE("open/trunc", "truncates", "missing")
{
	put_file("f", "0123456789", 10);
	require(lstat_of("f").st_size == 10);
	long fd = sys(openat, AT_FDCWD, "f", O_WRONLY | O_TRUNC);
	struct stat st = lstat_of("f");
	observe("truncates", "openat", ret_fd(fd), ARGS(f_hex("flags", O_WRONLY | O_TRUNC)),
		STATE(f_int("size", st.st_size), f_int("offset", tell(fd)), f_hex("status", status_flags(fd))));

	long missing = sys(openat, AT_FDCWD, "missing", O_WRONLY | O_TRUNC);
	observe("missing", "openat", ret_fd(missing), ARGS(f_hex("flags", O_WRONLY | O_TRUNC)),
		STATE(f_errno("exists", lstat_errno("missing"))));
}
