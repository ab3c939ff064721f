/* POSIX timers: whom they tell, what of, and when; what is refused; CPU clocks of others. */
#include "probe.h"

struct event {
	uint64_t value;
	int32_t signo, notify, tid, pad[11];
};

static long create(int clock, int notify, int signo, int tid, uint64_t value, int *id)
{
	struct event e = {.value = value, .signo = signo, .notify = notify, .tid = tid};
	return sys(timer_create, clock, &e, id);
}

static struct itimerspec spec(int64_t interval_ms, int64_t value_ms)
{
	struct itimerspec s = {{interval_ms / 1000, interval_ms % 1000 * 1000000}, {value_ms / 1000, value_ms % 1000 * 1000000}};
	return s;
}

static long arm(int id, int64_t interval_ms, int64_t value_ms)
{
	struct itimerspec s = spec(interval_ms, value_ms);
	return sys(timer_settime, id, 0, &s, NULL);
}

static uint64_t wanted = SIGBIT(SIGUSR2) | SIGBIT(SIGALRM) | SIGBIT(SIGUSR1);
static const struct timespec limit = {5, 0}, none = {0, 0};

static int64_t ns(const struct timespec *t) { return t->tv_sec * 1000000000L + t->tv_nsec; }

static int32_t stage;
static long helper;
static int thread(void *unused)
{
	(void)unused;
	helper = sys(gettid);
	__atomic_store_n(&stage, 1, __ATOMIC_SEQ_CST);
	sys(futex, &stage, FUTEX_WAKE, 10);
	for (int32_t v; (v = __atomic_load_n(&stage, __ATOMIC_SEQ_CST)) < 2;)
		sys(futex, &stage, FUTEX_WAIT, v, NULL);
	return 0;
}

/* What is pending for `tid` alone and for the process, as /proc shows it. */
static void pending_of(long tid, char *own, char *all)
{
	char path[64], text[4096] = "", *at;
	snprintf(path, sizeof path, "/proc/self/task/%ld/status", tid);
	get_file(path, text, sizeof text - 1);
	own[0] = all[0] = 0;
	if ((at = strstr(text, "SigPnd:\t")) != NULL)
		snprintf(own, 20, "%.16s", at + 8);
	if ((at = strstr(text, "ShdPnd:\t")) != NULL)
		snprintf(all, 20, "%.16s", at + 8);
}

static int64_t clock_of(long clock, long *r)
{
	struct timespec t = {0};
	*r = sys(clock_gettime, clock, &t);
	return ns(&t);
}

static int burn(void *unused)
{
	(void)unused;
	while (clock_ns(CLOCK_PROCESS_CPUTIME_ID) < 100000000)
		;
	sys(pause);
	return 0;
}

