/* exit ends the one thread, exit_group all; the status is exit_group's, or the last one's. */
#include "probe.h"

static int sleeper(void *unused)
{
	(void)unused;
	sys(pause);
	return 0;
}
static int ender(void *unused)
{
	(void)unused;
	sys(exit_group, 42);
	return 0;
}
static int by_thread(void *unused)
{
	struct thread a, b;
	(void)unused;
	thread_start(&a, sleeper, NULL);
	thread_start(&b, ender, NULL);
	sys(pause);
	return 1;
}
static int leader_first(void *unused)
{
	struct thread t;
	(void)unused;
	thread_start(&t, sleeper, NULL);
	await_sleep(sys(getpid), t.tid);
	sys(exit_group, 9);
	return 0;
}

PROBE("thread/exit_group", "from_thread", "from_leader")
{
	long pid = spawn(by_thread, NULL);
	int status = 0;
	long r = sys(wait4, pid, &status, 0, NULL);
	observe("from_thread", "exit_group", ret_int(0), ARGS(),
		STATE(f_bool("reaped", r == pid), f_hex("status", (uint64_t)status), f_errno("gone", err_of(sys(kill, pid, 0)))));
	pid = spawn(leader_first, NULL);
	r = sys(wait4, pid, &status, 0, NULL);
	observe("from_leader", "exit_group", ret_int(0), ARGS(f_int("status", 9)), STATE(f_bool("reaped", r == pid), f_hex("status", (uint64_t)status)));
}
