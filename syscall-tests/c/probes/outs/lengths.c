/* What is stored where there is too little room: names, control messages and options of sockets, for each length that is given. */
#include "probe.h"
#include "notes.h"

static const int lengths[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 110, 128};
static long servers[3], clients[3];
static struct sockaddr_un names[3];
static const int name_lengths[3] = {2 + 6, 2 + 5, 2};

static struct sockaddr_un client_name;

static void named(long which)
{
	int length;
	long got;
	note("[%ld]", which);
	for (size_t i = 0; i < countof(lengths); i++) {
		char label[32];
		snprintf(label, sizeof label, "own%d", lengths[i]);
		EXTENT(label, 160, (length = lengths[i], sys(getsockname, servers[which], out_, &length)));
		note("=%d", length);
		snprintf(label, sizeof label, "peer%d", lengths[i]);
		EXTENT(label, 160, (length = lengths[i], sys(getpeername, clients[which], out_, &length)));
		note("=%d", length);
		long c = must(sys(socket, AF_UNIX, SOCK_STREAM, 0));
		must(sys(bind, c, &client_name, 2 + 7));
		must(sys(connect, c, &names[which], name_lengths[which]));
		memset(out_, 0x5a, sizeof out_);
		length = lengths[i];
		got = sys(accept4, servers[which], out_, &length, 0);
		note("accept%d:%s=%d", lengths[i], errno_name(err_of(got)), length);
		note_bytes("bytes", out_, 16);
		if (got >= 0)
			must(sys(close, got));
		must(sys(close, c));
		must(sys(unlink, "client"));
	}
}

static void datagrams(void)
{
	long a = must(sys(socket, AF_UNIX, SOCK_DGRAM, 0)), b = must(sys(socket, AF_UNIX, SOCK_DGRAM, 0));
	struct sockaddr_un from = {AF_UNIX, "from"}, to = {AF_UNIX, "to"};
	must(sys(bind, a, &from, 2 + 5));
	must(sys(bind, b, &to, 2 + 3));
	must(sys(connect, a, &to, 2 + 3));
	for (size_t i = 0; i < countof(lengths); i++) {
		int length = lengths[i];
		char data[8] = "";
		must(sys(write, a, "datagram", 8));
		memset(out_, 0x5a, sizeof out_);
		long r = sys(recvfrom, b, data, 3, i & 1 ? MSG_TRUNC : 0, out_, &length);
		note("from%d:%ld=%d", lengths[i], r, length);
		note_bytes("bytes", out_, 12);
		struct iovec iov = {data, 3};
		struct msghdr message = {.msg_name = out_ + 64, .msg_namelen = (socklen_t)lengths[i], .msg_iov = &iov, .msg_iovlen = 1, .msg_flags = 0x5a5a5a};
		must(sys(write, a, "datagram", 8));
		r = sys(recvmsg, b, &message, i & 1 ? MSG_PEEK : 0);
		note("msg%d:%ld=%u/%x/%zu", lengths[i], r, message.msg_namelen, (unsigned)message.msg_flags, message.msg_controllen);
		if (i & 1)
			must(sys(recvfrom, b, data, 3, 0, NULL, NULL));
	}
}

