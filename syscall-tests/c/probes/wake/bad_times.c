/* Times at the borders of what is one, for each call that takes a time; what is over at once gives the call's own answer. */
#include "probe.h"
#include "table.h"
#include <sys/timerfd.h>

static long fd, ep, timer;
static int id, s[2];
static int32_t word;
static struct epoll_event out;

static const struct timespec times[] = {
	{0, 0}, {0, 1}, {0, -1}, {-1, 0}, {-1, 999999999}, {0, 1000000000}, {-1, -1}, {INT64_MIN, 0}, {0, INT64_MAX}, {INT64_MIN, 1000000000}, {INT64_MAX, 1000000000}, {INT64_MAX, -1},
};
/* As time stamps of a file, which may be negative. */
static const struct timespec far[] = {
	{INT64_MAX, 0}, {INT64_MAX, 999999999}, {1ll << 40, 999999999}, {9223372036, 854775807}, {9223372037, 0},
};
static long polls(const struct timespec *t)
{
	struct pollfd e = {(int)fd, POLLIN, 0};
	struct timespec copy = *t;
	return sys(ppoll, &e, 1, &copy, NULL, 8);
}
static long pselects(const struct timespec *t)
{
	struct timespec copy = *t;
	return sys(pselect6, 0, NULL, NULL, NULL, &copy, NULL);
}
static long epolls(const struct timespec *t) { return sys(epoll_pwait2, ep, &out, 1, t, NULL, 8); }
static long waits(const struct timespec *t) { return sys(futex, &word, FUTEX_WAIT, 0, t); }
static long waits_until(const struct timespec *t) { return sys(futex, &word, FUTEX_WAIT_BITSET, 0, t, NULL, 1); }
static long mismatched(const struct timespec *t) { return sys(futex, &word, FUTEX_WAIT, 1, t); }
static long takes(const struct timespec *t)
{
	uint64_t set = SIGBIT(SIGUSR1);
	return sys(rt_sigtimedwait, &set, NULL, t, 8);
}
static long sleeps(const struct timespec *t) { return sys(nanosleep, t, NULL); }
static long sleeps_until(const struct timespec *t) { return sys(clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, t, NULL); }
static long value(const struct timespec *t) { return sys(timerfd_settime, timer, 0, (&(struct itimerspec){{0, 0}, *t}), NULL); }
static long interval(const struct timespec *t) { return sys(timerfd_settime, timer, 0, (&(struct itimerspec){*t, {0, 0}}), NULL); }
static long posix_value(const struct timespec *t) { return sys(timer_settime, id, 0, (&(struct itimerspec){{0, 0}, *t}), NULL); }
static long posix_interval(const struct timespec *t) { return sys(timer_settime, id, 0, (&(struct itimerspec){*t, {0, 0}}), NULL); }
static long stamps(const struct timespec *t) { return sys(utimensat, AT_FDCWD, "f", ((const struct timespec[]){*t, {0, UTIME_OMIT}}), 0); }
static long receives(const struct timespec *t)
{
	struct iovec v = {&word, 0};
	struct mmsghdr m = {{.msg_iov = &v, .msg_iovlen = 1}, 0};
	struct timespec copy = *t;
	return sys(recvmmsg, s[0], &m, 1, MSG_DONTWAIT, &copy);
}
/* With microseconds. */
static struct timeval micro(const struct timespec *t) { return (struct timeval){t->tv_sec, t->tv_nsec == 1000000000 ? 1000000 : t->tv_nsec == 999999999 ? 999999 : t->tv_nsec}; }
static long selects(const struct timespec *t)
{
	struct timeval tv = micro(t);
	if (tv.tv_usec >= 1000000) /* is carried into the seconds */
		return 0;
	return sys(select, 0, NULL, NULL, NULL, &tv);
}
static long limits(const struct timespec *t)
{
	struct timeval tv = micro(t);
	return sys(setsockopt, s[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
}
static long alarms(const struct timespec *t)
{
	struct timeval tv = micro(t);
	return sys(setitimer, ITIMER_VIRTUAL, (&(struct itimerval){{0, 0}, tv}), NULL);
}
static long alarm_interval(const struct timespec *t)
{
	struct timeval tv = micro(t);
	return sys(setitimer, ITIMER_VIRTUAL, (&(struct itimerval){tv, {0, 0}}), NULL);
}
static long utimes_(const struct timespec *t)
{
	struct timeval tv = micro(t);
	return sys(utimes, "f", ((struct timeval[]){tv, {1, 1}}));
}

static const struct { const char *id, *call; long (*act)(const struct timespec *); } rows[] = {
	{"ppoll", "ppoll", polls}, {"pselect", "pselect6", pselects}, {"epoll_pwait2", "epoll_pwait2", epolls}, {"futex", "futex", waits}, {"futex_until", "futex", waits_until},
	{"futex_mismatch", "futex", mismatched}, {"sigtimedwait", "rt_sigtimedwait", takes}, {"nanosleep", "nanosleep", sleeps}, {"sleep_until", "clock_nanosleep", sleeps_until},
	{"timerfd_value", "timerfd_settime", value}, {"timerfd_interval", "timerfd_settime", interval}, {"timer_value", "timer_settime", posix_value},
	{"timer_interval", "timer_settime", posix_interval}, {"utimensat", "utimensat", stamps}, {"recvmmsg", "recvmmsg", receives}, {"select", "select", selects},
	{"socket_limit", "setsockopt", limits}, {"setitimer", "setitimer", alarms}, {"setitimer_interval", "setitimer", alarm_interval}, {"utimes", "utimes", utimes_},
};

PROBE("wake/bad_times", "ppoll", "pselect", "epoll_pwait2", "futex", "futex_until", "futex_mismatch", "sigtimedwait", "nanosleep", "sleep_until", "timerfd_value", "timerfd_interval", "timer_value",
      "timer_interval", "utimensat", "recvmmsg", "select", "socket_limit", "setitimer", "setitimer_interval", "utimes", "far_timerfd", "far_timer", "far_itimer", "socket_limit_back", "negative_poll", "negative_epoll")
{
	static struct row row;
	put_file("f", "", 0);
	fd = must(sys(eventfd2, 0, 0));
	ep = must(sys(epoll_create1, 0));
	timer = must(sys(timerfd_create, CLOCK_MONOTONIC, 0));
	must(sys(socketpair, AF_UNIX, SOCK_DGRAM, 0, s));
	must(sys(timer_create, CLOCK_MONOTONIC, (&(struct sigevent){.sigev_notify = SIGEV_NONE}), &id));
	must(sys(rt_sigaction, SIGVTALRM, &(struct ksigaction){.handler = (void *)1}, NULL, 8));
	for (size_t i = 0; i < countof(rows); i++) {
		for (size_t k = 0; k < countof(times); k++)
			cell(&row, (long)k, rows[i].act(&times[k]));
		observe_row(&row, rows[i].id, rows[i].call);
	}
	for (size_t k = 0; k < countof(far); k++) {
		struct itimerspec now = {{0, 0}, {0, 0}};
		cell(&row, (long)(2 * k), value(&far[k]));
		must(sys(timerfd_gettime, timer, &now));
		cell(&row, (long)(2 * k + 1), now.it_value.tv_sec > 1000000000);
	}
	observe_row(&row, "far_timerfd", "timerfd_settime");
	for (size_t k = 0; k < countof(far); k++) {
		struct itimerspec now = {{0, 0}, {0, 0}};
		cell(&row, (long)(2 * k), posix_value(&far[k]));
		must(sys(timer_gettime, id, &now));
		cell(&row, (long)(2 * k + 1), now.it_value.tv_sec > 1000000000);
	}
	observe_row(&row, "far_timer", "timer_settime");
	for (size_t k = 0; k < countof(far); k++) {
		struct itimerval now = {{0, 0}, {0, 0}}, set = {{0, 0}, {far[k].tv_sec, 0}};
		cell(&row, (long)(2 * k), sys(setitimer, ITIMER_REAL, &set, NULL));
		must(sys(getitimer, ITIMER_REAL, &now));
		cell(&row, (long)(2 * k + 1), now.it_value.tv_sec > 1000000000);
	}
	observe_row(&row, "far_itimer", "setitimer");
	static const struct timeval kept[] = {{0, 0}, {0, 20000}, {1, 100000}, {3600, 500000}, {-5, 0}, {1ll << 33, 0}};
	for (size_t k = 0; k < countof(kept); k++) {
		struct timeval back = {7, 7};
		int len = sizeof back;
		must(sys(setsockopt, s[0], SOL_SOCKET, SO_RCVTIMEO, &kept[k], sizeof kept[k]));
		must(sys(getsockopt, s[0], SOL_SOCKET, SO_RCVTIMEO, &back, &len));
		cell(&row, (long)(2 * k), back.tv_sec);
		cell(&row, (long)(2 * k + 1), back.tv_usec / 10000);
	}
	observe_row(&row, "socket_limit_back", "getsockopt");
	must(sys(write, fd, (&(uint64_t){1}), 8));
	must(sys(epoll_ctl, ep, EPOLL_CTL_ADD, fd, (&(struct epoll_event){.events = EPOLLIN})));
	struct pollfd e = {(int)fd, POLLIN, 0};
	cell(&row, 0, sys(poll, &e, 1, -1));
	cell(&row, 1, sys(poll, &e, 1, INT_MIN));
	cell(&row, 2, sys(poll, &e, 1, 1ll << 32));
	observe_row(&row, "negative_poll", "poll");
	cell(&row, 0, sys(epoll_wait, ep, &out, 1, -7));
	cell(&row, 1, sys(epoll_wait, ep, &out, 1, INT_MIN));
	cell(&row, 2, sys(epoll_wait, ep, &out, 1, 1ll << 32));
	observe_row(&row, "negative_epoll", "epoll_wait");
}
