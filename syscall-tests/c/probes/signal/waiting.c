/* Calls that wait for signals: what ends them, what they take, which mask is in force meanwhile and afterwards. */
#include "probe.h"

static volatile int handled, seen_signal;
static uint64_t during;

static void handler(int signo, siginfo_t *info, void *context)
{
	(void)info;
	(void)context;
	uint64_t mask = 0;
	sys(rt_sigprocmask, SIG_BLOCK, NULL, &mask, 8);
	during = mask;
	seen_signal = signo;
	handled++;
}

static uint64_t mask_now(void)
{
	uint64_t mask = 0;
	sys(rt_sigprocmask, SIG_BLOCK, NULL, &mask, 8);
	return mask;
}

struct order {
	int first, second;
	bool directed;
};

/* Sends what is ordered, each once the parent sleeps. */
static int sender(void *arg)
{
	const struct order *order = arg;
	long parent = sys(getppid);
	await_sleep(parent, parent);
	long r = order->directed ? sys(tkill, parent, order->first) : sys(kill, parent, order->first);
	if (order->second && r == 0) {
		await_sleep(parent, parent);
		r = sys(kill, parent, order->second);
	}
	return err_of(r);
}

static void wait_with(const char *id, struct order order, uint64_t wanted, long seconds)
{
	struct timespec limit = {seconds, 0};
	siginfo_t info = {0};
	handled = 0;
	long pid = spawn(sender, &order);
	long r = sys(rt_sigtimedwait, &wanted, &info, seconds ? &limit : NULL, 8);
	int status = reap(pid);
	observe(id, "rt_sigtimedwait", ret_int(r), ARGS(f_hex("wanted", wanted), f_int("first", order.first), f_int("second", order.second)),
		STATE(f_int("handled", handled), f_int("code", info.si_code), f_bool("sender", info.si_pid == pid), f_hex("status", (uint64_t)status), f_hex("mask", mask_now()), f_hex("pending", pending_signals())));
}

static void suspend_with(const char *id, struct order order, uint64_t mask)
{
	handled = 0;
	during = 0;
	long pid = spawn(sender, &order);
	long r = sys(rt_sigsuspend, &mask, 8);
	int status = reap(pid);
	observe(id, "rt_sigsuspend", ret_int(r), ARGS(f_hex("mask", mask), f_int("first", order.first), f_int("second", order.second)),
		STATE(f_int("handled", handled), f_int("last", seen_signal), f_hex("during", during), f_hex("after", mask_now()), f_hex("pending", pending_signals()), f_hex("status", (uint64_t)status)));
}

