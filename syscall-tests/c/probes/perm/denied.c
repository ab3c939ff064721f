/* What an ordinary user may not do with root's files. */
#include "probe.h"

static int as_user(void *results)
{
	long *r = results;
	if (err_of(sys(setresgid, 1234, 1234, 1234)) || err_of(sys(setresuid, 1234, 1234, 1234)))
		return 1;
	r[0] = sys(openat, AT_FDCWD, "public/private", O_RDONLY);
	r[1] = sys(openat, AT_FDCWD, "public/readable", O_WRONLY);
	r[2] = sys(access, "public/readable", R_OK);
	r[3] = sys(access, "public/readable", W_OK);
	r[4] = sys(faccessat, AT_FDCWD, "public/readable", X_OK);
	r[5] = sys(openat, AT_FDCWD, "closed/inside", O_RDONLY);
	r[6] = sys(unlinkat, AT_FDCWD, "public/readable", 0);
	r[7] = sys(chmod, "public/readable", 0666);
	r[8] = sys(openat, AT_FDCWD, "public/readable", O_RDONLY) >= 0;
	return 0;
}

PROBE("perm/denied", "read", "write", "access_read", "access_write", "access_execute", "search", "unlink", "chmod")
{
	must(sys(chmod, ".", 0755));
	must(sys(mkdirat, AT_FDCWD, "public", 0755));
	must(sys(mkdirat, AT_FDCWD, "closed", 0700));
	put_file("public/private", "x", 1);
	put_file("public/readable", "x", 1);
	put_file("closed/inside", "x", 1);
	must(sys(chmod, "public/private", 0600));
	must(sys(chmod, "public/readable", 0644));
	long *r = pages(1, true);
	require(reap(spawn(as_user, r)) == 0);
	require(r[8] == 1);
	observe("read", "openat", ret_fd(r[0]), ARGS(f_hex("flags", O_RDONLY)), STATE());
	observe("write", "openat", ret_fd(r[1]), ARGS(f_hex("flags", O_WRONLY)), STATE());
	observe("access_read", "access", ret_int(r[2]), ARGS(f_hex("mode", R_OK)), STATE());
	observe("access_write", "access", ret_int(r[3]), ARGS(f_hex("mode", W_OK)), STATE());
	observe("access_execute", "faccessat", ret_int(r[4]), ARGS(f_hex("mode", X_OK)), STATE());
	observe("search", "openat", ret_fd(r[5]), ARGS(f_hex("flags", O_RDONLY)), STATE());
	observe("unlink", "unlinkat", ret_int(r[6]), ARGS(), STATE(f_errno("exists", lstat_errno("public/readable"))));
	observe("chmod", "chmod", ret_int(r[7]), ARGS(f_hex("mode", 0666)), STATE(f_hex("mode", lstat_of("public/readable").st_mode)));
}
