/* How many messages and connections wait, how large they may be, and what the buffers' sizes are. */
#include "probe.h"

static socklen_t named(struct sockaddr_un *a, const char *name)
{
	*a = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(a->sun_path, name, strlen(name));
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name) + 1);
}

static long size_of(long fd, int option, int set)
{
	if (set >= 0)
		must(sys(setsockopt, fd, SOL_SOCKET, option, &set, sizeof set));
	int got = -1;
	socklen_t len = sizeof got;
	must(sys(getsockopt, fd, SOL_SOCKET, option, &got, &len));
	return got;
}

PROBE("unix/limits", "queue", "queue_after_read", "queue_writable", "pair_queue", "backlog_none", "backlog_two", "after_accept", "negative_backlog", "listen_again", "default_sizes", "doubled", "least", "too_long", "just_fits", "sequenced_too_long", "timeouts", "past_timeout")
{
	struct sockaddr_un a;
	socklen_t len = named(&a, "d");
	long server = must(sys(socket, AF_UNIX, SOCK_DGRAM, 0)), client = must(sys(socket, AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0));
	must(sys(bind, server, &a, len));
	must(sys(connect, client, &a, len));
	long sent = 0, r;
	while ((r = sys(sendto, client, "x", 1, 0, NULL, 0)) == 1 && sent < 1000)
		sent++;
	observe("queue", "sendto", ret_int(r), ARGS(), STATE(f_int("sent", sent)));
	char byte[4];
	struct pollfd p = {(int)client, POLLOUT, 0};
	long full = sys(poll, &p, 1, 0);
	must(sys(read, server, byte, 1));
	r = sys(write, client, "y", 1);
	observe("queue_after_read", "write", ret_int(r), ARGS(), STATE(f_int("again", sys(write, client, "y", 1))));
	must(sys(read, server, byte, 1));
	observe("queue_writable", "poll", ret_int(full), ARGS(f_hex("events", POLLOUT)), STATE(f_int("after", sys(poll, &p, 1, 0))));
	int pair[2];
	must(sys(socketpair, AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair));
	sent = 0;
	while (sent < 40 && sys(write, pair[0], "x", 1) == 1)
		sent++;
	observe("pair_queue", "write", ret_int(sent), ARGS(), STATE());
	const struct { const char *id, *path; int backlog; } kinds[] = {{"backlog_none", "s0", 0}, {"backlog_two", "s2", 2}};
	long listener = -1;
	for (size_t i = 0; i < countof(kinds); i++) {
		listener = must(sys(socket, AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0));
		len = named(&a, kinds[i].path);
		must(sys(bind, listener, &a, len));
		must(sys(listen, listener, kinds[i].backlog));
		long done = 0;
		do
			r = sys(connect, must(sys(socket, AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0)), &a, len);
		while (r == 0 && ++done < 20);
		observe(kinds[i].id, "connect", ret_int(r), ARGS(f_int("backlog", kinds[i].backlog)), STATE(f_int("connected", done)));
	}
	must(sys(accept, listener, NULL, NULL));
	long third = must(sys(socket, AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0));
	observe("after_accept", "connect", ret_int(sys(connect, third, &a, len)), ARGS(), STATE());
	r = sys(listen, listener, -1);
	observe("negative_backlog", "listen", ret_int(r), ARGS(f_int("backlog", -1)), STATE(f_int("connect", sys(connect, must(sys(socket, AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0)), &a, len))));
	observe("listen_again", "listen", ret_int(sys(listen, listener, 1)), ARGS(f_int("backlog", 1)), STATE(f_int("connect", sys(connect, must(sys(socket, AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0)), &a, len))));
	observe("default_sizes", "getsockopt", ret_int(size_of(client, SO_SNDBUF, -1)), ARGS(f_int("optname", SO_SNDBUF)), STATE(f_int("receive", size_of(client, SO_RCVBUF, -1))));
	observe("doubled", "setsockopt", ret_int(size_of(client, SO_SNDBUF, 20000)), ARGS(f_int("size", 20000)), STATE(f_int("receive", size_of(client, SO_RCVBUF, 20000))));
	observe("least", "setsockopt", ret_int(size_of(client, SO_SNDBUF, 1)), ARGS(f_int("size", 1)), STATE(f_int("receive", size_of(client, SO_RCVBUF, 1))));
	static char data[400000];
	must(sys(socketpair, AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair));
	size_of(pair[0], SO_SNDBUF, 20000);
	observe("too_long", "write", ret_int(sys(write, pair[0], data, 40001)), ARGS(f_uint("count", 40001)), STATE());
	observe("just_fits", "write", ret_int(sys(write, pair[0], data, 30000)), ARGS(f_uint("count", 30000)), STATE(f_int("read", sys(read, pair[1], data, sizeof data))));
	must(sys(socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair));
	observe("sequenced_too_long", "write", ret_int(sys(write, pair[0], data, sizeof data)), ARGS(f_uint("count", sizeof data)), STATE());
	struct timeval t = {3, 500000}, got = {9, 9};
	len = sizeof got;
	r = sys(setsockopt, client, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
	must(sys(getsockopt, client, SOL_SOCKET, SO_RCVTIMEO, &got, &len));
	struct timeval other = {9, 9};
	must(sys(getsockopt, client, SOL_SOCKET, SO_SNDTIMEO, &other, &len));
	t.tv_usec = 1000000;
	observe("timeouts", "setsockopt", ret_int(r), ARGS(), STATE(f_int("sec", got.tv_sec), f_int("usec", got.tv_usec), f_int("send", other.tv_sec), f_int("bad", sys(setsockopt, client, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t)), f_int("short", sys(setsockopt, client, SOL_SOCKET, SO_SNDTIMEO, &t, 8))));
	/* A limit in the past has passed: nobody waits. */
	must(sys(socketpair, AF_UNIX, SOCK_STREAM, 0, pair));
	struct timeval past = {-5, 10};
	r = sys(setsockopt, pair[0], SOL_SOCKET, SO_RCVTIMEO, &past, sizeof past);
	must(sys(getsockopt, pair[0], SOL_SOCKET, SO_RCVTIMEO, &got, &len));
	observe("past_timeout", "setsockopt", ret_int(r), ARGS(f_int("sec", -5)), STATE(f_int("sec", got.tv_sec), f_int("usec", got.tv_usec), f_int("read", sys(read, pair[0], data, 1))));
}
