/* What each signal does to a process that has said nothing about it, and to one that ignores it. */
#include "probe.h"

static int victim(void *arg)
{
	/* In a group that is not orphaned: terminal stops stop it. */
	must(sys(setpgid, 0, 0));
	long signal = (long)arg % 100;
	if ((long)arg >= 100) {
		struct ksigaction ignore = {(void *)SIG_IGN, 0, NULL, 0};
		sys(rt_sigaction, signal, &ignore, NULL, 8);
	}
	sys(kill, sys(getpid), signal);
	return 200;
}

static void sweep(const char *id, long ignored)
{
	static struct value seen[64];
	for (long signal = 1; signal <= 64; signal++) {
		long pid = spawn(victim, (void *)(signal + ignored));
		int status = 0;
		must(sys(wait4, pid, &status, WUNTRACED, NULL));
		seen[signal - 1] = v_hex((uint64_t)status);
		if (WIFSTOPPED(status)) {
			must(sys(kill, pid, SIGKILL));
			must(sys(wait4, pid, &status, 0, NULL));
		}
	}
	observe(id, "kill", ret_int(0), ARGS(), STATE(f_value("status", v_items_(V_LIST, seen, 64))));
}

PROBE("signal/default_actions", "default", "ignored")
{
	sweep("default", 0);
	sweep("ignored", 100);
}
