/* epoll_pwait waits with its own mask, which the old one replaces afterwards. */
#include "probe.h"

static volatile int handled;
static void count(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)info, (void)context;
	handled++;
}

PROBE("epoll/pwait", "opens", "mask_back", "closes", "pending", "ready_first", "bad_size", "null_any_size", "mask_efault", "no_room", "negative_room", "not_epoll")
{
	long ep = must(sys(epoll_create1, 0)), event = must(sys(eventfd2, 0, 0));
	struct epoll_event want = {EPOLLIN, {.u64 = 1}}, out[2];
	must(sys(epoll_ctl, ep, EPOLL_CTL_ADD, event, &want));
	on_signal(SIGUSR1, count, 0, 0);
	on_signal(SIGUSR2, count, 0, 0);
	mask_signals(SIG_BLOCK, SIGBIT(SIGUSR1));
	must(sys(kill, sys(getpid), SIGUSR1));
	uint64_t none = 0, second = SIGBIT(SIGUSR2);
	long r = sys(epoll_pwait, ep, out, 2, 2000, &none, 8);
	observe("opens", "epoll_pwait", ret_int(r), ARGS(f_hex("mask", 0)), STATE(f_int("handled", handled)));
	observe("mask_back", "epoll_pwait", ret_int(r), ARGS(f_hex("mask", 0)), STATE(f_hex("mask", mask_signals(SIG_BLOCK, 0))));
	handled = 0;
	must(sys(kill, sys(getpid), SIGUSR1));
	second |= SIGBIT(SIGUSR1);
	r = sys(epoll_pwait, ep, out, 2, 20, &second, 8);
	observe("closes", "epoll_pwait", ret_int(r), ARGS(f_int("timeout", 20)), STATE(f_int("handled", handled)));
	observe("pending", "rt_sigpending", ret_int(0), ARGS(), STATE(f_hex("pending", pending_signals())));
	uint64_t one = 1;
	must(sys(write, event, &one, 8));
	r = sys(epoll_pwait, ep, out, 2, 2000, &none, 8);
	observe("ready_first", "epoll_pwait", ret_int(r), ARGS(f_hex("mask", 0)), STATE(f_int("handled", handled), f_hex("pending", pending_signals())));
	observe("bad_size", "epoll_pwait", ret_int(sys(epoll_pwait, ep, out, 2, 0, &second, 4)), ARGS(f_uint("sigsetsize", 4)), STATE());
	observe("null_any_size", "epoll_pwait", ret_int(sys(epoll_pwait, ep, out, 2, 0, NULL, 4)), ARGS(f_uint("sigsetsize", 4)), STATE());
	observe("mask_efault", "epoll_pwait", ret_int(sys(epoll_pwait, ep, out, 2, 0, 8, 8)), ARGS(), STATE());
	observe("no_room", "epoll_pwait", ret_int(sys(epoll_pwait, ep, out, 0, 0, NULL, 8)), ARGS(f_int("maxevents", 0)), STATE());
	observe("negative_room", "epoll_pwait", ret_int(sys(epoll_pwait, ep, out, -1, 0, NULL, 8)), ARGS(f_int("maxevents", -1)), STATE());
	observe("not_epoll", "epoll_pwait", ret_int(sys(epoll_pwait, event, out, 2, 0, NULL, 8)), ARGS(), STATE());
}
