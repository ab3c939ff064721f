/* What poll, select, epoll_wait (level and edge) say to who already sleeps in them when something happens to a descriptor. */
#include "probe.h"
#include "wake_events.h"

struct watched {
	const char *id;
	uint32_t events;
	void (*prepare)(void); /* sets `fd` */
	long (*leaves)(void);  /* in the sleeper, before it sleeps */
	void (*happens)(void);
};
static const struct watched *now;
static int way;
static long extra;

static void none(int signal, siginfo_t *info, void *context) { (void)signal, (void)info, (void)context; }
static long selects(void)
{
	fd_set sets[3];
	for (int i = 0; i < 3; i++) {
		FD_ZERO(&sets[i]);
		if (now->events & (uint32_t[]){POLLIN, POLLOUT, POLLPRI}[i])
			FD_SET(fd, &sets[i]);
	}
	long r = sys(select, fd + 1, &sets[0], &sets[1], &sets[2], NULL);
	return r < 0 ? r : FD_ISSET(fd, &sets[0]) | FD_ISSET(fd, &sets[1]) << 1 | FD_ISSET(fd, &sets[2]) << 2;
}
static long watches(uint32_t how)
{
	ep = must(sys(epoll_create1, 0));
	control(EPOLL_CTL_ADD, fd, now->events | how);
	return collects();
}
static int sleeps(void *unused)
{
	(void)unused;
	on_signal(SIGUSR1, none, 0, 0);
	now->leaves();
	board->result = way == 0 ? polls(fd, (short)now->events) : way == 1 ? selects() : watches(way == 2 ? 0 : way == 3 ? EPOLLET : EPOLLONESHOT);
	return 0;
}
static void run(const struct watched *w, char *text, size_t room)
{
	now = w;
	*board = (struct board){.result = -99};
	w->prepare();
	sleeping = spawn(sleeps, NULL);
	await_sleep(sleeping, sleeping);
	w->happens();
	/* Who has been woken is on his way, and what a signal does then comes later. */
	sys(kill, sleeping, SIGUSR1);
	reap(sleeping);
	if (err_of(board->result))
		snprintf(text, room, "%s", errno_name(err_of(board->result)));
	else
		snprintf(text, room, "%lx", (long)board->result);
	if (extra) {
		sys(kill, extra, SIGKILL);
		reap(extra);
		extra = 0;
	}
	must(sys(close_range, 3, 399, 0));
}
static void pipe_end(int which)
{
	make_pipe(a, 0);
	fd = a[which];
}
static void full_pipe(void)
{
	fill(a);
	fd = a[1];
}
static void socket_end(int type, int which)
{
	pair(type);
	fd = s[which];
}
static void full_socket(int type)
{
	full(type);
	fd = s[0];
}
static void empties(void)
{
	while (sys(recvfrom, s[1], data, sizeof data, MSG_DONTWAIT, NULL, NULL) > 0)
		;
}
static void hears(void)
{
	listens();
	fd = listener;
}
static void fifo_end(void)
{
	fifo();
	fd = must(sys(openat, AT_FDCWD, "fifo", O_RDONLY | O_NONBLOCK));
}
static void fifo_closes(void) { open_close(O_WRONLY); }
static void child(void)
{
	both();
	extra = helper = spawn(waits_byte, NULL);
	await_sleep(helper, helper);
	fd = must(sys(pidfd_open, helper, 0));
}
static void child_ends(void)
{
	siginfo_t info;
	must(sys(kill, helper, SIGKILL));
	must(sys(waitid, P_PID, helper, &info, WEXITED | WNOWAIT, NULL));
}
static void inner(void)
{
	watch(EPOLLIN);
	helper = fd;
	fd = ep;
}
static long nothing(void) { return 0; }
static void open_writer(void) { must(sys(write, must(sys(openat, AT_FDCWD, "fifo", O_WRONLY | O_NONBLOCK)), "x", 1)); }

