/* What ends, interrupts or leaves alone whoever sleeps on a pipe, a FIFO or a lock. */
#include "probe.h"
#include "wake_events.h"
#include <sys/file.h>

CHILD("wake")
{
	(void)argc, (void)argv, (void)envp;
	return 7;
}

static long other;

/* Reads until the sleeper has ended. */
static void drain(int from)
{
	must(sys(fcntl, from, F_SETFL, O_NONBLOCK));
	while (wake_state(sleeping) != 'Z')
		if (sys(read, from, data, sizeof data) < 0)
			sys(sched_yield);
}
static void opens(int flags) { must(sys(openat, AT_FDCWD, "fifo", flags | O_NONBLOCK)); }
static void locked(void)
{
	put_file("f", "0123456789", 10);
	fd = must(sys(openat, AT_FDCWD, "f", O_RDWR));
	must(sys(flock, fd, LOCK_EX));
	struct flock l = {.l_type = F_WRLCK};
	must(sys(fcntl, fd, F_SETLK, &l));
}
static long flocks(int how) { return sys(flock, must(sys(openat, AT_FDCWD, "f", O_RDWR)), how); }
static long locks(int call, int type)
{
	struct flock l = {.l_type = (short)type};
	return sys(fcntl, must(sys(openat, AT_FDCWD, "f", O_RDWR)), call, &l);
}
static void unlocks(void)
{
	struct flock l = {.l_type = F_UNLCK};
	must(sys(flock, fd, LOCK_UN));
	must(sys(fcntl, fd, F_SETLK, &l));
}
static long gathers(void)
{
	struct iovec v[2] = {{data, 3000}, {data, 3000}};
	return sys(writev, a[1], v, 2);
}
static long scatters(void)
{
	struct iovec v[2] = {{data, 3}, {data, 3}};
	return sys(readv, a[0], v, 2);
}

#define LIST(X)                                                                                                       \
	X(read, "read", make_pipe(a, 0), sys(read, a[0], data, 10), must(sys(write, a[1], "abc", 3)))                 \
	X(readv, "readv", make_pipe(a, 0), scatters(), must(sys(write, a[1], "abcd", 4)))                             \
	X(write, "write", fill(a), sys(write, a[1], data, 10), drain(a[0]))                                           \
	X(write_part, "write", fill(a); must(sys(read, a[0], data, 8192)), sys(write, a[1], data, sizeof data), drain(a[0])) \
	X(writev, "writev", fill(a), gathers(), drain(a[0]))                                                          \
	X(splice_in, "splice", make_pipe(a, 0); make_pipe(b, 0), sys(splice, a[0], NULL, b[1], NULL, 10, 0), must(sys(write, a[1], "abc", 3))) \
	X(splice_out, "splice", spliced(), sys(splice, b[0], NULL, a[1], NULL, 6, 0), drain(a[0]))                    \
	X(tee, "tee", make_pipe(a, 0); make_pipe(b, 0), sys(tee, a[0], b[1], 10, 0), must(sys(write, a[1], "abc", 3))) \
	X(sendfile, "sendfile", sourced(), sys(sendfile, a[1], fd, NULL, 10), drain(a[0]))                            \
	X(open_read, "openat", fifo(), made_fd(sys(openat, AT_FDCWD, "fifo", O_RDONLY)), must(other = sys(openat, AT_FDCWD, "fifo", O_RDWR | O_NONBLOCK))) \
	X(open_write, "openat", fifo(), made_fd(sys(openat, AT_FDCWD, "fifo", O_WRONLY)), opens(O_RDONLY))             \
	X(flock_ex, "flock", locked(), flocks(LOCK_EX), unlocks())                                                    \
	X(flock_sh, "flock", locked(), flocks(LOCK_SH), unlocks())                                                    \
	X(setlkw, "fcntl", locked(), locks(F_SETLKW, F_WRLCK), unlocks())                                             \
	X(setlkw_read, "fcntl", locked(), locks(F_SETLKW, F_RDLCK), unlocks())                                        \
	X(ofd_setlkw, "fcntl", locked(), locks(F_OFD_SETLKW, F_WRLCK), unlocks())

WAKE_PROBE("wake/pipes", LIST)
