/* Which bytes each call writes that fills a structure, and that it writes none where it fails. */
#include "probe.h"
#include "notes.h"
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <sys/vfs.h>

static void *const bad = (void *)8;

static void files(void)
{
	put_file("f", "0123456789", 10);
	must(sys(symlink, "target", "l"));
	long fd = must(sys(openat, AT_FDCWD, "f", O_RDWR)), path = must(sys(openat, AT_FDCWD, "f", O_PATH));
	EXTENT("stat", 256, sys(stat, "f", out_));
	EXTENT("lstat", 256, sys(lstat, "l", out_));
	EXTENT("fstat", 256, sys(fstat, fd, out_));
	EXTENT("fstat_path", 256, sys(fstat, path, out_));
	EXTENT("fstatat", 256, sys(newfstatat, AT_FDCWD, "l", out_, AT_SYMLINK_NOFOLLOW));
	EXTENT("fstatat_empty", 256, sys(newfstatat, fd, "", out_, AT_EMPTY_PATH));
	EXTENT("statx_none", 320, sys(statx, AT_FDCWD, "f", 0, 0, out_));
	EXTENT("statx_all", 320, sys(statx, AT_FDCWD, "f", 0, 0xfff, out_));
	EXTENT("statx_empty", 320, sys(statx, fd, "", AT_EMPTY_PATH, 0x7ff, out_));
	EXTENT("statfs", 192, sys(statfs, ".", out_));
	EXTENT("fstatfs", 192, sys(fstatfs, fd, out_));
	EXTENT("fstatfs_path", 192, sys(fstatfs, path, out_));
	EXTENT("readlink", 64, sys(readlink, "l", out_, 64));
	EXTENT("readlink_cut", 64, sys(readlink, "l", out_, 3));
	EXTENT("readlinkat", 64, sys(readlinkat, AT_FDCWD, "l", out_, 6));
	EXTENT("readlink_no", 64, sys(readlink, "f", out_, 64));
	EXTENT("read", 64, sys(pread64, fd, out_, 64, 0));
	EXTENT("read_end", 64, sys(pread64, fd, out_, 64, 10));
	EXTENT("read_cut", 64, sys(pread64, fd, out_, 4, 8));
	struct iovec iov[3] = {{out_, 3}, {out_ + 20, 0}, {out_ + 30, 30}};
	EXTENT("preadv", 64, sys(preadv, fd, iov, 3, 0, 0));
	EXTENT("preadv2", 64, sys(preadv2, fd, iov, 3, 8, 0, 0));
	EXTENT("preadv_negative", 64, sys(preadv, fd, iov, 3, -1, -1));
	EXTENT("getcwd", 64, sys(getcwd, out_, 2));
	EXTENT("getcwd_bad", 64, (must(sys(chdir, "/tmp")), sys(getcwd, out_, 4)));
	EXTENT("getcwd_fit", 64, sys(getcwd, out_, 5));
	EXTENT("getcwd_long", 64, sys(getcwd, out_, 64));
	EXTENT("stat_none", 256, sys(stat, "none", out_));
	EXTENT("statfs_none", 256, sys(statfs, "none", out_));
	EXTENT("fstat_closed", 256, sys(fstat, 99, out_));
	EXTENT("statx_flags", 320, sys(statx, fd, "", 0x4000 | 0x2000 | AT_EMPTY_PATH, 0x7ff, out_));
	EXTENT("statx_reserved", 320, sys(statx, fd, "", AT_EMPTY_PATH, 0x80000000, out_));
	EXTENT("fstatfs_pipe", 192, sys(fstatfs, 99, out_));
	EXTENT("getxattr_size", 64, sys(fgetxattr, fd, "user.none", out_, 64));
	must(sys(fsetxattr, fd, "user.a", "value", 5, 0));
	EXTENT("getxattr", 64, sys(fgetxattr, fd, "user.a", out_, 64));
	EXTENT("getxattr_short", 64, sys(fgetxattr, fd, "user.a", out_, 4));
	EXTENT("getxattr_ask", 64, sys(fgetxattr, fd, "user.a", out_, 0));
	EXTENT("listxattr", 64, sys(flistxattr, fd, out_, 64));
	EXTENT("listxattr_short", 64, sys(flistxattr, fd, out_, 6));
	EXTENT("listxattr_ask", 64, sys(flistxattr, fd, out_, 0));
	EXTENT("fionread", 16, sys(ioctl, fd, 0x541b, out_));
	EXTENT("getlk", 64, (*(struct flock *)out_ = (struct flock){.l_type = F_WRLCK, .l_start = 5, .l_len = 2}, memset(out_ + 24, out_[60], 8), sys(fcntl, fd, F_GETLK, out_)));
	EXTENT("getown_ex", 16, sys(fcntl, fd, F_GETOWN_EX, out_));
	must(sys(close, fd));
	must(sys(close, path));
}

