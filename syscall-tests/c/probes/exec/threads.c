/* execve from a process with threads: they end, the caller becomes the leader. */
#include "probe.h"

CHILD("threads")
{
	(void)envp;
	char text[16] = "";
	(void)argc;
	int same = sys(getpid) == sys(gettid) && sys(getpid) == atol(argv[0]);
	proc_status(0, "Threads", text, sizeof text);
	return same * 10 + atoi(text);
}

static char self[16];

static int sleeper(void *unused)
{
	(void)unused;
	sys(pause);
	return 0;
}
static int executor(void *unused)
{
	(void)unused;
	char *argv[] = {"x", "child", "threads", self, NULL}, *envp[] = {NULL};
	return err_of(sys(execve, "/proc/self/exe", argv, envp));
}
static int crowd(void *by_thread)
{
	struct thread a, b;
	snprintf(self, sizeof self, "%ld", sys(getpid));
	thread_start(&a, sleeper, NULL);
	if (!by_thread)
		return executor(NULL);
	thread_start(&b, executor, NULL);
	sys(pause);
	return 99;
}

PROBE("exec/threads", "from_leader", "from_thread")
{
	long pid = spawn(crowd, NULL);
	int status = 0;
	long r = sys(wait4, pid, &status, 0, NULL);
	observe("from_leader", "execve", ret_int(r == pid ? 0 : r), ARGS(), STATE(f_hex("status", (uint64_t)status)));
	pid = spawn(crowd, self);
	r = sys(wait4, pid, &status, 0, NULL);
	observe("from_thread", "execve", ret_int(r == pid ? 0 : r), ARGS(), STATE(f_hex("status", (uint64_t)status)));
}
