/* Who changes a file without the right to keep them takes its set-id bits away. */
#include "probe.h"

static struct { const char *id, *call; mode_t mode; } steps[] = {
	{"write", "write", 06777}, {"write_not_group", "write", 02767}, {"write_group_only", "write", 02777}, {"write_nothing", "write", 06777},
	{"pwrite", "pwrite64", 06777}, {"truncate", "truncate", 06777}, {"ftruncate", "ftruncate", 06777}, {"open_trunc", "openat", 06777},
	{"fallocate", "fallocate", 06777}, {"sendfile", "sendfile", 06777}, {"copy", "copy_file_range", 06777}, {"append", "write", 06777}, {"read", "read", 06777},
	{"map", "mmap", 06777},
};

static long act(size_t i)
{
	long fd = sys(openat, AT_FDCWD, "f", i == 11 ? O_WRONLY | O_APPEND : O_RDWR), from = sys(openat, AT_FDCWD, "source", O_RDONLY);
	int64_t at = 0;
	switch (i) {
	case 4: return sys(pwrite64, fd, "x", 1, 3);
	case 5: return sys(truncate, "f", 4);
	case 6: return sys(ftruncate, fd, 4);
	case 7: return sys(openat, AT_FDCWD, "f", O_WRONLY | O_TRUNC) >= 0;
	case 8: return sys(fallocate, fd, 0, 0, 100);
	case 9: return sys(sendfile, fd, from, NULL, 2);
	case 10: return sys(copy_file_range, from, &at, fd, NULL, 2, 0);
	case 12: return sys(read, fd, &at, 2);
	case 13: {
		long map = sys(mmap, NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (err_of(map))
			return map;
		*(volatile char *)map = 'm';
		return 0;
	}
	case 3: return sys(write, fd, "x", 0);
	default: return sys(write, fd, "x", 1);
	}
}

static size_t current;
static int one(long *r)
{
	r[0] = act(current);
	return 0;
}

static void all(const char *suffix, uid_t uid, long *r)
{
	for (size_t i = 0; i < countof(steps); i++) {
		static char ids[64];
		snprintf(ids, sizeof ids, "%s%s", steps[i].id, suffix);
		put_file("f", "01234567", 8);
		must(sys(chmod, "f", steps[i].mode));
		current = i;
		run_as(uid, uid, one, r);
		observe(ids, steps[i].call, ret_int(r[0]), ARGS(f_hex("mode", steps[i].mode)), STATE(f_hex("mode", lstat_of("f").st_mode)));
		must(sys(unlink, "f"));
	}
}

PROBE("perm/strips", "write", "write_not_group", "write_group_only", "write_nothing", "pwrite", "truncate", "ftruncate", "open_trunc", "fallocate", "sendfile", "copy",
      "append", "read", "map", "write_root", "write_not_group_root", "write_group_only_root", "write_nothing_root", "pwrite_root", "truncate_root", "ftruncate_root",
      "open_trunc_root", "fallocate_root", "sendfile_root", "copy_root", "append_root", "read_root", "map_root", "write_own_group", "chown_directory", "chown_file", "chown_not_group",
      "chown_nothing", "fchown_owner")
{
	long *r = pages(1, true);
	must(sys(chmod, ".", 0777));
	put_file("source", "source", 6);
	must(sys(chmod, "source", 0644));
	all("", 1234, r);
	all("_root", 0, r);
	/* Who is in the file's group keeps a bit that means mandatory locking. */
	put_file("f", "01234567", 8);
	must(sys(chmod, "f", 02767));
	current = 0;
	run_as(1234, 0, one, r);
	observe("write_own_group", "write", ret_int(r[0]), ARGS(f_hex("mode", 02767)), STATE(f_hex("mode", lstat_of("f").st_mode)));
	must(sys(mkdirat, AT_FDCWD, "d", 0755));
	must(sys(chmod, "d", 06755));
	long c = sys(chown, "d", 1001, 1002);
	observe("chown_directory", "chown", ret_int(c), ARGS(), STATE(f_hex("mode", lstat_of("d").st_mode), f_uint("uid", lstat_of("d").st_uid)));
	put_file("g", "x", 1);
	must(sys(chmod, "g", 06755));
	c = sys(chown, "g", 1001, 1002);
	observe("chown_file", "chown", ret_int(c), ARGS(), STATE(f_hex("mode", lstat_of("g").st_mode)));
	must(sys(chmod, "g", 06745));
	c = sys(chown, "g", -1, 1003);
	observe("chown_not_group", "chown", ret_int(c), ARGS(), STATE(f_hex("mode", lstat_of("g").st_mode), f_uint("gid", lstat_of("g").st_gid)));
	must(sys(chmod, "g", 06755));
	c = sys(chown, "g", -1, -1);
	observe("chown_nothing", "chown", ret_int(c), ARGS(), STATE(f_hex("mode", lstat_of("g").st_mode)));
	long fd = must(sys(openat, AT_FDCWD, "g", O_RDONLY));
	must(sys(chmod, "g", 06755));
	c = sys(fchown, fd, 1004, -1);
	observe("fchown_owner", "fchown", ret_int(c), ARGS(), STATE(f_hex("mode", lstat_of("g").st_mode)));
}
