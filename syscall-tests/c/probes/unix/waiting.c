/* Who sleeps in a socket call, what ends it, and after how long. */
#include "probe.h"

#define MS 1000000ll
static int s[2];
static long result, listener, client;
static char buffer[600000];
static struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "l"};
static struct mmsghdr many[3];
static char texts[3][8];

static int sends(void *unused)
{
	(void)unused;
	result = sys(sendto, s[0], buffer, 500000, 0, NULL, 0);
	return 0;
}

static int polls_out(void *unused)
{
	(void)unused;
	struct pollfd p = {s[0], POLLOUT, 0};
	result = sys(poll, &p, 1, 3000);
	return 0;
}

static int all(void *unused)
{
	(void)unused;
	result = sys(recvfrom, s[1], buffer, 6, MSG_WAITALL, NULL, NULL);
	return 0;
}

static int accepts(void *unused)
{
	(void)unused;
	result = sys(accept, listener, NULL, NULL);
	return 0;
}

static int connects(void *unused)
{
	(void)unused;
	result = sys(connect, client, &a, sizeof a);
	return 0;
}

static int receives(void *unused)
{
	(void)unused;
	result = sys(recvmmsg, s[1], many, 3, 0, NULL);
	return 0;
}

static int sends_datagram(void *unused)
{
	(void)unused;
	result = sys(write, s[0], "late", 4);
	return 0;
}

static struct sockaddr_un crowded = {.sun_family = AF_UNIX, .sun_path = "crowded"};

static int sends_to(void *unused)
{
	(void)unused;
	result = sys(sendto, s[0], "late", 4, 0, &crowded, sizeof crowded);
	return 0;
}

static int polls_long(void *unused)
{
	(void)unused;
	struct pollfd p = {s[0], POLLOUT, 0};
	result = sys(poll, &p, 1, 6000);
	return 0;
}

static void start(struct thread *t, int (*body)(void *))
{
	thread_start(t, body, NULL);
	await_sleep(sys(getpid), t->tid);
}

static void limit(int fd, int option, int ms)
{
	struct timeval t = {ms / 1000, ms % 1000 * 1000};
	must(sys(setsockopt, fd, SOL_SOCKET, option, &t, sizeof t));
}

