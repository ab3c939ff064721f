/* Datagrams: from whom they are taken, what an empty one is, what is told of their lengths. */
#include "probe.h"

static struct sockaddr_un d = {.sun_family = AF_UNIX, .sun_path = "d"}, e = {.sun_family = AF_UNIX, .sun_path = "e"};

static int told(int fd, unsigned long request)
{
	int n = -1;
	long r = sys(ioctl, fd, request, &n);
	return r < 0 ? (int)r : n;
}

#define INQ(fd) told((int)(fd), 0x541b)
#define OUTQ(fd) told((int)(fd), 0x5411)

PROBE("unix/datagrams", "unconnected", "to_name", "from_unnamed", "from_cut", "connected_elsewhere", "connected_to_sender", "own_address_differs", "dissolved", "dissolved_peer", "reconnected", "empty", "empty_peek", "cut", "cut_length", "peek_cut",
      "lengths", "stream_lengths", "listener_lengths", "sequenced", "sequenced_address", "sequenced_empty", "stream_address", "out_of_band", "zero_stream", "writev", "readv_cut", "receiver_gone", "self", "stream_from", "stream_from_end", "sequenced_from", "message_from")
{
	long a = must(sys(socket, AF_UNIX, SOCK_DGRAM, 0)), b = must(sys(socket, AF_UNIX, SOCK_DGRAM, 0)), c = must(sys(socket, AF_UNIX, SOCK_DGRAM, 0));
	char data[64] = "";
	must(sys(bind, a, &d, sizeof d));
	observe("unconnected", "sendto", ret_int(sys(sendto, b, "x", 1, 0, NULL, 0)), ARGS(), STATE(f_int("peer", sys(getpeername, b, data, &(socklen_t){64}))));
	long r = sys(sendto, b, "hello", 5, 0, &d, sizeof d);
	struct sockaddr_un from;
	memset(&from, '.', sizeof from);
	socklen_t len = sizeof from;
	long n = sys(recvfrom, a, data, 64, MSG_DONTWAIT, &from, &len);
	observe("to_name", "sendto", ret_int(r), ARGS(), STATE(f_int("received", n), f_bytes("data", data, 5)));
	observe("from_unnamed", "recvfrom", ret_int(n), ARGS(), STATE(f_uint("length", len)));
	must(sys(bind, b, &e, offsetof(struct sockaddr_un, sun_path) + 2));
	must(sys(sendto, b, "hello", 5, 0, &d, sizeof d));
	len = 3;
	memset(&from, '.', sizeof from);
	n = sys(recvfrom, a, data, 64, MSG_DONTWAIT, &from, &len);
	observe("from_cut", "recvfrom", ret_int(n), ARGS(f_uint("room", 3)), STATE(f_uint("length", len), f_bytes("from", &from, 5)));
	must(sys(connect, a, &e, offsetof(struct sockaddr_un, sun_path) + 2));
	observe("connected_elsewhere", "sendto", ret_int(sys(sendto, c, "x", 1, 0, &d, sizeof d)), ARGS(), STATE(f_int("connect", sys(connect, c, &d, sizeof d))));
	observe("connected_to_sender", "sendto", ret_int(sys(sendto, b, "y", 1, 0, &d, sizeof d)), ARGS(), STATE(f_int("received", sys(recvfrom, a, data, 8, MSG_DONTWAIT, NULL, NULL))));
	must(sys(connect, b, &d, sizeof d));
	observe("own_address_differs", "sendto", ret_int(sys(sendto, b, "z", 1, 0, &d, sizeof d)), ARGS(), STATE(f_int("plain", sys(write, b, "z", 1))));
	while (sys(recvfrom, a, data, 8, MSG_DONTWAIT, NULL, NULL) > 0)
		;
	struct sockaddr none = {.sa_family = AF_UNSPEC};
	r = sys(connect, b, &none, sizeof none);
	observe("dissolved", "connect", ret_int(r), ARGS(f_int("family", AF_UNSPEC)), STATE(f_int("write", sys(write, b, "x", 1)), f_int("peer", sys(getpeername, b, data, &(socklen_t){64}))));
	r = sys(connect, a, &none, sizeof none);
	observe("dissolved_peer", "connect", ret_int(r), ARGS(f_int("family", AF_UNSPEC)), STATE(f_int("stranger", sys(sendto, must(sys(socket, AF_UNIX, SOCK_DGRAM, 0)), "x", 1, 0, &d, sizeof d)), f_int("received", sys(recvfrom, a, data, 8, MSG_DONTWAIT, NULL, NULL))));
	r = sys(connect, b, &d, sizeof d);
	observe("reconnected", "connect", ret_int(r), ARGS(), STATE(f_int("write", sys(write, b, "abc", 3)), f_int("received", sys(recvfrom, a, data, 8, MSG_DONTWAIT, NULL, NULL))));
	r = sys(write, b, "", 0);
	struct pollfd p = {(int)a, POLLIN, 0};
	long ready = sys(poll, &p, 1, 0);
	len = sizeof from;
	n = sys(recvfrom, a, data, 8, MSG_DONTWAIT, &from, &len);
	observe("empty", "write", ret_int(r), ARGS(f_uint("count", 0)), STATE(f_int("ready", ready), f_int("received", n), f_uint("from", len), f_int("then", sys(recvfrom, a, data, 8, MSG_DONTWAIT, NULL, NULL))));
	must(sys(sendto, b, NULL, 0, 0, NULL, 0));
	must(sys(write, b, "next", 4));
	r = sys(recvfrom, a, data, 8, MSG_DONTWAIT | MSG_PEEK, NULL, NULL);
	observe("empty_peek", "recvfrom", ret_int(r), ARGS(f_hex("flags", MSG_PEEK)), STATE(f_int("first", sys(recvfrom, a, data, 8, MSG_DONTWAIT, NULL, NULL)), f_int("second", sys(recvfrom, a, data, 8, MSG_DONTWAIT, NULL, NULL))));
	must(sys(write, b, "0123456789", 10));
	must(sys(write, b, "ab", 2));
	r = sys(recvfrom, a, data, 4, MSG_DONTWAIT, NULL, NULL);
	observe("cut", "recvfrom", ret_int(r), ARGS(f_uint("size", 4)), STATE(f_int("next", sys(recvfrom, a, data, 8, MSG_DONTWAIT, NULL, NULL))));
	must(sys(write, b, "0123456789", 10));
	observe("cut_length", "recvfrom", ret_int(sys(recvfrom, a, data, 4, MSG_DONTWAIT | MSG_TRUNC, NULL, NULL)), ARGS(f_hex("flags", MSG_TRUNC)), STATE());
	must(sys(write, b, "0123456789", 10));
	r = sys(recvfrom, a, data, 4, MSG_DONTWAIT | MSG_TRUNC | MSG_PEEK, NULL, NULL);
	observe("peek_cut", "recvfrom", ret_int(r), ARGS(f_hex("flags", MSG_TRUNC | MSG_PEEK)), STATE(f_int("then", sys(recvfrom, a, data, 64, MSG_DONTWAIT, NULL, NULL))));
	must(sys(write, b, "0123456", 7));
	must(sys(write, b, "89", 2));
	bool out = OUTQ(b) > 0;
	observe("lengths", "ioctl", ret_int(INQ(a)), ARGS(), STATE(f_bool("outgoing", out), f_int("own_out", OUTQ(a)), f_int("own_in", INQ(b)), f_int("read", sys(read, a, data, 8)), f_int("next", INQ(a))));
	int s[2];
	must(sys(socketpair, AF_UNIX, SOCK_STREAM, 0, s));
	must(sys(write, s[0], "0123456", 7));
	must(sys(write, s[0], "89", 2));
	out = OUTQ(s[0]) > 0;
	must(sys(read, s[1], data, 4));
	r = INQ(s[1]);
	must(sys(read, s[1], data, 64));
	observe("stream_lengths", "ioctl", ret_int(r), ARGS(), STATE(f_bool("outgoing", out), f_int("other_out", OUTQ(s[1])), f_int("drained", INQ(s[1])), f_int("out_after", OUTQ(s[0]))));
	long l = must(sys(socket, AF_UNIX, SOCK_STREAM, 0));
	e.sun_path[0] = 'l';
	must(sys(bind, l, &e, sizeof e));
	must(sys(listen, l, 1));
	observe("listener_lengths", "ioctl", ret_int(INQ(l)), ARGS(), STATE(f_int("accept", sys(accept, a, NULL, NULL)), f_int("listen", sys(listen, a, 1))));
	int q[2];
	must(sys(socketpair, AF_UNIX, SOCK_SEQPACKET, 0, q));
	must(sys(write, q[0], "abc", 3));
	must(sys(write, q[0], "defgh", 5));
	r = INQ(q[1]);
	n = sys(read, q[1], data, 2);
	observe("sequenced", "read", ret_int(n), ARGS(f_uint("count", 2)), STATE(f_int("told", r), f_int("next", sys(read, q[1], data, 64))));
	observe("sequenced_address", "sendto", ret_int(sys(sendto, q[0], "x", 1, 0, &d, sizeof d)), ARGS(), STATE(f_int("unconnected", sys(sendto, must(sys(socket, AF_UNIX, SOCK_SEQPACKET, 0)), "x", 1, MSG_NOSIGNAL, &d, sizeof d))));
	while (sys(recvfrom, q[1], data, 8, MSG_DONTWAIT, NULL, NULL) > 0)
		;
	r = sys(write, q[0], "", 0);
	observe("sequenced_empty", "write", ret_int(r), ARGS(f_uint("count", 0)), STATE(f_int("received", sys(recvfrom, q[1], data, 8, MSG_DONTWAIT, NULL, NULL))));
	observe("stream_address", "sendto", ret_int(sys(sendto, s[0], "x", 1, 0, &d, sizeof d)), ARGS(), STATE(f_int("unconnected", sys(sendto, must(sys(socket, AF_UNIX, SOCK_STREAM, 0)), "x", 1, MSG_NOSIGNAL, &d, sizeof d))));
	observe("out_of_band", "sendto", ret_int(sys(sendto, q[0], "x", 1, MSG_OOB, NULL, 0)), ARGS(f_hex("flags", MSG_OOB)), STATE(f_int("receive", sys(recvfrom, q[1], data, 1, MSG_OOB | MSG_DONTWAIT, NULL, NULL))));
	observe("zero_stream", "recvfrom", ret_int(sys(sendto, s[0], "", 0, 0, NULL, 0)), ARGS(), STATE(f_int("received", sys(recvfrom, s[1], data, 8, MSG_DONTWAIT, NULL, NULL)), f_int("nothing", sys(recvfrom, s[1], data, 0, MSG_DONTWAIT, NULL, NULL))));
	struct iovec parts[2] = {{"one", 3}, {"two", 3}};
	while (sys(recvfrom, a, data, 8, MSG_DONTWAIT, NULL, NULL) >= 0)
		;
	r = sys(writev, b, parts, 2);
	memset(data, 0, sizeof data);
	n = sys(recvfrom, a, data, 64, MSG_DONTWAIT, NULL, NULL);
	observe("writev", "writev", ret_int(r), ARGS(), STATE(f_int("received", n), f_bytes("data", data, 7)));
	must(sys(write, b, "abcdefgh", 8));
	char x[2], y[2];
	struct iovec into[2] = {{x, 2}, {y, 2}};
	r = sys(readv, a, into, 2);
	observe("readv_cut", "readv", ret_int(r), ARGS(), STATE(f_bytes("first", x, 2), f_bytes("second", y, 2), f_int("rest", sys(recvfrom, a, data, 64, MSG_DONTWAIT, NULL, NULL))));
	must(sys(close, a));
	observe("receiver_gone", "write", ret_int(sys(write, b, "x", 1)), ARGS(), STATE(f_int("again", sys(write, b, "x", 1)), f_int("named", sys(sendto, b, "x", 1, 0, &d, sizeof d))));
	e.sun_path[0] = 's';
	long own = must(sys(socket, AF_UNIX, SOCK_DGRAM, 0));
	must(sys(bind, own, &e, sizeof e));
	must(sys(connect, own, &e, sizeof e));
	observe("self", "write", ret_int(sys(write, own, "me", 2)), ARGS(), STATE(f_int("read", sys(recvfrom, own, data, 8, MSG_DONTWAIT, NULL, NULL))));
	e.sun_path[0] = 'v';
	long listener = must(sys(socket, AF_UNIX, SOCK_STREAM, 0)), client = must(sys(socket, AF_UNIX, SOCK_STREAM, 0));
	must(sys(bind, listener, &e, offsetof(struct sockaddr_un, sun_path) + 2));
	must(sys(listen, listener, 1));
	must(sys(connect, client, &e, offsetof(struct sockaddr_un, sun_path) + 2));
	long accepted = must(sys(accept, listener, NULL, NULL));
	must(sys(write, accepted, "down", 4));
	must(sys(write, client, "up", 2));
	len = sizeof from;
	memset(&from, '.', sizeof from);
	r = sys(recvfrom, client, data, 8, 0, &from, &len);
	socklen_t up = sizeof from;
	struct sockaddr_un other;
	n = sys(recvfrom, accepted, data, 8, 0, &other, &up);
	observe("stream_from", "recvfrom", ret_int(r), ARGS(), STATE(f_uint("length", len), f_bytes("from", &from, 4), f_int("up", n), f_uint("up_length", up)));
	must(sys(close, accepted));
	len = sizeof from;
	r = sys(recvfrom, client, data, 8, 0, &from, &len);
	observe("stream_from_end", "recvfrom", ret_int(r), ARGS(), STATE(f_uint("length", len)));
	e.sun_path[0] = 'w';
	listener = must(sys(socket, AF_UNIX, SOCK_SEQPACKET, 0)), client = must(sys(socket, AF_UNIX, SOCK_SEQPACKET, 0));
	must(sys(bind, listener, &e, offsetof(struct sockaddr_un, sun_path) + 2));
	must(sys(listen, listener, 1));
	must(sys(connect, client, &e, offsetof(struct sockaddr_un, sun_path) + 2));
	accepted = must(sys(accept, listener, NULL, NULL));
	must(sys(write, accepted, "down", 4));
	must(sys(write, accepted, "next", 4));
	len = sizeof from;
	memset(&from, '.', sizeof from);
	r = sys(recvfrom, client, data, 8, 0, &from, &len);
	observe("sequenced_from", "recvfrom", ret_int(r), ARGS(), STATE(f_uint("length", len), f_bytes("from", &from, 4)));
	struct iovec part = {data, 8};
	struct msghdr h = {.msg_name = &from, .msg_namelen = 3, .msg_iov = &part, .msg_iovlen = 1};
	memset(&from, '.', sizeof from);
	r = sys(recvmsg, client, &h, 0);
	observe("message_from", "recvmsg", ret_int(r), ARGS(f_uint("room", 3)), STATE(f_uint("length", h.msg_namelen), f_bytes("from", &from, 4), f_hex("flags", (uint64_t)h.msg_flags)));
}
