/* What poll, select and epoll (level, edge, edge by one kind of event, one shot) say of each kind of descriptor after each thing that happens to it. */
#include "probe.h"

enum { LEVEL, EDGE, EDGE_IN, EDGE_OUT, EDGE_HANGUP, ONCE, WAYS };
static const uint32_t ways[WAYS] = {
	0x3ff | EPOLLRDHUP, 0x3ff | EPOLLRDHUP | EPOLLET, EPOLLIN | EPOLLET, EPOLLOUT | EPOLLET, EPOLLRDHUP | EPOLLET, 0x3ff | EPOLLRDHUP | EPOLLONESHOT,
};
static long ep[WAYS], bounds[2], fd;
static char data[1 << 17];
static int p[2], s[2];

/* The first and the last who watch. */
static void bound(int which)
{
	if (bounds[which])
		must(sys(close, bounds[which]));
	bounds[which] = must(sys(epoll_create1, 0));
	must(sys(epoll_ctl, bounds[which], EPOLL_CTL_ADD, fd, (&(struct epoll_event){.events = EPOLLIN | EPOLLET})));
}

/* From here on `on` is watched. */
static void watch(long on)
{
	fd = on;
	bound(0);
	for (int i = 0; i < WAYS; i++) {
		if (ep[i])
			must(sys(close, ep[i]));
		ep[i] = must(sys(epoll_create1, 0));
		must(sys(epoll_ctl, ep[i], EPOLL_CTL_ADD, fd, (&(struct epoll_event){.events = ways[i]})));
	}
	bound(1);
}

static void look(const char *id)
{
	uint32_t got[WAYS];
	for (int i = 0; i < WAYS; i++) {
		struct epoll_event out = {.events = 0};
		long n = must(sys(epoll_wait, ep[i], &out, 1, 0));
		got[i] = n ? out.events : 0;
	}
	struct pollfd e = {(int)fd, 0x3ff | POLLRDHUP, 0};
	long r = sys(poll, &e, 1, 0);
	fd_set sets[3];
	for (int i = 0; i < 3; i++) {
		FD_ZERO(&sets[i]);
		FD_SET(fd, &sets[i]);
	}
	must(sys(select, fd + 1, &sets[0], &sets[1], &sets[2], (&(struct timeval){0, 0})));
	observe(id, "poll", ret_int(r), ARGS(),
		STATE(f_hex("poll", (uint64_t)e.revents), f_hex("level", got[LEVEL]), f_hex("edge", got[EDGE]), f_bool("edge_in", got[EDGE_IN]), f_bool("edge_out", got[EDGE_OUT]), f_bool("edge_hangup", got[EDGE_HANGUP]),
		      f_hex("once", got[ONCE]), f_int("select", FD_ISSET(fd, &sets[0]) | FD_ISSET(fd, &sets[1]) << 1 | FD_ISSET(fd, &sets[2]) << 2)));
	must(sys(epoll_ctl, ep[ONCE], EPOLL_CTL_MOD, fd, (&(struct epoll_event){.events = ways[ONCE]})));
}

