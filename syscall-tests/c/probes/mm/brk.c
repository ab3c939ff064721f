/* The break moves both ways, new memory is zero, and impossible breaks leave it. */
#include "probe.h"

PROBE("mm/brk", "query", "grow", "shrink", "regrow", "impossible")
{
	int p[2];
	make_pipe(p, 0);
	long start = sys(brk, 0);
	observe("query", "brk", ret_addr(start), ARGS(f_uint("addr", 0)), STATE(f_rel("again", sys(brk, 0), start)));
	long base = (start + 4095) & ~4095l;
	char *heap = (char *)base;
	long r = sys(brk, base + 4 * 4096);
	observe("grow", "brk", ret_addr(r), ARGS(f_addr("addr", heap + 4 * 4096)), STATE(f_rel("query", sys(brk, 0), base + 4 * 4096), f_int("zero", heap[3 * 4096])));
	memset(heap, 'h', 4 * 4096);
	r = sys(brk, base + 4096);
	observe("shrink", "brk", ret_addr(r), ARGS(f_addr("addr", heap + 4096)),
		STATE(f_int("kept", heap[0]), f_errno("gone", err_of(sys(write, p[1], heap + 4096, 1)))));
	r = sys(brk, base + 2 * 4096);
	observe("regrow", "brk", ret_addr(r), ARGS(f_addr("addr", heap + 2 * 4096)), STATE(f_int("zero", heap[4096])));
	r = sys(brk, (long)-4096);
	observe("impossible", "brk", ret_addr(r), ARGS(), STATE(f_rel("query", sys(brk, 0), base + 2 * 4096)));
}
