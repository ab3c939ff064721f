/* EFD_SEMAPHORE gives one at a time; poll shows what is possible. */
#include "probe.h"
#include <sys/eventfd.h>

static short ready(long fd)
{
	struct pollfd p = {(int)fd, POLLIN | POLLOUT, 0};
	must(sys(poll, &p, 1, 0));
	return p.revents;
}

PROBE("eventfd/semaphore", "first", "second", "ready_empty", "ready_full", "old_form")
{
	long fd = must(sys(eventfd2, 2, EFD_SEMAPHORE | EFD_NONBLOCK));
	uint64_t got = 0, v;
	long n = sys(read, fd, &got, 8);
	observe("first", "read", ret_int(n), ARGS(f_uint("count", 8)), STATE(f_uint("value", got), f_hex("ready", (uint64_t)ready(fd))));
	got = 0;
	n = sys(read, fd, &got, 8);
	observe("second", "read", ret_int(n), ARGS(f_uint("count", 8)), STATE(f_uint("value", got), f_hex("ready", (uint64_t)ready(fd))));
	struct pollfd p = {(int)fd, POLLIN, 0};
	observe("ready_empty", "poll", ret_int(sys(poll, &p, 1, 0)), ARGS(f_hex("events", POLLIN)), STATE(f_hex("revents", (uint64_t)p.revents)));
	v = UINT64_MAX - 1;
	must(sys(write, fd, &v, 8));
	p.events = POLLIN | POLLOUT;
	observe("ready_full", "poll", ret_int(sys(poll, &p, 1, 0)), ARGS(f_hex("events", POLLIN | POLLOUT)),
		STATE(f_hex("revents", (uint64_t)p.revents)));
	long old = sys(eventfd, 9);
	must(sys(read, old, &got, 8));
	observe("old_form", "eventfd", ret_fd(old), ARGS(f_uint("initval", 9)), STATE(f_uint("value", got), f_hex("status", status_flags(old))));
}
