/* How a pipe's pages fill, and what F_SETPIPE_SZ makes of its size. */
#include "probe.h"

static char data[70000];
static int p[2];
static long result;

static int writes(void *unused)
{
	(void)unused;
	result = sys(write, p[1], data, 4096);
	return 0;
}

static int as_nobody(void *unused)
{
	(void)unused;
	int q[2];
	make_pipe(q, 0);
	must(sys(setresuid, 65534, 65534, 65534));
	return sys(fcntl, q[0], F_SETPIPE_SZ, 1 << 20) != 1 << 20 ? 1 : sys(fcntl, q[0], F_SETPIPE_SZ, 1 << 21) == -EPERM ? 2 : 3;
}

static long waiting(void)
{
	int n = -1;
	must(sys(ioctl, p[0], 0x541b, &n)); /* FIONREAD */
	return n;
}

static uint64_t writable(void)
{
	struct pollfd e = {p[1], POLLOUT, 0};
	must(sys(poll, &e, 1, 0));
	return (uint64_t)e.revents;
}

PROBE("pipe/slots", "small_ones_share", "several_pages", "all_or_nothing", "just_fits", "in_parts", "odd_bytes_first", "packets", "packet_cut", "busy", "shrunk", "rounded", "least", "nothing",
      "too_large", "limit", "grown_wakes", "of_either_end", "not_a_pipe", "page_kept")
{
	make_pipe(p, O_NONBLOCK);
	long r = 0;
	for (int i = 0; i < 40; i++)
		r += sys(write, p[1], "x", 1);
	observe("small_ones_share", "write", ret_int(r), ARGS(), STATE(f_int("waiting", waiting()), f_int("size", sys(fcntl, p[0], F_GETPIPE_SZ))));
	r = sys(write, p[1], data, 9000);
	observe("several_pages", "ioctl", ret_int(r), ARGS(), STATE(f_int("waiting", waiting())));
	make_pipe(p, O_NONBLOCK);
	must(sys(fcntl, p[1], F_SETPIPE_SZ, 4096));
	must(sys(write, p[1], data, 4000));
	r = sys(write, p[1], data, 200);
	observe("all_or_nothing", "write", ret_int(r), ARGS(f_uint("count", 200)), STATE(f_int("waiting", waiting()), f_hex("writable", writable())));
	r = sys(write, p[1], data, 96);
	observe("just_fits", "write", ret_int(r), ARGS(f_uint("count", 96)), STATE(f_int("waiting", waiting())));
	make_pipe(p, O_NONBLOCK);
	must(sys(fcntl, p[1], F_SETPIPE_SZ, 8192));
	r = sys(write, p[1], data, 10000);
	observe("in_parts", "write", ret_int(r), ARGS(f_uint("count", 10000)), STATE(f_int("waiting", waiting())));
	must(sys(read, p[0], data, 10000));
	must(sys(write, p[1], data, 3000));
	r = sys(write, p[1], data, 9000);
	observe("odd_bytes_first", "write", ret_int(r), ARGS(f_uint("count", 9000)), STATE(f_int("waiting", waiting())));
	make_pipe(p, O_NONBLOCK | O_DIRECT);
	must(sys(write, p[1], "abc", 3));
	must(sys(write, p[1], "defg", 4));
	long first = sys(read, p[0], data, 100), second = sys(read, p[0], data, 100);
	observe("packets", "read", ret_int(first), ARGS(), STATE(f_int("second", second), f_int("third", sys(read, p[0], data, 100))));
	must(sys(write, p[1], data, 5000));
	first = sys(read, p[0], data, 10), second = sys(read, p[0], data, 5000);
	observe("packet_cut", "read", ret_int(first), ARGS(f_uint("count", 10)), STATE(f_int("second", second)));
	make_pipe(p, O_NONBLOCK);
	must(sys(write, p[1], data, 8192));
	r = sys(fcntl, p[0], F_SETPIPE_SZ, 4096);
	observe("busy", "fcntl", ret_int(r), ARGS(f_int("size", 4096)), STATE(f_int("size", sys(fcntl, p[0], F_GETPIPE_SZ))));
	r = sys(fcntl, p[0], F_SETPIPE_SZ, 8192);
	observe("shrunk", "fcntl", ret_int(r), ARGS(f_int("size", 8192)), STATE(f_int("waiting", waiting()), f_hex("writable", writable())));
	r = sys(fcntl, p[0], F_SETPIPE_SZ, 12288);
	observe("rounded", "fcntl", ret_int(r), ARGS(f_int("size", 12288)), STATE(f_int("size", sys(fcntl, p[1], F_GETPIPE_SZ)), f_hex("writable", writable())));
	int q[2];
	make_pipe(q, 0);
	observe("least", "fcntl", ret_int(sys(fcntl, q[0], F_SETPIPE_SZ, 1)), ARGS(f_int("size", 1)), STATE());
	observe("nothing", "fcntl", ret_int(sys(fcntl, q[0], F_SETPIPE_SZ, 0)), ARGS(f_int("size", 0)), STATE(f_int("size", sys(fcntl, q[0], F_GETPIPE_SZ))));
	observe("too_large", "fcntl", ret_int(sys(fcntl, q[0], F_SETPIPE_SZ, 0x80000001u)), ARGS(f_uint("size", 0x80000001u)), STATE());
	observe("limit", "fcntl", ret_int(WEXITSTATUS(reap(spawn(as_nobody, NULL)))), ARGS(f_int("size", 1 << 21)), STATE());
	make_pipe(p, 0);
	must(sys(fcntl, p[1], F_SETPIPE_SZ, 4096));
	must(sys(write, p[1], data, 4096));
	struct thread t;
	thread_start(&t, writes, NULL);
	await_sleep(sys(getpid), t.tid);
	must(sys(fcntl, p[1], F_SETPIPE_SZ, 8192));
	thread_join(&t);
	observe("grown_wakes", "fcntl", ret_int(result), ARGS(f_int("size", 8192)), STATE(f_int("waiting", waiting())));
	observe("of_either_end", "fcntl", ret_int(sys(fcntl, p[1], F_GETPIPE_SZ)), ARGS(), STATE(f_int("read_end", sys(fcntl, p[0], F_GETPIPE_SZ))));
	long event = must(sys(eventfd2, 0, 0));
	observe("not_a_pipe", "fcntl", ret_int(sys(fcntl, event, F_GETPIPE_SZ)), ARGS(), STATE(f_int("set", sys(fcntl, event, F_SETPIPE_SZ, 4096))));
	must(sys(read, p[0], data, 4095));
	uint64_t before = writable();
	must(sys(read, p[0], data, 1));
	observe("page_kept", "poll", ret_hex((long)before), ARGS(), STATE(f_hex("freed", writable())));
}
