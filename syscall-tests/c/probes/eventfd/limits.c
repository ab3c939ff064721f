/* The counter's highest value, and who waits there. */
#include "probe.h"

static long fd, result;

static int writer(void *unused)
{
	(void)unused;
	uint64_t five = 5;
	result = sys(write, fd, &five, 8);
	return 0;
}

static int pollers(void *unused)
{
	(void)unused;
	struct pollfd p = {(int)fd, POLLOUT, 0};
	result = sys(poll, &p, 1, -1);
	return 0;
}

static uint64_t ready(void)
{
	struct pollfd p = {(int)fd, POLLIN | POLLOUT | POLLERR, 0};
	must(sys(poll, &p, 1, 0));
	return (uint64_t)p.revents;
}

PROBE("eventfd/limits", "highest", "one_more", "zero_more", "reserved", "read_highest", "add_to_highest", "short_write", "long_read", "writer_woken", "poller_woken", "first_value")
{
	fd = must(sys(eventfd2, 0, O_NONBLOCK));
	uint64_t v = UINT64_MAX - 1, got[2] = {0, 7};
	long r = sys(write, fd, &v, 8);
	observe("highest", "write", ret_int(r), ARGS(f_uint("value", v)), STATE(f_hex("ready", ready())));
	v = 1;
	observe("one_more", "write", ret_int(sys(write, fd, &v, 8)), ARGS(f_uint("value", v)), STATE());
	v = 0;
	observe("zero_more", "write", ret_int(sys(write, fd, &v, 8)), ARGS(f_uint("value", v)), STATE());
	v = UINT64_MAX;
	observe("reserved", "write", ret_int(sys(write, fd, &v, 8)), ARGS(f_uint("value", v)), STATE());
	r = sys(read, fd, got, 8);
	observe("read_highest", "read", ret_int(r), ARGS(f_uint("count", 8)), STATE(f_uint("value", got[0]), f_hex("ready", ready())));
	v = 3;
	must(sys(write, fd, &v, 8));
	v = UINT64_MAX - 4;
	r = sys(write, fd, &v, 8);
	observe("add_to_highest", "write", ret_int(r), ARGS(f_uint("value", v)), STATE(f_hex("ready", ready())));
	observe("short_write", "write", ret_int(sys(write, fd, &v, 7)), ARGS(f_uint("count", 7)), STATE());
	r = sys(read, fd, got, 16);
	observe("long_read", "read", ret_int(r), ARGS(f_uint("count", 16)), STATE(f_uint("value", got[0]), f_uint("behind", got[1])));
	fd = must(sys(eventfd2, 0, 0));
	v = UINT64_MAX - 1;
	must(sys(write, fd, &v, 8));
	struct thread t;
	thread_start(&t, writer, NULL);
	await_sleep(sys(getpid), t.tid);
	must(sys(read, fd, got, 8));
	thread_join(&t);
	must(sys(read, fd, got, 8));
	observe("writer_woken", "write", ret_int(result), ARGS(f_uint("value", 5)), STATE(f_uint("value", got[0])));
	must(sys(write, fd, &v, 8));
	thread_start(&t, pollers, NULL);
	await_sleep(sys(getpid), t.tid);
	must(sys(read, fd, got, 8));
	thread_join(&t);
	observe("poller_woken", "poll", ret_int(result), ARGS(f_hex("events", POLLOUT)), STATE());
	fd = must(sys(eventfd, 0xffffffff));
	must(sys(read, fd, got, 8));
	observe("first_value", "eventfd", ret_int(0), ARGS(f_hex("initval", 0xffffffff)), STATE(f_uint("value", got[0])));
}
