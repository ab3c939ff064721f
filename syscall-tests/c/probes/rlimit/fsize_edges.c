/* RLIMIT_FSIZE cuts at the limit, by where a write starts; SIGXFSZ comes with EFBIG alone. */
#include "probe.h"

static volatile int signals;
static void count(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)info, (void)context;
	signals++;
}

#define LOOK(id, call, fd, ...)                                                                                       \
	do {                                                                                                          \
		signals = 0;                                                                                          \
		long r_ = __VA_ARGS__;                                                                                \
		observe(id, call, ret_int(r_), ARGS(), STATE(f_int("signals", signals), f_int("size", lstat_of("f").st_size), f_int("offset", tell(fd)))); \
	} while (0)

PROBE("rlimit/fsize_edges", "append_crosses", "append_full", "append_nothing", "crosses", "at_limit", "nothing_at_limit", "pwrite", "writev", "grow_to_limit", "grow_past",
      "truncate_past", "truncate_to_limit", "shrink", "allocate_to_limit", "allocate_past", "allocate_keep", "sendfile", "copy", "device")
{
	on_signal(SIGXFSZ, count, 0, 0);
	put_file("f", "012345", 6);
	put_file("source", "abcdefghijkl", 12);
	long from = must(sys(openat, AT_FDCWD, "source", O_RDONLY));
	struct rlimit limit = {8, RLIM_INFINITY};
	must(sys(setrlimit, RLIMIT_FSIZE, &limit));
	long a = must(sys(openat, AT_FDCWD, "f", O_WRONLY | O_APPEND)), w = must(sys(openat, AT_FDCWD, "f", O_RDWR));
	LOOK("append_crosses", "write", a, sys(write, a, "xxxx", 4));
	must(sys(lseek, a, 0, SEEK_SET));
	LOOK("append_full", "write", a, sys(write, a, "x", 1));
	LOOK("append_nothing", "write", a, sys(write, a, "x", 0));
	must(sys(lseek, w, 5, SEEK_SET));
	LOOK("crosses", "write", w, sys(write, w, "yyyyyy", 6));
	LOOK("at_limit", "write", w, sys(write, w, "z", 1));
	LOOK("nothing_at_limit", "write", w, sys(write, w, "z", 0));
	LOOK("pwrite", "pwrite64", w, sys(pwrite64, w, "zzz", 3, 7));
	must(sys(lseek, w, 6, SEEK_SET));
	struct iovec parts[2] = {{"1", 1}, {"234", 3}};
	LOOK("writev", "writev", w, sys(writev, w, parts, 2));
	must(sys(ftruncate, w, 2));
	LOOK("grow_to_limit", "ftruncate", w, sys(ftruncate, w, 8));
	LOOK("grow_past", "ftruncate", w, sys(ftruncate, w, 9));
	LOOK("truncate_past", "truncate", w, sys(truncate, "f", 9));
	LOOK("truncate_to_limit", "truncate", w, sys(truncate, "f", 8));
	LOOK("shrink", "ftruncate", w, sys(ftruncate, w, 4));
	LOOK("allocate_to_limit", "fallocate", w, sys(fallocate, w, 0, 4, 4));
	LOOK("allocate_past", "fallocate", w, sys(fallocate, w, 0, 4, 5));
	LOOK("allocate_keep", "fallocate", w, sys(fallocate, w, 1, 4, 5));
	must(sys(ftruncate, w, 0));
	must(sys(lseek, w, 3, SEEK_SET));
	LOOK("sendfile", "sendfile", w, sys(sendfile, w, from, NULL, 12));
	int64_t at = 0, to = 6;
	LOOK("copy", "copy_file_range", w, sys(copy_file_range, from, &at, w, &to, 12, 0));
	long null = must(sys(openat, AT_FDCWD, "/dev/null", O_WRONLY));
	LOOK("device", "write", w, sys(write, null, "0123456789", 10));
}
