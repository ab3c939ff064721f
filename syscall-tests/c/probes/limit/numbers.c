/* Numbers at the borders of what a call takes: signals, sizes, counts, lengths, priorities. A row a call, a cell a number. */
#include "probe.h"
#include "table.h"
#include <sys/epoll.h>
#include <sys/prctl.h>

static struct row row;
static char data[8192] __attribute__((aligned(4096)));
static long fd, null, zero, ep, child, sock;
static int p[2], s[2], go[2], timer;

#define ROW(id, call, act, ...)                                                                                       \
	{                                                                                                             \
		static const long numbers[] = {__VA_ARGS__};                                                          \
		for (size_t k = 0; k < countof(numbers); k++) {                                                       \
			long n = numbers[k];                                                                          \
			(void)n;                                                                                      \
			cell(&row, (long)k, act);                                                                     \
		}                                                                                                     \
		observe_row(&row, id, call);                                                                          \
	}
/* In a child: what changes the process. */
#define CHILD_ROW(id, call, act, ...)                                                                                 \
	{                                                                                                             \
		static const long numbers[] = {__VA_ARGS__};                                                          \
		for (size_t k = 0; k < countof(numbers); k++) {                                                       \
			long n = numbers[k], pid = must(sys(fork));                                                   \
			if (pid == 0) {                                                                               \
				shared[0] = -99999;                                                                   \
				shared[0] = act;                                                                      \
				sys(exit_group, 0);                                                                   \
			}                                                                                             \
			int status = reap(pid);                                                                       \
			cell(&row, (long)k, status ? 100000 + status : shared[0]);                                    \
		}                                                                                                     \
		observe_row(&row, id, call);                                                                          \
	}
#define SIGNALS -1, 0, 1, 31, 32, 33, 63, 64, 65, 128, INT_MAX, INT_MIN, (1ll << 32) + 10
#define OFFSETS -1, 0, INT_MAX, 1ll << 31, 1ll << 32, INT64_MAX - 4096, INT64_MAX - 1, INT64_MAX, INT64_MIN
#define VECTORS 0, 1, 2, 1023, 1024, 1025, INT_MAX, -1, INT_MIN
static long *shared;

