/* RLIMIT_NOFILE bounds the numbers. */
#include "probe.h"

PROBE("open/emfile", "below", "at_limit", "freed")
{
	struct rlimit old, new;
	must(sys(prlimit64, 0, RLIMIT_NOFILE, NULL, &old));
	long first = must(sys(openat, AT_FDCWD, "/dev/null", O_RDONLY));
	new = (struct rlimit){(rlim_t)first + 2, old.rlim_max};
	must(sys(prlimit64, 0, RLIMIT_NOFILE, &new, NULL));
	long fd = sys(openat, AT_FDCWD, "/dev/null", O_RDONLY);
	observe("below", "openat", ret_fd(fd), ARGS(), STATE(f_rel("number", fd, first + 1)));
	observe("at_limit", "openat", ret_fd(sys(openat, AT_FDCWD, "/dev/null", O_RDONLY)), ARGS(), STATE());
	must(sys(close, first));
	long again = sys(openat, AT_FDCWD, "/dev/null", O_RDONLY);
	observe("freed", "openat", ret_fd(again), ARGS(), STATE(f_rel("number", again, first)));
}
