/* What each call moves: access, change and birth times, links and sizes of the file, of both folders, of a file that is replaced, of a folder and of a symbolic link. */
#include "probe.h"
#include <linux/falloc.h>
#include <sys/file.h>
#include <sys/xattr.h>

enum { FILE_, OLD, NEW, VICTIM, FOLDER, LINK, WATCHED };
static const char *const paths[WATCHED] = {"d/f", "d", "e", "e/victim", "d/sub", "d/link"};
static long on[WATCHED], fd, ro, other, sock;
static struct statx was[WATCHED];
static char data[8192];
static int p[2];

static void set_up(void)
{
	must(sys(mkdir, "d", 0755));
	must(sys(mkdir, "e", 0755));
	must(sys(mkdir, "d/sub", 0755));
	must(sys(mkdir, "e/sub", 0755));
	must(sys(mkdir, "e/full", 0755));
	put_file("d/f", "01234567", 8);
	put_file("d/empty", "", 0);
	put_file("e/victim", "abc", 3);
	put_file("e/full/x", "", 0);
	must(sys(link, "e/victim", "e/second"));
	must(sys(symlink, "f", "d/link"));
	must(sys(setxattr, "d/f", "user.x", "x", 1, 0));
	fd = must(sys(openat, AT_FDCWD, "d/f", O_RDWR));
	ro = must(sys(openat, AT_FDCWD, "d", O_RDONLY | O_DIRECTORY));
	other = must(sys(openat, AT_FDCWD, "e/victim", O_RDWR));
	sock = must(sys(socket, AF_UNIX, SOCK_DGRAM, 0));
	make_pipe(p, 0);
	must(sys(write, p[1], "abcdef", 6));
	static const struct timespec old[2] = {{1000000000, 0}, {1100000000, 0}};
	for (int i = 0; i < WATCHED; i++) {
		on[i] = must(sys(openat, AT_FDCWD, paths[i], O_PATH | O_NOFOLLOW));
		must(sys(utimensat, AT_FDCWD, paths[i], old, AT_SYMLINK_NOFOLLOW));
	}
	for (int i = 0; i < WATCHED; i++)
		must(sys(statx, on[i], "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &was[i]));
	next_stamp();
}

static bool apart(struct statx_timestamp a, struct statx_timestamp b) { return a.tv_sec != b.tv_sec || a.tv_nsec != b.tv_nsec; }

/* What is not as it was: "amcb", links, size, mode; and "=" if the two change times are now the same, where they are made `together`. */
static const char *moved(int i, bool together, char *text, size_t room)
{
	struct statx is;
	must(sys(statx, on[i], "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &is));
	int n = snprintf(text, room, "%s%s%s%s", apart(is.stx_atime, was[i].stx_atime) ? "a" : "", apart(is.stx_mtime, was[i].stx_mtime) ? "m" : "", apart(is.stx_ctime, was[i].stx_ctime) ? "c" : "",
			 apart(is.stx_btime, was[i].stx_btime) ? "b" : "");
	if (together && n > 1 && !apart(is.stx_mtime, is.stx_ctime))
		n += snprintf(text + n, room - n, "=");
	if (is.stx_nlink != was[i].stx_nlink)
		n += snprintf(text + n, room - n, " links %u", is.stx_nlink);
	if (is.stx_size != was[i].stx_size && !S_ISDIR(is.stx_mode))
		n += snprintf(text + n, room - n, " size %lu", (unsigned long)is.stx_size);
	if (is.stx_mode != was[i].stx_mode)
		snprintf(text + n, room - n, " mode %o", is.stx_mode);
	return text;
}

static void tear_down(void)
{
	static const char *const names[] = {"f", "empty", "victim", "second", "link", "new", "new2", "full/x", "full", "sub/in", "sub/f", "sub/new", "sub/sub", "sub"};
	char path[64];
	must(sys(close_range, 3, 399, 0));
	for (size_t i = 0; i < countof(names); i++)
		for (int dir = 0; dir < 2; dir++) {
			snprintf(path, sizeof path, "%c/%s", "de"[dir], names[i]);
			if (sys(unlink, path))
				sys(rmdir, path);
		}
	must(sys(rmdir, "d"));
	must(sys(rmdir, "e"));
}

static long times(const char *path, int flags, long a, long an, long m, long mn)
{
	struct timespec t[2] = {{a, an}, {m, mn}};
	return sys(utimensat, AT_FDCWD, path, t, flags);
}
static long vector(bool write, long at)
{
	struct iovec v[2] = {{data, 3}, {data, 4}};
	return write ? (at < 0 ? sys(writev, fd, v, 2) : sys(pwritev, fd, v, 2, at)) : (at < 0 ? sys(readv, fd, v, 2) : sys(preadv, fd, v, 2, at));
}
static long opens(const char *path, int flags) { return err_of(sys(openat, AT_FDCWD, path, flags, 0600)); }
static long limited(void)
{
	struct rlimit old, now;
	must(sys(getrlimit, RLIMIT_FSIZE, &old));
	now = (struct rlimit){8, old.rlim_max};
	mask_signals(SIG_BLOCK, SIGBIT(SIGXFSZ));
	must(sys(setrlimit, RLIMIT_FSIZE, &now));
	long r = sys(pwrite64, fd, "x", 1, 8);
	must(sys(setrlimit, RLIMIT_FSIZE, &old));
	return r;
}
static long binds(void)
{
	struct sockaddr_un name = {AF_UNIX, "d/new"};
	return sys(bind, sock, &name, sizeof name);
}
static long reads_link(void) { return sys(readlink, "d/link", data, sizeof data); }
static long lists(void) { return sys(getdents64, ro, data, sizeof data) > 0; }
static long unlinked(long r)
{
	must(r);
	next_stamp();
	return sys(unlink, "d/f");
}
static long temporary(void)
{
	char path[64];
	long t = must(sys(openat, AT_FDCWD, "d", O_TMPFILE | O_RDWR, 0600));
	snprintf(path, sizeof path, "/proc/self/fd/%ld", t);
	return sys(linkat, AT_FDCWD, path, AT_FDCWD, "e/new", AT_SYMLINK_FOLLOW);
}

#define LIST(X)                                                                                                       \
	X(read, "read", sys(read, fd, data, 3)) X(readv, "readv", vector(false, -1)) X(preadv, "preadv", vector(false, 2)) X(read_end, "pread64", sys(pread64, fd, data, 4, 8)) \
	X(sendfile_from, "sendfile", sys(sendfile, other, fd, NULL, 3)) X(copy_from, "copy_file_range", sys(copy_file_range, fd, NULL, other, NULL, 3, 0))              \
	X(splice_from, "splice", sys(splice, fd, NULL, p[1], NULL, 3, 0)) X(splice_to, "splice", sys(splice, p[0], NULL, fd, NULL, 3, 0)) X(read_link, "readlink", reads_link()) X(list, "getdents64", lists())         \
	X(follow, "openat", opens("d/link", O_RDONLY)) X(walk, "chdir", sys(chdir, "d/sub") ?: sys(chdir, "../.."))    \
	X(write, "write", sys(write, fd, "x", 1)) X(writev, "writev", vector(true, -1)) X(pwritev, "pwritev", vector(true, 100)) X(write_none, "pwrite64", sys(pwrite64, fd, "x", 0, 50)) \
	X(write_limited, "pwrite64", limited()) X(sync, "fsync", sys(fsync, fd)) X(lock, "flock", sys(flock, fd, LOCK_EX)) X(seek, "lseek", sys(lseek, fd, 4, SEEK_SET))  \
	X(truncate_same, "truncate", sys(truncate, "d/f", 8)) X(truncate_zero, "truncate", sys(truncate, "d/f", 0)) X(truncate_empty, "truncate", sys(truncate, "d/empty", 0)) X(ftruncate_grow, "ftruncate", sys(ftruncate, fd, 100)) X(truncate_negative, "truncate", sys(truncate, "d/f", -1)) \
	X(open_truncated, "openat", opens("d/f", O_WRONLY | O_TRUNC)) X(open_truncated_read, "openat", opens("d/f", O_RDONLY | O_TRUNC)) X(open_truncated_link, "openat", opens("d/link", O_WRONLY | O_TRUNC)) X(creat_there, "creat", err_of(sys(creat, "d/f", 0600)))     \
	X(open_created_there, "openat", opens("d/f", O_CREAT | O_WRONLY)) X(open_excl, "openat", opens("d/f", O_CREAT | O_EXCL | O_WRONLY)) X(open_created, "openat", opens("d/new", O_CREAT | O_WRONLY)) X(temporary, "linkat", temporary())              \
	X(zero_range, "fallocate", sys(fallocate, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 100, 10)) X(allocate_same, "fallocate", sys(fallocate, fd, 0, 0, 8))                                              \
	X(chmod, "chmod", sys(chmod, "d/f", 0600)) X(chmod_link, "chmod", sys(chmod, "d/link", 0640)) X(chmod_folder, "chmod", sys(chmod, "d/sub", 0700)) X(fchmodat, "fchmodat", sys(fchmodat, AT_FDCWD, "e/victim", 0644)) X(chmod_bits, "chmod", sys(chmod, "d/f", 01777)) \
	X(chown_same, "chown", sys(chown, "d/f", sys(getuid), -1)) X(lchown, "lchown", sys(lchown, "d/link", sys(getuid), sys(getgid))) X(fchown_none, "fchown", sys(fchown, fd, -1, -1)) X(chown_folder, "chown", sys(chown, "d/sub", -1, sys(getgid)))     \
	X(link, "link", sys(link, "d/f", "e/new")) X(link_there, "link", sys(link, "d/f", "e/victim")) X(link_symlink, "link", sys(link, "d/link", "e/new")) X(link_followed, "linkat", sys(linkat, AT_FDCWD, "d/link", AT_FDCWD, "e/new", AT_SYMLINK_FOLLOW)) X(link_folder, "link", sys(link, "d/sub", "e/new"))  \
	X(unlink, "unlink", sys(unlink, "d/f")) X(unlink_one, "unlink", sys(unlink, "e/second")) X(unlink_symlink, "unlink", sys(unlink, "d/link")) X(unlink_folder, "unlink", sys(unlink, "d/sub")) X(unlink_missing, "unlink", sys(unlink, "d/none"))                       \
	X(written_unlinked, "unlink", unlinked(sys(write, fd, "xyz", 3))) X(linked_unlinked, "unlink", unlinked(sys(link, "d/f", "e/new")))                                                                          \
	X(rename, "rename", sys(rename, "d/f", "d/new")) X(rename_other, "rename", sys(rename, "d/f", "e/new")) X(rename_over, "rename", sys(rename, "d/f", "e/victim")) X(rename_over_last, "rename", sys(unlink, "e/second") ?: sys(rename, "d/f", "e/victim"))             \
	X(rename_itself, "rename", sys(rename, "d/f", "d/f")) X(rename_link, "rename", sys(rename, "e/second", "e/victim")) X(rename_symlink, "rename", sys(rename, "d/link", "e/new")) X(rename_missing, "rename", sys(rename, "d/none", "e/victim"))                        \
	X(rename_folder, "rename", sys(rename, "d/sub", "d/new")) X(rename_folder_other, "rename", sys(rename, "d/sub", "e/new")) X(rename_folder_over, "rename", sys(rename, "d/sub", "e/sub")) X(rename_over_folder, "rename", sys(rename, "e/sub", "d/sub")) X(rename_full, "rename", sys(rename, "d/sub", "e/full")) \
	X(rename_kinds, "rename", sys(rename, "d/f", "e/sub")) X(rename_below, "rename", sys(rename, "d/sub", "d/sub/in")) X(no_replace, "renameat2", sys(renameat2, AT_FDCWD, "d/f", AT_FDCWD, "e/victim", 1)) X(no_replace_new, "renameat2", sys(renameat2, AT_FDCWD, "d/f", AT_FDCWD, "e/new", 1))  \
	X(exchange, "renameat2", sys(renameat2, AT_FDCWD, "d/f", AT_FDCWD, "e/victim", 2)) X(exchange_kinds, "renameat2", sys(renameat2, AT_FDCWD, "d/sub", AT_FDCWD, "e/victim", 2)) X(exchange_folders, "renameat2", sys(renameat2, AT_FDCWD, "d/sub", AT_FDCWD, "e/sub", 2))                    \
	X(mkdir, "mkdir", sys(mkdir, "d/new", 0755)) X(mkdir_in, "mkdir", sys(mkdir, "d/sub/sub", 0755)) X(mkdir_there, "mkdir", sys(mkdir, "d/f", 0755)) X(rmdir, "rmdir", sys(rmdir, "d/sub")) X(rmdir_full, "rmdir", sys(rmdir, "d")) X(rmdir_file, "rmdir", sys(rmdir, "d/f"))    \
	X(symlink, "symlink", sys(symlink, "nowhere", "d/new")) X(symlink_in, "symlink", sys(symlink, "../f", "d/sub/new")) X(mknod, "mknod", sys(mknod, "d/new", S_IFIFO | 0600, 0)) X(mknod_there, "mknod", sys(mknod, "d/f", S_IFREG | 0600, 0)) X(bind, "bind", binds())    \
	X(set_attribute, "setxattr", sys(setxattr, "d/f", "user.new", "v", 1, 0)) X(set_same, "setxattr", sys(setxattr, "d/f", "user.x", "x", 1, 0)) X(set_missing, "setxattr", sys(setxattr, "d/f", "user.no", "x", 1, XATTR_REPLACE)) X(get_attribute, "getxattr", sys(getxattr, "d/f", "user.x", data, 9)) \
	X(remove_attribute, "removexattr", sys(removexattr, "d/f", "user.x")) X(set_folder, "setxattr", sys(setxattr, "d/sub", "user.new", "v", 1, 0)) X(set_followed, "setxattr", sys(setxattr, "d/link", "user.new", "v", 1, 0)) X(list_attributes, "listxattr", sys(listxattr, "d/f", data, 99) > 0) \
	X(times_both, "utimensat", times("d/f", 0, 5, 6, 7, 8)) X(times_now, "utimensat", times("d/f", 0, 0, UTIME_NOW, 0, UTIME_NOW)) X(times_null, "utimensat", sys(utimensat, AT_FDCWD, "d/f", NULL, 0)) X(times_access, "utimensat", times("d/f", 0, 5, 6, 7, UTIME_OMIT))    \
	X(times_change, "utimensat", times("d/f", 0, 5, UTIME_OMIT, 7, 8)) X(times_access_now, "utimensat", times("d/f", 0, 5, UTIME_NOW, 7, UTIME_OMIT)) X(times_change_now, "utimensat", times("d/f", 0, 5, UTIME_OMIT, 7, UTIME_NOW)) X(times_omitted, "utimensat", times("d/f", 0, 5, UTIME_OMIT, 7, UTIME_OMIT)) \
	X(times_mixed, "utimensat", times("d/f", 0, 5, UTIME_NOW, 7, 8)) X(times_same, "utimensat", times("d/f", 0, 1000000000, 0, 1100000000, 0)) X(times_followed, "utimensat", times("d/link", 0, 5, 6, 7, 8)) X(times_link, "utimensat", times("d/link", AT_SYMLINK_NOFOLLOW, 5, 6, 7, 8))        \
	X(times_folder, "utimensat", times("d/sub", 0, 5, 6, 7, 8)) X(times_fd, "utimensat", sys(utimensat, fd, NULL, NULL, 0)) X(times_bad, "utimensat", times("d/f", 0, 5, 1000000000, 7, 8)) X(times_bad_omitted, "utimensat", times("d/f", 0, 5, UTIME_OMIT, 7, -1)) X(utimes, "utimes", sys(utimes, "d/f", NULL)) X(utime, "utime", sys(utime, "d/f", NULL)) \
	X(copy_to, "copy_file_range", sys(copy_file_range, other, NULL, fd, NULL, 3, 0)) X(copy_nothing, "copy_file_range", sys(copy_file_range, other, NULL, fd, NULL, 0, 0)) X(sendfile_to, "sendfile", sys(sendfile, fd, other, NULL, 3)) X(access, "access", sys(access, "d/f", R_OK))

#define ID(id, ...) #id,
#define STEP(id, call, act)                                                                                           \
	{                                                                                                             \
		set_up();                                                                                             \
		long r = act;                                                                                         \
		char t[WATCHED][64];                                                                                  \
		for (int i = 0; i < WATCHED; i++)                                                                     \
			moved(i, strncmp(call, "utim", 4) != 0, t[i], sizeof t[i]);                                                                  \
		observe(#id, call, ret_int(r), ARGS(),                                                                \
			STATE(f_str("file", t[FILE_]), f_str("old", t[OLD]), f_str("new", t[NEW]), f_str("victim", t[VICTIM]), f_str("folder", t[FOLDER]), f_str("link", t[LINK])));  \
		tear_down();                                                                                          \
	}

PROBE("stat/moves", LIST(ID))
{
	LIST(STEP)
}
