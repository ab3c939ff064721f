/* Of two arguments that are bad, which is answered; and that a call which fails changed nothing. Every bad value of an argument alone and every two. */
#include "probe.h"
#include "notes.h"
#include <sys/prctl.h>
#include <sys/file.h>

#ifndef __NR_fchmodat2
#define __NR_fchmodat2 452
#endif
#define BAD ((long)8)
static long rd, wr, dir, path, pipes[2], sock, ep, tfd, efd, sfd, app;
static char buffer[4096], long_name[300];
static long no_files; /* 1025 of standard input, no event, and nothing behind them */
static struct stat before_file;

/* What a failed call must leave: positions, sizes, times, descriptors, mask, folder. */
static void picture(char *text, size_t cap)
{
	struct stat st = {0}, here = {0}, folder = {0};
	uint64_t mask = 0;
	sys(stat, "f", &st);
	sys(stat, ".", &here);
	sys(stat, "d", &folder);
	sys(rt_sigprocmask, SIG_BLOCK, NULL, &mask, 8);
	long lowest = sys(fcntl, rd, F_DUPFD, 0), old = sys(umask, 022);
	sys(close, lowest);
	snprintf(text, cap, "%ld %ld %ld %ld %lld %lld %lld %o %ld %ld %lx %d %lx %lx %lx", lowest, tell(rd), tell(wr), (long)st.st_size, (long long)stamp_ns(st.st_mtim), (long long)stamp_ns(st.st_ctim),
		 (long long)stamp_ns(here.st_mtim), st.st_mode, (long)st.st_nlink, old, (unsigned long)mask, (int)(here.st_ino & 0xffff), (unsigned long)sys(fcntl, rd, F_GETFL), (unsigned long)sys(fcntl, rd, F_GETFD), (unsigned long)folder.st_mtim.tv_nsec);
}

struct bad {
	int at;
	long value;
};
static char was[400], is[400];
static long lowest_was;

static void try(const char *label, int nr, const long *args)
{
	picture(was, sizeof was);
	long r = sys6(nr, args[0], args[1], args[2], args[3], args[4], args[5]);
	picture(is, sizeof is);
	bool changed = strcmp(was, is) != 0;
	if (err_of(r))
		note("%s:%s%s", label, errno_name(err_of(r)), changed ? "!" : "");
	else
		note("%s:ok", label);
	if (!err_of(r) && changed) {
		/* Back to the start: what was opened is closed, positions are reset. */
		for (long fd = lowest_was; fd < 100; fd++)
			sys(close, fd);
		sys(lseek, rd, 0, SEEK_SET);
		sys(lseek, wr, 0, SEEK_SET);
	}
}

static void table(const char *id, const char *name, int nr, const long good[6], const struct bad *bads, size_t n)
{
	char label[64];
	for (size_t i = 0; i < n; i++) {
		long args[6];
		memcpy(args, good, sizeof args);
		args[bads[i].at] = bads[i].value;
		snprintf(label, sizeof label, "%zu", i);
		try(label, nr, args);
		for (size_t j = i + 1; j < n; j++) {
			if (bads[j].at == bads[i].at)
				continue;
			long both[6];
			memcpy(both, args, sizeof both);
			both[bads[j].at] = bads[j].value;
			snprintf(label, sizeof label, "%zu+%zu", i, j);
			try(label, nr, both);
		}
	}
	observe_notes(id, name);
}
#define G(...) ((const long[6]){__VA_ARGS__})
#define L(x) ((long)(x))
#define T(id, name, good, ...) table(#id, #name, __NR_##name, good, (const struct bad[]){__VA_ARGS__}, sizeof((const struct bad[]){__VA_ARGS__}) / sizeof(struct bad))

static long place;
static struct timespec zero;
static const struct timespec odd = {0, 1000000000}, minus = {-1, 0};
static const struct timespec odd_pair[2] = {{1, 1}, {1, 1000000000}};
static const struct itimerspec odd_spec = {{0, 0}, {0, -1}}, none_spec;
static const struct itimerval odd_timer = {{0, 0}, {0, 1000000}}, none_timer;
static struct iovec vector[2], bad_vector[2], minus_vector[2], big_vector[2];
static struct flock a_lock = {.l_type = F_RDLCK}, odd_lock = {.l_type = 9}, low_lock = {.l_type = F_RDLCK, .l_start = -1}, ofd_pid = {.l_type = F_RDLCK, .l_pid = 1};
static struct epoll_event event = {EPOLLIN, {.u64 = 1}}, exclusive = {EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT, {.u64 = 1}};
static struct ksigaction action;
static struct rlimit crossed = {2, 1}, limit = {3, 4};
static struct sched_param param, high = {99};
static uint64_t set8 = 1 << 9;
static int length = 32, minus_length = -1;
static const long odd_times[4] = {0, 0, 0, 1000000};
static stack_t odd_stack = {.ss_flags = 99}, small_stack = {.ss_size = 1};
static struct sigevent odd_event = {.sigev_notify = 99}, odd_signo = {.sigev_signo = 99};
static struct sockaddr_un address = {AF_UNIX, "nothere"}, family = {77, "x"};
static siginfo_t info = {.si_code = SI_QUEUE}, forged = {.si_code = SI_USER};
static struct { uint64_t flags, mode, resolve, more; } how, how_flags = {1ull << 40, 0, 0, 0}, how_mode = {0, 0600, 0, 0}, how_resolve = {0, 0, 0x100, 0}, how_more = {0, 0, 0, 1};

