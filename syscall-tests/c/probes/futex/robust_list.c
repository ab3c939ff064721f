/* set_robust_list and get_robust_list: whose list, how long a head, and who may ask. */
#include "probe.h"

struct head {
	void *next;
	long offset;
	void *pending;
};

static struct head main_head = {&main_head, 0, NULL}, thread_head = {&thread_head, 0, NULL};
static int32_t stage;
static long tid;

static int thread(void *unused)
{
	(void)unused;
	tid = sys(gettid);
	sys(set_robust_list, &thread_head, sizeof thread_head);
	__atomic_store_n(&stage, 1, __ATOMIC_SEQ_CST);
	sys(futex, &stage, FUTEX_WAKE, 1);
	for (int32_t v; (v = __atomic_load_n(&stage, __ATOMIC_SEQ_CST)) < 2;)
		sys(futex, &stage, FUTEX_WAIT, v, NULL);
	return 0;
}

static int stranger(void *pid)
{
	void *head;
	size_t len;
	must(sys(setresuid, 61000, 61000, 61000));
	return err_of(sys(get_robust_list, (long)pid, &head, &len));
}

PROBE("futex/robust_list", "set", "short", "long", "kept", "of_thread", "of_parent", "missing", "stranger", "fault")
{
	void *head = NULL;
	size_t len = 0;
	long r = sys(set_robust_list, &main_head, sizeof main_head);
	must(sys(get_robust_list, 0, &head, &len));
	observe("set", "set_robust_list", ret_int(r), ARGS(f_uint("len", sizeof main_head)), STATE(f_bool("same", head == &main_head), f_uint("len", len)));
	observe("short", "set_robust_list", ret_int(sys(set_robust_list, &thread_head, 23)), ARGS(f_uint("len", 23)), STATE());
	observe("long", "set_robust_list", ret_int(sys(set_robust_list, &thread_head, 32)), ARGS(f_uint("len", 32)), STATE());
	must(sys(get_robust_list, sys(gettid), &head, &len));
	observe("kept", "get_robust_list", ret_int(0), ARGS(), STATE(f_bool("same", head == &main_head)));
	struct thread t;
	thread_start(&t, thread, NULL);
	for (int32_t v; (v = __atomic_load_n(&stage, __ATOMIC_SEQ_CST)) == 0;)
		sys(futex, &stage, FUTEX_WAIT, v, NULL);
	r = sys(get_robust_list, tid, &head, &len);
	observe("of_thread", "get_robust_list", ret_int(r), ARGS(), STATE(f_bool("thread", head == &thread_head)));
	__atomic_store_n(&stage, 2, __ATOMIC_SEQ_CST);
	sys(futex, &stage, FUTEX_WAKE, 1);
	thread_join(&t);
	long pid = must(sys(fork));
	if (pid == 0) {
		r = sys(get_robust_list, sys(getppid), &head, &len);
		sys(exit_group, r != 0 ? 99 : head == &main_head);
	}
	observe("of_parent", "get_robust_list", ret_int(0), ARGS(), STATE(f_int("seen", WEXITSTATUS(reap(pid)))));
	observe("missing", "get_robust_list", ret_int(sys(get_robust_list, 1 << 22, &head, &len)), ARGS(), STATE());
	observe("stranger", "get_robust_list", ret_int(-WEXITSTATUS(reap(spawn(stranger, (void *)sys(getpid))))), ARGS(), STATE());
	observe("fault", "get_robust_list", ret_int(sys(get_robust_list, 0, 8, &len)), ARGS(), STATE(f_errno("length", err_of(sys(get_robust_list, 0, &head, 8)))));
}
