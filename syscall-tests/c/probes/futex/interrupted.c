/* A handler ends a timed wait; an untimed one goes on if SA_RESTART says so. */
#include "probe.h"

static int32_t word;
static volatile long result;
static volatile int runs;
static struct timespec *limit;

static void handler(int signo, siginfo_t *info, void *context)
{
	(void)signo;
	(void)info;
	(void)context;
	runs++;
}

static int waiter(void *unused)
{
	(void)unused;
	result = sys(futex, &word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 0, limit);
	return 0;
}

/* Waits in a thread and interrupts it; if it is to go on, wakes it then. How many the wake found. */
static long interrupt(unsigned long flags, struct timespec *timeout)
{
	struct thread t;
	runs = 0;
	result = 12345;
	limit = timeout;
	on_signal(SIGUSR1, handler, flags, 0);
	thread_start(&t, waiter, NULL);
	await_waiters(&word, FUTEX_PRIVATE_FLAG, 0, 1);
	must(sys(tgkill, sys(getpid), t.tid, SIGUSR1));
	while (runs == 0)
		sys(sched_yield);
	long woken = 0;
	if (flags & SA_RESTART) {
		await_waiters(&word, FUTEX_PRIVATE_FLAG, 0, 1);
		woken = sys(futex, &word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1);
	}
	thread_join(&t);
	return woken;
}

PROBE("futex/interrupted", "no_restart", "restart", "timed", "timed_restart", "stopped_timer")
{
	long woken = interrupt(0, NULL);
	observe("no_restart", "futex", ret_int(result), ARGS(f_hex("sa_flags", 0)), STATE(f_int("woken", woken), f_int("handler_ran", runs)));
	woken = interrupt(SA_RESTART, NULL);
	observe("restart", "futex", ret_int(result), ARGS(f_hex("sa_flags", SA_RESTART)), STATE(f_int("woken", woken), f_int("handler_ran", runs)));
	struct timespec long_time = {5, 0};
	woken = interrupt(0, &long_time);
	observe("timed", "futex", ret_int(result), ARGS(f_hex("sa_flags", 0)), STATE(f_int("woken", woken), f_int("handler_ran", runs)));
	/* Even with SA_RESTART: the kernel restarts a timed wait only where no handler ran. */
	limit = &long_time;
	struct thread t;
	runs = 0;
	on_signal(SIGUSR1, handler, SA_RESTART, 0);
	thread_start(&t, waiter, NULL);
	await_waiters(&word, FUTEX_PRIVATE_FLAG, 0, 1);
	must(sys(tgkill, sys(getpid), t.tid, SIGUSR1));
	thread_join(&t);
	observe("timed_restart", "futex", ret_int(result), ARGS(f_hex("sa_flags", SA_RESTART)), STATE(f_int("handler_ran", runs)));
	/* A stop and a continuation run no handler: the wait goes on, until it is woken. Its limit is never reached. */
	struct timespec far = {3600, 0};
	int32_t *shared = (int32_t *)must(sys(mmap, NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	long pid = must(sys(fork));
	if (pid == 0)
		sys(exit_group, sys(futex, shared, FUTEX_WAIT, 0, &far) == 0 ? 3 : 4);
	await_waiters(shared, 0, 0, 1);
	must(sys(kill, pid, SIGSTOP));
	int status = 0;
	must(sys(wait4, pid, &status, WUNTRACED, NULL));
	must(sys(kill, pid, SIGCONT));
	await_waiters(shared, 0, 0, 1);
	must(sys(futex, shared, FUTEX_WAKE, 1));
	status = reap(pid);
	observe("stopped_timer", "futex", ret_int(0), ARGS(), STATE(f_hex("status", (uint64_t)status)));
}
