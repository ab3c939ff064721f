/* What ends, interrupts or leaves alone whoever waits for events, children, signals, time or a word of memory. */
#include "probe.h"
#include "wake.h"
#include <sys/signalfd.h>

static long fd, ep;
static int p[2];
static uint64_t value;
static struct epoll_event out;
static struct timespec hour = {3600, 0};

static void event(uint64_t first)
{
	fd = must(sys(eventfd2, 0, 0));
	if (first)
		must(sys(write, fd, &first, 8));
}
static void add(void)
{
	value = 1;
	must(sys(write, fd, &value, 8));
}
static void take(void) { must(sys(read, fd, &value, 8)); }
static void watched(void)
{
	event(0);
	ep = must(sys(epoll_create1, 0));
	must(sys(epoll_ctl, ep, EPOLL_CTL_ADD, fd, (&(struct epoll_event){.events = EPOLLIN})));
}
static long polls(bool with_p, long timeout, struct timespec *t)
{
	struct pollfd e = {(int)fd, POLLIN, 0};
	return with_p ? sys(ppoll, &e, 1, t, NULL, 8) : sys(poll, &e, 1, timeout);
}
static long selects(int which)
{
	fd_set set;
	struct timeval tv = {3600, 0};
	struct timespec t = hour;
	FD_ZERO(&set);
	FD_SET(fd, &set);
	switch (which) {
	case 0: return sys(select, fd + 1, &set, NULL, NULL, NULL);
	case 1: return sys(select, fd + 1, &set, NULL, NULL, &tv);
	case 2: return sys(pselect6, fd + 1, &set, NULL, NULL, NULL, NULL);
	default: return sys(pselect6, fd + 1, &set, NULL, NULL, &t, NULL);
	}
}
static void signals(void)
{
	uint64_t set = SIGBIT(SIGWINCH);
	fd = must(sys(signalfd4, -1, &set, 8, 0));
}
static long reads_signal(void)
{
	struct signalfd_siginfo got;
	mask_signals(SIG_BLOCK, SIGBIT(SIGWINCH));
	signals();
	return sys(read, fd, &got, sizeof got) == sizeof got ? (long)got.ssi_signo : -EINTR;
}
static void send_winch(void) { sys(kill, sleeping, SIGWINCH); }
static void send_deadly(void) { sys(kill, sleeping, SIGUSR2); }
static long takes_signal(struct timespec *t)
{
	uint64_t set = SIGBIT(SIGWINCH);
	mask_signals(SIG_BLOCK, set);
	return sys(rt_sigtimedwait, &set, NULL, t, 8);
}
static long suspends_with(void)
{
	uint64_t mine = mask_signals(SIG_BLOCK, 0);
	return sys(rt_sigsuspend, &mine, 8);
}
static void timer(void) { fd = must(sys(timerfd_create, CLOCK_MONOTONIC, 0)); }
static void expire(void)
{
	struct itimerspec t = {{0, 0}, {0, 1}};
	must(sys(timerfd_settime, fd, 1, &t, NULL));
}
static void nothing(void) {}
static void child_pipe(void) { make_pipe(p, 0); }
static void let_go(void) { must(sys(write, p[1], "x", 1)); }
static int grandchild(void *unused)
{
	char c;
	(void)unused;
	sys(close, p[1]);
	sys(read, p[0], &c, 1);
	return 3;
}
static long reaps(int how)
{
	int status = 0;
	siginfo_t info = {.si_status = 0};
	long pid = spawn(grandchild, NULL), r;
	if (how == 0)
		r = sys(wait4, pid, &status, 0, NULL);
	else if (how == 1)
		r = sys(wait4, -1, &status, 0, NULL);
	else if (how == 2)
		r = sys(waitid, P_PID, pid, &info, WEXITED, NULL);
	else if (how == 3)
		r = sys(waitid, P_PIDFD, must(sys(pidfd_open, pid, 0)), &info, WEXITED, NULL);
	else {
		struct pollfd e = {(int)must(sys(pidfd_open, pid, 0)), POLLIN, 0};
		r = sys(poll, &e, 1, -1);
	}
	return r < 0 ? r : how < 2 ? WEXITSTATUS(status) : how < 4 ? info.si_status : r;
}
static long waits(int op, struct timespec *t)
{
	return sys(futex, &board->word, op, 0, t, NULL, FUTEX_BITSET_MATCH_ANY);
}
static long waits_until(int op)
{
	struct timespec t = {clock_ns(CLOCK_MONOTONIC) / 1000000000 + 3600, 0};
	return waits(op, &t);
}
static void wakes(void) { sys(futex, &board->word, FUTEX_WAKE, 1); }
static long sleeps(int how)
{
	struct timespec t = hour, rest = {0, 0};
	if (how == 2)
		t.tv_sec += clock_ns(CLOCK_MONOTONIC) / 1000000000;
	return how == 0 ? sys(nanosleep, &t, &rest) : sys(clock_nanosleep, CLOCK_MONOTONIC, how == 2, &t, &rest);
}

