/* Locked pages are in memory and stay there: MADV_DONTNEED is refused until they are unlocked. */
#include "probe.h"

static struct value resident(char *at)
{
	unsigned char vec[2] = {9, 9};
	must(sys(mincore, at, 8192, vec));
	return v_uint((uint64_t)((vec[0] & 1) | (vec[1] & 1) << 1));
}

PROBE("mm/mlock", "lock", "unlock", "onfault", "whole", "bad_flags", "unmapped", "unmapped2", "unlock_unmapped")
{
	char *at = pages(2, false), *late = pages(2, false), *gone = pages(1, false);
	must(sys(munmap, gone, 4096));
	long r = sys(mlock, at, 8192);
	observe("lock", "mlock", ret_int(r), ARGS(f_uint("len", 8192)),
		STATE(f_value("resident", resident(at)), f_errno("discard", err_of(sys(madvise, at, 8192, MADV_DONTNEED)))));
	r = sys(munlock, at, 8192);
	observe("unlock", "munlock", ret_int(r), ARGS(f_uint("len", 8192)), STATE(f_errno("discard", err_of(sys(madvise, at, 8192, MADV_DONTNEED)))));
	r = sys(mlock2, late, 8192, 1);
	struct value before = resident(late);
	late[4096] = 1;
	observe("onfault", "mlock2", ret_int(r), ARGS(f_hex("flags", 1)),
		STATE(f_value("before", before), f_value("touched", resident(late)), f_errno("discard", err_of(sys(madvise, late, 8192, MADV_DONTNEED)))));
	r = sys(mlock2, late, 8192, 0);
	observe("whole", "mlock2", ret_int(r), ARGS(f_hex("flags", 0)), STATE(f_value("resident", resident(late))));
	observe("bad_flags", "mlock2", ret_int(sys(mlock2, at, 4096, 2)), ARGS(f_hex("flags", 2)), STATE());
	observe("unmapped", "mlock", ret_int(sys(mlock, gone, 4096)), ARGS(), STATE());
	observe("unmapped2", "mlock2", ret_int(sys(mlock2, gone, 4096, 0)), ARGS(), STATE());
	observe("unlock_unmapped", "munlock", ret_int(sys(munlock, gone, 4096)), ARGS(), STATE());
}
