/* #! scripts run their interpreter with its one argument; what is no program is refused. */
#include "probe.h"

static int go(void *path)
{
	char *argv[] = {"ignored", "one", "two", NULL}, *envp[] = {NULL};
	return err_of(sys(execve, path, argv, envp));
}

static void script(const char *path, const char *text, int mode)
{
	put_file(path, text, strlen(text));
	must(sys(chmod, path, mode));
}

PROBE("exec/scripts", "shell", "argument", "no_interpreter", "not_executable", "no_format", "empty", "missing", "directory", "truncated_elf", "nested", "too_deep")
{
	int p[2];
	char out[512];
	script("sh", "#!/bin/sh\necho \"$0 $# $1\"; exit 5\n", 0755);
	script("argument", "#! /bin/echo  -n x\n", 0755);
	script("gone", "#!/no/such/interpreter\n", 0755);
	script("closed", "#!/bin/sh\n", 0644);
	script("text", "just words\n", 0755);
	script("empty", "", 0755);
	must(sys(mkdirat, AT_FDCWD, "dir", 0755));
	script("elf", "\177ELF\2\1\1", 0755);
	script("n1", "#!sh\n", 0755);
	script("n2", "#!n1\n", 0755);
	script("n3", "#!n2\n", 0755);
	script("n4", "#!n3\n", 0755);
	script("n5", "#!n4\n", 0755);
	const char *const files[] = {"sh", "argument", "gone", "closed", "text", "empty", "nothing", "dir", "elf", "n1", "n5"};
	const char *const ids[] = {"shell", "argument", "no_interpreter", "not_executable", "no_format", "empty", "missing", "directory", "truncated_elf", "nested", "too_deep"};
	for (size_t i = 0; i < countof(files); i++) {
		make_pipe(p, O_CLOEXEC);
		long pid = must(sys(fork));
		if (pid == 0) {
			sys(dup2, p[1], 1);
			/* Beyond any status of the scripts. */
			sys(exit_group, 100 + go((void *)files[i]));
		}
		must(sys(close, p[1]));
		memset(out, 0, sizeof out);
		long n = must(sys(read, p[0], out, sizeof out - 1));
		int status = WEXITSTATUS(reap(pid));
		must(sys(close, p[0]));
		long r = status >= 100 ? -(status - 100) : 0;
		observe(ids[i], "execve", ret_int(r), ARGS(f_str("path", files[i])), STATE(f_strn("output", out, (size_t)n), f_int("status", r < 0 ? 0 : status)));
	}
}
