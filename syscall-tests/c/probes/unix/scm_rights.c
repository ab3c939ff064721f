/* A passed descriptor shares its description; what isn't taken is closed. */
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
	return sys(sendmsg, socket, &m, 0);
}

PROBE("unix/scm_rights", "pass", "cloexec", "truncated", "eof_after_drop", "ebadf")
{
	put_file("f", "0123456789", 10);
	int s[2], fd = (int)must(sys(openat, AT_FDCWD, "f", O_RDONLY)), p[2];
	must(sys(socketpair, AF_UNIX, SOCK_STREAM, 0, s));
	must(sys(lseek, fd, 3, SEEK_SET));
	long r = pass(s[0], &fd, 1);
	must(sys(close, fd));
	union control c = {0};
	char byte, data[4] = "";
	struct iovec v = {&byte, 1};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof c};
	long n = sys(recvmsg, s[1], &m, 0);
	int got = -1;
	memcpy(&got, CMSG_DATA(&c.header), sizeof got);
	long len = sys(read, got, data, 3);
	observe("pass", "sendmsg", ret_int(r), ARGS(f_fd("fd", fd)),
		STATE(f_int("received", n), f_uint("control", m.msg_controllen), f_int("level", c.header.cmsg_level), f_int("type", c.header.cmsg_type),
		      f_int("read", len), f_str("data", data), f_hex("fd_flags", fd_flags(got))));
	must(pass(s[0], &got, 1));
	m.msg_controllen = sizeof c;
	n = sys(recvmsg, s[1], &m, MSG_CMSG_CLOEXEC);
	int second = -1;
	memcpy(&second, CMSG_DATA(&c.header), sizeof second);
	observe("cloexec", "recvmsg", ret_int(n), ARGS(f_hex("flags", MSG_CMSG_CLOEXEC)), STATE(f_hex("fd_flags", fd_flags(second)), f_int("offset", tell(second))));
	make_pipe(p, 0);
	must(pass(s[0], &p[1], 1));
	must(sys(close, p[1]));
	m.msg_controllen = 0;
	m.msg_control = NULL;
	n = sys(recvmsg, s[1], &m, 0);
	observe("truncated", "recvmsg", ret_int(n), ARGS(f_uint("controllen", 0)), STATE(f_hex("flags", (uint64_t)m.msg_flags)));
	observe("eof_after_drop", "read", ret_int(sys(read, p[0], data, 1)), ARGS(f_uint("count", 1)), STATE());
	int bad = 4000;
	observe("ebadf", "sendmsg", ret_int(pass(s[0], &bad, 1)), ARGS(f_int("fd", bad)), STATE());
}
