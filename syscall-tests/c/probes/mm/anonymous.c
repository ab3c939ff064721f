/* Anonymous memory is zero, private copies part at fork, shared ones don't, and unmapped ones are gone. */
#include "probe.h"

static int child(void *at)
{
	volatile unsigned char **m = at;
	m[0][0] = 11;
	m[1][0] = 22;
	return m[0][1] == 5 && m[1][1] == 6;
}

PROBE("mm/anonymous", "private", "shared", "fork_private", "fork_shared", "munmap")
{
	long r = sys(mmap, NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned char *private = (void *)r;
	observe("private", "mmap", ret_addr(r), ARGS(f_hex("flags", MAP_PRIVATE | MAP_ANONYMOUS)),
		STATE(f_uint("first", private[0]), f_uint("last", private[8191]), f_uint("page_offset", (uintptr_t)r & 4095)));
	long r2 = sys(mmap, NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned char *shared = (void *)r2;
	observe("shared", "mmap", ret_addr(r2), ARGS(f_hex("flags", MAP_SHARED | MAP_ANONYMOUS)), STATE(f_uint("first", shared[0])));
	private[1] = 5;
	shared[1] = 6;
	unsigned char *both[] = {private, shared};
	long pid = sys(fork);
	if (pid == 0)
		sys(exit_group, child(both));
	int status = reap(pid);
	observe("fork_private", "fork", ret_pid(pid), ARGS(), STATE(f_hex("status", (uint64_t)status), f_uint("byte", private[0])));
	observe("fork_shared", "fork", ret_pid(pid), ARGS(), STATE(f_uint("byte", shared[0])));
	int p[2];
	make_pipe(p, 0);
	r = sys(munmap, private + 4096, 4096);
	observe("munmap", "munmap", ret_int(r), ARGS(f_uint("length", 4096)),
		STATE(f_errno("gone", err_of(sys(write, p[1], private + 4096, 1))), f_errno("kept", err_of(sys(write, p[1], private, 1)))));
}
