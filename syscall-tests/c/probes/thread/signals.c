/* Masks are per thread, a directed signal waits for its thread, a process's goes to one that takes it. */
#include "probe.h"

static volatile long handled_by, tid;
static int32_t stage;

static void handler(int signo, siginfo_t *info, void *context)
{
	(void)signo;
	(void)info;
	(void)context;
	handled_by = sys(gettid);
}

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

static int body(void *pending)
{
	tid = sys(gettid);
	mask_signals(SIG_BLOCK, SIGBIT(SIGUSR1));
	pass(1);
	wait_for(2);
	*(uint64_t *)pending = pending_signals();
	mask_signals(SIG_UNBLOCK, SIGBIT(SIGUSR1));
	pass(3);
	wait_for(4);
	return 0;
}

PROBE("thread/signals", "directed", "delivered", "process_wide", "wrong_group", "bad_pid", "bad_signal")
{
	static uint64_t pending;
	on_signal(SIGUSR1, handler, 0, 0);
	struct thread t;
	thread_start(&t, body, &pending);
	wait_for(1);
	long r = sys(tgkill, sys(getpid), tid, SIGUSR1);
	long before = handled_by;
	uint64_t main_pending = pending_signals();
	observe("directed", "tgkill", ret_int(r), ARGS(f_int("sig", SIGUSR1)), STATE(f_int("handled", before), f_hex("main_pending", main_pending)));
	pass(2);
	wait_for(3);
	observe("delivered", "rt_sigpending", ret_int(0), ARGS(), STATE(f_hex("pending", pending), f_rel("by", handled_by, tid)));
	handled_by = 0;
	mask_signals(SIG_BLOCK, SIGBIT(SIGUSR1));
	r = sys(kill, sys(getpid), SIGUSR1);
	pass(4);
	thread_join(&t);
	observe("process_wide", "kill", ret_int(r), ARGS(f_int("sig", SIGUSR1)), STATE(f_rel("by", handled_by, tid)));
	observe("wrong_group", "tgkill", ret_int(sys(tgkill, 1 << 22, sys(getpid), 0)), ARGS(), STATE());
	observe("bad_pid", "tgkill", ret_int(sys(tgkill, 0, sys(getpid), 0)), ARGS(f_int("tgid", 0)), STATE());
	observe("bad_signal", "tkill", ret_int(sys(tkill, sys(gettid), 65)), ARGS(f_int("sig", 65)), STATE());
}
