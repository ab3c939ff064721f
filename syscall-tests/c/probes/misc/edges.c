/* Edges that no table has: chains of links, what is outside the root, who hears of the end of a child, and what one call tells of another. */
#include "probe.h"
#include <linux/stat.h>
#include <sys/timerfd.h>

static int outside(void *arg)
{
	char text[200] = "";
	(void)arg;
	must(sys(mkdir, "root", 0700));
	must(sys(chroot, "root"));
	long n = sys(getcwd, text, sizeof text);
	return n > 13 && !strncmp(text, "(unreachable)", 13) ? 1 : n > 0 && text[0] == '/' ? 2 : 3;
}

static int adopter(void *arg)
{
	(void)arg;
	int p[2], q[2];
	char c;
	make_pipe(p, 0);
	make_pipe(q, 0);
	must(sys(prctl, 36, 1));
	mask_signals(SIG_BLOCK, SIGBIT(SIGCHLD));
	long middle = must(sys(fork));
	if (middle == 0) {
		long child = must(sys(fork));
		if (child == 0)
			sys(exit_group, 5);
		siginfo_t info;
		must(sys(waitid, P_PID, child, &info, WEXITED | WNOWAIT, NULL));
		must(sys(write, p[1], "x", 1));
		must(sys(read, q[0], &c, 1));
		sys(exit_group, 6);
	}
	must(sys(read, p[0], &c, 1));
	require(!(pending_signals() & SIGBIT(SIGCHLD)));
	must(sys(write, q[1], "x", 1));
	/* The one that was inherited ended before, and is told of anew; the other's own end comes after. */
	require(reap(middle) == 6 << 8);
	uint64_t set = SIGBIT(SIGCHLD);
	siginfo_t info = {0};
	must(sys(rt_sigtimedwait, &set, &info, NULL, 8));
	return info.si_status * 10 + (sys(wait4, -1, NULL, WNOHANG, NULL) > 0);
}

static long quiet(int signal)
{
	mask_signals(SIG_BLOCK, SIGBIT(SIGCHLD) | SIGBIT(SIGUSR2));
	long child = must(sys(clone, signal, 0, 0, 0, 0));
	if (child == 0)
		sys(exit_group, 0);
	siginfo_t info;
	must(sys(waitid, P_PID, child, &info, WEXITED | __WALL | WNOWAIT, NULL));
	long pending = (long)(pending_signals() & (SIGBIT(SIGCHLD) | SIGBIT(SIGUSR2)));
	must(sys(wait4, child, NULL, __WALL, NULL));
	struct timespec none = {0, 0};
	uint64_t set = SIGBIT(SIGCHLD) | SIGBIT(SIGUSR2);
	while (sys(rt_sigtimedwait, &set, NULL, &none, 8) > 0)
		;
	return pending;
}

static int upper(void *arg)
{
	long *r = arg;
	uint32_t one[2] = {0x19980330, 0}, three[2] = {0x20080522, 0}, sets[6] = {0};
	must(sys(capget, three, sets));
	require(sets[4] != 0);
	r[0] = sys(capset, one, sets);
	must(sys(capget, three, sets));
	r[1] = sets[3] | sets[4];
	return 0;
}

static int interval(void *arg)
{
	long *r = arg;
	int priority = 1;
	for (long policy = 1; policy < 3; policy++) {
		struct timespec t = {0, 0};
		must(sys(sched_setscheduler, 0, policy, &priority));
		r[policy] = sys(sched_rr_get_interval, 0, &t) ?: t.tv_sec == 0 && t.tv_nsec == 0;
	}
	return 0;
}

static int stranger(long *r)
{
	char buffer[8];
	r[0] = sys(listxattr, "private", buffer, 0) >= 0 ? 0 : sys(listxattr, "private", buffer, 0);
	r[1] = sys(getxattr, "private", "user.x", buffer, 8);
	return 0;
}

