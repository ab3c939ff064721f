/* Every call that takes a descriptor, on a descriptor of every kind. */
#include "probe.h"
#include "table.h"
#include <linux/stat.h>
#include <sys/ioctl.h>
#include <sys/statfs.h>
#include <sys/timerfd.h>

#define KINDS 24
static struct row row;
static long fds[KINDS];

/* In this order: a file for reading, writing, both and appending, a folder, two paths, pipes' ends, a FIFO, sockets, the event files, memory, devices, /proc, and one that is closed. */
static void open_all(void)
{
	int p[2], s[2], n = 0;
	uint64_t none = 0;
	put_file("f", "0123456789", 10);
	sys(mkdir, "d", 0700);
	sys(mknod, "p", S_IFIFO | 0600, 0);
	fds[n++] = must(sys(openat, AT_FDCWD, "f", O_RDONLY));
	fds[n++] = must(sys(openat, AT_FDCWD, "f", O_WRONLY));
	fds[n++] = must(sys(openat, AT_FDCWD, "f", O_RDWR));
	fds[n++] = must(sys(openat, AT_FDCWD, "f", O_RDWR | O_APPEND));
	fds[n++] = must(sys(openat, AT_FDCWD, "d", O_RDONLY));
	fds[n++] = must(sys(openat, AT_FDCWD, "f", O_PATH));
	fds[n++] = must(sys(openat, AT_FDCWD, "d", O_PATH));
	make_pipe(p, O_NONBLOCK);
	must(sys(write, p[1], "ab", 2));
	fds[n++] = p[0];
	fds[n++] = p[1];
	fds[n++] = must(sys(openat, AT_FDCWD, "p", O_RDWR | O_NONBLOCK));
	must(sys(socketpair, AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s));
	fds[n++] = s[0];
	must(sys(socketpair, AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, s));
	fds[n++] = s[0];
	fds[n++] = must(sys(socket, AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0));
	fds[n] = must(sys(socket, AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0));
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	must(sys(bind, fds[n], &a, 2));
	must(sys(listen, fds[n++], 1));
	fds[n++] = must(sys(eventfd2, 1, O_NONBLOCK));
	fds[n++] = must(sys(epoll_create1, 0));
	fds[n++] = must(sys(timerfd_create, CLOCK_MONOTONIC, O_NONBLOCK));
	fds[n++] = must(sys(signalfd4, -1, &none, 8, O_NONBLOCK));
	fds[n++] = must(sys(pidfd_open, sys(getpid), 0));
	fds[n] = must(sys(memfd_create, "m", 2));
	must(sys(ftruncate, fds[n++], 4096));
	fds[n++] = must(sys(openat, AT_FDCWD, "/dev/null", O_RDWR));
	fds[n++] = must(sys(openat, AT_FDCWD, "/dev/zero", O_RDWR));
	fds[n++] = must(sys(openat, AT_FDCWD, "/proc/self/stat", O_RDONLY));
	fds[n++] = 400;
	require(n == KINDS);
}

static void close_all(void)
{
	for (int i = 0; i < KINDS - 1; i++)
		must(sys(close, fds[i]));
}

static char buffer[65536];

/* One call on each kind, each anew. */
#define EACH(id, call, result)                                                                                        \
	do {                                                                                                          \
		open_all();                                                                                           \
		for (long kind = 0; kind < KINDS; kind++) {                                                           \
			long fd = fds[kind];                                                                          \
			cell(&row, kind, result);                                                                     \
		}                                                                                                     \
		close_all();                                                                                          \
		observe_row(&row, id, call);                                                                          \
	} while (0)

static long moded(long fd)
{
	struct stat s;
	return sys(fstat, fd, &s) ?: (long)(s.st_mode & ~0777u) | (s.st_nlink == 0) | (s.st_size != 0) << 1 | (s.st_rdev != 0) << 2;
}

