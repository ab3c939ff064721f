/* Who may send a signal to whom: which of both processes' ids count, SIGCONT within a session, groups, CAP_KILL. */
#include "probe.h"

struct ids {
	uint32_t real, effective;
};

static int go[2], ready[2];

static int sleeper(void *own_session)
{
	char byte;
	struct ksigaction ignore = {(void *)SIG_IGN, 0, NULL, 0};
	must(sys(rt_sigaction, SIGUSR1, &ignore, NULL, 8));
	if (own_session)
		must(sys(setsid));
	must(sys(setresuid, 1000, 2000, 3000));
	must(sys(write, ready[1], "r", 1));
	sys(read, go[0], &byte, 1);
	return 0;
}

static long start(bool own_session)
{
	char byte;
	long pid = spawn(sleeper, own_session ? (void *)1 : NULL);
	must(sys(read, ready[0], &byte, 1));
	return pid;
}

/* The result of a kill(2) that a child with these ids makes. */
static long kill_as(struct ids as, long pid, int signal)
{
	long *result = pages(1, true), child = must(sys(fork));
	if (child == 0) {
		must(sys(setresuid, as.real, as.effective, 9999));
		*result = sys(kill, pid, signal);
		sys(exit_group, 0);
	}
	reap(child);
	long r = *result;
	must(sys(munmap, result, 4096));
	return r;
}

static const struct ids senders[] = {{1000, 1000}, {2000, 2000}, {3000, 3000}, {8, 1000}, {1000, 8}, {3000, 8}, {8, 3000}, {2000, 8}, {8, 2000}, {8, 8}};

static void matrix(const char *id, long pid, int signal)
{
	struct value answers[countof(senders)];
	long first = 0;
	for (size_t i = 0; i < countof(senders); i++) {
		long r = kill_as(senders[i], pid, signal);
		answers[i] = v_errno(err_of(r));
		if (i == 0)
			first = r;
	}
	observe(id, "kill", ret_int(first), ARGS(f_int("sig", signal)), STATE(f_value("answers", v_items_(V_LIST, answers, countof(senders)))));
}

static int with_capability(void *pid)
{
	must(sys(prctl, 8, 1, 0, 0, 0));
	must(sys(setresuid, 8, 8, 8));
	int without = err_of(sys(kill, (long)pid, 0));
	uint32_t header[2] = {0x20080522, 0}, sets[6] = {1 << 5, 1 << 5, 0, 0, 0, 0};
	must(sys(capset, header, sets));
	return without * 10 + err_of(sys(kill, (long)pid, 0));
}

/* A group of one that may be signalled and one that may not; `both` or neither. */
static int group_of(void *only_foreign)
{
	must(sys(setpgid, 0, 0));
	for (int i = 0; i < 2; i++) {
		long pid = must(sys(fork));
		if (pid == 0) {
			char byte;
			if (i == 0 || only_foreign)
				must(sys(setresuid, 1000, 1000, 1000));
			else
				must(sys(setresuid, 7777, 7777, 7777));
			must(sys(write, ready[1], "r", 1));
			sys(read, go[0], &byte, 1);
			sys(exit_group, 0);
		}
	}
	char bytes[2];
	for (int i = 0; i < 2; i++)
		must(sys(read, ready[0], bytes, 1));
	long *result = pages(1, true), pid = must(sys(fork));
	if (pid == 0) {
		long group = sys(getpgrp);
		must(sys(setpgid, 0, 0));
		must(sys(setresuid, 7777, 7777, 7777));
		*result = sys(kill, -group, 0);
		sys(exit_group, 0);
	}
	int status;
	must(sys(wait4, pid, &status, 0, NULL));
	return err_of(*result);
}

static int all_of_user(void *unused)
{
	(void)unused;
	static int p[2];
	make_pipe(p, 0);
	must(sys(setresuid, 54321, 54321, 54321));
	mask_signals(SIG_BLOCK, SIGBIT(SIGUSR1));
	long pid = must(sys(fork));
	if (pid == 0) {
		uint64_t wanted = SIGBIT(SIGUSR1);
		struct timespec limit = {5, 0};
		must(sys(write, p[1], "r", 1));
		sys(exit_group, sys(rt_sigtimedwait, &wanted, NULL, &limit, 8));
	}
	char byte;
	must(sys(read, p[0], &byte, 1));
	int r = err_of(sys(kill, -1, SIGUSR1)), other = WEXITSTATUS(reap(pid));
	return r == 0 && other == SIGUSR1 ? pending_signals() != 0 : 100;
}

PROBE("signal/permission", "nothing", "ignored", "cont_in_session", "cont_elsewhere", "capability", "mixed_group", "foreign_group", "all")
{
	make_pipe(go, 0);
	make_pipe(ready, 0);
	long here = start(false), elsewhere = start(true);
	matrix("nothing", here, 0);
	matrix("ignored", here, SIGUSR1);
	matrix("cont_in_session", here, SIGCONT);
	matrix("cont_elsewhere", elsewhere, SIGCONT);
	int answers = WEXITSTATUS(reap(spawn(with_capability, (void *)here)));
	observe("capability", "kill", ret_int(-(answers % 10)), ARGS(), STATE(f_errno("without", answers / 10)));
	observe("mixed_group", "kill", ret_int(-WEXITSTATUS(reap(spawn(group_of, NULL)))), ARGS(f_int("sig", 0)), STATE());
	observe("foreign_group", "kill", ret_int(-WEXITSTATUS(reap(spawn(group_of, (void *)1)))), ARGS(f_int("sig", 0)), STATE());
	observe("all", "kill", ret_int(0), ARGS(f_int("pid", -1)), STATE(f_int("itself", WEXITSTATUS(reap(spawn(all_of_user, NULL))))));
	must(sys(close, go[1]));
}
