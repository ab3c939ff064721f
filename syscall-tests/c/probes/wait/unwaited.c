/* Children that nobody waits for: SIGCHLD ignored or with SA_NOCLDWAIT, which signals come all the same, and when a wait gives up. */
#include "probe.h"

static volatile int handled, code;
static void handler(int signo, siginfo_t *info, void *context)
{
	(void)signo;
	(void)context;
	code = info->si_code;
	handled++;
}

static int leave(void *status) { return (int)(long)status; }

static void set(void *action, unsigned long flags)
{
	struct ksigaction a = {.handler = (void (*)(int, siginfo_t *, void *))action, .flags = flags | SA_SIGINFO | SA_RESTORER_, .restorer = sig_restorer};
	must(sys(rt_sigaction, SIGCHLD, &a, NULL, 8));
}

static void try(const char *id, void *action, unsigned long flags, uint64_t blocked)
{
	set(action, flags);
	uint64_t before = mask_signals(SIG_SETMASK, blocked);
	handled = code = 0;
	int status = 77;
	long pid = spawn(leave, (void *)5);
	long r = sys(wait4, pid, &status, 0, NULL);
	uint64_t pending = pending_signals();
	uint64_t wanted = SIGBIT(SIGCHLD);
	struct timespec none = {0, 0};
	sys(rt_sigtimedwait, &wanted, NULL, &none, 8);
	mask_signals(SIG_SETMASK, before);
	observe(id, "wait4", ret_pid(r), ARGS(f_hex("flags", flags)), STATE(f_hex("status", (uint64_t)status), f_int("handled", handled), f_int("code", code), f_hex("pending", pending)));
}

static int slow(void *unused)
{
	(void)unused;
	long parent = sys(getppid);
	await_sleep(parent, parent);
	return 3;
}

PROBE("wait/unwaited", "default", "ignored", "ignored_blocked", "nocldwait", "nocldwait_default", "nocldwait_blocked", "waits_for_last", "set_later", "other_signal", "usage")
{
	try("default", (void *)SIG_DFL, 0, 0);
	try("ignored", (void *)SIG_IGN, 0, 0);
	try("ignored_blocked", (void *)SIG_IGN, 0, SIGBIT(SIGCHLD));
	try("nocldwait", handler, SA_NOCLDWAIT, 0);
	try("nocldwait_default", (void *)SIG_DFL, SA_NOCLDWAIT, 0);
	try("nocldwait_blocked", handler, SA_NOCLDWAIT, SIGBIT(SIGCHLD));
	set((void *)SIG_IGN, 0);
	int status = 77;
	spawn(leave, (void *)1);
	spawn(slow, NULL);
	long r = sys(wait4, -1, &status, 0, NULL);
	observe("waits_for_last", "wait4", ret_int(r), ARGS(), STATE(f_hex("status", (uint64_t)status)));
	/* One that has ended already stays to be waited for. */
	set((void *)SIG_DFL, 0);
	siginfo_t info = {0};
	long pid = spawn(leave, (void *)6);
	must(sys(waitid, P_PID, pid, &info, WEXITED | WNOWAIT, NULL));
	set((void *)SIG_IGN, 0);
	r = sys(wait4, pid, &status, 0, NULL);
	observe("set_later", "wait4", ret_pid(r), ARGS(), STATE(f_hex("status", (uint64_t)status)));
	struct ksigaction ignore = {(void *)SIG_IGN, 0, NULL, 0};
	must(sys(rt_sigaction, SIGUSR1, &ignore, NULL, 8));
	pid = must(sys(clone, SIGUSR1, 0, 0, 0, 0));
	if (pid == 0)
		sys(exit_group, 4);
	r = sys(wait4, pid, &status, __WALL, NULL);
	observe("other_signal", "wait4", ret_pid(r), ARGS(f_int("exit_signal", SIGUSR1)), STATE(f_hex("status", (uint64_t)status)));
	struct rusage before, after;
	must(sys(getrusage, RUSAGE_CHILDREN, &before));
	pid = must(sys(fork));
	if (pid == 0) {
		while (clock_ns(CLOCK_PROCESS_CPUTIME_ID) < 60000000)
			;
		sys(exit_group, 0);
	}
	r = sys(wait4, pid, &status, 0, NULL);
	must(sys(getrusage, RUSAGE_CHILDREN, &after));
	observe("usage", "getrusage", ret_int(0), ARGS(), STATE(f_errno("wait", err_of(r)), f_dur("children_us", (after.ru_utime.tv_sec - before.ru_utime.tv_sec) * 1000000 + after.ru_utime.tv_usec - before.ru_utime.tv_usec, 0, 30000)));
}
