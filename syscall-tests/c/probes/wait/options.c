/* Which children a wait looks at, what it stores about them, and what it leaves. */
#include "probe.h"

#ifndef __WNOTHREAD
#define __WNOTHREAD 0x20000000
#endif
#ifndef __WCLONE
#define __WCLONE 0x80000000
#endif
#define BURN 50000000

static int leave(void *code) { return (int)(long)code; }

static int waiter(void *unused)
{
	(void)unused;
	for (;;)
		sys(pause);
	return 0;
}

static int burn(void *unused)
{
	(void)unused;
	while (clock_ns(CLOCK_PROCESS_CPUTIME_ID) < BURN)
		;
	return 0;
}

static int burning_parent(void *unused)
{
	(void)unused;
	int status;
	long pid = must(sys(fork));
	if (pid == 0)
		sys(exit_group, burn(NULL));
	sys(wait4, pid, &status, 0, NULL);
	return 0;
}

static int other_user(void *unused)
{
	(void)unused;
	must(sys(setresuid, 1234, 4321, -1));
	return 5;
}

static int64_t cpu_of(const struct rusage *u)
{
	return (u->ru_utime.tv_sec + u->ru_stime.tv_sec) * 1000000000L + (u->ru_utime.tv_usec + u->ru_stime.tv_usec) * 1000L;
}

static long unsignalled(int code)
{
	long pid = must(sys(clone, 0, 0, 0, 0, 0));
	if (pid == 0)
		sys(exit_group, code);
	return pid;
}

static void kinds(void)
{
	long plain = spawn(leave, (void *)1), mute = unsignalled(2);
	int status = 0;
	long r = sys(wait4, plain, &status, (long)(int)__WCLONE, NULL);
	observe("clone_of_plain", "wait4", ret_int(r), ARGS(f_hex("options", __WCLONE)), STATE());
	r = sys(wait4, mute, &status, 0, NULL);
	observe("plain_of_clone", "wait4", ret_int(r), ARGS(f_hex("options", 0)), STATE());
	r = sys(wait4, -1, &status, (long)(int)__WCLONE, NULL);
	observe("clone", "wait4", ret_pid(r), ARGS(f_hex("options", __WCLONE)), STATE(f_bool("mute", r == mute), f_hex("status", (uint64_t)status)));
	r = sys(wait4, -1, &status, __WALL, NULL);
	observe("all", "wait4", ret_pid(r), ARGS(f_hex("options", __WALL)), STATE(f_bool("plain", r == plain), f_hex("status", (uint64_t)status)));
}

static long of_thread;

static int thread(void *unused)
{
	(void)unused;
	int status = 0;
	of_thread = sys(wait4, -1, &status, __WNOTHREAD, NULL);
	return 0;
}

static void info(const char *id, int which, long who, int options)
{
	siginfo_t i;
	memset(&i, 0x55, sizeof i);
	long r = sys(waitid, which, who, &i, options, NULL);
	observe(id, "waitid", ret_int(r), ARGS(f_int("which", which), f_hex("options", (uint64_t)options)),
		STATE(f_int("signal", i.si_signo), f_int("errno", i.si_errno), f_int("code", i.si_code), f_int("status", i.si_status), f_uint("uid", i.si_uid), f_bool("nobody", i.si_pid == 0)));
}

static volatile int handled;
static void handler(int signo, siginfo_t *i, void *context)
{
	(void)signo;
	(void)i;
	(void)context;
	handled++;
}

static int interrupter(void *unused)
{
	(void)unused;
	long parent = sys(getppid);
	await_sleep(parent, parent);
	sys(kill, parent, SIGUSR1);
	await_sleep(parent, parent);
	return 9;
}

static int interrupter_once(void *unused)
{
	(void)unused;
	long parent = sys(getppid);
	await_sleep(parent, parent);
	sys(kill, parent, SIGUSR1);
	return 9;
}

