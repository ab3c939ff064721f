/* Sixteen threads under one lock made of a futex: no increment is lost. */
#include "probe.h"

static int32_t lock;
static long counter, order_broken;

static void take(void)
{
	int32_t free = 0;
	if (__atomic_compare_exchange_n(&lock, &free, 1, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		return;
	while (__atomic_exchange_n(&lock, 2, __ATOMIC_SEQ_CST) != 0)
		sys(futex, &lock, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 2, NULL);
}

static void give(void)
{
	if (__atomic_exchange_n(&lock, 0, __ATOMIC_SEQ_CST) == 2)
		sys(futex, &lock, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1);
}

static int body(void *unused)
{
	(void)unused;
	for (int i = 0; i < 200; i++) {
		take();
		long before = counter;
		if (i % 20 == 0)
			sys(sched_yield);
		order_broken += counter != before;
		counter = before + 1;
		give();
	}
	return 0;
}

PROBE("thread/many", "counted")
{
	static struct thread threads[16];
	for (size_t i = 0; i < countof(threads); i++)
		thread_start(&threads[i], body, NULL);
	for (size_t i = 0; i < countof(threads); i++)
		thread_join(&threads[i]);
	observe("counted", "clone", ret_int(0), ARGS(f_uint("threads", countof(threads))),
		STATE(f_int("counter", counter), f_int("broken", order_broken), f_int("lock", lock)));
}
