/* What the signal of PR_SET_PDEATHSIG tells: who has died, whichever way it was. */
#include "probe.h"

static long *shared;
enum { READY, PARENT, CODE, PID, UID, DONE };

static int child(void *arg)
{
	(void)arg;
	uint64_t set = SIGBIT(SIGUSR1);
	siginfo_t info = {.si_signo = 0};
	mask_signals(SIG_BLOCK, set);
	must(sys(prctl, 1, SIGUSR1));
	__atomic_store_n(&shared[READY], 1, __ATOMIC_SEQ_CST);
	must(sys(rt_sigtimedwait, &set, &info, NULL, 8));
	shared[CODE] = info.si_code;
	shared[PID] = info.si_pid == shared[PARENT];
	shared[UID] = info.si_uid;
	__atomic_store_n(&shared[DONE], 1, __ATOMIC_SEQ_CST);
	return 0;
}

static int parent(void *killed)
{
	shared[PARENT] = sys(getpid);
	if (sys(setresuid, killed ? 1235 : 1234, 0, 0))
		return 1;
	spawn(child, NULL);
	while (!__atomic_load_n(&shared[READY], __ATOMIC_SEQ_CST))
		sys(sched_yield);
	if (killed)
		sys(kill, sys(getpid), SIGKILL);
	return 0;
}

PROBE("prctl/parent_death_info", "exits", "killed")
{
	static const char *const ids[] = {"exits", "killed"};
	must(sys(prctl, 36, 1));
	for (int i = 0; i < 2; i++) {
		shared = pages(1, true);
		int status = reap(spawn(parent, i ? shared : NULL));
		while (!__atomic_load_n(&shared[DONE], __ATOMIC_SEQ_CST))
			sys(sched_yield);
		must(sys(wait4, -1, NULL, 0, NULL));
		observe(ids[i], "prctl", ret_int(status), ARGS(),
			STATE(f_int("code", shared[CODE]), f_bool("parent", shared[PID]), f_int("uid", shared[UID])));
	}
}
