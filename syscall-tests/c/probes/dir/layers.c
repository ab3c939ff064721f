/* Folders and large files of the host under the root's writable layer: what is made in place of the removed, moved, linked, copied. */
#include "probe.h"

struct entry { uint64_t ino; int64_t off; uint16_t len; uint8_t type; char name[]; };

static char folders[3][200], files[3][8][300], b[65536] __attribute__((aligned(8)));
static size_t counts[3], found;

/* A folder that holds nothing but a few small files of root. */
static bool suits(const char *path)
{
	static char list[8192] __attribute__((aligned(8)));
	struct stat st = lstat_of(path);
	long fd = sys(openat, AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	if (fd < 0)
		return false;
	long n = sys(getdents64, fd, list, sizeof list);
	bool good = st.st_uid == 0 && (st.st_mode & 07777) == 0755 && sys(getdents64, fd, b, sizeof b) == 0;
	sys(close, fd);
	size_t count = 0;
	for (long at = 0; good && at < n;) {
		struct entry *e = (struct entry *)(list + at);
		at += e->len;
		if (!strcmp(e->name, ".") || !strcmp(e->name, ".."))
			continue;
		char *full = files[found][count];
		snprintf(full, sizeof files[0][0], "%s/%s", path, e->name);
		st = lstat_of(full);
		good = S_ISREG(st.st_mode) && st.st_uid == 0 && st.st_nlink == 1 && st.st_size > 0 && st.st_size < 60000 && ++count < 8;
	}
	counts[found] = count;
	return good && count >= 2;
}

static void search(const char *base)
{
	static char list[65536] __attribute__((aligned(8)));
	long fd = sys(openat, AT_FDCWD, base, O_RDONLY | O_DIRECTORY), n;
	while (fd >= 0 && found < 3 && (n = sys(getdents64, fd, list, sizeof list)) > 0)
		for (long at = 0; at < n && found < 3;) {
			struct entry *e = (struct entry *)(list + at);
			at += e->len;
			snprintf(folders[found], sizeof folders[0], "%s/%s", base, e->name);
			if (e->name[0] != '.' && S_ISDIR(lstat_of(folders[found]).st_mode) && suits(folders[found]))
				found++;
		}
	sys(close, fd);
}

static long entries(const char *path, const char *name, uint64_t *ino)
{
	long fd = must(sys(openat, AT_FDCWD, path, O_RDONLY | O_DIRECTORY)), n, count = 0;
	while ((n = must(sys(getdents64, fd, b, sizeof b))) > 0)
		for (long at = 0; at < n;) {
			struct entry *e = (struct entry *)(b + at);
			at += e->len;
			count += strcmp(e->name, ".") && strcmp(e->name, "..");
			if (name && !strcmp(e->name, name))
				*ino = e->ino;
		}
	sys(close, fd);
	return count;
}

static uint64_t sum_of(const char *path)
{
	long fd = must(sys(openat, AT_FDCWD, path, O_RDONLY)), n;
	uint64_t sum = 5381;
	while ((n = must(sys(read, fd, b, sizeof b))) > 0)
		for (long i = 0; i < n; i++)
			sum = sum * 33 + (uint8_t)b[i];
	sys(close, fd);
	return sum;
}

static bool large(char *path, size_t cap)
{
	static char list[65536] __attribute__((aligned(8)));
	static const char *const places[] = {"/usr/bin", "/usr/lib/x86_64-linux-gnu", "/usr/sbin", "/bin", "/usr/lib"};
	for (size_t p = 0; p < countof(places); p++) {
		long fd = sys(openat, AT_FDCWD, places[p], O_RDONLY | O_DIRECTORY), n;
		while (fd >= 0 && (n = sys(getdents64, fd, list, sizeof list)) > 0)
			for (long at = 0; at < n;) {
				struct entry *e = (struct entry *)(list + at);
				at += e->len;
				snprintf(path, cap, "%s/%s", places[p], e->name);
				struct stat st = lstat_of(path);
				if (S_ISREG(st.st_mode) && st.st_size > 2200000 && st.st_size < 9000000 && st.st_nlink == 1 && (st.st_mode & 07777) == 0755 && st.st_uid == 0)
					return true;
			}
		sys(close, fd);
	}
	return false;
}

static const char *base(const char *path) { return strrchr(path, '/') + 1; }

static bool listed_above(const char *path)
{
	char above[200];
	uint64_t ino = 0;
	snprintf(above, sizeof above, "%.*s", (int)(base(path) - path - 1), path);
	entries(above, base(path), &ino);
	return ino != 0;
}

PROBE("dir/layers", "chmod", "chmod_number", "chown", "large", "large_data", "removed_open", "removed_read", "linked_over", "linked_listed", "symlink_over", "mknod_over", "mkdir_over", "mkdir_over_attributes", "rename_over_whiteout", "exchange_new", "moved_file",
      "moved_back", "move_folder", "move_folder_out", "remove_full", "empty_folder", "remove_folder", "folder_again", "folder_again_attributes", "folder_again_file", "folder_over", "link_kept", "utimes", "attribute_kept", "truncated", "extended")
{
	static const char *const bases[] = {"/etc", "/usr/share", "/usr/lib", "/usr/share/doc", "/var/lib", "/usr/include", "/usr/share/perl5", "/usr/lib/python3", "/opt", "/usr"};
	for (size_t i = 0; i < countof(bases) && found < 3; i++)
		search(bases[i]);
	require(found == 3);
	char *dir = folders[0], *f = files[0][0], *g = files[0][1], path[400], big[300];
	struct stat was = lstat_of(f), is;
	next_stamp();
	long r = sys(chmod, f, 0600);
	is = lstat_of(f);
	observe("chmod", "chmod", ret_int(r), ARGS(), STATE(f_rel("atime", stamp_ns(is.st_atim), stamp_ns(was.st_atim)), f_rel("mtime", stamp_ns(is.st_mtim), stamp_ns(was.st_mtim)), f_rel("ctime", stamp_ns(is.st_ctim), stamp_ns(was.st_ctim)), f_uint("links", is.st_nlink), f_rel("size", is.st_size, was.st_size)));
	observe("chmod_number", "chmod", ret_int(r), ARGS(), STATE(f_bool("same", is.st_ino == was.st_ino), f_bool("device", is.st_dev == was.st_dev)));
	was = lstat_of(g);
	r = sys(chown, g, 1001, -1);
	is = lstat_of(g);
	observe("chown", "chown", ret_int(r), ARGS(), STATE(f_uint("uid", is.st_uid), f_bool("gid", is.st_gid == was.st_gid), f_bool("mode", is.st_mode == was.st_mode), f_rel("mtime", stamp_ns(is.st_mtim), stamp_ns(was.st_mtim)), f_rel("atime", stamp_ns(is.st_atim), stamp_ns(was.st_atim))));
	require(large(big, sizeof big));
	was = lstat_of(big);
	uint64_t sum = sum_of(big);
	long fd = must(sys(openat, AT_FDCWD, big, O_RDWR));
	r = sys(pwrite64, fd, "", 0, 0);
	observe("large", "openat", ret_int(r), ARGS(f_hex("flags", O_RDWR)), STATE(f_bool("size", lstat_of(big).st_size == was.st_size), f_rel("mtime", stamp_ns(lstat_of(big).st_mtim), stamp_ns(was.st_mtim))));
	observe("large_data", "read", ret_bool(sum_of(big) == sum), ARGS(), STATE());
	dir = folders[1], f = files[1][0], g = files[1][1];
	char data[16], first[16];
	fd = must(sys(openat, AT_FDCWD, f, O_RDONLY));
	must(sys(pread64, fd, first, 1, 0));
	r = sys(unlink, f);
	is = fstat_of((int)fd);
	observe("removed_open", "unlink", ret_int(r), ARGS(), STATE(f_bool("size", is.st_size > 0)));
	r = sys(pread64, fd, data, 1, 0);
	observe("removed_read", "pread64", ret_int(r), ARGS(), STATE(f_bool("data", data[0] == first[0])));
	r = sys(link, g, f);
	observe("linked_over", "link", ret_int(r), ARGS(), STATE(f_uint("links", lstat_of(g).st_nlink)));
	observe("linked_listed", "getdents64", ret_int(entries(dir, NULL, NULL) - (long)counts[1]), ARGS(), STATE());
	must(sys(unlink, f));
	r = sys(symlink, "target", f);
	observe("symlink_over", "symlink", ret_int(r), ARGS(), STATE(f_hex("type", lstat_of(f).st_mode & S_IFMT), f_int("count", entries(dir, NULL, NULL) - (long)counts[1])));
	must(sys(unlink, f));
	r = sys(mknod, f, S_IFIFO | 0600, 0);
	observe("mknod_over", "mknod", ret_int(r), ARGS(), STATE(f_hex("type", lstat_of(f).st_mode & S_IFMT), f_int("count", entries(dir, NULL, NULL) - (long)counts[1])));
	must(sys(unlink, f));
	r = sys(mkdir, f, 0700);
	observe("mkdir_over", "mkdir", ret_int(r), ARGS(), STATE(f_hex("mode", lstat_of(f).st_mode), f_int("inside", entries(f, NULL, NULL)), f_uint("links", lstat_of(f).st_nlink > 2)));
	observe("mkdir_over_attributes", "listxattr", ret_int(sys(listxattr, f, b, sizeof b)), ARGS(), STATE());
	must(sys(rmdir, f));
	snprintf(path, sizeof path, "%s/zz-new", dir);
	put_file(path, "new", 3);
	r = sys(rename, path, f);
	observe("rename_over_whiteout", "rename", ret_int(r), ARGS(), STATE(f_int("size", lstat_of(f).st_size), f_errno("old", lstat_errno(path)), f_int("count", entries(dir, NULL, NULL) - (long)counts[1])));
	was = lstat_of(g);
	r = sys(renameat2, AT_FDCWD, f, AT_FDCWD, g, 2);
	observe("exchange_new", "renameat2", ret_int(r), ARGS(f_hex("flags", 2)), STATE(f_int("g", lstat_of(g).st_size), f_bool("f", lstat_of(f).st_size == was.st_size), f_int("count", entries(dir, NULL, NULL) - (long)counts[1])));
	sum = sum_of(f);
	snprintf(path, sizeof path, "%s/zz-moved", folders[0]);
	r = sys(rename, f, path);
	observe("moved_file", "rename", ret_int(r), ARGS(), STATE(f_bool("data", !r && sum_of(path) == sum), f_errno("old", lstat_errno(f))));
	r = sys(rename, path, f);
	observe("moved_back", "rename", ret_int(r), ARGS(), STATE(f_bool("data", !r && sum_of(f) == sum), f_int("count", entries(dir, NULL, NULL) - (long)counts[1])));
	/* Linux gives EXDEV for a folder of the lower layer, unless its overlay follows redirects. */
	dir = folders[2], f = files[2][0];
	sum = sum_of(f);
	snprintf(path, sizeof path, "%s-moved", dir);
	r = sys(rename, dir, path);
	char inside[700];
	snprintf(inside, sizeof inside, "%s/%s", r ? dir : path, base(f));
	observe("move_folder", "rename", ret_bool(r == 0 || r == -EXDEV), ARGS(), STATE(f_bool("data", !lstat_errno(inside) && sum_of(inside) == sum), f_bool("count", entries(r ? dir : path, NULL, NULL) == (long)counts[2]), f_errno("old", r ? ENOENT : lstat_errno(dir))));
	if (!r)
		must(sys(rename, path, dir));
	snprintf(path, sizeof path, "%s/zz-folder", folders[1]);
	r = sys(rename, dir, path);
	snprintf(inside, sizeof inside, "%s/%s", r ? dir : path, base(f));
	observe("move_folder_out", "rename", ret_bool(r == 0 || r == -EXDEV), ARGS(), STATE(f_bool("data", !lstat_errno(inside) && sum_of(inside) == sum)));
	if (!r)
		must(sys(rename, path, dir));
	observe("remove_full", "rmdir", ret_int(sys(rmdir, dir)), ARGS(), STATE(f_bool("count", entries(dir, NULL, NULL) == (long)counts[2])));
	for (size_t i = 0; i < counts[2]; i++)
		must(sys(unlink, files[2][i]));
	observe("empty_folder", "getdents64", ret_int(entries(dir, NULL, NULL)), ARGS(), STATE());
	r = sys(rmdir, dir);
	observe("remove_folder", "rmdir", ret_int(r), ARGS(), STATE(f_errno("there", lstat_errno(dir)), f_bool("listed", listed_above(dir))));
	r = sys(mkdir, dir, 0755);
	observe("folder_again", "mkdir", ret_int(r), ARGS(), STATE(f_int("inside", entries(dir, NULL, NULL))));
	observe("folder_again_attributes", "listxattr", ret_int(sys(listxattr, dir, b, sizeof b)), ARGS(), STATE());
	r = sys(openat, AT_FDCWD, f, O_CREAT | O_EXCL | O_WRONLY, 0600);
	observe("folder_again_file", "openat", ret_bool(r >= 0), ARGS(f_hex("flags", O_CREAT | O_EXCL)), STATE(f_int("size", lstat_of(f).st_size), f_errno("other", lstat_errno(files[2][1]))));
	must(sys(unlink, f));
	snprintf(path, sizeof path, "%s-fresh", dir);
	must(sys(mkdir, path, 0700));
	r = sys(rename, path, dir);
	observe("folder_over", "rename", ret_int(r), ARGS(), STATE(f_hex("mode", lstat_of(dir).st_mode), f_int("inside", entries(dir, NULL, NULL)), f_errno("old", lstat_errno(path))));
	f = files[0][0], g = files[0][1];
	snprintf(path, sizeof path, "%s/zz-link", folders[0]);
	r = sys(link, f, path);
	must(sys(unlink, f));
	observe("link_kept", "link", ret_int(r), ARGS(), STATE(f_uint("links", lstat_of(path).st_nlink), f_errno("old", lstat_errno(f))));
	sum = sum_of(path);
	struct timespec t[2] = {{1000, 5}, {2000, 6}};
	r = sys(utimensat, AT_FDCWD, g, t, 0);
	observe("utimes", "utimensat", ret_int(r), ARGS(), STATE(f_int("mtime", stamp_ns(lstat_of(g).st_mtim)), f_int("atime", lstat_of(g).st_atim.tv_sec)));
	r = sys(setxattr, g, "user.x", "value", 5, 0);
	observe("attribute_kept", "setxattr", ret_int(r), ARGS(), STATE(f_int("read", sys(getxattr, g, "user.x", b, sizeof b)), f_int("list", sys(listxattr, g, b, sizeof b)), f_int("mtime", stamp_ns(lstat_of(g).st_mtim))));
	must(sys(pread64, must(sys(openat, AT_FDCWD, g, O_RDONLY)), first, 1, 0));
	r = sys(truncate, g, 1);
	observe("truncated", "truncate", ret_int(r), ARGS(), STATE(f_int("size", lstat_of(g).st_size), f_bool("data", get_file(g, data, 16) == 1 && data[0] == first[0])));
	r = sys(truncate, g, 5);
	get_file(g, data, 16);
	observe("extended", "truncate", ret_int(r), ARGS(), STATE(f_int("size", lstat_of(g).st_size), f_bytes("data", data + 1, 4)));
}
