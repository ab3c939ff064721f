/* statx gives what stat gives. */
#include "probe.h"

PROBE("stat/statx", "file", "nofollow", "empty_path", "bad_mask", "bad_flags")
{
	put_file("f", "12345", 5);
	must(sys(symlinkat, "f", AT_FDCWD, "link"));
	struct statx x = {0};
	struct stat st = lstat_of("f");
	long r = sys(statx, AT_FDCWD, "f", 0, STATX_BASIC_STATS, &x);
	observe("file", "statx", ret_int(r), ARGS(f_hex("mask", STATX_BASIC_STATS)),
		STATE(f_hex("mode", x.stx_mode), f_uint("size", x.stx_size), f_uint("nlink", x.stx_nlink),
		      f_bool("mask", (x.stx_mask & STATX_BASIC_STATS) == STATX_BASIC_STATS), f_bool("ino", x.stx_ino == st.st_ino),
		      f_bool("mtime", x.stx_mtime.tv_sec == st.st_mtim.tv_sec && x.stx_mtime.tv_nsec == st.st_mtim.tv_nsec),
		      f_bool("dev", ((uint64_t)x.stx_dev_major << 8 | (x.stx_dev_minor & 0xff)) == (st.st_dev & 0xfffff))));
	r = sys(statx, AT_FDCWD, "link", AT_SYMLINK_NOFOLLOW, STATX_TYPE | STATX_SIZE, &x);
	observe("nofollow", "statx", ret_int(r), ARGS(f_hex("flags", AT_SYMLINK_NOFOLLOW)),
		STATE(f_hex("type", x.stx_mode & S_IFMT), f_uint("size", x.stx_size)));
	long fd = must(sys(openat, AT_FDCWD, "f", O_PATH));
	r = sys(statx, fd, "", AT_EMPTY_PATH, STATX_SIZE, &x);
	observe("empty_path", "statx", ret_int(r), ARGS(f_hex("flags", AT_EMPTY_PATH)), STATE(f_uint("size", x.stx_size)));
	observe("bad_mask", "statx", ret_int(sys(statx, AT_FDCWD, "f", 0, 0x80000000u, &x)), ARGS(f_hex("mask", 0x80000000u)), STATE());
	observe("bad_flags", "statx", ret_int(sys(statx, AT_FDCWD, "f", 0x6000, STATX_SIZE, &x)), ARGS(f_hex("flags", 0x6000)), STATE());
}
