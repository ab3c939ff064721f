/* O_EXCL refuses a file that is there and leaves it alone. */
#include "probe.h"

PROBE("open/excl_existing", "create", "again", "symlink")
{
	const int flags = O_CREAT | O_EXCL | O_RDWR;
	long fd = sys(openat, AT_FDCWD, "f", flags, 0640);
	struct stat st = lstat_of("f");
	observe("create", "openat", ret_fd(fd), ARGS(f_str("path", "f"), f_hex("flags", flags), f_hex("mode", 0640)),
		STATE(f_hex("mode", st.st_mode), f_int("size", st.st_size), f_uint("nlink", st.st_nlink)));
	must(sys(write, fd, "kept", 4));

	long again = sys(openat, AT_FDCWD, "f", flags | O_TRUNC, 0600);
	char data[16];
	long n = get_file("f", data, sizeof data);
	observe("again", "openat", ret_fd(again), ARGS(f_str("path", "f"), f_hex("flags", flags | O_TRUNC)),
		STATE(f_bytes("data", data, n > 0 ? (size_t)n : 0)));

	must(sys(symlinkat, "nowhere", AT_FDCWD, "link"));
	long link = sys(openat, AT_FDCWD, "link", flags, 0600);
	observe("symlink", "openat", ret_fd(link), ARGS(f_str("path", "link"), f_hex("flags", flags)),
		STATE(f_errno("target", lstat_errno("nowhere"))));
}
