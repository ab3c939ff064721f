/* Whose new files are, and which of the three kinds of permission counts for whom. */
#include "probe.h"
#include <sys/fsuid.h>

static uint32_t groups[3] = {2001, 2002, 2003};

/* Real, effective and saved ids differ; the file system's are the effective ones unless set apart. */
static void become(uid_t fs)
{
	must(sys(setgroups, 3, groups));
	must(sys(setresgid, 1101, 1102, 1103));
	must(sys(setresuid, 1001, 1002, 0));
	if (fs != 1002)
		sys(setfsuid, fs);
}

static int makes(void *arg)
{
	long *r = arg;
	become(1002);
	r[0] = sys(openat, AT_FDCWD, "file", O_CREAT | O_WRONLY, 0777) >= 0;
	r[1] = sys(mkdir, "folder", 01777);
	r[2] = sys(symlink, "file", "link");
	r[3] = sys(mknod, "fifo", S_IFIFO | 0666, 0);
	struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "socket"};
	r[4] = sys(bind, sys(socket, AF_UNIX, SOCK_STREAM, 0), &a, sizeof a);
	r[5] = sys(openat, AT_FDCWD, "shared/file", O_CREAT | O_WRONLY, 02777) >= 0;
	r[6] = sys(mkdir, "shared/folder", 0777);
	r[7] = sys(openat, AT_FDCWD, "member/file", O_CREAT | O_WRONLY, 0777) >= 0;
	r[8] = sys(openat, AT_FDCWD, "shared/plain", O_CREAT | O_WRONLY, 0767) >= 0;
	r[9] = sys(symlink, "file", "shared/link");
	r[10] = sys(mknod, "shared/fifo", S_IFIFO | 02777, 0);
	return 0;
}

static int apart(void *arg)
{
	long *r = arg;
	must(sys(setresuid, 0, 0, 0));
	sys(setfsuid, 1007);
	sys(setfsgid, 1107);
	r[0] = sys(openat, AT_FDCWD, "apart", O_CREAT | O_WRONLY, 0600) >= 0;
	return 0;
}

static void made(const char *id, const char *call, const char *path, long r)
{
	struct stat st = lstat_of(path);
	observe(id, call, ret_int(r), ARGS(f_str("path", path)), STATE(f_uint("uid", st.st_uid), f_uint("gid", st.st_gid), f_hex("mode", st.st_mode)));
}

static const struct { const char *id; mode_t mode; uid_t uid; gid_t gid; int how; } rights[] = {
	{"owner_only_others", 0077, 1234, 9, 4}, {"owner_write_others", 0477, 1234, 9, 2}, {"group_only_others", 0607, 9, 1234, 4}, {"group_gives", 0640, 9, 1234, 4}, {"supplementary", 0640, 9, 2002, 4},
	{"supplementary_write", 0620, 9, 2003, 2}, {"not_in_group", 0640, 9, 2004, 4}, {"others", 0604, 9, 9, 4}, {"execute", 0701, 9, 9, 1}, {"no_execute", 0710, 9, 9, 1},
};

static int uses(long *r)
{
	for (size_t i = 0; i < countof(rights); i++) {
		char path[16];
		snprintf(path, sizeof path, "r%zu", i);
		r[2 * i] = sys(access, path, rights[i].how);
		long fd = sys(openat, AT_FDCWD, path, rights[i].how == 2 ? O_WRONLY : O_RDONLY);
		r[2 * i + 1] = err_of(fd);
	}
	return 0;
}

static int in_groups(void *arg)
{
	must(sys(setgroups, 3, groups));
	must(sys(setresgid, 1234, 1234, 1234));
	must(sys(setresuid, 1234, 1234, 1234));
	return uses(arg);
}

