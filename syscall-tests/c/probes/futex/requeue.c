/* Waiters move to another word; FUTEX_WAKE_OP changes one word and wakes on two. */
#include "probe.h"

static int32_t from, to;
static long results[3];

static int waiter(void *slot)
{
	results[(long)slot] = sys(futex, &from, FUTEX_WAIT, 0, NULL);
	return 0;
}

PROBE("futex/requeue", "cmp_mismatch", "cmp_requeue", "left", "moved", "wake_op", "wake_op_word")
{
	struct thread threads[3];
	for (long i = 0; i < 3; i++) {
		thread_start(&threads[i], waiter, (void *)i);
		await_waiters(&from, 0, 0, i + 1);
	}
	observe("cmp_mismatch", "futex", ret_int(sys(futex, &from, FUTEX_CMP_REQUEUE, 1, 10, &to, 7)), ARGS(f_int("val3", 7)), STATE());
	observe("cmp_requeue", "futex", ret_int(sys(futex, &from, FUTEX_CMP_REQUEUE, 1, 10, &to, 0)), ARGS(f_int("wake", 1), f_int("requeue", 10)), STATE());
	observe("left", "futex", ret_int(sys(futex, &from, FUTEX_WAKE, 10)), ARGS(), STATE());
	observe("moved", "futex", ret_int(sys(futex, &to, FUTEX_WAKE, 10)), ARGS(), STATE());
	for (int i = 0; i < 3; i++)
		thread_join(&threads[i]);
	struct thread t;
	thread_start(&t, waiter, (void *)0);
	await_waiters(&from, 0, 0, 1);
	to = 5;
	long r = sys(futex, &from, FUTEX_WAKE_OP, 10, 10, &to, FUTEX_OP(FUTEX_OP_ADD, 3, FUTEX_OP_CMP_GT, 100));
	thread_join(&t);
	observe("wake_op", "futex", ret_int(r), ARGS(f_int("op", FUTEX_WAKE_OP)), STATE(f_int("word", to), f_int("result", results[0])));
	r = sys(futex, &from, FUTEX_WAKE_OP, 10, 10, &to, FUTEX_OP(FUTEX_OP_SET, 42, FUTEX_OP_CMP_EQ, 8));
	observe("wake_op_word", "futex", ret_int(r), ARGS(f_int("op", FUTEX_WAKE_OP)), STATE(f_int("word", to)));
}
