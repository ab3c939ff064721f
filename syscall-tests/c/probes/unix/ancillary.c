/* Files and credentials on their way: looked at, cut short, kept apart, forged. */
#include "probe.h"

union control {
	struct cmsghdr header;
	char room[CMSG_SPACE(300 * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
};

static union control c;
static char data[64];
static struct msghdr m;
static struct iovec v;

static long send_files(int socket, const char *text, const int *fds, size_t n)
{
	union control o = {.header = {.cmsg_len = CMSG_LEN(n * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
	memcpy(CMSG_DATA(&o.header), fds, n * sizeof(int));
	struct iovec part = {(void *)text, strlen(text)};
	struct msghdr h = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = n ? &o : NULL, .msg_controllen = n ? CMSG_SPACE(n * sizeof(int)) : 0};
	return sys(sendmsg, socket, &h, 0);
}

static long send_creds(int socket, struct ucred creds, size_t len)
{
	union control o = {.header = {.cmsg_len = CMSG_LEN(len), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_CREDENTIALS}};
	memcpy(CMSG_DATA(&o.header), &creds, sizeof creds);
	struct iovec part = {"c", 1};
	struct msghdr h = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &o, .msg_controllen = CMSG_SPACE(len)};
	return sys(sendmsg, socket, &h, 0);
}

/* Receives up to `len` bytes with `room` for control data. */
static long receive(int socket, size_t len, size_t room, int flags)
{
	memset(&c, 0, sizeof c);
	memset(data, 0, sizeof data);
	v = (struct iovec){data, len};
	m = (struct msghdr){.msg_iov = &v, .msg_iovlen = 1, .msg_control = room ? &c : NULL, .msg_controllen = room};
	return sys(recvmsg, socket, &m, flags);
}

/* Which files came: how many bytes of descriptors. */
static long files(void)
{
	for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h))
		if (h->cmsg_type == SCM_RIGHTS)
			return (long)((h->cmsg_len - CMSG_LEN(0)) / sizeof(int));
	return 0;
}

static int first_file(void)
{
	int fd = -1;
	for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h))
		if (h->cmsg_type == SCM_RIGHTS)
			memcpy(&fd, CMSG_DATA(h), sizeof fd);
	return fd;
}

static struct ucred creds(void)
{
	struct ucred u = {-7, 77, 77};
	for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h))
		if (h->cmsg_type == SCM_CREDENTIALS)
			memcpy(&u, CMSG_DATA(h), sizeof u);
	return u;
}

static int s[2];

static int writes(void *text)
{
	return (int)sys(write, s[0], text, strlen(text));
}

static int forges(void *unused)
{
	(void)unused;
	struct ucred own = {(int)sys(getpid), 65534, 65534}, parent = own, user = own, group = own;
	must(sys(setresgid, 65534, 65534, 65534));
	must(sys(setresuid, 65534, 65534, 65534));
	parent.pid = (int)sys(getppid);
	user.uid = 0;
	group.gid = 0;
	int r = send_creds(s[0], own, sizeof own) == 1;
	r |= (send_creds(s[0], parent, sizeof own) == -EPERM) << 1;
	r |= (send_creds(s[0], user, sizeof own) == -EPERM) << 2;
	return r | (send_creds(s[0], group, sizeof own) == -EPERM) << 3;
}

