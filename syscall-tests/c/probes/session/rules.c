/* Who may move whom to which process group, and who may begin a session. */
#include "probe.h"

static int go[2], ready[2];

static int sleeper(void *what)
{
	char c;
	if ((long)what & 1)
		must(sys(setsid));
	if ((long)what & 2)
		must(sys(setpgid, 0, 0));
	if ((long)what & 4) {
		long pid = must(sys(fork));
		if (pid == 0) {
			must(sys(write, ready[1], "r", 1));
			sys(read, go[0], &c, 1);
			sys(exit_group, 0);
		}
		must(sys(write, ready[1], &pid, 4));
	} else {
		must(sys(write, ready[1], "rrrr", 4));
	}
	sys(read, go[0], &c, 1);
	return 0;
}

static long start(long what, int32_t *inner)
{
	char bytes[8];
	long pid = spawn(sleeper, (void *)what);
	if (what & 4) {
		/* The inner one's byte may come before or after its number. */
		size_t len = 0;
		while (len < 5)
			len += (size_t)must(sys(read, ready[0], bytes + len, 5 - len));
		memcpy(inner, bytes[0] == 'r' && bytes[4] != 'r' ? bytes + 1 : bytes, 4);
	} else {
		for (size_t len = 0; len < 4;)
			len += (size_t)must(sys(read, ready[0], bytes, 4 - len));
	}
	return pid;
}

static int leave(void *unused)
{
	(void)unused;
	return 3;
}

static int as_leader(void *unused)
{
	(void)unused;
	must(sys(setpgid, 0, 0));
	return err_of(sys(setsid));
}

/* One that has left a group of its own number behind, in which a child still is. */
static int with_named_group(void *unused)
{
	(void)unused;
	long old = sys(getpgrp);
	must(sys(setpgid, 0, 0));
	long pid = must(sys(fork));
	if (pid == 0) {
		char c;
		sys(read, go[0], &c, 1);
		sys(exit_group, 0);
	}
	must(sys(setpgid, 0, old));
	int r = err_of(sys(setsid));
	must(sys(kill, pid, SIGKILL));
	reap(pid);
	return r * 50 + err_of(sys(setsid));
}

static int of_session_leader(void *unused)
{
	(void)unused;
	must(sys(setsid));
	return err_of(sys(setpgid, 0, 0));
}

PROBE("session/rules", "own_twice", "child_joins", "child_of_other_session", "session_leader", "foreign_session_group", "grandchild", "parent", "ended_child", "group_of_ended", "kill_ended_group", "missing_group", "negative", "get_negative", "leader_begins",
      "named_group_begins", "zero_pid", "sessions")
{
	make_pipe(go, 0);
	make_pipe(ready, 0);
	long r = sys(setpgid, 0, 0);
	observe("own_twice", "setpgid", ret_int(r), ARGS(), STATE(f_errno("again", err_of(sys(setpgid, sys(getpid), sys(getpid)))), f_bool("leads", sys(getpgrp) == sys(getpid))));
	int32_t inner = 0;
	long child = start(2, NULL), other = start(0, NULL), session = start(1, NULL), parent = start(4, &inner);
	r = sys(setpgid, other, child);
	observe("child_joins", "setpgid", ret_int(r), ARGS(), STATE(f_bool("joined", sys(getpgid, other) == child)));
	observe("child_of_other_session", "setpgid", ret_int(sys(setpgid, session, 0)), ARGS(), STATE(f_bool("kept", sys(getpgid, session) == session)));
	observe("session_leader", "setpgid", ret_int(-WEXITSTATUS(reap(spawn(of_session_leader, NULL)))), ARGS(), STATE());
	observe("foreign_session_group", "setpgid", ret_int(sys(setpgid, other, session)), ARGS(), STATE(f_bool("kept", sys(getpgid, other) == child)));
	observe("grandchild", "setpgid", ret_int(sys(setpgid, inner, 0)), ARGS(), STATE(f_bool("kept", sys(getpgid, inner) == sys(getpgrp))));
	observe("parent", "setpgid", ret_int(sys(setpgid, sys(getppid), 0)), ARGS(), STATE());
	long ended = spawn(leave, NULL);
	siginfo_t info;
	must(sys(waitid, P_PID, ended, &info, WEXITED | WNOWAIT, NULL));
	r = sys(setpgid, ended, 0);
	observe("ended_child", "setpgid", ret_int(r), ARGS(), STATE(f_bool("leads", sys(getpgid, ended) == ended), f_bool("session", sys(getsid, ended) == sys(getsid, 0))));
	r = sys(setpgid, other, ended);
	observe("group_of_ended", "setpgid", ret_int(r), ARGS(), STATE(f_bool("joined", sys(getpgid, other) == ended)));
	must(sys(setpgid, other, child));
	r = sys(kill, -ended, 0);
	long r2 = sys(kill, ended, SIGKILL);
	observe("kill_ended_group", "kill", ret_int(r), ARGS(), STATE(f_errno("process", err_of(r2)), f_hex("status", (uint64_t)reap(ended))));
	observe("missing_group", "setpgid", ret_int(sys(setpgid, other, ended)), ARGS(), STATE(f_errno("get", err_of(sys(getpgid, ended))), f_errno("kill", err_of(sys(kill, -ended, 0)))));
	observe("negative", "setpgid", ret_int(sys(setpgid, 0, -1)), ARGS(f_int("pgid", -1)), STATE(f_errno("pid", err_of(sys(setpgid, -1, 0)))));
	observe("get_negative", "getpgid", ret_int(sys(getpgid, -1)), ARGS(f_int("pid", -1)), STATE(f_errno("session", err_of(sys(getsid, -1)))));
	observe("leader_begins", "setsid", ret_int(-WEXITSTATUS(reap(spawn(as_leader, NULL)))), ARGS(), STATE());
	int named = WEXITSTATUS(reap(spawn(with_named_group, NULL)));
	observe("named_group_begins", "setsid", ret_int(-(named / 50)), ARGS(), STATE(f_errno("later", named % 50)));
	observe("zero_pid", "getsid", ret_int(sys(getsid, 0) == sys(getsid, sys(getpid))), ARGS(f_int("pid", 0)), STATE(f_bool("group", sys(getpgid, 0) == sys(getpgrp))));
	observe("sessions", "getsid", ret_int(0), ARGS(), STATE(f_bool("own", sys(getsid, session) == session), f_bool("inner", sys(getsid, inner) == sys(getsid, parent))));
	must(sys(close, go[1]));
	must(sys(kill, inner, SIGKILL));
	must(sys(kill, child, SIGKILL));
	must(sys(kill, other, SIGKILL));
	must(sys(kill, session, SIGKILL));
	must(sys(kill, parent, SIGKILL));
}
