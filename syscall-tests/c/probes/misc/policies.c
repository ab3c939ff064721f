/* Scheduling policies: which priorities go with them, who may choose them, what is left by a refusal, SCHED_RESET_ON_FORK. */
#include "probe.h"

static int32_t *shared;

static long policy_of(void) { return sys(sched_getscheduler, 0); }
static int priority_of(void)
{
	struct sched_param p = {-1};
	sys(sched_getparam, 0, &p);
	return p.sched_priority;
}
static long set(int policy, int priority)
{
	struct sched_param p = {priority};
	return sys(sched_setscheduler, 0, policy, &p);
}

static const struct {
	const char *id;
	int policy, priority;
} cases[] = {
	{"fifo_zero", SCHED_FIFO, 0}, {"fifo_one", SCHED_FIFO, 1}, {"fifo_last", SCHED_FIFO, 99}, {"fifo_beyond", SCHED_FIFO, 100}, {"round_robin", SCHED_RR, 50}, {"batch_one", SCHED_BATCH, 1}, {"idle", SCHED_IDLE, 0},
	{"other_one", SCHED_OTHER, 1}, {"other_negative", SCHED_OTHER, -1}, {"reset", SCHED_BATCH | SCHED_RESET_ON_FORK, 0}, {"reset_kept", SCHED_OTHER, 0}, {"unknown", 4, 0}, {"negative", -1, 0}, {"fifo_reset", SCHED_FIFO | SCHED_RESET_ON_FORK, 7},
};

static int sequence(void *unused)
{
	(void)unused;
	int n = 0;
	for (size_t i = 0; i < countof(cases); i++) {
		shared[n++] = err_of(set(cases[i].policy, cases[i].priority));
		shared[n++] = (int32_t)policy_of();
		shared[n++] = priority_of();
	}
	return 0;
}

static int setparam(void *unused)
{
	(void)unused;
	struct sched_param p = {33};
	must(set(SCHED_RR | SCHED_RESET_ON_FORK, 20));
	shared[0] = err_of(sys(sched_setparam, 0, &p));
	shared[1] = (int32_t)policy_of();
	shared[2] = priority_of();
	p.sched_priority = 0;
	shared[3] = err_of(sys(sched_setparam, 0, &p));
	shared[4] = priority_of();
	return 0;
}

static int ordinary(void *unused)
{
	(void)unused;
	struct rlimit limit = {0, 0};
	must(sys(setrlimit, RLIMIT_RTPRIO, &limit));
	must(sys(setresuid, 63000, 63000, 63000));
	int n = 0;
	shared[n++] = err_of(set(SCHED_FIFO, 1));
	shared[n++] = err_of(set(SCHED_RR, 10));
	shared[n++] = err_of(set(SCHED_RR, 11));
	shared[n++] = priority_of();
	shared[n++] = err_of(set(SCHED_BATCH, 0));
	shared[n++] = err_of(set(SCHED_OTHER | SCHED_RESET_ON_FORK, 0));
	shared[n++] = err_of(set(SCHED_OTHER, 0));
	shared[n++] = (int32_t)policy_of();
	struct sched_param none = {0};
	shared[n++] = err_of(sys(sched_setscheduler, sys(getppid), SCHED_OTHER, &none));
	return 0;
}

PROBE("misc/policies", "fifo_zero", "fifo_one", "fifo_last", "fifo_beyond", "round_robin", "batch_one", "idle", "other_one", "other_negative", "reset", "reset_kept", "unknown", "negative", "fifo_reset", "setparam", "ordinary",
      "ranges")
{
	shared = pages(1, true);
	require(reap(spawn(sequence, NULL)) == 0);
	for (size_t i = 0; i < countof(cases); i++)
		observe(cases[i].id, "sched_setscheduler", ret_int(-shared[3 * i]), ARGS(f_hex("policy", (uint64_t)(uint32_t)cases[i].policy), f_int("priority", cases[i].priority)),
			STATE(f_hex("policy", (uint64_t)shared[3 * i + 1]), f_int("priority", shared[3 * i + 2])));
	require(reap(spawn(setparam, NULL)) == 0);
	observe("setparam", "sched_setparam", ret_int(-shared[0]), ARGS(f_int("priority", 33)), STATE(f_hex("policy", (uint64_t)shared[1]), f_int("priority", shared[2]), f_errno("zero", shared[3]), f_int("kept", shared[4])));
	require(reap(spawn(ordinary, NULL)) == 0);
	struct value seen[9];
	for (int k = 0; k < 9; k++)
		seen[k] = v_int(shared[k]);
	observe("ordinary", "sched_setscheduler", ret_int(0), ARGS(f_int("limit", 0)), STATE(f_value("answers", v_items_(V_LIST, seen, 9))));
	struct value ranges[16];
	for (int i = 0; i < 8; i++) {
		ranges[2 * i] = v_int(sys(sched_get_priority_min, i));
		ranges[2 * i + 1] = v_int(sys(sched_get_priority_max, i));
	}
	observe("ranges", "sched_get_priority_max", ret_int(0), ARGS(), STATE(f_value("ranges", v_items_(V_LIST, ranges, 16))));
}