PROBE("unix/ancillary", "peeked", "taken_after_peek", "kept_apart", "behind", "two_messages", "partly", "partly_open", "one_short", "most", "too_many", "no_bytes", "several_headers", "cut_header", "unknown_type",
      "other_level", "path_only", "datagram_files", "dropped_with_close", "no_room_flag", "senders_apart", "senders_glued", "credentials", "own_credentials", "forged", "root_forges", "bad_length", "creds_and_files", "asked_late",
      "read_keeps_apart", "cloexec")
{
	int p[2], fds[254];
	make_pipe(p, 0);
	must(sys(socketpair, AF_UNIX, SOCK_STREAM, 0, s));
	must(send_files(s[0], "ab", p, 2));
	long r = receive(s[1], 8, sizeof c, MSG_PEEK);
	struct stat seen = {0}, original = fstat_of(p[0]);
	long n = files();
	if (n > 0)
		seen = fstat_of(first_file());
	observe("peeked", "recvmsg", ret_int(r), ARGS(f_hex("flags", MSG_PEEK)), STATE(f_int("files", n), f_bool("same", seen.st_ino == original.st_ino), f_uint("control", m.msg_controllen)));
	r = receive(s[1], 8, sizeof c, 0);
	observe("taken_after_peek", "recvmsg", ret_int(r), ARGS(), STATE(f_int("files", files()), f_bytes("data", data, 8)));
	must(send_files(s[0], "plain", NULL, 0));
	must(send_files(s[0], "with", p, 1));
	must(send_files(s[0], "more", NULL, 0));
	r = receive(s[1], 64, sizeof c, 0);
	observe("kept_apart", "recvmsg", ret_int(r), ARGS(), STATE(f_int("files", files()), f_bytes("data", data, 16)));
	r = receive(s[1], 64, sizeof c, MSG_DONTWAIT);
	observe("behind", "recvmsg", ret_int(r), ARGS(), STATE(f_int("files", files()), f_bytes("data", data, 16)));
	while (receive(s[1], 64, sizeof c, MSG_DONTWAIT) > 0)
		;
	must(send_files(s[0], "one", p, 1));
	must(send_files(s[0], "two", p, 1));
	r = receive(s[1], 64, sizeof c, 0);
	n = files();
	observe("two_messages", "recvmsg", ret_int(r), ARGS(), STATE(f_int("files", n), f_int("second", receive(s[1], 64, sizeof c, MSG_DONTWAIT)), f_int("files2", files())));
	int three[3] = {p[0], p[1], p[0]};
	must(send_files(s[0], "x", three, 3));
	r = receive(s[1], 8, CMSG_LEN(2 * sizeof(int)), 0);
	observe("partly", "recvmsg", ret_int(r), ARGS(f_uint("room", CMSG_LEN(2 * sizeof(int)))), STATE(f_int("files", files()), f_hex("flags", (uint64_t)m.msg_flags), f_uint("control", m.msg_controllen)));
	observe("partly_open", "fcntl", ret_bool(files() > 0 && fd_flags(first_file()) == 0), ARGS(), STATE());
	must(send_files(s[0], "x", three, 2));
	r = receive(s[1], 8, CMSG_LEN(2 * sizeof(int)) - 1, 0);
	observe("one_short", "recvmsg", ret_int(r), ARGS(f_uint("room", CMSG_LEN(2 * sizeof(int)) - 1)), STATE(f_int("files", files()), f_hex("flags", (uint64_t)m.msg_flags)));
	for (int i = 0; i < 254; i++)
		fds[i] = p[0];
	r = send_files(s[0], "x", fds, 253);
	n = receive(s[1], 8, sizeof c, 0);
	observe("most", "sendmsg", ret_int(r), ARGS(f_int("files", 253)), STATE(f_int("received", n), f_int("files", files())));
	for (int i = 20; i < 400; i++)
		sys(close, i);
	observe("too_many", "sendmsg", ret_int(send_files(s[0], "x", fds, 254)), ARGS(f_int("files", 254)), STATE());
	observe("no_bytes", "sendmsg", ret_int(send_files(s[0], "", p, 1)), ARGS(f_uint("bytes", 0)), STATE(f_int("received", receive(s[1], 8, sizeof c, MSG_DONTWAIT))));
	struct {
		struct cmsghdr h1;
		int fd1, pad1;
		struct cmsghdr h2;
		int fd2, pad2;
	} two = {{CMSG_LEN(4), SOL_SOCKET, SCM_RIGHTS}, p[0], 0, {CMSG_LEN(4), SOL_SOCKET, SCM_RIGHTS}, p[1], 0};
	struct iovec part = {"x", 1};
	struct msghdr h = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &two, .msg_controllen = sizeof two};
	r = sys(sendmsg, s[0], &h, 0);
	n = receive(s[1], 8, sizeof c, MSG_DONTWAIT);
	observe("several_headers", "sendmsg", ret_int(r), ARGS(), STATE(f_int("received", n), f_int("files", files())));
	two.h2.cmsg_len = 100;
	observe("cut_header", "sendmsg", ret_int(sys(sendmsg, s[0], &h, 0)), ARGS(f_uint("cmsg_len", 100)), STATE());
	two.h2.cmsg_len = CMSG_LEN(4);
	two.h2.cmsg_type = 99;
	observe("unknown_type", "sendmsg", ret_int(sys(sendmsg, s[0], &h, 0)), ARGS(f_int("cmsg_type", 99)), STATE());
	two.h2.cmsg_level = SOL_SOCKET + 5;
	r = sys(sendmsg, s[0], &h, 0);
	n = receive(s[1], 8, sizeof c, MSG_DONTWAIT);
	observe("other_level", "sendmsg", ret_int(r), ARGS(f_int("cmsg_level", SOL_SOCKET + 5)), STATE(f_int("received", n), f_int("files", files())));
	int path = (int)must(sys(openat, AT_FDCWD, ".", O_PATH));
	r = send_files(s[0], "x", &path, 1);
	n = receive(s[1], 8, sizeof c, MSG_DONTWAIT);
	observe("path_only", "sendmsg", ret_int(r), ARGS(f_hex("flags", O_PATH)), STATE(f_int("files", files()), f_hex("status", (uint64_t)(files() ? status_flags(first_file()) & O_PATH : 0))));
	int d[2];
	must(sys(socketpair, AF_UNIX, SOCK_DGRAM, 0, d));
	must(send_files(d[0], "gram", p, 1));
	must(send_files(d[0], "", p, 1));
	r = receive(d[1], 2, sizeof c, MSG_PEEK);
	n = files();
	long taken = receive(d[1], 64, sizeof c, 0);
	long taken_files = files();
	long empty = receive(d[1], 64, sizeof c, MSG_DONTWAIT);
	observe("datagram_files", "recvmsg", ret_int(r), ARGS(f_hex("flags", MSG_PEEK)), STATE(f_int("files", n), f_int("taken", taken), f_int("taken_files", taken_files), f_int("empty", empty), f_int("empty_files", files())));
	int e[2], q[2];
	make_pipe(q, O_NONBLOCK);
	must(sys(socketpair, AF_UNIX, SOCK_STREAM, 0, e));
	must(send_files(e[0], "x", &q[1], 1));
	must(sys(close, q[1]));
	long held = sys(read, q[0], data, 1);
	must(sys(close, e[0]));
	must(sys(close, e[1]));
	observe("dropped_with_close", "read", ret_int(held), ARGS(), STATE(f_int("after", sys(read, q[0], data, 1))));
	must(send_files(s[0], "x", p, 1));
	r = receive(s[1], 8, 0, 0);
	observe("no_room_flag", "recvmsg", ret_int(r), ARGS(f_uint("room", 0)), STATE(f_hex("flags", (uint64_t)m.msg_flags)));
	int on = 1;
	must(sys(socketpair, AF_UNIX, SOCK_STREAM, 0, s));
	must(sys(setsockopt, s[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
	require(WEXITSTATUS(reap(spawn(writes, "child"))) == 5);
	must(sys(write, s[0], "parent", 6));
	must(sys(write, s[0], "again", 5));
	r = receive(s[1], 64, sizeof c, 0);
	bool other = creds().pid != (int)sys(getpid) && creds().pid > 0;
	observe("senders_apart", "recvmsg", ret_int(r), ARGS(), STATE(f_bytes("data", data, 16), f_bool("child", other), f_uint("control", m.msg_controllen)));
	r = receive(s[1], 64, sizeof c, MSG_DONTWAIT);
	observe("senders_glued", "recvmsg", ret_int(r), ARGS(), STATE(f_bytes("data", data, 16), f_bool("own", creds().pid == (int)sys(getpid))));
	struct ucred own = {(int)sys(getpid), 0, 0};
	observe("credentials", "recvmsg", ret_int(r), ARGS(), STATE(f_uint("uid", creds().uid), f_uint("gid", creds().gid)));
	r = send_creds(s[0], own, sizeof own);
	n = receive(s[1], 8, sizeof c, MSG_DONTWAIT);
	observe("own_credentials", "sendmsg", ret_int(r), ARGS(), STATE(f_int("received", n), f_bool("pid", creds().pid == own.pid)));
	observe("forged", "sendmsg", ret_hex(WEXITSTATUS(reap(spawn(forges, NULL)))), ARGS(), STATE());
	while (receive(s[1], 8, sizeof c, MSG_DONTWAIT) > 0)
		;
	struct ucred forged = {1, 123, 456};
	r = send_creds(s[0], forged, sizeof forged);
	n = receive(s[1], 8, sizeof c, MSG_DONTWAIT);
	observe("root_forges", "sendmsg", ret_int(r), ARGS(f_int("pid", 1)), STATE(f_int("received", n), f_uint("uid", creds().uid), f_uint("gid", creds().gid)));
	observe("bad_length", "sendmsg", ret_int(send_creds(s[0], own, sizeof own - 4)), ARGS(f_uint("length", sizeof own - 4)), STATE());
	must(send_files(s[0], "x", p, 1));
	r = receive(s[1], 8, sizeof c, 0);
	observe("creds_and_files", "recvmsg", ret_int(r), ARGS(), STATE(f_int("first", c.header.cmsg_type), f_int("files", files()), f_uint("control", m.msg_controllen)));
	must(sys(socketpair, AF_UNIX, SOCK_STREAM, 0, s));
	must(sys(write, s[0], "x", 1));
	must(sys(setsockopt, s[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
	r = receive(s[1], 8, sizeof c, 0);
	observe("asked_late", "recvmsg", ret_int(r), ARGS(), STATE(f_int("type", c.header.cmsg_type), f_uint("control", m.msg_controllen)));
	must(send_files(s[0], "a", p, 1));
	must(sys(write, s[0], "b", 1));
	r = sys(read, s[1], data, 8);
	observe("read_keeps_apart", "read", ret_int(r), ARGS(), STATE(f_int("then", sys(read, s[1], data, 8))));
	must(send_files(s[0], "a", p, 1));
	r = receive(s[1], 8, sizeof c, MSG_CMSG_CLOEXEC);
	observe("cloexec", "recvmsg", ret_int(r), ARGS(f_hex("flags", MSG_CMSG_CLOEXEC)), STATE(f_hex("cloexec", (uint64_t)fd_flags(first_file())), f_hex("flags", (uint64_t)m.msg_flags)));
}
