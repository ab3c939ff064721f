/* Stopping and going on: which signals stop whom, what takes what back, and what the parent hears. */
#include "probe.h"

static int32_t *shared;

static void handler(int signo, siginfo_t *info, void *context)
{
	(void)info;
	(void)context;
	__atomic_add_fetch(&shared[signo], 1, __ATOMIC_SEQ_CST);
}

static int waiter(void *unused)
{
	(void)unused;
	for (;;)
		sys(pause);
	return 0;
}

/* A child in a process group of its own, which is not orphaned: its parent is in the same session. */
static long child_in_group(int (*body)(void *), void *arg)
{
	long pid = spawn(body, arg);
	must(sys(setpgid, pid, pid));
	await_sleep(pid, pid);
	return pid;
}

static int status_now(long pid, int options)
{
	int status = 0;
	return must(sys(wait4, pid, &status, WNOHANG | options, NULL)) == 0 ? 0 : status;
}

static int status_of(long pid, int options)
{
	int status = 0;
	must(sys(wait4, pid, &status, options, NULL));
	return status;
}

static void end(long pid)
{
	must(sys(kill, pid, SIGKILL));
	reap(pid);
}

static const int stops[] = {SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU};

static void kinds(void)
{
	long pid = child_in_group(waiter, NULL);
	struct value seen[countof(stops)];
	for (size_t i = 0; i < countof(stops); i++) {
		must(sys(kill, pid, stops[i]));
		seen[i] = v_hex((uint64_t)status_of(pid, WUNTRACED));
		must(sys(kill, pid, SIGCONT));
		status_of(pid, WCONTINUED);
	}
	end(pid);
	observe("kinds", "wait4", ret_int(0), ARGS(f_hex("options", WUNTRACED)), STATE(f_value("status", v_items_(V_LIST, seen, countof(seen)))));
}

/* Its parent is in another session, so nobody could resume the group. */
static int orphaned(void *unused)
{
	(void)unused;
	must(sys(setsid));
	long pid = must(sys(fork));
	if (pid == 0) {
		for (int i = 1; i < 4; i++)
			sys(kill, sys(getpid), stops[i]);
		sys(exit_group, 7);
	}
	int status;
	must(sys(wait4, pid, &status, WUNTRACED, NULL));
	if (WIFSTOPPED(status)) {
		sys(kill, pid, SIGKILL);
		sys(wait4, pid, &status, 0, NULL);
		return 99;
	}
	return WEXITSTATUS(status);
}

/* With everything blocked, a stop signal and SIGCONT take each other back, for the process and for its thread. */
static int opposites(void *unused)
{
	(void)unused;
	long me = sys(getpid);
	uint64_t stop_set = SIGBIT(SIGTSTP) | SIGBIT(SIGTTIN) | SIGBIT(SIGTTOU), cont = SIGBIT(SIGCONT);
	mask_signals(SIG_BLOCK, stop_set | cont);
	on_signal(SIGCONT, handler, 0, 0);
	sys(kill, me, SIGTSTP);
	sys(tkill, me, SIGTTIN);
	uint64_t before = pending_signals();
	sys(kill, me, SIGCONT);
	uint64_t after = pending_signals();
	sys(tkill, me, SIGTTOU);
	uint64_t again = pending_signals();
	sys(tkill, me, SIGCONT);
	sys(kill, me, SIGTSTP);
	uint64_t last = pending_signals();
	shared[100] = (int32_t)(before >> 17);
	shared[101] = (int32_t)(after >> 17);
	shared[102] = (int32_t)(again >> 17);
	shared[103] = (int32_t)(last >> 17);
	return 0;
}

static int deaf(void *how)
{
	struct ksigaction ignore = {(void *)SIG_IGN, 0, NULL, 0};
	if (how)
		mask_signals(SIG_BLOCK, SIGBIT(SIGCONT));
	else
		must(sys(rt_sigaction, SIGCONT, &ignore, NULL, 8));
	return waiter(NULL);
}

static int caught_continue(void *unused)
{
	(void)unused;
	on_signal(SIGCONT, handler, 0, 0);
	return waiter(NULL);
}

static int other(void *unused)
{
	(void)unused;
	__atomic_store_n(&shared[90], (int32_t)sys(gettid), __ATOMIC_SEQ_CST);
	sys(futex, &shared[90], FUTEX_WAKE, 1);
	for (;;)
		sys(pause);
	return 0;
}

static int two_threads(void *unused)
{
	(void)unused;
	struct thread t;
	thread_start(&t, other, NULL);
	return waiter(NULL);
}

static char state_of(long pid, long tid)
{
	char path[64], text[512] = "";
	snprintf(path, sizeof path, "/proc/%ld/task/%ld/stat", pid, tid);
	long n = get_file(path, text, sizeof text - 1);
	char *at = n > 0 ? strrchr(text, ')') : NULL;
	return at ? at[2] : '?';
}

static void info_of(const char *id, long child, int signal)
{
	uint64_t wanted = SIGBIT(SIGCHLD);
	struct timespec limit = {5, 0};
	siginfo_t info = {0};
	must(sys(kill, child, signal));
	long r = sys(rt_sigtimedwait, &wanted, &info, &limit, 8);
	observe(id, "rt_sigtimedwait", ret_int(r), ARGS(f_int("sig", signal)), STATE(f_int("code", info.si_code), f_int("status", info.si_status), f_bool("child", info.si_pid == child), f_uint("uid", info.si_uid)));
}

