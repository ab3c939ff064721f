/* Every call that takes a path, on a path of every kind, and what it leaves. */
#include "probe.h"
#include "table.h"
#include <linux/stat.h>

static struct row row;
static char long_name[257], longer_name[258], long_path[4096], longer_path[4097];

static const char *const names[] = {
	"none", "", "file", "dir", "full", "to_file", "to_dir", "dangling", "loop", "fifo", "socket", "null",
	"file/", "dir/", "to_dir/", "to_file/", "dangling/", "none/", "file/x", "none/x", "dir/x", "dir/.", "dir/..", "full/..", ".", "..", "/", "//", "./file", "dir/../file",
	"full/file", "to_dir/y", "dangling/x", "loop/x", "file/.", "file/..", "none/..", "chain", "/proc/self/stat", "/proc/none", "/proc/self/fd/0/x",
	long_name, longer_name, long_path, longer_path, (const char *)8,
};

static void build(void)
{
	sys(mkdir, "t", 0755);
	must(sys(chdir, "t"));
	put_file("file", "file", 4);
	must(sys(mkdir, "dir", 0755));
	must(sys(mkdir, "full", 0755));
	put_file("full/file", "in", 2);
	must(sys(symlink, "file", "to_file"));
	must(sys(symlink, "dir", "to_dir"));
	must(sys(symlink, "absent", "dangling"));
	must(sys(symlink, "loop", "loop"));
	must(sys(mknod, "fifo", S_IFIFO | 0644, 0));
	must(sys(mknod, "socket", S_IFSOCK | 0644, 0));
	must(sys(mknod, "null", S_IFREG | 01755, 0));
	must(sys(symlink, "chain2", "chain"));
	must(sys(symlink, "full/file", "chain2"));
	put_file("other", "o", 1);
	must(sys(mkdir, "empty", 0755));
}

static void clear(const char *dir)
{
	char list[8192];
	long fd = must(sys(openat, AT_FDCWD, dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)), n;
	bool again;
	do {
		again = false;
		must(sys(lseek, fd, 0, 0));
		while ((n = must(sys(getdents64, fd, list, sizeof list))) > 0)
			for (long at = 0; at < n;) {
				const char *name = list + at + 19;
				at += *(unsigned short *)(list + at + 16);
				if (!strcmp(name, ".") || !strcmp(name, ".."))
					continue;
				again = true;
				if (sys(unlinkat, fd, name, 0) < 0 && sys(unlinkat, fd, name, AT_REMOVEDIR) < 0) {
					char path[600];
					snprintf(path, sizeof path, "%s/%s", dir, name);
					clear(path);
				}
			}
	} while (again);
	must(sys(close, fd));
}

/* A sum of what is in the folder: names, kinds, modes, links, sizes. */
static long digest(const char *dir)
{
	char list[8192], path[600];
	uint64_t sum = 0;
	long fd = must(sys(openat, AT_FDCWD, dir, O_RDONLY | O_DIRECTORY)), n;
	while ((n = must(sys(getdents64, fd, list, sizeof list))) > 0)
		for (long at = 0; at < n;) {
			const char *name = list + at + 19;
			at += *(unsigned short *)(list + at + 16);
			if (!strcmp(name, ".") || !strcmp(name, ".."))
				continue;
			struct stat s;
			must(sys(newfstatat, fd, name, &s, AT_SYMLINK_NOFOLLOW));
			uint64_t one = 5381;
			for (const char *c = name; *c; c++)
				one = one * 33 + (unsigned char)*c;
			one = one * 33 + s.st_mode;
			one = one * 33 + (S_ISDIR(s.st_mode) ? 0 : s.st_nlink * 33 + (uint64_t)s.st_size);
			one = one * 33 + s.st_uid * 7 + s.st_gid;
			if (S_ISDIR(s.st_mode)) {
				snprintf(path, sizeof path, "%s/%s", dir, name);
				one = one * 33 + (uint64_t)digest(path);
			}
			sum += one;
		}
	must(sys(close, fd));
	return (long)(sum & 0xffffff) + 1000000;
}

/* One call on each path; the tree is built anew after each that succeeds. With `looks`, what the tree is after success. */
#define EACH(id, call, looks, result)                                                                                 \
	do {                                                                                                          \
		for (size_t kind = 0; kind < countof(names); kind++) {                                                \
			const char *path = names[kind];                                                               \
			long r = result;                                                                              \
			if (r >= 0 && looks) {                                                                        \
				must(sys(fchdir, home));                                                              \
				r = r * 100000000 + digest("t");                                                      \
				clear("t");                                                                           \
				build();                                                                              \
			} else if (looks) {                                                                           \
				must(sys(fchdir, home));                                                              \
				must(sys(chdir, "t"));                                                                \
			}                                                                                             \
			cell(&row, (long)kind, r);                                                                    \
		}                                                                                                     \
		observe_row(&row, id, call);                                                                          \
	} while (0)

