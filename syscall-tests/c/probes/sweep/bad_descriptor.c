/* Every call that takes a descriptor refuses one that is not open. */
#include "probe.h"

#define FAILS(call, ...) observe(#call, #call, ret_int(sys(call, __VA_ARGS__)), ARGS(), STATE())

PROBE("sweep/bad_descriptor", "accept4", "dup", "dup3", "epoll_pwait", "fallocate", "fchdir", "fchmod", "fchmodat", "fchown",
      "fchownat", "fdatasync", "flock", "fstat", "ftruncate", "getdents64", "getpeername", "getsockname", "getsockopt", "ioctl",
      "linkat", "listen", "lseek", "mkdirat", "mknodat", "openat", "pidfd_send_signal", "pread64", "preadv", "preadv2",
      "pwrite64", "pwritev", "pwritev2", "readlinkat", "readv", "recvfrom", "recvmsg", "renameat", "sendmsg", "sendto",
      "setsockopt", "shutdown", "splice", "symlinkat", "tee", "timerfd_gettime", "unlinkat", "utimensat", "writev")
{
	static char data[256];
	struct epoll_event events[1];
	struct iovec iov = {data, 1};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
	socklen_t len = sizeof data;
	FAILS(accept4, 4000, NULL, NULL, 0);
	FAILS(dup, 4000);
	FAILS(dup3, 4000, 100, 0);
	FAILS(epoll_pwait, 4000, events, 1, 0, NULL, 8);
	FAILS(fallocate, 4000, 0, 0, 1);
	FAILS(fchdir, 4000);
	FAILS(fchmod, 4000, 0600);
	FAILS(fchmodat, 4000, "f", 0600);
	FAILS(fchown, 4000, -1, -1);
	FAILS(fchownat, 4000, "f", -1, -1, 0);
	FAILS(fdatasync, 4000);
	FAILS(flock, 4000, 1);
	FAILS(fstat, 4000, data);
	FAILS(ftruncate, 4000, 0);
	FAILS(getdents64, 4000, data, sizeof data);
	FAILS(getpeername, 4000, data, &len);
	FAILS(getsockname, 4000, data, &len);
	FAILS(getsockopt, 4000, SOL_SOCKET, SO_TYPE, data, &len);
	FAILS(ioctl, 4000, 0x5401, data);
	FAILS(linkat, 4000, "f", AT_FDCWD, "g", 0);
	FAILS(listen, 4000, 1);
	FAILS(lseek, 4000, 0, SEEK_SET);
	FAILS(mkdirat, 4000, "d", 0700);
	FAILS(mknodat, 4000, "n", S_IFIFO | 0600, 0);
	FAILS(openat, 4000, "f", O_RDONLY);
	FAILS(pidfd_send_signal, 4000, 0, NULL, 0);
	FAILS(pread64, 4000, data, 1, 0);
	FAILS(preadv, 4000, &iov, 1, 0, 0);
	FAILS(preadv2, 4000, &iov, 1, 0, 0, 0);
	FAILS(pwrite64, 4000, data, 1, 0);
	FAILS(pwritev, 4000, &iov, 1, 0, 0);
	FAILS(pwritev2, 4000, &iov, 1, 0, 0, 0);
	FAILS(readlinkat, 4000, "l", data, 1);
	FAILS(readv, 4000, &iov, 1);
	FAILS(recvfrom, 4000, data, 1, 0, NULL, NULL);
	FAILS(recvmsg, 4000, &message, 0);
	FAILS(renameat, 4000, "f", AT_FDCWD, "g");
	FAILS(sendmsg, 4000, &message, 0);
	FAILS(sendto, 4000, data, 1, 0, NULL, 0);
	FAILS(setsockopt, 4000, SOL_SOCKET, SO_REUSEADDR, data, 4);
	FAILS(shutdown, 4000, SHUT_RD);
	FAILS(splice, 4000, NULL, 1, NULL, 1, 0);
	FAILS(symlinkat, "f", 4000, "s");
	FAILS(tee, 4000, 0, 1, 0);
	FAILS(timerfd_gettime, 4000, data);
	FAILS(unlinkat, 4000, "f", 0);
	FAILS(utimensat, 4000, "f", NULL, 0);
	FAILS(writev, 4000, &iov, 1);
}