static void transfers(void)
{
	T(read, read, G(rd, L(buffer), 4), {0, 999}, {0, wr}, {0, dir}, {0, path}, {0, ep}, {1, BAD}, {2, 0});
	T(write, write, G(wr, L(buffer), 0), {0, 999}, {0, rd}, {0, dir}, {0, path}, {0, tfd}, {1, BAD});
	T(pread64, pread64, G(rd, L(buffer), 4, 0), {0, 999}, {0, wr}, {0, dir}, {0, pipes[0]}, {0, path}, {1, BAD}, {2, 0}, {3, -1});
	T(pwrite64, pwrite64, G(wr, L(buffer), 0, 0), {0, 999}, {0, rd}, {0, pipes[1]}, {0, path}, {1, BAD}, {3, -1});
	T(readv, readv, G(rd, L(vector), 2), {0, 999}, {0, wr}, {0, dir}, {1, BAD}, {1, L(bad_vector)}, {1, L(minus_vector)}, {2, -1}, {2, 1025}, {2, 0});
	T(writev, writev, G(wr, L(vector), 0), {0, 999}, {0, rd}, {1, BAD}, {1, L(minus_vector)}, {2, -1}, {2, 1025}, {2, 2});
	T(preadv, preadv, G(rd, L(vector), 2, 0, 0), {0, 999}, {0, wr}, {0, pipes[0]}, {1, BAD}, {1, L(minus_vector)}, {2, 1025}, {3, -1}, {4, -1});
	T(pwritev, pwritev, G(wr, L(vector), 0, 0, 0), {0, 999}, {0, rd}, {0, pipes[1]}, {1, BAD}, {2, 1025}, {3, -1}, {4, -1});
	T(preadv2, preadv2, G(rd, L(vector), 2, 0, 0, 0), {0, 999}, {0, wr}, {0, pipes[0]}, {1, BAD}, {2, 1025}, {3, -2}, {5, 0x10000});
	T(pwritev2, pwritev2, G(wr, L(vector), 0, 0, 0, 0), {0, 999}, {0, rd}, {1, BAD}, {2, 1025}, {3, -2}, {5, 0x30});
	T(sendfile, sendfile, G(wr, rd, L(&place), 0), {0, 999}, {0, rd}, {0, app}, {0, path}, {1, 999}, {1, wr}, {1, pipes[0]}, {2, BAD});
	T(copy_file_range, copy_file_range, G(rd, 0, wr, 0, 0, 0), {0, 999}, {0, wr}, {0, dir}, {0, pipes[0]}, {1, BAD}, {2, 999}, {2, rd}, {2, app}, {2, dir}, {3, BAD});
	T(splice, splice, G(rd, 0, pipes[1], 0, 1, 0), {0, 999}, {0, wr}, {0, pipes[0]}, {0, dir}, {2, 999}, {2, pipes[0]}, {2, wr}, {5, 0x100});
	T(tee, tee, G(pipes[0], pipes[1], 0, 0), {0, 999}, {0, rd}, {0, pipes[1]}, {1, 999}, {1, wr}, {1, pipes[0]}, {2, 1}, {3, 0x100});
	T(lseek, lseek, G(rd, 0, SEEK_SET), {0, 999}, {0, pipes[0]}, {0, path}, {0, sock}, {1, -1}, {2, 5}, {2, -1}, {2, SEEK_DATA});
	T(fallocate, fallocate, G(wr, 0, 0, 1), {0, 999}, {0, rd}, {0, pipes[1]}, {0, dir}, {1, 2}, {2, -1}, {3, 0}, {3, -1});
	T(ftruncate, ftruncate, G(wr, 10), {0, 999}, {0, rd}, {0, pipes[1]}, {0, dir}, {0, path}, {1, -1});
	T(fadvise64, fadvise64, G(rd, 0, 0, 0), {0, 999}, {0, pipes[0]}, {0, path}, {1, -1}, {2, -1}, {3, 9});
	T(fsync, fsync, G(rd), {0, 999}, {0, path}, {0, pipes[0]}, {0, ep});
	T(syncfs, syncfs, G(rd), {0, 999}, {0, path});
	T(getdents64, getdents64, G(dir, L(buffer), 4096), {0, 999}, {0, rd}, {0, path}, {1, BAD}, {2, 0}, {2, 20});
}

