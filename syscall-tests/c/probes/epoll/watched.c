/* An instance that another one watches: ready as long as something in it is. */
#include "probe.h"

static struct epoll_event out[2];

static long watch(long outer, long inner, uint32_t events)
{
	struct epoll_event e = {events, {.u64 = (uint64_t)inner}};
	return sys(epoll_ctl, outer, EPOLL_CTL_ADD, inner, &e);
}

static long ready(long fd)
{
	struct pollfd p = {(int)fd, POLLIN | POLLOUT, 0};
	must(sys(poll, &p, 1, 0));
	return p.revents;
}

PROBE("epoll/watched", "idle", "ready", "outer", "drained", "outer_drained", "circle", "itself", "depth", "woken")
{
	long inner = must(sys(epoll_create1, 0)), outer = must(sys(epoll_create1, 0)), event = must(sys(eventfd2, 0, O_NONBLOCK));
	must(watch(inner, event, EPOLLIN));
	must(watch(outer, inner, EPOLLIN));
	observe("idle", "poll", ret_hex(ready(inner)), ARGS(), STATE(f_hex("outer", (uint64_t)ready(outer))));
	uint64_t one = 1;
	must(sys(write, event, &one, 8));
	observe("ready", "poll", ret_hex(ready(inner)), ARGS(), STATE(f_hex("outer", (uint64_t)ready(outer))));
	long r = sys(epoll_wait, outer, out, 2, 0);
	observe("outer", "epoll_wait", ret_int(r), ARGS(), STATE(f_hex("events", out[0].events), f_bool("data", out[0].data.u64 == (uint64_t)inner)));
	must(sys(read, event, &one, 8));
	observe("drained", "poll", ret_hex(ready(inner)), ARGS(), STATE(f_hex("outer", (uint64_t)ready(outer))));
	observe("outer_drained", "epoll_wait", ret_int(sys(epoll_wait, outer, out, 2, 0)), ARGS(), STATE(f_int("inner", sys(epoll_wait, inner, out, 2, 0))));
	observe("circle", "epoll_ctl", ret_int(watch(inner, outer, EPOLLIN)), ARGS(), STATE());
	observe("itself", "epoll_ctl", ret_int(watch(inner, inner, EPOLLIN)), ARGS(), STATE());
	long chain[8], result = 0;
	int deep = 0;
	chain[0] = inner;
	for (int i = 1; i < 8 && result == 0; i++, deep++) {
		chain[i] = must(sys(epoll_create1, 0));
		result = watch(chain[i], chain[i - 1], EPOLLIN);
	}
	observe("depth", "epoll_ctl", ret_int(result), ARGS(), STATE(f_int("deep", deep)));
	must(sys(write, event, &one, 8));
	observe("woken", "epoll_wait", ret_int(sys(epoll_wait, chain[2], out, 2, 2000)), ARGS(), STATE());
}
