/* Every wait with a time limit ends at it, neither before nor much later, and says so in its own way; times that are none are refused. */
#include "probe.h"
#include <sys/timerfd.h>

static long fd, ep, listener;
static int s[2];
static char data[4096];
static struct sockaddr_un name;
static int name_len = sizeof name;
static int32_t word;

enum { MS = 1000000, WAIT = 25 * MS };
#define LATE 8000000000

static struct timespec until(clockid_t clock)
{
	int64_t at = clock_ns(clock) + WAIT;
	return (struct timespec){at / 1000000000, at % 1000000000};
}
static void limit(long on, int option)
{
	struct timeval t = {0, WAIT / 1000};
	must(sys(setsockopt, on, SOL_SOCKET, option, &t, sizeof t));
}
static long client(void) { return must(sys(socket, AF_UNIX, SOCK_STREAM, 0)); }
static void listens(void)
{
	name.sun_family = AF_UNIX;
	listener = client();
	must(sys(bind, listener, &name, 2));
	must(sys(getsockname, listener, &name, &name_len));
	must(sys(listen, listener, 0));
}
static long dials(void)
{
	must(sys(connect, client(), &name, name_len));
	long c = client();
	limit(c, SO_SNDTIMEO);
	return sys(connect, c, &name, name_len);
}
static void full(int type)
{
	must(sys(socketpair, AF_UNIX, type, 0, s));
	while (sys(sendto, s[0], data, type == SOCK_STREAM ? 4096 : 10, MSG_DONTWAIT, NULL, 0) > 0)
		;
	limit(s[0], SO_SNDTIMEO);
}
static void pair(int type)
{
	must(sys(socketpair, AF_UNIX, type, 0, s));
	limit(s[1], SO_RCVTIMEO);
}
static long vector(bool many)
{
	struct iovec v = {data, 10};
	struct mmsghdr m = {{.msg_iov = &v, .msg_iovlen = 1}, 0};
	return many ? sys(recvmmsg, s[1], &m, 1, 0, NULL) : sys(recvmsg, s[1], &m.msg_hdr, 0);
}
static long waits(int op, struct timespec t) { return sys(futex, &word, op, 0, &t, NULL, FUTEX_BITSET_MATCH_ANY); }
static long polls(int way)
{
	struct pollfd e = {(int)fd, POLLIN, 0};
	struct timespec t = {0, WAIT};
	struct timeval tv = {0, WAIT / 1000};
	struct epoll_event out;
	fd_set set;
	FD_ZERO(&set);
	FD_SET(fd, &set);
	switch (way) {
	case 0: return sys(poll, &e, 1, WAIT / MS);
	case 1: return sys(ppoll, &e, 1, &t, NULL, 8);
	case 2: return sys(select, fd + 1, &set, NULL, NULL, &tv);
	case 3: return sys(pselect6, fd + 1, &set, NULL, NULL, &t, NULL);
	case 4: return sys(epoll_wait, ep, &out, 1, WAIT / MS);
	case 5: return sys(epoll_pwait, ep, &out, 1, WAIT / MS, NULL, 8);
	case 6: return sys(epoll_pwait2, ep, &out, 1, &t, NULL, 8);
	case 7: return sys(poll, NULL, 0, WAIT / MS);
	default: return sys(select, 0, NULL, NULL, NULL, &tv);
	}
}
static void event(void)
{
	fd = must(sys(eventfd2, 0, 0));
	ep = must(sys(epoll_create1, 0));
	must(sys(epoll_ctl, ep, EPOLL_CTL_ADD, fd, (&(struct epoll_event){.events = EPOLLIN})));
}
static long takes(void)
{
	struct timespec t = {0, WAIT};
	uint64_t set = SIGBIT(SIGUSR1);
	return sys(rt_sigtimedwait, &set, NULL, &t, 8);
}
static long sleeps(clockid_t clock, int flags)
{
	struct timespec t = flags ? until(clock) : (struct timespec){0, WAIT};
	return sys(clock_nanosleep, clock, flags, &t, NULL);
}
static long timer(clockid_t clock, int flags)
{
	struct itimerspec t = {{0, 0}, flags ? until(clock) : (struct timespec){0, WAIT}};
	fd = must(sys(timerfd_create, clock, 0));
	must(sys(timerfd_settime, fd, flags, &t, NULL));
	return sys(read, fd, data, 8);
}
static long periodic(void)
{
	struct itimerspec t = {{0, WAIT / 5}, {0, WAIT / 5}};
	fd = must(sys(timerfd_create, CLOCK_MONOTONIC, 0));
	must(sys(timerfd_settime, fd, 0, &t, NULL));
	uint64_t n = 0, sum = 0;
	while (sum < 5 && sys(read, fd, &n, 8) == 8)
		sum += n;
	return sum >= 5 ? 0 : (long)sum;
}
static long alarmed(int how)
{
	uint64_t set = SIGBIT(SIGALRM);
	struct itimerval t = {{0, 0}, {0, WAIT / 1000}};
	struct itimerspec ts = {{0, 0}, {0, WAIT}};
	int id = 0;
	mask_signals(SIG_BLOCK, set);
	if (how)
		must(sys(timer_create, CLOCK_MONOTONIC, NULL, &id) ?: sys(timer_settime, id, 0, &ts, NULL));
	else
		must(sys(setitimer, ITIMER_REAL, &t, NULL));
	return sys(rt_sigtimedwait, &set, NULL, NULL, 8);
}
static long naps(void)
{
	struct timespec t = {0, WAIT};
	return sys(nanosleep, &t, NULL);
}
static void nothing(void) {}

