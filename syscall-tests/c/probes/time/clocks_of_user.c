/* What an ordinary user may do with each clock. */
#include "probe.h"
#include "table.h"

enum { CLOCKS = 16 };

static int each(long *results)
{
	struct timespec none = {0, 0};
	for (long clock = 0; clock < CLOCKS; clock++) {
		results[clock] = made(sys(timerfd_create, clock, 0));
		/* Whether there are alarms to sleep by is the machine's to say. */
		results[CLOCKS + clock] = clock == 8 || clock == 9 ? 0 : sys(clock_nanosleep, clock, 0, &none, NULL);
	}
	return 0;
}

PROBE("time/clocks_of_user", "timerfd_create", "clock_nanosleep")
{
	static struct row row;
	static const char *const calls[] = {"timerfd_create", "clock_nanosleep"};
	long *results = pages(1, true);
	run_as(1234, 1234, each, results);
	for (long which = 0; which < (long)countof(calls); which++) {
		for (long clock = 0; clock < CLOCKS; clock++)
			cell(&row, clock, results[which * CLOCKS + clock]);
		observe_row(&row, calls[which], calls[which]);
	}
}
