/* Which sets of select a descriptor is ready in, how far they are looked at, and what is left of the time. */
#include "probe.h"

static void make(uint64_t *set, int fd)
{
	memset(set, 0, 128);
	if (fd >= 0)
		set[fd / 64] |= 1ull << (fd % 64);
}

#define IN(set, fd) ((set)[(fd) / 64] >> ((fd) % 64) & 1)

PROBE("poll/sets", "two_sets", "hangup", "hangup_except", "error", "beyond", "beyond_closed", "last_word", "left", "large_usec", "negative_usec",
      "negative_sec", "set_efault", "time_efault", "mask_size", "mask_null", "mask_efault", "mask_struct_efault", "pselect_left")
{
	uint64_t reads[16], writes[16], excepts[16];
	struct timeval none = {0, 0};
	long event = must(sys(eventfd2, 1, 0));
	int p[2], q[2];
	make_pipe(p, 0);
	make_pipe(q, 0);
	must(sys(close, p[1]));
	must(sys(close, q[0]));
	make(reads, (int)event), make(writes, (int)event), make(excepts, (int)event);
	long r = sys(select, event + 1, reads, writes, excepts, &none);
	observe("two_sets", "select", ret_int(r), ARGS(),
		STATE(f_bool("read", IN(reads, event)), f_bool("write", IN(writes, event)), f_bool("except", IN(excepts, event))));
	make(reads, p[0]);
	r = sys(select, p[0] + 1, reads, NULL, NULL, &none);
	observe("hangup", "select", ret_int(r), ARGS(), STATE(f_bool("read", IN(reads, p[0]))));
	make(excepts, p[0]);
	r = sys(select, p[0] + 1, NULL, NULL, excepts, &none);
	observe("hangup_except", "select", ret_int(r), ARGS(), STATE(f_bool("except", IN(excepts, p[0]))));
	make(reads, q[1]), make(writes, q[1]);
	r = sys(select, q[1] + 1, reads, writes, NULL, &none);
	observe("error", "select", ret_int(r), ARGS(), STATE(f_bool("read", IN(reads, q[1])), f_bool("write", IN(writes, q[1]))));
	make(reads, (int)event);
	r = sys(select, event, reads, NULL, NULL, &none);
	observe("beyond", "select", ret_int(r), ARGS(), STATE(f_bool("read", IN(reads, event))));
	make(reads, (int)event);
	reads[0] |= 1ull << 62;
	r = sys(select, event + 1, reads, NULL, NULL, &none);
	observe("beyond_closed", "select", ret_int(r), ARGS(), STATE(f_bool("closed", IN(reads, 62))));
	make(reads, (int)event);
	reads[1] = ~0ull;
	r = sys(select, event + 1, reads, NULL, NULL, &none);
	observe("last_word", "select", ret_int(r), ARGS(), STATE(f_hex("next_word", reads[1])));
	make(reads, (int)event);
	struct timeval left = {20, 500000};
	r = sys(select, event + 1, reads, NULL, NULL, &left);
	observe("left", "select", ret_int(r), ARGS(f_int("sec", 20), f_int("usec", 500000)),
		STATE(f_dur("left", left.tv_sec * 1000000000 + left.tv_usec * 1000, 10000000000, 20500000000), f_bool("fraction", left.tv_usec < 1000000)));
	left = (struct timeval){1, 5000000};
	r = sys(select, event + 1, reads, NULL, NULL, &left);
	observe("large_usec", "select", ret_int(r), ARGS(f_int("usec", 5000000)), STATE(f_bool("fraction", left.tv_usec < 1000000), f_dur("left", left.tv_sec * 1000000000, 2000000000, 6000000000)));
	left = (struct timeval){1, -1};
	observe("negative_usec", "select", ret_int(sys(select, 0, NULL, NULL, NULL, &left)), ARGS(f_int("usec", -1)), STATE());
	left = (struct timeval){-1, 0};
	observe("negative_sec", "select", ret_int(sys(select, 0, NULL, NULL, NULL, &left)), ARGS(f_int("sec", -1)), STATE());
	observe("set_efault", "select", ret_int(sys(select, event + 1, 8, NULL, NULL, &none)), ARGS(), STATE());
	observe("time_efault", "select", ret_int(sys(select, 0, NULL, NULL, NULL, 8)), ARGS(), STATE());
	uint64_t mask = 0, pair[2] = {(uintptr_t)&mask, 4};
	struct timespec now = {0, 0};
	observe("mask_size", "pselect6", ret_int(sys(pselect6, 0, NULL, NULL, NULL, &now, pair)), ARGS(f_uint("size", 4)), STATE());
	pair[0] = 0;
	observe("mask_null", "pselect6", ret_int(sys(pselect6, 0, NULL, NULL, NULL, &now, pair)), ARGS(f_uint("size", 4)), STATE());
	pair[0] = 8, pair[1] = 8;
	observe("mask_efault", "pselect6", ret_int(sys(pselect6, 0, NULL, NULL, NULL, &now, pair)), ARGS(), STATE());
	observe("mask_struct_efault", "pselect6", ret_int(sys(pselect6, 0, NULL, NULL, NULL, &now, 8)), ARGS(), STATE());
	struct timespec long_time = {40, 0};
	make(reads, (int)event);
	r = sys(pselect6, event + 1, reads, NULL, NULL, &long_time, NULL);
	int64_t ns = long_time.tv_sec * 1000000000 + long_time.tv_nsec;
	observe("pselect_left", "pselect6", ret_int(r), ARGS(f_int("sec", 40)), STATE(f_dur("left", ns, 20000000000, 40000000000), f_bool("less", ns < 40000000000)));
}
