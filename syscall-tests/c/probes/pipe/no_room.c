/* What a call that makes descriptors leaves where there are too few numbers for them. */
#include "probe.h"
#include "table.h"

/* The lowest free number. */
static long lowest(void)
{
	long fd = sys(dup, 2);
	if (fd >= 0)
		sys(close, fd);
	return fd;
}

static long listener(void)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "s"};
	long fd = must(sys(socket, AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0));
	must(sys(bind, fd, &name, sizeof name));
	must(sys(listen, fd, 5));
	for (int i = 0; i < 3; i++) {
		long client = must(sys(socket, AF_UNIX, SOCK_STREAM, 0));
		must(sys(connect, client, &name, sizeof name));
	}
	return fd;
}

static long with_files(int from)
{
	struct { struct cmsghdr head; int fds[2]; } control = {{sizeof(struct cmsghdr) + 8, SOL_SOCKET, SCM_RIGHTS}, {0, 1}};
	struct iovec iov = {"x", 1};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
	return sys(sendmsg, from, &message, 0);
}

static int pair[2];
static long passed(void)
{
	char data[1], control[64];
	struct iovec iov = {data, 1};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	long r = sys(recvmsg, pair[1], &message, MSG_DONTWAIT);
	return r < 0 ? r : 1000 + message.msg_flags;
}

static long call(long which, long listening)
{
	int out[2] = {-7, -7};
	uint64_t set = 0;
	long r;
	switch (which) {
	case 0: r = sys(pipe2, out, 0); break;
	case 1: r = sys(pipe, out); break;
	case 2: r = sys(socketpair, AF_UNIX, SOCK_STREAM, 0, out); break;
	case 3: r = sys(socketpair, AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, out); break;
	case 4: return passed();
	case 5: return sys(accept4, listening, NULL, NULL, 0);
	case 6: return sys(openat, AT_FDCWD, "made", O_CREAT | O_RDWR, 0600);
	case 7: return sys(memfd_create, "m", 0);
	case 8: return sys(timerfd_create, CLOCK_MONOTONIC, 0);
	case 9: return sys(signalfd4, -1, &set, 8, 0);
	case 10: return sys(epoll_create1, 0);
	case 11: return sys(eventfd2, 0, 0);
	case 12: return sys(fcntl, 2, F_DUPFD, 0);
	case 13: return sys(pidfd_open, sys(getpid), 0);
	default: return sys(socket, AF_UNIX, SOCK_STREAM, 0);
	}
	return r ? r : 1000 * (out[0] == -7) + 100;
}

PROBE("pipe/no_room", "none", "one", "two")
{
	static struct row row, left;
	static const char *const ids[] = {"none", "one", "two"};
	long listening = listener();
	must(sys(socketpair, AF_UNIX, SOCK_DGRAM, 0, pair));
	long first = must(lowest());
	must(sys(close_range, first, 450, 0));
	for (long room = 0; room < 3; room++) {
		for (long which = 0; which < 15; which++) {
			if (which == 4)
				must(with_files(pair[0]));
			struct rlimit limit = {(rlim_t)(first + room), 600};
			must(sys(setrlimit, RLIMIT_NOFILE, &limit));
			long r = call(which, listening);
			limit.rlim_cur = 600;
			must(sys(setrlimit, RLIMIT_NOFILE, &limit));
			cell(&row, which, err_of(r) || r >= 100 ? r : 0);
			long open = 0;
			for (long fd = first; fd < first + 3; fd++)
				open += sys(close, fd) == 0;
			cell(&left, which, open);
		}
		row_run_(&left);
		row_run_(&row);
		observe(ids[room], "pipe2", ret_int(0), ARGS(f_int("room", room)), STATE(f_strn("row", row.text, row.len), f_strn("left", left.text, left.len)));
		row = left = (struct row){.len = 0};
	}
}
