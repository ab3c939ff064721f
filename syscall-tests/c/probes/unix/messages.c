/* Datagrams and sequenced packets keep their boundaries. */
#include "probe.h"

static void look(const char *id, const char *empty, const char *cut, const char *eof, const char *big, int type)
{
	int s[2];
	must(sys(socketpair, AF_UNIX, type | SOCK_NONBLOCK, 0, s));
	must(sys(write, s[0], "first", 5));
	struct iovec parts[] = {{"sec", 3}, {"ond", 3}};
	struct msghdr out = {.msg_iov = parts, .msg_iovlen = 2};
	long sent = sys(sendmsg, s[0], &out, 0);
	char data[32] = "";
	long n = sys(read, s[1], data, sizeof data);
	observe(id, "sendmsg", ret_int(sent), ARGS(f_int("type", type)), STATE(f_int("first", n), f_bytes("data", data, 8)));
	memset(data, 0, sizeof data);
	struct iovec into = {data, 4};
	struct msghdr in = {.msg_iov = &into, .msg_iovlen = 1};
	n = sys(recvmsg, s[1], &in, MSG_TRUNC);
	observe(cut, "recvmsg", ret_int(n), ARGS(f_hex("flags", MSG_TRUNC)), STATE(f_bytes("data", data, 8), f_hex("flags", (uint64_t)in.msg_flags)));
	observe(empty, "read", ret_int(sys(read, s[1], data, 4)), ARGS(f_uint("count", 4)), STATE());
	static char huge[8 << 20];
	n = sys(sendto, s[0], huge, sizeof huge, 0, NULL, 0);
	observe(big, "sendto", ret_int(n), ARGS(f_uint("len", sizeof huge)), STATE(f_errno("nothing_sent", err_of(sys(read, s[1], data, 4)))));
	must(sys(close, s[0]));
	observe(eof, "read", ret_int(sys(read, s[1], data, 4)), ARGS(f_uint("count", 4)), STATE());
	must(sys(close, s[1]));
}

PROBE("unix/messages", "dgram", "dgram_cut", "dgram_empty", "dgram_too_big", "dgram_eof", "seqpacket", "seqpacket_cut", "seqpacket_empty", "seqpacket_too_big", "seqpacket_eof")
{
	look("dgram", "dgram_empty", "dgram_cut", "dgram_eof", "dgram_too_big", SOCK_DGRAM);
	look("seqpacket", "seqpacket_empty", "seqpacket_cut", "seqpacket_eof", "seqpacket_too_big", SOCK_SEQPACKET);
}
