/* Time stamps are set, left, or made now; a write moves mtime and ctime. */
#include "probe.h"

static int64_t ns(struct timespec t) { return t.tv_sec * 1000000000ll + t.tv_nsec; }

PROBE("stat/times", "set", "omit", "now", "write", "bad_nsec", "missing")
{
	put_file("f", "abc", 3);
	struct timespec set[2] = {{1000000001, 5}, {1000000002, 6}};
	struct stat before = lstat_of("f");
	long r = sys(utimensat, AT_FDCWD, "f", set, 0);
	struct stat st = lstat_of("f");
	observe("set", "utimensat", ret_int(r), ARGS(),
		STATE(f_int("atime", ns(st.st_atim)), f_int("mtime", ns(st.st_mtim)), f_bool("ctime", ns(st.st_ctim) >= ns(before.st_ctim))));
	struct timespec omit[2] = {{7, 7}, {0, UTIME_OMIT}};
	r = sys(utimensat, AT_FDCWD, "f", omit, 0);
	st = lstat_of("f");
	observe("omit", "utimensat", ret_int(r), ARGS(), STATE(f_int("atime", ns(st.st_atim)), f_int("mtime", ns(st.st_mtim))));
	struct timespec now[2] = {{0, UTIME_OMIT}, {0, UTIME_NOW}};
	r = sys(utimensat, AT_FDCWD, "f", now, 0);
	st = lstat_of("f");
	/* The kernel stamps with a coarse clock, which may be a few ticks old. */
	observe("now", "utimensat", ret_int(r), ARGS(),
		STATE(f_int("atime", ns(st.st_atim)), f_dur("age", clock_ns(CLOCK_REALTIME) - ns(st.st_mtim), 0, 10000000000)));
	must(sys(utimensat, AT_FDCWD, "f", set, 0));
	long fd = must(sys(openat, AT_FDCWD, "f", O_WRONLY));
	long n = sys(write, fd, "x", 1);
	st = lstat_of("f");
	observe("write", "write", ret_int(n), ARGS(f_uint("count", 1)),
		STATE(f_int("atime", ns(st.st_atim)), f_rel("mtime", ns(st.st_mtim), ns(set[1])), f_rel("ctime", ns(st.st_ctim), ns(st.st_mtim))));
	struct timespec bad[2] = {{0, 1000000000}, {0, 0}};
	observe("bad_nsec", "utimensat", ret_int(sys(utimensat, AT_FDCWD, "f", bad, 0)), ARGS(), STATE(f_int("atime", ns(lstat_of("f").st_atim))));
	observe("missing", "utimensat", ret_int(sys(utimensat, AT_FDCWD, "missing", NULL, 0)), ARGS(), STATE());
}
