/* What the probes of wake/ sleep on. */
#ifndef BEVOR_WAKE_EVENTS_H
#define BEVOR_WAKE_EVENTS_H
#include "wake.h"

static int a[2], b[2], s[2];
static long fd, ep, listener, helper;
static char data[1 << 20];
static struct sockaddr_un name;
static int name_len;

static inline void both(void)
{
	make_pipe(a, 0);
	make_pipe(b, 0);
}
static inline void fill(int *p)
{
	make_pipe(p, O_NONBLOCK);
	while (sys(write, p[1], data, 4096) > 0)
		;
	must(sys(fcntl, p[0], F_SETFL, O_RDONLY));
	must(sys(fcntl, p[1], F_SETFL, O_WRONLY));
}
/* A full pipe, and another pipe or a file that has what is to go into it. */
static inline void spliced(void)
{
	make_pipe(b, 0);
	must(sys(write, b[1], "abcdef", 6));
	fill(a);
}
static inline void sourced(void)
{
	put_file("f", "0123456789", 10);
	fd = must(sys(openat, AT_FDCWD, "f", O_RDONLY));
	fill(a);
}
static inline void close_all(int *p)
{
	must(sys(close, p[0]));
	must(sys(close, p[1]));
}
/* Closes in the sleeper what only the probe shall hold. */
static inline void leave(long f) { must(sys(close, f)); }
static inline void quiet(void) { must(sys(rt_sigaction, SIGPIPE, &(struct ksigaction){.handler = (void *)1}, NULL, 8)); }
static inline void fifo(void)
{
	sys(unlink, "fifo");
	must(sys(mknod, "fifo", S_IFIFO | 0600, 0));
}
static inline void open_close(int flags) { must(sys(close, must(sys(openat, AT_FDCWD, "fifo", flags | O_NONBLOCK)))); }
static inline void pair(int type) { must(sys(socketpair, AF_UNIX, type, 0, s)); }
static inline void full(int type)
{
	pair(type);
	while (sys(sendto, s[0], data, type == SOCK_STREAM ? 4096 : 10, MSG_DONTWAIT, NULL, 0) > 0)
		;
}
static inline void down(int which, int how) { must(sys(shutdown, s[which], how)); }
static inline void listens(void)
{
	name = (struct sockaddr_un){.sun_family = AF_UNIX};
	name_len = sizeof name;
	listener = must(sys(socket, AF_UNIX, SOCK_STREAM, 0));
	must(sys(bind, listener, &name, 2));
	must(sys(getsockname, listener, &name, &name_len));
	must(sys(listen, listener, 0));
}
static inline long client(int flags) { return must(sys(socket, AF_UNIX, SOCK_STREAM | flags, 0)); }
static inline void crowded(void)
{
	listens();
	helper = client(0);
	must(sys(connect, helper, &name, name_len));
}
static inline long connects(void) { return sys(connect, client(0), &name, name_len); }
static inline long reads(long f) { return sys(read, f, data, 10); }
static inline long writes(long f) { return sys(write, f, data, 10); }
static inline long recvs(int flags) { return sys(recvfrom, s[1], data, 10, flags, NULL, NULL); }
static inline void event(uint64_t first)
{
	fd = must(sys(eventfd2, 0, 0));
	if (first)
		must(sys(write, fd, &first, 8));
}
static inline void add(uint64_t value) { must(sys(write, fd, &value, 8)); }
static inline void take(void) { must(sys(read, fd, data, 8)); }
static inline void control(int op, long f, uint32_t events) { must(sys(epoll_ctl, ep, op, f, (&(struct epoll_event){.events = events}))); }
static inline void watch(uint32_t events)
{
	event(0);
	ep = must(sys(epoll_create1, 0));
	control(EPOLL_CTL_ADD, fd, events);
}
static inline long collects(void)
{
	struct epoll_event out = {.events = 0};
	long r = sys(epoll_wait, ep, &out, 1, -1);
	return r < 0 ? r : out.events;
}
static inline long polls(long f, short events)
{
	struct pollfd e = {(int)f, events, 0};
	long r = sys(poll, &e, 1, -1);
	return r < 0 ? r : e.revents;
}
static inline void arm(long after)
{
	struct itimerspec t = {{0, 0}, {0, after}};
	must(sys(timerfd_settime, fd, after == 1, &t, NULL));
}
static inline void timer(long seconds)
{
	struct itimerspec t = {{0, 0}, {seconds, 0}};
	fd = must(sys(timerfd_create, CLOCK_MONOTONIC, 0));
	must(sys(timerfd_settime, fd, 0, &t, NULL));
}
static inline int holds(void *unused)
{
	char c;
	(void)unused;
	struct flock l = {.l_type = F_WRLCK};
	long f = must(sys(openat, AT_FDCWD, "f", O_RDWR));
	must(sys(flock, f, LOCK_EX));
	must(sys(fcntl, f, F_SETLK, &l));
	must(sys(write, a[1], "x", 1));
	sys(read, b[0], &c, 1);
	return 0;
}
/* A child that holds both kinds of locks on "f" until it is killed. */
static inline void held(void)
{
	put_file("f", "0123456789", 10);
	both();
	helper = spawn(holds, NULL);
	must(reads(a[0]));
}
static inline void kill_helper(void)
{
	must(sys(kill, helper, SIGKILL));
	reap(helper);
}
static inline long own_lock(int command, int type, long start, long len)
{
	struct flock l = {.l_type = (short)type, .l_start = start, .l_len = len};
	return sys(fcntl, fd, command, &l);
}
/* The probe holds both kinds of locks on "f". */
static inline void mine(int how, int type)
{
	put_file("f", "0123456789", 10);
	fd = must(sys(openat, AT_FDCWD, "f", O_RDWR));
	must(sys(flock, fd, how));
	must(own_lock(F_SETLK, type, 0, 0));
}
static inline long wants(int how) { return sys(flock, must(sys(openat, AT_FDCWD, "f", O_RDWR)), how); }
static inline long asks(int command, int type, long start, long len)
{
	struct flock l = {.l_type = (short)type, .l_start = start, .l_len = len};
	return sys(fcntl, must(sys(openat, AT_FDCWD, "f", O_RDWR)), command, &l);
}
static inline int waits_byte(void *unused)
{
	char c;
	(void)unused;
	sys(read, b[0], &c, 1);
	return 3;
}
/* Has a child, tells the probe of it, and waits for it. */
static inline long waits_for(int options, bool any)
{
	int status = 0;
	long pid = spawn(waits_byte, NULL);
	await_sleep(pid, pid);
	must(sys(write, a[1], &pid, 8));
	long r = sys(wait4, any ? -1 : pid, &status, options, NULL);
	int was = status;
	sys(kill, pid, SIGKILL);
	return r < 0 ? r : WIFSTOPPED(was) ? 1000 + WSTOPSIG(was) : was;
}
static inline void signal_child(int signal)
{
	long pid = 0;
	must(sys(read, a[0], &pid, 8));
	/* The sleeper slept already when it wrote, perhaps not yet when it waits. */
	await_sleep(sleeping, sleeping);
	must(sys(kill, pid, signal));
}
static inline long awaits(int op, uint32_t bits) { return sys(futex, &board->word, op, 0, NULL, NULL, bits); }
static inline long wake(int op, uint32_t bits) { return must(sys(futex, &board->word, op, 1, NULL, NULL, bits)); }
#endif
