/* Numbers of threads where a process is named, personality, groups of ids, flags of getrandom. */
#include "probe.h"
#include <sys/random.h>

static long tid, answers[6];

static int thread(void *unused)
{
	(void)unused;
	tid = sys(gettid);
	answers[0] = sys(getpgid, tid);
	answers[1] = sys(getsid, tid);
	answers[2] = sys(kill, tid, 0);
	answers[3] = sys(setpgid, tid, 0);
	answers[4] = sys(getpriority, PRIO_PROCESS, tid);
	answers[5] = sys(prlimit64, tid, RLIMIT_CORE, NULL, NULL);
	return 0;
}

PROBE("process/relations", "of_thread", "personality", "groups_most", "groups_beyond", "groups_order", "groups_bad", "random_flags")
{
	struct thread t;
	thread_start(&t, thread, NULL);
	thread_join(&t);
	observe("of_thread", "getpgid", ret_pid(answers[0]), ARGS(), STATE(f_bool("group", answers[0] == sys(getpgrp)), f_bool("session", answers[1] == sys(getsid, 0)), f_errno("kill", err_of(answers[2])), f_errno("setpgid", err_of(answers[3])), f_int("priority", answers[4]), f_errno("prlimit", err_of(answers[5]))));
	long before = sys(personality, 0xffffffff);
	long r = sys(personality, 0x0040000);
	long now = sys(personality, 0xffffffff), again = sys(personality, 0xffffffff);
	sys(personality, before);
	observe("personality", "personality", ret_hex(r), ARGS(f_hex("persona", 0x40000)), STATE(f_hex("now", (uint64_t)now), f_hex("again", (uint64_t)again)));
	uint32_t *many = pages(70, false), back[5];
	for (uint32_t i = 0; i < 65537; i++)
		many[i] = i + 5;
	r = sys(setgroups, 65536, many);
	observe("groups_most", "setgroups", ret_int(r), ARGS(f_int("size", 65536)), STATE(f_int("count", sys(getgroups, 0, NULL))));
	r = sys(setgroups, 65537, many);
	observe("groups_beyond", "setgroups", ret_int(r), ARGS(f_int("size", 65537)), STATE(f_int("count", sys(getgroups, 0, NULL))));
	uint32_t five[5] = {9, 3, 7, 3, 1};
	r = sys(setgroups, 5, five);
	must(sys(getgroups, 5, back));
	observe("groups_order", "setgroups", ret_int(r), ARGS(f_int("size", 5)), STATE(f_list("groups", v_uint(back[0]), v_uint(back[1]), v_uint(back[2]), v_uint(back[3]), v_uint(back[4]))));
	five[2] = 0xffffffff;
	r = sys(setgroups, 5, five);
	observe("groups_bad", "setgroups", ret_int(r), ARGS(), STATE(f_int("count", sys(getgroups, 0, NULL)), f_errno("negative", err_of(sys(setgroups, -1, five))), f_errno("get_negative", err_of(sys(getgroups, -1, five))), f_errno("small", err_of(sys(getgroups, 1, five)))));
	char buf[8];
	observe("random_flags", "getrandom", ret_int(sys(getrandom, buf, 8, GRND_RANDOM | GRND_INSECURE)), ARGS(f_hex("flags", GRND_RANDOM | GRND_INSECURE)), STATE(f_int("random", sys(getrandom, buf, 8, GRND_RANDOM)), f_int("insecure", sys(getrandom, buf, 8, GRND_INSECURE)), f_int("all", sys(getrandom, buf, 8, GRND_INSECURE | GRND_NONBLOCK))));
}
