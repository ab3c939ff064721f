/* Orders, boundaries and what does not happen: children, limits, timers that are deleted, masks, names, FIFOs. */
#include "probe.h"
#include <linux/prctl.h>
#include <sys/timerfd.h>
#include <sys/utsname.h>

static long *r;
static int quits(void *arg) { return (int)(long)arg; }
static int opens(void *arg)
{
	(void)arg;
	sys(alarm, 3);
	long fd = sys(openat, AT_FDCWD, "fifo", O_RDONLY);
	char c;
	return fd < 0 ? 90 : (int)(50 + sys(read, fd, &c, 1));
}

static int limits(long *out)
{
	uint64_t mask = 0;
	must(sys(sched_getaffinity, 0, 8, &mask));
	out[7] = sys(sched_setaffinity, out[20], 8, &mask);
	out[8] = sys(setpriority, 0, out[20], 5);
	out[9] = sys(pidfd_getfd, sys(pidfd_open, out[20], 0), 0, 0);
	struct sched_param param = {0};
	out[10] = sys(sched_setscheduler, out[20], SCHED_OTHER, &param);
	return 0;
}

static void timer(int id, int ms, int every)
{
	struct itimerspec t = {{0, every * 1000000}, {0, ms * 1000000}};
	must(sys(timer_settime, id, 0, &t, NULL));
}