PROBE("signal/waiting", "arrives", "directed", "unwanted_handled", "unblocked_wanted", "ignored_first", "lowest", "unwanted_stays", "kill_wanted", "time_first", "sizes", "faults", "suspend", "suspend_ignored", "suspend_two", "suspend_unblockable", "suspend_fault", "pause_ignored")
{
	struct ksigaction ignore = {(void *)SIG_IGN, 0, NULL, 0};
	on_signal(SIGUSR1, handler, SA_RESTART, 0);
	on_signal(SIGUSR2, handler, SA_RESTART, SIGBIT(SIGTERM));
	on_signal(SIGTERM, handler, 0, 0);
	must(sys(rt_sigaction, SIGURG, &ignore, NULL, 8));
	mask_signals(SIG_BLOCK, SIGBIT(SIGUSR1) | SIGBIT(40));
	wait_with("arrives", (struct order){SIGUSR1, 0, false}, SIGBIT(SIGUSR1), 0);
	wait_with("directed", (struct order){SIGUSR1, 0, true}, SIGBIT(SIGUSR1) | SIGBIT(40), 5);
	wait_with("unwanted_handled", (struct order){SIGUSR2, 0, false}, SIGBIT(SIGUSR1), 5);
	/* Wanted but not blocked: taken all the same, without its handler. */
	wait_with("unblocked_wanted", (struct order){SIGUSR2, 0, false}, SIGBIT(SIGUSR2), 5);
	wait_with("ignored_first", (struct order){SIGURG, SIGUSR1, false}, SIGBIT(SIGUSR1), 5);
	struct timespec none = {0, 0};
	uint64_t wanted = SIGBIT(SIGUSR1) | SIGBIT(40);
	must(sys(kill, sys(getpid), 40));
	must(sys(kill, sys(getpid), SIGUSR1));
	long first = sys(rt_sigtimedwait, &wanted, NULL, &none, 8), second = sys(rt_sigtimedwait, &wanted, NULL, &none, 8);
	observe("lowest", "rt_sigtimedwait", ret_int(first), ARGS(), STATE(f_int("second", second), f_errno("third", err_of(sys(rt_sigtimedwait, &wanted, NULL, &none, 8)))));
	must(sys(kill, sys(getpid), SIGUSR1));
	wanted = SIGBIT(40);
	long r = sys(rt_sigtimedwait, &wanted, NULL, &none, 8);
	observe("unwanted_stays", "rt_sigtimedwait", ret_int(r), ARGS(), STATE(f_hex("pending", pending_signals())));
	wanted = SIGBIT(SIGUSR1) | SIGBIT(SIGKILL) | SIGBIT(SIGSTOP);
	r = sys(rt_sigtimedwait, &wanted, NULL, &none, 8);
	observe("kill_wanted", "rt_sigtimedwait", ret_int(r), ARGS(f_hex("wanted", wanted)), STATE(f_hex("pending", pending_signals())));
	must(sys(kill, sys(getpid), SIGUSR1));
	struct timespec bad = {0, 1000000000};
	wanted = SIGBIT(SIGUSR1);
	r = sys(rt_sigtimedwait, &wanted, NULL, &bad, 8);
	observe("time_first", "rt_sigtimedwait", ret_int(r), ARGS(f_int("nsec", 1000000000)), STATE(f_hex("pending", pending_signals())));
	observe("sizes", "rt_sigtimedwait", ret_int(sys(rt_sigtimedwait, &wanted, NULL, &none, 4)), ARGS(f_uint("size", 4)), STATE(f_errno("suspend", err_of(sys(rt_sigsuspend, &wanted, 4))), f_errno("mask", err_of(sys(rt_sigprocmask, SIG_BLOCK, &wanted, NULL, 4))), f_errno("action", err_of(sys(rt_sigaction, SIGUSR1, NULL, NULL, 16)))));
	r = sys(rt_sigtimedwait, 8, NULL, &none, 8);
	observe("faults", "rt_sigtimedwait", ret_int(r), ARGS(), STATE(f_errno("time", err_of(sys(rt_sigtimedwait, &wanted, NULL, 8, 8))), f_errno("info", err_of(sys(rt_sigtimedwait, &wanted, 8, &none, 8))), f_hex("taken", pending_signals())));
	sys(rt_sigtimedwait, &wanted, NULL, &none, 8);
	suspend_with("suspend", (struct order){SIGUSR1, 0, false}, SIGBIT(SIGUSR2));
	suspend_with("suspend_ignored", (struct order){SIGURG, SIGUSR2, false}, SIGBIT(SIGUSR1));
	/* The blocked one waits for the other; then it is blocked by the old mask again. */
	suspend_with("suspend_two", (struct order){SIGUSR1, SIGUSR2, false}, SIGBIT(SIGUSR1) | SIGBIT(40));
	wanted = SIGBIT(SIGUSR1);
	sys(rt_sigtimedwait, &wanted, NULL, &none, 8);
	suspend_with("suspend_unblockable", (struct order){SIGUSR2, 0, true}, ~SIGBIT(SIGUSR2));
	observe("suspend_fault", "rt_sigsuspend", ret_int(sys(rt_sigsuspend, 8, 8)), ARGS(), STATE(f_hex("mask", mask_now())));
	handled = 0;
	struct order order = {SIGURG, SIGUSR2, false};
	long pid = spawn(sender, &order);
	r = sys(pause);
	reap(pid);
	observe("pause_ignored", "pause", ret_int(r), ARGS(), STATE(f_int("handled", handled), f_hex("mask", mask_now())));
}
