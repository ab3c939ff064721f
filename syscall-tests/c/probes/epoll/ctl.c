/* Changing the interest list, and what it refuses. */
#include "probe.h"

PROBE("epoll/ctl", "mod", "del", "oneshot", "oneshot_rearmed", "exists", "enoent", "regular_file", "itself", "ebadf", "not_epoll")
{
	long ep = must(sys(epoll_create1, 0));
	int p[2];
	make_pipe(p, 0);
	must(sys(write, p[1], "x", 1));
	struct epoll_event ev = {0, {.u64 = 1}}, out[4];
	must(sys(epoll_ctl, ep, EPOLL_CTL_ADD, p[0], &ev));
	require(sys(epoll_wait, ep, out, 4, 0) == 0);
	ev = (struct epoll_event){EPOLLIN, {.u64 = 5}};
	long r = sys(epoll_ctl, ep, EPOLL_CTL_MOD, p[0], &ev);
	long n = sys(epoll_wait, ep, out, 4, 0);
	observe("mod", "epoll_ctl", ret_int(r), ARGS(f_int("op", EPOLL_CTL_MOD)), STATE(f_int("ready", n), f_uint("data", n > 0 ? out[0].data.u64 : 0)));
	r = sys(epoll_ctl, ep, EPOLL_CTL_DEL, p[0], NULL);
	n = sys(epoll_wait, ep, out, 4, 0);
	observe("del", "epoll_ctl", ret_int(r), ARGS(f_int("op", EPOLL_CTL_DEL)), STATE(f_int("ready", n)));
	ev = (struct epoll_event){EPOLLIN | EPOLLONESHOT, {.u64 = 6}};
	r = sys(epoll_ctl, ep, EPOLL_CTL_ADD, p[0], &ev);
	n = sys(epoll_wait, ep, out, 4, 0);
	long second = sys(epoll_wait, ep, out, 4, 0);
	observe("oneshot", "epoll_ctl", ret_int(r), ARGS(f_hex("events", ev.events)), STATE(f_int("first", n), f_int("second", second)));
	r = sys(epoll_ctl, ep, EPOLL_CTL_MOD, p[0], &ev);
	observe("oneshot_rearmed", "epoll_ctl", ret_int(r), ARGS(f_int("op", EPOLL_CTL_MOD)), STATE(f_int("ready", sys(epoll_wait, ep, out, 4, 0))));
	observe("exists", "epoll_ctl", ret_int(sys(epoll_ctl, ep, EPOLL_CTL_ADD, p[0], &ev)), ARGS(f_int("op", EPOLL_CTL_ADD)), STATE());
	observe("enoent", "epoll_ctl", ret_int(sys(epoll_ctl, ep, EPOLL_CTL_MOD, p[1], &ev)), ARGS(f_int("op", EPOLL_CTL_MOD)), STATE());
	put_file("f", "x", 1);
	long file = must(sys(openat, AT_FDCWD, "f", O_RDONLY));
	observe("regular_file", "epoll_ctl", ret_int(sys(epoll_ctl, ep, EPOLL_CTL_ADD, file, &ev)), ARGS(f_int("op", EPOLL_CTL_ADD)), STATE());
	observe("itself", "epoll_ctl", ret_int(sys(epoll_ctl, ep, EPOLL_CTL_ADD, ep, &ev)), ARGS(f_int("op", EPOLL_CTL_ADD)), STATE());
	observe("ebadf", "epoll_ctl", ret_int(sys(epoll_ctl, ep, EPOLL_CTL_ADD, 4000, &ev)), ARGS(f_int("fd", 4000)), STATE());
	observe("not_epoll", "epoll_ctl", ret_int(sys(epoll_ctl, p[0], EPOLL_CTL_ADD, p[1], &ev)), ARGS(), STATE());
}
