/* The segment bases: what is set is read back and used; other addresses are refused. */
#include "probe.h"
#include <asm/prctl.h>

PROBE("thread/arch_prctl", "get_fs", "set_gs", "get_gs", "kept", "not_canonical", "unknown")
{
	uint64_t fs = 0, gs = 0, self = 0, through = 0;
	long r = sys(arch_prctl, ARCH_GET_FS, &fs);
	/* The x86-64 ABI puts the thread pointer's own address at offset 0. */
	__asm__ volatile("mov %%fs:0, %0" : "=r"(self));
	observe("get_fs", "arch_prctl", ret_int(r), ARGS(f_hex("op", ARCH_GET_FS)), STATE(f_bool("same", fs == self)));
	uint64_t *block = pages(1, false);
	block[1] = 0xfeedface;
	r = sys(arch_prctl, ARCH_SET_GS, block);
	__asm__ volatile("mov %%gs:8, %0" : "=r"(through));
	observe("set_gs", "arch_prctl", ret_int(r), ARGS(f_hex("op", ARCH_SET_GS)), STATE(f_hex("through", through)));
	r = sys(arch_prctl, ARCH_GET_GS, &gs);
	observe("get_gs", "arch_prctl", ret_int(r), ARGS(f_hex("op", ARCH_GET_GS)), STATE(f_bool("same", gs == (uintptr_t)block)));
	sys(getpid);
	sys(sched_yield);
	char c;
	long fd = must(sys(openat, AT_FDCWD, "/dev/zero", O_RDONLY));
	r = sys(read, fd, &c, 1);
	through = 0;
	__asm__ volatile("mov %%gs:8, %0" : "=r"(through));
	observe("kept", "read", ret_int(r), ARGS(), STATE(f_hex("through", through)));
	r = sys(arch_prctl, ARCH_SET_GS, 1ul << 62);
	sys(arch_prctl, ARCH_GET_GS, &gs);
	observe("not_canonical", "arch_prctl", ret_int(r), ARGS(f_hex("addr", 1ul << 62)), STATE(f_bool("same", gs == (uintptr_t)block)));
	observe("unknown", "arch_prctl", ret_int(sys(arch_prctl, 0x7777, 0)), ARGS(f_hex("op", 0x7777)), STATE());
}
