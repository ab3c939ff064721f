/* fchmodat2 is fchmodat with flags: a symbolic link itself has no mode to change. */
#include "probe.h"

/* Newer than some headers. */
#ifndef __NR_fchmodat2
#define __NR_fchmodat2 452
#endif

PROBE("perm/fchmodat2", "changes", "follows", "link_itself", "nofollow_file", "empty_path", "empty_refused", "bad_flags", "missing", "ebadf")
{
	put_file("f", "abc", 3);
	must(sys(symlink, "f", "l"));
	long fd = must(sys(openat, AT_FDCWD, "f", O_PATH));
	long r = sys(fchmodat2, AT_FDCWD, "f", 0601, 0);
	observe("changes", "fchmodat2", ret_int(r), ARGS(f_hex("mode", 0601)), STATE(f_hex("mode", lstat_of("f").st_mode)));
	r = sys(fchmodat2, AT_FDCWD, "l", 0602, 0);
	observe("follows", "fchmodat2", ret_int(r), ARGS(f_hex("mode", 0602)), STATE(f_hex("mode", lstat_of("f").st_mode)));
	r = sys(fchmodat2, AT_FDCWD, "l", 0603, AT_SYMLINK_NOFOLLOW);
	observe("link_itself", "fchmodat2", ret_int(r), ARGS(f_hex("flags", AT_SYMLINK_NOFOLLOW)),
		STATE(f_hex("mode", lstat_of("f").st_mode), f_hex("link", lstat_of("l").st_mode)));
	r = sys(fchmodat2, AT_FDCWD, "f", 0604, AT_SYMLINK_NOFOLLOW);
	observe("nofollow_file", "fchmodat2", ret_int(r), ARGS(f_hex("flags", AT_SYMLINK_NOFOLLOW)), STATE(f_hex("mode", lstat_of("f").st_mode)));
	r = sys(fchmodat2, fd, "", 0605, AT_EMPTY_PATH);
	observe("empty_path", "fchmodat2", ret_int(r), ARGS(f_hex("flags", AT_EMPTY_PATH)), STATE(f_hex("mode", lstat_of("f").st_mode)));
	observe("empty_refused", "fchmodat2", ret_int(sys(fchmodat2, fd, "", 0606, 0)), ARGS(f_hex("flags", 0)), STATE(f_hex("mode", lstat_of("f").st_mode)));
	observe("bad_flags", "fchmodat2", ret_int(sys(fchmodat2, AT_FDCWD, "f", 0606, 1)), ARGS(f_hex("flags", 1)), STATE(f_hex("mode", lstat_of("f").st_mode)));
	observe("missing", "fchmodat2", ret_int(sys(fchmodat2, AT_FDCWD, "missing", 0606, 0)), ARGS(), STATE());
	observe("ebadf", "fchmodat2", ret_int(sys(fchmodat2, 4000, "f", 0606, 0)), ARGS(f_int("dirfd", 4000)), STATE());
}
