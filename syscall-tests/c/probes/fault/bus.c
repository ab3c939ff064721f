/* Touching a mapping beyond the end of its file is SIGBUS; once the file has grown, it is not. */
#include "probe.h"

static volatile int signal_seen, code;
static volatile uintptr_t addr;
extern char bus_next[];

static void handler(int signo, siginfo_t *info, void *context)
{
	signal_seen = signo;
	code = info->si_code;
	addr = (uintptr_t)info->si_addr;
	((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] = (greg_t)bus_next;
}

/* Loads a byte from `at`; the signal that this gave, 0 for none. */
static int __attribute__((noinline)) touch(volatile char *at)
{
	signal_seen = 0;
	__asm__ volatile(".globl bus_next\n\tmovb (%0), %%al\nbus_next:\n" ::"r"(at) : "al", "memory");
	return signal_seen;
}

PROBE("fault/bus", "inside", "beyond", "grown", "cut")
{
	on_signal(SIGBUS, handler, 0, 0);
	put_file("f", "x", 1);
	long fd = must(sys(openat, AT_FDCWD, "f", O_RDWR));
	long r = sys(mmap, NULL, 8192, PROT_READ, MAP_SHARED, fd, 0);
	char *at = (char *)must(r);
	observe("inside", "mmap", ret_addr(r), ARGS(f_uint("length", 8192)), STATE(f_int("signal", touch(at + 4095))));
	int got = touch(at + 4096);
	observe("beyond", "mmap", ret_addr(r), ARGS(f_uint("length", 8192)),
		STATE(f_int("signal", got), f_int("code", code), f_bool("addr", addr == (uintptr_t)at + 4096)));
	long grown = sys(ftruncate, fd, 8192);
	observe("grown", "ftruncate", ret_int(grown), ARGS(f_int("length", 8192)), STATE(f_int("signal", touch(at + 4096))));
	grown = sys(ftruncate, fd, 0);
	observe("cut", "ftruncate", ret_int(grown), ARGS(f_int("length", 0)), STATE(f_int("signal", touch(at))));
}
