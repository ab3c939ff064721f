/* A file of the host under the root's writable layer keeps owner, group and mode whatever change of it makes the layer's copy. */
#include "probe.h"
#include "table.h"

struct entry { uint64_t ino; int64_t off; uint16_t len; uint8_t type; char name[]; };

enum { CHANGES = 4 };
static char found[CHANGES][300];
static size_t count;

/* Regular files of a group other than root's. */
static void search(const char *base)
{
	static char list[65536] __attribute__((aligned(8)));
	long fd = sys(openat, AT_FDCWD, base, O_RDONLY | O_DIRECTORY), n;
	while (fd >= 0 && count < CHANGES && (n = sys(getdents64, fd, list, sizeof list)) > 0)
		for (long at = 0; at < n && count < CHANGES;) {
			struct entry *e = (struct entry *)(list + at);
			at += e->len;
			snprintf(found[count], sizeof found[0], "%s/%s", base, e->name);
			struct stat s = lstat_of(found[count]);
			if (S_ISREG(s.st_mode) && s.st_gid != 0 && s.st_nlink == 1)
				count++;
		}
	sys(close, fd);
}

PROBE("dir/copied_owner", "chmod", "open", "utimensat", "setxattr")
{
	static const char *const ids[] = {"chmod", "open", "utimensat", "setxattr"};
	static const char *const calls[] = {"chmod", "openat", "utimensat", "setxattr"};
	static const char *const folders[] = {"/etc", "/usr/bin", "/usr/sbin", "/var/log", "/usr/lib", "/usr/local/bin"};
	for (size_t i = 0; i < countof(folders); i++)
		search(folders[i]);
	for (size_t i = 0; i < CHANGES; i++) {
		/* Where there are few, the first again: then it is a copy already. */
		const char *path = count ? found[i % count] : "/etc/passwd";
		struct stat before = lstat_of(path);
		long r = i == 0 ? sys(chmod, path, before.st_mode & 07777)
			 : i == 1 ? made(sys(openat, AT_FDCWD, path, O_WRONLY))
			 : i == 2 ? sys(utimensat, AT_FDCWD, path, NULL, 0)
				  : sys(setxattr, path, "trusted.probe", "1", 1, 0);
		struct stat after = lstat_of(path);
		observe(ids[i], calls[i], ret_int(r), ARGS(),
			STATE(f_bool("owner", before.st_uid == after.st_uid), f_bool("group", before.st_gid == after.st_gid), f_bool("mode", before.st_mode == after.st_mode)));
	}
}
