/* close_range closes or marks a range of descriptors, holes and ends beyond the table included. */
#include "probe.h"
#include <linux/close_range.h>

/* Which of 10 to 15 are open, and which of them close on exec. */
static struct value open_ones(void)
{
	static struct field fields[2];
	uint64_t open = 0, cloexec = 0;
	for (int fd = 10; fd < 16; fd++) {
		long flags = fd_flags(fd);
		open |= (uint64_t)(flags >= 0) << fd;
		cloexec |= (uint64_t)(flags > 0) << fd;
	}
	fields[0] = f_hex("open", open);
	fields[1] = f_hex("cloexec", cloexec);
	return (struct value){.type = V_MAP, .data = fields, .len = 2};
}

PROBE("dup/close_range", "prepared", "closes", "marks", "empty", "to_the_end", "backwards", "bad_flags", "unshare")
{
	for (int fd = 10; fd < 16; fd++)
		if (fd != 12)
			must(sys(dup2, 0, fd));
	observe("prepared", "dup2", ret_int(0), ARGS(), STATE(f_value("now", open_ones())));
	long r = sys(close_range, 11, 13, 0);
	observe("closes", "close_range", ret_int(r), ARGS(f_int("first", 11), f_int("last", 13)), STATE(f_value("now", open_ones())));
	r = sys(close_range, 10, 14, CLOSE_RANGE_CLOEXEC);
	observe("marks", "close_range", ret_int(r), ARGS(f_hex("flags", CLOSE_RANGE_CLOEXEC)), STATE(f_value("now", open_ones())));
	r = sys(close_range, 12, 12, 0);
	observe("empty", "close_range", ret_int(r), ARGS(f_int("first", 12), f_int("last", 12)), STATE(f_value("now", open_ones())));
	/* Above it lies the descriptor that the observations go to. */
	r = sys(close_range, 15, 400, 0);
	observe("to_the_end", "close_range", ret_int(r), ARGS(f_int("first", 15), f_int("last", 400)), STATE(f_value("now", open_ones())));
	observe("backwards", "close_range", ret_int(sys(close_range, 14, 10, 0)), ARGS(f_int("first", 14), f_int("last", 10)), STATE(f_value("now", open_ones())));
	observe("bad_flags", "close_range", ret_int(sys(close_range, 10, 14, 1)), ARGS(f_hex("flags", 1)), STATE(f_value("now", open_ones())));
	r = sys(close_range, 10, 10, CLOSE_RANGE_UNSHARE);
	observe("unshare", "close_range", ret_int(r), ARGS(f_hex("flags", CLOSE_RANGE_UNSHARE)), STATE(f_value("now", open_ones())));
}
