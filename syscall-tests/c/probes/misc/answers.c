/* What calls answer at their edges: clocks, mounts, names of programs, threads of others, lengths of addresses and vectors. */
#include "probe.h"
#include <linux/stat.h>
#include <sys/auxv.h>
#include <sys/vfs.h>

static int strangers(long *r)
{
	siginfo_t info = {.si_code = SI_QUEUE};
	long pid = r[20];
	r[0] = sys(tkill, pid, 0);
	r[1] = sys(tkill, pid, SIGUSR1);
	r[2] = sys(tgkill, pid, pid, SIGUSR1);
	r[3] = sys(rt_tgsigqueueinfo, pid, pid, SIGUSR1, &info);
	r[4] = sys(rt_sigqueueinfo, pid, SIGUSR1, &info);
	r[5] = sys(pidfd_send_signal, sys(pidfd_open, pid, 0), SIGUSR1, NULL, 0);
	r[6] = sys(kill, pid, SIGUSR1);
	return 0;
}

static int by_user(void *arg)
{
	long *r = arg;
	must(sys(setpriority, 0, 0, 4));
	must(sys(setresuid, 1001, 1002, 0));
	r[0] = sys(getpriority, 2, 0);
	r[1] = sys(getpriority, 2, 1001);
	r[2] = sys(getpriority, 2, 1002);
	return 0;
}

CHILD("execfn")
{
	(void)argc, (void)envp;
	const char *name = (const char *)getauxval(AT_EXECFN);
	return !strncmp(name, "/dev/fd/", 8) ? strchr(name + 8, '/') ? 2 : 1 : !strcmp(name, argv[0]) ? 3 : 4;
}

static int at_fd(void *arg)
{
	long how = (long)arg;
	char *argv[] = {"/proc/self/exe", "child", "execfn", NULL};
	long fd = must(sys(openat, AT_FDCWD, how ? "/proc/self" : "/proc/self/exe", O_PATH));
	if (how == 2)
		sys(execve, "/proc/self/exe", argv, NULL);
	sys(execveat, fd, how ? "exe" : "", argv, NULL, how ? 0 : AT_EMPTY_PATH);
	return 99;
}

static void clock_of(const char *id, int clock)
{
	struct timespec t = {-1, -1};
	long r = sys(clock_getres, clock, &t);
	observe(id, "clock_getres", ret_int(r), ARGS(f_int("clock", clock)), STATE(f_int("sec", t.tv_sec), f_int("nsec", t.tv_nsec)));
}

static void cpus(const char *id, size_t len)
{
	uint64_t mask[2] = {0};
	long r = sys(sched_getaffinity, 0, len, mask);
	observe(id, "sched_getaffinity", ret_int(r), ARGS(f_uint("len", len)), STATE(f_bool("some", mask[0] != 0)));
}

static void mount_of(const char *id, const char *path)
{
	struct statfs s = {0};
	long r = sys(statfs, path, &s);
	observe(id, "statfs", ret_int(r), ARGS(f_str("path", path)), STATE(f_bool("valid", s.f_flags & 0x20), f_bool("read_only", s.f_flags & 1), f_bool("size", s.f_bsize > 0 && s.f_bsize == s.f_frsize), f_int("name", s.f_namelen)));
}

