/* CPU time is counted once, for the right thread and process: with idle, ended and burning threads, and over execve. */
#include "probe.h"

#define MS 1000000
#define BURN (60 * MS)
/* What a burn may measure: a bit less by coarse clocks, and more for what goes with it. */
#define BURNT(name, ns) f_dur(name, ns, BURN - 10 * MS, 2 * BURN)
#define NEARLY_NOTHING(name, ns) f_dur(name, ns, 0, BURN / 2)

static int64_t thread_ns(void) { return clock_ns(CLOCK_THREAD_CPUTIME_ID); }
static int64_t process_ns(void) { return clock_ns(CLOCK_PROCESS_CPUTIME_ID); }

static int burn(void *unused)
{
	int64_t start = thread_ns();
	volatile int sink = 0;
	(void)unused;
	do {
		for (int i = 0; i < 20000; i++)
			sink += i;
	} while (thread_ns() - start < BURN);
	return 0;
}

static int64_t cpu_of(const struct rusage *u)
{
	return (u->ru_utime.tv_sec + u->ru_stime.tv_sec) * 1000000000L + (u->ru_utime.tv_usec + u->ru_stime.tv_usec) * 1000L;
}

static int64_t used(int who)
{
	struct rusage u;
	must(sys(getrusage, who, &u));
	return cpu_of(&u);
}

static int go[2];

static int idle(void *unused)
{
	char c;
	(void)unused;
	sys(read, go[0], &c, 1);
	return 0;
}

static void threads(void)
{
	static struct thread idlers[4], burner;
	make_pipe(go, 0);
	for (size_t i = 0; i < countof(idlers); i++)
		thread_start(&idlers[i], idle, NULL);
	for (size_t i = 0; i < countof(idlers); i++)
		await_sleep(getpid(), idlers[i].tid);
	int64_t process = process_ns(), thread = thread_ns(), usage = used(RUSAGE_SELF), own = used(RUSAGE_THREAD);
	burn(NULL);
	observe("idle_threads", "clock_gettime", ret_int(0), ARGS(),
		STATE(BURNT("process", process_ns() - process), BURNT("thread", thread_ns() - thread),
		      BURNT("rusage_self", used(RUSAGE_SELF) - usage), BURNT("rusage_thread", used(RUSAGE_THREAD) - own)));
	process = process_ns(), thread = thread_ns(), usage = used(RUSAGE_SELF), own = used(RUSAGE_THREAD);
	thread_start(&burner, burn, NULL);
	thread_join(&burner);
	observe("ended_thread", "clock_gettime", ret_int(0), ARGS(),
		STATE(BURNT("process", process_ns() - process), NEARLY_NOTHING("thread", thread_ns() - thread),
		      BURNT("rusage_self", used(RUSAGE_SELF) - usage), NEARLY_NOTHING("rusage_thread", used(RUSAGE_THREAD) - own)));
	must(sys(close, go[1]));
	for (size_t i = 0; i < countof(idlers); i++)
		thread_join(&idlers[i]);
}

/* Its status tells what the process had used before: in units of BURN, rounded. */
CHILD("cpu_time")
{
	(void)argv, (void)envp;
	int before = (int)((process_ns() + BURN / 2) / BURN);
	if (argc > 0)
		burn(NULL);
	return before;
}

static void execute(bool burning)
{
	char *argv[] = {"/proc/self/exe", "child", "cpu_time", burning ? "burn" : NULL, NULL};
	sys(execve, argv[0], argv, (char *[]){NULL});
	sys(exit_group, 99);
}

static int execute_burning(void *unused)
{
	(void)unused;
	execute(true);
	return 99;
}

static int burn_and_execute(void *unused)
{
	burn(unused);
	execute(false);
	return 99;
}

static void observe_child(const char *id, const char *how, long pid, int64_t self)
{
	struct rusage u;
	int status = 0;
	must(sys(wait4, pid, &status, 0, &u));
	observe(id, "wait4", ret_int(0), ARGS(f_str("how", how)),
		STATE(f_hex("status", status), BURNT("child", cpu_of(&u)), NEARLY_NOTHING("self", process_ns() - self)));
}

PROBE("process/cpu_time", "over_execve", "vfork_execve", "all_children", "idle_threads", "ended_thread")
{
	int64_t self = process_ns();
	observe_child("over_execve", "burn and execve", spawn(burn_and_execute, NULL), self);
	self = process_ns();
	/* As vfork(2), but on a stack of its own. */
	char *stack = (char *)pages(16, false) + 16 * 4096;
	long pid = clone(execute_burning, stack, CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);
	observe_child("vfork_execve", "vfork, execve and burn", must(pid), self);
	struct rusage u;
	long answer = sys(getrusage, RUSAGE_CHILDREN, &u);
	observe("all_children", "getrusage", ret_int(answer), ARGS(), STATE(f_dur("cpu", cpu_of(&u), 2 * BURN - 20 * MS, 4 * BURN)));
	threads();
}