static void fill(long f)
{
	must(sys(fcntl, f, F_SETFL, O_NONBLOCK | O_RDWR));
	while (sys(write, f, data, 4096) > 0)
		;
}
static void drain(long f)
{
	must(sys(fcntl, f, F_SETFL, O_NONBLOCK));
	while (sys(read, f, data, sizeof data) > 0)
		;
}
static void put(long f, long n) { must(sys(write, f, data, n)); }
static void get(long f, long n) { must(sys(read, f, data, n)); }
static void shut(int which, int how) { must(sys(shutdown, s[which], how)); }
static void leave(long f) { must(sys(close, f)); }
static void pair(int type) { must(sys(socketpair, AF_UNIX, type, 0, s)); }
static void add(uint64_t v) { must(sys(write, fd, &v, 8)); }
static void arm(long nsec)
{
	struct epoll_event out;
	must(sys(timerfd_settime, fd, 1, (&(struct itimerspec){{0, 0}, {0, nsec}}), NULL));
	/* What is over at once fires a moment later, and those who watch are told one after the other. */
	for (int i = 0; nsec && i < 2; i++)
		must(sys(epoll_wait, bounds[i], &out, 1, -1));
}
static int ends(void *unused)
{
	char c;
	(void)unused;
	leave(p[1]);
	sys(read, p[0], &c, 1);
	return 0;
}
static long child, listener, clients[2];
static struct sockaddr_un name;
static int name_len = sizeof name;
static void has_child(void)
{
	make_pipe(p, 0);
	child = spawn(ends, NULL);
	watch(must(sys(pidfd_open, child, 0)));
}
static void child_ends(void)
{
	leave(p[1]);
	struct pollfd e = {(int)fd, POLLIN, 0};
	must(sys(poll, &e, 1, -1));
}
static void listens(void)
{
	name.sun_family = AF_UNIX;
	listener = must(sys(socket, AF_UNIX, SOCK_STREAM, 0));
	must(sys(bind, listener, &name, 2));
	must(sys(getsockname, listener, &name, &name_len));
	must(sys(listen, listener, 4));
	watch(listener);
}
static void connects(int which)
{
	clients[which] = must(sys(socket, AF_UNIX, SOCK_STREAM, 0));
	must(sys(connect, clients[which], &name, name_len));
}
static void inner(void)
{
	static long in;
	in = must(sys(epoll_create1, 0));
	clients[0] = must(sys(eventfd2, 0, 0));
	must(sys(epoll_ctl, in, EPOLL_CTL_ADD, clients[0], (&(struct epoll_event){.events = EPOLLIN})));
	watch(in);
}
static void signals(void)
{
	uint64_t set = SIGBIT(SIGUSR1) | SIGBIT(SIGUSR2);
	mask_signals(SIG_BLOCK, set);
	watch(must(sys(signalfd4, -1, &set, 8, 0)));
}
static void fifo(int flags)
{
	sys(unlink, "fifo");
	must(sys(mknod, "fifo", S_IFIFO | 0600, 0));
	watch(must(sys(openat, AT_FDCWD, "fifo", flags | O_NONBLOCK)));
}
static void to_fifo(int flags) { clients[0] = must(sys(openat, AT_FDCWD, "fifo", flags | O_NONBLOCK)); }
static void again(void) {}

