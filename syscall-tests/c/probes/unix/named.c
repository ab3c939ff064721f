/* A listening socket in the file system: bound, connected, accepted, refused. */
#include "probe.h"

PROBE("unix/named", "bind", "refused", "accept", "peer_name", "data", "in_use", "missing")
{
	struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "sock"}, got = {0};
	long listener = must(sys(socket, AF_UNIX, SOCK_STREAM, 0)), client = must(sys(socket, AF_UNIX, SOCK_STREAM, 0));
	long r = sys(bind, listener, &a, sizeof a);
	observe("bind", "bind", ret_int(r), ARGS(f_str("path", "sock")), STATE(f_hex("type", lstat_of("sock").st_mode & S_IFMT)));
	observe("refused", "connect", ret_int(sys(connect, client, &a, sizeof a)), ARGS(f_str("path", "sock")), STATE());
	must(sys(listen, listener, 1));
	must(sys(connect, client, &a, sizeof a));
	socklen_t len = sizeof got;
	long fd = sys(accept4, listener, &got, &len, SOCK_CLOEXEC);
	observe("accept", "accept4", ret_fd(fd), ARGS(f_hex("flags", SOCK_CLOEXEC)),
		STATE(f_hex("fd_flags", fd_flags(fd)), f_uint("len", len), f_int("family", got.sun_family)));
	len = sizeof got;
	r = sys(getpeername, client, &got, &len);
	observe("peer_name", "getpeername", ret_int(r), ARGS(), STATE(f_uint("len", len), f_str("path", got.sun_path)));
	char data[4] = "";
	must(sys(write, client, "hey", 3));
	observe("data", "read", ret_int(sys(read, fd, data, 4)), ARGS(f_uint("count", 4)), STATE(f_str("data", data)));
	long other = must(sys(socket, AF_UNIX, SOCK_STREAM, 0));
	observe("in_use", "bind", ret_int(sys(bind, other, &a, sizeof a)), ARGS(f_str("path", "sock")), STATE());
	strcpy(a.sun_path, "none");
	observe("missing", "connect", ret_int(sys(connect, other, &a, sizeof a)), ARGS(f_str("path", "none")), STATE());
}
