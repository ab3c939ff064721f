/* The mask and the set-group-ID bit of a folder in what is made; who shares a mask. */
#include "probe.h"

static long *out;
static int child(void *arg)
{
	(void)arg;
	out[0] = sys(umask, 077);
	return 0;
}
static int makes(long *r)
{
	r[0] = sys(openat, AT_FDCWD, "shared/file", O_CREAT | O_WRONLY, 02775);
	r[1] = sys(mkdirat, AT_FDCWD, "shared/sub", 0755);
	r[2] = sys(mkdirat, AT_FDCWD, "plain/sub", 02755);
	r[3] = sys(openat, AT_FDCWD, "shared", O_TMPFILE | O_RDWR, 0644);
	r[4] = sys(symlinkat, "t", AT_FDCWD, "shared/link");
	r[5] = sys(mknodat, AT_FDCWD, "shared/fifo", S_IFIFO | 02770, 0);
	r[6] = sys(openat, AT_FDCWD, "plain/file", O_CREAT | O_WRONLY, 06777);
	return 0;
}
static void shows(const char *id, const char *call, long r, const char *path)
{
	struct stat st = lstat_of(path);
	observe(id, call, ret_bool(r >= 0), ARGS(f_str("path", path)), STATE(f_hex("mode", st.st_mode), f_uint("uid", st.st_uid), f_uint("gid", st.st_gid)));
}

PROBE("perm/umask_groups", "special_bits", "after_special", "all_bits", "made_with_all", "chmod_unmasked", "fork", "fork_apart", "thread_fs", "file_in_group", "directory_in_group", "directory_plain", "link_in_group", "fifo_in_group", "file_plain", "bind_mode")
{
	long old = sys(umask, 07777);
	long now = sys(umask, 0);
	observe("special_bits", "umask", ret_hex(old), ARGS(f_hex("mask", 07777)), STATE(f_hex("now", (uint64_t)now)));
	sys(umask, 07000);
	must(sys(mkdirat, AT_FDCWD, "special", 01777));
	observe("after_special", "umask", ret_hex(sys(umask, 0)), ARGS(), STATE(f_hex("mode", lstat_of("special").st_mode)));
	sys(umask, 0xffff);
	observe("all_bits", "umask", ret_hex(sys(umask, 0777)), ARGS(), STATE());
	long fd = must(sys(openat, AT_FDCWD, "f", O_CREAT | O_RDWR, 07777));
	must(sys(write, fd, "x", 1));
	observe("made_with_all", "openat", ret_bool(fd >= 0), ARGS(), STATE(f_hex("mode", lstat_of("f").st_mode)));
	must(sys(chmod, "f", 0666));
	observe("chmod_unmasked", "chmod", ret_int(0), ARGS(), STATE(f_hex("mode", lstat_of("f").st_mode)));
	out = pages(1, true);
	sys(umask, 0123);
	require(reap(spawn(child, NULL)) == 0);
	observe("fork", "umask", ret_hex(out[0]), ARGS(), STATE());
	observe("fork_apart", "umask", ret_hex(sys(umask, 0123)), ARGS(), STATE());
	struct thread t;
	thread_start(&t, child, NULL);
	thread_join(&t);
	observe("thread_fs", "umask", ret_hex(sys(umask, 0)), ARGS(), STATE(f_hex("seen", (uint64_t)out[0])));
	must(sys(chmod, ".", 0755));
	must(sys(mkdirat, AT_FDCWD, "shared", 0700));
	must(sys(chown, "shared", 0, 4321));
	must(sys(chmod, "shared", 02777));
	must(sys(mkdirat, AT_FDCWD, "plain", 0700));
	must(sys(chown, "plain", 0, 4321));
	must(sys(chmod, "plain", 0777));
	run_as(1234, 1234, makes, out);
	shows("file_in_group", "openat", out[0], "shared/file");
	shows("directory_in_group", "mkdirat", out[1], "shared/sub");
	shows("directory_plain", "mkdirat", out[2], "plain/sub");
	shows("link_in_group", "symlinkat", out[4], "shared/link");
	shows("fifo_in_group", "mknodat", out[5], "shared/fifo");
	shows("file_plain", "openat", out[6], "plain/file");
	sys(umask, 0027);
	int s = (int)must(sys(socket, AF_UNIX, SOCK_STREAM, 0));
	struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "sock"};
	long r = sys(bind, s, &a, sizeof a);
	shows("bind_mode", "bind", r, "sock");
}
