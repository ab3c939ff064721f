/* The stack grows by itself down to its limit. */
#include "probe.h"

static int grow(void *megabytes)
{
	/* Touches page by page, as a deep recursion would. */
	volatile char here;
	volatile char *at = &here;
	for (long page = 0; page < (long)megabytes * 256; page++) {
		at -= 4096;
		*at = 1;
	}
	return 7;
}

PROBE("mm/stack", "four_megabytes", "beyond_limit")
{
	struct rlimit r = {8 << 20, RLIM_INFINITY}, none = {0, 0};
	must(sys(prlimit64, 0, RLIMIT_STACK, NULL, &r));
	require(r.rlim_cur >= 8 << 20);
	must(sys(prlimit64, 0, RLIMIT_CORE, &none, NULL));
	int status = reap(spawn(grow, (void *)4l));
	observe("four_megabytes", "fork", ret_int(0), ARGS(f_int("megabytes", 4)), STATE(f_hex("status", (uint64_t)status)));
	struct rlimit small = {2 << 20, r.rlim_max};
	long set = sys(prlimit64, 0, RLIMIT_STACK, &small, NULL);
	status = reap(spawn(grow, (void *)4l));
	observe("beyond_limit", "prlimit64", ret_int(set), ARGS(f_uint("soft", small.rlim_cur)), STATE(f_int("signal", status & 0x7f)));
}
