/* Appending writes of several processes neither overlap nor tear. */
#include "probe.h"

static int writer(void *letter)
{
	long fd = must(sys(openat, AT_FDCWD, "f", O_WRONLY | O_APPEND));
	char line[32];
	memset(line, (int)(long)letter, sizeof line);
	line[31] = '\n';
	for (int i = 0; i < 50; i++)
		if (sys(write, fd, line, sizeof line) != sizeof line)
			return 1;
	return 0;
}

PROBE("rw/append_shared", "lines")
{
	put_file("f", "", 0);
	long pids[4];
	int failed = 0, torn = 0, counts[4] = {0};
	for (long i = 0; i < 4; i++)
		pids[i] = spawn(writer, (void *)('a' + i));
	for (int i = 0; i < 4; i++)
		failed += reap(pids[i]) != 0;
	static char data[4 * 50 * 32 + 1];
	long n = get_file("f", data, sizeof data);
	for (long at = 0; at + 32 <= n; at += 32) {
		for (int i = 1; i < 31; i++)
			torn += data[at + i] != data[at];
		counts[(data[at] - 'a') & 3]++;
	}
	observe("lines", "write", ret_int(n), ARGS(f_int("writers", 4)),
		STATE(f_int("failed", failed), f_int("torn", torn), f_list("counts", v_int(counts[0]), v_int(counts[1]), v_int(counts[2]), v_int(counts[3]))));
}