#define LIST(X)                                                                                                       \
	X(poll, "poll", event(), polls(0)) X(ppoll, "ppoll", event(), polls(1)) X(select, "select", event(), polls(2)) X(pselect, "pselect6", event(), polls(3)) \
	X(epoll_wait, "epoll_wait", event(), polls(4)) X(epoll_pwait, "epoll_pwait", event(), polls(5)) X(epoll_pwait2, "epoll_pwait2", event(), polls(6))       \
	X(poll_none, "poll", nothing(), polls(7)) X(select_none, "select", nothing(), polls(8))                                                   \
	X(futex, "futex", nothing(), waits(FUTEX_WAIT, (struct timespec){0, WAIT}))                                                                \
	X(futex_private, "futex", nothing(), waits(FUTEX_WAIT_PRIVATE, (struct timespec){0, WAIT}))                                                \
	X(futex_until, "futex", nothing(), waits(FUTEX_WAIT_BITSET, until(CLOCK_MONOTONIC)))                                                       \
	X(futex_realtime, "futex", nothing(), waits(FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, until(CLOCK_REALTIME)))                              \
	X(sigtimedwait, "rt_sigtimedwait", nothing(), takes())                                                                                    \
	X(nanosleep, "nanosleep", nothing(), naps())                                                                                              \
	X(sleep_realtime, "clock_nanosleep", nothing(), sleeps(CLOCK_REALTIME, 0)) X(sleep_realtime_until, "clock_nanosleep", nothing(), sleeps(CLOCK_REALTIME, TIMER_ABSTIME)) \
	X(sleep_monotonic, "clock_nanosleep", nothing(), sleeps(CLOCK_MONOTONIC, 0)) X(sleep_until, "clock_nanosleep", nothing(), sleeps(CLOCK_MONOTONIC, TIMER_ABSTIME))       \
	X(sleep_boottime, "clock_nanosleep", nothing(), sleeps(CLOCK_BOOTTIME, 0)) X(sleep_boottime_until, "clock_nanosleep", nothing(), sleeps(CLOCK_BOOTTIME, TIMER_ABSTIME)) \
	X(timer, "read", nothing(), timer(CLOCK_MONOTONIC, 0)) X(timer_until, "read", nothing(), timer(CLOCK_MONOTONIC, TFD_TIMER_ABSTIME)) X(timer_realtime, "read", nothing(), timer(CLOCK_REALTIME, 0)) \
	X(timer_realtime_until, "read", nothing(), timer(CLOCK_REALTIME, TFD_TIMER_ABSTIME)) X(timer_boottime, "read", nothing(), timer(CLOCK_BOOTTIME, 0)) X(timer_periodic, "read", nothing(), periodic())            \
	X(alarm, "rt_sigtimedwait", nothing(), alarmed(0)) X(posix_timer, "rt_sigtimedwait", nothing(), alarmed(1))                               \
	X(stream_read, "read", pair(SOCK_STREAM), sys(read, s[1], data, 10)) X(stream_recv, "recvfrom", pair(SOCK_STREAM), sys(recvfrom, s[1], data, 10, 0, NULL, NULL))              \
	X(wait_all, "recvfrom", pair(SOCK_STREAM); must(sys(write, s[0], data, 3)), sys(recvfrom, s[1], data, 10, MSG_WAITALL, NULL, NULL))       \
	X(recvmsg, "recvmsg", pair(SOCK_DGRAM), vector(false)) X(recvmmsg, "recvmmsg", pair(SOCK_SEQPACKET), vector(true)) X(datagram, "read", pair(SOCK_DGRAM), sys(read, s[1], data, 10))  \
	X(peek, "recvfrom", pair(SOCK_DGRAM), sys(recvfrom, s[1], data, 10, MSG_PEEK, NULL, NULL))                                                \
	X(stream_write, "write", full(SOCK_STREAM), sys(write, s[0], data, 10)) X(datagram_send, "sendto", full(SOCK_DGRAM), sys(sendto, s[0], data, 10, 0, NULL, 0))                 \
	X(packet_send, "write", full(SOCK_SEQPACKET), sys(write, s[0], data, 10))                                                                 \
	X(accept, "accept", listens(); limit(listener, SO_RCVTIMEO), sys(accept, listener, NULL, NULL)) X(accept4, "accept4", listens(); limit(listener, SO_RCVTIMEO), sys(accept4, listener, NULL, NULL, 0)) \
	X(connect, "connect", listens(), dials())

#define ID(id, ...) #id,
#define RUN(id, call, prepare, act)                                                                                   \
	{                                                                                                             \
		prepare;                                                                                              \
		int64_t start = now_ns();                                                                             \
		long r = act;                                                                                         \
		int64_t took = now_ns() - start;                                                                      \
		observe(#id, call, ret_int(r), ARGS(), STATE(f_dur("took", took, WAIT, LATE)));                       \
		must(sys(close_range, 3, 399, 0));                                                                    \
	}

PROBE("wake/timeouts", LIST(ID))
{
	LIST(RUN)
}