static void process(void)
{
	EXTENT("uname", 512, sys(uname, out_));
	EXTENT("sysinfo", 192, sys(sysinfo, out_));
	EXTENT("times", 64, sys(times, out_));
	EXTENT("rusage", 192, sys(getrusage, RUSAGE_SELF, out_));
	EXTENT("rusage_children", 192, sys(getrusage, RUSAGE_CHILDREN, out_));
	EXTENT("rusage_thread", 192, sys(getrusage, RUSAGE_THREAD, out_));
	EXTENT("rusage_bad", 192, sys(getrusage, 2, out_));
	EXTENT("getrlimit", 64, sys(getrlimit, RLIMIT_CORE, out_));
	EXTENT("getrlimit_bad", 64, sys(getrlimit, 16, out_));
	EXTENT("prlimit_old", 64, sys(prlimit64, 0, RLIMIT_CORE, NULL, out_));
	EXTENT("prlimit_bad", 64, sys(prlimit64, 0, 16, NULL, out_));
	struct rlimit crossed = {2, 1};
	EXTENT("prlimit_crossed", 64, sys(prlimit64, 0, RLIMIT_CORE, &crossed, out_));
	EXTENT("prlimit_gone", 64, sys(prlimit64, 0x3fffffff, RLIMIT_CORE, NULL, out_));
	EXTENT("getgroups", 64, sys(getgroups, 0, out_));
	gid_t groups[3] = {5, 6, 7};
	must(sys(setgroups, 3, groups));
	EXTENT("getgroups_few", 64, sys(getgroups, 2, out_));
	EXTENT("getgroups_fit", 64, sys(getgroups, 3, out_));
	EXTENT("getgroups_more", 64, sys(getgroups, 10, out_));
	EXTENT("getgroups_negative", 64, sys(getgroups, -1, out_));
	EXTENT("getresuid", 64, sys(getresuid, out_, out_ + 8, out_ + 16));
	EXTENT("getresgid", 64, sys(getresgid, out_, out_ + 8, out_ + 16));
	EXTENT("getresuid_bad1", 64, sys(getresuid, bad, out_ + 8, out_ + 16));
	EXTENT("getresuid_bad2", 64, sys(getresuid, out_, bad, out_ + 16));
	EXTENT("getresuid_bad3", 64, sys(getresuid, out_, out_ + 8, bad));
	EXTENT("getresgid_bad3", 64, sys(getresgid, out_, out_ + 8, bad));
	EXTENT("getcpu", 64, sys(getcpu, out_, out_ + 8, NULL));
	EXTENT("getcpu_node", 64, sys(getcpu, NULL, out_ + 8, NULL));
	EXTENT("getcpu_cache", 64, sys(getcpu, out_, NULL, out_ + 16));
	EXTENT("robust", 64, sys(get_robust_list, 0, out_, out_ + 16));
	EXTENT("robust_gone", 64, sys(get_robust_list, 0x3fffffff, out_, out_ + 16));
	EXTENT("robust_bad", 64, sys(get_robust_list, 0, out_, bad));
	EXTENT("sched_getparam", 64, sys(sched_getparam, 0, out_));
	EXTENT("sched_getparam_gone", 64, sys(sched_getparam, 0x3fffffff, out_));
	EXTENT("affinity_4", 64, sys(sched_getaffinity, 0, 4, out_));
	EXTENT("affinity_8", 64, sys(sched_getaffinity, 0, 8, out_));
	EXTENT("affinity_12", 64, sys(sched_getaffinity, 0, 12, out_));
	EXTENT("affinity_gone", 64, sys(sched_getaffinity, 0x3fffffff, 8, out_));
	EXTENT("rr_interval", 64, sys(sched_rr_get_interval, 0, out_));
	EXTENT("rr_interval_gone", 64, sys(sched_rr_get_interval, 0x3fffffff, out_));
	EXTENT("prctl_name", 64, sys(prctl, PR_GET_NAME, out_, 0, 0, 0));
	EXTENT("prctl_pdeathsig", 64, sys(prctl, PR_GET_PDEATHSIG, out_, 0, 0, 0));
	EXTENT("prctl_subreaper", 64, sys(prctl, PR_GET_CHILD_SUBREAPER, out_, 0, 0, 0));
	EXTENT("arch_prctl", 64, sys(arch_prctl, 0x1003, out_));
	uint32_t v1[2] = {0x19980330, 0}, v2[2] = {0x20071026, 0}, v3[2] = {0x20080522, 0}, none[2] = {1, 0};
	EXTENT("capget_1", 64, (none[0] = 1, sys(capget, v1, out_)));
	EXTENT("capget_2", 64, sys(capget, v2, out_));
	EXTENT("capget_3", 64, sys(capget, v3, out_));
	EXTENT("capget_unknown", 64, (none[0] = 1, sys(capget, none, out_)));
	EXTENT("capget_header", 64, (*(uint64_t *)out_ = 1, *(uint32_t *)(out_ + 4) = 0, sys(capget, out_, NULL)));
	v3[1] = 0x3fffffff;
	EXTENT("capget_gone", 64, sys(capget, v3, out_));
	EXTENT("getrandom", 64, sys(getrandom, out_, 0, 0));
	EXTENT("getrandom_flags", 64, sys(getrandom, out_, 16, 8));
	EXTENT("syslog_size", 64, sys(syslog, 10, out_, 64) < 0 ? -EIO : 0);
	void *anonymous = pages(3, false);
	EXTENT("mincore", 64, sys(mincore, anonymous, 3 * 4096, out_));
	EXTENT("mincore_part", 64, sys(mincore, anonymous, 4097, out_));
	EXTENT("mincore_none", 64, sys(mincore, anonymous, 0, out_));
	EXTENT("mincore_odd", 64, sys(mincore, (char *)anonymous + 1, 4096, out_));
	must(sys(munmap, (char *)anonymous + 8192, 4096));
	EXTENT("mincore_hole", 64, sys(mincore, (char *)anonymous + 8192, 4096, out_));
}

