/* What is left of a sleep: after a handler, after stops, with the relative and the absolute clock. */
#include "probe.h"

#define MS 1000000L

static volatile int handled;
static void handler(int signo, siginfo_t *info, void *context)
{
	(void)signo;
	(void)info;
	(void)context;
	handled++;
}

static int after_a_while(void *pid)
{
	struct timespec pause = {0, 300 * MS};
	await_sleep((long)pid, (long)pid);
	sys(nanosleep, &pause, NULL);
	return err_of(sys(kill, (long)pid, SIGUSR1));
}

static int64_t ns(const struct timespec *t) { return t->tv_sec * 1000000000L + t->tv_nsec; }

static int sleep_one(void *clock)
{
	struct timespec second = {1, 0};
	if (clock)
		return err_of(sys(clock_nanosleep, CLOCK_MONOTONIC, 0, &second, NULL));
	return err_of(sys(nanosleep, &second, NULL));
}

/* Stopped and resumed again and again, a sleep of a second still takes one. */
static void with_stops(const char *id, const char *call, bool clock)
{
	struct timespec pause = {0, 100 * MS};
	int64_t start = now_ns();
	long pid = spawn(sleep_one, clock ? (void *)1 : NULL);
	int status = 0;
	for (int i = 0; i < 60 && must(sys(wait4, pid, &status, WNOHANG, NULL)) == 0; i++) {
		sys(kill, pid, SIGSTOP);
		sys(kill, pid, SIGCONT);
		sys(nanosleep, &pause, NULL);
		if (i == 59)
			status = reap(pid);
	}
	observe(id, call, ret_int(0), ARGS(), STATE(f_hex("status", (uint64_t)status), f_dur("took", now_ns() - start, 990 * MS, 4000 * MS)));
}

PROBE("time/sleep_rest", "nanosleep", "clock_nanosleep", "no_rest", "same_place", "rest_bad", "stops", "stops_clock", "flags")
{
	on_signal(SIGUSR1, handler, SA_RESTART, 0);
	long me = sys(getpid);
	struct timespec long_ = {100, 0}, rest = {7, 7};
	long pid = spawn(after_a_while, (void *)me);
	long r = sys(nanosleep, &long_, &rest);
	reap(pid);
	observe("nanosleep", "nanosleep", ret_int(r), ARGS(), STATE(f_int("handled", handled), f_dur("rest", ns(&rest), 50000 * MS, 99710 * MS)));
	pid = spawn(after_a_while, (void *)me);
	r = sys(clock_nanosleep, CLOCK_MONOTONIC, 0, &long_, &rest);
	reap(pid);
	observe("clock_nanosleep", "clock_nanosleep", ret_int(r), ARGS(), STATE(f_int("handled", handled), f_dur("rest", ns(&rest), 50000 * MS, 99710 * MS)));
	pid = spawn(after_a_while, (void *)me);
	r = sys(nanosleep, &long_, NULL);
	reap(pid);
	observe("no_rest", "nanosleep", ret_int(r), ARGS(), STATE(f_int("handled", handled)));
	struct timespec both = {100, 0};
	pid = spawn(after_a_while, (void *)me);
	r = sys(nanosleep, &both, &both);
	reap(pid);
	observe("same_place", "nanosleep", ret_int(r), ARGS(), STATE(f_dur("rest", ns(&both), 50000 * MS, 99710 * MS)));
	pid = spawn(after_a_while, (void *)me);
	r = sys(nanosleep, &long_, (void *)8);
	reap(pid);
	observe("rest_bad", "nanosleep", ret_int(r), ARGS(), STATE(f_int("handled", handled)));
	with_stops("stops", "nanosleep", false);
	with_stops("stops_clock", "clock_nanosleep", true);
	struct timespec tiny = {0, 1};
	observe("flags", "clock_nanosleep", ret_int(sys(clock_nanosleep, CLOCK_MONOTONIC, 0x10, &tiny, NULL)), ARGS(f_hex("flags", 0x10)), STATE(f_errno("bad_pointer", err_of(sys(clock_nanosleep, CLOCK_MONOTONIC, 0, 8, NULL)))));
}
