/* Nice values of processes, groups and users: limits, who may, and which of several is returned. */
#include "probe.h"

static int32_t *shared;
static int go[2];

static int nice_of(int which, long who) { return (int)sys(getpriority, which, who); }

static int sleeper(void *arg)
{
	char c;
	if ((long)arg > 0)
		must(sys(setresuid, (long)arg, (long)arg, (long)arg));
	sys(read, go[0], &c, 1);
	return 0;
}

/* Two children in a group of their own; returns the leader. */
static long group(long *second)
{
	long first = spawn(sleeper, NULL);
	*second = spawn(sleeper, NULL);
	must(sys(setpgid, first, first));
	must(sys(setpgid, *second, first));
	return first;
}

static int ordinary(void *unused)
{
	(void)unused;
	struct rlimit limit = {0, 0};
	must(sys(setrlimit, RLIMIT_NICE, &limit));
	long other = must(sys(fork));
	if (other == 0)
		sys(exit_group, sleeper((void *)65001));
	await_sleep(other, other);
	must(sys(setresuid, 65000, 65000, 65000));
	int n = 0;
	shared[n++] = err_of(sys(setpriority, PRIO_PROCESS, 0, 5));
	shared[n++] = err_of(sys(setpriority, PRIO_PROCESS, 0, 5));
	shared[n++] = err_of(sys(setpriority, PRIO_PROCESS, 0, -5));
	shared[n++] = nice_of(PRIO_PROCESS, 0);
	shared[n++] = err_of(sys(setpriority, PRIO_PROCESS, 0, -6));
	shared[n++] = nice_of(PRIO_PROCESS, 0);
	shared[n++] = err_of(sys(setpriority, PRIO_PROCESS, 0, 19));
	shared[n++] = err_of(sys(setpriority, PRIO_PROCESS, other, 7));
	shared[n++] = nice_of(PRIO_PROCESS, other);
	shared[n++] = nice_of(PRIO_USER, 65001);
	shared[n++] = nice_of(PRIO_USER, 0);
	shared[n++] = err_of(sys(setpriority, PRIO_USER, 65001, 7));
	shared[n++] = err_of(sys(setpriority, PRIO_USER, 65009, 7));
	shared[n++] = err_of(sys(setpriority, PRIO_PROCESS, 0, 18));
	shared[n++] = err_of(sys(setpriority, PRIO_PROCESS, 0, 19));
	shared[n++] = nice_of(PRIO_PROCESS, 0);
	return 0;
}

static int thread(void *unused)
{
	(void)unused;
	shared[50] = err_of(sys(setpriority, PRIO_PROCESS, 0, 11));
	shared[51] = nice_of(PRIO_PROCESS, 0);
	shared[52] = nice_of(PRIO_PROCESS, sys(getpid));
	return 0;
}

PROBE("misc/priorities", "highest", "lowest", "group", "group_changed", "no_group", "no_process", "user", "ordinary", "thread")
{
	shared = pages(1, true);
	make_pipe(go, 0);
	long r = sys(setpriority, PRIO_PROCESS, 0, -100);
	observe("highest", "setpriority", ret_int(r), ARGS(f_int("nice", -100)), STATE(f_int("now", nice_of(PRIO_PROCESS, 0))));
	r = sys(setpriority, PRIO_PROCESS, 0, 100);
	observe("lowest", "setpriority", ret_int(r), ARGS(f_int("nice", 100)), STATE(f_int("now", nice_of(PRIO_PROCESS, 0))));
	must(sys(setpriority, PRIO_PROCESS, 0, 0));
	long second, first = group(&second);
	must(sys(setpriority, PRIO_PROCESS, first, 9));
	must(sys(setpriority, PRIO_PROCESS, second, 4));
	observe("group", "getpriority", ret_int(nice_of(PRIO_PGRP, first)), ARGS(), STATE(f_int("own_group", nice_of(PRIO_PGRP, 0))));
	r = sys(setpriority, PRIO_PGRP, first, 13);
	observe("group_changed", "setpriority", ret_int(r), ARGS(f_int("nice", 13)), STATE(f_int("first", nice_of(PRIO_PROCESS, first)), f_int("second", nice_of(PRIO_PROCESS, second)), f_int("own", nice_of(PRIO_PROCESS, 0))));
	observe("no_group", "setpriority", ret_int(sys(setpriority, PRIO_PGRP, second, 1)), ARGS(), STATE(f_errno("get", err_of(sys(getpriority, PRIO_PGRP, second)))));
	observe("no_process", "setpriority", ret_int(sys(setpriority, PRIO_PROCESS, 1 << 22, 1)), ARGS(), STATE(f_errno("get", err_of(sys(getpriority, PRIO_PROCESS, -1)))));
	long users[2] = {spawn(sleeper, (void *)64000), spawn(sleeper, (void *)64000)};
	await_sleep(users[0], users[0]);
	await_sleep(users[1], users[1]);
	must(sys(setpriority, PRIO_PROCESS, users[1], 3));
	r = sys(setpriority, PRIO_USER, 64000, 8);
	observe("user", "setpriority", ret_int(r), ARGS(f_int("nice", 8)), STATE(f_int("first", nice_of(PRIO_PROCESS, users[0])), f_int("second", nice_of(PRIO_PROCESS, users[1])), f_int("of_user", nice_of(PRIO_USER, 64000))));
	pid_t child = (pid_t)spawn(ordinary, NULL);
	must(sys(wait4, child, NULL, 0, NULL));
	struct value seen[16];
	for (int i = 0; i < 16; i++)
		seen[i] = v_int(shared[i]);
	observe("ordinary", "setpriority", ret_int(0), ARGS(f_int("limit", 0)), STATE(f_value("answers", v_items_(V_LIST, seen, 16))));
	struct thread t;
	thread_start(&t, thread, NULL);
	thread_join(&t);
	observe("thread", "setpriority", ret_int(-shared[50]), ARGS(f_int("nice", 11)), STATE(f_int("thread", shared[51]), f_int("main", shared[52])));
	must(sys(close, go[1]));
}
