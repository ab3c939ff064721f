/* A handler that interrupts a blocked call sees the program's own instruction: the next one with EINTR, the call itself if it will restart. */
#include "probe.h"

extern char blocked_call[], blocked_next[];
static volatile uintptr_t rip, rax;

static void handler(int signo, siginfo_t *info, void *context)
{
	(void)signo;
	(void)info;
	rip = (uintptr_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
	rax = (uintptr_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_RAX];
}

static long __attribute__((noinline)) blocked(long fd, char *c)
{
	long r;
	__asm__ volatile(".globl blocked_call, blocked_next\n"
			 "blocked_call: syscall\n"
			 "blocked_next:\n"
			 : "=a"(r)
			 : "a"((long)__NR_read), "D"(fd), "S"(c), "d"(1l)
			 : "rcx", "r11", "memory");
	return r;
}

static int ends[2];
static int interrupter(void *then_write)
{
	long parent = sys(getppid);
	await_sleep(parent, parent);
	sys(kill, parent, SIGUSR1);
	if (then_write) {
		await_sleep(parent, parent);
		sys(write, ends[1], "x", 1);
	}
	return 0;
}

PROBE("platform/interrupted_frame", "eintr", "restart")
{
	char c;
	make_pipe(ends, 0);
	on_signal(SIGUSR1, handler, 0, 0);
	long pid = spawn(interrupter, NULL);
	long r = blocked(ends[0], &c);
	reap(pid);
	observe("eintr", "read", ret_int(r), ARGS(f_hex("sa_flags", 0)),
		STATE(f_int("rip_after_call", (int64_t)(rip - (uintptr_t)blocked_call)), f_errno("rax", err_of((long)rax))));
	on_signal(SIGUSR1, handler, SA_RESTART, 0);
	pid = spawn(interrupter, ends);
	r = blocked(ends[0], &c);
	reap(pid);
	observe("restart", "read", ret_int(r), ARGS(f_hex("sa_flags", SA_RESTART)),
		STATE(f_int("rip_after_call", (int64_t)(rip - (uintptr_t)blocked_call)), f_uint("rax", rax)));
}
