/* What poll, select and epoll say of descriptors of every kind in every state. */
#include "probe.h"
#include "notes.h"
#include <sys/select.h>

static char block[65536];

static void look(const char *label, long fd)
{
	struct pollfd all = {(int)fd, 0x7fff, 0x5a5a}, none = {(int)fd, 0, 0x5a5a}, in = {(int)fd, POLLIN, 0x5a5a};
	long a = sys(poll, &all, 1, 0), n = sys(poll, &none, 1, 0), i = sys(poll, &in, 1, 0);
	unsigned long sets[3] = {1ul << fd, 1ul << fd, 1ul << fd};
	struct timeval zero = {0, 0};
	require(fd < 64);
	long s = sys(select, fd + 1, &sets[0], &sets[1], &sets[2], &zero);
	struct epoll_event event = {0x3fff | EPOLLRDHUP, {.u64 = 1}}, got[2] = {{0, {0}}};
	long ep = must(sys(epoll_create1, 0)), added = sys(epoll_ctl, ep, EPOLL_CTL_ADD, fd, &event), e = sys(epoll_wait, ep, got, 2, 0);
	note("%s:%ld/%x,%ld/%x,%ld/%x,%ld/%d%d%d,%s/%ld/%x", label, a, (unsigned)(uint16_t)all.revents, n, (unsigned)(uint16_t)none.revents, i, (unsigned)(uint16_t)in.revents, s,
	     !!sets[0], !!sets[1], !!sets[2], errno_name(err_of(added)), e, got[0].events);
	must(sys(close, ep));
}

static void fill(long fd)
{
	while (sys(write, fd, block, 4096) > 0)
		;
}

static void pipes(void)
{
	int p[2];
	make_pipe(p, O_NONBLOCK);
	look("empty_r", p[0]);
	look("empty_w", p[1]);
	must(sys(write, p[1], "x", 1));
	look("data_r", p[0]);
	look("data_w", p[1]);
	fill(p[1]);
	look("full_r", p[0]);
	look("full_w", p[1]);
	must(sys(read, p[0], block, 4095));
	look("nearly_w", p[1]);
	must(sys(read, p[0], block, 1));
	look("room_w", p[1]);
	long w = must(sys(dup, p[1]));
	must(sys(close, p[1]));
	look("dup_r", p[0]);
	must(sys(close, w));
	look("hung_data_r", p[0]);
	while (sys(read, p[0], block, sizeof block) > 0)
		;
	look("hung_r", p[0]);
	must(sys(close, p[0]));
	make_pipe(p, O_NONBLOCK);
	must(sys(close, p[0]));
	look("broken_w", p[1]);
	must(sys(close, p[1]));
	make_pipe(p, O_NONBLOCK | O_DIRECT);
	must(sys(write, p[1], "x", 1));
	look("packet_r", p[0]);
	must(sys(close, p[0]));
	must(sys(close, p[1]));
	must(sys(mknod, "p", S_IFIFO | 0600, 0));
	long r = must(sys(open, "p", O_RDONLY | O_NONBLOCK));
	look("fifo_fresh", r);
	w = must(sys(open, "p", O_WRONLY | O_NONBLOCK));
	look("fifo_w", w);
	look("fifo_r", r);
	must(sys(close, w));
	look("fifo_gone", r);
	long both = must(sys(open, "p", O_RDWR));
	look("fifo_rdwr", both);
	look("fifo_again", r);
	must(sys(close, r));
	must(sys(close, both));
}

static void sockets(int type)
{
	int s[2];
	must(sys(socketpair, AF_UNIX, type | SOCK_NONBLOCK, 0, s));
	look("pair", s[0]);
	must(sys(write, s[1], "xy", 2));
	look("data", s[0]);
	look("peer", s[1]);
	must(sys(shutdown, s[1], SHUT_WR));
	look("peer_shut_w_data", s[0]);
	look("shut_w", s[1]);
	must(sys(read, s[0], block, 2));
	look("peer_shut_w", s[0]);
	must(sys(shutdown, s[1], SHUT_RD));
	look("peer_shut", s[0]);
	look("shut", s[1]);
	must(sys(close, s[1]));
	look("peer_closed", s[0]);
	must(sys(close, s[0]));
	must(sys(socketpair, AF_UNIX, type | SOCK_NONBLOCK, 0, s));
	must(sys(shutdown, s[0], SHUT_RD));
	look("shut_r", s[0]);
	look("peer_shut_r", s[1]);
	must(sys(close, s[0]));
	must(sys(close, s[1]));
	must(sys(socketpair, AF_UNIX, type | SOCK_NONBLOCK, 0, s));
	must(sys(write, s[0], "x", 1));
	must(sys(write, s[1], "x", 1));
	must(sys(close, s[1]));
	look("reset", s[0]);
	must(sys(close, s[0]));
	long one = must(sys(socket, AF_UNIX, type | SOCK_NONBLOCK, 0));
	look("alone", one);
	struct sockaddr_un name = {AF_UNIX, "s"};
	must(sys(bind, one, &name, 4));
	look("bound", one);
	if (type != SOCK_DGRAM) {
		must(sys(listen, one, 1));
		look("listening", one);
		long c = must(sys(socket, AF_UNIX, type | SOCK_NONBLOCK, 0));
		must(sys(connect, c, &name, 4));
		look("pending", one);
		look("connected", c);
		long got = must(sys(accept4, one, NULL, NULL, SOCK_NONBLOCK));
		look("accepted", got);
		look("taken", one);
		must(sys(close, got));
		look("dropped", c);
		must(sys(close, c));
		must(sys(shutdown, one, SHUT_RDWR));
		look("listener_shut", one);
	}
	must(sys(close, one));
	must(sys(unlink, "s"));
}

