/* What an ordinary user may and may not do with names, modes, times and contents of others. */
#include "probe.h"
#include <sys/xattr.h>

static struct timespec now[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}}, set[2] = {{5, 5}, {6, 6}}, mixed[2] = {{0, UTIME_OMIT}, {0, UTIME_NOW}}, omit[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}};
static struct stat left;

static long opened(const char *path, int flags)
{
	long fd = sys(openat, AT_FDCWD, path, flags, 0);
	if (fd < 0)
		return fd;
	sys(close, fd);
	return 0;
}

static const struct { const char *id, *call; } names[] = {
	{"fchdir_no_search", "fchdir"}, {"chdir_no_search", "chdir"}, {"fchdir_path", "fchdir"}, {"sticky_unlink", "unlink"}, {"sticky_rename", "rename"}, {"sticky_rename_over", "rename"}, {"sticky_rmdir", "rmdir"}, {"sticky_exchange", "renameat2"},
	{"own_sticky_unlink", "unlink"}, {"own_in_sticky", "unlink"}, {"rename_directory_unwritable", "rename"}, {"rename_directory_same_parent", "rename"}, {"noatime", "openat"}, {"noatime_setfl", "fcntl"}, {"noatime_own", "openat"},
	{"truncate_unwritable", "truncate"}, {"truncate_writable", "truncate"}, {"open_trunc_unwritable", "openat"}, {"times_now_unwritable", "utimensat"}, {"times_now_writable", "utimensat"}, {"times_set_writable", "utimensat"}, {"times_mixed_writable", "utimensat"},
	{"times_omit", "utimensat"}, {"times_null", "utimensat"}, {"times_own", "utimensat"}, {"utimes_writable", "utimes"}, {"device", "mknodat"}, {"block_device", "mknodat"}, {"fifo", "mknodat"}, {"chown_group_foreign", "chown"}, {"chown_group_own", "chown"},
	{"chown_user", "chown"}, {"chown_same", "chown"}, {"chown_foreign_file", "chown"}, {"chmod_foreign_group", "chmod"}, {"chmod_own_group", "chmod"}, {"chmod_others", "chmod"}, {"creat_mode_0", "openat"}, {"creat_mode_0_again", "openat"},
	{"xattr_unreadable", "getxattr"}, {"xattr_set_unwritable", "setxattr"}, {"xattr_trusted", "getxattr"}, {"xattr_list", "listxattr"}, {"xattr_set_trusted", "setxattr"}, {"mkdir_unwritable", "mkdirat"}, {"open_directory_no_read", "openat"}, {"exec_only", "openat"},
	{"search_only", "openat"}, {"unlink_own_in_closed", "unlink"}, {"readlink_foreign", "readlink"}, {"chroot", "chroot"}, {"sticky_bit_file", "chmod"},
};

static int user(long *r)
{
	size_t i = 0;
	char b[64];
	long d = sys(openat, AT_FDCWD, "no_search", O_RDONLY), p = sys(openat, AT_FDCWD, "no_search", O_PATH);
	r[i++] = sys(fchdir, d);
	r[i++] = sys(chdir, "no_search");
	r[i++] = sys(fchdir, p);
	r[i++] = sys(unlink, "sticky/root");
	r[i++] = sys(rename, "sticky/root", "sticky/new");
	r[i++] = sys(rename, "sticky/mine", "sticky/root");
	r[i++] = sys(rmdir, "sticky/dir");
	r[i++] = sys(renameat2, AT_FDCWD, "sticky/mine", AT_FDCWD, "sticky/root", 2);
	r[i++] = sys(unlink, "own_sticky/root");
	r[i++] = sys(unlink, "sticky/mine");
	r[i++] = sys(rename, "open/closed", "open2/closed");
	r[i++] = sys(rename, "open/closed", "open/closed2");
	r[i++] = opened("readable", O_RDONLY | O_NOATIME);
	long fd = sys(openat, AT_FDCWD, "readable", O_RDONLY);
	r[i++] = sys(fcntl, fd, F_SETFL, O_NOATIME);
	r[i++] = opened("mine", O_RDONLY | O_NOATIME);
	r[i++] = sys(truncate, "readable", 0);
	r[i++] = sys(truncate, "writable", 1);
	r[i++] = opened("readable", O_RDONLY | O_TRUNC);
	r[i++] = sys(utimensat, AT_FDCWD, "readable", now, 0);
	r[i++] = sys(utimensat, AT_FDCWD, "writable", now, 0);
	r[i++] = sys(utimensat, AT_FDCWD, "writable", set, 0);
	r[i++] = sys(utimensat, AT_FDCWD, "writable", mixed, 0);
	r[i++] = sys(utimensat, AT_FDCWD, "readable", omit, 0);
	r[i++] = sys(utimensat, AT_FDCWD, "readable", NULL, 0);
	r[i++] = sys(utimensat, AT_FDCWD, "mine", set, 0);
	struct timeval tv[2] = {{1, 1}, {2, 2}};
	r[i++] = sys(utimes, "writable", tv);
	r[i++] = sys(mknodat, AT_FDCWD, "open/null", S_IFCHR | 0666, 0x103);
	r[i++] = sys(mknodat, AT_FDCWD, "open/block", S_IFBLK | 0666, 0x103);
	r[i++] = sys(mknodat, AT_FDCWD, "open/fifo", S_IFIFO | 0666, 0);
	r[i++] = sys(chown, "mine", -1, 4321);
	r[i++] = sys(chown, "mine", -1, 1234);
	r[i++] = sys(chown, "mine", 4321, -1);
	r[i++] = sys(chown, "mine", 1234, 1234);
	r[i++] = sys(chown, "readable", -1, 1234);
	r[i++] = sys(chmod, "foreign_group", 02775);
	r[i++] = sys(chmod, "mine", 02775);
	r[i++] = sys(chmod, "readable", 0777);
	r[i++] = opened("open/zero", O_CREAT | O_RDWR);
	r[i++] = opened("open/zero", O_CREAT | O_RDWR);
	r[i++] = sys(getxattr, "private", "user.x", b, sizeof b);
	r[i++] = sys(setxattr, "readable", "user.x", "v", 1, 0);
	r[i++] = sys(getxattr, "readable", "trusted.x", b, sizeof b);
	r[i++] = sys(listxattr, "readable", b, sizeof b);
	r[i++] = sys(setxattr, "mine", "trusted.y", "v", 1, 0);
	r[i++] = sys(mkdirat, AT_FDCWD, "no_search/x", 0700);
	r[i++] = opened("search", O_RDONLY);
	r[i++] = opened("executable", O_RDONLY);
	r[i++] = opened("search/file", O_RDONLY);
	r[i++] = sys(unlink, "closed/mine");
	r[i++] = sys(readlink, "link", b, sizeof b);
	r[i++] = sys(chroot, ".");
	r[i++] = sys(chmod, "mine", 01644);
	return i == countof(names) ? 0 : 3;
}

