/* A listening socket in the file system: bound, connected, accepted, refused. */
#include "probe.h"

PROBE("unix/named", "socket", "bind", "refused", "listen", "name", "accept", "peer_name", "data", "in_use", "missing")
{
	struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "sock"}, got = {0};
	long listener = sys(socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	observe("socket", "socket", ret_fd(listener), ARGS(f_hex("type", SOCK_STREAM | SOCK_CLOEXEC)),
		STATE(f_hex("fd_flags", fd_flags(listener)), f_hex("file_type", fstat_of((int)listener).st_mode & S_IFMT)));
	long client = must(sys(socket, AF_UNIX, SOCK_STREAM, 0));
	long r = sys(bind, listener, &a, sizeof a);
	observe("bind", "bind", ret_int(r), ARGS(f_str("path", "sock")), STATE(f_hex("type", lstat_of("sock").st_mode & S_IFMT)));
	observe("refused", "connect", ret_int(sys(connect, client, &a, sizeof a)), ARGS(f_str("path", "sock")), STATE());
	int accepts = 0;
	socklen_t len = sizeof accepts;
	r = sys(listen, listener, 1);
	must(sys(getsockopt, listener, SOL_SOCKET, SO_ACCEPTCONN, &accepts, &len));
	observe("listen", "listen", ret_int(r), ARGS(f_int("backlog", 1)), STATE(f_int("accepts", accepts)));
	len = sizeof got;
	r = sys(getsockname, listener, &got, &len);
	observe("name", "getsockname", ret_int(r), ARGS(), STATE(f_uint("len", len), f_str("path", got.sun_path)));
	must(sys(connect, client, &a, sizeof a));
	memset(&got, 0, sizeof got);
	len = sizeof got;
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
