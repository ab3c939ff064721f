/* What becomes of those whose parent ends: the nearest subreaper, exit signals, stopped groups, PR_SET_PDEATHSIG of threads. */
#include "probe.h"
#include <sys/prctl.h>

static int32_t *shared;

static void await_word(int at, int32_t value)
{
	for (int32_t v; (v = __atomic_load_n(&shared[at], __ATOMIC_SEQ_CST)) != value;)
		sys(futex, &shared[at], FUTEX_WAIT, v, NULL);
}

static void set_word(int at, int32_t value)
{
	__atomic_store_n(&shared[at], value, __ATOMIC_SEQ_CST);
	sys(futex, &shared[at], FUTEX_WAKE, 10);
}

static long begin(void)
{
	return must(sys(fork));
}

/* Two ends between the subreaper and the orphan; the middle one must not have become a subreaper by its birth. */
static void grandparent(void)
{
	must(sys(prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
	long outer = begin();
	if (outer == 0) {
		int is = -1;
		sys(prctl, PR_GET_CHILD_SUBREAPER, &is, 0, 0, 0);
		shared[2] = is;
		long middle = begin();
		if (middle == 0) {
			long inner = begin();
			if (inner == 0) {
				await_word(1, 1);
				shared[3] = (int32_t)sys(getppid);
				sys(exit_group, 21);
			}
			shared[0] = (int32_t)inner;
			sys(exit_group, 0);
		}
		reap(middle);
		set_word(1, 1);
		int status;
		shared[4] = err_of(sys(wait4, shared[0], &status, 0, NULL));
		sys(exit_group, 0);
	}
	reap(outer);
	int status = 0;
	long r = sys(wait4, shared[0], &status, 0, NULL);
	observe("subreaper_above", "wait4", ret_pid(r), ARGS(), STATE(f_hex("status", (uint64_t)status), f_int("inherited", shared[2]), f_bool("parent", shared[3] == sys(getpid)), f_errno("for_the_other", shared[4])));
}

static void exit_signal(void)
{
	mask_signals(SIG_BLOCK, SIGBIT(SIGCHLD) | SIGBIT(SIGUSR1));
	set_word(1, 0);
	long middle = begin();
	if (middle == 0) {
		long inner = must(sys(clone, SIGUSR1, 0, 0, 0, 0));
		if (inner == 0) {
			await_word(1, 2);
			sys(exit_group, 22);
		}
		shared[0] = (int32_t)inner;
		sys(exit_group, 0);
	}
	reap(middle);
	uint64_t both = SIGBIT(SIGCHLD) | SIGBIT(SIGUSR1);
	struct timespec none = {0, 0}, limit = {5, 0};
	sys(rt_sigtimedwait, &both, NULL, &none, 8);
	set_word(1, 2);
	siginfo_t info = {0};
	long r = sys(rt_sigtimedwait, &both, &info, &limit, 8);
	int status = 0;
	long reaped = sys(wait4, shared[0], &status, 0, NULL);
	observe("exit_signal", "rt_sigtimedwait", ret_int(r), ARGS(f_int("exit_signal", SIGUSR1)), STATE(f_int("code", info.si_code), f_bool("reaped", reaped == shared[0])));
}

static void note(int signo, siginfo_t *info, void *context)
{
	(void)context;
	int n = __atomic_fetch_add(&shared[10], 1, __ATOMIC_SEQ_CST);
	shared[11 + n % 8] = signo * 1000 + info->si_code;
}

/* A stopped member of a group that the end of its parent leaves orphaned. */
static void stopped_group(const char *id, bool stop, bool adopted)
{
	memset(&shared[10], 0, 40);
	set_word(1, 0);
	long session = begin();
	if (session == 0) {
		must(sys(setsid));
		if (adopted)
			must(sys(prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
		long parent = begin();
		if (parent == 0) {
			long child = begin();
			if (child == 0) {
				must(sys(setpgid, 0, 0));
				on_signal(SIGHUP, note, 0, ~0ull);
				on_signal(SIGCONT, note, 0, ~0ull);
				set_word(1, 3);
				if (stop)
					sys(kill, sys(getpid), SIGSTOP);
				await_word(1, 4);
				sys(exit_group, 23);
			}
			shared[0] = (int32_t)child;
			await_word(1, 3);
			int status;
			if (stop)
				must(sys(wait4, child, &status, WUNTRACED, NULL));
			sys(exit_group, 0);
		}
		reap(parent);
		if (stop && !adopted) {
			int64_t until = now_ns() + 3000000000;
			while (__atomic_load_n(&shared[10], __ATOMIC_SEQ_CST) < 2 && now_ns() < until)
				sys(sched_yield);
		}
		set_word(1, 4);
		if (stop)
			sys(kill, shared[0], SIGKILL);
		int status = 0;
		if (adopted)
			sys(wait4, shared[0], &status, 0, NULL);
		sys(exit_group, 0);
	}
	reap(session);
	if (!adopted)
		reap(shared[0]);
	struct value seen[8];
	int n = shared[10] < 8 ? shared[10] : 8;
	for (int i = 0; i < n; i++)
		seen[i] = v_int(shared[11 + i]);
	observe(id, "exit_group", ret_int(0), ARGS(), STATE(f_value("signals", v_items_(V_SET, seen, (size_t)n))));
}

static int maker(void *unused)
{
	(void)unused;
	long pid = sys(fork);
	if (pid == 0) {
		uint64_t wanted = SIGBIT(SIGUSR2);
		struct timespec limit = {5, 0};
		sys(rt_sigprocmask, SIG_BLOCK, &wanted, NULL, 8);
		sys(prctl, PR_SET_PDEATHSIG, SIGUSR2, 0, 0, 0);
		set_word(1, 5);
		shared[20] = (int32_t)sys(rt_sigtimedwait, &wanted, NULL, &limit, 8);
		shared[21] = sys(getppid) == shared[22];
		sys(exit_group, 0);
	}
	shared[0] = (int32_t)pid;
	await_word(1, 5);
	return 0;
}

PROBE("wait/ended_parent", "subreaper_above", "exit_signal", "stopped_group", "adopted_group", "running_group", "thread_of_parent")
{
	shared = pages(1, true);
	grandparent();
	exit_signal();
	stopped_group("stopped_group", true, false);
	/* Its new parent is in the session, too: somebody can still resume the group. */
	stopped_group("adopted_group", true, true);
	stopped_group("running_group", false, false);
	set_word(1, 0);
	shared[22] = (int32_t)sys(getpid);
	struct thread t;
	thread_start(&t, maker, NULL);
	thread_join(&t);
	reap(shared[0]);
	observe("thread_of_parent", "prctl", ret_int(0), ARGS(f_str("op", "PR_SET_PDEATHSIG")), STATE(f_int("signal", shared[20]), f_bool("parent_lives", shared[21])));
}
