/* The queues: which signal comes first, how often, and what their limit does. */
#include "probe.h"

static struct {
	int signo, value;
} got[64];
static volatile int count;

static void handler(int signo, siginfo_t *info, void *context)
{
	(void)context;
	if (count < 64) {
		got[count].signo = signo;
		got[count].value = info->si_code == SI_QUEUE ? info->si_value.sival_int : info->si_code;
	}
	count++;
}

static long queue(int signal, int value)
{
	siginfo_t info = {.si_code = SI_QUEUE};
	info.si_value.sival_int = value;
	return sys(rt_sigqueueinfo, sys(getpid), signal, &info);
}

static long take(uint64_t wanted, siginfo_t *info)
{
	struct timespec none = {0, 0};
	return sys(rt_sigtimedwait, &wanted, info, &none, 8);
}

static void report(const char *id, const char *call, long r)
{
	static struct value order[64], pair[64][2];
	int n = count < 64 ? count : 64;
	for (int i = 0; i < n; i++) {
		pair[i][0] = v_int(got[i].signo);
		pair[i][1] = v_int(got[i].value);
		order[i] = v_items_(V_LIST, pair[i], 2);
	}
	observe(id, call, ret_int(r), ARGS(), STATE(f_int("count", count), f_value("order", v_items_(V_LIST, order, (size_t)n))));
	count = 0;
}

/* Blocks everything, sends, and lets it all come at once; handlers block everything too, so that the last frame runs first. */
static const uint64_t all = ~0ull;

PROBE("signal/queue", "exceptions_first", "lowest_first", "first_realtime", "merged", "own_before_shared", "both_pending", "limit", "limit_kill", "limit_standard", "other_limit")
{
	static const int used[] = {SIGHUP, SIGUSR1, SIGSEGV, SIGFPE, SIGTERM, SIGCHLD, 32, 33, 40, 64};
	for (size_t i = 0; i < countof(used); i++)
		on_signal(used[i], handler, 0, all);
	long me = sys(getpid), r;
	mask_signals(SIG_BLOCK, all);
	static const int exceptions[] = {SIGHUP, SIGUSR1, SIGSEGV, SIGFPE, 40};
	for (size_t i = 0; i < countof(exceptions); i++)
		must(sys(kill, me, exceptions[i]));
	/* Taken one at a time, without a handler's frames. */
	struct value order[countof(exceptions)];
	for (size_t i = 0; i < countof(exceptions); i++)
		order[i] = v_int(take(all, NULL));
	observe("exceptions_first", "rt_sigtimedwait", ret_int(0), ARGS(), STATE(f_value("order", v_items_(V_LIST, order, countof(order)))));
	static const int mixed[] = {64, 40, SIGTERM, 32, SIGHUP, 40};
	for (size_t i = 0; i < countof(mixed); i++)
		must(queue(mixed[i], (int)i));
	r = sys(rt_sigprocmask, SIG_UNBLOCK, &all, NULL, 8);
	report("lowest_first", "rt_sigprocmask", r);
	mask_signals(SIG_BLOCK, all);
	for (int i = 1; i <= 3; i++)
		must(queue(32, i));
	for (int i = 1; i <= 2; i++)
		must(sys(kill, me, 33));
	r = sys(rt_sigprocmask, SIG_UNBLOCK, &all, NULL, 8);
	report("first_realtime", "rt_sigqueueinfo", r);
	mask_signals(SIG_BLOCK, all);
	for (int i = 1; i <= 3; i++)
		must(queue(SIGUSR1, i));
	must(sys(kill, me, SIGUSR1));
	r = sys(rt_sigprocmask, SIG_UNBLOCK, &all, NULL, 8);
	report("merged", "rt_sigqueueinfo", r);
	mask_signals(SIG_BLOCK, all);
	must(sys(kill, me, SIGHUP));
	must(sys(tkill, sys(gettid), SIGTERM));
	must(sys(kill, me, SIGTERM));
	observe("both_pending", "rt_sigpending", ret_int(0), ARGS(), STATE(f_hex("pending", pending_signals())));
	siginfo_t info[3] = {0};
	struct value taken[3];
	for (int i = 0; i < 3; i++) {
		long s = take(all, &info[i]);
		taken[i] = v_int(s * 1000 + info[i].si_code);
	}
	observe("own_before_shared", "rt_sigtimedwait", ret_int(0), ARGS(), STATE(f_value("order", v_items_(V_LIST, taken, 3))));
	/* The limit is the user's: one that nobody else is. */
	must(sys(setresuid, 43210, 43210, 43210));
	struct rlimit limit = {3, 3};
	must(sys(setrlimit, RLIMIT_SIGPENDING, &limit));
	struct value answers[5];
	for (int i = 0; i < 5; i++)
		answers[i] = v_errno(err_of(queue(40, i)));
	observe("limit", "rt_sigqueueinfo", ret_int(queue(41, 1)), ARGS(f_int("limit", 3)), STATE(f_value("answers", v_items_(V_LIST, answers, 5)), f_hex("pending", pending_signals())));
	r = sys(kill, me, 64);
	long sig = take(SIGBIT(64), &info[0]);
	observe("limit_kill", "kill", ret_int(r), ARGS(f_int("sig", 64)), STATE(f_int("taken", sig), f_int("code", info[0].si_code), f_int("pid", info[0].si_pid)));
	r = sys(kill, me, SIGUSR1);
	sig = take(SIGBIT(SIGUSR1), &info[0]);
	observe("limit_standard", "kill", ret_int(r), ARGS(f_int("sig", SIGUSR1)), STATE(f_int("taken", sig), f_bool("from_me", info[0].si_pid == me), f_errno("queued", err_of(queue(SIGTERM, 1)))));
	must(take(SIGBIT(40), NULL));
	r = queue(41, 7);
	observe("other_limit", "rt_sigqueueinfo", ret_int(r), ARGS(), STATE(f_errno("again", err_of(queue(41, 8))), f_hex("pending", pending_signals())));
}
