/* What poll and ppoll report without being asked, what they count, and what is left of the time. */
#include "probe.h"

#define ENTRY(fd, events) ((struct pollfd){(int)(fd), events, 0x7fff})

PROBE("poll/flags", "error_unasked", "hangup_unasked", "read_end_error", "invalid_counts", "negative_cleared", "as_many_as_allowed", "one_too_many",
      "ready_left", "expired_left", "bad_mask_size", "no_mask_any_size", "bad_seconds", "time_efault")
{
	int p[2], q[2];
	make_pipe(p, 0);
	make_pipe(q, 0);
	must(sys(close, p[0]));
	must(sys(close, q[1]));
	struct pollfd e = ENTRY(p[1], 0);
	long r = sys(poll, &e, 1, 0);
	observe("error_unasked", "poll", ret_int(r), ARGS(f_hex("events", 0)), STATE(f_hex("revents", (uint64_t)e.revents)));
	e = ENTRY(q[0], 0);
	r = sys(poll, &e, 1, 0);
	observe("hangup_unasked", "poll", ret_int(r), ARGS(f_hex("events", 0)), STATE(f_hex("revents", (uint64_t)e.revents)));
	e = ENTRY(p[1], POLLOUT | POLLIN | POLLWRNORM);
	r = sys(poll, &e, 1, 0);
	observe("read_end_error", "poll", ret_int(r), ARGS(f_hex("events", (uint64_t)e.events)), STATE(f_hex("revents", (uint64_t)e.revents)));
	struct pollfd two[2] = {ENTRY(4000, POLLIN), ENTRY(-1, POLLIN)};
	r = sys(poll, two, 2, 2000);
	observe("invalid_counts", "poll", ret_int(r), ARGS(f_int("fd", 4000)), STATE(f_hex("revents", (uint64_t)two[0].revents)));
	observe("negative_cleared", "poll", ret_int(r), ARGS(f_int("fd", -1)), STATE(f_hex("revents", (uint64_t)two[1].revents)));
	struct rlimit limit;
	must(sys(prlimit64, 0, RLIMIT_NOFILE, NULL, &limit));
	limit.rlim_cur = 64;
	must(sys(prlimit64, 0, RLIMIT_NOFILE, &limit, NULL));
	struct pollfd many[65];
	for (int i = 0; i < 65; i++)
		many[i] = ENTRY(-1, 0);
	observe("as_many_as_allowed", "poll", ret_int(sys(poll, many, 64, 0)), ARGS(f_int("nfds", 64)), STATE());
	observe("one_too_many", "poll", ret_int(sys(poll, many, 65, 0)), ARGS(f_int("nfds", 65)), STATE());
	struct timespec left = {30, 0};
	e = ENTRY(q[0], POLLIN);
	r = sys(ppoll, &e, 1, &left, NULL, 8);
	int64_t ns = left.tv_sec * 1000000000 + left.tv_nsec;
	observe("ready_left", "ppoll", ret_int(r), ARGS(f_int("sec", 30)), STATE(f_dur("left", ns, 20000000000, 30000000000), f_bool("less", ns < 30000000000)));
	left = (struct timespec){0, 2000000};
	r = sys(ppoll, NULL, 0, &left, NULL, 8);
	observe("expired_left", "ppoll", ret_int(r), ARGS(f_int("nsec", 2000000)), STATE(f_int("sec", left.tv_sec), f_int("nsec", left.tv_nsec)));
	uint64_t mask = 0;
	left = (struct timespec){0, 0};
	observe("bad_mask_size", "ppoll", ret_int(sys(ppoll, &e, 1, &left, &mask, 4)), ARGS(f_uint("sigsetsize", 4)), STATE());
	observe("no_mask_any_size", "ppoll", ret_int(sys(ppoll, &e, 1, &left, NULL, 4)), ARGS(f_uint("sigsetsize", 4)), STATE());
	left = (struct timespec){-1, 0};
	observe("bad_seconds", "ppoll", ret_int(sys(ppoll, &e, 1, &left, NULL, 8)), ARGS(f_int("sec", -1)), STATE());
	observe("time_efault", "ppoll", ret_int(sys(ppoll, &e, 1, 8, NULL, 8)), ARGS(f_uint("timeout", 8)), STATE());
}