#define LIST(X)                                                                                                       \
	X(pipe_read, make_pipe(p, 0); watch(p[0])) X(pipe_read_some, put(p[1], 2)) X(pipe_read_same, again()) X(pipe_read_more, put(p[1], 1)) X(pipe_read_taken, get(p[0], 2)) \
	X(pipe_read_empty, get(p[0], 2)) X(pipe_read_back, put(p[1], 1)) X(pipe_read_closed, leave(p[1])) X(pipe_read_end, get(p[0], 5))                       \
	X(pipe_write, make_pipe(p, 0); watch(p[1])) X(pipe_write_full, fill(p[1])) X(pipe_write_byte, get(p[0], 1)) X(pipe_write_page, get(p[0], 4096)) \
	X(pipe_write_two, get(p[0], 4096)) X(pipe_write_refilled, fill(p[1])) X(pipe_write_closed, leave(p[0])) X(pipe_write_same, again())                    \
	X(fifo_read, fifo(O_RDONLY)) X(fifo_read_writer, to_fifo(O_WRONLY)) X(fifo_read_data, put(clients[0], 1)) X(fifo_read_gone, leave(clients[0])) X(fifo_read_end, get(fd, 5)) \
	X(fifo_read_second, to_fifo(O_WRONLY)) X(fifo_read_gone_again, leave(clients[0]))                                                                      \
	X(fifo_both, fifo(O_RDWR)) X(fifo_both_data, put(fd, 1)) X(fifo_both_taken, get(fd, 1)) X(fifo_both_full, fill(fd)) X(fifo_both_drained, drain(fd))    \
	X(stream, pair(SOCK_STREAM); watch(s[0])) X(stream_data, put(s[1], 2)) X(stream_more, put(s[1], 2)) X(stream_taken, get(s[0], 2)) X(stream_empty, get(s[0], 2)) X(stream_sent, put(s[0], 1)) \
	X(stream_received, get(s[1], 1)) X(stream_full, fill(s[0])) X(stream_drained, drain(s[1])) X(stream_peer_write, shut(1, SHUT_WR)) X(stream_own_write, shut(0, SHUT_WR)) \
	X(stream_closed, leave(s[1])) X(stream_same, again())                                                                                                  \
	X(shut_read, pair(SOCK_STREAM); watch(s[0]); look_not(); shut(0, SHUT_RD)) X(shut_read_both, shut(0, SHUT_WR))                                         \
	X(shut_write, pair(SOCK_STREAM); watch(s[0]); look_not(); shut(0, SHUT_WR)) X(shut_write_both, shut(0, SHUT_RDWR))                                     \
	X(peer_read, pair(SOCK_STREAM); watch(s[0]); look_not(); shut(1, SHUT_RD)) X(peer_read_both, shut(1, SHUT_RDWR))                                       \
	X(reset, pair(SOCK_STREAM); put(s[0], 3); watch(s[0]); look_not(); leave(s[1])) X(reset_read, sys(read, s[0], data, 5))                                \
	X(closed_data, pair(SOCK_STREAM); put(s[1], 3); watch(s[0]); look_not(); leave(s[1])) X(closed_taken, get(s[0], 3))                                    \
	X(datagram, pair(SOCK_DGRAM); watch(s[0])) X(datagram_data, put(s[1], 2)) X(datagram_two, put(s[1], 2)) X(datagram_taken, get(s[0], 2)) X(datagram_empty, get(s[0], 2)) \
	X(datagram_drained, fill(s[0]); drain(s[1])) X(datagram_peer_write, shut(1, SHUT_WR)) X(datagram_own_read, shut(0, SHUT_RD)) X(datagram_own_write, shut(0, SHUT_WR)) X(datagram_closed, leave(s[1])) \
	X(packet, pair(SOCK_SEQPACKET); watch(s[0])) X(packet_data, put(s[1], 2)) X(packet_taken, get(s[0], 2)) X(packet_peer_write, shut(1, SHUT_WR)) X(packet_closed, leave(s[1])) \
	X(listener, listens()) X(listener_one, connects(0)) X(listener_two, connects(1)) X(listener_accepted, leave(must(sys(accept, fd, NULL, NULL)))) X(listener_gone, leave(clients[1]))           \
	X(listener_none, leave(must(sys(accept, fd, NULL, NULL)))) X(listener_shut, must(sys(shutdown, fd, SHUT_RD)))                                          \
	X(fresh_stream, watch(must(sys(socket, AF_UNIX, SOCK_STREAM, 0)))) X(fresh_datagram, watch(must(sys(socket, AF_UNIX, SOCK_DGRAM, 0)))) X(fresh_packet, watch(must(sys(socket, AF_UNIX, SOCK_SEQPACKET, 0)))) \
	X(counter, watch(must(sys(eventfd2, 0, 0)))) X(counter_one, add(1)) X(counter_more, add(1)) X(counter_nothing, add(0)) X(counter_read, get(fd, 8)) X(counter_full, add(0xfffffffffffffffe)) X(counter_back, get(fd, 8)) \
	X(semaphore, watch(must(sys(eventfd2, 2, EFD_SEMAPHORE_)))) X(semaphore_one, get(fd, 8)) X(semaphore_none, get(fd, 8))                                 \
	X(timer, watch(must(sys(timerfd_create, CLOCK_MONOTONIC, 0)))) X(timer_expired, arm(1)) X(timer_same, again()) X(timer_read, get(fd, 8)) X(timer_again, arm(1)) X(timer_disarmed, arm(0))     \
	X(signals, signals()) X(signals_one, must(sys(kill, sys(getpid), SIGUSR1))) X(signals_two, must(sys(kill, sys(getpid), SIGUSR2))) X(signals_read, get(fd, 128)) X(signals_none, get(fd, 128)) \
	X(process, has_child()) X(process_ended, child_ends())                                                                                                 \
	X(nested, inner()) X(nested_ready, put(clients[0], 8)) X(nested_same, again()) X(nested_drained, get(clients[0], 8))

#define ID(id, act) #id,
#define STEP(id, act)                                                                                                 \
	act;                                                                                                          \
	look(#id);
#define EFD_SEMAPHORE_ 1

/* Takes what the watches have to say of the start. */
static void look_not(void)
{
	struct epoll_event out;
	for (int i = 0; i < WAYS; i++)
		must(sys(epoll_wait, ep[i], &out, 1, 0));
	must(sys(epoll_ctl, ep[ONCE], EPOLL_CTL_MOD, fd, (&(struct epoll_event){.events = ways[ONCE]})));
}

PROBE("wake/reports", LIST(ID))
{
	data[0] = 1;
	LIST(STEP)
	reap(child);
}
