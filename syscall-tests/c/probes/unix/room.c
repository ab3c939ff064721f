/* How much fits into a queue, who waits for room in it, and that a message goes as a whole or not at all. */
#include "probe.h"

/* How many messages of `len` bytes fit. */
static long fill(int type, size_t len, uint64_t *writable, int *queued)
{
	static char data[1 << 18];
	int s[2];
	long n = 0;
	must(sys(socketpair, AF_UNIX, type | SOCK_NONBLOCK, 0, s));
	struct pollfd p = {s[0], POLLOUT, 0};
	while (n < 5000 && sys(sendto, s[0], data, len, 0, NULL, 0) == (long)len) {
		n++;
		*writable += sys(poll, &p, 1, 0) == 1;
	}
	must(sys(ioctl, s[0], 0x5411 /* TIOCOUTQ */, queued));
	must(sys(close, s[0])), must(sys(close, s[1]));
	return n;
}

/* A child that sends to `in` by `out`, with `flags`, when the queue is full. */
static void blocked(long out, const struct sockaddr_un *to, long *child)
{
	*child = must(sys(fork));
	if (*child == 0)
		sys(exit_group, sys(sendto, out, "late", 4, 0, to, to ? 6 : 0) != 4);
	await_sleep(*child, *child);
}

static void late(const char *id, long in, long out, const struct sockaddr_un *to)
{
	long child, n = 0;
	int status = -1;
	char data[8];
	while (n < 100 && sys(sendto, out, "x", 1, MSG_DONTWAIT, to, to ? 6 : 0) == 1)
		n++;
	blocked(out, to, &child);
	must(sys(read, in, data, sizeof data));
	long got = sys(wait4, child, &status, 0, NULL);
	observe(id, "sendto", ret_int(n), ARGS(), STATE(f_bool("ended", got == child), f_int("status", status)));
	while (sys(recvfrom, in, data, sizeof data, MSG_DONTWAIT, NULL, NULL) > 0)
		;
}

PROBE("unix/room", "empty", "short", "long", "longest", "too_long", "named", "connected", "polled", "backlog", "backlog_full", "connecting", "half", "half_written", "writer")
{
	static const struct {
		const char *id;
		size_t len;
	} sizes[] = {{"empty", 0}, {"short", 1000}, {"long", 100000}};
	for (int i = 0; i < 3; i++) {
		uint64_t writable = 0, packets = 0;
		int queued = 0;
		long n = fill(SOCK_DGRAM, sizes[i].len, &writable, &queued), m = fill(SOCK_SEQPACKET, sizes[i].len, &packets, &queued);
		observe(sizes[i].id, "sendto", ret_int(n),
			ARGS(f_uint("len", sizes[i].len)), STATE(f_uint("writable", writable), f_int("packets", m), f_int("queued", queued)));
	}
	int s[2], value = 10000;
	static char data[1 << 16];
	must(sys(socketpair, AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, s));
	must(sys(setsockopt, s[0], SOL_SOCKET, SO_SNDBUF, &value, sizeof value));
	observe("longest", "sendto", ret_int(sys(sendto, s[0], data, 20000 - 32, 0, NULL, 0)), ARGS(f_uint("len", 20000 - 32)), STATE());
	observe("too_long", "sendto", ret_int(sys(sendto, s[0], data, 20000 - 31, 0, NULL, 0)), ARGS(f_uint("len", 20000 - 31)), STATE());

	struct sockaddr_un box = {.sun_family = AF_UNIX, .sun_path = "box"};
	long in = must(sys(socket, AF_UNIX, SOCK_DGRAM, 0)), out = must(sys(socket, AF_UNIX, SOCK_DGRAM, 0));
	must(sys(bind, in, &box, 6));
	late("named", in, out, &box);
	must(sys(connect, out, &box, 6));
	late("connected", in, out, NULL);
	/* The same by poll. */
	while (sys(sendto, out, "x", 1, MSG_DONTWAIT, NULL, 0) == 1)
		;
	struct pollfd p = {out, POLLOUT, 0};
	long before = sys(poll, &p, 1, 0), child = must(sys(fork));
	if (child == 0)
		sys(exit_group, sys(poll, &p, 1, -1) != 1);
	await_sleep(child, child);
	must(sys(read, in, data, 1));
	int status = -1;
	must(sys(wait4, child, &status, 0, NULL));
	observe("polled", "poll", ret_int(before), ARGS(), STATE(f_int("status", status)));

	struct sockaddr_un at = {.sun_family = AF_UNIX, .sun_path = "s"};
	long listener = must(sys(socket, AF_UNIX, SOCK_STREAM, 0)), r, n = 0;
	must(sys(bind, listener, &at, 4)), must(sys(listen, listener, 2));
	while (n < 20 && (r = sys(connect, must(sys(socket, AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0)), &at, 4)) == 0)
		n++;
	observe("backlog", "connect", ret_int(n), ARGS(f_int("backlog", 2)), STATE());
	observe("backlog_full", "connect", ret_int(r), ARGS(f_int("backlog", 2)), STATE());
	child = must(sys(fork));
	if (child == 0)
		sys(exit_group, sys(connect, sys(socket, AF_UNIX, SOCK_STREAM, 0), &at, 4) != 0);
	await_sleep(child, child);
	must(sys(accept, listener, NULL, NULL));
	must(sys(wait4, child, &status, 0, NULL));
	observe("connecting", "connect", ret_int(status), ARGS(), STATE());

	char *page = (char *)must(sys(mmap, NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	must(sys(munmap, page + 4096, 4096));
	static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
	long sent[3], written[3], left[3];
	for (int i = 0; i < 3; i++) {
		must(sys(socketpair, AF_UNIX, types[i] | SOCK_NONBLOCK, 0, s));
		sent[i] = sys(sendto, s[0], page + 4000, 200, 0, NULL, 0);
		written[i] = sys(write, s[0], page + 4000, 200);
		left[i] = sys(read, s[1], data, 400);
	}
	observe("half", "sendto", ret_int(sent[0]), ARGS(),
		STATE(f_errno("dgram", err_of(sent[1])), f_errno("seqpacket", err_of(sent[2]))));
	observe("half_written", "write", ret_int(written[0]), ARGS(),
		STATE(f_errno("dgram", err_of(written[1])), f_errno("seqpacket", err_of(written[2])), f_errno("left", err_of(left[0])),
		      f_errno("left_dgram", err_of(left[1])), f_errno("left_seqpacket", err_of(left[2]))));
	/* write(2) brings along whose it was: the real ids. */
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(struct ucred))];
	} c = {0};
	int on = 1;
	struct iovec into = {data, 1};
	struct msghdr m = {.msg_iov = &into, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof c};
	must(sys(setsockopt, s[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
	must(sys(setresgid, 40124, -1, -1)), must(sys(setresuid, 40123, -1, -1));
	r = sys(write, s[0], "x", 1);
	must(sys(recvmsg, s[1], &m, 0));
	struct ucred who;
	memcpy(&who, CMSG_DATA(&c.header), sizeof who);
	observe("writer", "write", ret_int(r), ARGS(), STATE(f_bool("pid", who.pid == sys(getpid)), f_uint("uid", who.uid), f_uint("gid", who.gid)));
}
