/* A device's number, a file's three times and its size, as each of the calls tells them. */
#include "probe.h"
#include <sys/sysmacros.h>

static void all(const char *id, const char *path)
{
	struct statx x;
	struct stat st;
	long r = sys(statx, AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &x);
	must(sys(lstat, path, &st));
	observe(id, "statx", ret_int(r), ARGS(f_str("path", path)),
		STATE(f_uint("major", x.stx_rdev_major), f_uint("minor", x.stx_rdev_minor), f_uint("stat_major", major(st.st_rdev)), f_uint("stat_minor", minor(st.st_rdev)), f_hex("mode", x.stx_mode),
		      f_bool("dev", makedev(x.stx_dev_major, x.stx_dev_minor) == st.st_dev), f_bool("ino", x.stx_ino == st.st_ino), f_bool("size", (int64_t)x.stx_size == st.st_size), f_bool("blocks", (int64_t)x.stx_blocks == st.st_blocks),
		      f_bool("atime", x.stx_atime.tv_sec == st.st_atim.tv_sec && x.stx_atime.tv_nsec == st.st_atim.tv_nsec), f_bool("mtime", x.stx_mtime.tv_sec == st.st_mtim.tv_sec && x.stx_mtime.tv_nsec == st.st_mtim.tv_nsec),
		      f_bool("ctime", x.stx_ctime.tv_sec == st.st_ctim.tv_sec && x.stx_ctime.tv_nsec == st.st_ctim.tv_nsec), f_bool("links", x.stx_nlink == st.st_nlink), f_bool("owner", x.stx_uid == st.st_uid && x.stx_gid == st.st_gid)));
}

PROBE("stat/devices", "null", "zero", "full", "file", "times", "directory", "link", "fifo", "before_epoch", "far")
{
	all("null", "/dev/null");
	all("zero", "/dev/zero");
	all("full", "/dev/full");
	put_file("f", "0123456789", 10);
	all("file", "f");
	struct timespec t[2] = {{1000000001, 11}, {1100000002, 22}};
	must(sys(utimensat, AT_FDCWD, "f", t, 0));
	struct statx x;
	long r = sys(statx, AT_FDCWD, "f", 0, STATX_BASIC_STATS | STATX_BTIME, &x);
	observe("times", "statx", ret_int(r), ARGS(), STATE(f_int("atime", x.stx_atime.tv_sec), f_int("atime_ns", x.stx_atime.tv_nsec), f_int("mtime", x.stx_mtime.tv_sec), f_int("mtime_ns", x.stx_mtime.tv_nsec),
		f_bool("ctime_now", x.stx_ctime.tv_sec > 1200000000), f_bool("btime_now", x.stx_btime.tv_sec > 1200000000), f_bool("born_first", stamp_ns((struct timespec){x.stx_btime.tv_sec, x.stx_btime.tv_nsec}) <= stamp_ns((struct timespec){x.stx_ctime.tv_sec, x.stx_ctime.tv_nsec}))));
	must(sys(mkdirat, AT_FDCWD, "d", 01755));
	all("directory", "d");
	must(sys(symlinkat, "target", AT_FDCWD, "l"));
	all("link", "l");
	must(sys(mknodat, AT_FDCWD, "p", S_IFIFO | 0640, 0));
	all("fifo", "p");
	struct timespec early[2] = {{-5, 500000000}, {-1, 1}};
	r = sys(utimensat, AT_FDCWD, "f", early, 0);
	struct stat st = lstat_of("f");
	observe("before_epoch", "utimensat", ret_int(r), ARGS(), STATE(f_int("atime", st.st_atim.tv_sec), f_int("atime_ns", st.st_atim.tv_nsec), f_int("mtime", st.st_mtim.tv_sec), f_int("mtime_ns", st.st_mtim.tv_nsec)));
	struct timespec far[2] = {{4000000000, 999999999}, {5000000000, 0}};
	r = sys(utimensat, AT_FDCWD, "f", far, 0);
	st = lstat_of("f");
	observe("far", "utimensat", ret_int(r), ARGS(), STATE(f_int("atime", st.st_atim.tv_sec), f_int("atime_ns", st.st_atim.tv_nsec), f_int("mtime", st.st_mtim.tv_sec)));
}
