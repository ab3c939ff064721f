/* Writes add, a read takes all; what doesn't fit is refused. */
#include "probe.h"
#include <sys/eventfd.h>

PROBE("eventfd/counter", "create", "sum", "empty", "short_buffer", "all_ones", "full", "bad_flags")
{
	long fd = sys(eventfd2, 3, EFD_NONBLOCK | EFD_CLOEXEC);
	observe("create", "eventfd2", ret_fd(fd), ARGS(f_uint("initval", 3), f_hex("flags", EFD_NONBLOCK | EFD_CLOEXEC)),
		STATE(f_hex("status", status_flags(fd)), f_hex("fd_flags", fd_flags(fd))));
	uint64_t v = 4, got = 0;
	must(sys(write, fd, &v, 8));
	long n = sys(read, fd, &got, 8);
	observe("sum", "read", ret_int(n), ARGS(f_uint("count", 8)), STATE(f_uint("value", got)));
	observe("empty", "read", ret_int(sys(read, fd, &got, 8)), ARGS(f_uint("count", 8)), STATE(f_uint("value", got)));
	must(sys(write, fd, &v, 8));
	observe("short_buffer", "read", ret_int(sys(read, fd, &got, 7)), ARGS(f_uint("count", 7)), STATE());
	v = UINT64_MAX;
	observe("all_ones", "write", ret_int(sys(write, fd, &v, 8)), ARGS(f_uint("value", v)), STATE());
	v = UINT64_MAX - 4;
	n = sys(write, fd, &v, 8);
	must(sys(read, fd, &got, 8));
	observe("full", "write", ret_int(n), ARGS(f_uint("value", v)), STATE(f_uint("value", got)));
	observe("bad_flags", "eventfd2", ret_fd(sys(eventfd2, 0, 0x40)), ARGS(f_hex("flags", 0x40)), STATE());
}
