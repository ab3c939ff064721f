/* What the records of a signalfd hold, how many a read gives, and whom a new set of signals wakes. */
#include "probe.h"
#include <sys/signalfd.h>

static struct signalfd_siginfo info[5];
static long fd, result;

static int polls(void *unused)
{
	(void)unused;
	struct pollfd p = {(int)fd, POLLIN, 0};
	result = sys(poll, &p, 1, -1);
	return 0;
}

static int reads(void *unused)
{
	(void)unused;
	result = sys(read, fd, info, sizeof info);
	return 0;
}

static int ends(void *unused)
{
	(void)unused;
	return 7;
}

PROBE("signal/signalfd_records", "several", "queued_value", "thread_signal", "room_for_one", "short", "child", "killed_child", "set_widened", "reader_woken", "unblockable", "changed_flags", "bad_flags", "readiness")
{
	const int rt = 40;
	uint64_t set = SIGBIT(SIGUSR1) | SIGBIT(SIGUSR2) | SIGBIT(rt) | SIGBIT(SIGCHLD);
	mask_signals(SIG_BLOCK, set | SIGBIT(SIGHUP));
	fd = must(sys(signalfd4, -1, &set, 8, SFD_NONBLOCK));
	long self = sys(getpid);
	must(sys(kill, self, SIGUSR1));
	siginfo_t queue = {.si_code = SI_QUEUE, .si_pid = 1234, .si_uid = 77};
	queue.si_value.sival_ptr = (void *)0x1122334455667788;
	must(sys(rt_sigqueueinfo, self, rt, &queue));
	queue.si_value.sival_int = 9;
	must(sys(rt_sigqueueinfo, self, rt, &queue));
	must(sys(tgkill, self, sys(gettid), SIGUSR2));
	must(sys(kill, self, SIGUSR1));
	long r = sys(read, fd, info, sizeof info);
	observe("several", "read", ret_int(r), ARGS(f_uint("count", sizeof info)),
		STATE(f_list("signals", v_uint(info[0].ssi_signo), v_uint(info[1].ssi_signo), v_uint(info[2].ssi_signo), v_uint(info[3].ssi_signo)),
		      f_list("codes", v_int(info[0].ssi_code), v_int(info[1].ssi_code), v_int(info[2].ssi_code), v_int(info[3].ssi_code)), f_hex("pending", pending_signals())));
	observe("queued_value", "read", ret_int(r), ARGS(),
		STATE(f_int("int", info[2].ssi_int), f_hex("ptr", info[2].ssi_ptr), f_int("second", info[3].ssi_int), f_uint("pid", info[2].ssi_pid), f_uint("uid", info[2].ssi_uid)));
	observe("thread_signal", "read", ret_int(r), ARGS(), STATE(f_bool("pid0", info[0].ssi_pid == (uint32_t)self), f_bool("pid1", info[1].ssi_pid == (uint32_t)self), f_int("int", info[0].ssi_int)));
	must(sys(kill, self, SIGUSR1));
	must(sys(kill, self, SIGUSR2));
	r = sys(read, fd, info, 255);
	observe("room_for_one", "read", ret_int(r), ARGS(f_uint("count", 255)), STATE(f_uint("signal", info[0].ssi_signo), f_hex("pending", pending_signals())));
	r = sys(read, fd, info, 127);
	observe("short", "read", ret_int(r), ARGS(f_uint("count", 127)), STATE(f_int("rest", sys(read, fd, info, sizeof info)), f_int("empty", sys(read, fd, info, sizeof info))));
	long child = spawn(ends, NULL);
	struct pollfd p = {(int)fd, POLLIN, 0};
	must(sys(poll, &p, 1, 5000));
	r = sys(read, fd, info, sizeof info);
	observe("child", "read", ret_int(r), ARGS(),
		STATE(f_uint("signal", info[0].ssi_signo), f_int("code", info[0].ssi_code), f_int("status", info[0].ssi_status), f_bool("pid", info[0].ssi_pid == (uint32_t)child), f_uint("uid", info[0].ssi_uid)));
	reap(child);
	child = must(sys(fork));
	if (child == 0)
		for (;;)
			sys(pause);
	must(sys(kill, child, SIGKILL));
	must(sys(poll, &p, 1, 5000));
	r = sys(read, fd, info, sizeof info);
	observe("killed_child", "read", ret_int(r), ARGS(), STATE(f_int("code", info[0].ssi_code), f_int("status", info[0].ssi_status)));
	reap(child);
	must(sys(kill, self, SIGHUP));
	struct thread t;
	thread_start(&t, polls, NULL);
	await_sleep(self, t.tid);
	set |= SIGBIT(SIGHUP);
	r = sys(signalfd4, fd, &set, 8, 0);
	thread_join(&t);
	observe("set_widened", "signalfd4", ret_bool(r == fd), ARGS(), STATE(f_int("poll", result), f_int("read", sys(read, fd, info, sizeof info)), f_uint("signal", info[0].ssi_signo)));
	must(sys(fcntl, fd, F_SETFL, 0));
	thread_start(&t, reads, NULL);
	await_sleep(self, t.tid);
	must(sys(kill, self, SIGUSR2));
	thread_join(&t);
	observe("reader_woken", "read", ret_int(result), ARGS(), STATE(f_uint("signal", info[0].ssi_signo)));
	set = SIGBIT(SIGKILL) | SIGBIT(SIGSTOP) | SIGBIT(SIGUSR1);
	r = sys(signalfd4, fd, &set, 8, 0);
	char path[40], text[512] = "";
	snprintf(path, sizeof path, "/proc/self/fdinfo/%ld", fd);
	get_file(path, text, sizeof text - 1);
	char *mask = strstr(text, "sigmask:");
	observe("unblockable", "signalfd4", ret_bool(r == fd), ARGS(f_hex("mask", set)), STATE(f_strn("fdinfo", mask ? mask : "", mask ? strcspn(mask, "\n") : 0)));
	r = sys(signalfd4, fd, &set, 8, SFD_NONBLOCK | SFD_CLOEXEC);
	observe("changed_flags", "signalfd4", ret_bool(r == fd), ARGS(), STATE(f_hex("status", (uint64_t)status_flags(fd)), f_hex("cloexec", (uint64_t)fd_flags(fd))));
	observe("bad_flags", "signalfd4", ret_fd(sys(signalfd4, -1, &set, 8, 1)), ARGS(f_hex("flags", 1)), STATE());
	p.revents = 0;
	r = sys(poll, &p, 1, 0);
	must(sys(kill, self, SIGUSR1));
	long after = sys(poll, &p, 1, 0);
	observe("readiness", "poll", ret_int(r), ARGS(), STATE(f_int("after", after), f_hex("revents", (uint64_t)p.revents)));
}