static long opened(const char *path, long flags)
{
	long fd = sys(openat, AT_FDCWD, path, flags | O_NONBLOCK, 0640);
	if (fd < 0)
		return fd;
	long kind = fstat_of((int)fd).st_mode >> 12;
	must(sys(close, fd));
	return kind;
}

static long kind_of(const char *path, long flags)
{
	struct stat s;
	return sys(newfstatat, AT_FDCWD, path, &s, flags) ?: (long)(s.st_mode >> 12);
}

#define SAFE (kind < 24 || kind == 28 || kind == 29 || (kind > 29 && kind < 38) || kind > 40)

PROBE("sweep/path_kinds", "open", "open_write", "open_trunc", "open_creat", "open_excl", "open_creat_directory", "open_directory", "open_nofollow", "open_path", "open_path_nofollow", "open_directory_nofollow", "open_creat_nofollow", "tmpfile", "creat", "stat", "lstat", "statx", "statfs", "access", "access_write", "access_execute", "faccessat2_nofollow", "readlink", "chdir", "chroot", "getxattr", "lgetxattr", "listxattr", "llistxattr", "execve", "execveat_nofollow", "unlink", "rmdir",
      "mkdir", "mknod", "mknod_fifo", "symlink", "link_from", "link_from_follow", "link_to", "rename_from", "rename_to", "rename_to_directory", "noreplace_to", "exchange_with", "truncate", "chmod", "chmod_nofollow", "chown", "lchown", "utimensat", "utimensat_nofollow", "utime", "setxattr", "lsetxattr", "removexattr", "bind", "connect")
{
	char buffer[512];
	char *none[] = {NULL};
	long home = must(sys(openat, AT_FDCWD, ".", O_RDONLY));
	memset(long_name, 'n', 255);
	memset(longer_name, 'n', 256);
	for (size_t i = 0; i < 4096; i++)
		longer_path[i] = i % 2 ? '/' : '.';
	memcpy(long_path, longer_path, 4095);
	sys(umask, 022);
	build();
	EACH("open", "openat", 0, opened(path, O_RDONLY));
	EACH("open_write", "openat", 0, kind == 38 ? 0 : opened(path, O_WRONLY));
	EACH("open_trunc", "openat", SAFE, opened(path, O_RDONLY | O_TRUNC));
	EACH("open_creat", "openat", SAFE, SAFE ? opened(path, O_RDWR | O_CREAT) : -1);
	EACH("open_excl", "openat", SAFE, opened(path, O_RDWR | O_CREAT | O_EXCL));
	EACH("open_creat_directory", "openat", 0, opened(path, O_RDWR | O_CREAT | O_DIRECTORY));
	EACH("open_directory", "openat", 0, opened(path, O_RDONLY | O_DIRECTORY));
	EACH("open_nofollow", "openat", 0, opened(path, O_RDONLY | O_NOFOLLOW));
	EACH("open_path", "openat", 0, opened(path, O_PATH));
	EACH("open_path_nofollow", "openat", 0, opened(path, O_PATH | O_NOFOLLOW));
	EACH("open_directory_nofollow", "openat", 0, opened(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
	EACH("open_creat_nofollow", "openat", SAFE, SAFE ? opened(path, O_RDWR | O_CREAT | O_NOFOLLOW) : -1);
	EACH("tmpfile", "openat", 0, kind == 25 || kind == 26 || kind == 27 ? 0 : opened(path, O_TMPFILE | O_RDWR));
	EACH("creat", "creat", SAFE, SAFE && kind != 9 ? made(sys(creat, path, 0604)) : -1);
	EACH("stat", "stat", 0, kind_of(path, 0));
	EACH("lstat", "lstat", 0, kind_of(path, AT_SYMLINK_NOFOLLOW));
	EACH("statx", "statx", 0, sys(statx, AT_FDCWD, path, 0, 1, buffer));
	EACH("statfs", "statfs", 0, sys(statfs, path, buffer));
	EACH("access", "access", 0, sys(access, path, F_OK));
	EACH("access_write", "access", 0, kind >= 38 && kind <= 40 ? 0 : sys(access, path, W_OK));
	EACH("access_execute", "access", 0, sys(access, path, X_OK));
	EACH("faccessat2_nofollow", "faccessat2", 0, sys(faccessat2, AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW));
	EACH("readlink", "readlink", 0, sys(readlink, path, buffer, sizeof buffer));
	EACH("chdir", "chdir", 0, sys(chdir, path) ?: sys(fchdir, home) ?: sys(chdir, "t"));
	EACH("chroot", "chroot", 0, kind == 3 || kind == 4 || kind == 6 || kind == 13 || kind == 14 || (kind >= 21 && kind <= 27) || kind == 43 ? 0 : sys(chroot, path));
	EACH("getxattr", "getxattr", 0, kind >= 38 && kind <= 40 ? 0 : sys(getxattr, path, "user.x", buffer, 8));
	EACH("lgetxattr", "lgetxattr", 0, kind >= 38 && kind <= 40 ? 0 : sys(lgetxattr, path, "user.x", buffer, 8));
	EACH("listxattr", "listxattr", 0, kind >= 24 && kind <= 27 ? 0 : sys(listxattr, path, buffer, 0) > 0 ? 1 : sys(listxattr, path, buffer, 0));
	EACH("llistxattr", "llistxattr", 0, kind >= 24 && kind <= 27 ? 0 : sys(llistxattr, path, buffer, 0) > 0 ? 1 : sys(llistxattr, path, buffer, 0));
	EACH("execve", "execve", 0, sys(execve, path, none, none));
	EACH("execveat_nofollow", "execveat", 0, sys(execveat, AT_FDCWD, path, none, none, AT_SYMLINK_NOFOLLOW));
	EACH("unlink", "unlink", 1, sys(unlink, path));
	EACH("rmdir", "rmdir", 1, kind == 26 || kind == 27 || kind == 43 || (kind >= 38 && kind <= 40) ? -1 : sys(rmdir, path));
	EACH("mkdir", "mkdir", 1, sys(mkdir, path, 01777));
	EACH("mknod", "mknod", 1, sys(mknod, path, S_IFREG | 0604, 0));
	EACH("mknod_fifo", "mknod", 1, sys(mknod, path, S_IFIFO | 0604, 0));
	EACH("symlink", "symlink", 1, kind >= 38 && kind <= 40 ? -1 : sys(symlink, "target", path));
	EACH("link_from", "link", 1, SAFE ? sys(link, path, "new") : -1);
	EACH("link_from_follow", "linkat", 1, SAFE ? sys(linkat, AT_FDCWD, path, AT_FDCWD, "new", AT_SYMLINK_FOLLOW) : -1);
	EACH("link_to", "link", 1, SAFE ? sys(link, "other", path) : -1);
	EACH("rename_from", "rename", 1, SAFE ? sys(rename, path, "new") : -1);
	EACH("rename_to", "rename", 1, SAFE ? sys(rename, "other", path) : -1);
	EACH("rename_to_directory", "rename", 1, SAFE ? sys(rename, "empty", path) : -1);
	EACH("noreplace_to", "renameat2", 1, SAFE ? sys(renameat2, AT_FDCWD, "other", AT_FDCWD, path, 1) : -1);
	EACH("exchange_with", "renameat2", 1, SAFE ? sys(renameat2, AT_FDCWD, "other", AT_FDCWD, path, 2) : -1);
	EACH("truncate", "truncate", 1, SAFE ? sys(truncate, path, 2) : -1);
	EACH("chmod", "chmod", 1, SAFE && kind != 23 && kind != 22 ? sys(chmod, path, 0751) : -1);
	EACH("chmod_nofollow", "fchmodat2", 1, SAFE && kind != 23 && kind != 22 ? sys6(452, AT_FDCWD, (long)path, 0751, AT_SYMLINK_NOFOLLOW, 0, 0) : -1);
	EACH("chown", "chown", 1, SAFE && kind != 23 && kind != 22 ? sys(chown, path, 7, 8) : -1);
	EACH("lchown", "lchown", 1, SAFE && kind != 23 && kind != 22 ? sys(lchown, path, 7, 8) : -1);
	EACH("utimensat", "utimensat", 0, SAFE ? sys(utimensat, AT_FDCWD, path, NULL, 0) : -1);
	EACH("utimensat_nofollow", "utimensat", 0, SAFE ? sys(utimensat, AT_FDCWD, path, NULL, AT_SYMLINK_NOFOLLOW) : -1);
	EACH("utime", "utime", 0, SAFE ? sys(utime, path, NULL) : -1);
	EACH("setxattr", "setxattr", 0, SAFE ? sys(setxattr, path, "user.y", "v", 1, 0) : -1);
	EACH("lsetxattr", "lsetxattr", 0, SAFE ? sys(lsetxattr, path, "user.y", "v", 1, 0) : -1);
	EACH("removexattr", "removexattr", 0, SAFE ? sys(removexattr, path, "user.z") : -1);
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	for (size_t kind = 0; kind < 41; kind++) {
		long s = must(sys(socket, AF_UNIX, SOCK_STREAM, 0)), r;
		strcpy(a.sun_path, names[kind]);
		r = *names[kind] ? sys(bind, s, &a, 2 + strlen(a.sun_path)) : 0;
		must(sys(close, s));
		if (r >= 0) {
			must(sys(fchdir, home));
			clear("t");
			build();
		}
		cell(&row, (long)kind, r);
	}
	observe_row(&row, "bind", "bind");
	for (size_t kind = 0; kind < 41; kind++) {
		long s = must(sys(socket, AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0));
		strcpy(a.sun_path, names[kind]);
		cell(&row, (long)kind, *names[kind] ? sys(connect, s, &a, 2 + strlen(a.sun_path)) : 0);
		must(sys(close, s));
	}
	observe_row(&row, "connect", "connect");
}