PROBE("wait/options", "clone_of_plain", "plain_of_clone", "clone", "all", "nothread", "least_pid", "own_group", "no_such_group", "usage", "waitid_usage", "grandchildren", "user", "child_times", "stop_nowait", "stop_again", "stop_gone", "continued", "nothing", "killed", "nowait_twice", "group_of_zero", "restarted", "interrupted", "bad_status", "zero_id")
{
	int status = 0;
	struct rusage usage;
	kinds();
	long pid = spawn(leave, (void *)3);
	struct thread t;
	thread_start(&t, thread, NULL);
	thread_join(&t);
	observe("nothread", "wait4", ret_int(of_thread), ARGS(f_hex("options", __WNOTHREAD)), STATE(f_bool("by_maker", sys(wait4, -1, &status, __WNOTHREAD, NULL) == pid)));
	observe("least_pid", "wait4", ret_int(sys(wait4, (long)INT_MIN, &status, WNOHANG, NULL)), ARGS(f_int("pid", INT_MIN)), STATE());
	pid = spawn(waiter, NULL);
	must(sys(setpgid, pid, pid));
	observe("own_group", "wait4", ret_int(sys(wait4, 0, &status, WNOHANG, NULL)), ARGS(f_int("pid", 0)), STATE());
	observe("no_such_group", "wait4", ret_int(sys(wait4, -(pid + 1000), &status, WNOHANG, NULL)), ARGS(), STATE());
	must(sys(kill, pid, SIGKILL));
	reap(pid);
	pid = spawn(burn, NULL);
	long r = sys(wait4, pid, &status, 0, &usage);
	observe("usage", "wait4", ret_pid(r), ARGS(), STATE(f_dur("cpu", cpu_of(&usage), BURN / 2, 20L * BURN)));
	pid = spawn(burn, NULL);
	siginfo_t i = {0};
	memset(&usage, 0, sizeof usage);
	r = sys(waitid, P_PID, pid, &i, WEXITED, &usage);
	observe("waitid_usage", "waitid", ret_int(r), ARGS(), STATE(f_dur("cpu", cpu_of(&usage), BURN / 2, 20L * BURN)));
	pid = spawn(burning_parent, NULL);
	r = sys(wait4, pid, &status, 0, &usage);
	observe("grandchildren", "wait4", ret_pid(r), ARGS(), STATE(f_dur("cpu", cpu_of(&usage), BURN / 2, 20L * BURN)));
	info("user", P_PID, spawn(other_user, NULL), WEXITED);
	mask_signals(SIG_BLOCK, SIGBIT(SIGCHLD));
	uint64_t wanted = SIGBIT(SIGCHLD);
	struct timespec limit = {5, 0}, none = {0, 0};
	sys(rt_sigtimedwait, &wanted, NULL, &none, 8);
	pid = spawn(burn, NULL);
	r = sys(rt_sigtimedwait, &wanted, &i, &limit, 8);
	reap(pid);
	observe("child_times", "rt_sigtimedwait", ret_int(r), ARGS(), STATE(f_dur("ticks", i.si_utime + i.si_stime, 2, 100)));
	mask_signals(SIG_UNBLOCK, SIGBIT(SIGCHLD));
	pid = spawn(waiter, NULL);
	must(sys(kill, pid, SIGSTOP));
	info("stop_nowait", P_PID, pid, WSTOPPED | WNOWAIT);
	info("stop_again", P_PID, pid, WSTOPPED);
	info("stop_gone", P_PID, pid, WSTOPPED | WNOHANG);
	must(sys(kill, pid, SIGCONT));
	info("continued", P_PID, pid, WCONTINUED);
	info("nothing", P_PID, pid, WCONTINUED | WEXITED | WSTOPPED | WNOHANG);
	must(sys(kill, pid, SIGTERM));
	info("killed", P_PID, pid, WEXITED | WNOWAIT);
	info("nowait_twice", P_PID, pid, WEXITED);
	pid = spawn(leave, (void *)8);
	long other = spawn(waiter, NULL);
	must(sys(setpgid, other, other));
	must(sys(kill, other, SIGKILL));
	must(sys(waitid, P_PID, other, &i, WEXITED | WNOWAIT, NULL));
	must(sys(waitid, P_PID, pid, &i, WEXITED, NULL));
	info("group_of_zero", P_PGID, 0, WEXITED | WNOHANG);
	reap(other);
	on_signal(SIGUSR1, handler, SA_RESTART, 0);
	pid = spawn(interrupter, NULL);
	r = sys(wait4, pid, &status, 0, NULL);
	observe("restarted", "wait4", ret_pid(r), ARGS(f_hex("flags", SA_RESTART)), STATE(f_int("handled", handled), f_hex("status", (uint64_t)status)));
	if (r < 0)
		reap(pid);
	on_signal(SIGUSR1, handler, 0, 0);
	pid = spawn(interrupter_once, NULL);
	other = spawn(waiter, NULL);
	r = sys(wait4, other, &status, 0, NULL);
	reap(pid);
	observe("interrupted", "wait4", ret_int(r), ARGS(f_hex("flags", 0)), STATE(f_int("handled", handled)));
	must(sys(kill, other, SIGKILL));
	r = sys(wait4, other, (void *)8, 0, NULL);
	observe("bad_status", "wait4", ret_int(r), ARGS(), STATE(f_errno("reaped", err_of(sys(wait4, other, &status, 0, NULL)))));
	observe("zero_id", "waitid", ret_int(sys(waitid, P_PID, 0, &i, WEXITED, NULL)), ARGS(f_int("id", 0)), STATE(f_errno("negative_group", err_of(sys(waitid, P_PGID, -5, &i, WEXITED, NULL)))));
}
