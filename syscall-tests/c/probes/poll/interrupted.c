/* A handler ends a wait for events, whatever its flags; being stopped or woken in vain does not, nor does it prolong it. */
#include "probe.h"

static volatile int handled;
static volatile bool over;
static int full[2];

static void count(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)info, (void)context;
	handled++;
}

static int send_signal(void *to)
{
	long parent = *(long *)to;
	await_sleep(parent, parent);
	return (int)sys(kill, parent, SIGUSR1);
}

static long interrupter(void)
{
	static long self;
	self = sys(getpid);
	handled = 0;
	return spawn(send_signal, &self);
}

/* Takes single bytes off the first page, which stays: no room comes free. */
static int drip(void *unused)
{
	(void)unused;
	struct timespec pause = {0, 5000000};
	int64_t end = now_ns() + 2500000000;
	char byte;
	for (int i = 0; i < 4000 && !over && now_ns() < end; i++) {
		sys(read, full[0], &byte, 1);
		sys(nanosleep, &pause, NULL);
	}
	return over;
}

static int waits(void *unused)
{
	(void)unused;
	return sys(poll, NULL, 0, 60) == 0 ? 3 : 4;
}

PROBE("poll/interrupted", "poll", "ppoll", "select", "pselect", "epoll_wait", "epoll_pwait", "stopped", "woken_in_vain", "select_in_vain")
{
	struct timespec t = {3, 0};
	struct timeval tv = {3, 0};
	struct epoll_event out;
	long ep = must(sys(epoll_create1, 0));
	on_signal(SIGUSR1, count, SA_RESTART, 0);
	long child = interrupter();
	long r = sys(poll, NULL, 0, 3000);
	observe("poll", "poll", ret_int(r), ARGS(f_hex("sa_flags", SA_RESTART)), STATE(f_int("handled", handled), f_int("child", reap(child))));
	child = interrupter();
	r = sys(ppoll, NULL, 0, &t, NULL, 8);
	observe("ppoll", "ppoll", ret_int(r), ARGS(f_hex("sa_flags", SA_RESTART)),
		STATE(f_int("handled", handled), f_int("child", reap(child)), f_bool("left_less", t.tv_sec < 3)));
	child = interrupter();
	r = sys(select, 0, NULL, NULL, NULL, &tv);
	observe("select", "select", ret_int(r), ARGS(f_hex("sa_flags", SA_RESTART)),
		STATE(f_int("handled", handled), f_int("child", reap(child)), f_bool("left_less", tv.tv_sec < 3)));
	child = interrupter();
	t = (struct timespec){3, 0};
	r = sys(pselect6, 0, NULL, NULL, NULL, &t, NULL);
	observe("pselect", "pselect6", ret_int(r), ARGS(f_hex("sa_flags", SA_RESTART)),
		STATE(f_int("handled", handled), f_int("child", reap(child)), f_bool("left_less", t.tv_sec < 3)));
	child = interrupter();
	r = sys(epoll_wait, ep, &out, 1, 3000);
	observe("epoll_wait", "epoll_wait", ret_int(r), ARGS(f_hex("sa_flags", SA_RESTART)), STATE(f_int("handled", handled), f_int("child", reap(child))));
	child = interrupter();
	r = sys(epoll_pwait, ep, &out, 1, 3000, NULL, 8);
	observe("epoll_pwait", "epoll_pwait", ret_int(r), ARGS(f_hex("sa_flags", SA_RESTART)), STATE(f_int("handled", handled), f_int("child", reap(child))));
	child = spawn(waits, NULL);
	await_sleep(child, child);
	must(sys(kill, child, SIGSTOP));
	int status = 0;
	must(sys(wait4, child, &status, WUNTRACED, NULL));
	bool stopped = WIFSTOPPED(status);
	must(sys(kill, child, SIGCONT));
	status = stopped ? reap(child) : status;
	observe("stopped", "poll", ret_int(WEXITSTATUS(status)), ARGS(f_int("timeout", 60)), STATE(f_bool("stopped", stopped)));
	static char page[4096];
	make_pipe(full, 0);
	for (int i = 0; i < 16; i++)
		must(sys(write, full[1], page, sizeof page));
	struct thread waker;
	thread_start(&waker, drip, NULL);
	struct pollfd e = {full[1], POLLOUT, 0};
	int64_t start = now_ns();
	r = sys(poll, &e, 1, 50);
	over = true;
	observe("woken_in_vain", "poll", ret_int(r), ARGS(f_int("timeout", 50)), STATE(f_dur("waited", now_ns() - start, 50000000, 2300000000)));
	thread_join(&waker);
	over = false;
	start = now_ns();
	thread_start(&waker, drip, NULL);
	fd_set writes;
	FD_ZERO(&writes);
	FD_SET(full[1], &writes);
	tv = (struct timeval){0, 50000};
	r = sys(select, full[1] + 1, NULL, &writes, NULL, &tv);
	over = true;
	observe("select_in_vain", "select", ret_int(r), ARGS(f_int("usec", 50000)), STATE(f_dur("waited", now_ns() - start, 50000000, 2300000000)));
	thread_join(&waker);
}