PROBE("process/edges", "wait_first", "wait_second", "wait_third", "waitid_first", "affinity_other", "priority_other", "getfd_other", "scheduler_other", "how_no_set", "how_negative_no_set", "how_bad",
      "deleted_timer", "deleted_twice", "overrun", "expirations", "host_name", "domain_apart", "domain_name", "fifo_gone", "file_priority", "pending_order", "pdeath_last", "pdeath_beyond", "dumpable_two")
{
	r = pages(1, true);
	long pids[4], got;
	int word = 0;
	for (int i = 0; i < 4; i++) {
		pids[i] = spawn(quits, (void *)(long)(i + 1));
		siginfo_t info;
		must(sys(waitid, P_PID, pids[i], &info, WEXITED | WNOWAIT, NULL));
	}
	static const char *const names[] = {"wait_first", "wait_second", "wait_third"};
	for (int i = 0; i < 3; i++) {
		got = sys(wait4, -1, &word, 0, NULL);
		observe(names[i], "wait4", ret_bool(got == pids[i]), ARGS(), STATE(f_int("status", WEXITSTATUS(word))));
	}
	pids[0] = spawn(quits, (void *)9);
	siginfo_t info;
	must(sys(waitid, P_PID, pids[0], &info, WEXITED | WNOWAIT, NULL));
	got = sys(waitid, P_ALL, 0, &info, WEXITED, NULL);
	observe("waitid_first", "waitid", ret_int(got), ARGS(), STATE(f_bool("older", info.si_pid == pids[3]), f_int("status", info.si_status)));
	must(sys(wait4, -1, &word, 0, NULL));
	r[20] = sys(getpid);
	run_as(1234, 1234, limits, r);
	observe("affinity_other", "sched_setaffinity", ret_int(r[7]), ARGS(), STATE());
	observe("priority_other", "setpriority", ret_int(r[8]), ARGS(), STATE());
	observe("getfd_other", "pidfd_getfd", ret_int(r[9]), ARGS(), STATE());
	observe("scheduler_other", "sched_setscheduler", ret_int(r[10]), ARGS(), STATE());
	uint64_t mask = 7;
	observe("how_no_set", "rt_sigprocmask", ret_int(sys(rt_sigprocmask, 99, NULL, &mask, 8)), ARGS(f_int("how", 99)), STATE(f_hex("mask", mask)));
	observe("how_negative_no_set", "rt_sigprocmask", ret_int(sys(rt_sigprocmask, -1, NULL, NULL, 8)), ARGS(f_int("how", -1)), STATE());
	observe("how_bad", "rt_sigprocmask", ret_int(sys(rt_sigprocmask, 99, &mask, NULL, 8)), ARGS(f_int("how", 99)), STATE());
	mask_signals(SIG_BLOCK, SIGBIT(SIGUSR1) | SIGBIT(SIGUSR2) | SIGBIT(40));
	struct sigevent e = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
	int first, second;
	must(sys(timer_create, CLOCK_MONOTONIC, &e, &first));
	e.sigev_signo = SIGUSR2;
	must(sys(timer_create, CLOCK_MONOTONIC, &e, &second));
	timer(first, 150, 0);
	timer(second, 170, 0);
	long deleted = sys(timer_delete, first);
	uint64_t wanted = SIGBIT(SIGUSR2);
	must(sys(rt_sigtimedwait, &wanted, &info, NULL, 8));
	observe("deleted_timer", "timer_delete", ret_int(deleted), ARGS(), STATE(f_bool("expired", pending_signals() & SIGBIT(SIGUSR1))));
	observe("deleted_twice", "timer_delete", ret_int(sys(timer_delete, first)), ARGS(), STATE());
	e.sigev_signo = 40;
	must(sys(timer_create, CLOCK_MONOTONIC, &e, &first));
	uint64_t watched = SIGBIT(40);
	long sfd = must(sys(signalfd4, -1, &watched, 8, 0)), tfd = must(sys(timerfd_create, CLOCK_MONOTONIC, 0));
	struct itimerspec often = {{0, 1000000}, {0, 1000000}};
	must(sys(timerfd_settime, tfd, 0, &often, NULL));
	timer(first, 1, 1);
	timer(second, 20, 0);
	must(sys(rt_sigtimedwait, &wanted, &info, NULL, 8));
	uint32_t record[32] = {0};
	got = sys(read, sfd, record, sizeof record);
	observe("overrun", "read", ret_int(got), ARGS(), STATE(f_uint("signal", record[0]), f_bool("overrun", record[8] >= 5), f_bool("code", (int)record[2] == SI_TIMER)));
	uint64_t count = 0;
	got = sys(read, tfd, &count, 8);
	observe("expirations", "read", ret_int(got), ARGS(), STATE(f_bool("several", count >= 10)));
	struct utsname u;
	must(sys(uname, &u));
	char before[65];
	memcpy(before, u.domainname, 65);
	got = sys(sethostname, "probe", 5);
	must(sys(uname, &u));
	observe("host_name", "sethostname", ret_int(got), ARGS(), STATE(f_str("name", u.nodename)));
	observe("domain_apart", "uname", ret_bool(memcmp(before, u.domainname, 65) == 0), ARGS(), STATE());
	got = sys(setdomainname, "do", 2);
	must(sys(uname, &u));
	observe("domain_name", "setdomainname", ret_int(got), ARGS(), STATE(f_str("domain", u.domainname), f_str("name", u.nodename)));
	/* A writer that is gone before who reads could look still ends the wait. */
	must(sys(mknod, "fifo", S_IFIFO | 0600, 0));
	long child, met = 0;
	for (int i = 0; i < 12 && met == i; i++) {
		child = spawn(opens, NULL);
		await_sleep(child, child);
		must(sys(close, must(sys(openat, AT_FDCWD, "fifo", O_WRONLY | O_NONBLOCK))));
		met += reap(child) == 50 << 8;
	}
	observe("fifo_gone", "openat", ret_int(met), ARGS(f_int("rounds", 12)), STATE());
	must(sys(setpriority, 0, 0, 3));
	child = sys(fork);
	if (!child)
		sys(exit_group, (int)sys(getpriority, 0, 0));
	observe("file_priority", "getpriority", ret_int(WEXITSTATUS(reap(child))), ARGS(), STATE());
	for (int i = 0; i < 3; i++) {
		siginfo_t s = {.si_signo = 40, .si_code = SI_QUEUE};
		s.si_value.sival_int = i;
		must(sys(rt_sigqueueinfo, sys(getpid), 40, &s));
	}
	must(sys(timer_delete, first));
	int values[3] = {9, 9, 9};
	for (int i = 0; i < 3;) {
		must(sys(rt_sigtimedwait, &watched, &info, NULL, 8));
		if (info.si_code == SI_QUEUE)
			values[i++] = info.si_value.sival_int;
	}
	observe("pending_order", "rt_sigtimedwait", ret_int(0), ARGS(), STATE(f_list("values", v_int(values[0]), v_int(values[1]), v_int(values[2]))));
	observe("pdeath_last", "prctl", ret_int(sys(prctl, PR_SET_PDEATHSIG, 64)), ARGS(f_int("signal", 64)), STATE());
	observe("pdeath_beyond", "prctl", ret_int(sys(prctl, PR_SET_PDEATHSIG, 65)), ARGS(f_int("signal", 65)), STATE());
	observe("dumpable_two", "prctl", ret_int(sys(prctl, PR_SET_DUMPABLE, 2)), ARGS(f_int("value", 2)), STATE(f_int("now", sys(prctl, PR_GET_DUMPABLE))));
}
