/* When a socket whose buffer was filled polls writable again, and whether a write goes through before. */
#include "probe.h"
#include "table.h"

static char data[4096];

static long writable(int fd)
{
	struct pollfd p = {fd, POLLOUT, 0};
	must(sys(poll, &p, 1, 0));
	return p.revents;
}

PROBE("unix/poll_room", "stream", "packets", "datagrams")
{
	static struct row row;
	static const char *const ids[] = {"stream", "packets", "datagrams"};
	static const int kinds[] = {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM};
	for (size_t kind = 0; kind < countof(kinds); kind++) {
		int s[2];
		must(sys(socketpair, AF_UNIX, kinds[kind] | SOCK_NONBLOCK, 0, s));
		long sent = 0, eighths = 0;
		cell(&row, 0, writable(s[0]));
		while (sys(write, s[0], data, sizeof data) == (long)sizeof data)
			sent++;
		require(sent > 16);
		cell(&row, 1, writable(s[0]));
		for (long done = 1; done <= sent; done++) {
			must(sys(read, s[1], data, sizeof data));
			/* Not at three quarters, where both are right. */
			if (done * 8 / sent > eighths && (eighths = done * 8 / sent) != 6)
				cell(&row, 10 + eighths, writable(s[0]));
		}
		observe_row(&row, ids[kind], "poll");
		must(sys(close, s[0]));
		must(sys(close, s[1]));
	}
}
