/* What is blocked while a handler runs, by its flags, and what is left of them afterwards. */
#include "probe.h"

static uint64_t during;
static volatile int calls, code;

static void handler(int signo, siginfo_t *info, void *context)
{
	(void)signo;
	(void)context;
	uint64_t mask = 0;
	sys(rt_sigprocmask, SIG_BLOCK, NULL, &mask, 8);
	during = mask;
	code = info->si_code;
	calls++;
}

static void nested(int signo, siginfo_t *info, void *context)
{
	(void)info;
	(void)context;
	if (++calls < 3)
		sys(tkill, sys(gettid), signo);
}

static void try(const char *id, unsigned long flags, uint64_t mask)
{
	calls = 0;
	on_signal(SIGUSR1, handler, flags, mask);
	long r = sys(tkill, sys(gettid), SIGUSR1);
	struct ksigaction left = {0};
	uint64_t after = 0;
	must(sys(rt_sigaction, SIGUSR1, NULL, &left, 8));
	sys(rt_sigprocmask, SIG_BLOCK, NULL, &after, 8);
	observe(id, "rt_sigaction", ret_int(r), ARGS(f_hex("flags", flags), f_hex("mask", mask)),
		STATE(f_int("calls", calls), f_hex("during", during), f_hex("after", after), f_bool("kept", left.handler == handler), f_hex("flags_left", left.flags), f_hex("mask_left", left.mask)));
}

PROBE("signal/handler_flags", "plain", "mask", "nodefer", "nodefer_mask", "nodefer_own_in_mask", "resethand", "resethand_nodefer", "nested", "reset_twice", "whole_mask")
{
	uint64_t other = SIGBIT(SIGUSR2) | SIGBIT(SIGTERM);
	try("plain", 0, 0);
	try("mask", 0, other);
	try("nodefer", SA_NODEFER, 0);
	try("nodefer_mask", SA_NODEFER, other);
	try("nodefer_own_in_mask", SA_NODEFER, other | SIGBIT(SIGUSR1));
	try("resethand", SA_RESETHAND, other);
	try("resethand_nodefer", SA_RESETHAND | SA_NODEFER, other);
	calls = 0;
	on_signal(SIGUSR1, nested, SA_NODEFER, 0);
	long r = sys(tkill, sys(gettid), SIGUSR1);
	observe("nested", "tkill", ret_int(r), ARGS(f_hex("flags", SA_NODEFER)), STATE(f_int("calls", calls)));
	long pid = must(sys(fork));
	if (pid == 0) {
		on_signal(SIGUSR1, handler, SA_RESETHAND, 0);
		sys(tkill, sys(gettid), SIGUSR1);
		sys(tkill, sys(gettid), SIGUSR1);
		sys(exit_group, 3);
	}
	int status = reap(pid);
	observe("reset_twice", "tkill", ret_int(0), ARGS(f_hex("flags", SA_RESETHAND)), STATE(f_hex("status", (uint64_t)status)));
	try("whole_mask", 0, ~0ull);
}
