/* Every number that selects what a call does, and numbers around them: who, which, how, whence, signals, policies, clocks, lengths. */
#include "probe.h"
#include "table.h"
#include <sys/timerfd.h>

static struct row row;
/* `n` is one number after another. */
#define NUMBERS(id, call, first, last, result)                                                                        \
	do {                                                                                                          \
		for (long n = first; n <= last; n++)                                                                  \
			cell(&row, n, result);                                                                        \
		observe_row(&row, id, call);                                                                          \
	} while (0)

static long timer_with(long clock, long signal, long notify)
{
	int id;
	struct sigevent e = {.sigev_signo = (int)signal, .sigev_notify = (int)notify};
	long r = sys(timer_create, clock, &e, &id);
	return r < 0 ? r : sys(timer_delete, id);
}

static long policy(long number, int priority)
{
	long r = sys(sched_setscheduler, 0, number, &priority);
	return r < 0 ? r : sys(sched_getscheduler, 0);
}

static long action_of(long signal, bool set)
{
	uint64_t action[4] = {1}, old[4] = {0};
	return sys(rt_sigaction, signal, set ? action : NULL, old, 8) ?: (long)old[0];
}

static long shut(long how)
{
	int p[2];
	char c;
	must(sys(socketpair, AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p));
	long r = sys(shutdown, p[0], how);
	if (r == 0) {
		/* What both ends can still do. */
		for (int i = 0; i < 2; i++)
			r = r * 100 + (err_of(sys(sendto, p[i], "x", 1, MSG_NOSIGNAL, NULL, 0)) ? 1 : 0) * 10 + (err_of(sys(read, p[i], &c, 1)) ? 1 : 0);
	}
	must(sys(close, p[0]));
	must(sys(close, p[1]));
	return r;
}

static long sought(long fd, long offset, long whence)
{
	must(sys(lseek, fd, 3, SEEK_SET));
	long r = sys(lseek, fd, offset, whence);
	return r < 0 ? r : r * 100 + tell(fd);
}

static long option(long s, long name, long len)
{
	char value[64];
	socklen_t n = (socklen_t)len;
	long r = sys(getsockopt, s, SOL_SOCKET, name, value, &n);
	return r < 0 ? r : (long)n;
}

static long set_option(long s, long name, long len)
{
	char value[64] = {0};
	return sys(setsockopt, s, SOL_SOCKET, name, value, len);
}

static long name_of(long s, long len)
{
	char a[130];
	memset(a, 'a', sizeof a);
	socklen_t n = (socklen_t)len;
	long r = sys(getsockname, s, a, &n);
	return r < 0 ? r : (long)n * 1000 + (a[len > 0 ? len : 0] == 'a');
}

static long bound(long len)
{
	struct { sa_family_t family; char path[130]; } a = {AF_UNIX, ""};
	memset(a.path, 'p', sizeof a.path);
	long s = must(sys(socket, AF_UNIX, SOCK_STREAM, 0)), r = sys(bind, s, &a, len);
	must(sys(close, s));
	if (r == 0) {
		a.path[len - 2] = 0;
		r = lstat_of(a.path).st_mode;
		must(sys(unlink, a.path));
	}
	return r;
}

static long pipe_size(long size)
{
	int p[2];
	make_pipe(p, 0);
	long r = sys(fcntl, p[0], F_SETPIPE_SZ, size);
	if (r >= 0)
		r = r * 2 + (sys(fcntl, p[1], F_GETPIPE_SZ) == r);
	must(sys(close, p[0]));
	must(sys(close, p[1]));
	return r;
}

static long clock_of(long id)
{
	struct timespec t = {-1, -1};
	long r = sys(clock_gettime, id, &t);
	return r < 0 ? r : t.tv_sec >= 0 && t.tv_nsec >= 0 && t.tv_nsec < 1000000000;
}

