/* The ioctls that every descriptor knows, and FIONREAD. */
#include "probe.h"
#include <sys/ioctl.h>

static void readable(const char *id, long fd)
{
	int n = -77;
	long r = sys(ioctl, fd, FIONREAD, &n);
	observe(id, "ioctl", ret_int(r), ARGS(f_str("op", "FIONREAD")), STATE(f_int("n", n)));
}

static void flag(const char *id, long fd, unsigned op, int on)
{
	long r = sys(ioctl, fd, op, &on);
	observe(id, "ioctl", ret_int(r), ARGS(f_hex("op", op), f_int("on", on)), STATE(f_hex("status", (uint64_t)status_flags(fd)), f_hex("fd", (uint64_t)fd_flags(fd))));
}

PROBE("misc/ioctl_files", "readable_start", "readable_middle", "readable_end", "readable_past", "readable_directory", "readable_pipe", "readable_pipe_write", "readable_path", "readable_socket", "readable_memfd", "nonblock_on", "nonblock_again", "nonblock_off",
      "nonblock_pipe", "nonblock_pipe_off", "cloexec", "cloexec_off", "async_file", "async_pipe", "async_off", "unknown", "unknown_pipe", "tty_file", "closed", "efault")
{
	put_file("f", "0123456789", 10);
	long fd = must(sys(openat, AT_FDCWD, "f", O_RDWR)), path = must(sys(openat, AT_FDCWD, "f", O_PATH)), dir = must(sys(openat, AT_FDCWD, ".", O_RDONLY));
	long mem = must(sys(memfd_create, "m", 0));
	must(sys(write, mem, "abcd", 4));
	must(sys(lseek, mem, 1, SEEK_SET));
	int p[2], s[2];
	make_pipe(p, 0);
	must(sys(write, p[1], "abc", 3));
	must(sys(socketpair, AF_UNIX, SOCK_STREAM, 0, s));
	must(sys(write, s[1], "abcde", 5));
	readable("readable_start", fd);
	must(sys(lseek, fd, 7, SEEK_SET));
	readable("readable_middle", fd);
	must(sys(lseek, fd, 10, SEEK_SET));
	readable("readable_end", fd);
	must(sys(lseek, fd, 13, SEEK_SET));
	readable("readable_past", fd);
	readable("readable_directory", dir);
	readable("readable_pipe", p[0]);
	readable("readable_pipe_write", p[1]);
	readable("readable_path", path);
	readable("readable_socket", s[0]);
	readable("readable_memfd", mem);
	flag("nonblock_on", fd, FIONBIO, 1);
	flag("nonblock_again", fd, FIONBIO, 8);
	flag("nonblock_off", fd, FIONBIO, 0);
	flag("nonblock_pipe", p[0], FIONBIO, 1);
	flag("nonblock_pipe_off", p[0], FIONBIO, 0);
	flag("cloexec", fd, FIOCLEX, 0);
	flag("cloexec_off", fd, FIONCLEX, 1);
	flag("async_file", fd, FIOASYNC, 1);
	flag("async_pipe", p[0], FIOASYNC, 1);
	flag("async_off", p[0], FIOASYNC, 0);
	flag("unknown", fd, 0x9999, 1);
	flag("unknown_pipe", p[0], 0x9999, 1);
	observe("tty_file", "ioctl", ret_int(sys(ioctl, fd, TCGETS, mem)), ARGS(), STATE());
	observe("closed", "ioctl", ret_int(sys(ioctl, 4000, FIONREAD, 0)), ARGS(), STATE());
	observe("efault", "ioctl", ret_int(sys(ioctl, fd, FIONBIO, 8)), ARGS(), STATE(f_hex("status", (uint64_t)status_flags(fd))));
}
