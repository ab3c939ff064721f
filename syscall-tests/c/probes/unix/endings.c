/* What either side learns when the other closes or shuts down. */
#include "probe.h"

static int s[2];
static long result;

static uint64_t ready(int fd)
{
	struct pollfd p = {fd, POLLIN | POLLOUT | POLLRDHUP, 0};
	must(sys(poll, &p, 1, 0));
	return (uint64_t)p.revents;
}

static long error_of(int fd)
{
	int error = -1;
	socklen_t len = sizeof error;
	must(sys(getsockopt, fd, SOL_SOCKET, SO_ERROR, &error, &len));
	return error;
}

static void pair(int type) { must(sys(socketpair, AF_UNIX, type, 0, s)); }

static int reads(void *unused)
{
	(void)unused;
	char byte;
	result = sys(recvfrom, s[0], &byte, 1, 0, NULL, NULL);
	return 0;
}

static int polls(void *unused)
{
	(void)unused;
	struct pollfd p = {s[0], POLLRDHUP, 0};
	result = sys(poll, &p, 1, -1) == 1 ? p.revents : -1;
	return 0;
}

PROBE("unix/endings", "connected", "write_shut", "write_shut_peer", "read_shut", "read_shut_peer", "both_shut", "closed", "closed_write", "unread", "unread_error", "unread_data_first", "unaccepted", "own_reader_woken",
      "peer_reader_woken", "poller_woken", "dgram_peer_closed", "dgram_shut", "sequenced_closed", "sequenced_signal", "dgram_signal", "bad_how", "not_connected", "not_connected_bad", "listener", "fresh")
{
	char data[8];
	mask_signals(SIG_BLOCK, SIGBIT(SIGPIPE));
	pair(SOCK_STREAM);
	observe("connected", "poll", ret_hex((long)ready(s[0])), ARGS(), STATE());
	long r = sys(shutdown, s[0], SHUT_WR);
	observe("write_shut", "shutdown", ret_int(r), ARGS(f_int("how", SHUT_WR)), STATE(f_hex("ready", ready(s[0])), f_errno("send", err_of(sys(sendto, s[0], "x", 1, MSG_NOSIGNAL, NULL, 0)))));
	observe("write_shut_peer", "shutdown", ret_int(r), ARGS(f_int("how", SHUT_WR)), STATE(f_hex("ready", ready(s[1])), f_int("read", sys(read, s[1], data, 1)), f_int("write", sys(write, s[1], "back", 4)), f_int("arrived", sys(read, s[0], data, 8))));
	pair(SOCK_STREAM);
	must(sys(write, s[1], "old", 3));
	r = sys(shutdown, s[0], SHUT_RD);
	observe("read_shut", "shutdown", ret_int(r), ARGS(f_int("how", SHUT_RD)), STATE(f_hex("ready", ready(s[0])), f_int("read", sys(read, s[0], data, 8)), f_int("end", sys(read, s[0], data, 8)), f_int("write", sys(write, s[0], "x", 1))));
	observe("read_shut_peer", "shutdown", ret_int(r), ARGS(f_int("how", SHUT_RD)), STATE(f_hex("ready", ready(s[1])), f_errno("write", err_of(sys(write, s[1], "x", 1))), f_hex("pending", pending_signals())));
	pair(SOCK_STREAM);
	r = sys(shutdown, s[0], SHUT_RDWR);
	observe("both_shut", "shutdown", ret_int(r), ARGS(f_int("how", SHUT_RDWR)), STATE(f_hex("ready", ready(s[0])), f_hex("peer", ready(s[1]))));
	pair(SOCK_STREAM);
	must(sys(write, s[1], "ab", 2));
	must(sys(close, s[1]));
	observe("closed", "poll", ret_hex((long)ready(s[0])), ARGS(), STATE(f_int("read", sys(read, s[0], data, 8)), f_int("end", sys(read, s[0], data, 8))));
	observe("closed_write", "write", ret_int(sys(write, s[0], "x", 1)), ARGS(), STATE(f_int("shutdown", sys(shutdown, s[0], SHUT_WR))));
	pair(SOCK_STREAM);
	must(sys(write, s[0], "unread", 6));
	must(sys(close, s[1]));
	uint64_t flags = ready(s[0]);
	r = sys(recvfrom, s[0], data, 8, MSG_DONTWAIT, NULL, NULL);
	observe("unread", "recvfrom", ret_int(r), ARGS(), STATE(f_hex("ready", flags), f_int("again", sys(read, s[0], data, 8)), f_hex("after", ready(s[0]))));
	pair(SOCK_STREAM);
	must(sys(write, s[0], "unread", 6));
	must(sys(close, s[1]));
	observe("unread_error", "getsockopt", ret_int(error_of(s[0])), ARGS(f_int("optname", SO_ERROR)), STATE(f_int("again", error_of(s[0])), f_int("read", sys(read, s[0], data, 8))));
	pair(SOCK_STREAM);
	must(sys(write, s[0], "unread", 6));
	must(sys(write, s[1], "data", 4));
	must(sys(close, s[1]));
	r = sys(read, s[0], data, 8);
	observe("unread_data_first", "read", ret_int(r), ARGS(), STATE(f_int("then", sys(read, s[0], data, 8))));
	struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "l"};
	long l = must(sys(socket, AF_UNIX, SOCK_STREAM, 0)), c = must(sys(socket, AF_UNIX, SOCK_STREAM, 0));
	must(sys(bind, l, &a, sizeof a));
	must(sys(listen, l, 3));
	must(sys(connect, c, &a, sizeof a));
	uint64_t waiting = ready((int)l);
	must(sys(close, l));
	flags = ready((int)c);
	observe("unaccepted", "read", ret_int(sys(read, c, data, 8)), ARGS(), STATE(f_hex("listener", waiting), f_hex("ready", flags), f_int("then", sys(read, c, data, 8))));
	struct thread t;
	const struct { const char *id; int end; } wakes[] = {{"own_reader_woken", 0}, {"peer_reader_woken", 1}};
	for (int i = 0; i < 2; i++) {
		pair(SOCK_STREAM);
		thread_start(&t, reads, NULL);
		await_sleep(sys(getpid), t.tid);
		must(sys(shutdown, s[wakes[i].end], i == 0 ? SHUT_RD : SHUT_WR));
		thread_join(&t);
		observe(wakes[i].id, "recvfrom", ret_int(result), ARGS(), STATE());
	}
	pair(SOCK_STREAM);
	thread_start(&t, polls, NULL);
	await_sleep(sys(getpid), t.tid);
	must(sys(shutdown, s[1], SHUT_WR));
	thread_join(&t);
	observe("poller_woken", "poll", ret_hex(result), ARGS(f_hex("events", POLLRDHUP)), STATE());
	pair(SOCK_DGRAM);
	must(sys(close, s[1]));
	observe("dgram_peer_closed", "sendto", ret_int(sys(sendto, s[0], "x", 1, 0, NULL, 0)), ARGS(), STATE(f_hex("ready", ready(s[0])), f_int("read", sys(recvfrom, s[0], data, 1, MSG_DONTWAIT, NULL, NULL)), f_hex("pending", pending_signals() & ~SIGBIT(SIGPIPE))));
	pair(SOCK_DGRAM);
	must(sys(shutdown, s[0], SHUT_RD));
	observe("dgram_shut", "sendto", ret_int(sys(sendto, s[1], "x", 1, MSG_NOSIGNAL, NULL, 0)), ARGS(f_int("how", SHUT_RD)), STATE(f_int("read", sys(recvfrom, s[0], data, 1, 0, NULL, NULL)), f_int("other_way", sys(sendto, s[0], "x", 1, 0, NULL, 0))));
	pair(SOCK_SEQPACKET);
	must(sys(write, s[1], "last", 4));
	must(sys(close, s[1]));
	observe("sequenced_closed", "read", ret_int(sys(read, s[0], data, 8)), ARGS(), STATE(f_int("end", sys(read, s[0], data, 8)), f_hex("ready", ready(s[0])), f_errno("write", err_of(sys(sendto, s[0], "x", 1, MSG_NOSIGNAL, NULL, 0)))));
	uint64_t set = SIGBIT(SIGPIPE);
	struct timespec now = {0, 0};
	siginfo_t info;
	while (sys(rt_sigtimedwait, &set, &info, &now, 8) == SIGPIPE)
		;
	observe("sequenced_signal", "write", ret_int(sys(write, s[0], "x", 1)), ARGS(), STATE(f_hex("pending", pending_signals())));
	while (sys(rt_sigtimedwait, &set, &info, &now, 8) == SIGPIPE)
		;
	int d[2];
	must(sys(socketpair, AF_UNIX, SOCK_DGRAM, 0, d));
	must(sys(shutdown, d[0], SHUT_WR));
	observe("dgram_signal", "write", ret_int(sys(write, d[0], "x", 1)), ARGS(f_int("how", SHUT_WR)), STATE(f_hex("pending", pending_signals())));
	observe("bad_how", "shutdown", ret_int(sys(shutdown, s[0], 3)), ARGS(f_int("how", 3)), STATE());
	long fresh = must(sys(socket, AF_UNIX, SOCK_STREAM, 0));
	observe("not_connected", "shutdown", ret_int(sys(shutdown, fresh, SHUT_RD)), ARGS(f_int("how", SHUT_RD)), STATE());
	observe("not_connected_bad", "shutdown", ret_int(sys(shutdown, fresh, 7)), ARGS(f_int("how", 7)), STATE());
	l = must(sys(socket, AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0));
	a.sun_path[0] = 'm';
	must(sys(bind, l, &a, sizeof a));
	must(sys(listen, l, 3));
	flags = ready((int)l);
	c = must(sys(socket, AF_UNIX, SOCK_STREAM, 0));
	must(sys(connect, c, &a, sizeof a));
	observe("listener", "poll", ret_hex((long)flags), ARGS(), STATE(f_hex("waiting", ready((int)l)), f_int("read", sys(recvfrom, l, data, 1, MSG_DONTWAIT, NULL, NULL)), f_int("write", sys(sendto, l, "x", 1, MSG_NOSIGNAL, NULL, 0))));
	observe("fresh", "poll", ret_hex((long)ready((int)fresh)), ARGS(), STATE(f_int("read", sys(recvfrom, fresh, data, 1, MSG_DONTWAIT, NULL, NULL)), f_int("write", sys(sendto, fresh, "x", 1, MSG_NOSIGNAL, NULL, 0))));
}