static long nice_of(long which, long value)
{
	long r = sys(setpriority, which, 0, value);
	return r < 0 ? r : sys(getpriority, PRIO_PROCESS, 0);
}

static int others(void *arg)
{
	(void)arg;
	NUMBERS("nice", "setpriority", -45, 45, n < 0 ? nice_of(0, n) : nice_of(0, n));
	NUMBERS("which_nice", "setpriority", -2, 5, n == 2 ? 0 : nice_of(n, 3));
	NUMBERS("policy_0", "sched_setscheduler", -2, 8, n == 7 ? 0 : policy(n, 0));
	NUMBERS("policy_1", "sched_setscheduler", -2, 8, n == 7 ? 0 : policy(n, 1));
	NUMBERS("fifo", "sched_setscheduler", -1, 101, policy(SCHED_FIFO, (int)n));
	NUMBERS("other", "sched_setscheduler", -1, 2, policy(SCHED_OTHER, (int)n));
	return 0;
}

PROBE("sweep/each_number", "nice", "which_nice", "policy_0", "policy_1", "fifo", "other", "action", "ignore", "timer_signal", "timer_notify", "timer_clock", "setsig", "pdeathsig", "kill_zero", "tgkill_zero", "sigqueue", "how",
      "rusage", "which", "resource", "set_resource", "priority_max", "priority_min", "whence", "whence_pipe", "whence_directory", "whence_proc", "shutdown", "types", "pair_types", "protocol", "clock", "resolution", "sleep_clock", "timerfd_clock", "getitimer", "setitimer", "waitid_which",
      "option_type", "option_peer", "option_timeout", "option_linger", "set_pass", "set_timeout", "set_linger", "set_buffer", "name", "name_bound", "bind_length", "pipe_sizes", "pipe_small", "advice", "keepcaps", "dumpable", "subreaper", "bounding", "ambient", "ambient_kind", "action_size", "mask_size", "pending_size", "lock_type", "lock_whence", "flock", "robust_length", "epoll_size", "epoll_op", "epoll_most", "mlock2", "msync",
      "mremap", "mprotect", "backlog", "madvise")
{
	put_file("f", "0123456789", 10);
	long fd = must(sys(openat, AT_FDCWD, "f", O_RDWR)), dir = must(sys(openat, AT_FDCWD, ".", O_RDONLY)), proc = must(sys(openat, AT_FDCWD, "/proc/self/stat", O_RDONLY)), me = sys(getpid);
	int p[2];
	make_pipe(p, 0);
	struct rlimit limit;
	struct rusage usage;
	struct timespec t = {0, 0};
	struct itimerval off = {{0, 0}, {0, 0}};
	siginfo_t info = {.si_code = SI_QUEUE};
	uint64_t set = 0, old[32];
	must(reap(spawn(others, NULL)));
	NUMBERS("action", "rt_sigaction", -2, 67, action_of(n, false));
	mask_signals(SIG_BLOCK, ~0ull);
	NUMBERS("ignore", "rt_sigaction", -2, 67, n == 32 || n == 33 || n == SIGCHLD ? 0 : action_of(n, true));
	NUMBERS("timer_signal", "timer_create", -2, 67, timer_with(CLOCK_MONOTONIC, n, SIGEV_SIGNAL));
	NUMBERS("timer_notify", "timer_create", -2, 9, timer_with(CLOCK_MONOTONIC, SIGUSR1, n));
	NUMBERS("timer_clock", "timer_create", -1, 15, n == 3 || n == 8 || n == 9 ? 0 : timer_with(n, SIGUSR1, SIGEV_SIGNAL));
	NUMBERS("setsig", "fcntl", -2, 67, sys(fcntl, fd, F_SETSIG, n) ?: sys(fcntl, fd, F_GETSIG));
	NUMBERS("pdeathsig", "prctl", -2, 67, sys(prctl, 1, n) ?: (must(sys(prctl, 2, old)), (long)(int)old[0]));
	NUMBERS("kill_zero", "kill", 65, 70, sys(kill, me, n));
	NUMBERS("tgkill_zero", "tgkill", 65, 70, sys(tgkill, me, me, n));
	NUMBERS("sigqueue", "rt_sigqueueinfo", 65, 70, sys(rt_sigqueueinfo, me, n, &info));
	NUMBERS("how", "rt_sigprocmask", -2, 5, n == 1 || n == 2 ? 0 : sys(rt_sigprocmask, n, &set, NULL, 8));
	NUMBERS("rusage", "getrusage", -4, 4, sys(getrusage, n, &usage));
	NUMBERS("which", "getpriority", -2, 5, n == 2 ? 0 : sys(getpriority, n, 0));
	NUMBERS("resource", "getrlimit", -2, 18, sys(getrlimit, n, &limit));
	NUMBERS("set_resource", "setrlimit", -2, 18, n >= 0 && n < 16 ? (must(sys(getrlimit, n, &limit)), sys(setrlimit, n, &limit)) : sys(setrlimit, n, &limit));
	NUMBERS("priority_max", "sched_get_priority_max", -2, 9, n == 7 ? 0 : sys(sched_get_priority_max, n));
	NUMBERS("priority_min", "sched_get_priority_min", -2, 9, n == 7 ? 0 : sys(sched_get_priority_min, n));
	NUMBERS("whence", "lseek", -1, 7, sought(fd, 2, n));
	NUMBERS("whence_pipe", "lseek", -1, 7, sys(lseek, p[0], 2, n));
	NUMBERS("whence_directory", "lseek", 0, 1, sys(lseek, dir, 0, n));
	NUMBERS("whence_proc", "lseek", -1, 7, n == 3 || n == 4 ? 0 : sought(proc, 2, n));
	NUMBERS("shutdown", "shutdown", -2, 5, shut(n));
	NUMBERS("types", "socket", 0, 12, made(sys(socket, AF_UNIX, n, 0)));
	NUMBERS("pair_types", "socketpair", 0, 12, made(sys(socketpair, AF_UNIX, n, 0, old) ?: made((int)old[0]) ?: (long)(old[0] >> 32)));
	NUMBERS("protocol", "socket", -1, 6, made(sys(socket, AF_UNIX, SOCK_STREAM, n)));
	NUMBERS("clock", "clock_gettime", -1, 15, clock_of(n));
	NUMBERS("resolution", "clock_getres", -1, 15, n == 8 || n == 9 ? 0 : sys(clock_getres, n, &t));
	t = (struct timespec){0, 0};
	NUMBERS("sleep_clock", "clock_nanosleep", -1, 15, n == 8 || n == 9 ? 0 : sys(clock_nanosleep, n, 0, &t, NULL));
	NUMBERS("timerfd_clock", "timerfd_create", -1, 15, n == 8 || n == 9 ? 0 : made(sys(timerfd_create, n, 0)));
	NUMBERS("getitimer", "getitimer", -2, 5, sys(getitimer, n, old));
	NUMBERS("setitimer", "setitimer", -2, 5, sys(setitimer, n, &off, NULL));
	NUMBERS("waitid_which", "waitid", -2, 6, n == 3 ? 0 : sys(waitid, n, me, NULL, WEXITED | WNOHANG, NULL));
	long s = must(sys(socket, AF_UNIX, SOCK_STREAM, 0));
	NUMBERS("option_type", "getsockopt", -1, 12, option(s, SO_TYPE, n));
	NUMBERS("option_peer", "getsockopt", -1, 20, option(s, SO_PEERCRED, n));
	NUMBERS("option_timeout", "getsockopt", -1, 20, option(s, 20, n));
	NUMBERS("option_linger", "getsockopt", -1, 12, option(s, SO_LINGER, n));
	NUMBERS("set_pass", "setsockopt", -1, 9, set_option(s, SO_PASSCRED, n));
	NUMBERS("set_timeout", "setsockopt", -1, 20, set_option(s, 20, n));
	NUMBERS("set_linger", "setsockopt", -1, 12, set_option(s, SO_LINGER, n));
	NUMBERS("set_buffer", "setsockopt", -1, 9, set_option(s, SO_SNDBUF, n));
	NUMBERS("name", "getsockname", -1, 12, name_of(s, n));
	struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "bound"};
	must(sys(bind, s, &a, 2 + 5));
	NUMBERS("name_bound", "getsockname", -1, 12, name_of(s, n));
	NUMBERS("bind_length", "bind", 4, 112, bound(n));
	NUMBERS("pipe_sizes", "fcntl", -1, 3, pipe_size(n));
	NUMBERS("pipe_small", "fcntl", 4095, 4098, pipe_size(n));
	NUMBERS("advice", "fadvise64", -2, 9, sys(fadvise64, fd, 0, 0, n));
	NUMBERS("keepcaps", "prctl", -1, 4, sys(prctl, 8, n) ?: sys(prctl, 7));
	NUMBERS("dumpable", "prctl", -1, 4, sys(prctl, 4, n) ?: sys(prctl, 3));
	NUMBERS("subreaper", "prctl", -1, 4, sys(prctl, 36, n) ?: (must(sys(prctl, 37, old)), (long)(int)old[0]));
	NUMBERS("bounding", "prctl", 41, 66, sys(prctl, 23, n));
	NUMBERS("ambient", "prctl", -1, 66, sys(prctl, 47, 1, n, 0, 0));
	NUMBERS("ambient_kind", "prctl", -1, 8, sys(prctl, 47, n, 0, 0, 0));
	NUMBERS("action_size", "rt_sigaction", 0, 17, sys(rt_sigaction, SIGUSR1, NULL, old, n));
	NUMBERS("mask_size", "rt_sigprocmask", 0, 17, sys(rt_sigprocmask, 0, NULL, old, n));
	NUMBERS("pending_size", "rt_sigpending", 0, 17, sys(rt_sigpending, old, n));
	NUMBERS("lock_type", "fcntl", -1, 5, sys(fcntl, fd, F_SETLK, &((struct flock){.l_type = (short)n})));
	NUMBERS("lock_whence", "fcntl", -1, 5, sys(fcntl, fd, F_SETLK, &((struct flock){.l_type = F_RDLCK, .l_whence = (short)n})));
	NUMBERS("flock", "flock", -1, 18, sys(flock, fd, n));
	NUMBERS("robust_length", "set_robust_list", 0, 48, sys(set_robust_list, NULL, n));
	NUMBERS("epoll_size", "epoll_create", -2, 3, made(sys(epoll_create, n)));
	long ep = must(sys(epoll_create1, 0));
	struct epoll_event e = {.events = EPOLLIN};
	NUMBERS("epoll_op", "epoll_ctl", -1, 5, sys(epoll_ctl, ep, n, p[0], &e));
	NUMBERS("epoll_most", "epoll_wait", -2, 2, sys(epoll_wait, ep, old, n, 0));
	char *memory = pages(4, false);
	NUMBERS("mlock2", "mlock2", 0, 8, sys(mlock2, memory, 4096, n));
	NUMBERS("msync", "msync", 0, 16, sys(msync, memory + 4096, 4096, n));
	NUMBERS("mremap", "mremap", 0, 16, n & 1 && !(n & 8) ? 0 : sys(mremap, memory, 8192, 8192, n, 0) == (long)memory ? 1 : sys(mremap, memory, 8192, 8192, n, 0));
	NUMBERS("mprotect", "mprotect", 4, 31, n < 8 ? 0 : sys(mprotect, memory + 4096, 4096, 1l << n));
	NUMBERS("backlog", "listen", -2, 3, sys(listen, s, n));
	NUMBERS("madvise", "madvise", -1, 10, n == 9 ? 0 : sys(madvise, memory, 4096, n));
}
