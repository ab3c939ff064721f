/* Names of 254 to 256 bytes, paths of 4094 to 4096, and chains of 39 to 41 symbolic links, for each call that takes a path. */
#include "probe.h"
#include "table.h"
#include <sys/xattr.h>

static char path[8192], data[8192];
static struct stat st;
static char statx_buffer[256];

static long create(const char *p) { return made(sys(openat, AT_FDCWD, p, O_CREAT | O_RDWR, 0600)); }
static long opens(const char *p) { return made(sys(openat, AT_FDCWD, p, O_RDONLY)); }
static long opens_path(const char *p) { return made(sys(openat, AT_FDCWD, p, O_PATH | O_NOFOLLOW)); }
static long makes(const char *p) { return sys(mkdir, p, 0700); }
static long node(const char *p) { return sys(mknod, p, S_IFIFO | 0600, 0); }
static long links_to(const char *p) { return sys(link, "f", p); }
static long links_from(const char *p) { return sys(link, p, "linked"); }
static long links_followed(const char *p) { return sys(linkat, AT_FDCWD, p, AT_FDCWD, "linked", AT_SYMLINK_FOLLOW); }
static long symlinks(const char *p) { return sys(symlink, "x", p); }
static long points(const char *p) { return sys(symlink, p, "pointer"); }
static long renames_to(const char *p) { return sys(rename, "g", p); }
static long renames_from(const char *p) { return sys(rename, p, "renamed"); }
static long unlinks(const char *p) { return sys(unlink, p); }
static long removes(const char *p) { return sys(rmdir, p); }
static long stats(const char *p) { return sys(stat, p, &st); }
static long lstats(const char *p) { return sys(lstat, p, &st); }
static long statxs(const char *p) { return sys(statx, AT_FDCWD, p, 0, 0x7ff, statx_buffer); }
static long accesses(const char *p) { return sys(access, p, F_OK); }
static long reads_link(const char *p) { return sys(readlink, p, data, sizeof data); }
static long changes(const char *p) { return sys(chdir, p); }
static long modes(const char *p) { return sys(chmod, p, 0600); }
static long owns(const char *p) { return sys(chown, p, -1, -1); }
static long owns_link(const char *p) { return sys(lchown, p, -1, -1); }
static long truncates(const char *p) { return sys(truncate, p, 0); }
static long times(const char *p) { return sys(utimensat, AT_FDCWD, p, NULL, 0); }
static long attributes(const char *p) { return sys(listxattr, p, data, sizeof data); }
static long attribute(const char *p) { return sys(setxattr, p, "user.x", "x", 1, 0); }
static long attribute_link(const char *p) { return sys(lgetxattr, p, "user.x", data, 9); }
static long space(const char *p) { return sys(statfs, p, data); }
static long executes(const char *p)
{
	static char *argv[] = {"x", NULL};
	long pid = must(sys(fork));
	if (pid == 0)
		sys(exit_group, -sys(execve, p, argv, NULL));
	return -(long)WEXITSTATUS(reap(pid));
}
static long roots(const char *p)
{
	long pid = must(sys(fork));
	if (pid == 0)
		sys(exit_group, -sys(chroot, p));
	return -(long)WEXITSTATUS(reap(pid));
}

static const struct { const char *id, *call; long (*act)(const char *); } calls[] = {
	{"open_create", "openat", create}, {"open", "openat", opens}, {"open_path", "openat", opens_path}, {"mkdir", "mkdir", makes}, {"mknod", "mknod", node}, {"link_to", "link", links_to},
	{"link_from", "link", links_from}, {"link_followed", "linkat", links_followed}, {"symlink", "symlink", symlinks}, {"symlink_target", "symlink", points}, {"rename_to", "rename", renames_to},
	{"rename_from", "rename", renames_from}, {"unlink", "unlink", unlinks}, {"rmdir", "rmdir", removes}, {"stat", "stat", stats}, {"lstat", "lstat", lstats}, {"statx", "statx", statxs},
	{"access", "access", accesses}, {"readlink", "readlink", reads_link}, {"chdir", "chdir", changes}, {"chmod", "chmod", modes}, {"chown", "chown", owns}, {"lchown", "lchown", owns_link},
	{"truncate", "truncate", truncates}, {"utimensat", "utimensat", times}, {"listxattr", "listxattr", attributes}, {"setxattr", "setxattr", attribute}, {"lgetxattr", "lgetxattr", attribute_link},
	{"statfs", "statfs", space}, {"execve", "execve", executes}, {"chroot", "chroot", roots},
};