static struct iovec vector[1026];
static long acts(long n, void *handler)
{
	struct ksigaction a = {handler, SA_RESTORER_, sig_restorer, 0}, old;
	long r = sys(rt_sigaction, n, handler ? &a : NULL, &old, 8);
	if (r == 0 && handler)
		sys(rt_sigaction, n, &old, NULL, 8);
	return r;
}
static long timers(long signal)
{
	struct sigevent e = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = (int)signal};
	long r = sys(timer_create, CLOCK_MONOTONIC, &e, &timer);
	if (r == 0)
		sys(timer_delete, timer);
	return r;
}
static long queues(long signal)
{
	char info[128] = {0};
	((int *)info)[2] = -1;
	return sys(rt_sigqueueinfo, child, signal, info);
}
static long messages(long n, bool send)
{
	struct msghdr m = {.msg_iov = vector, .msg_iovlen = (size_t)n};
	return sys6(send ? __NR_sendmsg : __NR_recvmsg, s[send], (long)&m, MSG_DONTWAIT, 0, 0, 0);
}
static long lengths(long n, bool write)
{
	struct iovec v[2] = {{data, 1}, {data, (size_t)n}};
	return sys6(write ? __NR_writev : __NR_readv, write ? null : zero, (long)v, 2, 0, 0, 0);
}
static long sized(long n)
{
	long r = sys(fcntl, p[1], F_SETPIPE_SZ, n);
	return r < 0 ? r : sys(fcntl, p[0], F_GETPIPE_SZ);
}
static long buffer(int option, long n)
{
	int value = (int)n, len = 4;
	long r = sys(setsockopt, s[0], SOL_SOCKET, option, &value, 4);
	return r ?: (sys(getsockopt, s[0], SOL_SOCKET, option, &value, &len) ?: value);
}
static long option_length(long n, bool get)
{
	int value[4] = {1, 0, 0, 0}, len = (int)n;
	return get ? (sys(getsockopt, s[0], SOL_SOCKET, SO_TYPE, value, &len) ?: len) : sys(setsockopt, s[0], SOL_SOCKET, SO_PASSCRED, value, n);
}
static long names(long n, int call)
{
	struct sockaddr_un a = {AF_UNIX, "nothing/there"};
	int len = (int)n;
	switch (call) {
	case 0: return sys(connect, sock, &a, n);
	case 1: return sys(sendto, sock, data, 1, 0, &a, n);
	case 2: return sys(getsockname, sock, &a, &len) ?: len;
	default: {
		a.sun_path[0] = 0;
		long f = must(sys(socket, AF_UNIX, SOCK_DGRAM, 0)), r = sys(bind, f, &a, n);
		must(sys(close, f));
		return r;
	}
	}
}
static long nice_is(long n)
{
	long r = sys(setpriority, PRIO_PROCESS, 0, n);
	return r ?: sys(getpriority, PRIO_PROCESS, 0);
}
static long groups(long n)
{
	static unsigned list[65540];
	return sys(setgroups, n, list) ?: sys(getgroups, 0, NULL);
}
static long few_groups(long n)
{
	unsigned list[8] = {5, 6, 7, 8};
	return sys(setgroups, 4, list) ?: sys(getgroups, n, list);
}
static long named(long n)
{
	char name[32] = {0}, back[32] = {0};
	memset(name, 'n', (size_t)n);
	long r = sys(prctl, PR_SET_NAME, name);
	must(sys(prctl, PR_GET_NAME, back));
	return r ?: (long)strlen(back);
}
static long comm(long n)
{
	char name[64], back[32] = {0};
	memset(name, 'n', sizeof name);
	long f = must(sys(openat, AT_FDCWD, "/proc/self/comm", O_WRONLY)), r = sys(write, f, name, n);
	must(sys(prctl, PR_GET_NAME, back));
	return r < 0 ? r : r * 100 + (long)strlen(back);
}
static long selects(long n)
{
	static uint64_t sets[1100];
	memset(sets, 0, sizeof sets);
	return sys(select, n, sets, NULL, NULL, (&(struct timeval){0, 0}));
}
static long polls(long n)
{
	static struct pollfd none[1100];
	for (size_t i = 0; i < countof(none); i++)
		none[i].fd = -1;
	return sys(poll, none, n, 0);
}
static long clears(long n) { return sys(close_range, n, 0xffffffff, 0); }
static long maps(long n)
{
	long r = sys(mmap, NULL, n, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return r < 0 && r > -4096 ? r : sys(munmap, r, n);
}
static long maps_at(long offset)
{
	long r = sys(mmap, NULL, 4096, PROT_READ, MAP_PRIVATE, fd, offset);
	return r < 0 && r > -4096 ? r : sys(munmap, r, 4096);
}
static char *area;
static long seeks(long n)
{
	must(sys(lseek, fd, 5, SEEK_SET));
	return sys(lseek, fd, n, SEEK_CUR);
}
static long seeks_end(long n) { return sys(lseek, fd, n, SEEK_END); }
static long listens(long n)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int len = sizeof a, count = 0;
	long l = must(sys(socket, AF_UNIX, SOCK_STREAM, 0));
	must(sys(bind, l, &a, 2) ?: sys(getsockname, l, &a, &len));
	long r = sys(listen, l, n), c;
	while (r == 0 && count < 20 && sys(connect, c = must(sys(socket, AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0)), &a, len) == 0)
		count++;
	(void)c;
	sys(close_range, l, 399, 0);
	return r ?: count;
}
static int sleeper(void *unused)
{
	char c;
	(void)unused;
	sys(close, go[1]);
	mask_signals(SIG_BLOCK, ~0ull);
	return sys(read, go[0], &c, 1) ? 1 : 0;
}

