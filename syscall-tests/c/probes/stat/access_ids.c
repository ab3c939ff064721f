/* access asks for the real ids and drops what they may not do; AT_EACCESS asks for the effective ones. */
#include "probe.h"

static uid_t real, effective;
static int asks(void *arg)
{
	long *r = arg;
	if (sys(setgroups, 0, NULL) || sys(setresgid, real, effective, effective) || sys(setresuid, real, effective, 0))
		return 1;
	static const char *const names[] = {"root", "user", "all", "none", "run", "d", "d/in"};
	size_t at = 0;
	for (size_t i = 0; i < countof(names); i++)
		for (int mode = R_OK; mode; mode = mode == R_OK ? W_OK : mode == W_OK ? X_OK : 0) {
			r[at++] = sys(access, names[i], mode);
			r[at++] = sys(faccessat2, AT_FDCWD, names[i], mode, AT_EACCESS);
			r[at++] = sys(faccessat, AT_FDCWD, names[i], mode);
		}
	return 0;
}

static void who(const char *id, uid_t r, uid_t e, long *out)
{
	real = r, effective = e;
	memset(out, 0, 4096);
	require(reap(spawn(asks, out)) == 0);
	static char text[3][22];
	for (size_t i = 0; i < 63; i++)
		text[i % 3][i / 3] = out[i] == 0 ? '+' : out[i] == -EACCES ? '-' : '?';
	observe(id, "access", ret_int(0), ARGS(f_int("real", r), f_int("effective", e)), STATE(f_strn("access", text[0], 21), f_strn("eaccess", text[1], 21), f_strn("faccessat", text[2], 21)));
}

PROBE("stat/access_ids", "root", "user", "set_uid", "dropped", "other", "read_only_fs", "bad_mode", "empty_path", "empty_path_fd", "bad_flags", "efault")
{
	must(sys(chmod, ".", 0755));
	static const struct { const char *name; mode_t mode; uid_t uid; } files[] = {{"root", 0600, 0}, {"user", 0700, 1234}, {"all", 0666, 0}, {"none", 0, 1234}, {"run", 0711, 0}};
	for (size_t i = 0; i < countof(files); i++) {
		put_file(files[i].name, "x", 1);
		must(sys(chown, files[i].name, files[i].uid, files[i].uid));
		must(sys(chmod, files[i].name, files[i].mode));
	}
	must(sys(mkdirat, AT_FDCWD, "d", 0700));
	put_file("d/in", "x", 1);
	long *out = pages(1, true);
	who("root", 0, 0, out);
	who("user", 1234, 1234, out);
	who("set_uid", 1234, 0, out);
	who("dropped", 0, 1234, out);
	who("other", 4321, 1234, out);
	observe("read_only_fs", "access", ret_int(sys(access, "/proc/self/status", W_OK)), ARGS(), STATE());
	observe("bad_mode", "access", ret_int(sys(access, "all", 8)), ARGS(), STATE());
	long fd = must(sys(openat, AT_FDCWD, "none", O_PATH));
	observe("empty_path", "faccessat2", ret_int(sys(faccessat2, fd, "", R_OK, 0)), ARGS(), STATE());
	observe("empty_path_fd", "faccessat2", ret_int(sys(faccessat2, fd, "", X_OK, AT_EMPTY_PATH)), ARGS(), STATE());
	observe("bad_flags", "faccessat2", ret_int(sys(faccessat2, fd, "", R_OK, 1)), ARGS(), STATE());
	observe("efault", "access", ret_int(sys(access, 8, R_OK)), ARGS(), STATE());
}
