/* MAP_FIXED replaces what is there; MAP_FIXED_NOREPLACE refuses; lengths and offsets are checked. */
#include "probe.h"

PROBE("mm/fixed", "replaces", "noreplace", "noreplace_free", "unaligned", "zero_length", "offset", "no_type", "munmap_unaligned")
{
	char *at = pages(3, false);
	memset(at, 'x', 3 * 4096);
	const int anon = MAP_PRIVATE | MAP_ANONYMOUS;
#define MAP(addr, len, flags) sys(mmap, addr, len, PROT_READ | PROT_WRITE, flags, -1, 0)
	long r = MAP(at + 4096, 4096, anon | MAP_FIXED);
	observe("replaces", "mmap", ret_addr(r), ARGS(f_addr("addr", at + 4096), f_hex("flags", anon | MAP_FIXED)),
		STATE(f_int("before", at[4095]), f_int("replaced", at[4096]), f_int("after", at[8192])));
	at[4096] = 'k';
	r = MAP(at + 4096, 4096, anon | MAP_FIXED_NOREPLACE);
	observe("noreplace", "mmap", ret_addr(r), ARGS(f_hex("flags", anon | MAP_FIXED_NOREPLACE)), STATE(f_int("kept", at[4096])));
	must(sys(munmap, at + 4096, 4096));
	r = MAP(at + 4096, 4096, anon | MAP_FIXED_NOREPLACE);
	observe("noreplace_free", "mmap", ret_addr(r), ARGS(f_hex("flags", anon | MAP_FIXED_NOREPLACE)), STATE(f_int("byte", at[4096])));
	observe("unaligned", "mmap", ret_addr(MAP(at + 1, 4096, anon | MAP_FIXED)), ARGS(f_uint("addr", 1)), STATE(f_int("kept", at[0])));
	observe("zero_length", "mmap", ret_addr(MAP(NULL, 0, anon)), ARGS(f_uint("length", 0)), STATE());
	observe("offset", "mmap", ret_addr(sys(mmap, NULL, 4096, PROT_READ, anon, -1, 1)), ARGS(f_int("offset", 1)), STATE());
	observe("no_type", "mmap", ret_addr(MAP(NULL, 4096, MAP_ANONYMOUS)), ARGS(f_hex("flags", MAP_ANONYMOUS)), STATE());
	observe("munmap_unaligned", "munmap", ret_int(sys(munmap, at + 1, 4096)), ARGS(f_uint("addr", 1)), STATE(f_int("kept", at[0])));
}
