/* Which calls move which time stamps of a file and of its directory, and what they leave of links and size. */
#include "probe.h"
#include <sys/xattr.h>

static long fd;
static char b[4096] __attribute__((aligned(8)));

static long from(void) { return must(sys(openat, AT_FDCWD, "source", O_RDONLY)); }
static long write_one(void) { return sys(write, fd, "x", 1); }
static long write_nothing(void) { return sys(write, fd, "x", 0); }
static long pwrite_one(void) { return sys(pwrite64, fd, "x", 1, 20); }
static long truncate_same(void) { return sys(truncate, "d/f", 8); }
static long ftruncate_same(void) { return sys(ftruncate, fd, 8); }
static long truncate_grow(void) { return sys(truncate, "d/f", 9); }
static long ftruncate_cut(void) { return sys(ftruncate, fd, 7); }
static long allocate(void) { return sys(fallocate, fd, 0, 0, 100); }
static long allocate_kept(void) { return sys(fallocate, fd, 1, 0, 100); }
static long punch(void) { return sys(fallocate, fd, 3, 2, 2); }
static long make_link(void) { return sys(link, "d/f", "d/new"); }
static long unlink_one(void) { return sys(unlink, "d/g"); }
static long unlink_last(void) { must(sys(unlink, "d/g")); next_stamp(); return sys(unlink, "d/f"); }
static long rename_one(void) { return sys(rename, "d/f", "d/new"); }
static long rename_away(void) { return sys(rename, "d/f", "e/new"); }
static long rename_over(void) { return sys(rename, "d/other", "d/f"); }
static long exchange(void) { return sys(renameat2, AT_FDCWD, "d/f", AT_FDCWD, "d/other", 2); }
static long rename_same(void) { return sys(rename, "d/f", "d/g"); }
static long chmod_same(void) { return sys(chmod, "d/f", 0644); }
static long chown_nothing(void) { return sys(chown, "d/f", -1, -1); }
static long set_attribute(void) { return sys(setxattr, "d/f", "user.new", "v", 1, 0); }
static long set_again(void) { return sys(fsetxattr, fd, "user.x", "x", 1, XATTR_REPLACE); }
static long set_refused(void) { return sys(setxattr, "d/f", "user.x", "v", 1, XATTR_CREATE); }
static long remove_attribute(void) { return sys(removexattr, "d/f", "user.x"); }
static long remove_missing(void) { return sys(removexattr, "d/f", "user.none"); }
static long fremove_attribute(void) { return sys(fremovexattr, fd, "user.x"); }
static long omit_both(void) { struct timespec t[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}}; return sys(utimensat, AT_FDCWD, "d/f", t, 0); }
static long atime_only(void) { struct timespec t[2] = {{5, 5}, {0, UTIME_OMIT}}; return sys(utimensat, AT_FDCWD, "d/f", t, 0); }
static long create(void) { return err_of(sys(openat, AT_FDCWD, "d/new", O_CREAT | O_WRONLY, 0600)); }
static long create_there(void) { return err_of(sys(openat, AT_FDCWD, "d/f", O_CREAT | O_WRONLY, 0600)); }
static long make_folder(void) { return sys(mkdir, "d/new", 0755); }
static long remove_folder(void) { return sys(rmdir, "d/folder"); }
static long move_folder(void) { return sys(rename, "d/folder", "e/folder"); }
static long move_in(void) { return sys(rename, "e/inner", "d/inner"); }
static long folder_over(void) { return sys(rename, "e/inner", "d/folder"); }
static long make_symlink(void) { return sys(symlink, "f", "d/new"); }
static long make_fifo(void) { return sys(mknod, "d/new", S_IFIFO | 0600, 0); }
static long open_trunc(void) { return err_of(sys(openat, AT_FDCWD, "d/f", O_WRONLY | O_TRUNC)); }
static long copied(void) { return sys(copy_file_range, from(), NULL, fd, NULL, 3, 0); }
static long sent(void) { return sys(sendfile, fd, from(), NULL, 3); }
static long appended(void) { struct iovec v = {"abc", 3}; return sys(pwritev2, fd, &v, 1, -1, 0, 0x10); }

