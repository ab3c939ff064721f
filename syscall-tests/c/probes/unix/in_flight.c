/* Sockets on their way through others: as deep as one likes, as many as one may open, and gone when nobody can receive them any more. */
#include "probe.h"

union control {
	struct cmsghdr header;
	char room[CMSG_SPACE(2 * sizeof(int))];
};

static long pass(int socket, const int *fds, size_t n)
{
	union control c = {.header = {.cmsg_len = CMSG_LEN(n * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
	memcpy(CMSG_DATA(&c.header), fds, n * sizeof(int));
	struct iovec v = {"x", 1};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = CMSG_SPACE(n * sizeof(int))};
	return sys(sendmsg, socket, &m, MSG_DONTWAIT);
}

/* What `fd` says within 10 seconds of its peer having gone. */
static void gone(const char *id, int fd)
{
	struct pollfd p = {fd, POLLIN, 0};
	char byte;
	long n = sys(poll, &p, 1, 10000), got = sys(recvfrom, fd, &byte, 1, MSG_DONTWAIT, NULL, NULL);
	observe(id, "poll", ret_int(n), ARGS(), STATE(f_hex("events", (uint64_t)p.revents), f_int("read", got), f_errno("error", err_of(got))));
}

static void pair(int s[2])
{
	must(sys(socketpair, AF_UNIX, SOCK_STREAM, 0, s));
}

PROBE("unix/in_flight", "depth", "itself", "each_other", "not_accepted", "refused", "too_many", "again")
{
	int last = -1, n = 0, s[2], t[2], u[2], v[2];
	for (long r = 1; n < 40 && r == 1; n++) {
		pair(s);
		if (last >= 0) {
			r = pass(s[0], &last, 1);
			must(sys(close, last));
		}
		must(sys(close, s[0]));
		last = s[1];
	}
	observe("depth", "sendmsg", ret_int(n), ARGS(), STATE());
	must(sys(close, last));
	/* In its own queue, with another beside it. */
	pair(s), pair(t);
	must(pass(s[0], (int[]){s[1], t[1]}, 2));
	must(sys(close, t[1])), must(sys(close, s[1])), must(sys(close, s[0]));
	gone("itself", t[0]);
	/* In the queue of another, which is in its. */
	pair(s), pair(t), pair(u);
	must(pass(s[0], (int[]){t[1], u[1]}, 2)), must(pass(t[0], &s[1], 1));
	must(sys(close, u[1])), must(sys(close, t[1])), must(sys(close, s[1])), must(sys(close, s[0])), must(sys(close, t[0]));
	gone("each_other", u[0]);
	/* A listener in the queue of a connection that waits for it to be accepted. */
	struct sockaddr_un at = {.sun_family = AF_UNIX, .sun_path = "s"};
	int listener = (int)must(sys(socket, AF_UNIX, SOCK_STREAM, 0)), client = (int)must(sys(socket, AF_UNIX, SOCK_STREAM, 0));
	must(sys(bind, listener, &at, 4)), must(sys(listen, listener, 1)), must(sys(connect, client, &at, 4));
	pair(u);
	must(pass(client, (int[]){listener, u[1]}, 2));
	must(sys(close, u[1])), must(sys(close, listener));
	pair(v);
	must(sys(close, v[0])), must(sys(close, v[1]));
	gone("not_accepted", u[0]);
	/* What nobody can receive any more is not refused with: the limit is that of the one who sends. */
	struct rlimit few = {20, 20};
	must(sys(setresuid, 40123, 40123, 40123));
	must(sys(prlimit64, 0, RLIMIT_NOFILE, &few, NULL));
	long r;
	pair(s);
	for (n = 0; n < 100 && (r = pass(s[0], &s[1], 1)) == 1; n++)
		;
	observe("refused", "sendmsg", ret_int(r), ARGS(), STATE());
	observe("too_many", "sendmsg", ret_int(n), ARGS(f_uint("limit", few.rlim_cur)), STATE());
	union control c;
	char byte;
	struct iovec into = {&byte, 1};
	struct msghdr m = {.msg_iov = &into, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof c};
	must(sys(recvmsg, s[1], &m, 0));
	observe("again", "sendmsg", ret_int(pass(s[0], &s[1], 1)), ARGS(), STATE());
}