static int denied(long *r)
{
	struct timespec now[2] = {{0, UTIME_NOW}, {0, UTIME_OMIT}};
	r[0] = sys(rename, "sticky/mine", "sticky/roots");
	r[1] = sys(renameat2, AT_FDCWD, "sticky/mine", AT_FDCWD, "sticky/roots", 2);
	r[2] = sys(link, "sticky/mine", "sticky/roots");
	r[3] = sys(setxattr, "sticky", "user.x", "v", 1, 0);
	r[4] = sys(setxattr, "open", "user.x", "v", 1, 0);
	r[5] = sys(removexattr, "readable", "user.x");
	r[6] = sys(setxattr, "readable", "user.y", "v", 1, 0);
	r[7] = sys(getxattr, "readable", "trusted.x", NULL, 0);
	r[8] = sys(setxattr, "readable", "trusted.x", "v", 1, 0);
	r[9] = sys(removexattr, "readable", "trusted.x");
	r[10] = sys(chdir, "closed");
	r[11] = sys(chown, "sticky/mine", 1235, -1);
	r[12] = sys(chown, "sticky/mine", 1234, 1234);
	r[13] = sys(chown, "sticky/mine", -1, 1235);
	r[14] = sys(utimensat, AT_FDCWD, "writable", now, 0);
	r[15] = sys(chmod, "writable", 0600);
	r[16] = sys(getxattr, "readable", "security.x", NULL, 0);
	r[17] = sys(setxattr, "readable", "security.x", "v", 1, 0);
	return 0;
}

