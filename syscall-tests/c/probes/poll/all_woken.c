/* One event wakes everybody who waits for it, in whatever way. */
#include "probe.h"

static long event, ep, results[4];
static uint64_t value;

static int polls(void *at)
{
	struct pollfd e = {(int)event, POLLIN, 0};
	*(long *)at = sys(poll, &e, 1, -1);
	return 0;
}

static int selects(void *at)
{
	uint64_t set[16] = {1ull << event};
	*(long *)at = sys(select, event + 1, set, NULL, NULL, NULL);
	return 0;
}

static int waits(void *at)
{
	struct epoll_event out;
	*(long *)at = sys(epoll_wait, ep, &out, 1, -1);
	return 0;
}

PROBE("poll/all_woken", "polling", "selecting", "epoll")
{
	event = must(sys(eventfd2, 0, 0));
	require(event < 64);
	ep = must(sys(epoll_create1, 0));
	struct epoll_event want = {EPOLLIN, {.u64 = 1}};
	must(sys(epoll_ctl, ep, EPOLL_CTL_ADD, event, &want));
	static struct thread t[4];
	int (*const bodies[4])(void *) = {polls, polls, selects, waits};
	for (int i = 0; i < 4; i++) {
		thread_start(&t[i], bodies[i], &results[i]);
		await_sleep(sys(getpid), t[i].tid);
	}
	value = 1;
	must(sys(write, event, &value, 8));
	for (int i = 0; i < 4; i++)
		thread_join(&t[i]);
	observe("polling", "poll", ret_int(results[0]), ARGS(), STATE(f_int("second", results[1])));
	observe("selecting", "select", ret_int(results[2]), ARGS(), STATE());
	observe("epoll", "epoll_wait", ret_int(results[3]), ARGS(), STATE());
}
