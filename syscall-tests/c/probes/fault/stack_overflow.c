/* The end of the stack faults, and the handler runs on the alternate stack. */
#include "probe.h"

static volatile int on_alternate, code;
static char *alternate;

static void handler(int signo, siginfo_t *info, void *context)
{
	char here;
	(void)signo;
	(void)context;
	on_alternate = &here >= alternate && &here < alternate + 65536;
	code = info->si_code;
	sys(exit_group, 10 + on_alternate * 2 + (code == SEGV_MAPERR || code == SEGV_ACCERR));
}

static int __attribute__((noinline)) descend(volatile char *up, int depth)
{
	volatile char frame[4096];
	frame[0] = up ? up[0] : 0;
	frame[4095] = (char)depth;
	if (depth == INT_MAX)
		return 0;
	return descend(frame, depth + 1) + frame[4095];
}

static int overflow(void *unused)
{
	(void)unused;
	struct rlimit small = {256 * 1024, 256 * 1024}, none = {0, 0};
	sys(prlimit64, 0, RLIMIT_STACK, &small, NULL);
	sys(prlimit64, 0, RLIMIT_CORE, &none, NULL);
	alternate = pages(16, false);
	stack_t s = {.ss_sp = alternate, .ss_size = 65536};
	must(sys(sigaltstack, &s, NULL));
	on_signal(SIGSEGV, handler, SA_ONSTACK, 0);
	return descend(NULL, 0);
}

static int overflow_without(void *unused)
{
	(void)unused;
	struct rlimit small = {256 * 1024, 256 * 1024}, none = {0, 0};
	sys(prlimit64, 0, RLIMIT_STACK, &small, NULL);
	sys(prlimit64, 0, RLIMIT_CORE, &none, NULL);
	alternate = pages(16, false);
	on_signal(SIGSEGV, handler, 0, 0);
	return descend(NULL, 0);
}

PROBE("fault/stack_overflow", "alternate", "no_alternate")
{
	long pid = spawn(overflow, NULL);
	int status = 0;
	long r = sys(wait4, pid, &status, 0, NULL);
	observe("alternate", "wait4", ret_pid(r), ARGS(f_pid("pid", pid)), STATE(f_hex("status", (uint64_t)status)));
	pid = spawn(overflow_without, NULL);
	r = sys(wait4, pid, &status, 0, NULL);
	observe("no_alternate", "wait4", ret_pid(r), ARGS(f_pid("pid", pid)), STATE(f_int("signal", status & 0x7f)));
}
