/* Every call that takes a pointer refuses one at which nothing is mapped, be it the last of three. */
#include "probe.h"

#define FAILS(call, ...) observe(#call, #call, ret_int(sys(call, __VA_ARGS__)), ARGS(), STATE())

PROBE("sweep/bad_pointer", "access", "chdir", "chmod", "chown", "clock_getres", "creat", "execve", "get_robust_list", "getitimer",
      "getresgid", "getresuid", "getrlimit", "getrusage", "lchown", "link", "lstat", "mkdir", "mknod", "open", "pipe", "pipe2",
      "readlink", "rename", "rmdir", "rt_sigpending", "sched_getparam", "sched_rr_get_interval", "setitimer", "setrlimit",
      "socketpair", "stat", "symlink", "sysinfo", "timer_create", "times", "truncate", "unlink")
{
	static char data[16];
	FAILS(access, 8, 0);
	FAILS(chdir, 8);
	FAILS(chmod, 8, 0600);
	FAILS(chown, 8, -1, -1);
	FAILS(clock_getres, CLOCK_MONOTONIC, 8);
	FAILS(creat, 8, 0600);
	FAILS(execve, 8, NULL, NULL);
	FAILS(get_robust_list, 0, 8, 8);
	FAILS(getitimer, 0, 8);
	FAILS(getresgid, data, data + 4, 8);
	FAILS(getresuid, data, data + 4, 8);
	FAILS(getrlimit, RLIMIT_NOFILE, 8);
	FAILS(getrusage, RUSAGE_SELF, 8);
	FAILS(lchown, 8, -1, -1);
	FAILS(link, 8, "g");
	FAILS(lstat, "/", 8);
	FAILS(mkdir, 8, 0700);
	FAILS(mknod, 8, S_IFIFO, 0);
	FAILS(open, 8, O_RDONLY);
	FAILS(pipe, 8);
	FAILS(pipe2, 8, 0);
	FAILS(readlink, 8, data, 1);
	FAILS(rename, 8, "g");
	FAILS(rmdir, 8);
	FAILS(rt_sigpending, 8, 8);
	FAILS(sched_getparam, 0, 8);
	FAILS(sched_rr_get_interval, 0, 8);
	FAILS(setitimer, 0, 8, NULL);
	FAILS(setrlimit, RLIMIT_NOFILE, 8);
	FAILS(socketpair, AF_UNIX, SOCK_STREAM, 0, 8);
	FAILS(stat, "/", 8);
	FAILS(symlink, 8, "s");
	FAILS(sysinfo, 8);
	FAILS(timer_create, CLOCK_MONOTONIC, NULL, 8);
	FAILS(times, 8);
	FAILS(truncate, 8, 0);
	FAILS(unlink, 8);
}
