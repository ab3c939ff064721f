/* Each call that makes descriptors with none, one and two numbers free below RLIMIT_NOFILE: what it answers, and how many are taken afterwards.
 * And each limit over fork, threads and exec, and set from outside. */
#include "probe.h"
#include "table.h"
#include <sys/epoll.h>

enum { LIMIT = 40 };
static long child, passed[1], listener;
static int pair[2];
static struct sockaddr_un name;
static int name_len = sizeof name;
static long *shared;
static uint64_t mask = 1 << 9;
static char data[64];

static long use_pipe(void) { int p[2]; return sys(pipe2, p, 0); }
static long use_pair(void) { int p[2]; return sys(socketpair, AF_UNIX, SOCK_STREAM, 0, p); }
static long use_open(void) { return sys(openat, AT_FDCWD, "f", O_RDONLY); }
static long use_create(void) { return sys(openat, AT_FDCWD, "new", O_CREAT | O_EXCL | O_WRONLY, 0600); }
static long use_open2(void) { return sys(openat2, AT_FDCWD, "f", ((uint64_t[3]){0, 0, 0}), 24); }
static long use_dup(void) { return sys(dup, 0); }
static long use_dupfd(void) { return sys(fcntl, 0, F_DUPFD, 0); }
static long use_dup2(void) { return sys(dup2, 0, LIMIT - 1); }
static long use_socket(void) { return sys(socket, AF_UNIX, SOCK_DGRAM, 0); }
static long use_accept(void) { return sys(accept, listener, NULL, NULL); }
static long use_epoll(void) { return sys(epoll_create1, 0); }
static long use_event(void) { return sys(eventfd2, 0, 0); }
static long use_timer(void) { return sys(timerfd_create, CLOCK_MONOTONIC, 0); }
static long use_signal(void) { return sys(signalfd4, -1, &mask, 8, 0); }
static long use_memory(void) { return sys(memfd_create, "m", 0); }
static long use_pidfd(void) { return sys(pidfd_open, child, 0); }
static long use_getfd(void) { return sys(pidfd_getfd, passed[0], 0, 0); }
static long use_rights(void)
{
	char room[CMSG_SPACE(8)];
	struct iovec v = {data, 1};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
	long r = sys(recvmsg, pair[0], &m, 0);
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	return r < 0 ? r : (long)m.msg_flags * 100 + (c ? (long)(c->cmsg_len - CMSG_LEN(0)) / 4 : 0);
}
static long use_tmpfile(void) { return sys(openat, AT_FDCWD, ".", O_TMPFILE | O_RDWR, 0600); }

static const struct { const char *id, *call; long (*use)(void); } calls[] = {
	{"pipe", "pipe2", use_pipe}, {"socketpair", "socketpair", use_pair}, {"open", "openat", use_open}, {"create", "openat", use_create}, {"openat2", "openat2", use_open2}, {"dup", "dup", use_dup},
	{"dupfd", "fcntl", use_dupfd}, {"dup2", "dup2", use_dup2}, {"socket", "socket", use_socket}, {"accept", "accept", use_accept}, {"epoll", "epoll_create1", use_epoll}, {"eventfd", "eventfd2", use_event},
	{"timerfd", "timerfd_create", use_timer}, {"signalfd", "signalfd4", use_signal}, {"memfd", "memfd_create", use_memory}, {"pidfd", "pidfd_open", use_pidfd}, {"getfd", "pidfd_getfd", use_getfd},
	{"rights", "recvmsg", use_rights}, {"tmpfile", "openat", use_tmpfile},
};

static int open_files(void)
{
	int n = 0;
	for (int i = 0; i < 200; i++)
		n += sys(fcntl, i, F_GETFD) >= 0;
	return n;
}
static void send_two(void)
{
	char room[CMSG_SPACE(8)] = {0};
	struct iovec v = {data, 1};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	*c = (struct cmsghdr){CMSG_LEN(8), SOL_SOCKET, SCM_RIGHTS};
	memcpy(CMSG_DATA(c), (int[]){0, 1}, 8);
	must(sys(sendmsg, pair[1], &m, 0));
}
static int tries(void *arg)
{
	long i = (long)arg / 4, free = (long)arg % 4;
	struct rlimit limit = {LIMIT, LIMIT};
	if (calls[i].use == use_rights)
		send_two();
	must(sys(setrlimit, RLIMIT_NOFILE, &limit));
	while (sys(dup, 0) >= 0)
		;
	for (long k = 0; k < free; k++)
		must(sys(close, LIMIT - 1 - k));
	shared[0] = calls[i].use();
	shared[1] = open_files();
	shared[2] = sys(access, "new", F_OK);
	sys(unlink, "new");
	return 0;
}

