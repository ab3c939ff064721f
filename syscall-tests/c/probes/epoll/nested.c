/* Instances that watch one another: how many, and not in a circle. */
#include "probe.h"

static long watch(long outer, long inner, uint32_t events)
{
	struct epoll_event ev = {events, {.u64 = 1}};
	return sys(epoll_ctl, outer, EPOLL_CTL_ADD, inner, &ev);
}

PROBE("epoll/nested", "watched", "too_deep_below", "too_deep_above", "circle", "itself", "exclusive", "ready", "ways")
{
	long e[6], last = 0, n = 0;
	for (int i = 0; i < 6; i++)
		e[i] = must(sys(epoll_create1, 0));
	/* 0 watches 1, which watches 2 ... */
	while (n < 5 && (last = watch(e[n], e[n + 1], EPOLLIN)) == 0)
		n++;
	observe("watched", "epoll_ctl", ret_int(n), ARGS(f_hex("events", EPOLLIN)), STATE(f_errno("then", err_of(last))));
	observe("too_deep_below", "epoll_ctl", ret_int(watch(e[4], e[5], EPOLLIN)), ARGS(), STATE());
	observe("too_deep_above", "epoll_ctl", ret_int(watch(e[5], e[0], EPOLLIN)), ARGS(), STATE());
	observe("circle", "epoll_ctl", ret_int(watch(e[2], e[0], EPOLLIN)), ARGS(), STATE());
	observe("itself", "epoll_ctl", ret_int(watch(e[5], e[5], EPOLLIN)), ARGS(), STATE());
	observe("exclusive", "epoll_ctl", ret_int(watch(e[5], e[4], EPOLLIN | EPOLLEXCLUSIVE)), ARGS(f_hex("events", EPOLLIN | EPOLLEXCLUSIVE)), STATE());
	int p[2];
	make_pipe(p, 0);
	must(watch(e[4], p[0], EPOLLIN));
	struct epoll_event out;
	long before = sys(epoll_wait, e[0], &out, 1, 0);
	must(sys(write, p[1], "x", 1));
	long ready = sys(epoll_wait, e[0], &out, 1, 0);
	char byte;
	must(sys(read, p[0], &byte, 1));
	observe("ready", "epoll_wait", ret_int(ready), ARGS(), STATE(f_int("before", before), f_int("after", sys(epoll_wait, e[0], &out, 1, 0))));
	/* From a file to a second instance there may be 500 ways. */
	long inner = must(sys(epoll_create1, 0));
	must(watch(inner, p[0], EPOLLIN));
	for (n = 0; n < 600 && (last = watch(must(sys(epoll_create1, 0)), inner, EPOLLIN)) == 0; n++)
		;
	observe("ways", "epoll_ctl", ret_int(n), ARGS(), STATE(f_errno("then", err_of(last))));
}
