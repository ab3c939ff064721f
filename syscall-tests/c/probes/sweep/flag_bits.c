/* Every bit of the flags of calls that make, move or look at something, alone: what is answered, and what was made. */
#include "probe.h"
#include "table.h"
#include <linux/openat2.h>
#include <linux/stat.h>
#include <sys/timerfd.h>

#ifndef __NR_fchmodat2
#define __NR_fchmodat2 452
#endif

static struct row row;
/* `flags` is one bit after another. */
#define BITS(id, call, first, last, result)                                                                           \
	do {                                                                                                          \
		for (long bit = first; bit <= last; bit++) {                                                          \
			uint64_t flags = 1ull << bit;                                                                 \
			cell(&row, bit, result);                                                                      \
		}                                                                                                     \
		observe_row(&row, id, call);                                                                          \
	} while (0)

static long how(uint64_t flags, uint64_t mode, uint64_t resolve)
{
	struct open_how h = {flags, mode, resolve};
	return made_with(sys(openat2, AT_FDCWD, "f", &h, sizeof h));
}

static long two(long r, int *fds)
{
	if (r < 0)
		return r;
	long a = made_with(fds[0]), b = made_with(fds[1]);
	return a << 32 ^ b;
}

static long pipe_with(uint64_t flags)
{
	int fds[2];
	return two(sys(pipe2, fds, flags), fds);
}

static long pair_with(uint64_t type)
{
	int fds[2];
	return two(sys(socketpair, AF_UNIX, type, 0, fds), fds);
}

static long accepted(uint64_t flags)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "\0bits"};
	long l = must(sys(socket, AF_UNIX, SOCK_STREAM, 0)), c = must(sys(socket, AF_UNIX, SOCK_STREAM, 0));
	a.sun_path[5] = (char)sys(getpid);
	a.sun_path[6] = (char)(sys(getpid) >> 8);
	must(sys(bind, l, &a, 12));
	must(sys(listen, l, 1));
	must(sys(connect, c, &a, 12));
	long r = made_with(sys(accept4, l, NULL, NULL, flags));
	must(sys(close, l));
	must(sys(close, c));
	return r;
}

static long renamed(uint64_t flags)
{
	put_file("a", "a", 1);
	put_file("b", "bb", 2);
	long r = sys(renameat2, AT_FDCWD, "a", AT_FDCWD, "b", flags);
	return r < 0 ? r : lstat_of("a").st_size * 10 + lstat_of("b").st_size;
}

static long linked(uint64_t flags)
{
	long r = sys(linkat, AT_FDCWD, "l", AT_FDCWD, "n", flags);
	if (r < 0)
		return r;
	r = lstat_of("n").st_mode;
	must(sys(unlink, "n"));
	return r;
}

static long told(uint64_t flags, uint64_t mask)
{
	struct statx x = {0};
	long r = sys(statx, AT_FDCWD, "l", flags, mask, &x);
	return r < 0 ? r : x.stx_mode;
}

static long mask_told(uint64_t mask)
{
	struct statx x = {0};
	long r = sys(statx, AT_FDCWD, "f", 0, mask, &x);
	/* What is not asked for may be told as well, but the time of birth and the mount are not. */
	return r < 0 ? r : (long)(x.stx_mask & (mask | 0x800));
}

static long statted(uint64_t flags)
{
	struct stat s = {0};
	long r = sys(newfstatat, AT_FDCWD, "l", &s, flags);
	return r < 0 ? r : s.st_mode & S_IFMT;
}

static long moved(long nr, uint64_t flags)
{
	int p[2], q[2];
	make_pipe(p, O_NONBLOCK);
	make_pipe(q, O_NONBLOCK);
	must(sys(write, p[1], "data", 4));
	long r = nr == __NR_tee ? sys(tee, p[0], q[1], 3, flags) : sys(splice, p[0], NULL, q[1], NULL, 3, flags);
	for (int i = 0; i < 2; i++) {
		must(sys(close, p[i]));
		must(sys(close, q[i]));
	}
	return r;
}