static void signals_and_times(void)
{
	uint64_t set = SIGBIT(SIGUSR1);
	EXTENT("sigprocmask", 64, sys(rt_sigprocmask, SIG_BLOCK, NULL, out_, 8));
	EXTENT("sigprocmask_how", 64, sys(rt_sigprocmask, 5, &set, out_, 8));
	EXTENT("sigprocmask_size", 64, sys(rt_sigprocmask, SIG_BLOCK, NULL, out_, 4));
	EXTENT("sigpending_8", 64, sys(rt_sigpending, out_, 8));
	EXTENT("sigpending_4", 64, sys(rt_sigpending, out_, 4));
	EXTENT("sigpending_0", 64, sys(rt_sigpending, out_, 0));
	EXTENT("sigpending_9", 64, sys(rt_sigpending, out_, 9));
	EXTENT("sigaction", 64, sys(rt_sigaction, SIGUSR1, NULL, out_, 8));
	EXTENT("sigaction_65", 64, sys(rt_sigaction, 65, NULL, out_, 8));
	struct ksigaction ignore = {(void *)SIG_IGN, 0, NULL, 0};
	EXTENT("sigaction_kill", 64, sys(rt_sigaction, SIGKILL, &ignore, out_, 8));
	EXTENT("sigaction_kill_old", 64, sys(rt_sigaction, SIGKILL, NULL, out_, 8));
	EXTENT("sigaction_size", 64, sys(rt_sigaction, SIGUSR1, NULL, out_, 4));
	EXTENT("sigaction_bad", 64, sys(rt_sigaction, SIGUSR1, bad, out_, 8));
	EXTENT("sigaltstack", 64, sys(sigaltstack, NULL, out_));
	stack_t small = {.ss_sp = out_, .ss_size = 10}, flags = {.ss_flags = 77};
	EXTENT("sigaltstack_small", 64, sys(sigaltstack, &small, out_));
	EXTENT("sigaltstack_flags", 64, sys(sigaltstack, &flags, out_));
	mask_signals(SIG_BLOCK, set);
	struct timespec none = {0, 0};
	EXTENT("timedwait_none", 192, sys(rt_sigtimedwait, &set, out_, &none, 8));
	EXTENT("timedwait", 192, (must(sys(kill, sys(getpid), SIGUSR1)), sys(rt_sigtimedwait, &set, out_, &none, 8)));
	EXTENT("timedwait_tkill", 192, (must(sys(tkill, sys(gettid), SIGUSR1)), sys(rt_sigtimedwait, &set, out_, &none, 8)));
	siginfo_t info = {.si_code = SI_QUEUE};
	EXTENT("timedwait_queue", 192, (must(sys(rt_sigqueueinfo, sys(getpid), SIGUSR1, &info)), sys(rt_sigtimedwait, &set, out_, &none, 8)));
	long fd = must(sys(signalfd4, -1, &set, 8, O_NONBLOCK));
	EXTENT("signalfd", 300, (must(sys(kill, sys(getpid), SIGUSR1)), sys(read, fd, out_, 300)));
	EXTENT("signalfd_short", 300, (must(sys(kill, sys(getpid), SIGUSR1)), sys(read, fd, out_, 127)));
	EXTENT("signalfd_exact", 300, sys(read, fd, out_, 128));
	struct timespec past = {0, 1};
	EXTENT("clock_gettime", 64, sys(clock_gettime, CLOCK_MONOTONIC, out_));
	EXTENT("clock_gettime_bad", 64, sys(clock_gettime, 99, out_));
	EXTENT("clock_getres", 64, sys(clock_getres, CLOCK_REALTIME, out_));
	EXTENT("clock_getres_bad", 64, sys(clock_getres, 99, out_));
	EXTENT("gettimeofday", 64, sys(gettimeofday, out_, out_ + 32));
	EXTENT("gettimeofday_zone", 64, sys(gettimeofday, NULL, out_ + 32));
	EXTENT("time", 64, sys(time, out_) > 0 ? 0 : -EIO);
	EXTENT("nanosleep", 64, sys(nanosleep, &past, out_));
	past.tv_nsec = 1000000000;
	EXTENT("nanosleep_bad", 64, sys(nanosleep, &past, out_));
	EXTENT("clock_nanosleep_bad", 64, sys(clock_nanosleep, CLOCK_MONOTONIC, 0, &past, out_));
	EXTENT("getitimer", 64, sys(getitimer, ITIMER_REAL, out_));
	EXTENT("getitimer_bad", 64, sys(getitimer, 3, out_));
	struct itimerval odd = {{0, 0}, {0, 1000000}}, plain = {{0, 0}, {0, 0}};
	EXTENT("setitimer", 64, sys(setitimer, ITIMER_REAL, &plain, out_));
	EXTENT("setitimer_odd", 64, sys(setitimer, ITIMER_REAL, &odd, out_));
	EXTENT("setitimer_null", 64, sys(setitimer, ITIMER_REAL, NULL, out_));
	int id = -1;
	EXTENT("timer_create", 64, sys(timer_create, CLOCK_MONOTONIC, NULL, out_));
	EXTENT("timer_create_bad", 64, sys(timer_create, 99, NULL, out_));
	must(sys(timer_create, CLOCK_MONOTONIC, NULL, &id));
	struct itimerspec spec = {{0, 0}, {0, 0}}, wrong = {{0, 0}, {0, -1}};
	EXTENT("timer_gettime", 64, sys(timer_gettime, id, out_));
	EXTENT("timer_gettime_bad", 64, sys(timer_gettime, 1234, out_));
	EXTENT("timer_settime", 64, sys(timer_settime, id, 0, &spec, out_));
	EXTENT("timer_settime_bad", 64, sys(timer_settime, id, 0, &wrong, out_));
	long t = must(sys(timerfd_create, CLOCK_MONOTONIC, O_NONBLOCK));
	EXTENT("timerfd_gettime", 64, sys(timerfd_gettime, t, out_));
	EXTENT("timerfd_settime", 64, sys(timerfd_settime, t, 0, &spec, out_));
	EXTENT("timerfd_settime_bad", 64, sys(timerfd_settime, t, 0, &wrong, out_));
	EXTENT("timerfd_flags", 64, sys(timerfd_settime, t, 8, &spec, out_));
	EXTENT("timerfd_read", 64, sys(read, t, out_, 8));
	EXTENT("timerfd_closed", 64, sys(timerfd_gettime, 99, out_));
	long e = must(sys(eventfd2, 3, O_NONBLOCK));
	EXTENT("eventfd_short", 64, sys(read, e, out_, 7));
	EXTENT("eventfd", 64, (sys(write, e, &(uint64_t){2}, 8), sys(read, e, out_, 20)));
	EXTENT("eventfd_empty", 64, sys(read, e, out_, 8));
}

