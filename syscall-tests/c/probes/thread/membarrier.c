/* A process may use the kinds of barrier that it has registered for: whatever its threads did, and not across execve. */
#include <linux/membarrier.h>
#include "probe.h"

static long barrier(int command, int flags) { return sys(membarrier, command, flags, 0); }

static int nothing(void *unused)
{
	(void)unused;
	return 0;
}

CHILD("barrier") { return (int)-barrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0); }

static long in_child(bool execute)
{
	long pid = must(sys(fork));
	if (pid == 0) {
		char *argv[] = {"probe", "child", "barrier", NULL};
		if (execute)
			sys(execve, "/proc/self/exe", argv, argv + 3);
		sys(exit_group, -barrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0));
	}
	return reap(pid);
}

#define OBSERVE(name, command, flags) \
	observe(name, "membarrier", ret_int(barrier(command, flags)), ARGS(f_int("cmd", command), f_int("flags", flags)), STATE())

PROBE("thread/membarrier", "expedited", "core", "rseq", "core_with_threads", "core_after_calls", "register_core", "registered_core",
      "other_kind", "core_flags", "register_rseq", "registered_rseq", "rseq_cpu", "rseq_flags", "forked", "executed")
{
	OBSERVE("expedited", MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0);
	OBSERVE("core", MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0);
	OBSERVE("rseq", MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, 0);
	struct thread thread;
	thread_start(&thread, nothing, NULL);
	thread_join(&thread);
	OBSERVE("core_with_threads", MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0);
	for (int i = 0; i < 2000; i++)
		sys(getppid);
	OBSERVE("core_after_calls", MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0);
	OBSERVE("register_core", MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE, 0);
	OBSERVE("registered_core", MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0);
	OBSERVE("other_kind", MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0);
	OBSERVE("core_flags", MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 1);
	OBSERVE("register_rseq", MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ, 0);
	OBSERVE("registered_rseq", MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, 0);
	OBSERVE("rseq_cpu", MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, MEMBARRIER_CMD_FLAG_CPU);
	OBSERVE("rseq_flags", MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, 2);
	long status = in_child(false);
	observe("forked", "fork", ret_int(status), ARGS(), STATE());
	status = in_child(true);
	observe("executed", "execve", ret_int(status), ARGS(), STATE());
}