static long sent(uint64_t flags, bool receives)
{
	int p[2];
	char bytes[8];
	must(sys(socketpair, AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p));
	must(sys(write, p[0], "ab", 2));
	struct iovec v = {bytes, 4};
	struct msghdr h = {.msg_iov = &v, .msg_iovlen = 1};
	long r = receives ? sys(recvmsg, p[1], &h, flags) : sys(sendmsg, p[0], &h, flags);
	/* What is told, and what is left. */
	r = r < 0 ? r : r << 40 | (long)(receives ? (uint32_t)h.msg_flags : 0) << 8 | (sys(read, p[1], bytes, 8) & 0xff);
	must(sys(close, p[0]));
	must(sys(close, p[1]));
	return r;
}

static long armed(uint64_t flags)
{
	struct itimerspec t = {.it_value = {1000, 0}};
	long fd = must(sys(timerfd_create, CLOCK_MONOTONIC, 0));
	long r = sys(timerfd_settime, fd, flags, &t, NULL);
	must(sys(close, fd));
	return r;
}

static long vector(long nr, long fd, uint64_t flags)
{
	char byte = 'v';
	struct iovec v = {&byte, 1};
	return nr == __NR_preadv2 ? sys(preadv2, fd, &v, 1, 0, 0, flags) : sys(pwritev2, fd, &v, 1, 0, 0, flags);
}