static void descriptors(void)
{
	int p[2], s[2];
	EXTENT("pipe", 64, sys(pipe, out_));
	EXTENT("pipe2_flags", 64, sys(pipe2, out_, 1));
	EXTENT("socketpair", 64, sys(socketpair, AF_UNIX, SOCK_STREAM, 0, out_));
	EXTENT("socketpair_type", 64, sys(socketpair, AF_UNIX, 99, 0, out_));
	make_pipe(p, O_NONBLOCK);
	must(sys(socketpair, AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, s));
	EXTENT("pipe_empty", 64, sys(read, p[0], out_, 64));
	EXTENT("pipe_read", 64, (must(sys(write, p[1], "abc", 3)), sys(read, p[0], out_, 64)));
	EXTENT("fionread_pipe", 64, sys(ioctl, p[0], 0x541b, out_));
	EXTENT("poll", 64, (memcpy(out_, &(struct pollfd){p[1], POLLOUT, 0x5a5a}, 8), sys(poll, out_, 1, 0)));
	EXTENT("epoll_none", 64, sys(epoll_wait, must(sys(epoll_create1, 0)), out_, 2, 0));
	long ep = must(sys(epoll_create1, 0));
	struct epoll_event event = {EPOLLOUT, {.u64 = 0x1122334455667788}};
	must(sys(epoll_ctl, ep, EPOLL_CTL_ADD, p[1], &event));
	EXTENT("epoll", 64, sys(epoll_wait, ep, out_, 3, 0));
	EXTENT("epoll_zero", 64, sys(epoll_wait, ep, out_, 0, 0));
	note_bytes("epoll_data", out_, 0);
	must(sys(epoll_wait, ep, out_, 1, 0));
	note_bytes("epoll_data", out_, 12);
	EXTENT("recv", 64, (must(sys(write, s[1], "message", 7)), sys(recvfrom, s[0], out_, 4, 0, NULL, NULL)));
	EXTENT("recv_trunc", 64, (must(sys(write, s[1], "message", 7)), sys(recvfrom, s[0], out_, 4, MSG_TRUNC, NULL, NULL)));
	EXTENT("recv_none", 64, sys(recvfrom, s[0], out_, 4, 0, NULL, NULL));
	int length;
	EXTENT("recvfrom_name", 64, (must(sys(write, s[1], "m", 1)), length = 32, sys(recvfrom, s[0], &length, 0, 0, out_, &length)));
	EXTENT("getsockname", 64, (length = 32, sys(getsockname, s[0], out_, &length)));
	EXTENT("getsockname_1", 64, (length = 1, sys(getsockname, s[0], out_, &length)));
	EXTENT("getsockname_0", 64, (length = 0, sys(getsockname, s[0], out_, &length)));
	EXTENT("getsockname_negative", 64, (length = -1, sys(getsockname, s[0], out_, &length)));
	EXTENT("getpeername", 64, (length = 32, sys(getpeername, s[0], out_, &length)));
	EXTENT("sockopt_type", 64, (length = 32, sys(getsockopt, s[0], SOL_SOCKET, SO_TYPE, out_, &length)));
	EXTENT("sockopt_type_2", 64, (length = 2, sys(getsockopt, s[0], SOL_SOCKET, SO_TYPE, out_, &length)));
	EXTENT("sockopt_type_0", 64, (length = 0, sys(getsockopt, s[0], SOL_SOCKET, SO_TYPE, out_, &length)));
	EXTENT("sockopt_type_negative", 64, (length = -1, sys(getsockopt, s[0], SOL_SOCKET, SO_TYPE, out_, &length)));
	EXTENT("sockopt_peercred", 64, (length = 32, sys(getsockopt, s[0], SOL_SOCKET, SO_PEERCRED, out_, &length)));
	EXTENT("sockopt_peercred_5", 64, (length = 5, sys(getsockopt, s[0], SOL_SOCKET, SO_PEERCRED, out_, &length)));
	EXTENT("sockopt_linger", 64, (length = 32, sys(getsockopt, s[0], SOL_SOCKET, SO_LINGER, out_, &length)));
	EXTENT("sockopt_timeout", 64, (length = 32, sys(getsockopt, s[0], SOL_SOCKET, SO_RCVTIMEO, out_, &length)));
	EXTENT("sockopt_timeout_8", 64, (length = 8, sys(getsockopt, s[0], SOL_SOCKET, SO_RCVTIMEO, out_, &length)));
	EXTENT("sockopt_unknown", 64, (length = 32, sys(getsockopt, s[0], SOL_SOCKET, 9999, out_, &length)));
	EXTENT("sockopt_level", 64, (length = 32, sys(getsockopt, s[0], 77, 1, out_, &length)));
}

