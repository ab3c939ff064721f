/* Files of the host under the root's writable layer: changing, renaming and removing them shows as it does for any file. */
#include "probe.h"

struct entry { uint64_t ino; int64_t off; uint16_t len; uint8_t type; char name[]; };

static char dir[64], *files[64];
static size_t found;

/* A folder with some small files of root, whichever the host has. */
static bool pick(const char *path)
{
	char b[16384] __attribute__((aligned(8)));
	long fd = sys(openat, AT_FDCWD, path, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return false;
	long n = sys(getdents64, fd, b, sizeof b);
	found = 0;
	for (long at = 0; at < n && found < countof(files);) {
		struct entry *e = (struct entry *)(b + at);
		char full[400];
		snprintf(full, sizeof full, "%s/%s", path, e->name);
		struct stat st;
		if (!sys(lstat, full, &st) && S_ISREG(st.st_mode) && st.st_size >= 16 && st.st_size < 60000 && st.st_uid == 0 && st.st_nlink == 1)
			files[found++] = strdup(full);
		at += e->len;
	}
	sys(close, fd);
	snprintf(dir, sizeof dir, "%s", path);
	return found >= 4;
}

static int listed(const char *full, long fd)
{
	char b[16384] __attribute__((aligned(8)));
	const char *name = strrchr(full, '/') + 1;
	int times = 0;
	long n;
	must(sys(lseek, fd, 0, SEEK_SET));
	while ((n = must(sys(getdents64, fd, b, sizeof b))) > 0)
		for (long at = 0; at < n;) {
			struct entry *e = (struct entry *)(b + at);
			times += strcmp(e->name, name) == 0;
			at += e->len;
		}
	return times;
}

static char *beside(const char *name)
{
	static char full[3][200];
	static int at;
	at = (at + 1) % 3;
	snprintf(full[at], sizeof full[at], "%s/%s", dir, name);
	return full[at];
}

PROBE("dir/lower", "chmod", "chmod_folder", "write", "listed_once", "truncate", "open_trunc", "link", "rename", "old_name", "unlink", "unlink_again", "make_again", "append", "read_then_written", "xattr", "new_listed", "rewind", "removed_listed", "exchange", "rename_folder", "remove_folder", "folder_again", "open_removed", "rename_over")
{
	static const char *const places[] = {"/etc/pam.d", "/etc/default", "/etc/init.d", "/usr/share/misc", "/etc/security", "/etc", "/usr/include", "/usr/bin"};
	size_t place = 0;
	while (place < countof(places) && !pick(places[place]))
		place++;
	require(place < countof(places));
	char *a = files[0], *b = files[1], *c = files[2], *d = files[3], data[64], first[64];
	long fd = must(sys(openat, AT_FDCWD, dir, O_RDONLY));
	int before = 0;
	for (size_t i = 0; i < found; i++)
		before += listed(files[i], fd);
	require(before == (int)found);
	struct stat was = lstat_of(a), folder = lstat_of(dir);
	next_stamp();
	long r = sys(chmod, a, 0604);
	struct stat is = lstat_of(a), now = lstat_of(dir);
	observe("chmod", "chmod", ret_int(r), ARGS(), STATE(f_hex("mode", is.st_mode), f_rel("mtime", stamp_ns(is.st_mtim), stamp_ns(was.st_mtim)), f_rel("ctime", stamp_ns(is.st_ctim), stamp_ns(was.st_ctim)), f_rel("size", is.st_size, was.st_size), f_bool("ino", is.st_ino == was.st_ino), f_uint("links", is.st_nlink)));
	observe("chmod_folder", "chmod", ret_int(r), ARGS(), STATE(f_rel("mtime", stamp_ns(now.st_mtim), stamp_ns(folder.st_mtim))));
	was = lstat_of(b);
	long w = must(sys(openat, AT_FDCWD, b, O_RDWR));
	must(sys(pread64, w, first, 16, 0));
	r = sys(pwrite64, w, "new", 3, 3);
	must(get_file(b, data, sizeof data));
	observe("write", "pwrite64", ret_int(r), ARGS(), STATE(f_bool("before", memcmp(data, first, 3) == 0), f_bool("after", memcmp(data + 6, first + 6, 10) == 0), f_strn("data", data + 3, 3), f_rel("size", lstat_of(b).st_size, was.st_size), f_rel("mtime", stamp_ns(lstat_of(b).st_mtim), stamp_ns(was.st_mtim))));
	observe("listed_once", "getdents64", ret_int(listed(b, fd)), ARGS(), STATE(f_int("a", listed(a, fd)), f_int("c", listed(c, fd))));
	must(get_file(c, first, 10));
	r = sys(truncate, c, 10);
	long n = get_file(c, data, sizeof data);
	observe("truncate", "truncate", ret_int(r), ARGS(), STATE(f_int("size", n), f_bool("data", memcmp(data, first, 10) == 0)));
	r = sys(openat, AT_FDCWD, c, O_WRONLY | O_TRUNC);
	observe("open_trunc", "openat", ret_bool(r >= 0), ARGS(), STATE(f_int("size", lstat_of(c).st_size), f_int("listed", listed(c, fd))));
	r = sys(link, c, beside("zz-link"));
	observe("link", "link", ret_int(r), ARGS(), STATE(f_uint("links", lstat_of(c).st_nlink)));
	was = lstat_of(d);
	r = sys(rename, d, beside("zz-renamed"));
	observe("rename", "rename", ret_int(r), ARGS(), STATE(f_rel("size", lstat_of(beside("zz-renamed")).st_size, was.st_size), f_bool("ino", lstat_of(beside("zz-renamed")).st_ino == was.st_ino), f_int("listed", listed(beside("zz-renamed"), fd))));
	observe("old_name", "lstat", ret_int(-lstat_errno(d)), ARGS(), STATE(f_int("listed", listed(d, fd))));
	r = sys(unlink, a);
	observe("unlink", "unlink", ret_int(r), ARGS(), STATE(f_errno("there", lstat_errno(a)), f_int("listed", listed(a, fd))));
	observe("unlink_again", "unlink", ret_int(sys(unlink, a)), ARGS(), STATE());
	r = sys(openat, AT_FDCWD, a, O_CREAT | O_EXCL | O_WRONLY, 0600);
	observe("make_again", "openat", ret_bool(r >= 0), ARGS(), STATE(f_int("size", lstat_of(a).st_size), f_int("listed", listed(a, fd))));
	long ap = must(sys(openat, AT_FDCWD, beside("zz-renamed"), O_WRONLY | O_APPEND));
	r = sys(write, ap, "end", 3);
	observe("append", "write", ret_int(r), ARGS(), STATE(f_bool("size", lstat_of(beside("zz-renamed")).st_size == was.st_size + 3)));
	long old = must(sys(openat, AT_FDCWD, beside("zz-renamed"), O_RDONLY));
	must(sys(pwrite64, ap, "x", 1, 0));
	observe("read_then_written", "pread64", ret_int(sys(pread64, old, data, 3, was.st_size)), ARGS(), STATE(f_strn("data", data, 3)));
	char value[8] = "";
	r = sys(setxattr, beside("zz-renamed"), "user.x", "v", 1, 0);
	observe("xattr", "setxattr", ret_int(r), ARGS(), STATE(f_int("read", sys(getxattr, beside("zz-renamed"), "user.x", value, 8)), f_str("value", value)));
	long other = must(sys(openat, AT_FDCWD, dir, O_RDONLY));
	listed(a, other);
	put_file(beside("zz-new"), "x", 1);
	observe("new_listed", "getdents64", ret_int(listed(beside("zz-new"), fd)), ARGS(), STATE());
	observe("rewind", "lseek", ret_int(listed(beside("zz-new"), other)), ARGS(), STATE());
	must(sys(unlink, beside("zz-new")));
	observe("removed_listed", "getdents64", ret_int(listed(beside("zz-new"), other)), ARGS(), STATE(f_int("a", listed(a, other))));
	r = sys(renameat2, AT_FDCWD, a, AT_FDCWD, b, 2);
	observe("exchange", "renameat2", ret_int(r), ARGS(), STATE(f_int("size_b", lstat_of(b).st_size), f_bool("size_a", lstat_of(a).st_size > 0), f_int("listed", listed(a, fd) + listed(b, fd))));
	char moved[80], inside[200];
	snprintf(moved, sizeof moved, "%s-moved", dir);
	r = place < 5 ? sys(rename, dir, moved) : 0;
	snprintf(inside, sizeof inside, "%s/%s", place < 5 ? moved : dir, strrchr(b, '/') + 1);
	/* Linux gives EXDEV for a folder of the lower layer, unless its overlay follows redirects. */
	observe("rename_folder", "rename", ret_bool(r == 0 || r == -EXDEV), ARGS(), STATE(f_bool("b", lstat_errno(inside) == 0 || lstat_errno(b) == 0)));
	if (r == 0 && place < 5)
		must(sys(rename, moved, dir));
	char name[600];
	char buf[16384] __attribute__((aligned(8)));
	must(sys(lseek, fd, 0, SEEK_SET));
	n = must(sys(getdents64, fd, buf, sizeof buf));
	bool whole = place < 5;
	for (long at = 0; whole && at < n;) {
		struct entry *e = (struct entry *)(buf + at);
		snprintf(name, sizeof name, "%s/%s", dir, e->name);
		if (e->name[0] != '.' || (e->name[1] && e->name[1] != '.'))
			whole = sys(unlink, name) == 0;
		at += e->len;
	}
	r = whole ? sys(rmdir, dir) : 0;
	observe("remove_folder", "rmdir", ret_int(r), ARGS(), STATE(f_bool("gone", !whole || lstat_errno(dir) == ENOENT)));
	r = whole ? sys(mkdir, dir, 0755) : 0;
	long again = must(sys(openat, AT_FDCWD, dir, O_RDONLY));
	n = sys(getdents64, again, buf, sizeof buf);
	observe("folder_again", "mkdir", ret_int(r), ARGS(), STATE(f_bool("empty", !whole || n == 48), f_bool("b", whole && lstat_errno(b) == 0)));
	n = sys(getdents64, fd, buf, sizeof buf);
	observe("open_removed", "getdents64", ret_bool(!whole || n <= 0), ARGS(), STATE());
	put_file(beside("zz-over"), "12345", 5);
	put_file(beside("zz-target"), "1", 1);
	r = sys(rename, beside("zz-over"), beside("zz-target"));
	observe("rename_over", "rename", ret_int(r), ARGS(), STATE(f_int("size", lstat_of(beside("zz-target")).st_size)));
}
