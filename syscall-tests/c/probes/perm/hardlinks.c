/* Whose files an ordinary user may give another name (fs.protected_hardlinks). */
#include "probe.h"

static const struct { const char *id, *file; mode_t mode; } files[] = {
	{"own", "own", 0600},		  {"others_private", "private", 0600},	 {"others_readable", "readable", 0644},
	{"others_writable", "wo", 0622},  {"others_open", "open", 0666},	 {"others_set_user_id", "suid", 04666},
	{"others_set_group_id", "sgid", 02676}, {"others_mandatory", "lock", 02666}, {"own_set_user_id", "own_suid", 04755},
};
#define N (sizeof files / sizeof *files)

static int as_user(void *results)
{
	long *r = results;
	if (err_of(sys(setgroups, 0, 0)) || err_of(sys(setresgid, 1234, 1234, 1234)) || err_of(sys(setresuid, 1234, 1234, 1234)))
		return 1;
	char name[64];
	for (size_t i = 0; i < N; i++) {
		snprintf(name, sizeof name, "mine/%zu", i);
		r[i] = sys(linkat, AT_FDCWD, files[i].file, AT_FDCWD, name, 0);
	}
	r[N] = sys(linkat, AT_FDCWD, "private", AT_FDCWD, "mine/0", 0);
	r[N + 1] = sys(linkat, AT_FDCWD, "private", AT_FDCWD, "closed", 0);
	r[N + 2] = sys(linkat, AT_FDCWD, "fifo", AT_FDCWD, "mine/fifo", 0);
	r[N + 3] = sys(linkat, AT_FDCWD, "symlink", AT_FDCWD, "mine/symlink", 0);
	r[N + 4] = sys(linkat, AT_FDCWD, "mine", AT_FDCWD, "mine/dir", 0);
	r[N + 5] = sys(linkat, AT_FDCWD, ".", AT_FDCWD, "mine/dir", 0);
	return 0;
}

PROBE("perm/hardlinks", "own", "others_private", "others_readable", "others_writable", "others_open", "others_set_user_id",
      "others_set_group_id", "others_mandatory", "own_set_user_id", "exists", "private_closed", "others_fifo", "others_symlink",
      "own_directory", "others_directory")
{
	static const char *const rest[] = {"exists", "private_closed", "others_fifo", "others_symlink", "own_directory", "others_directory"};
	char protected = 0;
	long fd = must(sys(openat, AT_FDCWD, "/proc/sys/fs/protected_hardlinks", O_RDONLY));
	must(sys(read, fd, &protected, 1));
	require(protected == '1');
	must(sys(chmod, ".", 0755));
	must(sys(mkdirat, AT_FDCWD, "mine", 0777));
	must(sys(chown, "mine", 1234, 1234));
	for (size_t i = 0; i < N; i++) {
		put_file(files[i].file, "x", 1);
		if (!strncmp(files[i].file, "own", 3))
			must(sys(chown, files[i].file, 1234, 1234));
		must(sys(chmod, files[i].file, files[i].mode));
	}
	must(sys(mknodat, AT_FDCWD, "fifo", S_IFIFO | 0666, 0));
	must(sys(chmod, "fifo", 0666));
	must(sys(symlinkat, "own", AT_FDCWD, "symlink"));
	long *r = pages(1, true);
	require(reap(spawn(as_user, r)) == 0);
	for (size_t i = 0; i < N; i++)
		observe(files[i].id, "linkat", ret_int(r[i]), ARGS(f_hex("mode", files[i].mode)),
			STATE(f_uint("links", lstat_of(files[i].file).st_nlink)));
	for (size_t i = 0; i < sizeof rest / sizeof *rest; i++)
		observe(rest[i], "linkat", ret_int(r[N + i]), ARGS(), STATE());
}
