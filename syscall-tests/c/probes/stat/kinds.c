/* The type, links and size of each kind of file, through every form of stat. */
#include "probe.h"

PROBE("stat/kinds", "file", "directory", "symlink", "followed", "fifo", "char_device", "fstat_pipe")
{
	put_file("f", "12345", 5);
	must(sys(linkat, AT_FDCWD, "f", AT_FDCWD, "hard", 0));
	must(sys(mkdirat, AT_FDCWD, "d", 0750));
	must(sys(mkdirat, AT_FDCWD, "d/sub", 0750));
	must(sys(symlinkat, "f", AT_FDCWD, "link"));
	must(sys(mknodat, AT_FDCWD, "fifo", S_IFIFO | 0640, 0));
	struct stat st = {0};
	long r = sys(stat, "f", &st);
	observe("file", "stat", ret_int(r), ARGS(f_str("path", "f")),
		STATE(f_hex("mode", st.st_mode), f_uint("nlink", st.st_nlink), f_int("size", st.st_size), f_ino("ino", st.st_ino),
		      f_ino("hard", lstat_of("hard").st_ino), f_rel("uid", st.st_uid, sys(geteuid))));
	r = sys(newfstatat, AT_FDCWD, "d", &st, 0);
	observe("directory", "newfstatat", ret_int(r), ARGS(f_hex("flags", 0)),
		STATE(f_hex("mode", st.st_mode), f_bool("nlink", st.st_nlink == 3 || st.st_nlink == 1), f_ino("ino", st.st_ino)));
	r = sys(lstat, "link", &st);
	observe("symlink", "lstat", ret_int(r), ARGS(f_str("path", "link")), STATE(f_hex("mode", st.st_mode), f_int("size", st.st_size)));
	r = sys(newfstatat, AT_FDCWD, "link", &st, 0);
	observe("followed", "newfstatat", ret_int(r), ARGS(f_str("path", "link")),
		STATE(f_hex("mode", st.st_mode), f_ino("ino", st.st_ino)));
	r = sys(newfstatat, AT_FDCWD, "fifo", &st, AT_SYMLINK_NOFOLLOW);
	observe("fifo", "newfstatat", ret_int(r), ARGS(f_hex("flags", AT_SYMLINK_NOFOLLOW)), STATE(f_hex("mode", st.st_mode)));
	r = sys(stat, "/dev/null", &st);
	observe("char_device", "stat", ret_int(r), ARGS(f_str("path", "/dev/null")),
		STATE(f_hex("type", st.st_mode & S_IFMT), f_hex("rdev", st.st_rdev)));
	int ends[2];
	make_pipe(ends, 0);
	r = sys(fstat, ends[0], &st);
	observe("fstat_pipe", "fstat", ret_int(r), ARGS(f_fd("fd", ends[0])), STATE(f_hex("type", st.st_mode & S_IFMT)));
}
