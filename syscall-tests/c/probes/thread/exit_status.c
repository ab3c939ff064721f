/* Whose status a process ends with: the leader's, the last thread's, or that of whoever ended it as a whole. */
#include "probe.h"

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

/* Until the leader has ended: it is a zombie then. */
static void leader_gone(void)
{
	char path[64], text[512];
	snprintf(path, sizeof path, "/proc/self/task/%ld/stat", sys(getpid));
	for (char *at;;) {
		long n = get_file(path, text, sizeof text - 1);
		if (n <= 0)
			return;
		text[n] = 0;
		if ((at = strrchr(text, ')')) != NULL && at[2] == 'Z')
			return;
		sys(sched_yield);
	}
}

static int last(void *how)
{
	leader_gone();
	if ((long)how == 1)
		sys(exit_group, 9);
	if ((long)how == 2)
		sys(tkill, sys(gettid), SIGTERM);
	if ((long)how == 3)
		sys(kill, sys(getpid), SIGKILL);
	return 7;
}

static int first(void *unused)
{
	(void)unused;
	return 8;
}

static int forever(void *unused)
{
	(void)unused;
	pass(1);
	for (;;)
		sys(pause);
	return 0;
}

static long go(int which)
{
	long pid = must(sys(fork));
	if (pid == 0) {
		struct thread t;
		stage = 0;
		switch (which) {
		case 4:
			thread_start(&t, first, NULL);
			thread_join(&t);
			sys(exit, 5);
			break;
		case 5:
			thread_start(&t, forever, NULL);
			wait_for(1);
			sys(exit_group, 6);
			break;
		default:
			thread_start(&t, last, (void *)(long)which);
			sys(exit, 5);
		}
	}
	return pid;
}

PROBE("thread/exit_status", "last_thread", "exit_group", "killed_by_signal", "killed", "leader_last", "group_of_leader", "no_report_yet")
{
	static const char *const ids[] = {"last_thread", "exit_group", "killed_by_signal", "killed", "leader_last", "group_of_leader"};
	for (int i = 0; i < 6; i++) {
		siginfo_t info = {0};
		long pid = go(i);
		must(sys(waitid, P_PID, pid, &info, WEXITED | WNOWAIT, NULL));
		int status = reap(pid);
		observe(ids[i], i == 1 || i == 5 ? "exit_group" : "exit", ret_int(0), ARGS(), STATE(f_hex("status", (uint64_t)status), f_int("code", info.si_code), f_int("value", info.si_status)));
	}
	int p[2];
	make_pipe(p, 0);
	long pid = must(sys(fork));
	if (pid == 0) {
		struct thread t;
		stage = 0;
		thread_start(&t, forever, NULL);
		wait_for(1);
		must(sys(write, p[1], "r", 1));
		sys(exit, 5);
	}
	char c;
	must(sys(read, p[0], &c, 1));
	int status = 0;
	long r = sys(wait4, pid, &status, WNOHANG, NULL);
	must(sys(kill, pid, SIGKILL));
	observe("no_report_yet", "wait4", ret_int(r), ARGS(f_hex("options", WNOHANG)), STATE(f_hex("status", (uint64_t)reap(pid))));
}
