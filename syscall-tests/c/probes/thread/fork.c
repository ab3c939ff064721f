/* fork from a thread copies only that thread. */
#include "probe.h"

static volatile long child;

static int sleeper(void *unused)
{
	(void)unused;
	sys(pause);
	return 0;
}

static int forker(void *unused)
{
	(void)unused;
	long pid = sys(fork);
	if (pid == 0) {
		char text[16] = "";
		proc_status(0, "Threads", text, sizeof text);
		sys(exit_group, (sys(getpid) == sys(gettid)) * 10 + atoi(text));
	}
	child = pid;
	return 0;
}

PROBE("thread/fork", "alone", "parent_is_process")
{
	struct thread a, b;
	thread_start(&a, sleeper, NULL);
	await_sleep(sys(getpid), a.tid);
	thread_start(&b, forker, NULL);
	thread_join(&b);
	int status = 0;
	long r = sys(wait4, child, &status, 0, NULL);
	observe("alone", "fork", ret_pid(child), ARGS(), STATE(f_hex("status", (uint64_t)status)));
	observe("parent_is_process", "wait4", ret_pid(r), ARGS(), STATE(f_bool("same", r == child)));
}