PROBE("perm/ownership", "open", "mkdir", "symlink", "mknod", "bind", "open_shared", "mkdir_shared", "open_member", "open_plain", "symlink_shared", "mknod_shared", "open_apart", "owner_only_others",
      "owner_write_others", "group_only_others", "group_gives", "supplementary", "supplementary_write", "not_in_group", "others", "execute", "no_execute", "root_execute", "root_execute_folder", "rename_over",
      "exchange", "link_over", "xattr_sticky", "xattr_folder", "removexattr", "setxattr", "trusted_get", "trusted_set", "trusted_remove", "chdir", "give_away", "chown_same", "chown_group", "touch_one", "chmod_other", "security_get", "security_set",
      "lchown", "lchown_target", "chown_follows", "fchmodat2_link", "fchmodat2_target")
{
	long *r = pages(1, true);
	sys(umask, 0);
	must(sys(chmod, ".", 0777));
	must(sys(mkdir, "shared", 0777));
	must(sys(chown, "shared", 0, 3000));
	must(sys(chmod, "shared", 02777));
	must(sys(mkdir, "member", 0777));
	must(sys(chown, "member", 0, 2002));
	must(sys(chmod, "member", 02777));
	require(reap(spawn(makes, r)) == 0);
	made("open", "openat", "file", r[0]);
	made("mkdir", "mkdir", "folder", r[1]);
	made("symlink", "symlink", "link", r[2]);
	made("mknod", "mknod", "fifo", r[3]);
	made("bind", "bind", "socket", r[4]);
	made("open_shared", "openat", "shared/file", r[5]);
	made("mkdir_shared", "mkdir", "shared/folder", r[6]);
	made("open_member", "openat", "member/file", r[7]);
	made("open_plain", "openat", "shared/plain", r[8]);
	made("symlink_shared", "symlink", "shared/link", r[9]);
	made("mknod_shared", "mknod", "shared/fifo", r[10]);
	require(reap(spawn(apart, r)) == 0);
	made("open_apart", "openat", "apart", r[0]);
	for (size_t i = 0; i < countof(rights); i++) {
		char path[16];
		snprintf(path, sizeof path, "r%zu", i);
		put_file(path, "x", 1);
		must(sys(chown, path, rights[i].uid, rights[i].gid));
		must(sys(chmod, path, rights[i].mode));
	}
	require(reap(spawn(in_groups, r)) == 0);
	for (size_t i = 0; i < countof(rights); i++)
		observe(rights[i].id, "access", ret_int(r[2 * i]), ARGS(f_hex("mode", rights[i].mode), f_int("how", rights[i].how)), STATE(f_errno("open", r[2 * i + 1])));
	put_file("plain", "x", 1);
	must(sys(chmod, "plain", 0644));
	must(sys(mkdir, "closed", 0600));
	must(sys(chmod, "closed", 0600));
	observe("root_execute", "access", ret_int(sys(access, "plain", 1)), ARGS(f_int("how", 1)), STATE(f_int("read", sys(access, "plain", 4)), f_int("write", sys(access, "plain", 2))));
	observe("root_execute_folder", "access", ret_int(sys(access, "closed", 1)), ARGS(f_int("how", 1)), STATE());
	must(sys(mkdir, "sticky", 0777));
	must(sys(chmod, "sticky", 01777));
	must(sys(mkdir, "open", 0777));
	put_file("sticky/mine", "mine", 4);
	must(sys(chown, "sticky/mine", 1234, 1234));
	put_file("sticky/roots", "root", 4);
	must(sys(chmod, "sticky/roots", 0666));
	put_file("readable", "x", 1);
	must(sys(chmod, "readable", 0644));
	must(sys(setxattr, "readable", "user.x", "v", 1, 0));
	put_file("writable", "x", 1);
	must(sys(chmod, "writable", 0666));
	run_as(1234, 1234, denied, r);
	observe("rename_over", "rename", ret_int(r[0]), ARGS(), STATE(f_uint("uid", lstat_of("sticky/roots").st_uid), f_errno("mine", lstat_errno("sticky/mine"))));
	observe("exchange", "renameat2", ret_int(r[1]), ARGS(), STATE(f_uint("uid", lstat_of("sticky/roots").st_uid)));
	observe("link_over", "link", ret_int(r[2]), ARGS(), STATE(f_uint("uid", lstat_of("sticky/roots").st_uid)));
	observe("xattr_sticky", "setxattr", ret_int(r[3]), ARGS(), STATE(f_int("there", sys(getxattr, "sticky", "user.x", NULL, 0) > 0)));
	observe("xattr_folder", "setxattr", ret_int(r[4]), ARGS(), STATE(f_int("there", sys(getxattr, "open", "user.x", NULL, 0) > 0)));
	observe("removexattr", "removexattr", ret_int(r[5]), ARGS(), STATE(f_int("there", sys(getxattr, "readable", "user.x", NULL, 0) > 0)));
	observe("setxattr", "setxattr", ret_int(r[6]), ARGS(), STATE(f_int("there", sys(getxattr, "readable", "user.y", NULL, 0) > 0)));
	observe("trusted_get", "getxattr", ret_int(r[7]), ARGS(), STATE());
	observe("trusted_set", "setxattr", ret_int(r[8]), ARGS(), STATE());
	observe("trusted_remove", "removexattr", ret_int(r[9]), ARGS(), STATE());
	observe("chdir", "chdir", ret_int(r[10]), ARGS(), STATE());
	struct stat mine = lstat_of("sticky/mine");
	observe("give_away", "chown", ret_int(r[11]), ARGS(), STATE(f_uint("uid", mine.st_uid)));
	observe("chown_same", "chown", ret_int(r[12]), ARGS(), STATE(f_uint("gid", mine.st_gid)));
	observe("chown_group", "chown", ret_int(r[13]), ARGS(), STATE(f_uint("gid", mine.st_gid)));
	observe("touch_one", "utimensat", ret_int(r[14]), ARGS(), STATE());
	observe("chmod_other", "chmod", ret_int(r[15]), ARGS(), STATE(f_hex("mode", lstat_of("writable").st_mode)));
	observe("security_get", "getxattr", ret_int(r[16]), ARGS(), STATE());
	observe("security_set", "setxattr", ret_int(r[17]), ARGS(), STATE());
	must(sys(symlink, "plain", "to_plain"));
	long c = sys(lchown, "to_plain", 1001, 1002);
	observe("lchown", "lchown", ret_int(c), ARGS(), STATE(f_uint("uid", lstat_of("to_plain").st_uid), f_uint("gid", lstat_of("to_plain").st_gid)));
	observe("lchown_target", "lchown", ret_int(c), ARGS(), STATE(f_uint("uid", lstat_of("plain").st_uid)));
	c = sys(chown, "to_plain", 1003, -1);
	observe("chown_follows", "chown", ret_int(c), ARGS(), STATE(f_uint("uid", lstat_of("plain").st_uid), f_uint("link_uid", lstat_of("to_plain").st_uid)));
	c = sys6(452, AT_FDCWD, (long)"to_plain", 0600, AT_SYMLINK_NOFOLLOW, 0, 0);
	observe("fchmodat2_link", "fchmodat2", ret_int(c), ARGS(f_hex("flags", AT_SYMLINK_NOFOLLOW)), STATE(f_hex("mode", lstat_of("to_plain").st_mode)));
	observe("fchmodat2_target", "fchmodat2", ret_int(c), ARGS(f_hex("flags", AT_SYMLINK_NOFOLLOW)), STATE(f_hex("mode", lstat_of("plain").st_mode)));
}