static void counters(void)
{
	uint64_t set = SIGBIT(SIGUSR1), most = UINT64_MAX - 1, n;
	long e = must(sys(eventfd2, 0, O_NONBLOCK));
	look("event_0", e);
	n = 1;
	must(sys(write, e, &n, 8));
	look("event_1", e);
	n = most - 1;
	must(sys(write, e, &n, 8));
	look("event_full", e);
	must(sys(read, e, &n, 8));
	look("event_read", e);
	long t = must(sys(timerfd_create, CLOCK_MONOTONIC, O_NONBLOCK));
	look("timer_idle", t);
	struct itimerspec past = {{0, 0}, {0, 1}}, off = {{0, 0}, {0, 0}}, far = {{0, 0}, {100000, 0}};
	must(sys(timerfd_settime, t, 1, &past, NULL));
	struct pollfd wait = {(int)t, POLLIN, 0};
	must(sys(poll, &wait, 1, 5000));
	look("timer_over", t);
	must(sys(read, t, &n, 8));
	look("timer_read", t);
	must(sys(timerfd_settime, t, 0, &far, NULL));
	look("timer_far", t);
	must(sys(timerfd_settime, t, 0, &off, NULL));
	look("timer_off", t);
	mask_signals(SIG_BLOCK, set);
	long s = must(sys(signalfd4, -1, &set, 8, O_NONBLOCK));
	look("signal_none", s);
	must(sys(kill, sys(getpid), SIGUSR1));
	look("signal_pending", s);
	must(sys(read, s, block, 128));
	look("signal_read", s);
	long child = must(sys(fork));
	if (!child)
		for (;;)
			sys(pause);
	long p = must(sys(pidfd_open, child, 0));
	look("pid_runs", p);
	must(sys(kill, child, SIGKILL));
	siginfo_t info;
	must(sys(waitid, P_PID, child, &info, WEXITED | WNOWAIT, NULL));
	look("pid_zombie", p);
	reap(child);
	long ep = must(sys(epoll_create1, 0));
	look("epoll_empty", ep);
	struct epoll_event event = {EPOLLIN, {.u64 = 1}};
	must(sys(epoll_ctl, ep, EPOLL_CTL_ADD, e, &event));
	look("epoll_idle", ep);
	n = 1;
	must(sys(write, e, &n, 8));
	look("epoll_ready", ep);
	must(sys(close, e));
	look("epoll_closed", ep);
}

static void files(void)
{
	put_file("f", "x", 1);
	look("file_r", must(sys(open, "f", O_RDONLY)));
	look("file_w", must(sys(open, "f", O_WRONLY)));
	look("file_path", must(sys(open, "f", O_PATH)));
	look("folder", must(sys(open, ".", O_RDONLY)));
	look("null", must(sys(open, "/dev/null", O_RDWR)));
	look("zero", must(sys(open, "/dev/zero", O_RDONLY)));
	look("full", must(sys(open, "/dev/full", O_WRONLY)));
	look("random", must(sys(open, "/dev/urandom", O_RDONLY)));
	look("proc", must(sys(open, "/proc/self/status", O_RDONLY)));
	look("memory", must(sys(memfd_create, "m", 0)));
	look("closed", 60);
}

PROBE("outs/readiness", "pipes", "stream", "datagram", "packets", "counters", "files")
{
	pipes();
	observe_notes("pipes", "poll");
	sockets(SOCK_STREAM);
	observe_notes("stream", "poll");
	sockets(SOCK_DGRAM);
	observe_notes("datagram", "poll");
	sockets(SOCK_SEQPACKET);
	observe_notes("packets", "poll");
	counters();
	observe_notes("counters", "poll");
	files();
	observe_notes("files", "poll");
}
