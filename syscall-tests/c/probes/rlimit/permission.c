/* Who may raise which limit, of himself and of others. */
#include "probe.h"

static int32_t *shared;
static int go[2];

static int sleeper(void *arg)
{
	char c;
	const int *ids = arg;
	must(sys(setresgid, ids[3], ids[4], ids[5]));
	must(sys(setresuid, ids[0], ids[1], ids[2]));
	sys(read, go[0], &c, 1);
	return 0;
}

static const int others[][6] = {
	{62000, 62000, 62000, 62000, 62000, 62000}, {62000, 62001, 62000, 62000, 62000, 62000}, {62000, 62000, 62001, 62000, 62000, 62000}, {62001, 62000, 62000, 62000, 62000, 62000},
	{62000, 62000, 62000, 62001, 62000, 62000}, {62000, 62000, 62000, 62000, 62001, 62000}, {62000, 62000, 62000, 62000, 62000, 62001},
};
static long pids[countof(others)];

static long set(long pid, int resource, uint64_t cur, uint64_t max)
{
	struct rlimit limit = {cur, max};
	return sys(prlimit64, pid, resource, &limit, NULL);
}

static int ordinary(void *unused)
{
	(void)unused;
	must(set(0, RLIMIT_CORE, 10, 100));
	must(sys(setresgid, 62000, 62000, 62000));
	must(sys(setresuid, 62000, 62000, 62000));
	int n = 0;
	shared[n++] = err_of(set(0, RLIMIT_CORE, 100, 100));
	shared[n++] = err_of(set(0, RLIMIT_CORE, 50, 101));
	shared[n++] = err_of(set(0, RLIMIT_CORE, 101, 100));
	shared[n++] = err_of(set(0, RLIMIT_CORE, 60, 90));
	shared[n++] = err_of(set(0, RLIMIT_CORE, 60, 100));
	struct rlimit now = {0, 0};
	must(sys(getrlimit, RLIMIT_CORE, &now));
	shared[n++] = (int32_t)now.rlim_cur;
	shared[n++] = (int32_t)now.rlim_max;
	for (size_t i = 0; i < countof(others); i++) {
		shared[n++] = err_of(set(pids[i], RLIMIT_CORE, 0, 0));
		shared[n++] = err_of(sys(prlimit64, pids[i], RLIMIT_CORE, NULL, &now));
	}
	return 0;
}

PROBE("rlimit/permission", "own", "others", "nofile_lower", "nofile_beyond", "nofile_soft", "bad_before_missing", "missing", "old_with_error", "same")
{
	shared = pages(1, true);
	make_pipe(go, 0);
	for (size_t i = 0; i < countof(others); i++) {
		pids[i] = spawn(sleeper, (void *)others[i]);
		await_sleep(pids[i], pids[i]);
	}
	require(reap(spawn(ordinary, NULL)) == 0);
	struct value own[7], of_others[2 * countof(others)];
	for (int i = 0; i < 7; i++)
		own[i] = v_int(shared[i]);
	for (size_t i = 0; i < countof(of_others); i++)
		of_others[i] = v_errno(shared[7 + i]);
	observe("own", "prlimit64", ret_int(0), ARGS(), STATE(f_value("answers", v_items_(V_LIST, own, 7))));
	observe("others", "prlimit64", ret_int(0), ARGS(), STATE(f_value("answers", v_items_(V_LIST, of_others, countof(of_others)))));
	struct rlimit now;
	must(sys(getrlimit, RLIMIT_NOFILE, &now));
	long r = set(0, RLIMIT_NOFILE, 500, 1000);
	must(sys(getrlimit, RLIMIT_NOFILE, &now));
	observe("nofile_lower", "prlimit64", ret_int(r), ARGS(f_uint("max", 1000)), STATE(f_uint("cur", now.rlim_cur), f_uint("max", now.rlim_max)));
	r = set(0, RLIMIT_NOFILE, 400, 1ull << 40);
	must(sys(getrlimit, RLIMIT_NOFILE, &now));
	observe("nofile_beyond", "prlimit64", ret_int(r), ARGS(f_uint("max", 1ull << 40)), STATE(f_uint("cur", now.rlim_cur), f_uint("max", now.rlim_max)));
	r = set(0, RLIMIT_NOFILE, 3000, 2000);
	observe("nofile_soft", "prlimit64", ret_int(r), ARGS(f_uint("cur", 3000), f_uint("max", 2000)), STATE());
	observe("bad_before_missing", "prlimit64", ret_int(sys(prlimit64, 1 << 22, 99, NULL, &now)), ARGS(f_int("resource", 99)), STATE());
	observe("missing", "prlimit64", ret_int(sys(prlimit64, 1 << 22, RLIMIT_CORE, NULL, &now)), ARGS(), STATE());
	struct rlimit old = {77, 77}, wrong = {2, 1};
	r = sys(prlimit64, 0, RLIMIT_CORE, &wrong, &old);
	observe("old_with_error", "prlimit64", ret_int(r), ARGS(), STATE(f_uint("old", old.rlim_cur)));
	must(set(0, RLIMIT_CORE, 5, 6));
	struct rlimit both = {3, 4};
	r = sys(prlimit64, 0, RLIMIT_CORE, &both, &both);
	must(sys(getrlimit, RLIMIT_CORE, &now));
	observe("same", "prlimit64", ret_int(r), ARGS(), STATE(f_uint("old", both.rlim_cur), f_uint("now", now.rlim_cur)));
	must(sys(close, go[1]));
}
