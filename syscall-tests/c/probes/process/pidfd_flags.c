/* Descriptors of processes: what may be sent with information of its own, who may not be waited for, what is closed at exec. */
#include "probe.h"

static int sleeps(void *unused)
{
	(void)unused;
	for (;;)
		sys(pause);
	return 0;
}

PROBE("process/pidfd_flags", "open", "nonblocking_wait", "blocking_status", "kernel_code", "user_code", "queue_code", "other_number", "own_code", "zero", "no_signal", "bad_flags",
      "two_flags", "not_pidfd", "info_efault", "copy_cloexec", "ended", "after_wait", "open_bad_flag", "open_zero", "open_negative", "open_missing")
{
	long child = spawn(sleeps, NULL);
	await_sleep(child, child);
	long fd = sys(pidfd_open, child, O_NONBLOCK);
	observe("open", "pidfd_open", ret_fd(fd), ARGS(f_hex("flags", O_NONBLOCK)), STATE(f_hex("cloexec", (uint64_t)fd_flags(fd)), f_hex("status", (uint64_t)status_flags(fd))));
	siginfo_t got = {0};
	observe("nonblocking_wait", "waitid", ret_int(sys(waitid, P_PIDFD, fd, &got, WEXITED, NULL)), ARGS(), STATE());
	long plain = must(sys(pidfd_open, child, 0));
	observe("blocking_status", "pidfd_open", ret_hex(status_flags(plain)), ARGS(f_hex("flags", 0)), STATE(f_int("no_hang", sys(waitid, P_PIDFD, plain, &got, WEXITED | WNOHANG, NULL))));
	siginfo_t info = {.si_signo = SIGURG, .si_code = SI_KERNEL};
	observe("kernel_code", "pidfd_send_signal", ret_int(sys(pidfd_send_signal, fd, SIGURG, &info, 0)), ARGS(f_int("code", SI_KERNEL)), STATE());
	info.si_code = SI_USER;
	observe("user_code", "pidfd_send_signal", ret_int(sys(pidfd_send_signal, fd, SIGURG, &info, 0)), ARGS(f_int("code", SI_USER)), STATE());
	info.si_code = SI_QUEUE;
	observe("queue_code", "pidfd_send_signal", ret_int(sys(pidfd_send_signal, fd, SIGURG, &info, 0)), ARGS(f_int("code", SI_QUEUE)), STATE());
	observe("other_number", "pidfd_send_signal", ret_int(sys(pidfd_send_signal, fd, SIGWINCH, &info, 0)), ARGS(f_int("sig", SIGWINCH), f_int("signo", SIGURG)), STATE());
	long self = must(sys(pidfd_open, sys(getpid), 0));
	mask_signals(SIG_BLOCK, SIGBIT(SIGUSR1));
	info = (siginfo_t){.si_signo = SIGUSR1, .si_code = SI_KERNEL};
	long r = sys(pidfd_send_signal, self, SIGUSR1, &info, 0);
	uint64_t set = SIGBIT(SIGUSR1);
	struct timespec now = {0, 0};
	long taken = sys(rt_sigtimedwait, &set, &got, &now, 8);
	observe("own_code", "pidfd_send_signal", ret_int(r), ARGS(f_int("code", SI_KERNEL)), STATE(f_int("taken", taken), f_int("code", got.si_code)));
	observe("zero", "pidfd_send_signal", ret_int(sys(pidfd_send_signal, fd, 0, NULL, 0)), ARGS(f_int("sig", 0)), STATE());
	observe("no_signal", "pidfd_send_signal", ret_int(sys(pidfd_send_signal, fd, 65, NULL, 0)), ARGS(f_int("sig", 65)), STATE());
	observe("bad_flags", "pidfd_send_signal", ret_int(sys(pidfd_send_signal, fd, 0, NULL, 8)), ARGS(f_hex("flags", 8)), STATE());
	observe("two_flags", "pidfd_send_signal", ret_int(sys(pidfd_send_signal, fd, 0, NULL, 3)), ARGS(f_hex("flags", 3)), STATE());
	long event = must(sys(eventfd2, 0, 0));
	observe("not_pidfd", "pidfd_send_signal", ret_int(sys(pidfd_send_signal, event, 0, NULL, 0)), ARGS(), STATE());
	observe("info_efault", "pidfd_send_signal", ret_int(sys(pidfd_send_signal, fd, SIGURG, 8, 0)), ARGS(), STATE());
	long copy = sys(pidfd_getfd, self, event, 0);
	observe("copy_cloexec", "pidfd_getfd", ret_fd(copy), ARGS(), STATE(f_hex("original", (uint64_t)fd_flags(event)), f_hex("copy", (uint64_t)fd_flags(copy))));
	must(sys(pidfd_send_signal, fd, SIGKILL, NULL, 0));
	struct pollfd p = {(int)fd, POLLIN | POLLOUT | POLLRDNORM, 0};
	r = sys(poll, &p, 1, 5000);
	observe("ended", "poll", ret_int(r), ARGS(), STATE(f_hex("in", (uint64_t)p.revents & POLLIN), f_int("send", sys(pidfd_send_signal, fd, 0, NULL, 0)), f_int("waited", sys(waitid, P_PIDFD, fd, &got, WEXITED, NULL)), f_int("status", got.si_status)));
	observe("after_wait", "pidfd_send_signal", ret_int(sys(pidfd_send_signal, fd, 0, NULL, 0)), ARGS(), STATE(f_int("wait", sys(waitid, P_PIDFD, fd, &got, WEXITED, NULL))));
	observe("open_bad_flag", "pidfd_open", ret_fd(sys(pidfd_open, sys(getpid), O_CLOEXEC)), ARGS(f_hex("flags", O_CLOEXEC)), STATE());
	observe("open_zero", "pidfd_open", ret_fd(sys(pidfd_open, 0, 0)), ARGS(f_int("pid", 0)), STATE());
	observe("open_negative", "pidfd_open", ret_fd(sys(pidfd_open, -1, 0)), ARGS(f_int("pid", -1)), STATE());
	observe("open_missing", "pidfd_open", ret_fd(sys(pidfd_open, child, 0)), ARGS(), STATE());
}
