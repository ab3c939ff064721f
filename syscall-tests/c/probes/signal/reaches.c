/* Whom each way of sending a signal reaches: a process, its thread, the members of its group, one outside of it. */
#include "probe.h"
#include "table.h"

enum { WAYS = 11 };
static long leader, member, outside;

static int sleeps(void *arg)
{
	(void)arg;
	sys(setpgid, 0, arg ? *(long *)arg : 0);
	while (sys(pause))
		;
	return 0;
}

static long send_by(long way, long pidfd)
{
	siginfo_t info = {.si_signo = SIGUSR1, .si_code = SI_QUEUE};
	switch (way) {
	case 0: return sys(kill, leader, SIGUSR1);
	case 1: return sys(kill, -leader, SIGUSR1);
	case 2: return sys(tkill, leader, SIGUSR1);
	case 3: return sys(tgkill, leader, leader, SIGUSR1);
	case 4: return sys(rt_sigqueueinfo, leader, SIGUSR1, &info);
	case 5: return sys(rt_tgsigqueueinfo, leader, leader, SIGUSR1, &info);
	case 6: return sys(pidfd_send_signal, pidfd, SIGUSR1, NULL, 0);
	case 7: return sys(pidfd_send_signal, pidfd, SIGUSR1, NULL, 1);
	case 8: return sys(pidfd_send_signal, pidfd, SIGUSR1, NULL, 2);
	case 9: return sys(pidfd_send_signal, pidfd, SIGUSR1, NULL, 4);
	default: return sys(pidfd_send_signal, pidfd, SIGUSR1, &info, 4);
	}
}

/* Where SIGUSR1 is pending. */
static const char *pending(long pid)
{
	char own[32], shared[32];
	require(proc_status(pid, "SigPnd", own, sizeof own) && proc_status(pid, "ShdPnd", shared, sizeof shared));
	bool thread = strtoull(own, NULL, 16) & SIGBIT(SIGUSR1), process = strtoull(shared, NULL, 16) & SIGBIT(SIGUSR1);
	return thread ? process ? "both" : "thread" : process ? "process" : "no";
}

PROBE("signal/reaches", "each")
{
	static struct row row;
	mask_signals(SIG_BLOCK, SIGBIT(SIGUSR1));
	for (long way = 0; way < WAYS; way++) {
		leader = spawn(sleeps, NULL);
		await_sleep(leader, leader);
		member = spawn(sleeps, &leader);
		outside = spawn(sleeps, NULL);
		await_sleep(member, member);
		await_sleep(outside, outside);
		long pidfd = must(sys(pidfd_open, leader, 0)), r = send_by(way, pidfd);
		char text[64];
		snprintf(text, sizeof text, "%s leader=%s member=%s outside=%s", r ? errno_name(err_of(r)) : "done", pending(leader), pending(member), pending(outside));
		cell_text(&row, way, text);
		long all[] = {leader, member, outside};
		for (size_t i = 0; i < countof(all); i++) {
			must(sys(kill, all[i], SIGKILL));
			reap(all[i]);
		}
		must(sys(close, pidfd));
	}
	observe_row(&row, "each", "pidfd_send_signal");
}
