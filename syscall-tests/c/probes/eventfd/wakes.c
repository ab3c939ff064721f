/* A blocked read is woken by a write from another thread. */
#include "probe.h"

static long fd, result;
static uint64_t got;

static int reader(void *unused)
{
	(void)unused;
	result = sys(read, fd, &got, 8);
	return 0;
}

PROBE("eventfd/wakes", "woken")
{
	fd = must(sys(eventfd2, 0, 0));
	struct thread t;
	thread_start(&t, reader, NULL);
	await_sleep(sys(getpid), t.tid);
	uint64_t v = 77;
	must(sys(write, fd, &v, 8));
	thread_join(&t);
	observe("woken", "read", ret_int(result), ARGS(f_uint("count", 8)), STATE(f_uint("value", got)));
}