PROBE("limit/numbers", "kill", "tgkill", "tkill", "queue", "action", "action_set", "timer_signal", "fd_signal", "parent_signal", "pidfd_signal", "mask_size", "pending_size", "suspend_size", "signalfd_size", "mask_how",
      "readv", "writev", "preadv", "pwritev2", "sendmsg", "recvmsg", "length_write", "length_read", "write_count", "read_count", "pread", "pwrite", "lseek", "lseek_current", "lseek_end", "lseek_whence",
      "truncate", "ftruncate", "allocate_at", "allocate_length", "sendfile_at", "sendfile_count", "copy_count", "splice_count", "tee_count", "map_length", "map_offset", "protect_length", "protect_address",
      "unmap_length", "advise_length", "advise", "sync_length", "sync_flags", "core_length", "lock_length", "remap_old", "remap_new", "pipe_size", "send_buffer", "receive_buffer", "low_water", "set_length", "get_length",
      "connect_length", "send_length", "name_length", "bind_length", "listen", "nice", "nice_which", "groups", "groups_room", "name", "comm", "select", "poll", "epoll_events", "epoll_size", "close_range",
      "dup2", "dup3", "dup_from", "close", "futex_wake", "futex_requeue", "futex_address", "random_size", "random_flags", "clock", "clock_resolution", "umask", "personality", "priority_max", "affinity_size", "limit_resource", "usage", "itimer", "wait_options", "eventfd_count", "shutdown_how")
{
	shared = pages(1, true);
	area = pages(8, false);
	put_file("f", "0123456789", 10);
	fd = must(sys(openat, AT_FDCWD, "f", O_RDWR));
	null = must(sys(openat, AT_FDCWD, "/dev/null", O_RDWR));
	zero = must(sys(openat, AT_FDCWD, "/dev/zero", O_RDWR));
	ep = must(sys(epoll_create1, 0));
	make_pipe(p, 0);
	make_pipe(go, 0);
	must(sys(socketpair, AF_UNIX, SOCK_STREAM, 0, s));
	sock = must(sys(socket, AF_UNIX, SOCK_DGRAM, 0));
	for (size_t i = 0; i < countof(vector); i++)
		vector[i] = (struct iovec){data, 1};
	child = spawn(sleeper, NULL);
	await_sleep(child, child);
	ROW("kill", "kill", sys(kill, child, n), SIGNALS)
	ROW("tgkill", "tgkill", sys(tgkill, child, child, n), SIGNALS)
	ROW("tkill", "tkill", sys(tkill, child, n), SIGNALS)
	ROW("queue", "rt_sigqueueinfo", queues(n), SIGNALS)
	ROW("action", "rt_sigaction", acts(n, NULL), SIGNALS, 9, 19)
	ROW("action_set", "rt_sigaction", acts(n, (void *)1), SIGNALS, 9, 19)
	ROW("timer_signal", "timer_create", timers(n), -1, 0, 1, 31, 32, 33, 63, 64, 65, 128, INT_MAX, INT_MIN)
	ROW("fd_signal", "fcntl", sys(fcntl, p[0], F_SETSIG, n) ?: sys(fcntl, p[0], F_GETSIG), SIGNALS)
	CHILD_ROW("parent_signal", "prctl", sys(prctl, PR_SET_PDEATHSIG, n), SIGNALS)
	ROW("pidfd_signal", "pidfd_send_signal", sys(pidfd_send_signal, must(sys(pidfd_open, child, 0)), n, NULL, 0), SIGNALS)
	ROW("mask_size", "rt_sigprocmask", sys(rt_sigprocmask, SIG_BLOCK, NULL, data, n), 0, 1, 4, 7, 8, 9, 16, 128, -1)
	ROW("pending_size", "rt_sigpending", sys(rt_sigpending, data, n), 0, 1, 7, 8, 9, 128, -1)
	ROW("suspend_size", "rt_sigsuspend", sys(rt_sigsuspend, data, n), 0, 4, 7, 9, 128, -1)
	ROW("signalfd_size", "signalfd4", made(sys(signalfd4, -1, data, n, 0)), 0, 4, 7, 8, 9, 128, -1)
	ROW("mask_how", "rt_sigprocmask", sys(rt_sigprocmask, n, data, NULL, 8), -1, 0, 1, 2, 3, INT_MAX)
	ROW("readv", "readv", sys(readv, zero, vector, n), VECTORS)
	ROW("writev", "writev", sys(writev, null, vector, n), VECTORS)
	ROW("preadv", "preadv", sys(preadv, fd, vector, n, 0), VECTORS)
	ROW("pwritev2", "pwritev2", sys(pwritev2, null, vector, n, 0, 0, 0), VECTORS)
	ROW("sendmsg", "sendmsg", messages(n, true), 0, 1, 2, 1023, 1024, 1025, -1)
	ROW("recvmsg", "recvmsg", messages(n, false), 0, 1, 2, 1023, 1024, 1025, -1)
	ROW("length_write", "writev", lengths(n, true), 0, 4096, -1, INT64_MIN)
	ROW("length_read", "readv", lengths(n, false), 0, 4096, -1, INT64_MIN)
	ROW("write_count", "write", sys(write, null, data, n), 0, 1, 8192)
	ROW("read_count", "read", sys(read, zero, data, n), 0, 1, 8192)
	ROW("pread", "pread64", sys(pread64, fd, data, 4, n), OFFSETS, 6, 7, 9, 10, 11)
	ROW("pwrite", "pwrite64", sys(pwrite64, null, data, 4, n), OFFSETS)
	ROW("lseek", "lseek", sys(lseek, fd, n, SEEK_SET), OFFSETS)
	ROW("lseek_current", "lseek", seeks(n), OFFSETS, -5, -6, INT64_MAX - 5, INT64_MAX - 4)
	ROW("lseek_end", "lseek", seeks_end(n), OFFSETS, -10, -11, INT64_MAX - 10, INT64_MAX - 9)
	ROW("lseek_whence", "lseek", sys(lseek, fd, 0, n), -1, 0, 1, 2, 5, 6, INT_MAX)
	ROW("truncate", "truncate", sys(truncate, "f", n), -1, INT64_MIN, 0, 1, 4095, 4096, 4097, 10)
	ROW("ftruncate", "ftruncate", sys(ftruncate, fd, n), -1, INT64_MIN, 0, 1, 10)
	ROW("allocate_at", "fallocate", sys(fallocate, fd, 1, n, 10), -1, INT64_MIN, 0, INT64_MAX, INT64_MAX - 5)
	ROW("allocate_length", "fallocate", sys(fallocate, fd, 1, 0, n), -1, INT64_MIN, 0, 1)
	ROW("sendfile_at", "sendfile", sys(sendfile, null, fd, (&(long){n}), 4), -1, 0, 6, 7, 10, 11, INT64_MAX, INT64_MIN)
	ROW("sendfile_count", "sendfile", sys(sendfile, null, fd, (&(long){0}), n), 0, 1, 10, 11, INT64_MAX, -1)
	ROW("copy_count", "copy_file_range", sys(copy_file_range, fd, (&(long){0}), fd, (&(long){100}), n, 0), 0, 1, 9, 10, 11)
	ROW("splice_count", "splice", sys(splice, fd, (&(long){0}), p[1], NULL, n, 0), 0, 1, 9, 10, 11, 200)
	ROW("tee_count", "tee", sys(tee, p[0], p[1], n, 0), 0, 1)
	ROW("map_length", "mmap", maps(n), 0, 1, 4095, 4096, 4097, -1, -4096, INT64_MIN, 1ll << 47, INT64_MAX)
	ROW("map_offset", "mmap", maps_at(n), 0, 1, 4095, 4096, 1ll << 40, -4096, -1, INT64_MAX - 4095, INT64_MIN)
	ROW("protect_length", "mprotect", sys(mprotect, area, n, PROT_READ | PROT_WRITE), 0, 1, 4096, 4097, 8 * 4096, -1, -4096)
	ROW("protect_address", "mprotect", sys(mprotect, area + n, 4096, PROT_READ | PROT_WRITE), 0, 1, 4095, 4096, -1)
	ROW("unmap_length", "munmap", sys(munmap, area + 7 * 4096, n), 0, -1, INT64_MIN, -4096, 1, 4096)
	ROW("advise_length", "madvise", sys(madvise, area, n, MADV_NORMAL), 0, 1, 4096, 4097, -1, -4096, -4095, INT64_MIN)
	ROW("advise", "madvise", sys(madvise, area, 4096, n), -1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 99, INT_MAX)
	ROW("sync_length", "msync", sys(msync, area, n, MS_ASYNC), 0, 1, 4096, 4097, -1, -4096)
	ROW("sync_flags", "msync", sys(msync, area, 4096, n), 0, 1, 2, 3, 4, 5, 6, 7, 8, -1)
	ROW("core_length", "mincore", sys(mincore, area, n, data), 0, 1, 4096, 4097, 7 * 4096, -1)
	ROW("lock_length", "mlock", sys(mlock, area, n) ?: sys(munlock, area, n), 0, 1, 4096, 4097, -1)
	ROW("remap_old", "mremap", err_of(sys(mremap, area, n, 4096, 0)), 4096, 1, 4095, 4097)
	ROW("remap_new", "mremap", err_of(sys(mremap, area, 4096, n, 0)), 0, 1, 4095, 4096, -1, INT64_MIN)
	make_pipe(p, 0);
	ROW("pipe_size", "fcntl", sized(n), 0, 1, 4095, 4096, 4097, 8192, 8193, 12289, 65536, 65537, (1 << 20) - 1, 1 << 20, -1)
	ROW("send_buffer", "setsockopt", buffer(SO_SNDBUF, n), 0, 1, 2303, 2304, 2305, 4607, 4608, 4609, 100000)
	ROW("receive_buffer", "setsockopt", buffer(SO_RCVBUF, n), 0, 1, 1151, 1152, 1153, 2303, 2304, 2305, 100000)
	ROW("low_water", "setsockopt", buffer(SO_PASSCRED, n), 0, 1, 2, -1, INT_MAX)
	ROW("set_length", "setsockopt", option_length(n, false), 0, 1, 3, 4, 5, 16, -1)
	ROW("get_length", "getsockopt", option_length(n, true), 0, 1, 3, 4, 5, 16, -1)
	ROW("connect_length", "connect", names(n, 0), 0, 1, 2, 3, 109, 110, 111, 128, 129, -1)
	ROW("send_length", "sendto", names(n, 1), 0, 1, 2, 3, 109, 110, 111, 128, 129, -1)
	ROW("name_length", "getsockname", names(n, 2), 0, 1, 2, 3, 109, 110, 111, -1)
	ROW("bind_length", "bind", names(n, 3), 0, 1, 2, 3, 109, 110, 111, 128, 129, -1)
	ROW("listen", "listen", listens(n), 0, 1, 2, 5, -1, INT_MIN, INT_MAX)
	CHILD_ROW("nice", "setpriority", nice_is(n), -20, -21, INT_MIN, 0, 18, 19, 20, INT_MAX)
	ROW("nice_which", "getpriority", sys(getpriority, n, 0) > 0, -1, 0, 1, 3, INT_MAX)
	CHILD_ROW("groups", "setgroups", groups(n), 0, 1, 2, 33, 65535, 65536, 65537, -1, INT_MIN)
	CHILD_ROW("groups_room", "getgroups", few_groups(n), -1, 0, 1, 3, 4, 5, INT_MIN)
	CHILD_ROW("name", "prctl", named(n), 0, 1, 14, 15, 16, 20)
	CHILD_ROW("comm", "write", comm(n), 0, 1, 14, 15, 16, 17, 40)
	CHILD_ROW("select", "select", selects(n), -1, 0, 1, 63, 64, 65, 1023, 1024, 1025, 65536, INT_MIN)
	CHILD_ROW("poll", "poll", polls(n), 0, 1, 1023, 1024, 1025, -1, INT_MAX, 1ll << 32)
	ROW("epoll_events", "epoll_wait", sys(epoll_wait, ep, data, n, 0), 0, -1, 1, INT_MAX / 12, INT_MAX / 12 + 1, INT_MAX, INT_MIN)
	ROW("epoll_size", "epoll_create", made(sys(epoll_create, n)), 0, -1, 1, INT_MAX, INT_MIN)
	CHILD_ROW("close_range", "close_range", clears(n), 400, 1023, 1024, INT_MAX, 0xffffffff)
	CHILD_ROW("dup2", "dup2", sys(dup2, 1, n), -1, 0, 1, 400, 1023, 1024, INT_MAX, 1ll << 32)
	CHILD_ROW("dup3", "dup3", sys(dup3, 1, n, O_CLOEXEC), -1, 0, 1, 400, 1023, 1024, INT_MAX)
	CHILD_ROW("dup_from", "fcntl", sys(fcntl, 1, F_DUPFD, n), -1, 400, 1022, 1023, 1024, INT_MAX)
	ROW("close", "close", sys(close, n), -1, 400, 1023, 1024, INT_MAX, INT_MIN, (1ll << 32) + 400)
	ROW("futex_wake", "futex", sys(futex, data, FUTEX_WAKE, n), 0, 1, -1, INT_MAX, INT_MIN)
	ROW("futex_requeue", "futex", sys(futex, data, FUTEX_REQUEUE, n, 1, data + 4), 0, 1, -1, INT_MAX, INT_MIN)
	ROW("futex_address", "futex", sys(futex, data + n, FUTEX_WAKE, 1), 0, 1, 2, 3, 4)
	ROW("random_size", "getrandom", sys(getrandom, data, n, 0), 0, 1, 255, 256, 257, 8192)
	ROW("random_flags", "getrandom", sys(getrandom, data, 1, n), 0, 1, 4, 5, 6, 8, -1)
	ROW("clock", "clock_gettime", sys(clock_gettime, n, data), 0, 1, 2, 3, 4, 5, 6, 7, 10, 12, 16, 99, INT_MAX, -1)
	ROW("clock_resolution", "clock_getres", sys(clock_getres, n, NULL), 0, 1, 2, 3, 4, 5, 6, 7, 10, 12, 16, 99, INT_MAX, -1)
	CHILD_ROW("umask", "umask", (sys(umask, n), sys(umask, 0)), 0, 0777, 01777, 07777, -1, 0x10000)
	CHILD_ROW("personality", "personality", (sys(personality, n), sys(personality, 0xffffffff)), 0, 0xffffffff, 0x0040000)
	ROW("priority_max", "sched_get_priority_max", sys(sched_get_priority_max, n), -1, 0, 1, 2, 3, 4, 5, 8, INT_MAX)
	ROW("affinity_size", "sched_getaffinity", sys(sched_getaffinity, 0, n, data) > 0 ? 0 : sys(sched_getaffinity, 0, n, data), 0, 1, 7, 4096, 4097)
	ROW("limit_resource", "getrlimit", sys(getrlimit, n, data), -1, 0, 15, 16, 17, INT_MAX)
	ROW("usage", "getrusage", sys(getrusage, n, data), -3, -2, -1, 0, 1, 2, INT_MAX)
	ROW("itimer", "getitimer", sys(getitimer, n, data), -1, 0, 1, 2, 3, INT_MAX)
	ROW("wait_options", "wait4", sys(wait4, child, NULL, WNOHANG | n, NULL), 0, 2, 4, 8, 16, 32, 0x01000000, 0x02000000, 0x10000000, 0x20000000, 0x40000000)
	ROW("eventfd_count", "eventfd2", made(sys(eventfd2, n, 0)), 0, 1, 0xffffffff, 1ll << 32, -1)
	ROW("shutdown_how", "shutdown", sys(shutdown, s[0], n), -1, 3, INT_MAX, 0, 1, 2)
	must(sys(kill, child, SIGKILL));
	reap(child);
}
