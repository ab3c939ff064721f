/* Interval timers: three clocks, three signals; what is set, left and refused; none for a child. */
#include "probe.h"

static int64_t us(const struct timeval *t) { return t->tv_sec * 1000000L + t->tv_usec; }

static struct itimerval timer(int64_t interval, int64_t value)
{
	struct itimerval t = {{interval / 1000000, interval % 1000000}, {value / 1000000, value % 1000000}};
	return t;
}

static void burn(int64_t ms)
{
	int64_t start = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	volatile int sink = 0;
	while (clock_ns(CLOCK_PROCESS_CPUTIME_ID) - start < ms * 1000000)
		for (int i = 0; i < 10000; i++)
			sink += i;
}

static int64_t left(int which)
{
	struct itimerval t = {0};
	must(sys(getitimer, which, &t));
	return us(&t.it_value);
}

PROBE("time/interval_timers", "virtual", "profiling", "virtual_stands", "real_goes", "null_new", "null_both", "microseconds", "negative", "bad_interval", "fault_old", "old", "disarmed_profiling", "interval", "repeats", "alarm_shared", "alarm_rounds", "forked")
{
	uint64_t all = SIGBIT(SIGALRM) | SIGBIT(SIGVTALRM) | SIGBIT(SIGPROF);
	struct timespec none = {0, 0}, limit = {5, 0};
	mask_signals(SIG_BLOCK, all);
	struct itimerval t = timer(0, 20000), now = {0}, old = {0};
	long r = sys(setitimer, ITIMER_VIRTUAL, &t, NULL);
	burn(120);
	long signal = sys(rt_sigtimedwait, &all, NULL, &limit, 8);
	observe("virtual", "setitimer", ret_int(r), ARGS(f_int("which", ITIMER_VIRTUAL)), STATE(f_int("signal", signal), f_int("left", left(ITIMER_VIRTUAL))));
	r = sys(setitimer, ITIMER_PROF, &t, NULL);
	burn(120);
	signal = sys(rt_sigtimedwait, &all, NULL, &limit, 8);
	observe("profiling", "setitimer", ret_int(r), ARGS(f_int("which", ITIMER_PROF)), STATE(f_int("signal", signal), f_int("left", left(ITIMER_PROF))));
	/* While nothing is used, only the real one goes on. */
	struct timespec pause = {0, 200000000};
	t = timer(0, 100000000);
	must(sys(setitimer, ITIMER_VIRTUAL, &t, NULL));
	must(sys(setitimer, ITIMER_PROF, &t, NULL));
	must(sys(setitimer, ITIMER_REAL, &t, NULL));
	must(sys(nanosleep, &pause, NULL));
	observe("virtual_stands", "getitimer", ret_int(0), ARGS(f_int("which", ITIMER_VIRTUAL)), STATE(f_dur("virtual", left(ITIMER_VIRTUAL), 99880000, 100010000), f_dur("profiling", left(ITIMER_PROF), 99880000, 100010000)));
	observe("real_goes", "getitimer", ret_int(0), ARGS(f_int("which", ITIMER_REAL)), STATE(f_dur("real", left(ITIMER_REAL), 50000000, 99801000)));
	r = sys(setitimer, ITIMER_REAL, NULL, &old);
	observe("null_new", "setitimer", ret_int(r), ARGS(), STATE(f_dur("old", us(&old.it_value), 50000000, 99801000), f_int("left", left(ITIMER_REAL))));
	observe("null_both", "setitimer", ret_int(sys(setitimer, ITIMER_PROF, NULL, NULL)), ARGS(), STATE(f_int("left", left(ITIMER_PROF))));
	t = timer(0, 50000000);
	must(sys(setitimer, ITIMER_REAL, &t, NULL));
	t = (struct itimerval){{0, 0}, {1, 1000000}};
	r = sys(setitimer, ITIMER_REAL, &t, NULL);
	observe("microseconds", "setitimer", ret_int(r), ARGS(f_int("usec", 1000000)), STATE(f_bool("kept", left(ITIMER_REAL) > 30000000)));
	t = (struct itimerval){{0, 0}, {-1, 0}};
	r = sys(setitimer, ITIMER_REAL, &t, NULL);
	observe("negative", "setitimer", ret_int(r), ARGS(f_int("sec", -1)), STATE(f_bool("kept", left(ITIMER_REAL) > 30000000)));
	t = (struct itimerval){{0, -1}, {1, 0}};
	r = sys(setitimer, ITIMER_REAL, &t, NULL);
	observe("bad_interval", "setitimer", ret_int(r), ARGS(f_int("usec", -1)), STATE(f_bool("kept", left(ITIMER_REAL) > 30000000)));
	t = timer(0, 70000000);
	r = sys(setitimer, ITIMER_REAL, &t, (void *)8);
	observe("fault_old", "setitimer", ret_int(r), ARGS(), STATE(f_bool("set", left(ITIMER_REAL) > 55000000)));
	t = timer(3000000, 0);
	r = sys(setitimer, ITIMER_REAL, &t, &old);
	must(sys(getitimer, ITIMER_REAL, &now));
	observe("old", "setitimer", ret_int(r), ARGS(f_int("value", 0)), STATE(f_dur("old", us(&old.it_value), 40000000, 70000000), f_int("left", us(&now.it_value)), f_int("interval", us(&now.it_interval))));
	must(sys(setitimer, ITIMER_PROF, &t, NULL));
	must(sys(getitimer, ITIMER_PROF, &now));
	observe("disarmed_profiling", "setitimer", ret_int(0), ARGS(f_int("value", 0)), STATE(f_int("left", us(&now.it_value)), f_int("interval", us(&now.it_interval))));
	t = timer(3000000, 80000000);
	must(sys(setitimer, ITIMER_REAL, &t, NULL));
	must(sys(getitimer, ITIMER_REAL, &now));
	observe("interval", "getitimer", ret_int(0), ARGS(), STATE(f_int("interval", us(&now.it_interval))));
	sys(rt_sigtimedwait, &all, NULL, &none, 8);
	t = timer(20000, 10000);
	r = sys(setitimer, ITIMER_REAL, &t, NULL);
	int count = 0;
	int64_t start = now_ns();
	for (; count < 4 && sys(rt_sigtimedwait, &all, NULL, &limit, 8) == SIGALRM; count++)
		;
	observe("repeats", "setitimer", ret_int(r), ARGS(f_int("interval", 20000)), STATE(f_int("count", count), f_dur("took", now_ns() - start, 65000000, 4000000000)));
	t = timer(5000000, 90000000);
	must(sys(setitimer, ITIMER_REAL, &t, NULL));
	r = sys(alarm, 40);
	must(sys(getitimer, ITIMER_REAL, &now));
	observe("alarm_shared", "alarm", ret_int(r), ARGS(f_int("seconds", 40)), STATE(f_int("interval", us(&now.it_interval)), f_dur("left", us(&now.it_value), 20000000, 40000000)));
	t = timer(0, 300000);
	must(sys(setitimer, ITIMER_REAL, &t, NULL));
	r = sys(alarm, 0);
	t = timer(0, 2900000);
	must(sys(setitimer, ITIMER_REAL, &t, NULL));
	observe("alarm_rounds", "alarm", ret_int(r), ARGS(f_int("seconds", 0)), STATE(f_int("nearly_three", sys(alarm, 0))));
	t = timer(0, 60000000);
	must(sys(setitimer, ITIMER_REAL, &t, NULL));
	must(sys(setitimer, ITIMER_PROF, &t, NULL));
	long pid = must(sys(fork));
	if (pid == 0)
		sys(exit_group, left(ITIMER_REAL) == 0 && left(ITIMER_PROF) == 0);
	observe("forked", "fork", ret_int(0), ARGS(), STATE(f_int("none", WEXITSTATUS(reap(pid))), f_bool("parent", left(ITIMER_REAL) > 30000000)));
}
