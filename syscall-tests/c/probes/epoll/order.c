/* Files that stay ready take turns; room for fewer than are ready loses none. */
#include "probe.h"

PROBE("epoll/order", "turns", "two_at_a_time", "after_one_went", "most_events")
{
	long ep = must(sys(epoll_create1, 0)), fds[3];
	struct epoll_event out[4];
	for (int i = 0; i < 3; i++) {
		fds[i] = must(sys(eventfd2, 0, O_NONBLOCK));
		struct epoll_event e = {EPOLLIN, {.u64 = (uint64_t)i + 1}};
		must(sys(epoll_ctl, ep, EPOLL_CTL_ADD, fds[i], &e));
	}
	uint64_t one = 1, seen[5];
	for (int i = 0; i < 3; i++)
		must(sys(write, fds[(i + 1) % 3], &one, 8));
	long r = 0;
	for (int i = 0; i < 5; i++) {
		r += sys(epoll_wait, ep, out, 1, 0);
		seen[i] = out[0].data.u64;
	}
	observe("turns", "epoll_wait", ret_int(r), ARGS(f_int("maxevents", 1)),
		STATE(f_list("order", v_uint(seen[0]), v_uint(seen[1]), v_uint(seen[2]), v_uint(seen[3]), v_uint(seen[4]))));
	r = sys(epoll_wait, ep, out, 2, 0);
	long rest = sys(epoll_wait, ep, out + 2, 2, 0);
	observe("two_at_a_time", "epoll_wait", ret_int(r), ARGS(f_int("maxevents", 2)),
		STATE(f_int("rest", rest), f_list("order", v_uint(out[0].data.u64), v_uint(out[1].data.u64), v_uint(out[2].data.u64), v_uint(out[3].data.u64))));
	must(sys(read, fds[1], &one, 8));
	r = sys(epoll_wait, ep, out, 4, 0);
	observe("after_one_went", "epoll_wait", ret_int(r), ARGS(f_int("maxevents", 4)), STATE(f_uint("sum", out[0].data.u64 + out[1].data.u64)));
	observe("most_events", "epoll_wait", ret_int(sys(epoll_wait, ep, out, 0x7fffffff / 12 + 1, 0)), ARGS(f_int("maxevents", 0x7fffffff / 12 + 1)), STATE());
}
