/* Owners of descriptions, locks whose holder ends or changes, and what closes them. */
#include "probe.h"
#include <sys/file.h>
#include <sys/ioctl.h>

struct owner { int type, pid; };
#define F_DUPFD_QUERY_ 1027
#define F_OFD_GETLK_ 36
#define F_OFD_SETLK_ 37

static long fd, other;
static struct flock lock(short type, off_t start, off_t len) { return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len}; }

static int tests(void *arg)
{
	struct flock *l = arg;
	return err_of(sys(fcntl, sys(openat, AT_FDCWD, "f", O_RDWR), F_GETLK, l));
}

/* The lock that another process would meet in the range. */
static struct flock met(off_t start, off_t len)
{
	struct flock *l = pages(1, true);
	*l = lock(F_WRLCK, start, len);
	require(reap(spawn(tests, l)) == 0);
	return *l;
}

static void show(const char *id, const char *call, long r, off_t start, off_t len)
{
	struct flock l = met(start, len);
	observe(id, call, ret_int(r), ARGS(f_int("start", start), f_int("len", len)),
		STATE(f_int("type", l.l_type), f_int("from", l.l_start), f_int("count", l.l_len), f_bool("mine", l.l_pid == sys(getpid)), f_int("pid_sign", l.l_pid < 0 ? -1 : l.l_pid > 0)));
}

static int gate[2];
static int holds(void *arg)
{
	(void)arg;
	struct flock l = lock(F_WRLCK, 0, 0);
	must(sys(fcntl, sys(openat, AT_FDCWD, "f", O_RDWR), F_SETLK, &l));
	char c;
	sys(write, gate[1], "l", 1);
	must(sys(close, gate[1]));
	while (sys(read, other, &c, 1) < 0)
		;
	return 0;
}

static long result;
static int waits(void *arg)
{
	(void)arg;
	struct flock l = lock(F_WRLCK, 5, 1);
	result = sys(fcntl, fd, F_SETLKW, &l);
	return 0;
}

static long description;
static int waits_flock(void *arg)
{
	(void)arg;
	result = sys(flock, description, LOCK_EX);
	return 0;
}

CHILD("locked")
{
	(void)argc, (void)argv, (void)envp;
	struct flock *l = pages(1, true);
	*l = lock(F_WRLCK, 0, 0);
	int r = reap(spawn(tests, l));
	return r ? 99 : l->l_type;
}

static int execs(void *arg)
{
	long f = must(sys(openat, AT_FDCWD, "f", O_RDWR | (arg ? O_CLOEXEC : 0)));
	struct flock l = lock(F_WRLCK, 0, 0);
	must(sys(fcntl, f, F_SETLK, &l));
	char *argv[] = {"probes-c", "child", "locked", NULL};
	sys(execve, "/proc/self/exe", argv, NULL);
	return 98;
}

static int thread_idle(void *arg)
{
	char c;
	sys(read, ((int *)arg)[0], &c, 1);
	return 0;
}

