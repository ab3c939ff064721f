/* What may be done with a file, by real ids, and with flags in the newer form. */
#include "probe.h"

PROBE("stat/access", "exists", "read_write", "missing", "bad_mode", "dangling", "nofollow", "bad_flags", "dirfd", "no_execute_bit")
{
	put_file("f", "x", 1);
	must(sys(chmod, "f", 0600));
	must(sys(symlinkat, "nothing", AT_FDCWD, "link"));
	observe("exists", "access", ret_int(sys(access, "f", F_OK)), ARGS(f_hex("mode", F_OK)), STATE());
	observe("read_write", "access", ret_int(sys(access, "f", R_OK | W_OK)), ARGS(f_hex("mode", R_OK | W_OK)), STATE());
	observe("missing", "access", ret_int(sys(access, "nothing", F_OK)), ARGS(), STATE());
	observe("bad_mode", "access", ret_int(sys(access, "f", 8)), ARGS(f_hex("mode", 8)), STATE());
	observe("dangling", "faccessat", ret_int(sys(faccessat, AT_FDCWD, "link", F_OK)), ARGS(), STATE());
	observe("nofollow", "faccessat2", ret_int(sys(faccessat2, AT_FDCWD, "link", F_OK, AT_SYMLINK_NOFOLLOW)),
		ARGS(f_hex("flags", AT_SYMLINK_NOFOLLOW)), STATE());
	observe("bad_flags", "faccessat2", ret_int(sys(faccessat2, AT_FDCWD, "f", F_OK, 0x8000000)), ARGS(f_hex("flags", 0x8000000)), STATE());
	must(sys(mkdirat, AT_FDCWD, "d", 0755));
	put_file("d/inside", "x", 1);
	long dir = must(sys(openat, AT_FDCWD, "d", O_RDONLY | O_DIRECTORY));
	observe("dirfd", "faccessat", ret_int(sys(faccessat, dir, "inside", R_OK)), ARGS(f_fd("dirfd", dir)), STATE());
	/* Even root executes only what somebody may. */
	observe("no_execute_bit", "access", ret_int(sys(access, "f", X_OK)), ARGS(f_hex("mode", X_OK)), STATE());
}