static void paths(void)
{
	T(openat, openat, G(AT_FDCWD, L("f"), 0, 0), {0, 999}, {0, rd}, {1, BAD}, {1, L("")}, {1, L("none/x")}, {1, L("f/")}, {1, L("f/x")}, {1, L(long_name)}, {1, L("/dev/null")}, {2, O_DIRECTORY}, {2, O_TMPFILE}, {2, O_CREAT | O_DIRECTORY}, {2, O_CREAT | O_EXCL}, {2, O_DIRECT | O_PATH});
	T(openat2, openat2, G(AT_FDCWD, L("f"), L(&how), 24), {0, 999}, {0, rd}, {1, BAD}, {1, L("")}, {1, L("none")}, {1, L("f/x")}, {2, BAD}, {2, L(&how_flags)}, {2, L(&how_mode)}, {2, L(&how_resolve)}, {2, L(&how_more)}, {3, 23}, {3, 32}, {3, 5000});
	T(newfstatat, newfstatat, G(AT_FDCWD, L("f"), L(buffer), 0), {0, 999}, {0, rd}, {1, BAD}, {1, L("")}, {1, L("none")}, {1, L("f/x")}, {2, BAD}, {3, 1}, {3, AT_EMPTY_PATH});
	T(statx, statx, G(AT_FDCWD, L("f"), 0, 0x7ff, L(buffer)), {0, 999}, {0, rd}, {1, BAD}, {1, L("none")}, {1, L("")}, {2, 1}, {2, 0x6000}, {3, 0x80000000}, {4, BAD});
	T(faccessat, faccessat, G(AT_FDCWD, L("f"), 0), {0, 999}, {0, rd}, {1, BAD}, {1, L("none")}, {1, L("")}, {2, 8}, {2, -1});
	T(faccessat2, faccessat2, G(AT_FDCWD, L("f"), 0, 0), {0, 999}, {1, BAD}, {1, L("none")}, {1, L("")}, {2, 8}, {3, 1}, {3, AT_EMPTY_PATH});
	T(readlinkat, readlinkat, G(AT_FDCWD, L("l"), L(buffer), 100), {0, 999}, {0, rd}, {1, BAD}, {1, L("none")}, {1, L("f")}, {1, L("")}, {2, BAD}, {3, 0}, {3, -1});
	T(mkdirat, mkdirat, G(AT_FDCWD, L("d"), 0700), {0, 999}, {0, rd}, {1, BAD}, {1, L("")}, {1, L("none/x")}, {1, L("f/x")}, {1, L("/")}, {1, L(long_name)}, {1, L(".")});
	T(mknodat, mknodat, G(AT_FDCWD, L("f"), S_IFIFO, 0), {0, 999}, {1, BAD}, {1, L("")}, {1, L("none/x")}, {1, L("f/")}, {1, L("none/")}, {2, S_IFDIR}, {2, 0170000}, {2, S_IFLNK});
	T(symlinkat, symlinkat, G(L("x"), AT_FDCWD, L("f")), {0, BAD}, {0, L("")}, {1, 999}, {1, rd}, {2, BAD}, {2, L("")}, {2, L("none/x")}, {2, L("none/")});
	T(linkat, linkat, G(AT_FDCWD, L("f"), AT_FDCWD, L("l"), 0), {0, 999}, {1, BAD}, {1, L("none")}, {1, L("d")}, {1, L("")}, {1, L("f/")}, {2, 999}, {3, BAD}, {3, L("")}, {3, L("none/x")}, {3, L("new/")}, {4, 1}, {4, AT_EMPTY_PATH});
	T(renameat2, renameat2, G(AT_FDCWD, L("f"), AT_FDCWD, L("d"), 0), {0, 999}, {1, BAD}, {1, L("none")}, {1, L("")}, {1, L("f/")}, {1, L("d")}, {3, L("none/x")}, {3, L("d/x")}, {4, 1}, {4, 3}, {4, 8});
	T(unlinkat, unlinkat, G(AT_FDCWD, L("d"), 0), {0, 999}, {0, rd}, {1, BAD}, {1, L("")}, {1, L("none")}, {1, L("f/")}, {1, L(".")}, {1, L("..")}, {1, L("/")}, {2, 1});
	T(rmdir, rmdir, G(L("f")), {0, BAD}, {0, L("")}, {0, L(".")}, {0, L("..")}, {0, L("/")}, {0, L("d/.")}, {0, L("full")}, {0, L("none/")}, {0, L("l")});
	T(fchmodat, fchmodat, G(AT_FDCWD, L("none"), 0644), {0, 999}, {0, rd}, {1, BAD}, {1, L("")}, {1, L("f/x")});
	T(fchmodat2, fchmodat2, G(AT_FDCWD, L("none"), 0644, 0), {0, 999}, {1, BAD}, {1, L("")}, {3, 1}, {3, AT_EMPTY_PATH});
	T(fchownat, fchownat, G(AT_FDCWD, L("none"), -1, -1, 0), {0, 999}, {0, rd}, {1, BAD}, {1, L("")}, {1, L("f/x")}, {4, 1}, {4, AT_EMPTY_PATH});
	T(utimensat, utimensat, G(AT_FDCWD, L("none"), 0, 0), {0, 999}, {0, rd}, {1, BAD}, {1, 0}, {1, L("")}, {2, BAD}, {2, L(odd_pair)}, {3, 1});
	T(futimesat, futimesat, G(AT_FDCWD, L("none"), 0), {0, 999}, {1, BAD}, {2, BAD}, {2, L(odd_times)});
	T(truncate, truncate, G(L("none"), 0), {0, BAD}, {0, L("d")}, {0, L("f/x")}, {0, L("/dev/null")}, {1, -1});
	T(chdir, chdir, G(L("f")), {0, BAD}, {0, L("")}, {0, L("none")}, {0, L("f/")}, {0, L(long_name)});
	T(fchdir, fchdir, G(rd), {0, 999}, {0, path}, {0, pipes[0]});
	T(setxattr, setxattr, G(L("f"), L("user.x"), L(buffer), 1, 2), {0, BAD}, {0, L("none")}, {1, BAD}, {1, L("")}, {1, L("plain")}, {1, L("odd.x")}, {1, L(long_name)}, {2, BAD}, {3, 65537}, {4, 4}, {4, 3});
	T(getxattr, getxattr, G(L("f"), L("user.x"), L(buffer), 10), {0, BAD}, {0, L("none")}, {1, BAD}, {1, L("")}, {1, L("odd.x")}, {1, L(long_name)}, {2, BAD}, {3, 0});
	T(removexattr, removexattr, G(L("f"), L("user.x")), {0, BAD}, {0, L("none")}, {1, BAD}, {1, L("")}, {1, L("odd.x")}, {1, L(long_name)});
	T(listxattr, listxattr, G(L("none"), L(buffer), 10), {0, BAD}, {0, L("f/x")}, {1, BAD});
	T(getcwd, getcwd, G(L(buffer), 1), {0, BAD}, {1, 0}, {1, 4096});
	T(execve, execve, G(L("none"), 0, 0), {0, BAD}, {0, L("d")}, {0, L("f")}, {0, L("")}, {0, L("f/x")}, {0, L("/dev/null")});
	T(execveat, execveat, G(AT_FDCWD, L("none"), 0, 0, 0), {0, 999}, {0, rd}, {1, BAD}, {1, L("f")}, {1, L("")}, {4, AT_EMPTY_PATH}, {4, AT_SYMLINK_NOFOLLOW});
}