#define LIST(X)                                                                                                       \
	X(pipe_data, POLLIN, pipe_end(0), nothing(), must(sys(write, a[1], "x", 1)))                                  \
	X(pipe_data_normal, POLLRDNORM, pipe_end(0), nothing(), must(sys(write, a[1], "x", 1)))                       \
	X(pipe_closed, POLLIN, pipe_end(0), (leave(a[1]), 0), leave(a[1]))                                            \
	X(pipe_closed_unasked, 0, pipe_end(0), (leave(a[1]), 0), leave(a[1]))                                         \
	X(pipe_room, POLLOUT, full_pipe(), nothing(), must(sys(read, a[0], data, 4096)))                              \
	X(pipe_reader_gone, POLLOUT, full_pipe(), (leave(a[0]), 0), leave(a[0]))                                      \
	X(pipe_reader_unasked, 0, pipe_end(1), (leave(a[0]), 0), leave(a[0]))                                         \
	X(pipe_priority, POLLPRI, pipe_end(0), nothing(), must(sys(write, a[1], "x", 1)))                             \
	X(pipe_no_page, POLLOUT, full_pipe(), nothing(), must(sys(read, a[0], data, 1)))                              \
	X(fifo_data, POLLIN, fifo_end(), nothing(), open_writer())                                                    \
	X(fifo_closed, POLLIN, fifo_end(), nothing(), fifo_closes())                                                  \
	X(stream_data, POLLIN, socket_end(SOCK_STREAM, 1), nothing(), must(writes(s[0])))                             \
	X(stream_hangup_asked, POLLRDHUP, socket_end(SOCK_STREAM, 1), nothing(), down(0, SHUT_WR))                    \
	X(stream_ended, POLLIN, socket_end(SOCK_STREAM, 1), nothing(), down(0, SHUT_WR))                              \
	X(stream_own_end, POLLIN, socket_end(SOCK_STREAM, 1), nothing(), down(1, SHUT_RD))                            \
	X(stream_both, 0, socket_end(SOCK_STREAM, 1), nothing(), down(0, SHUT_RDWR))                                  \
	X(stream_closed, POLLIN | POLLRDHUP, socket_end(SOCK_STREAM, 1), (leave(s[0]), 0), leave(s[0]))               \
	X(stream_closed_unasked, 0, socket_end(SOCK_STREAM, 1), (leave(s[0]), 0), leave(s[0]))                        \
	X(stream_reset, POLLPRI, socket_end(SOCK_STREAM, 1); must(writes(s[1])), (leave(s[0]), 0), leave(s[0]))       \
	X(stream_other_way, POLLIN, socket_end(SOCK_STREAM, 1), nothing(), must(writes(s[1])))                        \
	X(stream_peer_read, POLLIN, socket_end(SOCK_STREAM, 1), nothing(), down(0, SHUT_RD))                          \
	X(stream_room, POLLOUT, full_socket(SOCK_STREAM), nothing(), empties())                                       \
	X(stream_room_ended, POLLOUT, full_socket(SOCK_STREAM), nothing(), down(1, SHUT_RD))                          \
	X(datagram_data, POLLIN, socket_end(SOCK_DGRAM, 1), nothing(), must(writes(s[0])))                            \
	X(datagram_ended, POLLIN, socket_end(SOCK_DGRAM, 1), nothing(), down(1, SHUT_RD))                             \
	X(datagram_peer_closed, POLLIN, socket_end(SOCK_DGRAM, 1), (leave(s[0]), 0), leave(s[0]))                     \
	X(datagram_room, POLLOUT, full_socket(SOCK_DGRAM), nothing(), empties())                                      \
	X(packet_data, POLLIN, socket_end(SOCK_SEQPACKET, 1), nothing(), must(writes(s[0])))                          \
	X(packet_closed, POLLIN, socket_end(SOCK_SEQPACKET, 1), (leave(s[0]), 0), leave(s[0]))                        \
	X(packet_room, POLLOUT, full_socket(SOCK_SEQPACKET), nothing(), empties())                                    \
	X(listener, POLLIN, hears(), nothing(), must(connects()))                                                     \
	X(listener_shut, POLLIN, hears(), nothing(), must(sys(shutdown, fd, SHUT_RD)))                                \
	X(counter, POLLIN, event(0), nothing(), add(1))                                                               \
	X(counter_room, POLLOUT, event(0xfffffffffffffffe), nothing(), take())                                        \
	X(counter_nothing, POLLIN, event(0), nothing(), add(0))                                                       \
	X(process, POLLIN, child(), nothing(), child_ends())                                                          \
	X(process_stops, POLLIN, child(), nothing(), must(sys(kill, helper, SIGSTOP)))                                \
	X(inner, POLLIN, inner(), nothing(), must(sys(write, helper, (&(uint64_t){1}), 8)))

#define WATCHED_FUNCTIONS(id, events, prepare, leaves, happens)                                                       \
	static void prepare_##id(void) { prepare; }                                                                   \
	static long leaves_##id(void) { return leaves; }                                                              \
	static void happens_##id(void) { happens; }
#define WATCHED_ROW(id, events, prepare, leaves, happens) {#id, events, prepare_##id, leaves_##id, happens_##id},

LIST(WATCHED_FUNCTIONS) static const struct watched rows[] = {LIST(WATCHED_ROW)};

PROBE("wake/polled", LIST(WAKE_ID))
{
	static char text[5][32];
	board = pages(1, true);
	for (size_t i = 0; i < countof(rows); i++) {
		for (way = 0; way < 5; way++)
			run(&rows[i], text[way], sizeof text[way]);
		observe(rows[i].id, "poll", ret_int(0), ARGS(f_hex("events", rows[i].events)),
			STATE(f_str("poll", text[0]), f_str("select", text[1]), f_str("level", text[2]), f_str("edge", text[3]), f_str("once", text[4])));
	}
}
