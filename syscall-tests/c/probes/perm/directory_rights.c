/* What each permission on a directory lets an ordinary user do in it: a row of operations for each of the eight modes. */
#include "probe.h"
#include "table.h"

enum { OPERATIONS = 24 };
static const char *const files[] = {"m1", "m2", "m3", "m4", "m5", "m6", "m7"};
static char where[8];
static long dir;

static long socket_at(void)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	snprintf(name.sun_path, sizeof name.sun_path, "%s/socket", where);
	long fd = must(sys(socket, AF_UNIX, SOCK_DGRAM, 0)), r = sys(bind, fd, &name, sizeof name);
	must(sys(close, fd));
	return r;
}

static long operation(long which)
{
	struct stat s;
	switch (which) {
	case 0: return made(sys(openat, dir, ".", O_TMPFILE | O_RDWR, 0600));
	case 1: return made(sys(openat, AT_FDCWD, where, O_TMPFILE | O_RDWR, 0600));
	case 2: return made(sys(openat, dir, "new", O_CREAT | O_RDWR, 0600));
	case 3: return sys(mkdirat, dir, "newdir", 0700);
	case 4: return sys(mknodat, dir, "fifo", S_IFIFO | 0600, 0);
	case 5: return sys(symlinkat, "x", dir, "link");
	case 6: return socket_at();
	case 7: return sys(linkat, dir, "m1", dir, "second", 0);
	case 8: return sys(linkat, AT_FDCWD, "outside", dir, "third", 0);
	case 9: return sys(renameat2, dir, "m2", dir, "moved", 0);
	case 10: return sys(renameat2, dir, "m3", dir, "m4", 2);
	case 11: return sys(renameat2, dir, "m3", dir, "m5", 0);
	case 12: return sys(unlinkat, dir, "m6", 0);
	case 13: return sys(unlinkat, dir, "empty", AT_REMOVEDIR);
	case 14: return sys(newfstatat, dir, "m7", &s, 0);
	case 15: return sys(newfstatat, dir, "missing", &s, 0);
	case 16: return made(sys(openat, dir, "m7", O_RDONLY));
	case 17: return made(sys(openat, AT_FDCWD, where, O_RDONLY | O_DIRECTORY));
	case 18: return sys(access, where, W_OK);
	case 19: return sys(access, where, R_OK);
	case 20: return sys(access, where, X_OK);
	case 21: return sys(fchdir, dir) ?: sys(chdir, "..");
	case 22: return sys(chdir, where) ?: sys(chdir, "..");
	default: return sys(utimensat, AT_FDCWD, where, NULL, 0);
	}
}

static int each(long *results)
{
	for (long i = 0; i < OPERATIONS; i++)
		results[i] = operation(i);
	return 0;
}

PROBE("perm/directory_rights", "none", "search", "write", "write_search", "read", "read_search", "read_write", "all")
{
	static struct row row;
	static const char *const ids[] = {"none", "search", "write", "write_search", "read", "read_search", "read_write", "all"};
	char path[32];
	long *results = pages(1, true);
	must(sys(chmod, ".", 0755));
	put_file("outside", "x", 1);
	must(sys(chown, "outside", 1234, 1234));
	for (size_t mode = 0; mode < countof(ids); mode++) {
		snprintf(where, sizeof where, "d%zu", mode);
		must(sys(mkdirat, AT_FDCWD, where, 0700));
		for (size_t i = 0; i < countof(files); i++) {
			snprintf(path, sizeof path, "%s/%s", where, files[i]);
			put_file(path, "x", 1);
			must(sys(chown, path, 1234, 1234));
		}
		snprintf(path, sizeof path, "%s/empty", where);
		must(sys(mkdirat, AT_FDCWD, path, 0700));
		must(sys(chown, path, 1234, 1234));
		must(sys(chmod, where, 0700 | mode));
		dir = must(sys(openat, AT_FDCWD, where, O_PATH));
		run_as(1234, 1234, each, results);
		for (long i = 0; i < OPERATIONS; i++)
			cell(&row, i, results[i]);
		observe_row(&row, ids[mode], "openat");
	}
}
