/* What a call with an empty path and AT_EMPTY_PATH works on: a row of starts for each call. */
#include "probe.h"
#include <linux/stat.h>
#include "table.h"

static const char *const names[] = {"cwd", "folder", "file", "path", "link", "pipe", "closed"};
static long starts[countof(names)];

static long call(long which, long start, const char *path, long flags)
{
	struct stat s;
	struct statx x;
	char text[64] = "";
	long r;
	switch (which) {
	case 0:
		r = sys(newfstatat, start, path, &s, flags);
		return r ? r : (long)(s.st_mode >> 12);
	case 1:
		r = sys(statx, start, path, flags, STATX_TYPE, &x);
		return r ? r : x.stx_mode >> 12;
	case 2: return sys(fchownat, start, path, -1, -1, flags);
	case 3: return sys6(452, start, (long)path, 0700, flags, 0, 0);
	case 4: return sys(faccessat2, start, path, R_OK, flags);
	case 5: return sys(utimensat, start, path, NULL, flags);
	case 6:
		r = sys(linkat, start, path, AT_FDCWD, "linked", flags);
		if (r == 0)
			must(sys(unlinkat, AT_FDCWD, "linked", 0));
		return r;
	default:
		r = sys(readlinkat, start, path, text, sizeof text);
		return r;
	}
}

PROBE("stat/empty_paths", "newfstatat", "statx", "fchownat", "fchmodat2", "faccessat2", "utimensat", "linkat", "readlinkat", "null_newfstatat",
      "null_statx", "without_newfstatat", "without_statx", "without_fchownat", "without_fchmodat2", "without_faccessat2", "without_utimensat",
      "without_linkat")
{
	static struct row row;
	static const char *const calls[] = {"newfstatat", "statx", "fchownat", "fchmodat2", "faccessat2", "utimensat", "linkat", "readlinkat"};
	int p[2];
	char id[64];
	put_file("f", "x", 1);
	must(sys(mkdirat, AT_FDCWD, "d", 0700));
	must(sys(symlinkat, "f", AT_FDCWD, "l"));
	make_pipe(p, 0);
	starts[0] = AT_FDCWD;
	starts[1] = must(sys(openat, AT_FDCWD, "d", O_RDONLY));
	starts[2] = must(sys(openat, AT_FDCWD, "f", O_RDWR));
	starts[3] = must(sys(openat, AT_FDCWD, "f", O_PATH));
	starts[4] = must(sys(openat, AT_FDCWD, "l", O_PATH | O_NOFOLLOW));
	starts[5] = p[0];
	starts[6] = 4000;
	for (long which = 0; which < (long)countof(calls); which++) {
		for (size_t i = 0; i < countof(starts); i++)
			cell(&row, (long)i, call(which, starts[i], "", AT_EMPTY_PATH));
		observe_row(&row, calls[which], calls[which]);
	}
	for (long which = 0; which < 2; which++) {
		snprintf(id, sizeof id, "null_%s", calls[which]);
		for (size_t i = 0; i < countof(starts); i++)
			cell(&row, (long)i, call(which, starts[i], NULL, AT_EMPTY_PATH));
		observe_row(&row, id, calls[which]);
	}
	for (long which = 0; which < 7; which++) {
		snprintf(id, sizeof id, "without_%s", calls[which]);
		for (size_t i = 0; i < countof(starts); i++)
			cell(&row, (long)i, call(which, starts[i], "", 0));
		observe_row(&row, id, calls[which]);
	}
}
