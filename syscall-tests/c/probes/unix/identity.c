/* Whose identity a socket shows, and what an accepted one inherits. */
#include "probe.h"

static struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "l"};
static long l;
static int shared[2];

static struct ucred peer_of(long fd)
{
	struct ucred u = {-7, 77, 77};
	socklen_t len = sizeof u;
	must(sys(getsockopt, fd, SOL_SOCKET, SO_PEERCRED, &u, &len));
	return u;
}

/* Connects as nobody and reports whom it sees. */
static int client(void *unused)
{
	(void)unused;
	must(sys(setresgid, 65533, 65533, 65533));
	must(sys(setresuid, 65534, 65534, 65534));
	long fd = must(sys(socket, AF_UNIX, SOCK_STREAM, 0));
	must(sys(connect, fd, &a, sizeof a));
	struct ucred u = peer_of(fd);
	return (u.pid == (int)sys(getppid)) | (u.uid == 0) << 1 | (u.gid == 0) << 2;
}

static int pair_user(void *unused)
{
	(void)unused;
	struct ucred u = peer_of(shared[0]);
	return u.pid == (int)sys(getppid);
}

static uint64_t option(long fd, int name)
{
	int value = -1;
	socklen_t len = sizeof value;
	long r = sys(getsockopt, fd, SOL_SOCKET, name, &value, &len);
	return r < 0 ? (uint64_t)-1 : (uint64_t)(unsigned)value;
}

