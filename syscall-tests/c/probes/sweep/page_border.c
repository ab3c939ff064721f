/* Transfers whose buffer ends in a hole, begins in one, or has one in its middle: what is answered, and where the file then stands. */
#include "probe.h"
#include "table.h"

static struct row row;
/* Two pages, then a hole, then a page, then a hole again. */
static char *memory, *border;
static char pattern[20000];

enum { OBJECTS = 7, PLACES = 9 };
/* A file, a file in memory, a pipe, a stream, a datagram socket, /dev/zero, a file of /proc. */
static long ends[2];

static void make(long object)
{
	int p[2];
	long s;
	switch (object) {
	case 0:
		put_file("f", pattern, 12000);
		ends[0] = ends[1] = must(sys(openat, AT_FDCWD, "f", O_RDWR));
		break;
	case 1:
		ends[0] = ends[1] = must(sys(memfd_create, "m", 0));
		must(sys(pwrite64, ends[0], pattern, 12000, 0));
		break;
	case 2:
		make_pipe(p, O_NONBLOCK);
		must(sys(write, p[1], pattern, 12000));
		ends[0] = p[0], ends[1] = p[1];
		break;
	case 3:
	case 4:
		must(sys(socketpair, AF_UNIX, (object == 3 ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK, 0, p));
		must(sys(write, p[1], pattern, 12000));
		ends[0] = p[0], ends[1] = p[1];
		break;
	case 5:
		ends[0] = ends[1] = must(sys(openat, AT_FDCWD, "/dev/zero", O_RDWR));
		break;
	default:
		s = must(sys(openat, AT_FDCWD, "/proc/self/mountinfo", O_RDONLY));
		ends[0] = ends[1] = s;
	}
}

static void end(void)
{
	must(sys(close, ends[0]));
	if (ends[1] != ends[0])
		must(sys(close, ends[1]));
}

/* Where the buffer begins, relative to the border of the hole. */
static const long begins[PLACES] = {-8192, -4097, -4096, -4095, -100, -1, 0, 4095, 4096};

/* What is left in a pipe or socket, or the position. */
static long rest(long object)
{
	static char drain[65536];
	if (object < 2 || object == 6)
		return tell(ends[0]);
	if (object == 5)
		return 0;
	long sum = 0, n;
	while ((n = sys(read, ends[0], drain, sizeof drain)) > 0)
		sum += n;
	return sum;
}

static uint64_t sum_of(const char *at, long n)
{
	uint64_t sum = 0;
	for (long i = 0; i < n; i++)
		sum = sum * 31 + (unsigned char)at[i];
	return sum & 0xffff;
}

#define EACH(id, call, objects, result)                                                                               \
	do {                                                                                                          \
		long at = 0;                                                                                          \
		for (long object = 0; object < OBJECTS; object++)                                                     \
			for (long place = 0; place < PLACES; place++, at++) {                                         \
				char *buffer = border + begins[place];                                                \
				char text[64];                                                                        \
				if (!((objects) >> object & 1))                                                       \
					continue;                                                                     \
				memset(memory, 'm', 8192);                                                            \
				make(object);                                                                         \
				long r = result;                                                                      \
				uint64_t sum = begins[place] < 0 ? sum_of(buffer, -begins[place]) : 0;                \
				long left = rest(object);                                                             \
				snprintf(text, sizeof text, "%s/%ld/%ld/%lx", r < 0 ? errno_name(-r) : "", r < 0 ? 0 : r, left, (long)sum); \
				cell_text(&row, at, text);                                                            \
				end();                                                                                \
			}                                                                                             \
		observe_row(&row, id, call);                                                                          \
	} while (0)

static struct iovec parts[3];
/* Three parts: one that is good, one that may not be, and a good one. */
static struct iovec *around(char *buffer)
{
	parts[0] = (struct iovec){memory, 10};
	parts[1] = (struct iovec){buffer, 5000};
	parts[2] = (struct iovec){memory + 20, 10};
	return parts;
}

static struct msghdr *message(struct iovec *v)
{
	static struct msghdr h;
	h = (struct msghdr){.msg_iov = v, .msg_iovlen = 3};
	return &h;
}

PROBE("sweep/page_border", "readv", "preadv", "recvmsg", "peek", "write", "write_short", "pwrite", "writev", "pwritev", "append", "sendto", "sendmsg", "getrandom", "readlink", "getcwd", "getdents", "stat", "statx", "uname", "getxattr", "getgroups", "capget", "sigaction", "sigprocmask", "gettimes", "pipe2", "getrlimit", "getrusage", "poll", "waitid", "epoll", "path", "path_long", "getsockname", "ioctl", "lock", "timers")
{
	memory = (char *)must(sys(mmap, NULL, 5 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	border = memory + 8192;
	must(sys(munmap, border, 4096));
	must(sys(munmap, border + 8192, 4096));
	for (size_t i = 0; i < sizeof pattern; i++)
		pattern[i] = (char)(i * 7 + i / 256);
	EACH("readv", "readv", 0x3, sys(readv, ends[0], around(buffer), 3));
	EACH("preadv", "preadv", 0x3, sys(preadv, ends[0], around(buffer), 3, 5));
	EACH("recvmsg", "recvmsg", 0x10, sys(recvmsg, ends[0], message(around(buffer)), 0));
	EACH("peek", "recvfrom", 0x18, sys(recvfrom, ends[0], buffer, 9000, MSG_PEEK, NULL, NULL));
	EACH("write", "write", 0x1b, sys(write, ends[1], buffer, 9000));
	EACH("write_short", "write", 0x1b, sys(write, ends[1], buffer, 4096));
	EACH("pwrite", "pwrite64", 0x3, sys(pwrite64, ends[1], buffer, 9000, 3));
	EACH("writev", "writev", 0x1b, sys(writev, ends[1], around(buffer), 3));
	EACH("pwritev", "pwritev", 0x3, sys(pwritev, ends[1], around(buffer), 3, 5));
	EACH("append", "pwritev2", 0x3, sys(pwritev2, ends[1], around(buffer), 3, -1, 0, 0x10));
	EACH("sendto", "sendto", 0x18, sys(sendto, ends[1], buffer, 9000, 0, NULL, 0));
	EACH("sendmsg", "sendmsg", 0x18, sys(sendmsg, ends[1], message(around(buffer)), 0));
	/* Structures and text, ever nearer to the border. */
#define NEAR(id, call, most, result)                                                                                  \
	do {                                                                                                          \
		for (long room = 0; room <= most; room++) {                                                           \
			char *at = border - room;                                                                     \
			memset(memory, 'm', 8192);                                                                    \
			cell(&row, room, result);                                                                     \
		}                                                                                                     \
		observe_row(&row, id, call);                                                                          \
	} while (0)
	must(sys(symlink, "0123456789", "l"));
	must(sys(setxattr, "f", "user.x", "value", 5, 0));
	uint64_t cap[2] = {0x20080522, 0};
	struct rlimit lock = {0, 0};
	(void)lock;
	must(sys(mkdir, "d", 0700));
	long dir = must(sys(openat, AT_FDCWD, "d", O_RDONLY)), ep = must(sys(epoll_create1, 0)), fd = must(sys(openat, AT_FDCWD, "f", O_RDWR)), s = must(sys(socket, AF_UNIX, SOCK_STREAM, 0));
	int p[2];
	make_pipe(p, 0);
	must(sys(write, p[1], "x", 1));
	NEAR("getrandom", "getrandom", 20, sys(getrandom, at, 10, 0));
	NEAR("readlink", "readlink", 12, sys(readlink, "l", at, 10));
	NEAR("getcwd", "getcwd", 3, sys(getcwd, at, 4096));
	NEAR("getdents", "getdents64", 60, (must(sys(lseek, dir, 0, 0)), sys(getdents64, dir, at, 64)));
	NEAR("stat", "stat", 160, sys(stat, "f", at));
	NEAR("statx", "statx", 260, sys(statx, AT_FDCWD, "f", 0, 1, at));
	NEAR("uname", "uname", 400, sys(uname, at));
	NEAR("getxattr", "getxattr", 8, sys(getxattr, "f", "user.x", at, 5));
	NEAR("getgroups", "getgroups", 4, sys(getgroups, 0, at));
	NEAR("capget", "capget", 30, sys(capget, cap, at));
	NEAR("sigaction", "rt_sigaction", 40, sys(rt_sigaction, SIGUSR1, NULL, at, 8));
	NEAR("sigprocmask", "rt_sigprocmask", 10, sys(rt_sigprocmask, 0, NULL, at, 8));
	NEAR("gettimes", "getitimer", 40, sys(getitimer, 0, at) ?: sys(clock_getres, 1, at + 16) ?: sys(times, at) < 0);
	NEAR("pipe2", "pipe2", 10, sys(pipe2, at, 0) ?: made(*(int *)at) ?: made(*(int *)(at + 4)));
	NEAR("getrlimit", "getrlimit", 20, sys(getrlimit, 3, at));
	NEAR("getrusage", "getrusage", 160, sys(getrusage, 0, at));
	NEAR("poll", "poll", 20, (room >= 8 ? memcpy(at, &(struct pollfd){p[0], POLLIN, 0}, 8) : 0, sys(poll, at, 1, 0)));
	NEAR("waitid", "waitid", 140, sys(waitid, P_ALL, 0, at, WEXITED | WNOHANG, NULL));
	struct epoll_event e = {.events = EPOLLIN};
	must(sys(epoll_ctl, ep, EPOLL_CTL_ADD, p[0], &e));
	NEAR("epoll", "epoll_wait", 16, sys(epoll_wait, ep, at, 1, 0));
	NEAR("path", "openat", 12, made(sys(openat, AT_FDCWD, room ? memcpy(at, "././././././f" + 13 - room, (size_t)room) : at, O_RDONLY)));
	NEAR("path_long", "access", 12, ((void)at, memset(border - 4100 - room, '/', (size_t)(4100 + room)), sys(access, border - 4090 - room, F_OK)));
	socklen_t *size = (socklen_t *)memory;
	NEAR("getsockname", "getsockname", 4, (*size = 2, sys(getsockname, s, at, size)));
	NEAR("ioctl", "ioctl", 6, sys(ioctl, p[0], 0x541b, at));
	NEAR("lock", "fcntl", 36, (room >= 32 ? memcpy(at, &(struct flock){.l_type = F_WRLCK}, 32) : 0, sys(fcntl, fd, F_GETLK, at)));
	NEAR("timers", "timer_create", 6, sys(timer_create, 1, NULL, at) ?: sys(timer_delete, *(int *)at));
}