static long polled(long fd, long wanted)
{
	struct pollfd p = {(int)fd, (short)wanted, -1};
	return sys(poll, &p, 1, 0) ?: 0, (long)(unsigned short)p.revents;
}

static long mapped(long fd, long prot, long flags)
{
	long r = sys(mmap, NULL, 4096, prot, flags, fd, 0);
	if (err_of(r))
		return r;
	must(sys(munmap, r, 4096));
	return 0;
}

static long watched(long fd)
{
	struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET};
	long ep = must(sys(epoll_create1, 0)), r = sys(epoll_ctl, ep, EPOLL_CTL_ADD, fd, &e);
	if (r == 0)
		r = sys(epoll_wait, ep, &e, 1, 0) ? e.events : 0;
	must(sys(close, ep));
	return r;
}

static long control(long fd, long command, long argument) { return sys(fcntl, fd, command, argument); }

static long locked(long fd, long command, long type)
{
	struct flock l = {.l_type = (short)type, .l_len = 1};
	return sys(fcntl, fd, command, &l);
}

static long selected(long fd)
{
	unsigned long sets[3][16] = {{0}};
	struct timespec none = {0, 0};
	for (int i = 0; i < 3; i++)
		sets[i][fd / 64] = 1ul << fd % 64;
	long r = sys(pselect6, fd + 1, sets[0], sets[1], sets[2], &none, NULL);
	return r < 0 ? r : (sets[0][fd / 64] != 0) | (sets[1][fd / 64] != 0) << 1 | (sets[2][fd / 64] != 0) << 2;
}

static long requested(long fd, long request)
{
	long n = 0;
	return sys(ioctl, fd, request, &n) ?: n;
}

