/* Time limits, the number of events, hang-ups, nesting. */
#include "probe.h"

PROBE("epoll/wait", "timeout", "maxevents", "hup", "nested", "closed", "zero_max", "efault", "old_create", "old_create_zero", "bad_flags")
{
	long ep = must(sys(epoll_create1, 0)), outer = must(sys(epoll_create1, 0));
	int p[3][2];
	struct epoll_event ev, out[4];
	for (int i = 0; i < 3; i++) {
		make_pipe(p[i], 0);
		ev = (struct epoll_event){EPOLLIN, {.u64 = (uint64_t)i + 1}};
		must(sys(epoll_ctl, ep, EPOLL_CTL_ADD, p[i][0], &ev));
	}
	ev = (struct epoll_event){EPOLLIN, {.u64 = 99}};
	must(sys(epoll_ctl, outer, EPOLL_CTL_ADD, ep, &ev));
	int64_t before = now_ns();
	long n = sys(epoll_pwait, ep, out, 4, 20, NULL, 8);
	observe("timeout", "epoll_pwait", ret_int(n), ARGS(f_int("timeout", 20)), STATE(f_dur("waited", now_ns() - before, 20000000, 5000000000)));
	for (int i = 0; i < 3; i++)
		must(sys(write, p[i][1], "x", 1));
	memset(out, 0, sizeof out);
	n = sys(epoll_wait, ep, out, 2, -1);
	observe("maxevents", "epoll_wait", ret_int(n), ARGS(f_int("maxevents", 2)),
		STATE(f_bool("distinct", out[0].data.u64 != out[1].data.u64), f_hex("third", out[2].events)));
	char c;
	must(sys(read, p[0][0], &c, 1));
	must(sys(read, p[1][0], &c, 1));
	must(sys(read, p[2][0], &c, 1));
	must(sys(close, p[1][1]));
	n = sys(epoll_wait, ep, out, 4, 0);
	observe("hup", "epoll_wait", ret_int(n), ARGS(f_int("maxevents", 4)), STATE(f_hex("events", out[0].events), f_uint("data", out[0].data.u64)));
	n = sys(epoll_wait, outer, out, 4, 0);
	observe("nested", "epoll_wait", ret_int(n), ARGS(), STATE(f_hex("events", out[0].events), f_uint("data", out[0].data.u64)));
	must(sys(close, p[1][0]));
	observe("closed", "epoll_wait", ret_int(sys(epoll_wait, ep, out, 4, 0)), ARGS(), STATE(f_int("outer", sys(epoll_wait, outer, out, 4, 0))));
	observe("zero_max", "epoll_wait", ret_int(sys(epoll_wait, ep, out, 0, 0)), ARGS(f_int("maxevents", 0)), STATE());
	must(sys(write, p[0][1], "x", 1));
	observe("efault", "epoll_wait", ret_int(sys(epoll_wait, ep, 8, 4, 0)), ARGS(), STATE());
	long old = sys(epoll_create, 1);
	observe("old_create", "epoll_create", ret_fd(old), ARGS(f_int("size", 1)), STATE(f_hex("fd_flags", fd_flags(old))));
	observe("old_create_zero", "epoll_create", ret_fd(sys(epoll_create, 0)), ARGS(f_int("size", 0)), STATE());
	observe("bad_flags", "epoll_create1", ret_fd(sys(epoll_create1, 1)), ARGS(f_hex("flags", 1)), STATE());
}