static int lowers(void *unused)
{
	(void)unused;
	for (int i = 0; i < 16; i++) {
		struct rlimit old;
		if (i == RLIMIT_AS || i == RLIMIT_DATA || i == RLIMIT_STACK || i == RLIMIT_FSIZE)
			continue;
		must(sys(getrlimit, i, &old));
		rlim_t max = old.rlim_max < 1000u + i ? old.rlim_max : 1000u + i;
		struct rlimit new = {max < 500u + i ? max : 500u + i, max};
		must(sys(setrlimit, i, &new));
	}
	return 0;
}
/* Whether the limits are as `lowers` left them; which is not, else. */
static long compares(const struct rlimit *with)
{
	for (int i = 0; i < 16; i++) {
		struct rlimit now;
		must(sys(prlimit64, 0, i, NULL, &now));
		if (now.rlim_cur != with[i].rlim_cur || now.rlim_max != with[i].rlim_max)
			return i;
	}
	return 100;
}
static struct rlimit limits[16];
static int in_child(void *unused)
{
	(void)unused;
	return (int)compares(limits);
}
static int in_thread(void *unused)
{
	(void)unused;
	shared[3] = compares(limits);
	/* One limit for the whole process. */
	must(sys(setrlimit, RLIMIT_CORE, (&(struct rlimit){1, 2})));
	return 0;
}
CHILD("limits")
{
	(void)argc, (void)argv, (void)envp;
	struct rlimit was[16];
	must(sys(read, 5, was, sizeof was));
	return (int)compares(was);
}
static int executes(void *unused)
{
	static char *argv[] = {"x", "child", "limits", NULL}, *envp[] = {NULL};
	int p[2];
	(void)unused;
	make_pipe(p, 0);
	must(sys(write, p[1], limits, sizeof limits));
	must(sys(dup2, p[0], 5));
	return (int)-sys(execve, "/proc/self/exe", argv, envp);
}
static int checks(void *unused)
{
	(void)unused;
	lowers(NULL);
	for (int i = 0; i < 16; i++)
		must(sys(getrlimit, i, &limits[i]));
	shared[0] = compares(limits);
	shared[1] = WEXITSTATUS(reap(spawn(in_child, NULL)));
	shared[2] = WEXITSTATUS(reap(spawn(executes, NULL)));
	struct thread t;
	thread_start(&t, in_thread, NULL);
	thread_join(&t);
	struct rlimit core;
	must(sys(getrlimit, RLIMIT_CORE, &core));
	shared[4] = (long)(core.rlim_cur * 10 + core.rlim_max);
	return 0;
}
static int waits(void *unused)
{
	char c;
	(void)unused;
	sys(close, pair[1]);
	sys(read, pair[0], &c, 1);
	struct rlimit files;
	must(sys(getrlimit, RLIMIT_NOFILE, &files));
	return (int)files.rlim_cur + (sys(dup2, 0, 25) == -EBADF ? 100 : 0);
}

PROBE("limit/files", "pipe", "socketpair", "open", "create", "openat2", "dup", "dupfd", "dup2", "socket", "accept", "epoll", "eventfd", "timerfd", "signalfd", "memfd", "pidfd", "getfd", "rights", "tmpfile",
      "inherited", "executed", "of_thread", "of_process", "outside", "soft_beyond", "soft_at", "infinite")
{
	static struct row row;
	shared = pages(1, true);
	put_file("f", "x", 1);
	for (size_t i = 0; i < countof(calls); i++) {
		for (long free = 0; free < 3; free++) {
			must(sys(socketpair, AF_UNIX, SOCK_STREAM, 0, pair));
			name = (struct sockaddr_un){.sun_family = AF_UNIX};
			name_len = sizeof name;
			listener = must(sys(socket, AF_UNIX, SOCK_STREAM, 0));
			must(sys(bind, listener, &name, 2) ?: sys(getsockname, listener, &name, &name_len) ?: sys(listen, listener, 3));
			must(sys(connect, must(sys(socket, AF_UNIX, SOCK_STREAM, 0)), &name, name_len));
			child = sys(getpid);
			passed[0] = must(sys(pidfd_open, child, 0));
			require(reap(spawn(tries, (void *)(long)(i * 4 + (size_t)free))) == 0);
			cell(&row, free * 3, shared[0]);
			cell(&row, free * 3 + 1, shared[1]);
			cell(&row, free * 3 + 2, shared[2]);
			must(sys(close_range, 3, 399, 0));
		}
		observe_row(&row, calls[i].id, calls[i].call);
	}
	require(reap(spawn(checks, NULL)) == 0);
	require(shared[0] == 100);
	observe("inherited", "fork", ret_int(shared[1]), ARGS(), STATE());
	observe("executed", "execve", ret_int(shared[2]), ARGS(), STATE());
	observe("of_thread", "prlimit64", ret_int(shared[3]), ARGS(), STATE());
	observe("of_process", "setrlimit", ret_int(shared[4]), ARGS(), STATE());
	must(sys(socketpair, AF_UNIX, SOCK_STREAM, 0, pair));
	child = spawn(waits, NULL);
	await_sleep(child, child);
	long r = sys(prlimit64, child, RLIMIT_NOFILE, (&(struct rlimit){20, 100}), NULL);
	must(sys(write, pair[1], "x", 1));
	observe("outside", "prlimit64", ret_int(r), ARGS(), STATE(f_int("seen", WEXITSTATUS(reap(child)))));
	for (int i = 0; i < 16; i++)
		cell(&row, i, sys(prlimit64, 0, i, (&(struct rlimit){2, 1}), NULL));
	observe_row(&row, "soft_beyond", "prlimit64");
	for (int i = 0; i < 16; i++) {
		struct rlimit old;
		must(sys(getrlimit, i, &old));
		cell(&row, i, sys(setrlimit, i, &old));
	}
	observe_row(&row, "soft_at", "setrlimit");
	for (int i = 0; i < 16; i++) {
		struct rlimit old = {1, 1};
		must(sys(getrlimit, i, &old));
		old.rlim_cur = RLIM_INFINITY;
		cell(&row, i, old.rlim_max == RLIM_INFINITY ? -EINVAL : sys(setrlimit, i, &old));
	}
	observe_row(&row, "infinite", "setrlimit");
}
