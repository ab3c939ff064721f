/* Further arguments of prctl's operations, names of threads, timer slack. */
#include "probe.h"
#include <sys/prctl.h>

static char name[17];

static int thread(void *unused)
{
	(void)unused;
	sys(prctl, PR_GET_NAME, name, 0, 0, 0);
	sys(prctl, PR_SET_NAME, "of the thread", 0, 0, 0);
	sys(prctl, PR_SET_TIMERSLACK, 4242, 0, 0, 0);
	return 0;
}

PROBE("prctl/arguments", "no_new_privs", "no_new_privs_two", "get_no_new_privs", "slack", "slack_zero", "thread_name", "thread_slack", "empty_name", "bad_name", "subreaper", "dumpable", "pdeathsig", "unknown", "capbset")
{
	long r = sys(prctl, PR_SET_NO_NEW_PRIVS, 1, 1, 0, 0);
	observe("no_new_privs", "prctl", ret_int(r), ARGS(f_int("arg3", 1)), STATE(f_errno("arg4", err_of(sys(prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 1, 0))), f_errno("arg5", err_of(sys(prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 1))), f_int("now", sys(prctl, PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0))));
	r = sys(prctl, PR_SET_NO_NEW_PRIVS, 2, 0, 0, 0);
	observe("no_new_privs_two", "prctl", ret_int(r), ARGS(f_int("arg2", 2)), STATE(f_int("now", sys(prctl, PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0))));
	observe("get_no_new_privs", "prctl", ret_int(sys(prctl, PR_GET_NO_NEW_PRIVS, 1, 0, 0, 0)), ARGS(f_int("arg2", 1)), STATE());
	long before = sys(prctl, PR_GET_TIMERSLACK, 0, 0, 0, 0);
	r = sys(prctl, PR_SET_TIMERSLACK, 987654321, 0, 0, 0);
	observe("slack", "prctl", ret_int(r), ARGS(f_int("slack", 987654321)), STATE(f_int("before", before), f_int("now", sys(prctl, PR_GET_TIMERSLACK, 0, 0, 0, 0))));
	r = sys(prctl, PR_SET_TIMERSLACK, 0, 0, 0, 0);
	observe("slack_zero", "prctl", ret_int(r), ARGS(f_int("slack", 0)), STATE(f_bool("default", sys(prctl, PR_GET_TIMERSLACK, 0, 0, 0, 0) == before)));
	char own[17] = "";
	must(sys(prctl, PR_SET_NAME, "of the process", 0, 0, 0));
	struct thread t;
	thread_start(&t, thread, NULL);
	thread_join(&t);
	r = sys(prctl, PR_GET_NAME, own, 0, 0, 0);
	observe("thread_name", "prctl", ret_int(r), ARGS(), STATE(f_str("inherited", name), f_str("own", own)));
	observe("thread_slack", "prctl", ret_int(0), ARGS(), STATE(f_bool("own", sys(prctl, PR_GET_TIMERSLACK, 0, 0, 0, 0) == before)));
	r = sys(prctl, PR_SET_NAME, "", 0, 0, 0);
	must(sys(prctl, PR_GET_NAME, own, 0, 0, 0));
	observe("empty_name", "prctl", ret_int(r), ARGS(), STATE(f_str("own", own)));
	observe("bad_name", "prctl", ret_int(sys(prctl, PR_SET_NAME, 8, 0, 0, 0)), ARGS(), STATE(f_errno("get", err_of(sys(prctl, PR_GET_NAME, 8, 0, 0, 0)))));
	int is = -1;
	r = sys(prctl, PR_SET_CHILD_SUBREAPER, 77, 0, 0, 0);
	must(sys(prctl, PR_GET_CHILD_SUBREAPER, &is, 0, 0, 0));
	must(sys(prctl, PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0));
	int off = -1;
	must(sys(prctl, PR_GET_CHILD_SUBREAPER, &off, 0, 0, 0));
	observe("subreaper", "prctl", ret_int(r), ARGS(f_int("arg2", 77)), STATE(f_int("now", is), f_int("off", off), f_errno("bad", err_of(sys(prctl, PR_GET_CHILD_SUBREAPER, 8, 0, 0, 0)))));
	observe("dumpable", "prctl", ret_int(sys(prctl, PR_SET_DUMPABLE, 3, 0, 0, 0)), ARGS(f_int("arg2", 3)), STATE(f_int("now", sys(prctl, PR_GET_DUMPABLE, 0, 0, 0, 0))));
	r = sys(prctl, PR_SET_PDEATHSIG, 64, 0, 0, 0);
	int signal = 0;
	must(sys(prctl, PR_GET_PDEATHSIG, &signal, 0, 0, 0));
	observe("pdeathsig", "prctl", ret_int(r), ARGS(f_int("signal", 64)), STATE(f_int("now", signal), f_errno("bad", err_of(sys(prctl, PR_SET_PDEATHSIG, -1, 0, 0, 0)))));
	observe("unknown", "prctl", ret_int(sys(prctl, 0, 0, 0, 0, 0)), ARGS(f_int("op", 0)), STATE());
	observe("capbset", "prctl", ret_int(sys(prctl, PR_CAPBSET_READ, 40, 0, 0, 0)), ARGS(f_int("cap", 40)), STATE(f_errno("beyond", err_of(sys(prctl, PR_CAPBSET_READ, 41, 0, 0, 0)))));
}
