/* Mappings shrink, grow in place or move, and take their contents along. */
#include "probe.h"

PROBE("mm/mremap", "shrink", "grow_in_place", "no_room", "move", "fixed", "fixed_without_maymove", "unaligned", "unmapped")
{
	int p[2];
	make_pipe(p, 0);
	char *at = pages(8, false);
	memset(at, 'a', 4096);
	memset(at + 4096, 'b', 4096);
	long r = sys(mremap, at, 8 * 4096, 2 * 4096, 0);
	observe("shrink", "mremap", ret_addr(r), ARGS(f_addr("old", at), f_uint("new_size", 8192)),
		STATE(f_int("kept", at[8191]), f_errno("cut", err_of(sys(write, p[1], at + 8192, 1)))));
	r = sys(mremap, at, 2 * 4096, 3 * 4096, 0);
	observe("grow_in_place", "mremap", ret_addr(r), ARGS(f_uint("new_size", 12288)), STATE(f_int("kept", at[0]), f_int("new", at[8192])));
	char *wall = (char *)must(sys(mmap, at + 3 * 4096, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	r = sys(mremap, at, 3 * 4096, 4 * 4096, 0);
	observe("no_room", "mremap", ret_addr(r), ARGS(f_addr("wall", wall), f_hex("flags", 0)), STATE(f_int("kept", at[4096])));
	r = sys(mremap, at, 3 * 4096, 6 * 4096, MREMAP_MAYMOVE);
	char *moved = (char *)must(r);
	observe("move", "mremap", ret_addr(r), ARGS(f_hex("flags", MREMAP_MAYMOVE)),
		STATE(f_int("first", moved[0]), f_int("second", moved[4096]), f_int("last", moved[6 * 4096 - 1]), f_errno("old", err_of(sys(write, p[1], at, 1)))));
	char *target = pages(2, false);
	memset(target, 't', 8192);
	r = sys(mremap, moved, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, target);
	observe("fixed", "mremap", ret_addr(r), ARGS(f_addr("new", target), f_hex("flags", MREMAP_MAYMOVE | MREMAP_FIXED)),
		STATE(f_int("moved", target[0]), f_int("beside", target[4096]), f_errno("old", err_of(sys(write, p[1], moved, 1))), f_int("rest", moved[4096])));
	observe("fixed_without_maymove", "mremap", ret_addr(sys(mremap, target, 4096, 4096, MREMAP_FIXED, at)), ARGS(f_hex("flags", MREMAP_FIXED)), STATE());
	observe("unaligned", "mremap", ret_addr(sys(mremap, target + 1, 4096, 8192, MREMAP_MAYMOVE)), ARGS(), STATE());
	observe("unmapped", "mremap", ret_addr(sys(mremap, moved, 4096, 8192, MREMAP_MAYMOVE)), ARGS(), STATE());
}