static void descriptors(void)
{
	T(dup2, dup2, G(999, 1200), {0, 998}, {0, -1}, {1, 1024}, {1, -1}, {1, 999});
	T(dup3, dup3, G(rd, rd, 0), {0, 999}, {1, 1024}, {1, -1}, {2, 1}, {2, O_NONBLOCK});
	T(close_range, close_range, G(2000, 3000, 0), {0, 4000}, {1, 1}, {2, 1}, {2, 8});
	T(fcntl, fcntl, G(rd, F_DUPFD, 2000), {0, 999}, {0, path}, {1, 99}, {1, F_SETLK}, {1, F_SETPIPE_SZ}, {1, 1033}, {1, F_SETSIG}, {2, -1}, {2, BAD});
	T(fcntl_2, fcntl, G(rd, F_SETLK, L(&a_lock)), {0, 999}, {0, wr}, {0, path}, {1, F_OFD_SETLK}, {2, BAD}, {2, L(&odd_lock)}, {2, L(&low_lock)}, {2, L(&ofd_pid)});
	T(fcntl_3, fcntl, G(rd, F_OFD_GETLK, L(&ofd_pid)), {0, 999}, {0, wr}, {0, path}, {1, F_GETLK}, {2, BAD}, {2, L(&odd_lock)}, {2, L(&low_lock)});
	T(fcntl_4, fcntl, G(rd, F_SETOWN, 0x3fffffff), {0, 999}, {0, path}, {1, F_SETOWN_EX}, {2, INT_MIN}, {2, BAD});
	T(flock, flock, G(rd, 0), {0, 999}, {0, path}, {1, LOCK_EX | LOCK_SH}, {1, 3 | LOCK_NB}, {1, 32});
	T(ioctl, ioctl, G(rd, 0x5401, BAD), {0, 999}, {0, path}, {0, pipes[0]}, {0, dir}, {1, 0x541b}, {1, 0x5421}, {1, 0x5452}, {1, 99});
	T(pipe2, pipe2, G(L(buffer), O_CLOEXEC), {0, BAD}, {1, 1}, {1, O_APPEND});
	T(eventfd2, eventfd2, G(0, 0), {1, 2}, {1, O_APPEND});
	T(epoll_create1, epoll_create1, G(0), {0, 1});
	T(epoll_ctl, epoll_ctl, G(ep, EPOLL_CTL_ADD, pipes[0], L(&event)), {0, 999}, {0, rd}, {1, 9}, {1, EPOLL_CTL_MOD}, {1, EPOLL_CTL_DEL}, {2, 998}, {2, rd}, {2, ep}, {3, BAD}, {3, L(&exclusive)});
	T(epoll_wait, epoll_wait, G(ep, L(buffer), 1, 0), {0, 999}, {0, rd}, {1, BAD}, {2, 0}, {2, -1}, {2, INT_MAX});
	T(epoll_pwait, epoll_pwait, G(ep, L(buffer), 1, 0, 0, 8), {0, 999}, {0, rd}, {1, BAD}, {2, 0}, {4, BAD}, {5, 4});
	T(epoll_pwait2, epoll_pwait2, G(ep, L(buffer), 1, L(&zero), 0, 8), {0, 999}, {0, rd}, {2, 0}, {3, BAD}, {3, L(&odd)}, {4, BAD});
	T(poll, poll, G(no_files, 0, 0), {0, BAD}, {1, 1 << 20}, {1, 1025});
	T(ppoll, ppoll, G(BAD, 0, L(&zero), 0, 8), {1, 1}, {1, 1 << 20}, {2, BAD}, {2, L(&odd)}, {2, L(&minus)}, {3, BAD}, {3, L(&set8)}, {4, 4});
	T(pselect6, pselect6, G(0, 0, 0, 0, L(&zero), 0), {0, -1}, {0, 1}, {1, BAD}, {4, BAD}, {4, L(&odd)});
	T(select, select, G(1, 0, 0, 0, L(&none_timer)), {0, -1}, {1, BAD}, {2, BAD}, {4, BAD}, {4, L(&minus)});
	T(timerfd_create, timerfd_create, G(1, 0), {0, 99}, {0, 2}, {1, 1});
	T(timerfd_settime, timerfd_settime, G(tfd, 0, L(&none_spec), 0), {0, 999}, {0, rd}, {1, 8}, {2, BAD}, {2, L(&odd_spec)}, {3, BAD});
	T(timerfd_gettime, timerfd_gettime, G(tfd, L(buffer)), {0, 999}, {0, rd}, {1, BAD});
	T(signalfd4, signalfd4, G(-1, L(&set8), 8, 0), {0, 999}, {0, rd}, {0, -2}, {1, BAD}, {2, 4}, {3, 1});
	T(memfd_create, memfd_create, G(L("x"), 0), {0, BAD}, {0, L(long_name)}, {1, 0x100}, {1, 0x18});
	T(pidfd_open, pidfd_open, G(sys(getpid), 0), {0, 0}, {0, -1}, {0, 0x3fffffff}, {1, 1});
	T(pidfd_getfd, pidfd_getfd, G(999, 0, 0), {0, rd}, {1, -1}, {2, 1});
	T(pidfd_send_signal, pidfd_send_signal, G(999, 0, 0, 0), {0, rd}, {1, 65}, {1, -1}, {2, BAD}, {2, L(&forged)}, {3, 1}, {3, 8});
}

