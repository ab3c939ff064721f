/* epoll_pwait2 waits with a timespec, and with a mask of its own. */
#include "probe.h"

static volatile int handled;
static void count(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)info, (void)context;
	handled++;
}

PROBE("epoll/pwait2", "ready", "times_out", "nanoseconds", "mask", "mask_back", "bad_time", "bad_size", "none", "efault", "ebadf")
{
	int p[2];
	make_pipe(p, 0);
	long ep = must(sys(epoll_create1, 0));
	struct epoll_event want = {.events = EPOLLIN, .data.u64 = 42}, got[2] = {{0}};
	must(sys(epoll_ctl, ep, EPOLL_CTL_ADD, p[0], &want));
	struct timespec none = {0, 0}, little = {0, 1500000}, bad = {0, 1000000000};
	long n = sys(epoll_pwait2, ep, got, 2, &none, NULL, 8);
	observe("none", "epoll_pwait2", ret_int(n), ARGS(f_int("nsec", 0)), STATE());
	int64_t start = now_ns();
	n = sys(epoll_pwait2, ep, got, 2, &little, NULL, 8);
	observe("times_out", "epoll_pwait2", ret_int(n), ARGS(f_int("nsec", little.tv_nsec)), STATE(f_dur("waited", now_ns() - start, 1500000, 5000000000)));
	must(sys(write, p[1], "x", 1));
	n = sys(epoll_pwait2, ep, got, 2, NULL, NULL, 8);
	observe("ready", "epoll_pwait2", ret_int(n), ARGS(), STATE(f_hex("events", got[0].events), f_uint("data", got[0].data.u64)));
	char data[2];
	must(sys(read, p[0], data, 2));
	struct timespec one = {0, 1};
	start = now_ns();
	n = sys(epoll_pwait2, ep, got, 2, &one, NULL, 8);
	observe("nanoseconds", "epoll_pwait2", ret_int(n), ARGS(f_int("nsec", 1)), STATE(f_dur("waited", now_ns() - start, 1, 5000000000)));
	on_signal(SIGUSR1, count, 0, 0);
	mask_signals(SIG_BLOCK, SIGBIT(SIGUSR1));
	must(sys(kill, sys(getpid), SIGUSR1));
	int before = handled;
	uint64_t open = 0;
	n = sys(epoll_pwait2, ep, got, 2, NULL, &open, 8);
	observe("mask", "epoll_pwait2", ret_int(n), ARGS(f_hex("mask", 0)), STATE(f_int("before", before), f_int("handled", handled)));
	observe("mask_back", "rt_sigprocmask", ret_int(0), ARGS(), STATE(f_hex("mask", mask_signals(SIG_BLOCK, 0))));
	observe("bad_time", "epoll_pwait2", ret_int(sys(epoll_pwait2, ep, got, 2, &bad, NULL, 8)), ARGS(f_int("nsec", bad.tv_nsec)), STATE());
	observe("bad_size", "epoll_pwait2", ret_int(sys(epoll_pwait2, ep, got, 2, &none, &open, 4)), ARGS(f_uint("sigsetsize", 4)), STATE());
	must(sys(write, p[1], "x", 1));
	observe("efault", "epoll_pwait2", ret_int(sys(epoll_pwait2, ep, 8, 2, &none, NULL, 8)), ARGS(), STATE());
	observe("ebadf", "epoll_pwait2", ret_int(sys(epoll_pwait2, 4000, got, 2, &none, NULL, 8)), ARGS(f_int("epfd", 4000)), STATE());
}