PROBE("sweep/descriptor_kinds", "read", "read_nothing", "read_fault", "read_8", "write", "write_nothing", "write_fault", "pread", "pread_negative", "pwrite", "pwrite_negative", "readv", "readv_none", "writev", "preadv", "pwritev", "preadv2_here", "pwritev2_here", "lseek", "lseek_end", "lseek_data", "lseek_bad", "fstat", "fstatfs", "fstat_empty_path", "statx_empty_path",
      "ftruncate", "ftruncate_negative", "fallocate", "fallocate_keep", "fsync", "fdatasync", "syncfs", "sync_file_range", "fadvise", "getdents64", "getdents", "fchdir", "fchmod", "fchown", "fchownat_empty_path", "utimensat_null", "dup", "dup2", "dup3", "poll", "poll_out", "poll_all", "select", "epoll_ctl", "getfd", "getfl", "setfl_append", "setfl_nonblock", "setfl_direct", "getown", "setown",
      "getsig", "setsig", "getlk", "setlk_read", "setlk_write", "setlk_unlock", "ofd_setlk", "flock_shared", "flock_exclusive", "flock_unlock", "getlease", "pipe_size", "set_pipe_size", "get_seals", "add_seals", "dupfd", "dupfd_cloexec", "unknown_command", "readable", "nonblock", "async", "cloexec", "not_cloexec", "terminal", "unknown_request", "size", "mmap_read", "mmap_write", "mmap_shared", "mmap_execute", "sendfile_from", "sendfile_to", "sendfile_offset", "splice_from", "splice_to", "splice_from_offset", "splice_to_offset", "tee_from", "tee_to",
      "copy_from", "copy_to", "openat", "mkdirat", "readlinkat", "faccessat", "unlinkat", "linkat_empty_path", "execveat_empty_path", "getsockname", "getpeername", "getsockopt", "setsockopt", "listen", "connect", "bind", "shutdown", "sendto", "recvfrom", "accept", "timerfd_gettime", "timerfd_settime", "signalfd4", "epoll_wait", "pidfd_send_signal", "pidfd_getfd", "waitid", "fgetxattr", "fsetxattr", "flistxattr", "fremovexattr", "close")
{
	struct iovec v[2] = {{buffer, 1}, {buffer + 1, 1}};
	struct timespec zero[4] = {{0, 0}};
	struct epoll_event e;
	struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "none"};
	uint64_t set = 0;
	long off, in = must(sys(openat, AT_FDCWD, "/proc/self/status", O_RDONLY)), out;
	int p[2], q[2];
	char *hole = (char *)pages(1, false);
	put_file("g", "0123456789", 10);
	in = must(sys(openat, AT_FDCWD, "g", O_RDONLY));
	out = must(sys(openat, AT_FDCWD, "g", O_RDWR));
	must(sys(munmap, hole, 4096));
	make_pipe(p, O_NONBLOCK);
	make_pipe(q, O_NONBLOCK);
	must(sys(write, p[1], "0123456789", 10));
	EACH("read", "read", sys(read, fd, buffer, 4));
	EACH("read_nothing", "read", sys(read, fd, buffer, 0));
	EACH("read_fault", "read", sys(read, fd, hole, 4));
	EACH("read_8", "read", kind == 22 ? 0 : sys(read, fd, buffer, 8));
	EACH("write", "write", sys(write, fd, "data", 4));
	EACH("write_nothing", "write", sys(write, fd, "data", 0));
	EACH("write_fault", "write", sys(write, fd, hole, 4));
	EACH("pread", "pread64", kind == 18 ? 0 : sys(pread64, fd, buffer, 4, 1));
	EACH("pread_negative", "pread64", sys(pread64, fd, buffer, 4, -1));
	EACH("pwrite", "pwrite64", kind == 18 || kind == 22 ? 0 : sys(pwrite64, fd, "data", 4, 1));
	EACH("pwrite_negative", "pwrite64", sys(pwrite64, fd, "data", 4, -1));
	EACH("readv", "readv", sys(readv, fd, v, 2));
	EACH("readv_none", "readv", kind == 15 || kind == 18 ? 0 : sys(readv, fd, v, 0));
	EACH("writev", "writev", sys(writev, fd, v, 2));
	EACH("preadv", "preadv", kind == 18 ? 0 : sys(preadv, fd, v, 2, 1));
	EACH("pwritev", "pwritev", kind == 18 || kind == 22 ? 0 : sys(pwritev, fd, v, 2, 1));
	EACH("preadv2_here", "preadv2", sys(preadv2, fd, v, 2, -1, 0, 0));
	EACH("pwritev2_here", "pwritev2", sys(pwritev2, fd, v, 2, -1, 0, 0));
	EACH("lseek", "lseek", sys(lseek, fd, 2, SEEK_SET));
	EACH("lseek_end", "lseek", kind == 4 ? 0 : sys(lseek, fd, 0, SEEK_END));
	EACH("lseek_data", "lseek", kind == 4 || kind == 22 || kind >= 20 ? 0 : sys(lseek, fd, 0, SEEK_DATA));
	EACH("lseek_bad", "lseek", sys(lseek, fd, 0, 9));
	EACH("fstat", "fstat", kind == 4 || kind == 6 ? 0 : moded(fd));
	EACH("fstatfs", "fstatfs", sys(fstatfs, fd, buffer));
	EACH("fstat_empty_path", "newfstatat", sys(newfstatat, fd, "", buffer, AT_EMPTY_PATH));
	EACH("statx_empty_path", "statx", sys(statx, fd, "", AT_EMPTY_PATH, 0x7ff, buffer));
	EACH("ftruncate", "ftruncate", kind == 18 ? 0 : sys(ftruncate, fd, 5));
	EACH("ftruncate_negative", "ftruncate", sys(ftruncate, fd, -1));
	EACH("fallocate", "fallocate", kind == 18 ? 0 : sys(fallocate, fd, 0, 0, 4));
	EACH("fallocate_keep", "fallocate", sys(fallocate, fd, 1, 0, 0));
	EACH("fsync", "fsync", sys(fsync, fd));
	EACH("fdatasync", "fdatasync", sys(fdatasync, fd));
	EACH("syncfs", "syncfs", sys(syncfs, fd));
	EACH("sync_file_range", "sync_file_range", kind == 18 ? 0 : sys(sync_file_range, fd, 0, 1, 0));
	EACH("fadvise", "fadvise64", sys(fadvise64, fd, 0, 1, 0));
	EACH("getdents64", "getdents64", sys(getdents64, fd, buffer, 8));
	EACH("getdents", "getdents", sys(getdents, fd, buffer, 8));
	EACH("fchdir", "fchdir", sys(fchdir, fd) ?: sys(chdir, ".."));
	EACH("fchmod", "fchmod", kind >= 20 ? 0 : sys(fchmod, fd, 0700));
	EACH("fchown", "fchown", kind >= 20 ? 0 : sys(fchown, fd, -1, -1));
	EACH("fchownat_empty_path", "fchownat", kind >= 20 ? 0 : sys(fchownat, fd, "", -1, -1, AT_EMPTY_PATH));
	EACH("utimensat_null", "utimensat", kind >= 20 ? 0 : sys(utimensat, fd, NULL, NULL, 0));
	EACH("dup", "dup", made(sys(dup, fd)));
	EACH("dup2", "dup2", made(sys(dup2, fd, 300)));
	EACH("dup3", "dup3", made_with(sys(dup3, fd, 300, O_CLOEXEC)));
	EACH("poll", "poll", polled(fd, POLLIN));
	EACH("poll_out", "poll", polled(fd, POLLOUT));
	EACH("poll_all", "poll", polled(fd, -1));
	EACH("select", "pselect6", selected(fd));
	EACH("epoll_ctl", "epoll_ctl", watched(fd));
	EACH("getfd", "fcntl", control(fd, F_GETFD, 0));
	EACH("getfl", "fcntl", control(fd, F_GETFL, 0));
	EACH("setfl_append", "fcntl", control(fd, F_SETFL, O_APPEND) ?: control(fd, F_GETFL, 0));
	EACH("setfl_nonblock", "fcntl", control(fd, F_SETFL, O_NONBLOCK | O_CREAT | O_SYNC | O_CLOEXEC) ?: control(fd, F_GETFL, 0));
	EACH("setfl_direct", "fcntl", kind < 5 || kind == 19 ? 0 : control(fd, F_SETFL, O_DIRECT) ?: control(fd, F_GETFL, 0));
	EACH("getown", "fcntl", control(fd, F_GETOWN, 0));
	EACH("setown", "fcntl", control(fd, F_SETOWN, 0));
	EACH("getsig", "fcntl", control(fd, F_GETSIG, 0));
	EACH("setsig", "fcntl", control(fd, F_SETSIG, 10) ?: control(fd, F_GETSIG, 0));
	EACH("getlk", "fcntl", locked(fd, F_GETLK, F_WRLCK));
	EACH("setlk_read", "fcntl", locked(fd, F_SETLK, F_RDLCK));
	EACH("setlk_write", "fcntl", locked(fd, F_SETLK, F_WRLCK));
	EACH("setlk_unlock", "fcntl", locked(fd, F_SETLK, F_UNLCK));
	EACH("ofd_setlk", "fcntl", kind < 4 ? 0 : locked(fd, 37, F_RDLCK));
	EACH("flock_shared", "flock", sys(flock, fd, 1));
	EACH("flock_exclusive", "flock", kind < 4 || (kind >= 14 && kind <= 18) ? 0 : sys(flock, fd, 2 | 4));
	EACH("flock_unlock", "flock", sys(flock, fd, 8));
	EACH("getlease", "fcntl", control(fd, F_GETLEASE, 0));
	EACH("pipe_size", "fcntl", control(fd, F_GETPIPE_SZ, 0));
	EACH("set_pipe_size", "fcntl", control(fd, F_SETPIPE_SZ, 8192));
	EACH("get_seals", "fcntl", kind < 4 ? 0 : control(fd, 1034, 0));
	EACH("add_seals", "fcntl", kind < 4 ? 0 : control(fd, 1033, 2));
	EACH("dupfd", "fcntl", made(control(fd, F_DUPFD, 300)));
	EACH("dupfd_cloexec", "fcntl", made_with(control(fd, F_DUPFD_CLOEXEC, 300)));
	EACH("unknown_command", "fcntl", control(fd, 77, 0));
	EACH("readable", "ioctl", requested(fd, FIONREAD));
	EACH("nonblock", "ioctl", requested(fd, FIONBIO));
	EACH("async", "ioctl", requested(fd, FIOASYNC));
	EACH("cloexec", "ioctl", sys(ioctl, fd, FIOCLEX, 0) ?: fd_flags(fd));
	EACH("not_cloexec", "ioctl", sys(ioctl, fd, FIONCLEX, 0) ?: fd_flags(fd));
	EACH("terminal", "ioctl", sys(ioctl, fd, TCGETS, buffer));
	EACH("unknown_request", "ioctl", sys(ioctl, fd, 0x7777, buffer));
	EACH("size", "ioctl", kind < 5 || kind == 19 ? 0 : requested(fd, FIOQSIZE));
	EACH("mmap_read", "mmap", mapped(fd, PROT_READ, MAP_PRIVATE));
	EACH("mmap_write", "mmap", mapped(fd, PROT_WRITE, MAP_PRIVATE));
	EACH("mmap_shared", "mmap", mapped(fd, PROT_READ | PROT_WRITE, MAP_SHARED));
	EACH("mmap_execute", "mmap", mapped(fd, PROT_READ | PROT_EXEC, MAP_PRIVATE));
	EACH("sendfile_from", "sendfile", kind == 13 || (kind >= 20 && kind < 23) ? 0 : sys(sendfile, out, fd, NULL, 2));
	EACH("sendfile_to", "sendfile", kind == 13 || (kind >= 20 && kind < 23) ? 0 : (off = 0, sys(sendfile, fd, in, &off, 2)));
	EACH("sendfile_offset", "sendfile", kind == 18 || kind == 13 || (kind >= 20 && kind < 23) ? 0 : (off = 1, sys(sendfile, q[1], fd, &off, 2) ?: off));
	EACH("splice_from", "splice", kind == 13 || (kind >= 20 && kind < 23) ? 0 : sys(splice, fd, NULL, q[1], NULL, 1, 2));
	EACH("splice_to", "splice", kind == 13 || (kind >= 20 && kind < 23) ? 0 : sys(splice, p[0], NULL, fd, NULL, 1, 2));
	EACH("splice_from_offset", "splice", kind == 13 || (kind >= 20 && kind < 23) ? 0 : (off = 1, sys(splice, fd, &off, q[1], NULL, 1, 2)));
	EACH("splice_to_offset", "splice", kind == 13 || (kind >= 20 && kind < 23) ? 0 : (off = 1, sys(splice, p[0], NULL, fd, &off, 1, 2)));
	EACH("tee_from", "tee", sys(tee, fd, q[1], 1, 2));
	EACH("tee_to", "tee", (sys(write, p[1], "12", 2), sys(tee, p[0], fd, 1, 2)));
	EACH("copy_from", "copy_file_range", kind == 18 || kind == 19 || kind == 22 ? 0 : (off = 20, sys(copy_file_range, fd, NULL, out, &off, 2, 0)));
	EACH("copy_to", "copy_file_range", kind == 18 || kind == 19 || kind == 22 ? 0 : (off = 0, sys(copy_file_range, in, &off, fd, NULL, 2, 0)));
	EACH("openat", "openat", kind == 4 || kind == 6 ? 0 : made(sys(openat, fd, "f", O_RDONLY)));
	EACH("mkdirat", "mkdirat", kind == 4 || kind == 6 ? 0 : sys(mkdirat, fd, "x", 0700));
	EACH("readlinkat", "readlinkat", kind >= 7 && kind < 19 && kind != 9 ? 0 : sys(readlinkat, fd, "", buffer, 8));
	EACH("faccessat", "faccessat2", sys(faccessat2, fd, "", F_OK, AT_EMPTY_PATH));
	EACH("unlinkat", "unlinkat", sys(unlinkat, fd, "none", 0));
	EACH("linkat_empty_path", "linkat", kind >= 4 && kind < 7 ? sys(linkat, fd, "", AT_FDCWD, "g", AT_EMPTY_PATH) : kind == 23 ? sys(linkat, fd, "", AT_FDCWD, "h", AT_EMPTY_PATH) : 0);
	EACH("execveat_empty_path", "execveat", sys(execveat, fd, "", NULL, NULL, AT_EMPTY_PATH));
	EACH("getsockname", "getsockname", sys(getsockname, fd, buffer, buffer + 256));
	EACH("getpeername", "getpeername", sys(getpeername, fd, buffer, buffer + 256));
	EACH("getsockopt", "getsockopt", requested(fd, 0x541b) == -ENOTTY ? sys(getsockopt, fd, 1, 3, buffer, buffer + 256) : 0);
	EACH("setsockopt", "setsockopt", sys(setsockopt, fd, 1, 16, &set, 4));
	EACH("listen", "listen", sys(listen, fd, 1));
	EACH("connect", "connect", sys(connect, fd, &a, 7));
	EACH("bind", "bind", sys(bind, fd, buffer, 1));
	EACH("shutdown", "shutdown", sys(shutdown, fd, 2));
	EACH("sendto", "sendto", sys(sendto, fd, "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0));
	EACH("recvfrom", "recvfrom", sys(recvfrom, fd, buffer, 1, MSG_DONTWAIT, NULL, NULL));
	EACH("accept", "accept", sys(accept, fd, NULL, NULL));
	EACH("timerfd_gettime", "timerfd_gettime", sys(timerfd_gettime, fd, buffer));
	EACH("timerfd_settime", "timerfd_settime", sys(timerfd_settime, fd, 0, zero, NULL));
	EACH("signalfd4", "signalfd4", sys(signalfd4, fd, &set, 8, 0) == fd ? 0 : sys(signalfd4, fd, &set, 8, 0));
	EACH("epoll_wait", "epoll_wait", sys(epoll_wait, fd, &e, 1, 0));
	EACH("pidfd_send_signal", "pidfd_send_signal", kind == 22 ? 0 : sys(pidfd_send_signal, fd, 0, NULL, 0));
	EACH("pidfd_getfd", "pidfd_getfd", made(sys(pidfd_getfd, fd, in, 0)));
	EACH("waitid", "waitid", sys(waitid, P_PIDFD, fd, NULL, WEXITED | WNOHANG, NULL));
	EACH("fgetxattr", "fgetxattr", kind >= 7 && kind != 19 ? 0 : sys(fgetxattr, fd, "user.x", buffer, 8));
	EACH("fsetxattr", "fsetxattr", kind >= 7 && kind != 9 ? 0 : sys(fsetxattr, fd, "user.x", "v", 1, 0));
	EACH("flistxattr", "flistxattr", kind >= 4 ? 0 : sys(flistxattr, fd, buffer, 0));
	EACH("fremovexattr", "fremovexattr", kind >= 7 && kind != 9 ? 0 : sys(fremovexattr, fd, "user.y"));
	open_all();
	for (long kind = 0; kind < KINDS; kind++)
		cell(&row, kind, sys(close, fds[kind]) ?: sys(close, fds[kind]));
	observe_row(&row, "close", "close");
}
