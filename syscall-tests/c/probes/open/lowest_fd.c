/* A new descriptor is the lowest free number; a closed one is gone. */
#include "probe.h"

PROBE("open/lowest_fd", "close", "reuse", "twice")
{
	long a = must(sys(openat, AT_FDCWD, "/dev/null", O_RDONLY));
	long b = must(sys(openat, AT_FDCWD, "/dev/null", O_RDONLY));
	long c = must(sys(openat, AT_FDCWD, "/dev/null", O_RDONLY));
	observe("close", "close", ret_int(sys(close, b)), ARGS(f_fd("fd", b)), STATE(f_errno("flags", err_of(fd_flags(b)))));
	long again = sys(openat, AT_FDCWD, "/dev/zero", O_RDONLY);
	observe("reuse", "openat", ret_fd(again), ARGS(f_fd("free", b)),
		STATE(f_rel("second", b, a + 1), f_rel("third", c, a + 2), f_rel("same", again, b)));
	must(sys(close, c));
	observe("twice", "close", ret_int(sys(close, c)), ARGS(f_fd("fd", c)), STATE());
}
