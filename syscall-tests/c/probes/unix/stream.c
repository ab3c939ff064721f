/* A stream of bytes in both directions, half-closed, then broken. */
#include "probe.h"

PROBE("unix/stream", "pair", "peek", "coalesced", "empty", "shutdown", "after_shutdown", "other_way", "epipe", "bad_domain")
{
	int s[2] = {-1, -1};
	long r = sys(socketpair, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s);
	struct stat st = fstat_of(s[0]);
	observe("pair", "socketpair", ret_int(r), ARGS(f_hex("type", SOCK_STREAM | SOCK_CLOEXEC)),
		STATE(f_fd("first", s[0]), f_fd("second", s[1]), f_hex("fd_flags", fd_flags(s[0])), f_hex("file_type", st.st_mode & S_IFMT),
		      f_hex("status", status_flags(s[1]))));
	must(sys(write, s[0], "abc", 3));
	must(sys(sendto, s[0], "def", 3, 0, NULL, 0));
	char data[16] = "";
	long n = sys(recvfrom, s[1], data, sizeof data, MSG_PEEK, NULL, NULL);
	observe("peek", "recvfrom", ret_int(n), ARGS(f_hex("flags", MSG_PEEK)), STATE(f_bytes("data", data, 8)));
	memset(data, 0, sizeof data);
	n = sys(read, s[1], data, 5);
	observe("coalesced", "read", ret_int(n), ARGS(f_uint("count", 5)), STATE(f_bytes("data", data, 8)));
	must(sys(read, s[1], data, 5));
	observe("empty", "recvfrom", ret_int(sys(recvfrom, s[1], data, 5, MSG_DONTWAIT, NULL, NULL)), ARGS(f_hex("flags", MSG_DONTWAIT)), STATE());
	r = sys(shutdown, s[0], SHUT_WR);
	observe("shutdown", "shutdown", ret_int(r), ARGS(f_int("how", SHUT_WR)), STATE(f_int("peer_read", sys(read, s[1], data, 5))));
	observe("after_shutdown", "sendto", ret_int(sys(sendto, s[0], "x", 1, MSG_NOSIGNAL, NULL, 0)), ARGS(f_hex("flags", MSG_NOSIGNAL)), STATE());
	n = sys(write, s[1], "back", 4);
	observe("other_way", "write", ret_int(n), ARGS(f_uint("count", 4)), STATE(f_int("read", sys(read, s[0], data, 16)), f_bytes("data", data, 4)));
	must(sys(close, s[0]));
	observe("epipe", "sendto", ret_int(sys(sendto, s[1], "x", 1, MSG_NOSIGNAL, NULL, 0)), ARGS(f_hex("flags", MSG_NOSIGNAL)), STATE());
	observe("bad_domain", "socketpair", ret_int(sys(socketpair, AF_UNIX, SOCK_STREAM, 77, s)), ARGS(f_int("protocol", 77)), STATE());
}
