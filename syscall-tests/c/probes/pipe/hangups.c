/* When a FIFO's read end has hung up: not before a writer came, not for who opened it after the last one went. */
#include "probe.h"

static int p[2];
static long result;

static uint64_t ready(long fd)
{
	struct pollfd e = {(int)fd, POLLIN | POLLOUT | POLLRDHUP, 0};
	must(sys(poll, &e, 1, 0));
	return (uint64_t)e.revents;
}

static int reads(void *unused)
{
	(void)unused;
	char byte;
	result = sys(read, p[0], &byte, 1);
	return 0;
}

static int polls(void *unused)
{
	(void)unused;
	struct pollfd e = {p[1], 0, 0};
	result = sys(poll, &e, 1, -1) == 1 ? e.revents : -1;
	return 0;
}

PROBE("pipe/hangups", "no_writer_yet", "writer", "data_and_gone", "gone", "opened_after", "writer_again", "both_ends", "close_ends_read", "close_tells_writer", "epipe_after")
{
	must(sys(mknodat, AT_FDCWD, "f", S_IFIFO | 0600, 0));
	long r = must(sys(openat, AT_FDCWD, "f", O_RDONLY | O_NONBLOCK));
	char byte;
	observe("no_writer_yet", "poll", ret_hex((long)ready(r)), ARGS(), STATE(f_int("read", sys(read, r, &byte, 1))));
	long w = must(sys(openat, AT_FDCWD, "f", O_WRONLY | O_NONBLOCK));
	observe("writer", "poll", ret_hex((long)ready(r)), ARGS(), STATE(f_hex("writer", ready(w)), f_int("read", sys(read, r, &byte, 1))));
	must(sys(write, w, "x", 1));
	must(sys(close, w));
	observe("data_and_gone", "poll", ret_hex((long)ready(r)), ARGS(), STATE(f_int("read", sys(read, r, &byte, 1))));
	observe("gone", "poll", ret_hex((long)ready(r)), ARGS(), STATE(f_int("read", sys(read, r, &byte, 1))));
	long second = must(sys(openat, AT_FDCWD, "f", O_RDONLY | O_NONBLOCK));
	observe("opened_after", "poll", ret_hex((long)ready(second)), ARGS(), STATE(f_hex("first", ready(r))));
	w = must(sys(openat, AT_FDCWD, "f", O_WRONLY | O_NONBLOCK));
	uint64_t with = ready(r);
	must(sys(close, w));
	observe("writer_again", "poll", ret_hex((long)with), ARGS(), STATE(f_hex("first", ready(r)), f_hex("second", ready(second))));
	must(sys(close, r));
	must(sys(close, second));
	long both = must(sys(openat, AT_FDCWD, "f", O_RDWR));
	observe("both_ends", "poll", ret_hex((long)ready(both)), ARGS(f_hex("flags", O_RDWR)), STATE());
	struct thread t;
	make_pipe(p, 0);
	thread_start(&t, reads, NULL);
	await_sleep(sys(getpid), t.tid);
	must(sys(close, p[1]));
	thread_join(&t);
	observe("close_ends_read", "read", ret_int(result), ARGS(), STATE());
	make_pipe(p, 0);
	static char page[4096];
	for (int i = 0; i < 16; i++)
		must(sys(write, p[1], page, sizeof page));
	thread_start(&t, polls, NULL);
	await_sleep(sys(getpid), t.tid);
	must(sys(close, p[0]));
	thread_join(&t);
	observe("close_tells_writer", "poll", ret_hex(result), ARGS(), STATE());
	mask_signals(SIG_BLOCK, SIGBIT(SIGPIPE));
	observe("epipe_after", "write", ret_int(sys(write, p[1], "x", 1)), ARGS(), STATE(f_int("nothing", sys(write, p[1], "", 0)), f_hex("pending", pending_signals())));
}
