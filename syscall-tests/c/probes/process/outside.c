/* A child in another session, a pidfd of a thread, what looks like the kernel's signal sent to another thread, and the unit of times(2). */
#include "probe.h"
#include <sys/times.h>

static int32_t *word;
static int waits(void *unused)
{
	(void)unused;
	while (*word == 0)
		sys(futex, word, FUTEX_WAIT, 0, NULL);
	return 0;
}

PROBE("process/outside", "other_session", "other_session_join", "thread_pidfd", "forged_thread", "forged_self", "queued_thread", "forged_process", "ticks")
{
	long *page = pages(1, true);
	word = (int32_t *)(page + 8);
	long leader = must(sys(fork));
	if (leader == 0) {
		must(sys(setsid));
		long sibling = must(sys(clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0));
		if (sibling == 0) {
			__atomic_store_n(page, sys(getpid), __ATOMIC_SEQ_CST);
			for (;;)
				sys(pause);
		}
		sys(exit_group, 0);
	}
	while (__atomic_load_n(page, __ATOMIC_SEQ_CST) == 0)
		sys(sched_yield);
	reap(leader);
	long r = sys(setpgid, page[0], page[0]);
	observe("other_session", "setpgid", ret_int(r), ARGS(), STATE(f_bool("moved", sys(getpgid, page[0]) == page[0])));
	r = sys(setpgid, page[0], sys(getpgid, 0));
	observe("other_session_join", "setpgid", ret_int(r), ARGS(), STATE(f_bool("moved", sys(getpgid, page[0]) == sys(getpgid, 0))));
	must(sys(kill, page[0], SIGKILL));
	reap(page[0]);
	struct thread t;
	thread_start(&t, waits, NULL);
	siginfo_t forged = {.si_signo = SIGURG, .si_code = SI_USER}, queued = {.si_signo = SIGURG, .si_code = SI_QUEUE};
	observe("thread_pidfd", "pidfd_open", ret_fd(sys(pidfd_open, t.tid, 0)), ARGS(), STATE());
	observe("forged_thread", "rt_tgsigqueueinfo", ret_int(sys(rt_tgsigqueueinfo, sys(getpid), t.tid, SIGURG, &forged)), ARGS(), STATE());
	observe("forged_self", "rt_tgsigqueueinfo", ret_int(sys(rt_tgsigqueueinfo, sys(getpid), sys(gettid), SIGURG, &forged)), ARGS(), STATE());
	observe("queued_thread", "rt_tgsigqueueinfo", ret_int(sys(rt_tgsigqueueinfo, sys(getpid), t.tid, SIGURG, &queued)), ARGS(), STATE());
	observe("forged_process", "rt_sigqueueinfo", ret_int(sys(rt_sigqueueinfo, t.tid, SIGURG, &forged)), ARGS(), STATE());
	*word = 1;
	sys(futex, word, FUTEX_WAKE, 1);
	thread_join(&t);
	struct tms tms;
	int64_t from = now_ns();
	long first = sys(times, &tms);
	int64_t inner = now_ns();
	while (now_ns() - inner < 100000000)
		;
	long last = sys(times, &tms);
	int64_t most = now_ns() - from;
	/* Ticks that were late may come together. */
	observe("ticks", "times", ret_bool(last >= first), ARGS(), STATE(f_bool("most", (last - first) * 10000000ll <= 3 * most + 300000000)));
}
