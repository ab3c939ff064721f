/* Numbers, positions and rights in /proc. */
#include "probe.h"

static int idle(void *arg)
{
	char c;
	sys(read, ((int *)arg)[0], &c, 1);
	return 0;
}

static void opens(const char *id, const char *path, int flags)
{
	long fd = sys(openat, AT_FDCWD, path, flags);
	observe(id, "openat", ret_int(fd >= 0 ? 0 : fd), ARGS(f_str("path", path), f_hex("flags", (uint64_t)flags)), STATE());
	if (fd >= 0)
		sys(close, fd);
}

PROBE("procfs/edges", "fd", "fd_zero", "fd_zeros", "fd_plus", "fd_negative", "fd_huge", "fd_empty", "task_zero", "task_huge", "missing", "create", "comm_own", "comm_child", "comm_newline", "comm_long", "comm_empty", "end_of_status", "past_status", "seek_end", "seek_negative", "in_pieces", "pread_again", "rewound", "fdinfo_position", "fdinfo_flags",
      "fdinfo_cloexec", "fdinfo_missing", "fd_mode_read", "fd_mode_write", "fd_mode_both", "fd_mode_path", "write_status", "truncate_comm", "chmod", "unlink", "mkdir", "self_link", "thread_self", "exe_size", "links")
{
	char b[4096], path[64];
	put_file("f", "0123456789", 10);
	must(sys(openat, AT_FDCWD, "f", O_RDONLY));
	opens("fd", "/proc/self/fd/3", O_RDONLY);
	opens("fd_zero", "/proc/self/fd/03", O_RDONLY);
	opens("fd_zeros", "/proc/self/fd/00", O_RDONLY);
	opens("fd_plus", "/proc/self/fd/+3", O_RDONLY);
	opens("fd_negative", "/proc/self/fd/-1", O_RDONLY);
	opens("fd_huge", "/proc/self/fd/4294967299", O_RDONLY);
	opens("fd_empty", "/proc/self/fd/", O_RDONLY);
	opens("task_zero", "/proc/01/status", O_RDONLY);
	opens("task_huge", "/proc/99999999999/status", O_RDONLY);
	opens("missing", "/proc/self/nothing", O_RDONLY);
	opens("create", "/proc/self/nothing", O_CREAT | O_RDWR);
	int p[2];
	make_pipe(p, 0);
	long child = spawn(idle, p);
	await_sleep(child, child);
	long own = must(sys(openat, AT_FDCWD, "/proc/self/comm", O_RDWR));
	snprintf(path, sizeof path, "/proc/%ld/comm", child);
	long theirs = must(sys(openat, AT_FDCWD, path, O_RDWR));
#define NAME(id, fd, text, len)                                                                                       \
	do {                                                                                                          \
		long r_ = sys(write, fd, text, len);                                                                  \
		long n_ = get_file(fd == own ? "/proc/self/comm" : path, b, sizeof b);                                \
		observe(id, "write", ret_int(r_), ARGS(), STATE(f_bytes("comm", b, n_ > 0 ? (size_t)n_ : 0)));        \
	} while (0)
	NAME("comm_own", own, "mine", 4);
	NAME("comm_child", theirs, "theirs", 6);
	NAME("comm_newline", own, "a\nb", 3);
	NAME("comm_long", own, "0123456789abcdefghij", 20);
	NAME("comm_empty", own, "", 0);
	must(sys(write, p[1], "x", 1));
	reap(child);
	long st = must(sys(openat, AT_FDCWD, "/proc/self/status", O_RDONLY));
	long n, total = 0;
	while ((n = must(sys(read, st, b, 100))) > 0)
		total += n;
	observe("end_of_status", "read", ret_int(sys(read, st, b, 100)), ARGS(), STATE(f_bool("position", tell(st) == total), f_bool("several", total > 300)));
	observe("past_status", "pread64", ret_int(sys(pread64, st, b, 100, 1 << 20)), ARGS(), STATE(f_bool("position", tell(st) == total)));
	long v = must(sys(openat, AT_FDCWD, "/proc/self/comm", O_RDONLY));
	observe("seek_end", "lseek", ret_int(sys(lseek, st, 0, SEEK_END)), ARGS(), STATE(f_bool("position", tell(st) == total)));
	observe("seek_negative", "lseek", ret_int(sys(lseek, st, -1, SEEK_SET)), ARGS(), STATE());
	char whole[64] = "", pieces[64] = "";
	n = get_file("/proc/self/comm", whole, sizeof whole);
	for (long at = 0; at < n; at++)
		must(sys(read, v, pieces + at, 1));
	observe("in_pieces", "read", ret_int(sys(read, v, b, 1)), ARGS(), STATE(f_bool("same", memcmp(whole, pieces, sizeof whole) == 0)));
	long again = sys(pread64, v, b, 3, 2);
	observe("pread_again", "pread64", ret_int(again), ARGS(), STATE(f_bool("same", memcmp(whole + 2, b, 3) == 0)));
	must(sys(write, own, "changed", 7));
	must(sys(lseek, v, 0, SEEK_SET));
	n = sys(read, v, b, sizeof b);
	observe("rewound", "read", ret_int(n), ARGS(), STATE(f_bytes("comm", b, n > 0 ? (size_t)n : 0)));
	long f = must(sys(openat, AT_FDCWD, "f", O_RDWR | O_APPEND | O_CLOEXEC)), g = must(sys(openat, AT_FDCWD, "f", O_WRONLY)), o = must(sys(openat, AT_FDCWD, "f", O_PATH));
	must(sys(lseek, f, 7, SEEK_SET));
	must(sys(dup2, f, 40));
	must(sys(dup3, f, 41, O_CLOEXEC));
	must(sys(dup2, g, 42));
	must(sys(dup2, o, 43));
	must(sys(dup2, 3, 44));
	static const struct { const char *id; int fd; } infos[] = {{"fdinfo_position", 40}, {"fdinfo_flags", 42}, {"fdinfo_cloexec", 41}};
	for (size_t i = 0; i < countof(infos); i++) {
		snprintf(path, sizeof path, "/proc/self/fdinfo/%d", infos[i].fd);
		memset(b, 0, sizeof b);
		must(get_file(path, b, sizeof b - 1));
		long position = -1;
		unsigned flags = 0;
		int got = sscanf(b, "pos: %ld flags: %o", &position, &flags);
		observe(infos[i].id, "read", ret_int(got), ARGS(f_int("fd", infos[i].fd)), STATE(f_int("position", position), f_hex("flags", flags)));
	}
	opens("fdinfo_missing", "/proc/self/fdinfo/99", O_RDONLY);
	static const struct { const char *id, *path; } modes[] = {{"fd_mode_read", "/proc/self/fd/44"}, {"fd_mode_write", "/proc/self/fd/42"}, {"fd_mode_both", "/proc/self/fd/40"}, {"fd_mode_path", "/proc/self/fd/43"}};
	for (size_t i = 0; i < countof(modes); i++)
		observe(modes[i].id, "lstat", ret_int(-lstat_errno(modes[i].path)), ARGS(), STATE(f_hex("mode", lstat_of(modes[i].path).st_mode), f_int("size", lstat_of(modes[i].path).st_size), f_uint("links", lstat_of(modes[i].path).st_nlink)));
	long ws = sys(openat, AT_FDCWD, "/proc/self/status", O_WRONLY);
	observe("write_status", "write", ret_bool(ws < 0 || sys(write, ws, "x", 1) < 0), ARGS(), STATE());
	opens("truncate_comm", "/proc/self/comm", O_WRONLY | O_TRUNC);
	observe("chmod", "chmod", ret_int(sys(chmod, "/proc/self/status", 0777)), ARGS(), STATE(f_hex("mode", lstat_of("/proc/self/status").st_mode)));
	observe("unlink", "unlink", ret_int(sys(unlink, "/proc/self/status")), ARGS(), STATE(f_errno("there", lstat_errno("/proc/self/status"))));
	observe("mkdir", "mkdir", ret_int(sys(mkdir, "/proc/self/new", 0755)), ARGS(), STATE());
	n = sys(readlink, "/proc/self", b, sizeof b);
	b[n > 0 ? n : 0] = 0;
	observe("self_link", "readlink", ret_bool(atol(b) == sys(getpid)), ARGS(), STATE(f_hex("mode", lstat_of("/proc/self").st_mode)));
	n = sys(readlink, "/proc/thread-self", b, sizeof b);
	b[n > 0 ? n : 0] = 0;
	snprintf(path, sizeof path, "%ld/task/%ld", sys(getpid), sys(gettid));
	observe("thread_self", "readlink", ret_bool(strcmp(b, path) == 0), ARGS(), STATE());
	struct stat exe;
	must(sys(stat, "/proc/self/exe", &exe));
	observe("exe_size", "stat", ret_bool(exe.st_size > 10000), ARGS(), STATE(f_hex("link_mode", lstat_of("/proc/self/exe").st_mode)));
	observe("links", "lstat", ret_int(0), ARGS(), STATE(f_hex("cwd", lstat_of("/proc/self/cwd").st_mode), f_hex("fd", lstat_of("/proc/self/fd").st_mode), f_hex("fdinfo", lstat_of("/proc/self/fdinfo").st_mode), f_hex("task", lstat_of("/proc/self/task").st_mode), f_hex("maps", lstat_of("/proc/self/maps").st_mode), f_hex("comm", lstat_of("/proc/self/comm").st_mode)));
}