PROBE("misc/answers", "real", "monotonic", "process", "thread", "raw", "coarse", "boot", "own_process", "no_clock", "cpus_8", "cpus_12", "cpus_4", "cpus_7", "cpus_0", "mount", "mount_proc", "mount_id", "mount_id_same", "mount_id_proc", "mask_none", "tkill_zero", "tkill", "tgkill", "tgsigqueue", "sigqueue", "pidfd_signal", "kill",
      "by_real", "by_real_number", "by_effective", "execfn_empty", "execfn_folder", "execfn_path", "connect_most", "connect_beyond", "bind_most", "bind_beyond", "vector_send", "vector_receive", "vector_several", "vector_most", "listen_connected", "listen_pair", "accept_waiting", "accept_shut", "accept_shut_waits", "connect_shut", "accept_unbound", "listen_again")
{
	static const struct { const char *id; int clock; } clocks[] = {{"real", 0}, {"monotonic", 1}, {"process", 2}, {"thread", 3}, {"raw", 4}, {"coarse", 5}, {"boot", 7}, {"own_process", (int)(~0u << 3 | 2)}, {"no_clock", 16}};
	for (size_t i = 0; i < countof(clocks); i++)
		clock_of(clocks[i].id, clocks[i].clock);
	cpus("cpus_8", 8);
	cpus("cpus_12", 12);
	cpus("cpus_4", 4);
	cpus("cpus_7", 7);
	cpus("cpus_0", 0);
	mount_of("mount", ".");
	mount_of("mount_proc", "/proc");
	put_file("f", "x", 1);
	struct statx a = {0}, b = {0};
	long r = sys(statx, AT_FDCWD, ".", 0, STATX_MNT_ID, &a);
	observe("mount_id", "statx", ret_int(r), ARGS(f_hex("mask", STATX_MNT_ID)), STATE(f_bool("set", a.stx_mnt_id != 0), f_bool("told", a.stx_mask & STATX_MNT_ID)));
	r = sys(statx, AT_FDCWD, "f", 0, STATX_MNT_ID, &b);
	observe("mount_id_same", "statx", ret_int(r), ARGS(f_hex("mask", STATX_MNT_ID)), STATE(f_bool("same", a.stx_mnt_id == b.stx_mnt_id)));
	r = sys(statx, AT_FDCWD, "/proc/self/status", 0, STATX_MNT_ID, &b);
	observe("mount_id_proc", "statx", ret_int(r), ARGS(f_hex("mask", STATX_MNT_ID)), STATE(f_bool("same", a.stx_mnt_id == b.stx_mnt_id)));
	r = sys(statx, AT_FDCWD, "f", 0, 0, &b);
	observe("mask_none", "statx", ret_int(r), ARGS(f_hex("mask", 0)), STATE(f_hex("told", b.stx_mask & 0x7ff), f_bool("mtime", b.stx_mtime.tv_sec != 0), f_bool("ctime", b.stx_ctime.tv_sec != 0), f_bool("atime", b.stx_atime.tv_sec != 0)));
	long *out = pages(1, true);
	out[20] = sys(getpid);
	mask_signals(SIG_BLOCK, SIGBIT(SIGUSR1));
	run_as(1234, 1234, strangers, out);
	static const char *const ids[] = {"tkill_zero", "tkill", "tgkill", "tgsigqueue", "sigqueue", "pidfd_signal", "kill"};
	static const char *const calls[] = {"tkill", "tkill", "tgkill", "rt_tgsigqueueinfo", "rt_sigqueueinfo", "pidfd_send_signal", "kill"};
	for (size_t i = 0; i < countof(ids); i++)
		observe(ids[i], calls[i], ret_int(out[i]), ARGS(), STATE(f_bool("pending", pending_signals() & SIGBIT(SIGUSR1))));
	require(reap(spawn(by_user, out)) == 0);
	observe("by_real", "getpriority", ret_int(out[0]), ARGS(f_int("who", 0)), STATE());
	observe("by_real_number", "getpriority", ret_int(out[1]), ARGS(f_int("who", 1001)), STATE());
	observe("by_effective", "getpriority", ret_int(out[2]), ARGS(f_int("who", 1002)), STATE());
	observe("execfn_empty", "execveat", ret_int(WEXITSTATUS(reap(spawn(at_fd, (void *)0)))), ARGS(f_hex("flags", AT_EMPTY_PATH)), STATE());
	observe("execfn_folder", "execveat", ret_int(WEXITSTATUS(reap(spawn(at_fd, (void *)1)))), ARGS(f_hex("flags", 0)), STATE());
	observe("execfn_path", "execve", ret_int(WEXITSTATUS(reap(spawn(at_fd, (void *)2)))), ARGS(), STATE());
	void *hole = (void *)8;
	long s = must(sys(socket, AF_UNIX, SOCK_STREAM, 0));
	observe("connect_most", "connect", ret_int(sys(connect, s, hole, 128)), ARGS(f_int("length", 128)), STATE());
	observe("connect_beyond", "connect", ret_int(sys(connect, s, hole, 129)), ARGS(f_int("length", 129)), STATE());
	observe("bind_most", "bind", ret_int(sys(bind, s, hole, 128)), ARGS(f_int("length", 128)), STATE());
	observe("bind_beyond", "bind", ret_int(sys(bind, s, hole, 129)), ARGS(f_int("length", 129)), STATE());
	static struct iovec many[1025];
	static char bytes[1025];
	for (size_t i = 0; i < countof(many); i++)
		many[i] = (struct iovec){bytes + i, 1};
	int p[2];
	must(sys(socketpair, AF_UNIX, SOCK_STREAM, 0, p));
	struct mmsghdr h = {.msg_hdr = {.msg_iov = many, .msg_iovlen = 1025}};
	observe("vector_send", "sendmsg", ret_int(sys(sendmsg, p[0], &h, 0)), ARGS(f_int("count", 1025)), STATE());
	observe("vector_receive", "recvmsg", ret_int(sys(recvmsg, p[1], &h, MSG_DONTWAIT)), ARGS(f_int("count", 1025)), STATE());
	observe("vector_several", "sendmmsg", ret_int(sys(sendmmsg, p[0], &h, 1, 0)), ARGS(f_int("count", 1025)), STATE());
	h.msg_hdr.msg_iovlen = 1024;
	observe("vector_most", "sendmsg", ret_int(sys(sendmsg, p[0], &h, 0)), ARGS(f_int("count", 1024)), STATE());
	struct sockaddr_un one = {.sun_family = AF_UNIX, .sun_path = "one"}, two = {.sun_family = AF_UNIX, .sun_path = "two"};
	long listener = must(sys(socket, AF_UNIX, SOCK_STREAM, 0)), client = must(sys(socket, AF_UNIX, SOCK_STREAM, 0));
	must(sys(bind, listener, &one, sizeof one));
	must(sys(listen, listener, 4));
	must(sys(bind, client, &two, sizeof two));
	must(sys(connect, client, &one, sizeof one));
	observe("listen_connected", "listen", ret_int(sys(listen, client, 1)), ARGS(), STATE());
	observe("listen_pair", "listen", ret_int(sys(listen, p[0], 1)), ARGS(), STATE());
	must(sys(fcntl, listener, F_SETFL, O_NONBLOCK));
	must(sys(shutdown, listener, 2));
	observe("accept_waiting", "accept", ret_bool(sys(accept, listener, NULL, NULL) >= 0), ARGS(), STATE());
	observe("accept_shut", "accept", ret_int(sys(accept, listener, NULL, NULL)), ARGS(), STATE());
	must(sys(fcntl, listener, F_SETFL, 0));
	observe("accept_shut_waits", "accept", ret_int(sys(accept, listener, NULL, NULL)), ARGS(), STATE());
	observe("connect_shut", "connect", ret_int(sys(connect, must(sys(socket, AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0)), &one, sizeof one)), ARGS(), STATE());
	observe("accept_unbound", "accept", ret_int(sys(accept, must(sys(socket, AF_UNIX, SOCK_STREAM, 0)), NULL, NULL)), ARGS(), STATE());
	observe("listen_again", "listen", ret_int(sys(listen, listener, 2)), ARGS(), STATE());
}
