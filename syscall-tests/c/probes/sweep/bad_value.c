/* Processes that are gone, numbers that nothing has, and flags that do not exist. */
#include "probe.h"

#define FAILS(call, ...) observe(#call, #call, ret_int(sys(call, __VA_ARGS__)), ARGS(), STATE())

PROBE("sweep/bad_value", "accept4", "clock_nanosleep", "epoll_create1", "eventfd2", "getpgid", "getpriority", "getsid", "kill",
      "memfd_create", "msync", "pidfd_open", "prlimit64", "sched_get_priority_max", "sched_getaffinity", "sched_getscheduler",
      "sched_setaffinity", "setpgid", "setpriority", "setrlimit", "socket", "timer_delete", "timer_getoverrun", "timerfd_create",
      "tkill", "tgkill")
{
	unsigned char set[128] = {1};
	struct timespec bad = {0, -1};
	struct rlimit limit = {1, 1};
	long listener = must(sys(socket, AF_UNIX, SOCK_STREAM, 0)), gone = must(sys(fork));
	if (gone == 0)
		sys(exit_group, 0);
	reap(gone);
	FAILS(accept4, listener, NULL, NULL, 1);
	FAILS(clock_nanosleep, CLOCK_MONOTONIC, 0, &bad, NULL);
	FAILS(epoll_create1, 1);
	FAILS(eventfd2, 0, 2);
	FAILS(getpgid, gone);
	FAILS(getpriority, PRIO_PROCESS, gone);
	FAILS(getsid, gone);
	FAILS(kill, gone, 0);
	FAILS(memfd_create, "m", 0x40000000);
	FAILS(msync, 1, 4096, MS_SYNC);
	FAILS(pidfd_open, gone, 0);
	FAILS(prlimit64, gone, RLIMIT_NOFILE, NULL, NULL);
	FAILS(sched_get_priority_max, 99);
	FAILS(sched_getaffinity, gone, 128, set);
	FAILS(sched_getscheduler, gone);
	FAILS(sched_setaffinity, gone, 128, set);
	FAILS(setpgid, gone, 0);
	FAILS(setpriority, PRIO_PROCESS, gone, 1);
	FAILS(setrlimit, 99, &limit);
	FAILS(socket, AF_UNIX, 99, 0);
	FAILS(timer_delete, 12345);
	FAILS(timer_getoverrun, 12345);
	FAILS(timerfd_create, 99, 0);
	FAILS(tkill, gone, 0);
	FAILS(tgkill, gone, gone, 0);
}