static const struct { const char *id, *call; long (*act)(void); } steps[] = {
	{"write", "write", write_one}, {"write_nothing", "write", write_nothing}, {"pwrite", "pwrite64", pwrite_one},
	{"truncate_same", "truncate", truncate_same}, {"ftruncate_same", "ftruncate", ftruncate_same}, {"truncate_grow", "truncate", truncate_grow},
	{"ftruncate_cut", "ftruncate", ftruncate_cut}, {"allocate", "fallocate", allocate}, {"allocate_kept", "fallocate", allocate_kept}, {"punch", "fallocate", punch},
	{"link", "link", make_link}, {"unlink_one", "unlink", unlink_one}, {"unlink_last", "unlink", unlink_last}, {"rename", "rename", rename_one},
	{"rename_away", "rename", rename_away}, {"rename_over", "rename", rename_over}, {"exchange", "renameat2", exchange}, {"rename_same", "rename", rename_same},
	{"chmod_same", "chmod", chmod_same}, {"chown_nothing", "chown", chown_nothing}, {"set_attribute", "setxattr", set_attribute},
	{"set_again", "fsetxattr", set_again}, {"set_refused", "setxattr", set_refused}, {"remove_attribute", "removexattr", remove_attribute},
	{"remove_missing", "removexattr", remove_missing}, {"fremove_attribute", "fremovexattr", fremove_attribute}, {"omit_both", "utimensat", omit_both}, {"atime_only", "utimensat", atime_only},
	{"create", "openat", create}, {"create_there", "openat", create_there}, {"make_folder", "mkdir", make_folder}, {"remove_folder", "rmdir", remove_folder},
	{"move_folder", "rename", move_folder}, {"move_in", "rename", move_in}, {"folder_over", "rename", folder_over}, {"make_symlink", "symlink", make_symlink}, {"make_fifo", "mknod", make_fifo},
	{"open_trunc", "openat", open_trunc}, {"copied", "copy_file_range", copied}, {"sent", "sendfile", sent}, {"appended", "pwritev2", appended},
};

static void clean(const char *dir)
{
	static const char *const names[] = {"f", "g", "new", "other", "folder", "inner"};
	char path[32];
	for (size_t i = 0; i < countof(names); i++) {
		snprintf(path, sizeof path, "%s/%s", dir, names[i]);
		if (sys(unlink, path))
			sys(rmdir, path);
	}
	must(sys(rmdir, dir));
}

