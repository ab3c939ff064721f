/* SPLICE_F_NONBLOCK and MSG_DONTWAIT keep a call from waiting for what is not there. */
#include "probe.h"

PROBE("pipe/splice_flags", "splice_empty", "tee_empty", "tee", "splice", "send_full", "pidfd")
{
	int a[2], b[2], s[2];
	make_pipe(a, 0);
	make_pipe(b, 0);
	observe("splice_empty", "splice", ret_int(sys(splice, a[0], NULL, b[1], NULL, 10, SPLICE_F_NONBLOCK)), ARGS(f_hex("flags", SPLICE_F_NONBLOCK)), STATE());
	observe("tee_empty", "tee", ret_int(sys(tee, a[0], b[1], 10, SPLICE_F_NONBLOCK)), ARGS(f_hex("flags", SPLICE_F_NONBLOCK)), STATE());
	must(sys(write, a[1], "abcdef", 6));
	char data[8] = "";
	long n = sys(tee, a[0], b[1], 4, SPLICE_F_NONBLOCK), got = sys(read, b[0], data, 4);
	observe("tee", "tee", ret_int(n), ARGS(f_hex("flags", SPLICE_F_NONBLOCK)), STATE(f_int("got", got), f_bytes("data", data, 8)));
	n = sys(splice, a[0], NULL, b[1], NULL, 10, SPLICE_F_NONBLOCK), got = sys(read, b[0], data, 8);
	observe("splice", "splice", ret_int(n), ARGS(f_hex("flags", SPLICE_F_NONBLOCK)), STATE(f_int("got", got), f_bytes("data", data, 8)));
	must(sys(socketpair, AF_UNIX, SOCK_STREAM, 0, s));
	static char block[65536];
	while (sys(sendto, s[0], block, sizeof block, MSG_DONTWAIT, NULL, 0) > 0)
		;
	struct iovec iov = {block, sizeof block};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
	observe("send_full", "sendmsg", ret_int(sys(sendmsg, s[0], &message, MSG_DONTWAIT)), ARGS(f_hex("flags", MSG_DONTWAIT)), STATE());
	long pid = sys(getpid), fd = sys(pidfd_open, pid, O_NONBLOCK);
	observe("pidfd", "pidfd_open", ret_fd(fd), ARGS(f_hex("flags", O_NONBLOCK)), STATE(f_hex("status", (uint64_t)status_flags(fd) & O_NONBLOCK)));
}