static void nocldstop(void)
{
	struct ksigaction quiet = {(void *)SIG_DFL, SA_NOCLDSTOP, NULL, 0}, plain = {(void *)SIG_DFL, 0, NULL, 0};
	/* A default that ignores drops what is blocked and pending only when it is set. */
	must(sys(rt_sigaction, SIGCHLD, &quiet, NULL, 8));
	long pid = child_in_group(waiter, NULL);
	must(sys(kill, pid, SIGSTOP));
	int stopped = status_of(pid, WUNTRACED);
	uint64_t at_stop = pending_signals();
	must(sys(kill, pid, SIGCONT));
	int continued = status_of(pid, WCONTINUED);
	uint64_t at_cont = pending_signals();
	must(sys(kill, pid, SIGKILL));
	reap(pid);
	observe("nocldstop", "rt_sigaction", ret_int(0), ARGS(f_hex("flags", SA_NOCLDSTOP)),
		STATE(f_hex("stopped", (uint64_t)stopped), f_hex("pending_at_stop", at_stop), f_hex("continued", (uint64_t)continued), f_hex("pending_at_cont", at_cont), f_hex("pending_at_end", pending_signals())));
	must(sys(rt_sigaction, SIGCHLD, &plain, NULL, 8));
}

PROBE("signal/stop", "kinds", "orphaned", "opposites", "ignored_cont", "blocked_cont", "caught_cont", "threads", "stop_info", "cont_info", "nocldstop", "stop_taken_back", "cont_taken_back", "ended_stopped")
{
	shared = pages(1, true);
	kinds();
	int status = reap(spawn(orphaned, NULL));
	observe("orphaned", "kill", ret_int(0), ARGS(), STATE(f_hex("status", (uint64_t)status)));
	reap(spawn(opposites, NULL));
	observe("opposites", "kill", ret_int(0), ARGS(), STATE(f_hex("both", (uint64_t)shared[100]), f_hex("after_cont", (uint64_t)shared[101]), f_hex("after_stop", (uint64_t)shared[102]), f_hex("last", (uint64_t)shared[103])));
	for (int blocked = 0; blocked < 2; blocked++) {
		long pid = child_in_group(deaf, blocked ? (void *)1 : NULL);
		must(sys(kill, pid, SIGSTOP));
		status_of(pid, WUNTRACED);
		long r = sys(kill, pid, SIGCONT);
		status = status_of(pid, WCONTINUED);
		observe(blocked ? "blocked_cont" : "ignored_cont", "kill", ret_int(r), ARGS(f_int("sig", SIGCONT)), STATE(f_hex("status", (uint64_t)status)));
		end(pid);
	}
	long pid = child_in_group(caught_continue, NULL);
	must(sys(kill, pid, SIGSTOP));
	status_of(pid, WUNTRACED);
	long r = sys(kill, pid, SIGCONT);
	while (__atomic_load_n(&shared[SIGCONT], __ATOMIC_SEQ_CST) == 0)
		sys(sched_yield);
	await_sleep(pid, pid);
	must(sys(kill, pid, SIGCONT));
	while (__atomic_load_n(&shared[SIGCONT], __ATOMIC_SEQ_CST) == 1)
		sys(sched_yield);
	observe("caught_cont", "kill", ret_int(r), ARGS(f_int("sig", SIGCONT)), STATE(f_int("handled", shared[SIGCONT])));
	end(pid);
	pid = child_in_group(two_threads, NULL);
	for (int32_t v; (v = __atomic_load_n(&shared[90], __ATOMIC_SEQ_CST)) == 0;)
		sys(futex, &shared[90], FUTEX_WAIT, v, NULL);
	await_sleep(pid, shared[90]);
	r = sys(kill, pid, SIGSTOP);
	status = status_of(pid, WUNTRACED);
	char main_state = state_of(pid, pid), other_state = state_of(pid, shared[90]);
	observe("threads", "kill", ret_int(r), ARGS(f_int("sig", SIGSTOP)), STATE(f_hex("status", (uint64_t)status), f_int("main", main_state), f_int("other", other_state)));
	end(pid);
	mask_signals(SIG_BLOCK, SIGBIT(SIGCHLD));
	uint64_t wanted = SIGBIT(SIGCHLD);
	struct timespec none = {0, 0};
	sys(rt_sigtimedwait, &wanted, NULL, &none, 8);
	pid = child_in_group(waiter, NULL);
	info_of("stop_info", pid, SIGTSTP);
	info_of("cont_info", pid, SIGCONT);
	end(pid);
	sys(rt_sigtimedwait, &wanted, NULL, &none, 8);
	nocldstop();
	/* What nobody has waited for is taken back by its opposite. */
	sys(rt_sigtimedwait, &wanted, NULL, &none, 8);
	struct timespec limit = {5, 0};
	pid = child_in_group(waiter, NULL);
	must(sys(kill, pid, SIGSTOP));
	must(sys(rt_sigtimedwait, &wanted, NULL, &limit, 8));
	must(sys(kill, pid, SIGCONT));
	must(sys(rt_sigtimedwait, &wanted, NULL, &limit, 8));
	status = status_now(pid, WUNTRACED);
	observe("stop_taken_back", "wait4", ret_int(0), ARGS(f_hex("options", WUNTRACED)), STATE(f_hex("status", (uint64_t)status)));
	must(sys(kill, pid, SIGSTOP));
	must(sys(rt_sigtimedwait, &wanted, NULL, &limit, 8));
	status = status_now(pid, WCONTINUED);
	observe("cont_taken_back", "wait4", ret_int(0), ARGS(f_hex("options", WCONTINUED)), STATE(f_hex("status", (uint64_t)status)));
	must(sys(kill, pid, SIGTERM));
	int running = status_now(pid, 0);
	must(sys(kill, pid, SIGCONT));
	status = reap(pid);
	observe("ended_stopped", "kill", ret_int(0), ARGS(f_int("sig", SIGTERM)), STATE(f_hex("before_cont", (uint64_t)running), f_hex("status", (uint64_t)status)));
}
