/* accept gives a connection of its own, with the peer's address and without inheriting flags. */
#include "probe.h"

PROBE("unix/accept", "nothing_there", "accepts", "speaks", "address_cut", "not_listening", "not_socket", "ebadf")
{
	struct sockaddr_un at = {.sun_family = AF_UNIX, .sun_path = "s"}, peer = {.sun_family = AF_UNIX, .sun_path = "client"}, from;
	long listener = must(sys(socket, AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
	must(sys(bind, listener, &at, 4));
	must(sys(listen, listener, 4));
	observe("nothing_there", "accept", ret_fd(sys(accept, listener, NULL, NULL)), ARGS(), STATE());
	long client = must(sys(socket, AF_UNIX, SOCK_STREAM, 0));
	must(sys(bind, client, &peer, 9));
	must(sys(connect, client, &at, 4));
	socklen_t len = sizeof from;
	memset(&from, 0, sizeof from);
	long fd = sys(accept, listener, &from, &len);
	observe("accepts", "accept", ret_fd(fd), ARGS(),
		STATE(f_uint("len", len), f_str("peer", from.sun_path), f_hex("status", (uint64_t)status_flags(fd)), f_hex("cloexec", (uint64_t)fd_flags(fd))));
	char data[4] = "";
	must(sys(write, client, "hi", 2));
	long n = sys(read, fd, data, sizeof data);
	observe("speaks", "read", ret_int(n), ARGS(), STATE(f_bytes("data", data, 4)));
	long other = must(sys(socket, AF_UNIX, SOCK_STREAM, 0));
	peer.sun_path[0] = 'C';
	must(sys(bind, other, &peer, 9));
	must(sys(connect, other, &at, 4));
	memset(&from, 0, sizeof from);
	len = 4;
	fd = sys(accept, listener, &from, &len);
	observe("address_cut", "accept", ret_fd(fd), ARGS(f_uint("len", 4)), STATE(f_uint("len", len), f_bytes("peer", from.sun_path, 4)));
	observe("not_listening", "accept", ret_fd(sys(accept, client, NULL, NULL)), ARGS(), STATE());
	observe("not_socket", "accept", ret_fd(sys(accept, 0, NULL, NULL)), ARGS(), STATE());
	observe("ebadf", "accept", ret_fd(sys(accept, 4000, NULL, NULL)), ARGS(f_int("fd", 4000)), STATE());
}