static void control(void)
{
	int s[2];
	must(sys(socketpair, AF_UNIX, SOCK_DGRAM, 0, s));
	for (size_t room = 0; room <= 72; room += 4) {
		char sent[CMSG_SPACE(12)] = "", got[128], data[4];
		int fds[3] = {s[0], s[1], s[0]};
		struct iovec iov = {"x", 1}, in = {data, 4};
		struct msghdr out = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = sent, .msg_controllen = CMSG_LEN(12)};
		struct cmsghdr *c = CMSG_FIRSTHDR(&out);
		c->cmsg_level = SOL_SOCKET, c->cmsg_type = SCM_RIGHTS, c->cmsg_len = CMSG_LEN(12);
		memcpy(CMSG_DATA(c), fds, 12);
		must(sys(sendmsg, s[1], &out, 0));
		memset(got, 0x5a, sizeof got);
		struct msghdr message = {.msg_iov = &in, .msg_iovlen = 1, .msg_control = got, .msg_controllen = room};
		long before = must(sys(dup, s[0]));
		must(sys(close, before));
		long r = sys(recvmsg, s[0], &message, 0);
		note("%zu:%ld/%x/%zu", room, r, (unsigned)message.msg_flags, message.msg_controllen);
		for (size_t at = 0; at + sizeof(struct cmsghdr) <= message.msg_controllen;) {
			struct cmsghdr *h = (struct cmsghdr *)(got + at);
			note("(%zu,%d,%d)", h->cmsg_len, h->cmsg_level, h->cmsg_type);
			if (h->cmsg_len < sizeof *h)
				break;
			at += CMSG_ALIGN(h->cmsg_len);
		}
		int opened = 0;
		for (long fd = before; fd < before + 8; fd++)
			opened += sys(close, fd) == 0;
		note("fds%d", opened);
	}
	must(sys(close, s[0]));
	must(sys(close, s[1]));
}

static void options(void)
{
	static const int which[] = {SO_TYPE, SO_DOMAIN, SO_PROTOCOL, SO_ERROR, SO_ACCEPTCONN, SO_PASSCRED, SO_REUSEADDR, SO_KEEPALIVE, SO_LINGER, SO_PEERCRED, SO_RCVTIMEO, SO_SNDTIMEO};
	long s = must(sys(socket, AF_UNIX, SOCK_STREAM, 0));
	for (size_t o = 0; o < countof(which); o++)
		for (int length = 0; length <= 20; length += length < 4 ? 1 : 4) {
			int got = length;
			memset(out_, 0x5a, sizeof out_);
			long r = sys(getsockopt, s, SOL_SOCKET, which[o], out_, &got);
			size_t last = 64;
			while (last && out_[last - 1] == 0x5a)
				last--;
			note("%d/%d:%s=%d,%zu", which[o], length, errno_name(err_of(r)), got, last);
		}
}

PROBE("outs/lengths", "path", "abstract", "automatic", "datagram", "rights", "options")
{
	names[0] = (struct sockaddr_un){AF_UNIX, "named"};
	names[1] = (struct sockaddr_un){AF_UNIX, "\0abcd"};
	names[2] = (struct sockaddr_un){.sun_family = AF_UNIX};
	client_name = (struct sockaddr_un){AF_UNIX, "client"};
	for (int i = 0; i < 2; i++) {
		servers[i] = must(sys(socket, AF_UNIX, SOCK_STREAM, 0));
		must(sys(bind, servers[i], &names[i], name_lengths[i]));
		must(sys(listen, servers[i], 5));
		clients[i] = must(sys(socket, AF_UNIX, SOCK_STREAM, 0));
		must(sys(connect, clients[i], &names[i], name_lengths[i]));
		must(sys(close, must(sys(accept4, servers[i], NULL, NULL, 0))));
	}
	must(sys(close, clients[0]));
	must(sys(close, clients[1]));
	for (int i = 0; i < 2; i++) {
		clients[i] = must(sys(socket, AF_UNIX, SOCK_STREAM, 0));
		must(sys(connect, clients[i], &names[i], name_lengths[i]));
		must(sys(accept4, servers[i], NULL, NULL, 0));
	}
	named(0);
	observe_notes("path", "getsockname");
	named(1);
	observe_notes("abstract", "getsockname");
	/* A name that the kernel gives has six bytes, which it chooses. */
	long s = must(sys(socket, AF_UNIX, SOCK_STREAM, 0));
	must(sys(bind, s, &names[2], 2));
	for (size_t i = 0; i < countof(lengths); i++) {
		int length = lengths[i];
		memset(out_, 0x5a, 32);
		long r = sys(getsockname, s, out_, &length);
		note("%d:%s=%d/%d", lengths[i], errno_name(err_of(r)), length, out_[2] == 0);
	}
	observe_notes("automatic", "getsockname");
	datagrams();
	observe_notes("datagram", "recvfrom");
	control();
	observe_notes("rights", "recvmsg");
	options();
	observe_notes("options", "getsockopt");
}
