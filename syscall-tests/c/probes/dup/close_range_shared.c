/* close_range in a table that a thread shares, and at the ends of its range; descriptors of calls that failed. */
#include "probe.h"

static long *out;
static int unshares(void *arg)
{
	(void)arg;
	out[0] = sys(close_range, 20, 29, 2);
	out[1] = fd_flags(25);
	return 0;
}
static int shares(void *arg)
{
	(void)arg;
	out[0] = sys(close_range, 20, 29, 0);
	out[1] = fd_flags(25);
	return 0;
}

static void put(long from)
{
	for (int i = 19; i <= 30; i++)
		must(sys(dup2, from, i));
}

static void look(const char *id, long r)
{
	static char is[13];
	for (int i = 19; i <= 30; i++)
		is[i - 19] = fd_flags(i) == 0 ? 'o' : fd_flags(i) == 1 ? 'c' : '.';
	observe(id, "close_range", ret_int(r), ARGS(), STATE(f_strn("19_30", is, 12)));
}

static long next(void)
{
	long fd = must(sys(dup, 0));
	must(sys(close, fd));
	return fd;
}

PROBE("dup/close_range_shared", "unshare", "share", "one", "range", "reversed", "cloexec", "cloexec_unshare", "bad_flags", "rest", "pipe_efault", "pipe2_efault", "socketpair_efault", "pipe2_flags", "memfd_efault")
{
	out = pages(1, true);
	long f = must(sys(openat, AT_FDCWD, "/dev/null", O_RDONLY));
	put(f);
	struct thread t;
	thread_start(&t, unshares, NULL);
	thread_join(&t);
	observe("unshare", "close_range", ret_int(out[0]), ARGS(f_hex("flags", 2)), STATE(f_int("in_thread", out[1]), f_int("here", fd_flags(25))));
	thread_start(&t, shares, NULL);
	thread_join(&t);
	observe("share", "close_range", ret_int(out[0]), ARGS(f_hex("flags", 0)), STATE(f_int("in_thread", out[1]), f_int("here", fd_flags(25)), f_int("before", fd_flags(19)), f_int("after", fd_flags(30))));
	put(f);
	look("one", sys(close_range, 21, 21, 0));
	look("range", sys(close_range, 23, 25, 0));
	look("reversed", sys(close_range, 29, 28, 0));
	look("cloexec", sys(close_range, 26, 28, 4));
	look("cloexec_unshare", sys(close_range, 29, 29, 6));
	look("bad_flags", sys(close_range, 29, 29, 8));
	look("rest", sys(close_range, 28, 400, 0));
	long n = next();
	long r = sys(pipe, 8);
	observe("pipe_efault", "pipe", ret_int(r), ARGS(), STATE(f_bool("no_leak", next() == n)));
	r = sys(pipe2, 8, O_CLOEXEC);
	observe("pipe2_efault", "pipe2", ret_int(r), ARGS(), STATE(f_bool("no_leak", next() == n)));
	r = sys(socketpair, AF_UNIX, SOCK_STREAM, 0, 8);
	observe("socketpair_efault", "socketpair", ret_int(r), ARGS(), STATE(f_bool("no_leak", next() == n)));
	r = sys(pipe2, 8, 1);
	observe("pipe2_flags", "pipe2", ret_int(r), ARGS(), STATE(f_bool("no_leak", next() == n)));
	r = sys(memfd_create, 8, 0);
	observe("memfd_efault", "memfd_create", ret_int(r), ARGS(), STATE(f_bool("no_leak", next() == n)));
}
