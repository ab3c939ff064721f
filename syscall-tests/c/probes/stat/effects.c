/* Which time stamps each call moves: of the file and of its folder. */
#include "probe.h"
#include <linux/falloc.h>
#include <sys/xattr.h>

static struct stat file, folder;

static void before(const char *path)
{
	struct timespec old[2] = {{1000000000, 0}, {1100000000, 0}};
	must(sys(utimensat, AT_FDCWD, path, old, AT_SYMLINK_NOFOLLOW));
	must(sys(utimensat, AT_FDCWD, "d", old, 0));
	file = lstat_of(path);
	folder = lstat_of("d");
	next_stamp();
}

static const char *moved(const struct stat *was, const struct stat *is)
{
	static const char *const names[] = {"none", "a", "m", "am", "c", "ac", "mc", "amc"};
	int bits = (stamp_ns(was->st_atim) != stamp_ns(is->st_atim)) | (stamp_ns(was->st_mtim) != stamp_ns(is->st_mtim)) << 1 |
		   (stamp_ns(was->st_ctim) != stamp_ns(is->st_ctim)) << 2;
	return names[bits];
}

static void after(const char *id, const char *call, long result, const char *path)
{
	struct stat f = lstat_of(path), d = lstat_of("d");
	observe(id, call, ret_int(result), ARGS(),
		STATE(f_str("file", moved(&file, &f)), f_str("folder", moved(&folder, &d)), f_uint("links", f.st_nlink), f_uint("folder_links", d.st_nlink)));
}

#define STEP(id, call, path, ...)                                                                                     \
	do {                                                                                                          \
		before(path);                                                                                         \
		long r_ = __VA_ARGS__;                                                                                \
		after(id, call, r_, path);                                                                            \
	} while (0)

PROBE("stat/effects", "read", "pread", "noatime", "followed", "write", "write_nothing", "chmod", "chmod_same", "fchmod", "chown", "chown_nothing",
      "utimensat", "utimensat_one", "truncate", "truncate_same", "ftruncate_same", "ftruncate", "open_trunc", "open_creat", "fallocate",
      "fallocate_keep", "punch", "setxattr", "removexattr", "link", "unlink", "rename", "rename_over", "symlink", "readlink", "mkdir", "mkdir_in", "rmdir_in",
      "rmdir", "mknod", "getdents", "stat", "exchange", "move_out")
{
	char data[4096];
	must(sys(mkdirat, AT_FDCWD, "d", 0755));
	put_file("d/f", "0123456789", 10);
	long fd = must(sys(openat, AT_FDCWD, "d/f", O_RDWR)), dir = must(sys(openat, AT_FDCWD, "d", O_RDONLY));
	STEP("read", "read", "d/f", sys(read, fd, data, 4));
	must(sys(lseek, fd, 0, SEEK_END));
	STEP("pread", "pread64", "d/f", sys(pread64, fd, data, 4, 2));
	long quiet = must(sys(openat, AT_FDCWD, "d/f", O_RDONLY | O_NOATIME));
	STEP("noatime", "read", "d/f", sys(read, quiet, data, 4));
	must(sys(symlinkat, "f", AT_FDCWD, "d/link"));
	STEP("followed", "openat", "d/link", sys(openat, AT_FDCWD, "d/link", O_RDONLY) >= 0);
	STEP("write", "write", "d/f", sys(write, fd, "x", 1));
	STEP("write_nothing", "write", "d/f", sys(write, fd, "x", 0));
	STEP("chmod", "chmod", "d/f", sys(chmod, "d/f", 0640));
	STEP("chmod_same", "chmod", "d/f", sys(chmod, "d/f", 0640));
	STEP("fchmod", "fchmod", "d/f", sys(fchmod, fd, 0600));
	STEP("chown", "chown", "d/f", sys(chown, "d/f", sys(geteuid), sys(getegid)));
	STEP("chown_nothing", "chown", "d/f", sys(chown, "d/f", -1, -1));
	struct timespec other[2] = {{1200000000, 0}, {1200000000, 0}};
	STEP("utimensat", "utimensat", "d/f", sys(utimensat, AT_FDCWD, "d/f", other, 0));
	other[0].tv_nsec = UTIME_OMIT;
	STEP("utimensat_one", "utimensat", "d/f", sys(utimensat, AT_FDCWD, "d/f", other, 0));
	STEP("truncate", "truncate", "d/f", sys(truncate, "d/f", 20));
	STEP("truncate_same", "truncate", "d/f", sys(truncate, "d/f", 20));
	STEP("ftruncate_same", "ftruncate", "d/f", sys(ftruncate, fd, 20));
	STEP("ftruncate", "ftruncate", "d/f", sys(ftruncate, fd, 10));
	STEP("open_trunc", "openat", "d/f", sys(openat, AT_FDCWD, "d/f", O_WRONLY | O_TRUNC) >= 0);
	STEP("open_creat", "openat", "d/f", sys(openat, AT_FDCWD, "d/f", O_WRONLY | O_CREAT, 0600) >= 0);
	STEP("fallocate", "fallocate", "d/f", sys(fallocate, fd, 0, 0, 8192));
	STEP("fallocate_keep", "fallocate", "d/f", sys(fallocate, fd, FALLOC_FL_KEEP_SIZE, 8192, 4096));
	STEP("punch", "fallocate", "d/f", sys(fallocate, fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, 0, 4096));
	STEP("setxattr", "setxattr", "d/f", sys(setxattr, "d/f", "user.a", "1", 1, 0));
	STEP("removexattr", "removexattr", "d/f", sys(removexattr, "d/f", "user.a"));
	STEP("link", "link", "d/f", sys(link, "d/f", "d/g"));
	STEP("unlink", "unlink", "d/f", sys(unlink, "d/g"));
	before("d/f");
	long r = sys(rename, "d/f", "d/h");
	after("rename", "rename", r, "d/h");
	put_file("d/other", "x", 1);
	must(sys(link, "d/other", "d/witness"));
	before("d/witness");
	r = sys(rename, "d/h", "d/other");
	after("rename_over", "rename", r, "d/witness");
	STEP("symlink", "symlink", "d/other", sys(symlink, "other", "d/l"));
	STEP("readlink", "readlink", "d/l", sys(readlink, "d/l", data, sizeof data));
	STEP("mkdir", "mkdir", "d/other", sys(mkdir, "d/sub", 0755));
	STEP("mkdir_in", "mkdir", "d/sub", sys(mkdir, "d/sub/sub", 0755));
	STEP("rmdir_in", "rmdir", "d/sub", sys(rmdir, "d/sub/sub"));
	STEP("rmdir", "rmdir", "d/other", sys(rmdir, "d/sub"));
	STEP("mknod", "mknodat", "d/other", sys(mknodat, AT_FDCWD, "d/pipe", S_IFIFO | 0600, 0));
	STEP("getdents", "getdents64", "d/other", sys(getdents64, dir, data, sizeof data) > 0);
	struct stat st;
	STEP("stat", "newfstatat", "d/other", sys(newfstatat, AT_FDCWD, "d/other", &st, 0));
	put_file("outside", "x", 1);
	before("d/other");
	r = sys(renameat2, AT_FDCWD, "d/other", AT_FDCWD, "outside", 2);
	after("exchange", "renameat2", r, "outside");
	must(sys(mkdirat, AT_FDCWD, "d/sub", 0755));
	before("d/sub");
	r = sys(renameat, AT_FDCWD, "d/sub", AT_FDCWD, "sub");
	after("move_out", "renameat", r, "sub");
}
