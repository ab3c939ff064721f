/* Sixty children at once: each has its own id and gives its own status. */
#include "probe.h"

PROBE("process/many", "reaped", "none_left")
{
	static long pids[60];
	int go[2], right = 0, distinct = 1;
	char c;
	make_pipe(go, 0);
	for (int i = 0; i < 60; i++) {
		pids[i] = must(sys(fork));
		if (pids[i] == 0) {
			sys(close, go[1]);
			sys(read, go[0], &c, 1);
			sys(exit_group, i);
		}
		for (int j = 0; j < i; j++)
			distinct &= pids[j] != pids[i];
	}
	must(sys(close, go[1]));
	for (int left = 60; left > 0; left--) {
		int status = 0;
		long pid = must(sys(wait4, -1, &status, 0, NULL));
		for (int i = 0; i < 60; i++)
			right += pids[i] == pid && WIFEXITED(status) && WEXITSTATUS(status) == i;
	}
	observe("reaped", "wait4", ret_int(0), ARGS(f_int("children", 60)), STATE(f_int("right", right), f_bool("distinct", distinct)));
	observe("none_left", "wait4", ret_pid(sys(wait4, -1, NULL, 0, NULL)), ARGS(f_int("pid", -1)), STATE());
}
