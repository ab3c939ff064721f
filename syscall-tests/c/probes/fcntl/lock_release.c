/* What ends a record lock, and that those who wait for it are woken. */
#include "probe.h"

static long fd, second;
static int kind;
static int waits(void *arg)
{
	(void)arg;
	struct flock l = {.l_type = (short)kind, .l_start = 0, .l_len = 4};
	return (int)-sys(fcntl, fd, F_SETLKW, &l);
}
static int tries(void *arg)
{
	(void)arg;
	struct flock l = {.l_type = F_WRLCK};
	return (int)-sys(fcntl, fd, F_SETLK, &l);
}
static long set(int type, long start, long len)
{
	struct flock l = {.l_type = (short)type, .l_start = start, .l_len = len};
	return sys(fcntl, fd, F_SETLK, &l);
}

#define FREES(id, call, ...)                                                                                          \
	do {                                                                                                          \
		must(set(F_WRLCK, 0, 10));                                                                            \
		long r_ = __VA_ARGS__;                                                                                \
		observe(id, call, ret_int(r_), ARGS(), STATE(f_int("other", reap(spawn(tries, NULL)))));              \
	} while (0)
#define WAKES(id, call, wanted, ...)                                                                                  \
	do {                                                                                                          \
		must(set(F_WRLCK, 0, 10));                                                                            \
		kind = wanted;                                                                                        \
		long pid_ = spawn(waits, NULL);                                                                       \
		await_sleep(pid_, pid_);                                                                              \
		long r_ = __VA_ARGS__;                                                                                \
		observe(id, call, ret_int(r_), ARGS(), STATE(f_int("waiter", reap(pid_))));                           \
	} while (0)

static int holds(void *arg)
{
	must(set(F_WRLCK, 0, 10));
	char c;
	sys(read, ((int *)arg)[0], &c, 1);
	return 0;
}
static int keeps(void *arg)
{
	(void)arg;
	/* A forked child has none of the parent's locks; what it closes does not matter to them. */
	sys(close, fd);
	return 0;
}

PROBE("fcntl/lock_release", "unlock", "close_other", "close_dup", "dup2_over", "dup2_same", "dup3_over", "close_range", "close_path", "child_closes", "wake_unlock", "wake_part", "wake_downgrade", "wake_close", "wake_exit",
      "close_itself")
{
	put_file("f", "0123456789", 10);
	int p[2];
	make_pipe(p, 0);
	fd = must(sys(openat, AT_FDCWD, "f", O_RDWR));
	FREES("unlock", "fcntl", set(F_UNLCK, 0, 0));
	second = must(sys(openat, AT_FDCWD, "f", O_RDONLY));
	FREES("close_other", "close", sys(close, second));
	second = must(sys(dup, fd));
	FREES("close_dup", "close", sys(close, second));
	second = must(sys(openat, AT_FDCWD, "f", O_RDONLY));
	FREES("dup2_over", "dup2", sys(dup2, p[0], second) == second);
	FREES("dup2_same", "dup2", sys(dup2, fd, fd) == fd);
	second = must(sys(openat, AT_FDCWD, "f", O_RDONLY));
	FREES("dup3_over", "dup3", sys(dup3, p[0], second, 0) == second);
	must(sys(close, second));
	second = must(sys(openat, AT_FDCWD, "f", O_RDONLY));
	FREES("close_range", "close_range", sys(close_range, second, second, 0));
	second = must(sys(openat, AT_FDCWD, "f", O_PATH));
	FREES("close_path", "close", sys(close, second));
	must(set(F_WRLCK, 0, 10));
	int status = reap(spawn(keeps, NULL));
	observe("child_closes", "close", ret_int(status), ARGS(), STATE(f_int("other", reap(spawn(tries, NULL)))));
	WAKES("wake_unlock", "fcntl", F_WRLCK, set(F_UNLCK, 0, 0));
	WAKES("wake_part", "fcntl", F_WRLCK, set(F_UNLCK, 0, 4));
	WAKES("wake_downgrade", "fcntl", F_RDLCK, set(F_RDLCK, 0, 10));
	second = must(sys(openat, AT_FDCWD, "f", O_RDONLY));
	WAKES("wake_close", "close", F_WRLCK, sys(close, second));
	long holder = spawn(holds, p);
	await_sleep(holder, holder);
	kind = F_WRLCK;
	long waiter = spawn(waits, NULL);
	await_sleep(waiter, waiter);
	must(sys(write, p[1], "x", 1));
	status = reap(holder);
	observe("wake_exit", "exit_group", ret_int(status), ARGS(), STATE(f_int("waiter", reap(waiter))));
	second = must(sys(dup, fd));
	must(set(F_WRLCK, 0, 10));
	long r = sys(close, fd);
	fd = second;
	observe("close_itself", "close", ret_int(r), ARGS(), STATE(f_int("other", reap(spawn(tries, NULL)))));
}
