/* What is told of a signal from each source: by rt_sigtimedwait, and in the record of a signalfd. */
#include "probe.h"
#include <sys/signalfd.h>

static const char *const sources[] = {"kill", "tgkill", "sigqueue", "timer", "timer_id", "alarm", "child", "killed_child", "stopped_child"};

static int ends(void *arg)
{
	(void)arg;
	return 7;
}
static int waits(void *arg)
{
	(void)arg;
	while (sys(pause))
		;
	return 0;
}

static long child;
/* Has the signal of a source sent; its number. */
static int source(size_t which)
{
	siginfo_t info = {.si_signo = SIGUSR1, .si_code = SI_QUEUE};
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value = {.sival_ptr = (void *)0x1122334455667788}};
	struct itimerspec soon = {.it_value = {0, 1}};
	struct itimerval alarm = {.it_value = {0, 1}};
	int timer;
	switch (which) {
	case 0: must(sys(kill, sys(getpid), SIGUSR1)); return SIGUSR1;
	case 1: must(sys(tgkill, sys(getpid), sys(gettid), SIGUSR1)); return SIGUSR1;
	case 2:
		info.si_pid = 77;
		info.si_uid = 88;
		info.si_value.sival_ptr = (void *)0x123456789abcdef;
		must(sys(rt_sigqueueinfo, sys(getpid), SIGUSR1, &info));
		return SIGUSR1;
	case 3:
	case 4:
		must(sys(timer_create, CLOCK_MONOTONIC, which == 3 ? &event : NULL, &timer));
		must(sys(timer_settime, timer, 0, &soon, NULL));
		return which == 3 ? SIGUSR1 : SIGALRM;
	case 5: must(sys(setitimer, ITIMER_REAL, &alarm, NULL)); return SIGALRM;
	case 6: child = spawn(ends, NULL); return SIGCHLD;
	default:
		child = spawn(waits, NULL);
		await_sleep(child, child);
		must(sys(kill, child, which == 7 ? SIGKILL : SIGSTOP));
		return SIGCHLD;
	}
}

static void clean(uint64_t set)
{
	struct timespec none = {0, 0};
	if (child) {
		sys(kill, child, SIGKILL);
		reap(child);
		child = 0;
	}
	while (sys(rt_sigtimedwait, &set, NULL, &none, 8) > 0)
		;
}

PROBE("signal/record_sources", "kill_info", "kill_record", "tgkill_info", "tgkill_record", "sigqueue_info", "sigqueue_record", "timer_info", "timer_record",
      "timer_id_info", "timer_id_record", "alarm_info", "alarm_record", "child_info", "child_record", "killed_child_info", "killed_child_record",
      "stopped_child_info", "stopped_child_record")
{
	uint64_t set = SIGBIT(SIGUSR1) | SIGBIT(SIGALRM) | SIGBIT(SIGCHLD);
	mask_signals(SIG_BLOCK, set);
	char id[64];
	for (size_t i = 0; i < countof(sources); i++) {
		bool timer = i == 3 || i == 4, born = i > 5;
		siginfo_t info = {.si_signo = 0};
		uint64_t one = SIGBIT(source(i));
		long r = sys(rt_sigtimedwait, &one, &info, NULL, 8);
		snprintf(id, sizeof id, "%s_info", sources[i]);
		observe(id, "rt_sigtimedwait", ret_int(r), ARGS(),
			STATE(f_int("code", info.si_code), f_int("pid", timer || born ? 0 : i < 2 ? info.si_pid == sys(getpid) : info.si_pid), f_int("uid", timer ? 0 : info.si_uid),
			      f_bool("child", born && info.si_pid == child), f_int("status", born ? info.si_status : 0), f_int("overrun", timer ? info.si_overrun : 0),
			      f_hex("value", i == 2 || i == 3 ? (uint64_t)info.si_value.sival_ptr : 0), f_bool("id", i == 4 && info.si_int == info.si_timerid)));
		clean(set);
		struct signalfd_siginfo record = {.ssi_signo = 0};
		one = SIGBIT(source(i));
		long fd = must(sys(signalfd4, -1, &one, 8, 0));
		r = sys(read, fd, &record, sizeof record);
		snprintf(id, sizeof id, "%s_record", sources[i]);
		observe(id, "read", ret_int(r), ARGS(),
			STATE(f_uint("signal", record.ssi_signo), f_int("code", record.ssi_code),
			      f_int("pid", born ? (long)record.ssi_pid == child : i < 2 ? (long)record.ssi_pid == sys(getpid) : (long)record.ssi_pid), f_uint("uid", record.ssi_uid),
			      f_int("status", record.ssi_status), f_uint("overrun", record.ssi_overrun), f_hex("pointer", i == 4 ? 0 : record.ssi_ptr),
			      f_hex("int", i == 4 ? 0 : (uint32_t)record.ssi_int), f_bool("id", i == 4 && (uint32_t)record.ssi_int == record.ssi_tid), f_int("band", record.ssi_band),
			      f_int("fd", record.ssi_fd), f_uint("trap", record.ssi_trapno), f_hex("address", record.ssi_addr)));
		must(sys(close, fd));
		clean(set);
	}
}
