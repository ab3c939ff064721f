/* Which pages are in memory: anonymous ones once touched. */
#include "probe.h"

PROBE("mm/mincore", "touched", "discarded", "unaligned", "unmapped", "efault", "nothing")
{
	char *at = pages(3, false), *gone = pages(1, false);
	must(sys(munmap, gone, 4096));
	unsigned char vec[4] = {0xee, 0xee, 0xee, 0xee};
	at[4096] = 1;
	long r = sys(mincore, at, 3 * 4096, vec);
	observe("touched", "mincore", ret_int(r), ARGS(f_uint("len", 3 * 4096)), STATE(f_bytes("vec", vec, 4)));
	must(sys(madvise, at, 3 * 4096, MADV_DONTNEED));
	r = sys(mincore, at, 2 * 4096 + 1, vec);
	observe("discarded", "mincore", ret_int(r), ARGS(f_uint("len", 2 * 4096 + 1)), STATE(f_bytes("vec", vec, 4)));
	observe("unaligned", "mincore", ret_int(sys(mincore, at + 1, 4096, vec)), ARGS(), STATE());
	observe("unmapped", "mincore", ret_int(sys(mincore, gone, 4096, vec)), ARGS(), STATE());
	observe("efault", "mincore", ret_int(sys(mincore, at, 4096, 8)), ARGS(), STATE());
	observe("nothing", "mincore", ret_int(sys(mincore, at, 0, vec)), ARGS(f_uint("len", 0)), STATE());
}