static void sockets(void)
{
	T(socket, socket, G(AF_UNIX, SOCK_STREAM, 0), {0, 99}, {0, -1}, {1, 99}, {1, 0}, {1, SOCK_STREAM | 0x100}, {2, 5});
	T(socketpair, socketpair, G(AF_UNIX, SOCK_STREAM, 0, L(buffer)), {0, 99}, {1, 99}, {1, SOCK_STREAM | 0x100}, {2, 5});
	T(bind, bind, G(sock, L(&family), 10), {0, 999}, {0, rd}, {1, BAD}, {2, -1}, {2, 0}, {2, 2}, {2, 200});
	T(connect, connect, G(sock, L(&address), sizeof address), {0, 999}, {1, BAD}, {1, L(&family)}, {2, -1}, {2, 1}, {2, 200});
	T(listen, listen, G(sock, 0), {0, 999}, {0, rd}, {0, path});
	T(accept4, accept4, G(sock, 0, 0, 0), {0, 999}, {0, rd}, {1, BAD}, {2, BAD});
	T(getsockname, getsockname, G(sock, L(buffer), L(&length)), {0, 999}, {0, rd}, {1, BAD}, {2, BAD}, {2, L(&minus_length)});
	T(getpeername, getpeername, G(sock, L(buffer), L(&length)), {0, 999}, {0, rd}, {2, BAD}, {2, L(&minus_length)});
	T(getsockopt, getsockopt, G(sock, SOL_SOCKET, SO_TYPE, L(buffer), L(&length)), {0, 999}, {0, rd}, {2, 999}, {3, BAD}, {4, BAD}, {4, L(&minus_length)});
	T(setsockopt, setsockopt, G(sock, SOL_SOCKET, SO_PASSCRED, L(buffer), 4), {0, 999}, {0, rd}, {2, SO_RCVTIMEO}, {4, 1}, {4, -1});
	T(shutdown, shutdown, G(sock, 0), {0, 999}, {0, rd}, {1, 3}, {1, -1});
	T(sendto, sendto, G(sock, L(buffer), 1, 0, 0, 0), {0, 999}, {0, rd}, {1, BAD}, {5, 200}, {5, -1});
	T(recvfrom, recvfrom, G(sock, L(buffer), 1, 0, 0, 0), {0, 999}, {0, rd}, {1, BAD}, {3, MSG_ERRQUEUE});
	static struct msghdr message, bad_name = {.msg_name = (void *)BAD, .msg_namelen = 5}, bad_iov = {.msg_iov = (void *)BAD, .msg_iovlen = 1}, many = {.msg_iov = vector, .msg_iovlen = 1025}, control = {.msg_control = (void *)BAD, .msg_controllen = 16};
	T(sendmsg, sendmsg, G(sock, L(&message), 0), {0, 999}, {0, rd}, {1, BAD}, {1, L(&bad_name)}, {1, L(&bad_iov)}, {1, L(&many)}, {1, L(&control)});
	T(recvmsg, recvmsg, G(sock, L(&message), MSG_DONTWAIT), {0, 999}, {0, rd}, {1, BAD}, {1, L(&bad_iov)}, {1, L(&many)});
}

