/* Who waits for a lock of a file is woken by each change of another's lock that lets it in: unlocking, converting, closing. */
#include "probe.h"
#include <sys/file.h>
#include "table.h"

enum how { BSD, POSIX, OPEN };
static enum how how;
static int wanted;

static long lock(long fd, int kind, bool waits)
{
	if (how == BSD)
		return sys(flock, fd, (kind == F_RDLCK ? LOCK_SH : kind == F_WRLCK ? LOCK_EX : LOCK_UN) | (waits ? 0 : LOCK_NB));
	struct flock l = {.l_type = (short)kind};
	return sys(fcntl, fd, how == POSIX ? (waits ? F_SETLKW : F_SETLK) : waits ? F_OFD_SETLKW : F_OFD_SETLK, &l);
}
static int waits(void *arg)
{
	(void)arg;
	long fd = sys(openat, AT_FDCWD, "f", O_RDWR);
	return err_of(lock(fd, wanted, true));
}

/* The waiter's status after the holder of `held` makes it `then`; -1 closes its description. */
static long woken(int held, int then, int want)
{
	long fd = must(sys(openat, AT_FDCWD, "f", O_RDWR | O_CLOEXEC));
	must(lock(fd, held, false));
	wanted = want;
	long pid = must(sys(fork));
	if (pid == 0) {
		sys(close, fd);
		sys(exit_group, waits(NULL));
	}
	await_sleep(pid, pid);
	if (then >= 0)
		must(lock(fd, then, false));
	else
		must(sys(close, fd));
	long status = reap(pid);
	if (then >= 0)
		must(sys(close, fd));
	return status;
}

PROBE("fcntl/lock_converts", "flock", "posix", "open_file")
{
	static struct row row;
	static const char *const ids[] = {"flock", "posix", "open_file"};
	put_file("f", "x", 1);
	for (int i = BSD; i <= OPEN; i++) {
		how = (enum how)i;
		cell(&row, 0, woken(F_WRLCK, F_RDLCK, F_RDLCK));
		cell(&row, 1, woken(F_WRLCK, F_UNLCK, F_RDLCK));
		cell(&row, 2, woken(F_WRLCK, F_UNLCK, F_WRLCK));
		cell(&row, 3, woken(F_RDLCK, F_UNLCK, F_WRLCK));
		cell(&row, 4, woken(F_WRLCK, -1, F_RDLCK));
		cell(&row, 5, woken(F_WRLCK, -1, F_WRLCK));
		cell(&row, 6, woken(F_RDLCK, -1, F_WRLCK));
		observe_row(&row, ids[i], how == BSD ? "flock" : "fcntl");
	}
}
