/* Setting what a signal does: flags and masks that are kept, and what becomes of what is pending or ignored. */
#include "probe.h"

static void handler(int signo, siginfo_t *info, void *context)
{
	(void)signo;
	(void)info;
	(void)context;
}

static struct ksigaction now(int signal)
{
	struct ksigaction a = {0};
	must(sys(rt_sigaction, signal, NULL, &a, 8));
	return a;
}

static long set(int signal, void *to)
{
	struct ksigaction a = {.handler = (void (*)(int, siginfo_t *, void *))to};
	return sys(rt_sigaction, signal, &a, NULL, 8);
}

static int32_t stage;
static void pass(int32_t to)
{
	__atomic_store_n(&stage, to, __ATOMIC_SEQ_CST);
	sys(futex, &stage, FUTEX_WAKE, 10);
}
static void wait_for(int32_t want)
{
	for (int32_t v; (v = __atomic_load_n(&stage, __ATOMIC_SEQ_CST)) < want;)
		sys(futex, &stage, FUTEX_WAIT, v, NULL);
}

static uint64_t in_thread;

static int thread(void *unused)
{
	(void)unused;
	sys(tgkill, sys(getpid), sys(gettid), SIGUSR2);
	pass(1);
	wait_for(2);
	uint64_t set = 0;
	sys(rt_sigpending, &set, 8);
	in_thread = set;
	return 0;
}

PROBE("signal/disposition", "flags", "mask", "old", "only_ask", "ask_kill", "signal_zero", "default_of_ignored", "default_of_fatal", "ignored_for_thread", "blocked_and_ignored", "taken", "released", "pending_size")
{
	struct ksigaction a = {handler, ~0ul, sig_restorer, ~0ull}, old = {0};
	long r = sys(rt_sigaction, SIGUSR1, &a, &old, 8);
	struct ksigaction kept = now(SIGUSR1);
	observe("flags", "rt_sigaction", ret_int(r), ARGS(f_hex("flags", ~0ul)), STATE(f_hex("flags", kept.flags), f_bool("handler", kept.handler == handler), f_bool("restorer", kept.restorer == sig_restorer)));
	observe("mask", "rt_sigaction", ret_int(r), ARGS(f_hex("mask", ~0ull)), STATE(f_hex("mask", kept.mask)));
	a = (struct ksigaction){(void *)SIG_DFL, SA_NODEFER, NULL, 5};
	r = sys(rt_sigaction, SIGUSR1, &a, &old, 8);
	kept = now(SIGUSR1);
	observe("old", "rt_sigaction", ret_int(r), ARGS(), STATE(f_bool("old", old.handler == handler), f_hex("old_mask", old.mask), f_bool("now", kept.handler == (void *)SIG_DFL), f_hex("flags", kept.flags), f_hex("mask", kept.mask)));
	observe("only_ask", "rt_sigaction", ret_int(sys(rt_sigaction, SIGUSR1, NULL, NULL, 8)), ARGS(), STATE());
	observe("ask_kill", "rt_sigaction", ret_int(sys(rt_sigaction, SIGKILL, NULL, &old, 8)), ARGS(f_int("sig", SIGKILL)), STATE(f_bool("default", old.handler == (void *)SIG_DFL)));
	observe("signal_zero", "rt_sigaction", ret_int(sys(rt_sigaction, 0, NULL, &old, 8)), ARGS(f_int("sig", 0)), STATE());
	/* What is ignored by default is dropped when the default is set; what is not stays. */
	mask_signals(SIG_BLOCK, SIGBIT(SIGCHLD) | SIGBIT(SIGUSR1) | SIGBIT(SIGUSR2) | SIGBIT(SIGWINCH));
	must(sys(kill, sys(getpid), SIGCHLD));
	must(sys(kill, sys(getpid), SIGUSR1));
	uint64_t before = pending_signals();
	r = set(SIGCHLD, (void *)SIG_DFL);
	observe("default_of_ignored", "rt_sigaction", ret_int(r), ARGS(f_int("sig", SIGCHLD)), STATE(f_hex("before", before), f_hex("after", pending_signals())));
	r = set(SIGUSR1, (void *)SIG_DFL);
	observe("default_of_fatal", "rt_sigaction", ret_int(r), ARGS(f_int("sig", SIGUSR1)), STATE(f_hex("after", pending_signals())));
	must(set(SIGUSR1, (void *)SIG_IGN));
	struct thread t;
	thread_start(&t, thread, NULL);
	wait_for(1);
	r = set(SIGUSR2, (void *)SIG_IGN);
	pass(2);
	thread_join(&t);
	observe("ignored_for_thread", "rt_sigaction", ret_int(r), ARGS(f_int("sig", SIGUSR2)), STATE(f_hex("thread", in_thread), f_hex("main", pending_signals())));
	/* A blocked signal waits although it is ignored: somebody may want it. */
	must(sys(kill, sys(getpid), SIGUSR2));
	r = sys(kill, sys(getpid), SIGWINCH);
	observe("blocked_and_ignored", "kill", ret_int(r), ARGS(), STATE(f_hex("pending", pending_signals())));
	uint64_t wanted = SIGBIT(SIGUSR2);
	struct timespec none = {0, 0};
	r = sys(rt_sigtimedwait, &wanted, NULL, &none, 8);
	observe("taken", "rt_sigtimedwait", ret_int(r), ARGS(), STATE(f_hex("pending", pending_signals())));
	mask_signals(SIG_UNBLOCK, SIGBIT(SIGWINCH));
	observe("released", "rt_sigprocmask", ret_int(0), ARGS(), STATE(f_hex("pending", pending_signals())));
	uint64_t word = ~0ull;
	must(sys(tkill, sys(gettid), SIGUSR1));
	must(sys(kill, sys(getpid), SIGCHLD));
	r = sys(rt_sigpending, &word, 3);
	observe("pending_size", "rt_sigpending", ret_int(r), ARGS(f_uint("size", 3)), STATE(f_hex("set", word), f_errno("larger", err_of(sys(rt_sigpending, &word, 16)))));
}