PROBE("misc/edges", "chain_40", "chain_41", "noreplace_dots", "outside", "omit_bad_flags", "allocate_read_only", "list_private", "get_private", "many_entries", "many_names", "comm", "task_of_other", "adopted", "other_session", "no_signal", "other_signal", "version_one", "upper", "interval_fifo", "interval_rr", "pipe_grown", "epoll_shown", "event_first", "real_time")
{
	char name[32], to[32], text[512];
	put_file("f", "x", 1);
	must(sys(symlink, "f", "l1"));
	for (int i = 2; i <= 41; i++) {
		snprintf(name, sizeof name, "l%d", i);
		snprintf(to, sizeof to, "l%d", i - 1);
		must(sys(symlink, to, name));
	}
	/* Linux begins a walk again that a change elsewhere in its file system has crossed, and counts its links on. */
	long chain = -ELOOP;
	for (int i = 0; i < 20 && err_of(chain) == ELOOP; i++)
		chain = sys(access, "l40", F_OK);
	observe("chain_40", "access", ret_int(chain), ARGS(), STATE());
	observe("chain_41", "access", ret_int(sys(access, "l41", F_OK)), ARGS(), STATE());
	observe("noreplace_dots", "renameat2", ret_int(sys(renameat2, AT_FDCWD, "f", AT_FDCWD, "..", 1)), ARGS(), STATE());
	observe("outside", "getcwd", ret_int(WEXITSTATUS(reap(spawn(outside, NULL)))), ARGS(), STATE());
	struct timespec omit[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}};
	observe("omit_bad_flags", "utimensat", ret_int(sys(utimensat, AT_FDCWD, "none", omit, 0x40000000)), ARGS(), STATE());
	long fd = must(sys(openat, AT_FDCWD, "f", O_RDONLY));
	observe("allocate_read_only", "fallocate", ret_int(sys(fallocate, fd, 0x40000000, 0, 1)), ARGS(), STATE());
	put_file("private", "x", 1);
	must(sys(setxattr, "private", "user.x", "v", 1, 0));
	must(sys(chmod, "private", 0600));
	must(sys(chmod, ".", 0755));
	long *out = pages(1, true);
	run_as(1234, 1234, stranger, out);
	observe("list_private", "listxattr", ret_int(out[0]), ARGS(), STATE());
	observe("get_private", "getxattr", ret_int(out[1]), ARGS(), STATE());
	must(sys(mkdir, "many", 0700));
	long dir = must(sys(openat, AT_FDCWD, "many", O_RDONLY)), n, count = 0, sum = 0;
	static char list[4096] __attribute__((aligned(8)));
	for (int i = 0; i < 600; i++) {
		snprintf(text, sizeof text, "many/%0120d", i);
		must(sys(mknod, text, S_IFREG | 0600, 0));
	}
	while ((n = must(sys(getdents64, dir, list, sizeof list))) > 0)
		for (long at = 0; at < n; at += *(unsigned short *)(list + at + 16))
			if (list[at + 19] != '.')
				count++, sum += atoi(list + at + 19 + 100);
	observe("many_entries", "getdents64", ret_int(count), ARGS(), STATE());
	observe("many_names", "getdents64", ret_int(sum), ARGS(), STATE());
	long comm = must(sys(openat, AT_FDCWD, "/proc/self/comm", O_WRONLY));
	n = sys(write, comm, "named\n", 6);
	memset(text, 0, sizeof text);
	must(sys(prctl, 16, text));
	observe("comm", "write", ret_int(n), ARGS(), STATE(f_str("name", text)));
	snprintf(text, sizeof text, "/proc/self/task/%ld", sys(getppid));
	observe("task_of_other", "newfstatat", ret_int(sys(access, text, F_OK)), ARGS(), STATE());
	observe("adopted", "exit_group", ret_int(WEXITSTATUS(reap(spawn(adopter, NULL)))), ARGS(), STATE());
	int p[2], q[2];
	char c;
	make_pipe(p, 0);
	make_pipe(q, 0);
	long child = must(sys(fork));
	if (child == 0) {
		must(sys(setsid));
		if (sys(fork) == 0)
			sys(exit_group, 0);
		must(sys(write, p[1], "x", 1));
		sys(read, q[0], &c, 1);
		sys(exit_group, 0);
	}
	must(sys(read, p[0], &c, 1));
	observe("other_session", "setpgid", ret_int(sys(setpgid, child, sys(getpgrp))), ARGS(), STATE());
	must(sys(write, q[1], "x", 1));
	reap(child);
	observe("no_signal", "clone", ret_hex(quiet(0)), ARGS(), STATE());
	observe("other_signal", "clone", ret_hex(quiet(SIGUSR2)), ARGS(), STATE());
	require(reap(spawn(upper, out)) == 0);
	observe("version_one", "capset", ret_int(out[0]), ARGS(), STATE());
	observe("upper", "capset", ret_hex(out[1]), ARGS(), STATE());
	require(reap(spawn(interval, out)) == 0);
	observe("interval_fifo", "sched_rr_get_interval", ret_int(out[1]), ARGS(), STATE());
	observe("interval_rr", "sched_rr_get_interval", ret_int(out[2]), ARGS(), STATE());
	must(sys(fcntl, p[0], F_SETPIPE_SZ, 1 << 18));
	observe("pipe_grown", "fcntl", ret_int(sys(fcntl, p[1], F_GETPIPE_SZ)), ARGS(), STATE());
	long ep = must(sys(epoll_create1, 0));
	struct epoll_event e = {.events = EPOLLIN, .data = {.u64 = 0x123456789abcull}};
	must(sys(epoll_ctl, ep, EPOLL_CTL_ADD, p[0], &e));
	snprintf(name, sizeof name, "/proc/self/fdinfo/%ld", ep);
	memset(text, 0, sizeof text);
	n = must(get_file(name, text, sizeof text - 1));
	observe("epoll_shown", "read", ret_bool(strstr(text, "data:     123456789abc") != NULL), ARGS(), STATE(f_bool("events", strstr(text, "events:       19") != NULL)));
	observe("event_first", "epoll_ctl", ret_int(sys(epoll_ctl, 400, EPOLL_CTL_ADD, 401, 8)), ARGS(), STATE());
	long timer = must(sys(timerfd_create, CLOCK_REALTIME, TFD_NONBLOCK));
	struct itimerspec t = {{0, 0}, {clock_ns(CLOCK_REALTIME) / 1000000000 + 500, 0}}, left = {{0, 0}, {0, 0}};
	n = sys(timerfd_settime, timer, TFD_TIMER_ABSTIME, &t, NULL);
	must(sys(timerfd_gettime, timer, &left));
	observe("real_time", "timerfd_settime", ret_int(n), ARGS(), STATE(f_bool("soon", left.it_value.tv_sec > 400 && left.it_value.tv_sec <= 500)));
}