static void waits(void)
{
	int status;
	EXTENT("wait4_none", 192, sys(wait4, -1, out_, WNOHANG, out_ + 16));
	EXTENT("waitid_none", 192, sys(waitid, P_ALL, 0, out_, WEXITED | WNOHANG, NULL));
	long child = must(sys(fork));
	if (!child)
		for (;;)
			sys(pause);
	EXTENT("wait4_running", 192, sys(wait4, -1, out_, WNOHANG, out_ + 16));
	EXTENT("waitid_running", 192, sys(waitid, P_ALL, 0, out_, WEXITED | WNOHANG, out_ + 128));
	EXTENT("waitid_options", 192, sys(waitid, P_ALL, 0, out_, WNOHANG, out_ + 128));
	must(sys(kill, child, SIGKILL));
	EXTENT("waitid_nowait", 292, sys(waitid, P_PID, child, out_, WEXITED | WNOWAIT, out_ + 128));
	EXTENT("waitid_usage", 292, sys(waitid, P_PID, child, NULL, WEXITED | WNOWAIT, out_ + 128));
	EXTENT("wait4_bad_options", 192, sys(wait4, child, out_, 0x10, out_ + 16));
	memset(out_, 0xa5, 256);
	must(sys(wait4, child, out_, 0, out_ + 16));
	memcpy(out_first_, out_, 256);
	memset(out_ + 4, 0x5a, 12);
	memset(out_ + 160, 0x5a, 96);
	note_extent("wait4", 0, 12);
	note_extent("wait4_usage", 0, 0);
	status = *(int *)out_;
	note("status:%x", (unsigned)status);
}

PROBE("outs/extents", "files", "process", "signals_and_times", "descriptors", "waits")
{
	files();
	observe_notes("files", "fstat");
	process();
	observe_notes("process", "getrusage");
	signals_and_times();
	observe_notes("signals_and_times", "rt_sigtimedwait");
	descriptors();
	observe_notes("descriptors", "getsockopt");
	waits();
	observe_notes("waits", "waitid");
}
