/* Which calls send SIGPIPE where nobody reads any more, and which only fail. */
#include "probe.h"
#include "table.h"

static int file, full[2];

static long put(long which, int to)
{
	struct iovec iov = {"x", 1};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
	switch (which) {
	case 0: return sys(write, to, "x", 1);
	case 1: return sys(writev, to, &iov, 1);
	case 2: return sys(pwritev2, to, &iov, 1, -1l, -1l, 0);
	case 3: return sys(pwrite64, to, "x", 1, 0);
	case 4: return sys(splice, full[0], NULL, to, NULL, 1, 0);
	case 5: return sys(splice, file, NULL, to, NULL, 1, 0);
	case 6: return sys(sendfile, to, file, NULL, 1);
	case 7: return sys(tee, full[0], to, 1, 0);
	case 8: return sys(sendto, to, "x", 1, 0, NULL, 0);
	case 9: return sys(sendto, to, "x", 1, MSG_NOSIGNAL, NULL, 0);
	case 10: return sys(sendmsg, to, &message, 0);
	case 11: return sys(write, to, "", 0);
	default: return sys(sendto, to, "", 0, 0, NULL, 0);
	}
}

PROBE("pipe/transfer_signals", "pipe", "fifo", "stream", "shut_down", "packets", "datagrams")
{
	static struct row row;
	static const char *const ids[] = {"pipe", "fifo", "stream", "shut_down", "packets", "datagrams"};
	put_file("f", "0123456789", 10);
	file = (int)must(sys(openat, AT_FDCWD, "f", O_RDONLY));
	make_pipe(full, 0);
	must(sys(write, full[1], "0123456789", 10));
	mask_signals(SIG_BLOCK, SIGBIT(SIGPIPE));
	must(sys(mknodat, AT_FDCWD, "fifo", S_IFIFO | 0600, 0));
	for (size_t kind = 0; kind < countof(ids); kind++) {
		for (long which = 0; which < 13; which++) {
			int ends[2];
			if (kind == 0) {
				make_pipe(ends, 0);
			} else if (kind == 1) {
				ends[0] = (int)must(sys(openat, AT_FDCWD, "fifo", O_RDONLY | O_NONBLOCK));
				ends[1] = (int)must(sys(openat, AT_FDCWD, "fifo", O_WRONLY));
			} else {
				must(sys(socketpair, AF_UNIX, kind == 4 ? SOCK_SEQPACKET : kind == 5 ? SOCK_DGRAM : SOCK_STREAM, 0, ends));
			}
			if (kind == 3)
				must(sys(shutdown, ends[1], SHUT_WR));
			else
				must(sys(close, ends[0]));
			long r = put(which, ends[1]);
			char text[64];
			bool sent = pending_signals() & SIGBIT(SIGPIPE);
			snprintf(text, sizeof text, "%s%s", err_of(r) ? errno_name(err_of(r)) : "done", sent ? "+SIGPIPE" : "");
			cell_text(&row, which, text);
			if (sent) {
				uint64_t set = SIGBIT(SIGPIPE);
				struct timespec none = {0, 0};
				must(sys(rt_sigtimedwait, &set, NULL, &none, 8));
			}
			must(sys(close, ends[1]));
			if (kind == 3)
				must(sys(close, ends[0]));
		}
		observe_row(&row, ids[kind], "write");
	}
}
