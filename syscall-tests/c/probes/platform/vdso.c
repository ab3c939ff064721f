/* The vDSO's clocks, which libc uses, run together with the system calls'. */
#include "probe.h"

static int64_t libc_ns(clockid_t clock)
{
	struct timespec t = {0};
	require(clock_gettime(clock, &t) == 0);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

PROBE("platform/vdso", "monotonic", "realtime", "gettimeofday", "repeated")
{
	int64_t a = clock_ns(CLOCK_MONOTONIC), b = libc_ns(CLOCK_MONOTONIC), c = clock_ns(CLOCK_MONOTONIC);
	observe("monotonic", "clock_gettime", ret_int(0), ARGS(f_int("clock", CLOCK_MONOTONIC)), STATE(f_bool("between", a <= b && b <= c)));
	a = clock_ns(CLOCK_REALTIME), b = libc_ns(CLOCK_REALTIME), c = clock_ns(CLOCK_REALTIME);
	observe("realtime", "clock_gettime", ret_int(0), ARGS(f_int("clock", CLOCK_REALTIME)), STATE(f_bool("between", a <= b && b <= c)));
	struct timeval tv;
	a = clock_ns(CLOCK_REALTIME) / 1000;
	require(gettimeofday(&tv, NULL) == 0);
	c = clock_ns(CLOCK_REALTIME) / 1000;
	b = tv.tv_sec * 1000000ll + tv.tv_usec;
	observe("gettimeofday", "gettimeofday", ret_int(0), ARGS(), STATE(f_bool("between", a <= b && b <= c)));
	int backwards = 0;
	int64_t last = 0;
	for (int i = 0; i < 2000; i++) {
		int64_t now = i % 2 ? libc_ns(CLOCK_MONOTONIC) : clock_ns(CLOCK_MONOTONIC);
		backwards += now < last;
		last = now;
	}
	observe("repeated", "clock_gettime", ret_int(0), ARGS(f_int("calls", 2000)), STATE(f_int("backwards", backwards)));
}