PROBE("unix/identity", "connected_sees", "accepted_sees", "pair_keeps", "fresh", "listener", "accept_plain", "accept_flags", "accept_bad_flag", "inherits", "option_cut", "option_long", "option_negative", "type", "accepting", "protocol", "domain",
      "readonly_option", "short_value", "passcred_value", "unknown_level", "kinds", "bad_kind", "bad_flag", "bad_protocol", "pair_efault", "pair_flags")
{
	l = must(sys(socket, AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0));
	must(sys(bind, l, &a, sizeof a));
	must(sys(chmod, "l", 0777));
	must(sys(chmod, ".", 0777));
	must(sys(listen, l, 8));
	long child = spawn(client, NULL);
	int seen = WEXITSTATUS(reap(child));
	observe("connected_sees", "getsockopt", ret_hex(seen), ARGS(f_int("optname", SO_PEERCRED)), STATE());
	long fd = must(sys(accept, l, NULL, NULL));
	struct ucred u = peer_of(fd);
	observe("accepted_sees", "getsockopt", ret_bool(u.pid == (int)child), ARGS(f_int("optname", SO_PEERCRED)), STATE(f_uint("uid", u.uid), f_uint("gid", u.gid)));
	must(sys(socketpair, AF_UNIX, SOCK_STREAM, 0, shared));
	observe("pair_keeps", "getsockopt", ret_bool(WEXITSTATUS(reap(spawn(pair_user, NULL)))), ARGS(), STATE());
	u = peer_of(must(sys(socket, AF_UNIX, SOCK_STREAM, 0)));
	observe("fresh", "getsockopt", ret_int(u.pid), ARGS(), STATE(f_uint("uid", u.uid), f_uint("gid", u.gid)));
	u = peer_of(l);
	observe("listener", "getsockopt", ret_bool(u.pid == (int)sys(getpid)), ARGS(), STATE(f_uint("uid", u.uid)));
	long c = must(sys(socket, AF_UNIX, SOCK_STREAM, 0));
	must(sys(connect, c, &a, sizeof a));
	fd = sys(accept, l, NULL, NULL);
	observe("accept_plain", "accept", ret_fd(fd), ARGS(), STATE(f_hex("status", (uint64_t)status_flags(fd)), f_hex("cloexec", (uint64_t)fd_flags(fd))));
	c = must(sys(socket, AF_UNIX, SOCK_STREAM, 0));
	must(sys(connect, c, &a, sizeof a));
	fd = sys(accept4, l, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	observe("accept_flags", "accept4", ret_fd(fd), ARGS(f_hex("flags", SOCK_NONBLOCK | SOCK_CLOEXEC)), STATE(f_hex("status", (uint64_t)status_flags(fd)), f_hex("cloexec", (uint64_t)fd_flags(fd))));
	observe("accept_bad_flag", "accept4", ret_fd(sys(accept4, l, NULL, NULL, 1)), ARGS(f_hex("flags", 1)), STATE(f_int("empty", sys(accept4, l, NULL, NULL, 0))));
	int on = 1, size = 30000;
	must(sys(setsockopt, l, SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
	must(sys(setsockopt, l, SOL_SOCKET, SO_SNDBUF, &size, sizeof size));
	struct timeval t = {5, 0}, got_time = {9, 9};
	must(sys(setsockopt, l, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t));
	c = must(sys(socket, AF_UNIX, SOCK_STREAM, 0));
	must(sys(connect, c, &a, sizeof a));
	fd = must(sys(accept, l, NULL, NULL));
	socklen_t len = sizeof got_time;
	must(sys(getsockopt, fd, SOL_SOCKET, SO_RCVTIMEO, &got_time, &len));
	observe("inherits", "accept", ret_hex((long)option(fd, SO_PASSCRED)), ARGS(), STATE(f_uint("sndbuf", option(fd, SO_SNDBUF)), f_int("rcvtimeo", got_time.tv_sec), f_hex("connected", option(c, SO_PASSCRED))));
	char value[16];
	memset(value, '.', sizeof value);
	len = 2;
	long r = sys(getsockopt, l, SOL_SOCKET, SO_TYPE, value, &len);
	observe("option_cut", "getsockopt", ret_int(r), ARGS(f_uint("room", 2)), STATE(f_uint("length", len), f_bytes("value", value, 5)));
	memset(value, '.', sizeof value);
	len = 16;
	r = sys(getsockopt, l, SOL_SOCKET, SO_TYPE, value, &len);
	observe("option_long", "getsockopt", ret_int(r), ARGS(f_uint("room", 16)), STATE(f_uint("length", len), f_bytes("value", value, 5)));
	int negative = -1;
	observe("option_negative", "getsockopt", ret_int(sys(getsockopt, l, SOL_SOCKET, SO_TYPE, value, &negative)), ARGS(f_int("room", -1)), STATE(f_int("set", sys(setsockopt, l, SOL_SOCKET, SO_PASSCRED, &on, -1))));
	int seq[2];
	must(sys(socketpair, AF_UNIX, SOCK_SEQPACKET, 0, seq));
	observe("type", "getsockopt", ret_int((long)option(seq[0], SO_TYPE)), ARGS(f_int("optname", SO_TYPE)), STATE(f_uint("raw", option(must(sys(socket, AF_UNIX, SOCK_RAW, 0)), SO_TYPE))));
	observe("accepting", "getsockopt", ret_int((long)option(l, SO_ACCEPTCONN)), ARGS(f_int("optname", SO_ACCEPTCONN)), STATE(f_uint("accepted", option(fd, SO_ACCEPTCONN))));
	observe("protocol", "getsockopt", ret_int((long)option(l, SO_PROTOCOL)), ARGS(f_int("optname", SO_PROTOCOL)), STATE());
	observe("domain", "getsockopt", ret_int((long)option(l, SO_DOMAIN)), ARGS(f_int("optname", SO_DOMAIN)), STATE());
	observe("readonly_option", "setsockopt", ret_int(sys(setsockopt, l, SOL_SOCKET, SO_TYPE, &on, sizeof on)), ARGS(f_int("optname", SO_TYPE)), STATE(f_int("error", sys(setsockopt, l, SOL_SOCKET, SO_ERROR, &on, sizeof on))));
	observe("short_value", "setsockopt", ret_int(sys(setsockopt, l, SOL_SOCKET, SO_PASSCRED, &on, 3)), ARGS(f_uint("length", 3)), STATE(f_int("efault", sys(setsockopt, l, SOL_SOCKET, SO_PASSCRED, 8, 4))));
	on = 256;
	r = sys(setsockopt, c, SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
	observe("passcred_value", "setsockopt", ret_int(r), ARGS(f_int("value", on)), STATE(f_uint("value", option(c, SO_PASSCRED))));
	observe("unknown_level", "getsockopt", ret_int(sys(getsockopt, l, 6, 1, value, &len)), ARGS(f_int("level", 6)), STATE(f_int("set", sys(setsockopt, l, 6, 1, &on, sizeof on))));
	observe("kinds", "socket", ret_bool(sys(socket, AF_UNIX, SOCK_SEQPACKET, 0) >= 0), ARGS(), STATE(f_bool("protocol", sys(socket, AF_UNIX, SOCK_STREAM, 1) >= 0)));
	observe("bad_kind", "socket", ret_fd(sys(socket, AF_UNIX, SOCK_RDM, 0)), ARGS(f_int("type", SOCK_RDM)), STATE());
	observe("bad_flag", "socket", ret_fd(sys(socket, AF_UNIX, SOCK_STREAM | 0x100, 0)), ARGS(f_hex("type", SOCK_STREAM | 0x100)), STATE());
	observe("bad_protocol", "socket", ret_fd(sys(socket, AF_UNIX, SOCK_STREAM, 6)), ARGS(f_int("protocol", 6)), STATE());
	observe("pair_efault", "socketpair", ret_int(sys(socketpair, AF_UNIX, SOCK_STREAM, 0, 8)), ARGS(), STATE());
	r = sys(socketpair, AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, seq);
	observe("pair_flags", "socketpair", ret_int(r), ARGS(), STATE(f_hex("status", (uint64_t)status_flags(seq[1])), f_hex("cloexec", (uint64_t)fd_flags(seq[0]))));
}
