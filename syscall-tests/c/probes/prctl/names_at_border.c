/* Texts that a call is given at the end of memory: as long as they end before it, nothing behind them is looked at. */
#include "probe.h"
#include "table.h"

static char *end;

/* A text of `len` bytes; `ends`: with its NUL, the last byte that there is. */
static char *text(size_t len, bool ends)
{
	char *at = end - len - ends;
	memset(at, 'x', len);
	if (ends)
		end[-1] = 0;
	return at;
}

static long call(long which, const char *at)
{
	char name[64];
	long r, fd;
	switch (which) {
	case 0:
		r = sys(prctl, 15, at);
		memset(name, 0, sizeof name);
		must(sys(prctl, 16, name));
		return r ? r : (long)strlen(name);
	case 1: return made(sys(memfd_create, at, 0));
	case 2: return made(sys(openat, AT_FDCWD, at, O_CREAT | O_RDWR, 0600));
	case 3: return sys(mkdirat, AT_FDCWD, at, 0700);
	case 4:
		r = sys(symlinkat, at, AT_FDCWD, "link");
		sys(unlinkat, AT_FDCWD, "link", 0);
		return r;
	case 5:
		fd = must(sys(openat, AT_FDCWD, "f", O_RDWR));
		r = sys(fgetxattr, fd, at, NULL, 0);
		must(sys(close, fd));
		return r;
	case 6: return sys(access, at, F_OK);
	default: return sys(chdir, at);
	}
}

PROBE("prctl/names_at_border", "prctl", "memfd_create", "openat", "mkdirat", "symlinkat", "fgetxattr", "access", "chdir")
{
	static struct row row;
	static const char *const calls[] = {"prctl", "memfd_create", "openat", "mkdirat", "symlinkat", "fgetxattr", "access", "chdir"};
	char *memory = pages(2, false);
	end = memory + 4096;
	must(sys(munmap, end, 4096));
	put_file("f", "x", 1);
	for (size_t which = 0; which < countof(calls); which++) {
		for (long len = 0; len <= 18; len++) {
			cell(&row, len, call((long)which, text((size_t)len, true)));
			sys(unlinkat, AT_FDCWD, end - len - 1, 0);
			sys(unlinkat, AT_FDCWD, end - len - 1, AT_REMOVEDIR);
		}
		for (long len = 0; len <= 18; len++)
			cell(&row, 100 + len, call((long)which, text((size_t)len, false)));
		observe_row(&row, calls[which], calls[which]);
	}
}