PROBE("time/posix_timers", "null_event", "ids", "thread_event", "bad_thread", "foreign_thread", "none", "none_fires", "no_signal", "no_signal_none", "bad_signal", "bad_notify", "bad_nsec", "overrun", "rearmed", "disarmed", "deleted_pending",
      "settime_flags", "settime_fault", "create_fault", "cpu", "foreign_clock", "process_clock", "thread_clock", "foreign_thread_clock", "bad_clocks")
{
	mask_signals(SIG_BLOCK, wanted);
	int id = -1, second = -1;
	long r = sys(timer_create, CLOCK_MONOTONIC, NULL, &id);
	must(sys(timer_create, CLOCK_REALTIME, NULL, &second));
	must(arm(second, 0, 1));
	siginfo_t info = {0};
	long signal = sys(rt_sigtimedwait, &wanted, &info, &limit, 8);
	observe("null_event", "timer_create", ret_int(r), ARGS(), STATE(f_int("signal", signal), f_int("code", info.si_code), f_bool("value_is_id", info.si_value.sival_int == second), f_bool("timer_is_id", info.si_timerid == second)));
	observe("ids", "timer_create", ret_int(r), ARGS(), STATE(f_bool("differ", id != second), f_bool("from_zero", id == 0)));
	struct thread t;
	thread_start(&t, thread, NULL);
	for (int32_t v; (v = __atomic_load_n(&stage, __ATOMIC_SEQ_CST)) == 0;)
		sys(futex, &stage, FUTEX_WAIT, v, NULL);
	int directed;
	r = create(CLOCK_MONOTONIC, SIGEV_THREAD_ID, SIGUSR1, (int)helper, 5, &directed);
	if (r == 0)
		must(arm(directed, 0, 1));
	char own[20], shared[20];
	int64_t until = now_ns() + 3000000000;
	do
		pending_of(helper, own, shared);
	while (strspn(own, "0") == 16 && strspn(shared, "0") == 16 && now_ns() < until);
	observe("thread_event", "timer_create", ret_int(r), ARGS(f_int("notify", SIGEV_THREAD_ID)), STATE(f_str("own", own), f_str("shared", shared)));
	observe("bad_thread", "timer_create", ret_int(create(CLOCK_MONOTONIC, SIGEV_THREAD_ID, SIGUSR1, 1 << 22, 5, &id)), ARGS(), STATE());
	long pid = spawn(burn, NULL);
	observe("foreign_thread", "timer_create", ret_int(create(CLOCK_MONOTONIC, SIGEV_THREAD_ID, SIGUSR1, (int)pid, 5, &id)), ARGS(), STATE());
	__atomic_store_n(&stage, 2, __ATOMIC_SEQ_CST);
	sys(futex, &stage, FUTEX_WAKE, 10);
	thread_join(&t);
	r = create(CLOCK_MONOTONIC, SIGEV_NONE, SIGUSR2, 0, 5, &id);
	must(arm(id, 60000, 100));
	struct timespec pause = {0, 250000000};
	must(sys(nanosleep, &pause, NULL));
	struct itimerspec now = {0};
	long got = sys(timer_gettime, id, &now);
	observe("none", "timer_gettime", ret_int(got), ARGS(f_int("notify", SIGEV_NONE)), STATE(f_dur("left", ns(&now.it_value), 30000000000, 59990000000), f_int("interval", now.it_interval.tv_sec), f_int("overrun", sys(timer_getoverrun, id))));
	observe("none_fires", "timer_create", ret_int(r), ARGS(f_int("notify", SIGEV_NONE)), STATE(f_errno("signal", err_of(sys(rt_sigtimedwait, &wanted, NULL, &none, 8)))));
	observe("no_signal", "timer_create", ret_int(create(CLOCK_MONOTONIC, SIGEV_SIGNAL, 0, 0, 5, &id)), ARGS(f_int("signal", 0)), STATE());
	observe("no_signal_none", "timer_create", ret_int(create(CLOCK_MONOTONIC, SIGEV_NONE, 0, 0, 5, &id)), ARGS(f_int("signal", 0)), STATE());
	observe("bad_signal", "timer_create", ret_int(create(CLOCK_MONOTONIC, SIGEV_SIGNAL, 65, 0, 5, &id)), ARGS(f_int("signal", 65)), STATE());
	observe("bad_notify", "timer_create", ret_int(create(CLOCK_MONOTONIC, 77, SIGUSR1, 0, 5, &id)), ARGS(f_int("notify", 77)), STATE());
	must(create(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGUSR2, 0, 0x1122334455667788, &id));
	struct itimerspec bad = {{0, 0}, {0, 1000000000}};
	r = sys(timer_settime, id, 0, &bad, NULL);
	bad = (struct itimerspec){{0, -1}, {1, 0}};
	observe("bad_nsec", "timer_settime", ret_int(r), ARGS(f_int("nsec", 1000000000)), STATE(f_errno("interval", err_of(sys(timer_settime, id, 0, &bad, NULL)))));
	must(arm(id, 1, 1));
	pause.tv_nsec = 60000000;
	must(sys(nanosleep, &pause, NULL));
	memset(&info, 0, sizeof info);
	signal = sys(rt_sigtimedwait, &wanted, &info, &limit, 8);
	long overrun = sys(timer_getoverrun, id);
	observe("overrun", "rt_sigtimedwait", ret_int(signal), ARGS(), STATE(f_bool("many", info.si_overrun >= 40), f_bool("same", info.si_overrun == overrun), f_hex("value", (uint64_t)info.si_value.sival_ptr)));
	r = arm(id, 0, 50000);
	sys(rt_sigtimedwait, &wanted, NULL, &none, 8);
	must(sys(timer_gettime, id, &now));
	observe("rearmed", "timer_settime", ret_int(r), ARGS(), STATE(f_int("interval", ns(&now.it_interval)), f_dur("left", ns(&now.it_value), 20000000000, 50000000000)));
	r = arm(id, 5000, 0);
	must(sys(timer_gettime, id, &now));
	observe("disarmed", "timer_settime", ret_int(r), ARGS(f_int("value", 0)), STATE(f_int("left", ns(&now.it_value)), f_int("interval", ns(&now.it_interval))));
	must(arm(id, 0, 1));
	until = now_ns() + 3000000000;
	while (!(pending_signals() & SIGBIT(SIGUSR2)) && now_ns() < until)
		;
	r = sys(timer_delete, id);
	observe("deleted_pending", "timer_delete", ret_int(r), ARGS(), STATE(f_errno("again", err_of(sys(timer_getoverrun, id)))));
	sys(rt_sigtimedwait, &wanted, NULL, &none, 8);
	must(create(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGUSR2, 0, 1, &id));
	struct itimerspec far = spec(0, 100000), old = {0};
	r = sys(timer_settime, id, 0xf0, &far, &old);
	observe("settime_flags", "timer_settime", ret_int(r), ARGS(f_hex("flags", 0xf0)), STATE(f_int("old", ns(&old.it_value))));
	far = spec(0, 60000);
	r = sys(timer_settime, id, 0, &far, (void *)8);
	must(sys(timer_gettime, id, &now));
	observe("settime_fault", "timer_settime", ret_int(r), ARGS(), STATE(f_errno("new", err_of(sys(timer_settime, id, 0, NULL, NULL))), f_errno("missing", err_of(sys(timer_settime, 77, 0, 8, NULL))), f_dur("left", ns(&now.it_value), 40000000000, 60000000000)));
	observe("create_fault", "timer_create", ret_int(sys(timer_create, CLOCK_MONOTONIC, NULL, 8)), ARGS(), STATE(f_errno("event", err_of(sys(timer_create, CLOCK_MONOTONIC, 8, &second)))));
	int cpu;
	r = create(CLOCK_PROCESS_CPUTIME_ID, SIGEV_SIGNAL, SIGUSR1, 0, 9, &cpu);
	must(arm(cpu, 0, 20));
	int64_t start = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	while (clock_ns(CLOCK_PROCESS_CPUTIME_ID) - start < 120000000)
		;
	signal = sys(rt_sigtimedwait, &wanted, &info, &limit, 8);
	observe("cpu", "timer_create", ret_int(r), ARGS(f_int("clock", CLOCK_PROCESS_CPUTIME_ID)), STATE(f_int("signal", signal), f_int("value", info.si_value.sival_int)));
	int64_t theirs;
	/* Not before its clock says that it has done what it does: its state may be that of one that has not begun. */
	for (int64_t begin = clock_ns(CLOCK_MONOTONIC); (theirs = clock_of((~pid << 3) | 2, &r)) < 100000000 && r == 0;)
		if (clock_ns(CLOCK_MONOTONIC) - begin > 10000000000)
			break;
	await_sleep(pid, pid);
	observe("foreign_clock", "clock_gettime", ret_int(r), ARGS(), STATE(f_dur("child", theirs, 90000000, 5000000000), f_rel("than_own", clock_ns(CLOCK_PROCESS_CPUTIME_ID) / 1000000000, 1000)));
	long me = sys(getpid);
	int64_t mine = clock_of((~me << 3) | 2, &r);
	observe("process_clock", "clock_gettime", ret_int(r), ARGS(), STATE(f_dur("apart", clock_ns(CLOCK_PROCESS_CPUTIME_ID) - mine, 0, 1000000000)));
	mine = clock_of((~me << 3) | 6, &r);
	observe("thread_clock", "clock_gettime", ret_int(r), ARGS(), STATE(f_dur("apart", clock_ns(CLOCK_THREAD_CPUTIME_ID) - mine, 0, 1000000000)));
	clock_of((~pid << 3) | 6, &r);
	observe("foreign_thread_clock", "clock_gettime", ret_int(r), ARGS(), STATE());
	struct timespec res;
	long missing = (long)(~(1ul << 22) << 3 | 2);
	clock_of((~me << 3) | 3, &r);
	observe("bad_clocks", "clock_gettime", ret_int(r), ARGS(), STATE(f_errno("res", err_of(sys(clock_getres, (~pid << 3) | 6, &res))), f_errno("missing", err_of(sys(clock_gettime, missing, &res)))));
	must(sys(kill, pid, SIGKILL));
	reap(pid);
}
