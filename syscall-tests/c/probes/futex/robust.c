/* A thread that dies with a robust lock held leaves FUTEX_OWNER_DIED and wakes a waiter. */
#include "probe.h"

static struct {
	struct robust_list_head head;
	struct robust_list node;
	uint32_t lock;
} data;
static long registered;

static int holder(void *unused)
{
	(void)unused;
	data.head.list.next = &data.node;
	data.node.next = &data.head.list;
	data.head.futex_offset = (long)((char *)&data.lock - (char *)&data.node);
	data.head.list_op_pending = NULL;
	registered = sys(set_robust_list, &data.head, sizeof data.head);
	data.lock = (uint32_t)sys(gettid) | FUTEX_WAITERS;
	return 0;
}

PROBE("futex/robust", "register", "died", "again", "get", "bad_length")
{
	struct thread t;
	thread_start(&t, holder, NULL);
	thread_join(&t);
	observe("register", "set_robust_list", ret_int(registered), ARGS(f_uint("len", sizeof data.head)), STATE());
	observe("died", "exit", ret_int(0), ARGS(), STATE(f_hex("word", data.lock)));
	long r = sys(set_robust_list, &data.head, sizeof data.head);
	struct robust_list_head *got = NULL;
	size_t len = 0;
	data.head.list.next = &data.head.list;
	observe("again", "set_robust_list", ret_int(r), ARGS(f_uint("len", sizeof data.head)), STATE());
	r = sys(get_robust_list, 0, &got, &len);
	observe("get", "get_robust_list", ret_int(r), ARGS(f_int("pid", 0)), STATE(f_bool("head", got == &data.head), f_uint("len", len)));
	observe("bad_length", "set_robust_list", ret_int(sys(set_robust_list, &data.head, 8)), ARGS(f_uint("len", 8)), STATE());
}
