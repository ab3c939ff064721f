/* A fault without a handler, or with the signal blocked or ignored, ends the process by that signal. */
#include "probe.h"

static int fault(void *how)
{
	long kind = (long)how;
	struct rlimit none = {0, 0};
	sys(prlimit64, 0, RLIMIT_CORE, &none, NULL);
	if (kind == 1)
		mask_signals(SIG_BLOCK, SIGBIT(SIGSEGV));
	if (kind == 2) {
		struct ksigaction ignore = {(void *)SIG_IGN, 0, NULL, 0};
		must(sys(rt_sigaction, SIGSEGV, &ignore, NULL, 8));
	}
	if (kind == 3)
		__asm__ volatile("ud2");
	*(volatile char *)8 = 1;
	return 0;
}

PROBE("fault/fatal", "default", "blocked", "ignored", "illegal")
{
	const char *const ids[] = {"default", "blocked", "ignored", "illegal"};
	for (long i = 0; i < 4; i++) {
		long pid = spawn(fault, (void *)i);
		int status = 0;
		long r = sys(wait4, pid, &status, 0, NULL);
		observe(ids[i], "wait4", ret_pid(r), ARGS(f_pid("pid", pid)), STATE(f_int("signal", status & 0x7f), f_int("exit", WEXITSTATUS(status))));
	}
}
