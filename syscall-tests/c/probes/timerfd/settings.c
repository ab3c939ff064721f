/* What a timer says of itself before and after it expired, and who it wakes. */
#include "probe.h"
#include <sys/timerfd.h>

#define SECOND 1000000000ll
static long fd;

static struct itimerspec spec(int64_t value, int64_t interval)
{
	return (struct itimerspec){{interval / SECOND, interval % SECOND}, {value / SECOND, value % SECOND}};
}

static int64_t ns(struct timespec t) { return t.tv_sec * SECOND + t.tv_nsec; }

static long set(int64_t value, int64_t interval, int flags, struct itimerspec *old)
{
	struct itimerspec s = spec(value, interval);
	return sys(timerfd_settime, fd, flags, &s, old);
}

static long ready(int timeout)
{
	struct pollfd p = {(int)fd, POLLIN, 0};
	return sys(poll, &p, 1, timeout);
}

PROBE("timerfd/settings", "old", "disarmed", "expired_periodic", "unread", "read_once", "periodic", "periodic_again", "periodic_wakes", "past", "set_anew", "once_after",
      "bad_flags", "bad_interval", "new_efault", "old_efault", "not_timer", "get_efault", "get_not_timer", "status")
{
	fd = must(sys(timerfd_create, CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
	struct itimerspec old = {{9, 9}, {9, 9}}, got = {{9, 9}, {9, 9}};
	must(set(100 * SECOND, 7 * SECOND, 0, NULL));
	long r = set(0, 3 * SECOND, 0, &old);
	observe("old", "timerfd_settime", ret_int(r), ARGS(), STATE(f_dur("value", ns(old.it_value), 80 * SECOND, 100 * SECOND), f_int("interval", ns(old.it_interval))));
	r = sys(timerfd_gettime, fd, &got);
	observe("disarmed", "timerfd_gettime", ret_int(r), ARGS(), STATE(f_int("value", ns(got.it_value)), f_int("interval", ns(got.it_interval))));
	must(set(1000000, 90 * SECOND, 0, NULL));
	require(ready(5000) == 1);
	r = sys(timerfd_gettime, fd, &got);
	observe("expired_periodic", "timerfd_gettime", ret_int(r), ARGS(), STATE(f_dur("value", ns(got.it_value), 70 * SECOND, 90 * SECOND), f_int("interval", ns(got.it_interval))));
	uint64_t n = 0;
	observe("unread", "poll", ret_int(ready(0)), ARGS(), STATE());
	r = sys(read, fd, &n, 8);
	observe("read_once", "read", ret_int(r), ARGS(), STATE(f_uint("expirations", n), f_int("ready", ready(0)), f_int("again", sys(read, fd, &n, 8))));
	must(sys(fcntl, fd, F_SETFL, 0));
	must(set(2000000, 2000000, 0, NULL));
	r = sys(read, fd, &n, 8);
	observe("periodic", "read", ret_int(r), ARGS(), STATE(f_bool("some", n > 0)));
	r = sys(read, fd, &n, 8);
	observe("periodic_again", "read", ret_int(r), ARGS(), STATE(f_bool("some", n > 0)));
	observe("periodic_wakes", "poll", ret_int(ready(3000)), ARGS(), STATE());
	r = set(1, 0, TFD_TIMER_ABSTIME, NULL);
	observe("past", "timerfd_settime", ret_int(r), ARGS(f_hex("flags", TFD_TIMER_ABSTIME)), STATE(f_int("ready", ready(0)), f_int("read", sys(read, fd, &n, 8)), f_uint("expirations", n)));
	must(set(1, 0, TFD_TIMER_ABSTIME, NULL));
	require(ready(5000) == 1);
	r = set(50 * SECOND, 0, 0, &old);
	observe("set_anew", "timerfd_settime", ret_int(r), ARGS(), STATE(f_int("ready", ready(0)), f_int("old", ns(old.it_value))));
	must(set(1000000, 0, 0, NULL));
	must(sys(read, fd, &n, 8));
	r = sys(timerfd_gettime, fd, &got);
	observe("once_after", "timerfd_gettime", ret_int(r), ARGS(), STATE(f_int("value", ns(got.it_value)), f_uint("expirations", n)));
	observe("bad_flags", "timerfd_settime", ret_int(set(1, 0, 4, NULL)), ARGS(f_hex("flags", 4)), STATE());
	struct itimerspec s = {{0, SECOND}, {1, 0}};
	observe("bad_interval", "timerfd_settime", ret_int(sys(timerfd_settime, fd, 0, &s, NULL)), ARGS(f_int("nsec", SECOND)), STATE());
	observe("new_efault", "timerfd_settime", ret_int(sys(timerfd_settime, fd, 0, 8, NULL)), ARGS(), STATE());
	r = set(60 * SECOND, 0, 0, (void *)8);
	must(sys(timerfd_gettime, fd, &got));
	observe("old_efault", "timerfd_settime", ret_int(r), ARGS(), STATE(f_bool("set", ns(got.it_value) > 0)));
	s = spec(1, 0);
	long other = must(sys(eventfd2, 0, 0));
	observe("not_timer", "timerfd_settime", ret_int(sys(timerfd_settime, other, 0, &s, NULL)), ARGS(), STATE());
	observe("get_efault", "timerfd_gettime", ret_int(sys(timerfd_gettime, fd, 8)), ARGS(), STATE());
	observe("get_not_timer", "timerfd_gettime", ret_int(sys(timerfd_gettime, other, &got)), ARGS(), STATE());
	observe("status", "timerfd_create", ret_int(0), ARGS(), STATE(f_hex("cloexec", (uint64_t)fd_flags(fd)), f_int("write", sys(write, fd, &n, 8)), f_int("short", sys(read, fd, &n, 7))));
}
