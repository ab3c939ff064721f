/* Level triggered events stay, edge triggered ones come once per change; the user's data comes back. */
#include "probe.h"

PROBE("epoll/level_edge", "create", "idle", "level", "level_again", "edge", "edge_again", "edge_new_data")
{
	long ep = sys(epoll_create1, EPOLL_CLOEXEC);
	observe("create", "epoll_create1", ret_fd(ep), ARGS(f_hex("flags", EPOLL_CLOEXEC)), STATE(f_hex("fd_flags", fd_flags(ep))));
	int level[2], edge[2];
	make_pipe(level, 0);
	make_pipe(edge, 0);
	struct epoll_event ev = {EPOLLIN, {.u64 = 0x1122334455667788}}, out[4];
	must(sys(epoll_ctl, ep, EPOLL_CTL_ADD, level[0], &ev));
	memset(out, 0, sizeof out);
	observe("idle", "epoll_wait", ret_int(sys(epoll_wait, ep, out, 4, 0)), ARGS(f_int("timeout", 0)), STATE());
	must(sys(write, level[1], "ab", 2));
#define WAIT(id) \
	memset(out, 0, sizeof out); \
	observe(id, "epoll_wait", ret_int(sys(epoll_wait, ep, out, 4, 0)), ARGS(f_int("maxevents", 4)), \
		STATE(f_hex("events", out[0].events), f_hex("data", out[0].data.u64)))
	WAIT("level");
	WAIT("level_again");
	char c;
	must(sys(read, level[0], &c, 1));
	must(sys(read, level[0], &c, 1));
	ev = (struct epoll_event){EPOLLIN | EPOLLET, {.u64 = 2}};
	must(sys(epoll_ctl, ep, EPOLL_CTL_ADD, edge[0], &ev));
	must(sys(write, edge[1], "a", 1));
	WAIT("edge");
	WAIT("edge_again");
	must(sys(write, edge[1], "b", 1));
	WAIT("edge_new_data");
}
