/* Files of the layer below: set-id bits where they are changed. And a folder larger than one answer of a server. */
#include "probe.h"

static const char *set_id(struct stat *st)
{
	static const char *const files[] = {"/usr/bin/su", "/usr/bin/passwd", "/usr/bin/mount", "/usr/bin/umount", "/usr/bin/chsh", "/usr/bin/chfn", "/usr/bin/newgrp", "/usr/bin/gpasswd"};
	for (size_t i = 0; i < countof(files); i++)
		if (!sys(lstat, files[i], st) && S_ISREG(st->st_mode) && st->st_mode & S_ISUID)
			return files[i];
	return NULL;
}

PROBE("dir/lower_edges", "set_id_times", "set_id_link", "set_id_rename", "large", "large_again", "large_part")
{
	struct stat was = {.st_mode = S_IFREG | 04755};
	const char *file = set_id(&was);
	struct timespec t[2] = {{1000, 5}, {2000, 6}};
	long r = file ? sys(utimensat, AT_FDCWD, file, t, 0) : 0;
	observe("set_id_times", "utimensat", ret_int(r), ARGS(), STATE(f_bool("mode", !file || lstat_of(file).st_mode == was.st_mode)));
	r = file ? sys(link, file, "/usr/bin/zz-link") : 0;
	observe("set_id_link", "link", ret_int(r), ARGS(), STATE(f_bool("mode", !file || lstat_of("/usr/bin/zz-link").st_mode == was.st_mode)));
	file = set_id(&was);
	r = file ? sys(rename, file, "/usr/bin/zz-name") : 0;
	observe("set_id_rename", "rename", ret_int(r), ARGS(), STATE(f_bool("mode", !file || lstat_of("/usr/bin/zz-name").st_mode == was.st_mode)));
	char name[128], buf[32768] __attribute__((aligned(8)));
	memset(name, 'n', sizeof name);
	must(sys(mkdir, "large", 0700));
	must(sys(chdir, "large"));
	for (int i = 0; i < 600; i++) {
		snprintf(name + 100, sizeof name - 100, "%03d", i);
		must(sys(close, must(sys(openat, AT_FDCWD, name, O_CREAT | O_WRONLY, 0600))));
	}
	long fd = must(sys(openat, AT_FDCWD, ".", O_RDONLY | O_DIRECTORY));
	for (int pass = 0; pass < 3; pass++) {
		static bool seen[600];
		int count = 0, twice = 0;
		long n, cap = pass < 2 ? (long)sizeof buf : 200;
		must(sys(lseek, fd, 0, SEEK_SET));
		memset(seen, 0, sizeof seen);
		while ((n = must(sys(getdents64, fd, buf, cap))) > 0)
			for (long at = 0; at < n; at += *(uint16_t *)(buf + at + 16)) {
				const char *entry = buf + at + 19;
				if (entry[0] == '.')
					continue;
				int i = atoi(entry + 100);
				twice += seen[i];
				seen[i] = true;
				count++;
			}
		observe(pass == 0 ? "large" : pass == 1 ? "large_again" : "large_part", "getdents64", ret_int(count), ARGS(f_int("size", cap)), STATE(f_int("twice", twice)));
	}
}