static void processes(void)
{
	long me = sys(getpid);
	T(rt_sigaction, rt_sigaction, G(SIGUSR1, L(&action), 0, 8), {0, 0}, {0, 65}, {0, SIGKILL}, {1, BAD}, {2, BAD}, {3, 4});
	T(rt_sigprocmask, rt_sigprocmask, G(SIG_BLOCK, 0, 0, 8), {0, 9}, {1, BAD}, {1, L(&set8)}, {2, BAD}, {3, 4});
	T(rt_sigpending, rt_sigpending, G(L(buffer), 8), {0, BAD}, {1, 9});
	T(rt_sigtimedwait, rt_sigtimedwait, G(L(&set8), 0, L(&zero), 8), {0, BAD}, {1, BAD}, {2, BAD}, {2, L(&odd)}, {2, L(&minus)}, {3, 4});
	T(rt_sigsuspend, rt_sigsuspend, G(BAD, 4), {0, L(&set8)}, {1, 16});
	T(rt_sigqueueinfo, rt_sigqueueinfo, G(0x3fffffff, 0, L(&info)), {0, -1}, {0, me}, {1, 65}, {1, -1}, {2, BAD}, {2, L(&forged)});
	T(rt_tgsigqueueinfo, rt_tgsigqueueinfo, G(me, 0x3fffffff, 0, L(&info)), {0, 0}, {0, -1}, {0, 1 << 29}, {1, 0}, {1, me}, {2, 65}, {3, BAD}, {3, L(&forged)});
	T(kill, kill, G(0x3fffffff, 0), {0, -0x3fffffff}, {0, INT_MIN}, {1, 65}, {1, -1});
	T(tkill, tkill, G(0x3fffffff, 0), {0, 0}, {0, -1}, {1, 65}, {1, -1});
	T(tgkill, tgkill, G(me, 0x3fffffff, 0), {0, 0}, {0, -1}, {0, 1}, {1, 0}, {1, -1}, {2, 65});
	T(sigaltstack, sigaltstack, G(0, 0), {0, BAD}, {1, BAD}, {0, L(&odd_stack)}, {0, L(&small_stack)});
	T(wait4, wait4, G(-1, L(buffer), WNOHANG, 0), {0, 0x3fffffff}, {0, INT_MIN}, {1, BAD}, {2, 0x100}, {3, BAD});
	T(waitid, waitid, G(P_ALL, 0, L(buffer), WEXITED | WNOHANG, 0), {0, 9}, {0, P_PID}, {0, P_PGID}, {0, P_PIDFD}, {1, -1}, {1, 999}, {2, BAD}, {3, WNOHANG}, {3, 0x100 | WEXITED}, {4, BAD});
	T(prlimit64, prlimit64, G(0, RLIMIT_CORE, L(&limit), 0), {0, 0x3fffffff}, {0, -1}, {1, 16}, {1, -1}, {2, BAD}, {2, L(&crossed)}, {3, BAD});
	T(setrlimit, setrlimit, G(RLIMIT_CORE, L(&crossed)), {0, 16}, {1, BAD});
	T(getrusage, getrusage, G(0, L(buffer)), {0, 5}, {1, BAD});
	T(getpriority, getpriority, G(0, 0), {0, 3}, {0, -1}, {1, 0x3fffffff}, {1, -1});
	T(setpriority, setpriority, G(0, 0x3fffffff, 0), {0, 3}, {1, -1}, {2, 99});
	T(sched_setscheduler, sched_setscheduler, G(0x3fffffff, 0, L(&param)), {0, -1}, {1, 9}, {1, -1}, {1, 1}, {2, BAD}, {2, 0}, {2, L(&high)});
	T(sched_setparam, sched_setparam, G(0x3fffffff, L(&param)), {0, -1}, {0, 0}, {1, BAD}, {1, 0}, {1, L(&high)});
	T(sched_getparam, sched_getparam, G(0x3fffffff, L(buffer)), {0, -1}, {0, 0}, {1, BAD}, {1, 0});
	T(sched_getscheduler, sched_getscheduler, G(0x3fffffff), {0, -1});
	T(sched_setaffinity, sched_setaffinity, G(0x3fffffff, 8, L(&set8)), {0, -1}, {0, 0}, {1, 0}, {2, BAD}, {2, L(&zero)});
	T(sched_getaffinity, sched_getaffinity, G(0x3fffffff, 8, L(buffer)), {0, -1}, {0, 0}, {1, 4}, {1, 12}, {2, BAD});
	T(sched_rr_get_interval, sched_rr_get_interval, G(0x3fffffff, L(buffer)), {0, -1}, {0, 0}, {1, BAD});
	T(setpgid, setpgid, G(0x3fffffff, 0), {0, -1}, {0, 0}, {1, -1}, {1, 0x3fffffff});
	T(getpgid, getpgid, G(0x3fffffff), {0, -1}, {0, INT_MIN});
	T(setgroups, setgroups, G(1, L(&zero)), {0, 65537}, {0, -1}, {1, BAD});
	T(getgroups, getgroups, G(0, L(buffer)), {0, -1}, {1, BAD});
	T(set_robust_list, set_robust_list, G(0, 24), {1, 23}, {1, 0});
	T(get_robust_list, get_robust_list, G(0x3fffffff, L(buffer), L(buffer)), {0, -1}, {0, 0}, {1, BAD}, {2, BAD});
	T(prctl, prctl, G(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0), {0, 9999}, {0, PR_SET_PDEATHSIG}, {0, PR_SET_NAME}, {0, PR_SET_KEEPCAPS}, {0, PR_CAPBSET_READ}, {0, PR_SET_DUMPABLE}, {0, PR_GET_NO_NEW_PRIVS}, {0, PR_CAP_AMBIENT}, {0, PR_GET_CHILD_SUBREAPER}, {1, BAD * 16}, {2, 1}, {4, 1});
	T(arch_prctl, arch_prctl, G(0x1002, -1), {0, 0x1003}, {0, 9}, {0, 0x1001}, {1, 1L << 62});
	T(clone3, clone3, G(BAD, 63), {0, L(buffer)}, {1, 5000}, {1, 0});
	T(membarrier, membarrier, G(99, 0), {0, 0}, {1, 1});
}

