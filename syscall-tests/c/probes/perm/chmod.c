/* Modes are set as given, set-id and sticky bits too; umask only filters creation. */
#include "probe.h"

PROBE("perm/chmod", "chmod", "fchmod", "fchmodat", "symlink", "umask", "umask_old", "missing", "ebadf")
{
	put_file("f", "x", 1);
	long fd = must(sys(openat, AT_FDCWD, "f", O_RDONLY));
	must(sys(symlinkat, "f", AT_FDCWD, "link"));
	long r = sys(chmod, "f", 06755);
	observe("chmod", "chmod", ret_int(r), ARGS(f_hex("mode", 06755)), STATE(f_hex("mode", lstat_of("f").st_mode)));
	r = sys(fchmod, fd, 01600);
	observe("fchmod", "fchmod", ret_int(r), ARGS(f_hex("mode", 01600)), STATE(f_hex("mode", lstat_of("f").st_mode)));
	r = sys(fchmodat, AT_FDCWD, "f", 0444);
	observe("fchmodat", "fchmodat", ret_int(r), ARGS(f_hex("mode", 0444)), STATE(f_hex("mode", lstat_of("f").st_mode)));
	r = sys(chmod, "link", 0640);
	observe("symlink", "chmod", ret_int(r), ARGS(f_hex("mode", 0640)),
		STATE(f_hex("target", lstat_of("f").st_mode), f_hex("link", lstat_of("link").st_mode)));
	long old = sys(umask, 0777);
	long again = sys(umask, 0077);
	must(sys(mkdirat, AT_FDCWD, "d", 0777));
	observe("umask", "umask", ret_hex(old), ARGS(f_hex("mask", 0777)), STATE(f_hex("mode", lstat_of("d").st_mode)));
	observe("umask_old", "umask", ret_hex(again), ARGS(f_hex("mask", 0077)), STATE());
	observe("missing", "chmod", ret_int(sys(chmod, "missing", 0600)), ARGS(), STATE());
	observe("ebadf", "fchmod", ret_int(sys(fchmod, 4000, 0600)), ARGS(), STATE());
}