#define LIST(X)                                                                                                       \
	X(eventfd_read, "read", event(0), sys(read, fd, &value, 8), add())                                            \
	X(eventfd_write, "write", event(0xfffffffffffffffe), sys(write, fd, (&(uint64_t){1}), 8), take())             \
	X(timerfd_read, "read", timer(), sys(read, fd, &value, 8), expire())                                          \
	X(signalfd_read, "read", nothing(), reads_signal(), send_winch())                                             \
	X(poll, "poll", event(0), polls(false, -1, NULL), add())                                                      \
	X(poll_timed, "poll", event(0), polls(false, 3600000, NULL), add())                                           \
	X(ppoll, "ppoll", event(0), polls(true, 0, NULL), add())                                                      \
	X(ppoll_timed, "ppoll", event(0), polls(true, 0, &hour), add())                                               \
	X(select, "select", event(0), selects(0), add())                                                              \
	X(select_timed, "select", event(0), selects(1), add())                                                        \
	X(pselect, "pselect6", event(0), selects(2), add())                                                           \
	X(pselect_timed, "pselect6", event(0), selects(3), add())                                                     \
	X(epoll_wait, "epoll_wait", watched(), sys(epoll_wait, ep, &out, 1, -1), add())                               \
	X(epoll_wait_timed, "epoll_wait", watched(), sys(epoll_wait, ep, &out, 1, 3600000), add())                    \
	X(epoll_pwait, "epoll_pwait", watched(), sys(epoll_pwait, ep, &out, 1, -1, NULL, 8), add())                   \
	X(epoll_pwait2, "epoll_pwait2", watched(), sys(epoll_pwait2, ep, &out, 1, &hour, NULL, 8), add())             \
	X(poll_nothing, "poll", nothing(), sys(poll, NULL, 0, -1), send_deadly())                                     \
	X(futex, "futex", nothing(), waits(FUTEX_WAIT, NULL), wakes())                                                \
	X(futex_timed, "futex", nothing(), waits(FUTEX_WAIT, &hour), wakes())                                         \
	X(futex_bitset, "futex", nothing(), waits(FUTEX_WAIT_BITSET, NULL), wakes())                                  \
	X(futex_until, "futex", nothing(), waits_until(FUTEX_WAIT_BITSET), wakes())                                   \
	X(wait4, "wait4", child_pipe(), reaps(0), let_go())                                                           \
	X(wait4_any, "wait4", child_pipe(), reaps(1), let_go())                                                       \
	X(waitid, "waitid", child_pipe(), reaps(2), let_go())                                                         \
	X(waitid_pidfd, "waitid", child_pipe(), reaps(3), let_go())                                                   \
	X(poll_pidfd, "poll", child_pipe(), reaps(4), let_go())                                                       \
	X(sigtimedwait, "rt_sigtimedwait", nothing(), takes_signal(NULL), send_winch())                               \
	X(sigtimedwait_timed, "rt_sigtimedwait", nothing(), takes_signal(&hour), send_winch())                        \
	X(sigsuspend, "rt_sigsuspend", nothing(), suspends_with(), send_deadly())                                     \
	X(pause, "pause", nothing(), sys(pause), send_deadly())                                                       \
	X(nanosleep, "nanosleep", nothing(), sleeps(0), send_deadly())                                                \
	X(clock_nanosleep, "clock_nanosleep", nothing(), sleeps(1), send_deadly())                                    \
	X(clock_nanosleep_until, "clock_nanosleep", nothing(), sleeps(2), send_deadly())

WAKE_PROBE("wake/waits", LIST)
