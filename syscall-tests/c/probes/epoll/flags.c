/* What is reported without being asked for, what switches an entry off, and what may not be combined. */
#include "probe.h"

static long ep;
static struct epoll_event out[4];

static long add(int fd, uint32_t events)
{
	struct epoll_event e = {events, {.u64 = (uint64_t)fd}};
	return sys(epoll_ctl, ep, EPOLL_CTL_ADD, fd, &e);
}

static long mod(int fd, uint32_t events)
{
	struct epoll_event e = {events, {.u64 = (uint64_t)fd}};
	return sys(epoll_ctl, ep, EPOLL_CTL_MOD, fd, &e);
}

PROBE("epoll/flags", "hangup_unasked", "error_unasked", "oneshot_off", "oneshot_back", "edge_each_write", "edge_once", "edge_modified", "mod_off",
      "exclusive", "exclusive_mod", "mod_to_exclusive", "exclusive_oneshot", "exclusive_epoll", "add_efault", "mod_efault", "del_any_pointer", "del_twice",
      "bad_operation", "duplicate", "closed_original", "create_flags")
{
	int p[2], q[2], o[2];
	ep = must(sys(epoll_create1, 0));
	make_pipe(p, O_NONBLOCK);
	make_pipe(q, 0);
	make_pipe(o, 0);
	must(add(p[0], 0));
	must(add(q[1], 0));
	require(sys(epoll_wait, ep, out, 4, 0) == 0);
	must(sys(close, p[1]));
	long r = sys(epoll_wait, ep, out, 4, 0);
	observe("hangup_unasked", "epoll_wait", ret_int(r), ARGS(f_hex("events", 0)), STATE(f_hex("reported", out[0].events)));
	must(sys(close, p[0]));
	must(sys(close, q[0]));
	r = sys(epoll_wait, ep, out, 4, 0);
	observe("error_unasked", "epoll_wait", ret_int(r), ARGS(f_hex("events", 0)), STATE(f_hex("reported", out[0].events)));
	must(sys(close, q[1]));
	must(add(o[0], EPOLLIN | EPOLLONESHOT));
	must(sys(write, o[1], "x", 1));
	must(sys(epoll_wait, ep, out, 4, 0));
	must(sys(close, o[1]));
	observe("oneshot_off", "epoll_wait", ret_int(sys(epoll_wait, ep, out, 4, 0)), ARGS(), STATE());
	r = mod(o[0], EPOLLONESHOT);
	long n = sys(epoll_wait, ep, out, 4, 0);
	observe("oneshot_back", "epoll_ctl", ret_int(r), ARGS(f_hex("events", EPOLLONESHOT)), STATE(f_int("ready", n), f_hex("reported", out[0].events)));
	must(sys(close, o[0]));
	make_pipe(p, O_NONBLOCK);
	must(add(p[0], EPOLLIN | EPOLLET));
	must(sys(write, p[1], "x", 1));
	long first = sys(epoll_wait, ep, out, 4, 0);
	must(sys(write, p[1], "y", 1));
	long second = sys(epoll_wait, ep, out, 4, 0);
	observe("edge_each_write", "epoll_wait", ret_int(first), ARGS(f_hex("events", EPOLLIN | EPOLLET)), STATE(f_int("second", second), f_hex("reported", out[0].events)));
	observe("edge_once", "epoll_wait", ret_int(sys(epoll_wait, ep, out, 4, 0)), ARGS(), STATE());
	r = mod(p[0], EPOLLIN | EPOLLET);
	observe("edge_modified", "epoll_ctl", ret_int(r), ARGS(f_hex("events", EPOLLIN | EPOLLET)), STATE(f_int("ready", sys(epoll_wait, ep, out, 4, 0))));
	must(mod(p[0], 0));
	observe("mod_off", "epoll_wait", ret_int(sys(epoll_wait, ep, out, 4, 0)), ARGS(f_hex("events", 0)), STATE());
	must(sys(epoll_ctl, ep, EPOLL_CTL_DEL, p[0], NULL));
	r = add(p[0], EPOLLIN | EPOLLEXCLUSIVE);
	observe("exclusive", "epoll_ctl", ret_int(r), ARGS(f_hex("events", EPOLLIN | EPOLLEXCLUSIVE)), STATE(f_int("ready", sys(epoll_wait, ep, out, 4, 0))));
	observe("exclusive_mod", "epoll_ctl", ret_int(mod(p[0], EPOLLIN)), ARGS(f_hex("events", EPOLLIN)), STATE());
	must(sys(epoll_ctl, ep, EPOLL_CTL_DEL, p[0], NULL));
	must(add(p[0], EPOLLIN));
	observe("mod_to_exclusive", "epoll_ctl", ret_int(mod(p[0], EPOLLIN | EPOLLEXCLUSIVE)), ARGS(f_hex("events", EPOLLIN | EPOLLEXCLUSIVE)), STATE());
	must(sys(epoll_ctl, ep, EPOLL_CTL_DEL, p[0], NULL));
	observe("exclusive_oneshot", "epoll_ctl", ret_int(add(p[0], EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT)), ARGS(), STATE());
	long inner = must(sys(epoll_create1, 0));
	observe("exclusive_epoll", "epoll_ctl", ret_int(add((int)inner, EPOLLIN | EPOLLEXCLUSIVE)), ARGS(), STATE());
	observe("add_efault", "epoll_ctl", ret_int(sys(epoll_ctl, ep, EPOLL_CTL_ADD, p[0], 8)), ARGS(f_int("op", EPOLL_CTL_ADD)), STATE());
	must(add(p[0], EPOLLIN));
	observe("mod_efault", "epoll_ctl", ret_int(sys(epoll_ctl, ep, EPOLL_CTL_MOD, p[0], 8)), ARGS(f_int("op", EPOLL_CTL_MOD)), STATE());
	observe("del_any_pointer", "epoll_ctl", ret_int(sys(epoll_ctl, ep, EPOLL_CTL_DEL, p[0], 8)), ARGS(f_int("op", EPOLL_CTL_DEL)), STATE());
	observe("del_twice", "epoll_ctl", ret_int(sys(epoll_ctl, ep, EPOLL_CTL_DEL, p[0], NULL)), ARGS(f_int("op", EPOLL_CTL_DEL)), STATE());
	struct epoll_event e = {EPOLLIN, {.u64 = 9}};
	observe("bad_operation", "epoll_ctl", ret_int(sys(epoll_ctl, ep, 4, p[0], &e)), ARGS(f_int("op", 4)), STATE());
	must(add(p[0], EPOLLIN));
	long copy = must(sys(dup, p[0]));
	r = add((int)copy, EPOLLIN);
	observe("duplicate", "epoll_ctl", ret_int(r), ARGS(), STATE(f_int("ready", sys(epoll_wait, ep, out, 4, 0))));
	must(sys(close, p[0]));
	n = sys(epoll_wait, ep, out, 4, 0);
	must(sys(close, copy));
	observe("closed_original", "close", ret_int(0), ARGS(), STATE(f_int("ready", n), f_int("both_closed", sys(epoll_wait, ep, out, 4, 0))));
	observe("create_flags", "epoll_create1", ret_fd(sys(epoll_create1, O_NONBLOCK)), ARGS(f_hex("flags", O_NONBLOCK)), STATE());
}
