/* Owners change one by one; set-id bits go; links are taken for themselves on demand. */
#include "probe.h"

static int as_user(void *result)
{
	if (err_of(sys(setresuid, 4321, 4321, 4321)))
		return 1;
	*(long *)result = sys(chown, "f", 0, -1);
	return 0;
}

PROBE("perm/chown", "both", "keep", "nofollow", "lchown", "fchown", "user")
{
	put_file("f", "x", 1);
	must(sys(symlinkat, "f", AT_FDCWD, "link"));
	must(sys(chmod, "f", 06755));
	must(sys(chmod, ".", 0755));
	long r = sys(fchownat, AT_FDCWD, "f", 1001, 1002, 0);
	struct stat st = lstat_of("f");
	observe("both", "fchownat", ret_int(r), ARGS(f_int("uid", 1001), f_int("gid", 1002)),
		STATE(f_uint("uid", st.st_uid), f_uint("gid", st.st_gid), f_hex("mode", st.st_mode)));
	r = sys(chown, "f", -1, 1003);
	st = lstat_of("f");
	observe("keep", "chown", ret_int(r), ARGS(f_int("uid", -1), f_int("gid", 1003)),
		STATE(f_uint("uid", st.st_uid), f_uint("gid", st.st_gid)));
	r = sys(fchownat, AT_FDCWD, "link", 2001, 2002, AT_SYMLINK_NOFOLLOW);
	st = lstat_of("link");
	observe("nofollow", "fchownat", ret_int(r), ARGS(f_hex("flags", AT_SYMLINK_NOFOLLOW)),
		STATE(f_uint("link", st.st_uid), f_uint("target", lstat_of("f").st_uid)));
	r = sys(lchown, "link", 2005, -1);
	observe("lchown", "lchown", ret_int(r), ARGS(f_int("uid", 2005)),
		STATE(f_uint("link", lstat_of("link").st_uid), f_uint("target", lstat_of("f").st_uid)));
	long fd = must(sys(openat, AT_FDCWD, "f", O_RDONLY));
	r = sys(fchown, fd, 4321, 4321);
	observe("fchown", "fchown", ret_int(r), ARGS(f_int("uid", 4321)), STATE(f_uint("uid", lstat_of("f").st_uid)));
	long *result = pages(1, true);
	require(reap(spawn(as_user, result)) == 0);
	observe("user", "chown", ret_int(*result), ARGS(f_int("uid", 0)), STATE(f_uint("uid", lstat_of("f").st_uid)));
}
