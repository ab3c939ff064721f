/* Only matching bits wake; the time limit is absolute. */
#include "probe.h"

static int32_t word;
static long results[2];

static int waiter(void *slot)
{
	results[(long)slot] = sys(futex, &word, FUTEX_WAIT_BITSET, 0, NULL, NULL, 1l << (long)slot);
	return 0;
}

PROBE("futex/bitset", "other_bit", "first", "second", "absolute", "past", "realtime_past", "no_bits")
{
	struct thread threads[2];
	for (long i = 0; i < 2; i++) {
		results[i] = 12345;
		thread_start(&threads[i], waiter, (void *)i);
		await_waiters(&word, 0, 0, i + 1);
	}
	observe("other_bit", "futex", ret_int(sys(futex, &word, FUTEX_WAKE_BITSET, 10, NULL, NULL, 4)), ARGS(f_hex("bits", 4)), STATE());
	long r = sys(futex, &word, FUTEX_WAKE_BITSET, 10, NULL, NULL, 2);
	thread_join(&threads[1]);
	observe("second", "futex", ret_int(r), ARGS(f_hex("bits", 2)), STATE(f_int("result", results[1]), f_int("first_still", results[0])));
	r = sys(futex, &word, FUTEX_WAKE, 10);
	thread_join(&threads[0]);
	observe("first", "futex", ret_int(r), ARGS(f_int("op", FUTEX_WAKE)), STATE(f_int("result", results[0])));
	int64_t at = now_ns() + 15000000;
	struct timespec t = {at / 1000000000, at % 1000000000};
	r = sys(futex, &word, FUTEX_WAIT_BITSET, 0, &t, NULL, ~0u);
	observe("absolute", "futex", ret_int(r), ARGS(), STATE(f_dur("late", now_ns() - at, 0, 5000000000)));
	t = (struct timespec){1, 0};
	observe("past", "futex", ret_int(sys(futex, &word, FUTEX_WAIT_BITSET, 0, &t, NULL, ~0u)), ARGS(), STATE());
	observe("realtime_past", "futex", ret_int(sys(futex, &word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, &t, NULL, ~0u)), ARGS(), STATE());
	observe("no_bits", "futex", ret_int(sys(futex, &word, FUTEX_WAIT_BITSET, 0, NULL, NULL, 0)), ARGS(f_hex("bits", 0)), STATE());
}