PROBE("stat/stamps", "write", "write_nothing", "pwrite", "truncate_same", "ftruncate_same", "truncate_grow", "ftruncate_cut", "allocate", "allocate_kept", "punch", "link", "unlink_one",
      "unlink_last", "rename", "rename_away", "rename_over", "exchange", "rename_same", "chmod_same", "chown_nothing", "set_attribute", "set_again", "set_refused", "remove_attribute",
      "remove_missing", "fremove_attribute", "omit_both", "atime_only", "create", "create_there", "make_folder", "remove_folder", "move_folder", "move_in", "folder_over", "make_symlink", "make_fifo",
      "open_trunc", "copied", "sent", "appended", "readlink", "listed", "read", "read_again", "read_nothing")
{
	put_file("source", "0123456789", 10);
	for (size_t i = 0; i < countof(steps); i++) {
		must(sys(mkdir, "d", 0755));
		must(sys(mkdir, "e", 0755));
		must(sys(mkdir, "d/folder", 0755));
		must(sys(mkdir, "e/inner", 0755));
		put_file("d/f", "01234567", 8);
		put_file("d/other", "abc", 3);
		must(sys(link, "d/f", "d/g"));
		must(sys(setxattr, "d/f", "user.x", "x", 1, 0));
		fd = must(sys(openat, AT_FDCWD, "d/f", O_RDWR));
		struct stat was = fstat_of((int)fd), dir = lstat_of("d"), away = lstat_of("e");
		next_stamp();
		long r = steps[i].act();
		struct stat is = fstat_of((int)fd), now = lstat_of("d"), there = lstat_of("e");
		observe(steps[i].id, steps[i].call, ret_int(r), ARGS(),
			STATE(f_rel("atime", stamp_ns(is.st_atim), stamp_ns(was.st_atim)), f_rel("mtime", stamp_ns(is.st_mtim), stamp_ns(was.st_mtim)), f_rel("ctime", stamp_ns(is.st_ctim), stamp_ns(was.st_ctim)),
			      f_bool("apart", stamp_ns(is.st_mtim) != stamp_ns(was.st_mtim) && stamp_ns(is.st_mtim) != stamp_ns(is.st_ctim)), f_uint("links", is.st_nlink), f_int("size", is.st_size), f_int("position", tell(fd)),
			      f_rel("dir_mtime", stamp_ns(now.st_mtim), stamp_ns(dir.st_mtim)), f_rel("dir_ctime", stamp_ns(now.st_ctim), stamp_ns(dir.st_ctim)), f_int("dir_links", (int64_t)now.st_nlink - (int64_t)dir.st_nlink),
			      f_rel("away_mtime", stamp_ns(there.st_mtim), stamp_ns(away.st_mtim)), f_int("away_links", (int64_t)there.st_nlink - (int64_t)away.st_nlink)));
		must(sys(close, fd));
		clean("d");
		clean("e");
	}
	/* Last access: moved when it is not later than the last change. */
	struct timespec old[2] = {{1000, 0}, {2000, 0}};
	must(sys(mkdir, "d", 0755));
	put_file("d/f", "01234567", 8);
	must(sys(symlink, "f", "d/link"));
	must(sys(utimensat, AT_FDCWD, "d/link", old, AT_SYMLINK_NOFOLLOW));
	long r = sys(readlink, "d/link", b, sizeof b);
	observe("readlink", "readlink", ret_int(r), ARGS(), STATE(f_rel("atime", lstat_of("d/link").st_atim.tv_sec, 1000), f_int("mtime", lstat_of("d/link").st_mtim.tv_sec)));
	must(sys(utimensat, AT_FDCWD, "d", old, 0));
	long dir = must(sys(openat, AT_FDCWD, "d", O_RDONLY | O_DIRECTORY));
	r = sys(getdents64, dir, b, sizeof b);
	observe("listed", "getdents64", ret_bool(r > 0), ARGS(), STATE(f_rel("atime", lstat_of("d").st_atim.tv_sec, 1000), f_int("mtime", lstat_of("d").st_mtim.tv_sec)));
	must(sys(utimensat, AT_FDCWD, "d/f", old, 0));
	fd = must(sys(openat, AT_FDCWD, "d/f", O_RDONLY));
	next_stamp();
	r = sys(read, fd, b, 4);
	struct stat first = lstat_of("d/f");
	observe("read", "read", ret_int(r), ARGS(), STATE(f_rel("atime", first.st_atim.tv_sec, 1000), f_int("mtime", first.st_mtim.tv_sec)));
	next_stamp();
	r = sys(read, fd, b, 4);
	observe("read_again", "read", ret_int(r), ARGS(), STATE(f_rel("atime", stamp_ns(lstat_of("d/f").st_atim), stamp_ns(first.st_atim))));
	next_stamp();
	first = lstat_of("d/f");
	r = sys(read, fd, b, 0);
	observe("read_nothing", "read", ret_int(r), ARGS(f_uint("count", 0)), STATE(f_rel("atime", stamp_ns(lstat_of("d/f").st_atim), stamp_ns(first.st_atim))));
}
