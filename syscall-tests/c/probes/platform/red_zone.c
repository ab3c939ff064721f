/* Nothing below the stack pointer's 128 bytes is touched by a system call, nor by a signal's frame. */
#include "probe.h"

static volatile int runs;
static void handler(int signo, siginfo_t *info, void *context)
{
	(void)signo;
	(void)info;
	(void)context;
	volatile char room[256];
	memset((char *)room, 0xee, sizeof room);
	runs++;
}

/* Fills the red zone, makes the call, counts the words that changed. */
static long __attribute__((noinline)) across(long nr, long a, long b, long c, long *result)
{
	long wrong = 0;
	/* The frame lies 256 bytes up, so that the compiler has nothing in the zone used here. */
	__asm__ volatile("sub $256, %%rsp\n"
			 "mov $16, %%ecx\n"
			 "1: mov %%rcx, %%r9\nneg %%r9\nmov %%rcx, (%%rsp,%%r9,8)\ndec %%ecx\njnz 1b\n"
			 "syscall\n"
			 "mov $16, %%ecx\nxor %%r8d, %%r8d\n"
			 "2: mov %%rcx, %%r9\nneg %%r9\ncmp %%rcx, (%%rsp,%%r9,8)\nje 3f\ninc %%r8\n3: dec %%ecx\njnz 2b\n"
			 "add $256, %%rsp\n"
			 "mov %%r8, %1\n"
			 : "+a"(nr), "=r"(wrong), "+D"(a), "+S"(b), "+d"(c)
			 :
			 : "rcx", "r8", "r9", "r10", "r11", "memory", "cc");
	*result = nr;
	return wrong;
}

PROBE("platform/red_zone", "getpid", "yield", "read", "signal")
{
	on_signal(SIGUSR1, handler, 0, 0);
	long r, fd = must(sys(openat, AT_FDCWD, "/dev/zero", O_RDONLY)), wrong = 0;
	char c;
	for (int i = 0; i < 20; i++)
		wrong += across(__NR_getpid, 0, 0, 0, &r);
	observe("getpid", "getpid", ret_pid(r), ARGS(), STATE(f_int("wrong", wrong)));
	wrong = across(__NR_sched_yield, 0, 0, 0, &r);
	observe("yield", "sched_yield", ret_int(r), ARGS(), STATE(f_int("wrong", wrong)));
	wrong = across(__NR_read, fd, (long)&c, 1, &r);
	observe("read", "read", ret_int(r), ARGS(), STATE(f_int("wrong", wrong)));
	wrong = across(__NR_kill, sys(getpid), SIGUSR1, 0, &r);
	observe("signal", "kill", ret_int(r), ARGS(), STATE(f_int("wrong", wrong), f_int("runs", runs)));
}