static void tidy(void)
{
	sys(chdir, getenv("BEVOR_PROBE_DIR") ?: ".");
	sys(unlink, "linked");
	sys(unlink, "pointer");
	sys(unlink, "renamed");
	sys(rmdir, "renamed");
	for (int i = 38; i < 42; i++) {
		char name[16], to[16];
		for (int kind = 0; kind < 2; kind++) {
			snprintf(name, sizeof name, "%c%d", "ld"[kind], i);
			snprintf(to, sizeof to, "%c%d", "ld"[kind], i - 1);
			sys(unlink, name);
			must(sys(symlink, to, name));
		}
	}
	put_file("g", "g", 1);
}
static void name_of(size_t n)
{
	memset(path, 'n', n);
	path[n] = 0;
	sys(unlink, path);
	sys(rmdir, path);
}
/* A path of `n` bytes to `last`. */
static void path_to(const char *last, size_t n)
{
	size_t len = strlen(last), at = 0;
	if ((n - len) % 2)
		path[at++] = '.', path[at++] = '/', path[at++] = '/';
	while (at < n - len)
		path[at++] = '.', path[at++] = '/';
	snprintf(path + at, sizeof path - at, "%s", last);
	require(strlen(path) == n);
}
/* Linux begins a walk again that a change elsewhere in its file system has crossed, and counts its links on: a chain is a loop if it is one each time. */
static long over_links(long (*act)(const char *))
{
	long r = 0;
	for (int i = 0; i < 20; i++) {
		r = act(path);
		if (err_of(r) != ELOOP)
			break;
	}
	return r;
}

PROBE("limit/paths", "open_create", "open", "open_path", "mkdir", "mknod", "link_to", "link_from", "link_followed", "symlink", "symlink_target", "rename_to", "rename_from", "unlink", "rmdir", "stat", "lstat",
      "statx", "access", "readlink", "chdir", "chmod", "chown", "lchown", "truncate", "utimensat", "listxattr", "setxattr", "lgetxattr", "statfs", "execve", "chroot", "pointer_length", "cwd_room", "readlink_room")
{
	static struct row row;
	char to[16], name[16];
	put_file("f", "x", 1);
	must(sys(mkdir, "d", 0755));
	for (int i = 0; i < 42; i++) {
		snprintf(name, sizeof name, "l%d", i);
		snprintf(to, sizeof to, i ? "l%d" : "f", i - 1);
		must(sys(symlink, to, name));
		snprintf(name, sizeof name, "d%d", i);
		snprintf(to, sizeof to, i ? "d%d" : "d", i - 1);
		must(sys(symlink, to, name));
	}
	for (size_t i = 0; i < countof(calls); i++) {
		/* 0-2: names that nothing has; 3-5: of a file; 6-9: long paths to a file; 10-13: to a folder; 14-16: chains to a file; 17-19: to a folder; 20-22: through a folder. */
		for (int k = 0; k < 3; k++) {
			tidy();
			name_of(254 + k);
			cell(&row, k, calls[i].act(path));
		}
		for (int k = 0; k < 2; k++) {
			tidy();
			name_of(254 + k);
			put_file(path, "", 0);
			cell(&row, 3 + k, calls[i].act(path));
			name_of(254 + k);
		}
		for (int k = 0; k < 4; k++) {
			tidy();
			put_file("z", "", 0);
			path_to("z", 4093 + k);
			cell(&row, 6 + k, calls[i].act(path));
			tidy();
			sys(unlink, "z");
		}
		for (int k = 0; k < 4; k++) {
			tidy();
			sys(mkdir, "y", 0700);
			path_to("y", 4093 + k);
			cell(&row, 10 + k, calls[i].act(path));
			tidy();
			sys(rmdir, "y");
			sys(unlink, "y");
		}
		for (int k = 0; k < 3; k++) {
			tidy();
			snprintf(path, sizeof path, "l%d", 38 + k);
			cell(&row, 14 + k, over_links(calls[i].act));
		}
		for (int k = 0; k < 3; k++) {
			tidy();
			snprintf(path, sizeof path, "d%d", 38 + k);
			cell(&row, 17 + k, over_links(calls[i].act));
		}
		for (int k = 0; k < 3; k++) {
			tidy();
			snprintf(path, sizeof path, "d%d/in", 38 + k);
			put_file("d/in", "", 0);
			cell(&row, 20 + k, over_links(calls[i].act));
			tidy();
			sys(unlink, "d/in");
			sys(rmdir, "d/in");
		}
		observe_row(&row, calls[i].id, calls[i].call);
	}
	for (int k = 0; k < 4; k++) {
		tidy();
		memset(path, 'n', 8000);
		path[4093 + k] = 0;
		cell(&row, 2 * k, sys(symlink, path, "pointer"));
		cell(&row, 2 * k + 1, sys(readlink, "pointer", data, sizeof data));
	}
	observe_row(&row, "pointer_length", "symlink");
	long len = must(sys(getcwd, data, sizeof data));
	for (long k = -1; k < 2; k++)
		cell_text(&row, k, sys(getcwd, data, len + k) == len ? "len" : errno_name(err_of(sys(getcwd, data, len + k))));
	cell(&row, 2, sys(getcwd, data, 0));
	cell(&row, 3, sys(getcwd, data, 1));
	cell(&row, 4, sys(getcwd, NULL, 4096));
	observe_row(&row, "cwd_room", "getcwd");
	must(sys(symlink, "0123456789", "pointer"));
	static const long sizes[] = {0, -1, INT_MIN, 1, 9, 10, 11, 1ll << 32, (1ll << 32) + 3, INT_MAX};
	for (size_t k = 0; k < countof(sizes); k++)
		cell(&row, (long)k, sys(readlink, "pointer", data, sizes[k]));
	observe_row(&row, "readlink_room", "readlink");
}
