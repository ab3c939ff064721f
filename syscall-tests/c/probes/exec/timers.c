/* What goes on over an execve and what ends: alarms, POSIX timers, pending signals of the thread, the name, limits on strings. */
#include "probe.h"
#include <sys/prctl.h>

CHILD("timers")
{
	(void)envp;
	if (argc > 0)
		return strlen(argv[0]) == 131071 ? 41 : 42;
	struct itimerval left = {0};
	struct itimerspec spec;
	uint64_t pending = 0;
	char name[17] = "", own[20] = "", line[256];
	long timer = sys(timer_gettime, 0, &spec);
	sys(getitimer, ITIMER_REAL, &left);
	sys(rt_sigpending, &pending, 8);
	proc_status(0, "SigPnd", own, sizeof own);
	sys(prctl, PR_GET_NAME, name, 0, 0, 0);
	int n = snprintf(line, sizeof line, "alarm=%d interval=%ld timer=%s pending=%llx own=%s slack=%ld nice=%ld", left.it_value.tv_sec > 80, left.it_interval.tv_sec, errno_name(err_of(timer)), (unsigned long long)pending, own,
			 sys(prctl, PR_GET_TIMERSLACK, 0, 0, 0, 0), 20 - sys(getpriority, PRIO_PROCESS, 0));
	sys(write, 1, line, n);
	return 0;
}

static int prepare(void *unused)
{
	(void)unused;
	struct itimerval alarm = {{7, 0}, {100, 0}};
	int id;
	mask_signals(SIG_BLOCK, SIGBIT(SIGUSR1) | SIGBIT(SIGUSR2) | SIGBIT(SIGTERM));
	must(sys(setitimer, ITIMER_REAL, &alarm, NULL));
	must(sys(timer_create, CLOCK_MONOTONIC, NULL, &id));
	struct itimerspec far = {{0, 0}, {100, 0}};
	must(sys(timer_settime, id, 0, &far, NULL));
	must(sys(tkill, sys(gettid), SIGTERM));
	must(sys(kill, sys(getpid), SIGUSR1));
	must(sys(prctl, PR_SET_TIMERSLACK, 66666, 0, 0, 0));
	must(sys(setpriority, PRIO_PROCESS, 0, 3));
	char *argv[] = {"x", "child", "timers", NULL}, *envp[] = {NULL};
	return err_of(sys(execve, "/proc/self/exe", argv, envp));
}

static long run(int (*body)(void *), void *arg, char *out, size_t cap)
{
	int p[2];
	make_pipe(p, O_CLOEXEC);
	long pid = must(sys(fork));
	if (pid == 0) {
		must(sys(dup2, p[1], 1));
		sys(exit_group, body(arg));
	}
	must(sys(close, p[1]));
	memset(out, 0, cap);
	size_t len = 0;
	for (long n; len < cap - 1 && (n = must(sys(read, p[0], out + len, cap - 1 - len))) > 0;)
		len += (size_t)n;
	must(sys(close, p[0]));
	return reap(pid);
}

static int script(void *path)
{
	char *argv[] = {"argument zero", NULL}, *envp[] = {NULL};
	return err_of(sys(execve, path, argv, envp));
}

static char *long_string(size_t length)
{
	char *s = pages(length / 4096 + 2, false);
	memset(s, 's', length);
	return s;
}

static int with_length(void *length)
{
	char *argv[] = {"x", "child", "timers", long_string((size_t)length), NULL}, *envp[] = {NULL};
	return err_of(sys(execve, "/proc/self/exe", argv, envp));
}

static int in_environment(void *length)
{
	char *argv[] = {"x", "child", "timers", long_string(131071), NULL}, *envp[] = {long_string((size_t)length), NULL};
	return err_of(sys(execve, "/proc/self/exe", argv, envp));
}

PROBE("exec/timers", "kept", "script_name", "link_name", "longest", "too_long", "longest_variable", "too_long_variable", "empty_vector", "null_vector")
{
	char out[512];
	long status = run(prepare, NULL, out, sizeof out);
	observe("kept", "execve", ret_int(0), ARGS(), STATE(f_hex("status", (uint64_t)status), f_str("seen", out)));
	const char text[] = "#!/bin/cat /proc/self/comm\n";
	put_file("a_script_with_a_long_name", text, sizeof text - 1);
	must(sys(chmod, "a_script_with_a_long_name", 0755));
	status = run(script, "a_script_with_a_long_name", out, sizeof out);
	out[20] = 0;
	observe("script_name", "execve", ret_int(0), ARGS(), STATE(f_hex("status", (uint64_t)status), f_str("seen", out)));
	must(sys(symlinkat, "a_script_with_a_long_name", AT_FDCWD, "link"));
	status = run(script, "./link", out, sizeof out);
	out[8] = 0;
	observe("link_name", "execve", ret_int(0), ARGS(), STATE(f_hex("status", (uint64_t)status), f_str("seen", out)));
	status = reap(spawn(with_length, (void *)131071));
	observe("longest", "execve", ret_int(0), ARGS(f_uint("length", 131071)), STATE(f_hex("status", (uint64_t)status)));
	status = reap(spawn(with_length, (void *)131072));
	observe("too_long", "execve", ret_int(-WEXITSTATUS(status)), ARGS(f_uint("length", 131072)), STATE());
	status = reap(spawn(in_environment, (void *)131071));
	observe("longest_variable", "execve", ret_int(0), ARGS(f_uint("length", 131071)), STATE(f_hex("status", (uint64_t)status)));
	status = reap(spawn(in_environment, (void *)131072));
	observe("too_long_variable", "execve", ret_int(-WEXITSTATUS(status)), ARGS(f_uint("length", 131072)), STATE());
	char *none[] = {NULL};
	put_file("counts", "#!/bin/sh\necho \"$#:$0\"\n", 23);
	must(sys(chmod, "counts", 0755));
	int p[2];
	for (int null = 0; null < 2; null++) {
		make_pipe(p, O_CLOEXEC);
		long pid = must(sys(fork));
		if (pid == 0) {
			must(sys(dup2, p[1], 1));
			sys(exit_group, err_of(sys(execve, "counts", null ? NULL : none, none)));
		}
		must(sys(close, p[1]));
		memset(out, 0, sizeof out);
		must(sys(read, p[0], out, sizeof out - 1));
		must(sys(close, p[0]));
		status = reap(pid);
		observe(null ? "null_vector" : "empty_vector", "execve", ret_int(0), ARGS(), STATE(f_hex("status", (uint64_t)status), f_str("seen", out)));
	}
}
