/* What a handler writes into the frame is what the program finds: general, flags and vector registers. */
#include "probe.h"

static void handler(int signo, siginfo_t *info, void *context)
{
	(void)signo;
	(void)info;
	ucontext_t *uc = context;
	greg_t *r = uc->uc_mcontext.gregs;
	r[REG_RBX] = 0x1111;
	r[REG_R14] = 0x2222;
	r[REG_RAX] = 0x3333;
	r[REG_EFL] |= 1;
	memset(&uc->uc_mcontext.fpregs->_xmm[9], 0x77, 16);
	uint64_t mask = SIGBIT(SIGUSR2);
	memcpy(&uc->uc_sigmask, &mask, sizeof mask);
}

PROBE("vector/frame", "registers", "mask")
{
	on_signal(SIGUSR1, handler, 0, 0);
	long pid = sys(getpid), rax, rbx, r14;
	unsigned char carry, out[16] = {0};
	__asm__ volatile("xor %%ebx,%%ebx\nxor %%r14d,%%r14d\npxor %%xmm9,%%xmm9\nclc\n"
			 "syscall\n"
			 "setc %3\nmovdqu %%xmm9,%4\nmov %%rbx,%1\nmov %%r14,%2\n"
			 : "=a"(rax), "=&r"(rbx), "=&r"(r14), "=&qm"(carry), "=m"(out)
			 : "a"(__NR_tgkill), "D"(pid), "S"(pid), "d"(SIGUSR1)
			 : "rbx", "r14", "rcx", "r11", "xmm9", "memory", "cc");
	observe("registers", "rt_sigreturn", ret_hex(rax), ARGS(), STATE(f_hex("rbx", (uint64_t)rbx), f_hex("r14", (uint64_t)r14), f_bool("carry", carry), f_bytes("xmm9", out, 16)));
	uint64_t now = 0;
	long r = sys(rt_sigprocmask, SIG_SETMASK, NULL, &now, 8);
	observe("mask", "rt_sigprocmask", ret_int(r), ARGS(), STATE(f_hex("mask", now)));
}
