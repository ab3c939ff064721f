/* Advice that changes what memory holds. */
#include "probe.h"

static int look(void *at)
{
	char *m = at;
	int p[2];
	make_pipe(p, 0);
	return (m[0] == 'w' ? 1 : 0) | (err_of(sys(write, p[1], m + 4096, 1)) == EFAULT ? 2 : 0);
}

PROBE("mm/madvise", "dontneed", "dontneed_file", "wipe_dont_fork", "willneed", "unaligned", "unknown", "unmapped")
{
	char *at = pages(3, false);
	memset(at, 'w', 3 * 4096);
	long r = sys(madvise, at + 4096, 4096, MADV_DONTNEED);
	observe("dontneed", "madvise", ret_int(r), ARGS(f_int("advice", MADV_DONTNEED)), STATE(f_int("before", at[4095]), f_int("dropped", at[4096]), f_int("after", at[8192])));
	put_file("f", "file", 4);
	long fd = must(sys(openat, AT_FDCWD, "f", O_RDONLY));
	char *file = (char *)must(sys(mmap, NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0));
	file[0] = 'X';
	r = sys(madvise, file, 4096, MADV_DONTNEED);
	observe("dontneed_file", "madvise", ret_int(r), ARGS(f_int("advice", MADV_DONTNEED)), STATE(f_bytes("memory", file, 4)));
	must(sys(madvise, at, 4096, MADV_WIPEONFORK));
	r = sys(madvise, at + 4096, 4096, MADV_DONTFORK);
	observe("wipe_dont_fork", "madvise", ret_int(r), ARGS(f_int("advice", MADV_DONTFORK)), STATE(f_int("child", WEXITSTATUS(reap(spawn(look, at)))), f_int("parent", at[0])));
	observe("willneed", "madvise", ret_int(sys(madvise, at, 8192, MADV_WILLNEED)), ARGS(f_int("advice", MADV_WILLNEED)), STATE(f_int("kept", at[8192])));
	observe("unaligned", "madvise", ret_int(sys(madvise, at + 1, 4096, MADV_DONTNEED)), ARGS(), STATE(f_int("kept", at[0])));
	observe("unknown", "madvise", ret_int(sys(madvise, at, 4096, 9999)), ARGS(f_int("advice", 9999)), STATE());
	must(sys(munmap, at + 8192, 4096));
	observe("unmapped", "madvise", ret_int(sys(madvise, at + 4096, 8192, MADV_DONTNEED)), ARGS(), STATE());
}