static void memory_and_times(void)
{
	/* Far from where the kernel puts what has no address, so that the hole behind it stays one. */
	char *one = (char *)must(sys(mmap, 0x40000000, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	T(mmap, mmap, G(0, 4096, PROT_READ, MAP_PRIVATE, rd, 0), {0, L(one) + 1}, {1, 0}, {3, 0}, {3, 3 | 0x8000000}, {4, 999}, {4, wr}, {4, dir}, {4, pipes[0]}, {4, path}, {5, 1});
	T(munmap, munmap, G(L(one) + 1, 4096), {0, -4096}, {1, 0}, {1, -1});
	T(mprotect, mprotect, G(L(one) + 1, 4096, 1), {0, L(one) + 8192}, {1, 0}, {1, -1}, {2, 0x100}, {2, 0x3000000});
	T(mremap, mremap, G(L(one) + 1, 4096, 4096, 0), {0, L(one) + 8192}, {1, 16384}, {2, 0}, {2, -4096}, {3, 8}, {4, 1});
	T(msync, msync, G(L(one) + 1, 4096, MS_SYNC), {0, L(one) + 8192}, {1, -1}, {1, 0}, {2, 8}, {2, MS_SYNC | MS_ASYNC});
	T(madvise, madvise, G(L(one) + 1, 4096, MADV_NORMAL), {0, L(one) + 8192}, {1, -1}, {1, 0}, {2, 99});
	T(mlock, mlock, G(L(one) + 8192, 4096), {0, L(one) + 8193}, {1, -1}, {1, 0});
	T(mlock2, mlock2, G(L(one) + 8192, 4096, 0), {1, -1}, {1, 0}, {2, 2});
	T(munlock, munlock, G(L(one) + 8192, 4096), {1, -1}, {1, 0});
	T(mincore, mincore, G(L(one) + 1, 4096, L(buffer)), {0, L(one) + 8192}, {1, -1}, {1, 0}, {2, BAD});
	T(clock_gettime, clock_gettime, G(99, L(buffer)), {0, -1}, {0, 1}, {1, BAD});
	T(clock_getres, clock_getres, G(99, 0), {0, 1}, {1, BAD});
	T(clock_nanosleep, clock_nanosleep, G(1, 0, L(&zero), 0), {0, 99}, {0, 3}, {0, 4}, {1, 8}, {2, BAD}, {2, L(&odd)}, {2, L(&minus)}, {3, BAD});
	T(nanosleep, nanosleep, G(L(&odd), 0), {0, BAD}, {0, L(&minus)}, {1, BAD});
	T(setitimer, setitimer, G(9, L(&none_timer), 0), {0, 2}, {1, BAD}, {1, L(&odd_timer)}, {2, BAD});
	T(getitimer, getitimer, G(9, L(buffer)), {0, 0}, {1, BAD});
	T(timer_settime, timer_settime, G(9999, 0, L(&none_spec), 0), {1, 8}, {2, BAD}, {2, 0}, {2, L(&odd_spec)}, {3, BAD});
	T(timer_gettime, timer_gettime, G(9999, L(buffer)), {0, -1}, {1, BAD});
	T(timer_create, timer_create, G(1, 0, L(buffer)), {1, L(&odd_event)}, {1, L(&odd_signo)}, {2, BAD});
	T(getrandom, getrandom, G(BAD, 0, 0), {1, 16}, {2, 8}, {2, 6});
	memset(buffer, 0, sizeof buffer);
	T(futex, futex, G(L(buffer) + 1, FUTEX_WAIT, 12345, 0), {0, BAD}, {0, L(buffer)}, {1, 99}, {1, FUTEX_WAKE}, {1, FUTEX_WAIT_BITSET}, {1, FUTEX_CMP_REQUEUE}, {2, 5}, {3, BAD}, {3, L(&odd)}, {5, 0});
	T(getcpu, getcpu, G(BAD, 0), {1, BAD});
	T(syslog, syslog, G(99, 0, 0), {0, 3}, {2, -1});
	T(capget, capget, G(BAD, 0), {0, 0}, {0, L(&zero)}, {1, BAD});
	T(capset, capset, G(BAD, 0), {0, 0}, {0, L(&zero)}, {1, BAD});
	T(sethostname, sethostname, G(BAD, 65), {0, L("bevor")}, {1, -1});
	T(statfs, statfs, G(L("none"), L(buffer)), {0, BAD}, {0, L("")}, {1, BAD});
	T(fstatfs, fstatfs, G(999, L(buffer)), {0, rd}, {1, BAD});
	T(fstat, fstat, G(999, L(buffer)), {0, rd}, {1, BAD});
	T(chroot, chroot, G(L("none")), {0, BAD}, {0, L("f")}, {0, L("")});
}

PROBE("order/pairs", "read", "write", "pread64", "pwrite64", "readv", "writev", "preadv", "pwritev", "preadv2", "pwritev2", "sendfile",
      "copy_file_range", "splice", "tee", "lseek", "fallocate", "ftruncate", "fadvise64", "fsync", "syncfs", "getdents64", "openat",
      "openat2", "newfstatat", "statx", "faccessat", "faccessat2", "readlinkat", "mkdirat", "mknodat", "symlinkat", "linkat", "renameat2",
      "unlinkat", "rmdir", "fchmodat", "fchmodat2", "fchownat", "utimensat", "futimesat", "truncate", "chdir", "fchdir", "setxattr",
      "getxattr", "removexattr", "listxattr", "getcwd", "execve", "execveat", "dup2", "dup3", "close_range", "fcntl", "fcntl_2", "fcntl_3",
      "fcntl_4", "flock", "ioctl", "pipe2", "eventfd2", "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "poll",
      "ppoll", "pselect6", "select", "timerfd_create", "timerfd_settime", "timerfd_gettime", "signalfd4", "memfd_create", "pidfd_open",
      "pidfd_getfd", "pidfd_send_signal", "socket", "socketpair", "bind", "connect", "listen", "accept4", "getsockname", "getpeername",
      "getsockopt", "setsockopt", "shutdown", "sendto", "recvfrom", "sendmsg", "recvmsg", "rt_sigaction", "rt_sigprocmask", "rt_sigpending",
      "rt_sigtimedwait", "rt_sigsuspend", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "kill", "tkill", "tgkill", "sigaltstack", "wait4",
      "waitid", "prlimit64", "setrlimit", "getrusage", "getpriority", "setpriority", "sched_setscheduler", "sched_setparam",
      "sched_getparam", "sched_getscheduler", "sched_setaffinity", "sched_getaffinity", "sched_rr_get_interval", "setpgid", "getpgid",
      "setgroups", "getgroups", "set_robust_list", "get_robust_list", "prctl", "arch_prctl", "clone3", "membarrier", "mmap", "munmap",
      "mprotect", "mremap", "msync", "madvise", "mlock", "mlock2", "munlock", "mincore", "clock_gettime", "clock_getres", "clock_nanosleep",
      "nanosleep", "setitimer", "getitimer", "timer_settime", "timer_gettime", "timer_create", "getrandom", "futex", "getcpu", "syslog",
      "capget", "capset", "sethostname", "statfs", "fstatfs", "fstat", "chroot")
{
	int fds[2];
	struct rlimit files = {1024, 1024};
	must(sys(setrlimit, RLIMIT_NOFILE, &files));
	put_file("f", "0123456789", 10);
	must(sys(mkdir, "d", 0700));
	must(sys(mkdir, "full", 0700));
	put_file("full/x", "", 0);
	must(sys(symlink, "f", "l"));
	memset(long_name, 'n', sizeof long_name - 1);
	rd = must(sys(openat, AT_FDCWD, "f", O_RDONLY));
	wr = must(sys(openat, AT_FDCWD, "f", O_WRONLY));
	app = must(sys(openat, AT_FDCWD, "f", O_WRONLY | O_APPEND));
	dir = must(sys(openat, AT_FDCWD, "d", O_RDONLY));
	path = must(sys(openat, AT_FDCWD, "f", O_PATH));
	make_pipe(fds, O_NONBLOCK);
	pipes[0] = fds[0], pipes[1] = fds[1];
	sock = must(sys(socket, AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0));
	no_files = must(sys(mmap, NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	must(sys(munmap, no_files + 3 * 4096, 4096));
	no_files += 3 * 4096 - 1025 * (long)sizeof(struct pollfd);
	ep = must(sys(epoll_create1, 0));
	tfd = must(sys(timerfd_create, CLOCK_MONOTONIC, O_NONBLOCK));
	efd = must(sys(eventfd2, 0, O_NONBLOCK));
	sfd = must(sys(signalfd4, -1, &set8, 8, O_NONBLOCK));
	lowest_was = must(sys(dup, rd));
	must(sys(close, lowest_was));
	before_file = lstat_of("f");
	vector[0] = (struct iovec){buffer, 4}, vector[1] = (struct iovec){buffer + 8, 4};
	bad_vector[0] = (struct iovec){(void *)BAD, 4}, bad_vector[1] = vector[0];
	minus_vector[0] = vector[0], minus_vector[1] = (struct iovec){buffer, (size_t)-1};
	big_vector[0] = (struct iovec){buffer, LONG_MAX}, big_vector[1] = big_vector[0];
	transfers();
	paths();
	descriptors();
	sockets();
	processes();
	memory_and_times();
}