PROBE("unix/waiting", "sender", "poller", "all", "all_ended", "all_nonblocking", "all_peek", "accept", "connect", "several", "datagram_sender", "receive_limit", "send_limit", "limits_apart", "accept_limit", "read_limit", "no_limit_back", "stranger_sends", "stranger_polls")
{
	struct thread t;
	must(sys(socketpair, AF_UNIX, SOCK_STREAM, 0, s));
	start(&t, sends);
	long got = 0, n;
	while (got < 500000 && (n = sys(read, s[1], buffer, sizeof buffer)) > 0)
		got += n;
	thread_join(&t);
	observe("sender", "sendto", ret_int(result), ARGS(f_uint("count", 500000)), STATE(f_int("received", got)));
	must(sys(fcntl, s[0], F_SETFL, O_NONBLOCK));
	while (sys(write, s[0], buffer, 4096) > 0)
		;
	start(&t, polls_out);
	must(sys(fcntl, s[1], F_SETFL, O_NONBLOCK));
	while (sys(read, s[1], buffer, sizeof buffer) > 0)
		;
	thread_join(&t);
	observe("poller", "poll", ret_int(result), ARGS(f_hex("events", POLLOUT)), STATE());
	must(sys(socketpair, AF_UNIX, SOCK_STREAM, 0, s));
	must(sys(write, s[0], "abc", 3));
	start(&t, all);
	must(sys(write, s[0], "defghi", 6));
	thread_join(&t);
	observe("all", "recvfrom", ret_int(result), ARGS(f_hex("flags", MSG_WAITALL)), STATE(f_bytes("data", buffer, 6), f_int("rest", sys(read, s[1], buffer, 8))));
	must(sys(write, s[0], "abc", 3));
	start(&t, all);
	must(sys(close, s[0]));
	thread_join(&t);
	observe("all_ended", "recvfrom", ret_int(result), ARGS(f_hex("flags", MSG_WAITALL)), STATE(f_bytes("data", buffer, 3)));
	must(sys(socketpair, AF_UNIX, SOCK_STREAM, 0, s));
	must(sys(write, s[0], "ab", 2));
	observe("all_nonblocking", "recvfrom", ret_int(sys(recvfrom, s[1], buffer, 6, MSG_WAITALL | MSG_DONTWAIT, NULL, NULL)), ARGS(f_hex("flags", MSG_WAITALL | MSG_DONTWAIT)), STATE());
	must(sys(write, s[0], "abcdefgh", 8));
	observe("all_peek", "recvfrom", ret_int(sys(recvfrom, s[1], buffer, 6, MSG_WAITALL | MSG_PEEK, NULL, NULL)), ARGS(f_hex("flags", MSG_WAITALL | MSG_PEEK)), STATE(f_int("again", sys(read, s[1], buffer, 20))));
	listener = must(sys(socket, AF_UNIX, SOCK_STREAM, 0));
	must(sys(bind, listener, &a, sizeof a));
	must(sys(listen, listener, 0));
	start(&t, accepts);
	must(sys(connect, must(sys(socket, AF_UNIX, SOCK_STREAM, 0)), &a, sizeof a));
	thread_join(&t);
	observe("accept", "accept", ret_bool(result >= 0), ARGS(), STATE());
	must(sys(connect, must(sys(socket, AF_UNIX, SOCK_STREAM, 0)), &a, sizeof a));
	client = must(sys(socket, AF_UNIX, SOCK_STREAM, 0));
	start(&t, connects);
	must(sys(accept, listener, NULL, NULL));
	thread_join(&t);
	observe("connect", "connect", ret_int(result), ARGS(), STATE(f_bool("accepted", sys(accept, listener, NULL, NULL) >= 0)));
	must(sys(socketpair, AF_UNIX, SOCK_DGRAM, 0, s));
	static struct iovec into[3];
	for (int i = 0; i < 3; i++) {
		into[i] = (struct iovec){texts[i], 8};
		many[i].msg_hdr = (struct msghdr){.msg_iov = &into[i], .msg_iovlen = 1};
	}
	must(sys(write, s[0], "1", 1));
	start(&t, receives);
	must(sys(write, s[0], "22", 2));
	await_sleep(sys(getpid), t.tid);
	must(sys(write, s[0], "333", 3));
	thread_join(&t);
	observe("several", "recvmmsg", ret_int(result), ARGS(f_uint("vlen", 3)),
		STATE(f_list("lengths", v_uint(many[0].msg_len), v_uint(many[1].msg_len), v_uint(many[2].msg_len)), f_bytes("first", texts[0], 2), f_bytes("last", texts[2], 3)));
	struct sockaddr_un d = {.sun_family = AF_UNIX, .sun_path = "d"};
	s[1] = (int)must(sys(socket, AF_UNIX, SOCK_DGRAM, 0));
	must(sys(bind, s[1], &d, sizeof d));
	s[0] = (int)must(sys(socket, AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0));
	must(sys(connect, s[0], &d, sizeof d));
	while (sys(write, s[0], "x", 1) > 0)
		;
	must(sys(fcntl, s[0], F_SETFL, 0));
	start(&t, sends_datagram);
	must(sys(read, s[1], buffer, 8));
	thread_join(&t);
	observe("datagram_sender", "write", ret_int(result), ARGS(), STATE());
	must(sys(socketpair, AF_UNIX, SOCK_STREAM, 0, s));
	limit(s[0], SO_RCVTIMEO, 30);
	int64_t begin = now_ns();
	long r = sys(recvfrom, s[0], buffer, 1, 0, NULL, NULL);
	observe("receive_limit", "recvfrom", ret_int(r), ARGS(f_int("ms", 30)), STATE(f_dur("waited", now_ns() - begin, 29 * MS, 5000 * MS)));
	limit(s[0], SO_SNDTIMEO, 30);
	do
		r = sys(sendto, s[0], buffer, 4096, MSG_DONTWAIT, NULL, 0);
	while (r > 0);
	begin = now_ns();
	r = sys(sendto, s[0], buffer, 4096, 0, NULL, 0);
	observe("send_limit", "sendto", ret_int(r), ARGS(f_int("ms", 30)), STATE(f_dur("waited", now_ns() - begin, 29 * MS, 5000 * MS)));
	limit(s[0], SO_SNDTIMEO, 0);
	limit(s[1], SO_SNDTIMEO, 9000);
	limit(s[1], SO_RCVTIMEO, 20);
	while (sys(recvfrom, s[1], buffer, sizeof buffer, MSG_DONTWAIT, NULL, NULL) > 0)
		;
	begin = now_ns();
	r = sys(recvfrom, s[1], buffer, 1, 0, NULL, NULL);
	observe("limits_apart", "recvfrom", ret_int(r), ARGS(f_int("ms", 20)), STATE(f_dur("waited", now_ns() - begin, 19 * MS, 5000 * MS)));
	limit((int)listener, SO_RCVTIMEO, 20);
	begin = now_ns();
	r = sys(accept, listener, NULL, NULL);
	observe("accept_limit", "accept", ret_int(r), ARGS(f_int("ms", 20)), STATE(f_dur("waited", now_ns() - begin, 19 * MS, 5000 * MS)));
	begin = now_ns();
	r = sys(read, s[1], buffer, 1);
	observe("read_limit", "read", ret_int(r), ARGS(f_int("ms", 20)), STATE(f_dur("waited", now_ns() - begin, 19 * MS, 5000 * MS)));
	limit(s[1], SO_RCVTIMEO, 0);
	must(sys(write, s[0], "x", 1));
	observe("no_limit_back", "read", ret_int(sys(read, s[1], buffer, 1)), ARGS(f_int("ms", 0)), STATE());
	/* The queue is full of a third socket's messages: what ends the sleep is only that one was taken. */
	s[1] = (int)must(sys(socket, AF_UNIX, SOCK_DGRAM, 0));
	must(sys(bind, s[1], &crowded, sizeof crowded));
	s[0] = (int)must(sys(socket, AF_UNIX, SOCK_DGRAM, 0));
	limit(s[0], SO_SNDTIMEO, 6000);
	long third = must(sys(socket, AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0));
	while (sys(sendto, third, "x", 1, 0, &crowded, sizeof crowded) > 0)
		;
	start(&t, sends_to);
	begin = now_ns();
	must(sys(read, s[1], buffer, 8));
	thread_join(&t);
	observe("stranger_sends", "sendto", ret_int(result), ARGS(), STATE(f_dur("waited", now_ns() - begin, 0, 4000 * MS)));
	must(sys(connect, s[0], &crowded, sizeof crowded));
	while (sys(sendto, third, "x", 1, 0, &crowded, sizeof crowded) > 0)
		;
	start(&t, polls_long);
	begin = now_ns();
	must(sys(read, s[1], buffer, 8));
	thread_join(&t);
	observe("stranger_polls", "poll", ret_int(result), ARGS(f_hex("events", POLLOUT)), STATE(f_dur("waited", now_ns() - begin, 0, 4000 * MS)));
}
