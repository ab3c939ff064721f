/* Protection as the kernel's own copies see it, and as /proc/self/maps shows it. */
#include "probe.h"

static void look(void *at, char perms[8])
{
	static char maps[65536];
	long n = get_file("/proc/self/maps", maps, sizeof maps - 1);
	maps[n < 0 ? 0 : n] = 0;
	strcpy(perms, n < 0 ? "hidden" : "none");
	for (char *line = maps; line != NULL && *line != 0; line = strchr(line, '\n')) {
		line += *line == '\n';
		unsigned long from, to;
		char p[8];
		if (sscanf(line, "%lx-%lx %4s", &from, &to, p) == 3 && from <= (uintptr_t)at && (uintptr_t)at < to)
			strcpy(perms, p);
	}
}

PROBE("mm/mprotect", "read_only", "none", "back", "split", "unmapped", "unaligned", "bad_prot")
{
	int p[2];
	make_pipe(p, 0);
	char *at = pages(3, false), perms[8], other[8];
	memset(at, 'v', 4096);
	must(sys(write, p[1], "abcdefgh", 8));
	long r = sys(mprotect, at, 4096, PROT_READ);
	look(at, perms);
	observe("read_only", "mprotect", ret_int(r), ARGS(f_hex("prot", PROT_READ)),
		STATE(f_errno("copy_out", err_of(sys(read, p[0], at, 1))), f_errno("copy_in", err_of(sys(write, p[1], at, 1))), f_str("maps", perms)));
	r = sys(mprotect, at, 4096, PROT_NONE);
	look(at, perms);
	observe("none", "mprotect", ret_int(r), ARGS(f_hex("prot", PROT_NONE)), STATE(f_errno("copy_in", err_of(sys(write, p[1], at, 1))), f_str("maps", perms)));
	r = sys(mprotect, at, 4096, PROT_READ | PROT_WRITE);
	observe("back", "mprotect", ret_int(r), ARGS(f_hex("prot", PROT_READ | PROT_WRITE)), STATE(f_int("kept", at[0]), f_errno("copy_out", err_of(sys(read, p[0], at, 1)))));
	r = sys(mprotect, at + 4096, 4096, PROT_READ | PROT_EXEC);
	look(at + 4096, perms);
	look(at + 8192, other);
	observe("split", "mprotect", ret_int(r), ARGS(f_hex("prot", PROT_READ | PROT_EXEC)), STATE(f_str("inside", perms), f_str("after", other)));
	must(sys(munmap, at + 4096, 4096));
	r = sys(mprotect, at, 3 * 4096, PROT_READ);
	look(at, perms);
	observe("unmapped", "mprotect", ret_int(r), ARGS(f_uint("len", 3 * 4096)), STATE(f_str("before_gap", perms)));
	observe("unaligned", "mprotect", ret_int(sys(mprotect, at + 1, 4096, PROT_READ)), ARGS(), STATE());
	observe("bad_prot", "mprotect", ret_int(sys(mprotect, at, 4096, 0x40)), ARGS(f_hex("prot", 0x40)), STATE());
}