PROBE("fcntl/ownership", "setown", "setown_missing", "setown_missing_group", "setown_clear", "setown_ex_process", "setown_ex_thread", "setown_ex_group", "setown_ex_other_thread", "setsig_last", "setsig_beyond", "setsig_negative", "dupfd_query_same",
      "dupfd_query_other", "dupfd_query_closed", "fioclex", "fionclex", "fionread", "fionread_beyond", "fionread_end", "end_free", "end_taken", "one_byte", "kinds_touch", "kinds_first", "same_touch", "ofd", "ofd_own", "flock_shared", "flock_convert", "flock_lost",
      "flock_wakes", "exit_wakes", "close_range", "close_range_cloexec", "exec_kept", "exec_closed", "fork_cloexec", "dup_limit", "dup_below_limit", "dup3_limit")
{
	put_file("f", "0123456789", 10);
	fd = must(sys(openat, AT_FDCWD, "f", O_RDWR));
	int p[2];
	make_pipe(p, 0);
	struct owner o = {9, 9};
	long r = sys(fcntl, fd, F_SETOWN, sys(getpid));
	long got = sys(fcntl, fd, F_GETOWN_EX, &o);
	observe("setown", "fcntl", ret_int(r), ARGS(), STATE(f_int("got", got), f_int("type", o.type), f_bool("pid", o.pid == sys(getpid)), f_bool("owner", sys(fcntl, fd, F_GETOWN) == sys(getpid))));
	observe("setown_missing", "fcntl", ret_int(sys(fcntl, fd, F_SETOWN, 4000000)), ARGS(), STATE(f_bool("owner", sys(fcntl, fd, F_GETOWN) == sys(getpid))));
	observe("setown_missing_group", "fcntl", ret_int(sys(fcntl, fd, F_SETOWN, -4000000)), ARGS(), STATE(f_bool("owner", sys(fcntl, fd, F_GETOWN) == sys(getpid))));
	observe("setown_clear", "fcntl", ret_int(sys(fcntl, fd, F_SETOWN, 0)), ARGS(), STATE(f_int("owner", sys(fcntl, fd, F_GETOWN))));
	static const char *const names[] = {"setown_ex_thread", "setown_ex_process", "setown_ex_group"};
	static const int order[] = {1, 0, 2};
	for (size_t i = 0; i < 3; i++) {
		int type = order[i];
		struct owner want = {type, (int)sys(getpid)};
		if (type == 2)
			want.pid = (int)sys(getpgid, 0);
		o = (struct owner){9, 9};
		r = sys(fcntl, fd, F_SETOWN_EX, &want);
		sys(fcntl, fd, F_GETOWN_EX, &o);
		observe(names[type], "fcntl", ret_int(r), ARGS(f_int("type", type)), STATE(f_int("type", o.type), f_bool("pid", o.pid == want.pid), f_bool("owner", sys(fcntl, fd, F_GETOWN) == (type == 2 ? -want.pid : want.pid))));
	}
	struct thread t;
	thread_start(&t, thread_idle, p);
	struct owner want = {0, (int)t.tid};
	r = sys(fcntl, fd, F_SETOWN_EX, &want);
	sys(fcntl, fd, F_GETOWN_EX, &o);
	observe("setown_ex_other_thread", "fcntl", ret_int(r), ARGS(), STATE(f_int("type", o.type), f_bool("pid", o.pid == t.tid)));
	must(sys(write, p[1], "x", 1));
	thread_join(&t);
	observe("setsig_last", "fcntl", ret_int(sys(fcntl, fd, F_SETSIG, 64)), ARGS(), STATE(f_int("signal", sys(fcntl, fd, F_GETSIG))));
	observe("setsig_beyond", "fcntl", ret_int(sys(fcntl, fd, F_SETSIG, 65)), ARGS(), STATE(f_int("signal", sys(fcntl, fd, F_GETSIG))));
	observe("setsig_negative", "fcntl", ret_int(sys(fcntl, fd, F_SETSIG, -1)), ARGS(), STATE(f_int("signal", sys(fcntl, fd, F_GETSIG))));
	other = must(sys(openat, AT_FDCWD, "f", O_RDWR));
	long copy = must(sys(dup, fd));
	observe("dupfd_query_same", "fcntl", ret_int(sys(fcntl, fd, F_DUPFD_QUERY_, copy)), ARGS(), STATE());
	observe("dupfd_query_other", "fcntl", ret_int(sys(fcntl, fd, F_DUPFD_QUERY_, other)), ARGS(), STATE());
	observe("dupfd_query_closed", "fcntl", ret_int(sys(fcntl, fd, F_DUPFD_QUERY_, 77)), ARGS(), STATE());
	observe("fioclex", "ioctl", ret_int(sys(ioctl, fd, FIOCLEX, 0)), ARGS(), STATE(f_int("flags", fd_flags(fd))));
	observe("fionclex", "ioctl", ret_int(sys(ioctl, fd, FIONCLEX, 0)), ARGS(), STATE(f_int("flags", fd_flags(fd))));
	int left = 99;
	must(sys(lseek, fd, 4, SEEK_SET));
	observe("fionread", "ioctl", ret_int(sys(ioctl, fd, FIONREAD, &left)), ARGS(), STATE(f_int("left", left)));
	must(sys(lseek, fd, 14, SEEK_SET));
	observe("fionread_beyond", "ioctl", ret_int(sys(ioctl, fd, FIONREAD, &left)), ARGS(), STATE(f_int("left", left)));
	must(sys(lseek, fd, 10, SEEK_SET));
	observe("fionread_end", "ioctl", ret_int(sys(ioctl, fd, FIONREAD, &left)), ARGS(), STATE(f_int("left", left)));
	must(sys(lseek, fd, 0, SEEK_SET));
	struct flock l = lock(F_WRLCK, 10, 10);
	r = must(sys(fcntl, fd, F_SETLK, &l));
	show("end_free", "fcntl", r, 20, 1);
	show("end_taken", "fcntl", r, 19, 1);
	l = lock(F_UNLCK, 0, 0);
	must(sys(fcntl, fd, F_SETLK, &l));
	l = lock(F_WRLCK, 7, 1);
	r = sys(fcntl, fd, F_SETLK, &l);
	show("one_byte", "fcntl", r, 0, 0);
	l = lock(F_RDLCK, 8, 4);
	r = sys(fcntl, fd, F_SETLK, &l);
	show("kinds_touch", "fcntl", r, 8, 0);
	show("kinds_first", "fcntl", r, 0, 8);
	l = lock(F_WRLCK, 8, 2);
	r = sys(fcntl, fd, F_SETLK, &l);
	show("same_touch", "fcntl", r, 0, 0);
	l = lock(F_UNLCK, 0, 0);
	must(sys(fcntl, fd, F_SETLK, &l));
	l = lock(F_WRLCK, 3, 4);
	r = sys(fcntl, fd, F_OFD_SETLK_, &l);
	show("ofd", "fcntl", r, 0, 0);
	l = lock(F_WRLCK, 0, 0);
	r = sys(fcntl, other, F_OFD_GETLK_, &l);
	observe("ofd_own", "fcntl", ret_int(r), ARGS(), STATE(f_int("type", l.l_type), f_int("pid", l.l_pid), f_int("start", l.l_start), f_int("count", l.l_len)));
	l = lock(F_UNLCK, 0, 0);
	must(sys(fcntl, fd, F_OFD_SETLK_, &l));
	/* A conversion that has to wait gives the old lock up first. */
	must(sys(flock, fd, LOCK_SH));
	observe("flock_shared", "flock", ret_int(sys(flock, other, LOCK_SH)), ARGS(f_hex("operation", LOCK_SH)), STATE());
	observe("flock_convert", "flock", ret_int(sys(flock, fd, LOCK_EX | LOCK_NB)), ARGS(f_hex("operation", LOCK_EX | LOCK_NB)), STATE());
	observe("flock_lost", "flock", ret_int(sys(flock, other, LOCK_EX | LOCK_NB)), ARGS(f_hex("operation", LOCK_EX | LOCK_NB)), STATE());
	description = fd;
	thread_start(&t, waits_flock, NULL);
	await_sleep(sys(getpid), t.tid);
	must(sys(flock, other, LOCK_UN));
	thread_join(&t);
	observe("flock_wakes", "flock", ret_int(result), ARGS(f_hex("operation", LOCK_EX)), STATE());
	must(sys(flock, fd, LOCK_UN));
	make_pipe(gate, 0);
	long keep = other;
	int end[2];
	make_pipe(end, 0);
	other = end[0];
	long child = spawn(holds, NULL);
	char c;
	must(sys(read, gate[0], &c, 1));
	thread_start(&t, waits, NULL);
	await_sleep(sys(getpid), t.tid);
	must(sys(write, end[1], "x", 1));
	reap(child);
	thread_join(&t);
	other = keep;
	observe("exit_wakes", "fcntl", ret_int(result), ARGS(f_hex("command", F_SETLKW)), STATE());
	l = lock(F_WRLCK, 0, 0);
	must(sys(fcntl, fd, F_SETLK, &l));
	must(sys(dup2, other, 60));
	r = sys(close_range, 60, 60, 0);
	show("close_range", "close_range", r, 0, 0);
	must(sys(fcntl, fd, F_SETLK, &l));
	must(sys(dup2, other, 60));
	r = sys(close_range, 60, 60, 4);
	show("close_range_cloexec", "close_range", r, 0, 0);
	must(sys(close, 60));
	l = lock(F_UNLCK, 0, 0);
	must(sys(fcntl, fd, F_SETLK, &l));
	/* F_WRLCK is 1, F_UNLCK 2. */
	observe("exec_kept", "execve", ret_int(WEXITSTATUS(reap(spawn(execs, NULL)))), ARGS(f_bool("cloexec", false)), STATE());
	observe("exec_closed", "execve", ret_int(WEXITSTATUS(reap(spawn(execs, "")))), ARGS(f_bool("cloexec", true)), STATE());
	must(sys(fcntl, fd, F_SETFD, FD_CLOEXEC));
	long forked = sys(fork);
	if (!forked)
		sys(exit_group, (int)fd_flags(fd));
	observe("fork_cloexec", "fork", ret_int(WEXITSTATUS(reap(forked))), ARGS(), STATE());
	struct rlimit limit = {64, 64};
	must(sys(setrlimit, RLIMIT_NOFILE, &limit));
	observe("dup_limit", "dup2", ret_int(sys(dup2, fd, 64)), ARGS(f_int("new", 64)), STATE());
	observe("dup_below_limit", "dup2", ret_int(sys(dup2, fd, 63)), ARGS(f_int("new", 63)), STATE());
	observe("dup3_limit", "dup3", ret_int(sys(dup3, fd, 64, O_CLOEXEC)), ARGS(f_int("new", 64)), STATE());
}
