/* A waiter sleeps while the word is as expected, and is woken by count. */
#include "probe.h"

static int32_t word;
static long results[3];

static int waiter(void *slot)
{
	results[(long)slot] = sys(futex, &word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 0, NULL);
	return 0;
}

PROBE("futex/wait_wake", "mismatch", "timeout", "wake_none", "wake_one", "wake_rest", "woken", "unaligned", "efault", "bad_timeout")
{
	observe("mismatch", "futex", ret_int(sys(futex, &word, FUTEX_WAIT, 1, NULL)), ARGS(f_int("op", FUTEX_WAIT), f_int("val", 1)), STATE());
	struct timespec t = {0, 15000000};
	int64_t before = now_ns();
	long r = sys(futex, &word, FUTEX_WAIT, 0, &t);
	observe("timeout", "futex", ret_int(r), ARGS(f_int("op", FUTEX_WAIT)), STATE(f_dur("waited", now_ns() - before, 15000000, 5000000000)));
	observe("wake_none", "futex", ret_int(sys(futex, &word, FUTEX_WAKE, 1)), ARGS(f_int("op", FUTEX_WAKE)), STATE());
	struct thread threads[3];
	for (long i = 0; i < 3; i++) {
		results[i] = 12345;
		thread_start(&threads[i], waiter, (void *)i);
		await_waiters(&word, FUTEX_PRIVATE_FLAG, 0, i + 1);
	}
	observe("wake_one", "futex", ret_int(sys(futex, &word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1)), ARGS(f_int("val", 1)), STATE());
	observe("wake_rest", "futex", ret_int(sys(futex, &word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, INT_MAX)), ARGS(f_int("val", INT_MAX)), STATE());
	for (int i = 0; i < 3; i++)
		thread_join(&threads[i]);
	observe("woken", "futex", ret_int(results[0]), ARGS(f_int("op", FUTEX_WAIT)), STATE(f_int("second", results[1]), f_int("third", results[2])));
	observe("unaligned", "futex", ret_int(sys(futex, (char *)&word + 1, FUTEX_WAIT, 0, NULL)), ARGS(), STATE());
	observe("efault", "futex", ret_int(sys(futex, 16, FUTEX_WAIT, 0, NULL)), ARGS(), STATE());
	t.tv_nsec = 1000000000;
	observe("bad_timeout", "futex", ret_int(sys(futex, &word, FUTEX_WAIT, 0, &t)), ARGS(f_int("nsec", 1000000000)), STATE());
}
