/* Several messages with one call; an error after the first ends it with their number. */
#include "probe.h"

static char in[5][8];
static struct iovec into[5];
static struct mmsghdr got[5];

static void prepare(void)
{
	memset(in, '.', sizeof in);
	memset(got, 0, sizeof got);
	for (int i = 0; i < 5; i++) {
		into[i] = (struct iovec){in[i], 8};
		got[i].msg_hdr = (struct msghdr){.msg_iov = &into[i], .msg_iovlen = 1};
	}
}

#define LENGTHS(m) f_list("lengths", v_uint((m)[0].msg_len), v_uint((m)[1].msg_len), v_uint((m)[2].msg_len))

PROBE("unix/mmsg", "send", "receive", "empty", "flagged", "partial", "first_fails", "none", "waits_for_one", "bad_timeout", "ebadf", "not_socket", "no_signal")
{
	int s[2], p[2];
	must(sys(socketpair, AF_UNIX, SOCK_DGRAM, 0, s));
	make_pipe(p, 0);
	struct iovec parts[3] = {{"one", 3}, {"three", 5}, {"sixsix", 6}};
	struct mmsghdr out[3] = {0};
	for (int i = 0; i < 3; i++)
		out[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
	long n = sys(sendmmsg, s[0], out, 3, 0);
	int waiting = 0;
	must(sys(ioctl, s[1], 0x541b, &waiting)); /* FIONREAD */
	observe("send", "sendmmsg", ret_int(n), ARGS(f_uint("vlen", 3)), STATE(LENGTHS(out), f_int("next", waiting)));
	prepare();
	n = sys(recvmmsg, s[1], got, 5, MSG_DONTWAIT, NULL);
	observe("receive", "recvmmsg", ret_int(n), ARGS(f_hex("flags", MSG_DONTWAIT)), STATE(LENGTHS(got), f_bytes("data", in, 32)));
	observe("empty", "recvmmsg", ret_int(sys(recvmmsg, s[1], got, 5, MSG_DONTWAIT, NULL)), ARGS(f_hex("flags", MSG_DONTWAIT)), STATE());
	must(sys(sendmmsg, s[0], out, 3, MSG_DONTWAIT));
	prepare();
	into[0].iov_len = 2;
	n = sys(recvmmsg, s[1], got, 2, MSG_TRUNC, NULL);
	observe("flagged", "recvmmsg", ret_int(n), ARGS(f_hex("flags", MSG_TRUNC)),
		STATE(LENGTHS(got), f_bytes("data", in, 24), f_hex("flags", (uint64_t)got[0].msg_hdr.msg_flags)));
	must(sys(read, s[1], in[0], 8));
	parts[1].iov_base = (void *)8;
	n = sys(sendmmsg, s[0], out, 3, 0);
	observe("partial", "sendmmsg", ret_int(n), ARGS(f_uint("vlen", 3)), STATE(f_int("read", sys(read, s[1], in[0], 8))));
	observe("first_fails", "sendmmsg", ret_int(sys(sendmmsg, s[0], &out[1], 2, 0)), ARGS(f_uint("vlen", 2)), STATE());
	observe("none", "sendmmsg", ret_int(sys(sendmmsg, s[0], out, 0, 0)), ARGS(f_uint("vlen", 0)), STATE());
	must(sys(write, s[0], "only", 4));
	prepare();
	n = sys(recvmmsg, s[1], got, 3, MSG_WAITFORONE, NULL);
	observe("waits_for_one", "recvmmsg", ret_int(n), ARGS(f_hex("flags", MSG_WAITFORONE)), STATE(LENGTHS(got), f_bytes("data", in, 8)));
	struct timespec bad = {0, 1000000000};
	observe("bad_timeout", "recvmmsg", ret_int(sys(recvmmsg, s[1], got, 1, MSG_DONTWAIT, &bad)), ARGS(f_int("nsec", bad.tv_nsec)), STATE());
	observe("ebadf", "recvmmsg", ret_int(sys(recvmmsg, 4000, got, 1, 0, NULL)), ARGS(f_int("fd", 4000)), STATE());
	observe("not_socket", "sendmmsg", ret_int(sys(sendmmsg, p[1], out, 1, 0)), ARGS(), STATE());
	int stream[2];
	must(sys(socketpair, AF_UNIX, SOCK_STREAM, 0, stream));
	must(sys(close, stream[1]));
	mask_signals(SIG_BLOCK, SIGBIT(SIGPIPE));
	n = sys(sendmmsg, stream[0], out, 1, MSG_NOSIGNAL);
	observe("no_signal", "sendmmsg", ret_int(n), ARGS(f_hex("flags", MSG_NOSIGNAL)), STATE(f_hex("pending", pending_signals())));
}