static void give(const char *path, mode_t mode, uid_t uid, gid_t gid)
{
	must(sys(chown, path, uid, gid));
	must(sys(chmod, path, mode));
}
static void dir(const char *path, mode_t mode, uid_t uid)
{
	must(sys(mkdirat, AT_FDCWD, path, 0700));
	give(path, mode, uid, uid);
}
static void file(const char *path, mode_t mode, uid_t uid, gid_t gid)
{
	put_file(path, "abc", 3);
	give(path, mode, uid, gid);
}

PROBE("perm/user", "fchdir_no_search", "chdir_no_search", "fchdir_path", "sticky_unlink", "sticky_rename", "sticky_rename_over", "sticky_rmdir", "sticky_exchange", "own_sticky_unlink", "own_in_sticky", "rename_directory_unwritable", "rename_directory_same_parent",
      "noatime", "noatime_setfl", "noatime_own", "truncate_unwritable", "truncate_writable", "open_trunc_unwritable", "times_now_unwritable", "times_now_writable", "times_set_writable", "times_mixed_writable", "times_omit", "times_null", "times_own", "utimes_writable",
      "device", "block_device", "fifo", "chown_group_foreign", "chown_group_own", "chown_user", "chown_same", "chown_foreign_file", "chmod_foreign_group", "chmod_own_group", "chmod_others", "creat_mode_0", "creat_mode_0_again", "xattr_unreadable",
      "xattr_set_unwritable", "xattr_trusted", "xattr_list", "xattr_set_trusted", "mkdir_unwritable", "open_directory_no_read", "exec_only", "search_only", "unlink_own_in_closed", "readlink_foreign", "chroot", "sticky_bit_file", "after")
{
	must(sys(chmod, ".", 0755));
	dir("no_search", 0744, 0);
	dir("sticky", 01777, 0);
	dir("own_sticky", 01777, 1234);
	dir("sticky/dir", 0777, 0);
	dir("open", 0777, 0);
	dir("open2", 0777, 0);
	dir("open/closed", 0555, 1234);
	dir("search", 0711, 0);
	dir("closed", 0700, 0);
	file("sticky/root", 0666, 0, 0);
	file("sticky/mine", 0666, 1234, 1234);
	file("own_sticky/root", 0666, 0, 0);
	file("closed/mine", 0666, 1234, 1234);
	file("search/file", 0644, 0, 0);
	file("readable", 0644, 0, 0);
	file("writable", 0666, 0, 0);
	file("private", 0600, 0, 0);
	file("executable", 0711, 0, 0);
	file("mine", 0644, 1234, 1234);
	file("foreign_group", 0644, 1234, 4321);
	must(sys(symlinkat, "target", AT_FDCWD, "link"));
	must(sys(setxattr, "private", "user.x", "v", 1, 0));
	sys(setxattr, "readable", "trusted.x", "v", 1, 0); /* Not every file system has them. */
	must(sys(setxattr, "readable", "user.a", "v", 1, 0));
	long *r = pages(1, true);
	run_as(1234, 1234, user, r);
	for (size_t i = 0; i < countof(names); i++)
		observe(names[i].id, names[i].call, ret_int(r[i]), ARGS(), STATE());
	left = lstat_of("foreign_group");
	observe("after", "lstat", ret_int(0), ARGS(),
		STATE(f_hex("foreign_group", left.st_mode), f_hex("mine", lstat_of("mine").st_mode), f_hex("zero", lstat_of("open/zero").st_mode), f_errno("sticky", lstat_errno("sticky/root")), f_errno("own_sticky", lstat_errno("own_sticky/root")),
		      f_int("readable", lstat_of("readable").st_size), f_int("writable", lstat_of("writable").st_size), f_bool("writable_now", lstat_of("writable").st_mtim.tv_sec > 1000000000), f_uint("mine_gid", lstat_of("mine").st_gid)));
}
