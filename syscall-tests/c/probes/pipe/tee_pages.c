/* tee and splice over the pages of a pipe: how much goes on, what arrives, what stays. */
#include "probe.h"
#include "table.h"

static long check(int fd, size_t n, bool skip)
{
	static unsigned char data[70000];
	long got = n ? sys(read, fd, data, n) : 0;
	for (long i = 0; i < got; i++)
		if (data[i] != (unsigned char)(i % 251))
			return -EIO;
	(void)skip;
	return got;
}

PROBE("pipe/tee_pages", "tee", "splice", "small_target")
{
	static struct row row;
	static unsigned char data[70000];
	static const size_t first[] = {10, 4096, 4097, 10000, 65536};
	static const size_t lens[] = {1, 9, 10, 4095, 4096, 4097, 8192, 9000, 65536, 100000};
	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (unsigned char)(i % 251);
	for (long kind = 0; kind < 3; kind++) {
		for (size_t i = 0; i < countof(first); i++)
			for (size_t k = 0; k < countof(lens); k++) {
				int from[2], to[2], left = 0;
				make_pipe(from, 0);
				make_pipe(to, O_NONBLOCK);
				if (kind == 2)
					must(sys(fcntl, to[1], F_SETPIPE_SZ, 8192));
				must(sys(write, from[1], data, first[i]));
				long r = kind == 1 ? sys(splice, from[0], NULL, to[1], NULL, lens[k], 0) : sys(tee, from[0], to[1], lens[k], 0);
				must(sys(ioctl, from[0], 0x541b, &left));
				char text[64];
				snprintf(text, sizeof text, "%ld,%ld,%d", r, check(to[0], sizeof data, false), left);
				cell_text(&row, (long)(i * 100 + k), text);
				for (int e = 0; e < 2; e++) {
					must(sys(close, from[e]));
					must(sys(close, to[e]));
				}
			}
		static const char *const ids[] = {"tee", "splice", "small_target"};
		observe_row(&row, ids[kind], kind == 1 ? "splice" : "tee");
	}
}