PROBE("sweep/flag_bits", "openat", "openat_creat", "openat2", "openat2_mode", "openat2_mode_creat", "openat2_resolve", "pipe2", "socket", "socketpair", "accept4", "eventfd2", "epoll_create1", "timerfd_create", "timerfd_settime", "signalfd4", "memfd_create", "dup3", "pidfd_open", "renameat2", "linkat", "unlinkat",
      "newfstatat", "statx", "statx_mask", "faccessat2", "faccessat2_mode", "fchmodat2", "fchownat", "utimensat", "close_range", "splice", "tee", "copy_file_range", "sendmsg", "recvmsg", "preadv2", "pwritev2", "getrandom", "sync_file_range", "waitid", "wait4", "clock_nanosleep", "execveat", "mkdirat", "chmod")
{
	put_file("f", "x", 1);
	must(sys(symlink, "f", "l"));
	long fd = must(sys(openat, AT_FDCWD, "f", O_RDWR)), me = sys(getpid);
	uint64_t none = 0;
	struct timespec zero = {0, 0};
	char byte;
	BITS("openat", "openat", 0, 31, bit == 14 ? 0 : made_with(sys(openat, AT_FDCWD, "f", flags, 0600)));
	BITS("openat_creat", "openat", 2, 31, bit == 14 || bit == 6 ? 0 : made_with(sys(openat, AT_FDCWD, "f", flags | O_CREAT | O_RDWR, 0600)));
	BITS("openat2", "openat2", 0, 63, bit == 14 || bit == 6 ? 0 : how(flags, 0, 0));
	BITS("openat2_mode", "openat2", 0, 63, how(0, flags, 0));
	BITS("openat2_mode_creat", "openat2", 0, 63, how(O_CREAT, flags, 0));
	BITS("openat2_resolve", "openat2", 0, 63, how(0, 0, flags));
	BITS("pipe2", "pipe2", 0, 31, bit == 7 ? 0 : pipe_with(flags));
	BITS("socket", "socket", 4, 31, made_with(sys(socket, AF_UNIX, SOCK_STREAM | flags, 0)));
	BITS("socketpair", "socketpair", 4, 31, pair_with(SOCK_STREAM | flags));
	BITS("accept4", "accept4", 0, 31, accepted(flags));
	BITS("eventfd2", "eventfd2", 0, 31, made_with(sys(eventfd2, 0, flags)));
	BITS("epoll_create1", "epoll_create1", 0, 31, made_with(sys(epoll_create1, flags)));
	BITS("timerfd_create", "timerfd_create", 0, 31, made_with(sys(timerfd_create, CLOCK_MONOTONIC, flags)));
	BITS("timerfd_settime", "timerfd_settime", 0, 31, armed(flags));
	BITS("signalfd4", "signalfd4", 0, 31, made_with(sys(signalfd4, -1, &none, 8, flags)));
	BITS("memfd_create", "memfd_create", 0, 31, bit == 2 ? 0 : made_with(sys(memfd_create, "m", flags)));
	BITS("dup3", "dup3", 0, 31, made_with(sys(dup3, fd, 100, flags)));
	BITS("pidfd_open", "pidfd_open", 0, 31, made_with(sys(pidfd_open, me, flags)));
	BITS("renameat2", "renameat2", 0, 31, bit == 2 ? 0 : renamed(flags));
	BITS("linkat", "linkat", 0, 31, linked(flags));
	BITS("unlinkat", "unlinkat", 0, 31, sys(unlinkat, AT_FDCWD, "none", flags));
	BITS("newfstatat", "newfstatat", 0, 31, statted(flags));
	BITS("statx", "statx", 0, 31, told(flags, 1));
	BITS("statx_mask", "statx", 0, 31, bit >= 11 && bit <= 30 && bit != 12 ? 0 : mask_told(flags));
	BITS("faccessat2", "faccessat2", 0, 31, sys(faccessat2, AT_FDCWD, "l", R_OK, flags));
	BITS("faccessat2_mode", "faccessat2", 0, 31, sys(faccessat2, AT_FDCWD, "f", flags, 0));
	BITS("fchmodat2", "fchmodat2", 0, 31, sys(fchmodat2, AT_FDCWD, "f", 0600, flags));
	BITS("fchownat", "fchownat", 0, 31, sys(fchownat, AT_FDCWD, "l", -1, -1, flags));
	BITS("utimensat", "utimensat", 0, 31, sys(utimensat, AT_FDCWD, "l", NULL, flags));
	BITS("close_range", "close_range", 0, 31, sys(close_range, 200, 210, flags));
	BITS("splice", "splice", 0, 31, moved(__NR_splice, flags));
	BITS("tee", "tee", 0, 31, moved(__NR_tee, flags));
	BITS("copy_file_range", "copy_file_range", 0, 31, sys(copy_file_range, fd, NULL, fd, NULL, 0, flags));
	BITS("sendmsg", "sendmsg", 0, 31, bit == 0 || bit == 26 || bit == 29 ? 0 : sent(flags, false));
	BITS("recvmsg", "recvmsg", 0, 31, bit == 0 || bit == 13 ? 0 : sent(flags, true));
	BITS("preadv2", "preadv2", 0, 31, bit == 0 || bit == 3 || (bit >= 6 && bit <= 8) ? 0 : vector(__NR_preadv2, fd, flags));
	BITS("pwritev2", "pwritev2", 0, 31, bit == 0 || bit == 3 || (bit >= 6 && bit <= 8) ? 0 : vector(__NR_pwritev2, fd, flags));
	BITS("getrandom", "getrandom", 0, 31, sys(getrandom, &byte, 1, flags));
	BITS("sync_file_range", "sync_file_range", 0, 31, sys(sync_file_range, fd, 0, 0, flags));
	BITS("waitid", "waitid", 0, 31, sys(waitid, P_ALL, 0, NULL, flags | WNOHANG | WEXITED, NULL));
	BITS("wait4", "wait4", 0, 31, sys(wait4, -1, NULL, flags | WNOHANG, NULL));
	BITS("clock_nanosleep", "clock_nanosleep", 0, 31, sys(clock_nanosleep, CLOCK_MONOTONIC, flags, &zero, NULL));
	BITS("execveat", "execveat", 0, 31, bit == 16 ? 0 : sys(execveat, AT_FDCWD, "none", NULL, NULL, flags));
	BITS("mkdirat", "mkdirat", 0, 31, sys(mkdirat, AT_FDCWD, "d", flags) ?: (long)(lstat_of("d").st_mode | (uint32_t)must(sys(rmdir, "d"))));
	BITS("chmod", "chmod", 0, 31, bit == 10 || bit == 11 ? 0 : sys(chmod, "f", flags) ?: (long)lstat_of("f").st_mode);
}
