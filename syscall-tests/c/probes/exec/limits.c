/* How much a new program may be given. */
#include "probe.h"

CHILD("count")
{
	(void)envp;
	long total = 0;
	for (int i = 0; i < argc; i++)
		total += (long)strlen(argv[i]);
	return argc == 2000 && total == 2000 * 50 ? 31 : 32;
}

PROBE("exec/limits", "many", "long_string", "bad_pointer", "bad_path", "long_path")
{
	static char word[51], *argv[2004], huge[140000], path[5000];
	memset(word, 'w', 50);
	memset(huge, 'h', sizeof huge - 1);
	memset(path, 'p', sizeof path - 1);
	argv[0] = "x";
	argv[1] = "child";
	argv[2] = "count";
	for (int i = 0; i < 2000; i++)
		argv[i + 3] = word;
	char *none[] = {NULL};
	long pid = must(sys(fork));
	if (pid == 0)
		sys(exit_group, err_of(sys(execve, "/proc/self/exe", argv, none)));
	int status = reap(pid);
	observe("many", "execve", ret_int(0), ARGS(f_int("arguments", 2000)), STATE(f_hex("status", (uint64_t)status)));
	char *one[] = {"x", huge, NULL};
	observe("long_string", "execve", ret_int(sys(execve, "/proc/self/exe", one, none)), ARGS(f_uint("length", sizeof huge - 1)), STATE());
	char *bad[] = {"x", (char *)8, NULL};
	observe("bad_pointer", "execve", ret_int(sys(execve, "/proc/self/exe", bad, none)), ARGS(), STATE());
	observe("bad_path", "execve", ret_int(sys(execve, 8, one, none)), ARGS(), STATE());
	observe("long_path", "execve", ret_int(sys(execve, path, none, none)), ARGS(f_uint("length", sizeof path - 1)), STATE());
}
