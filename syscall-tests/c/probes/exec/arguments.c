/* A new program gets its arguments and environment, counted and in order; the old one's memory is gone. */
#include "probe.h"

CHILD("arguments")
{
	char line[512];
	int at = snprintf(line, sizeof line, "%d:", argc);
	for (int i = 0; i < argc; i++)
		at += snprintf(line + at, sizeof line - (size_t)at, "[%s]", argv[i]);
	for (char **e = envp; *e != NULL; e++)
		at += snprintf(line + at, sizeof line - (size_t)at, "{%s}", *e);
	sys(write, 1, line, at);
	return 17;
}

static long run(long (*exec)(char **argv, char **envp), char **argv, char **envp, char *out, size_t cap)
{
	int p[2];
	make_pipe(p, O_CLOEXEC);
	long pid = must(sys(fork));
	if (pid == 0) {
		sys(dup2, p[1], 1);
		sys(exit_group, -exec(argv, envp));
	}
	must(sys(close, p[1]));
	memset(out, 0, cap);
	size_t len = 0;
	for (long n; len < cap - 1 && (n = sys(read, p[0], out + len, cap - 1 - len)) > 0;)
		len += (size_t)n;
	return reap(pid);
}

static long by_path(char **argv, char **envp) { return sys(execve, "/proc/self/exe", argv, envp); }
static long by_fd(char **argv, char **envp)
{
	long fd = must(sys(openat, AT_FDCWD, "/proc/self/exe", O_PATH | O_CLOEXEC));
	return sys(execveat, fd, "", argv, envp, AT_EMPTY_PATH);
}

PROBE("exec/arguments", "execve", "empty_environment", "execveat", "null_environment")
{
	char out[512];
	char *argv[] = {"zero", "child", "arguments", "", "two words", "\xc3\xa4", NULL};
	char *envp[] = {"A=1", "EMPTY=", "no equals", NULL}, *none[] = {NULL};
	long status = run(by_path, argv, envp, out, sizeof out);
	observe("execve", "execve", ret_int(0), ARGS(), STATE(f_hex("status", (uint64_t)status), f_str("seen", out)));
	status = run(by_path, argv, none, out, sizeof out);
	observe("empty_environment", "execve", ret_int(0), ARGS(), STATE(f_hex("status", (uint64_t)status), f_str("seen", out)));
	status = run(by_fd, argv, envp, out, sizeof out);
	observe("execveat", "execveat", ret_int(0), ARGS(f_hex("flags", AT_EMPTY_PATH)), STATE(f_hex("status", (uint64_t)status), f_str("seen", out)));
	status = run(by_path, argv, NULL, out, sizeof out);
	observe("null_environment", "execve", ret_int(0), ARGS(), STATE(f_hex("status", (uint64_t)status), f_str("seen", out)));
}
