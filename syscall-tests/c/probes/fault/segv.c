/* SIGSEGV tells the address and the reason, shows the registers, and resumes where the handler says. */
#include "probe.h"

static volatile struct {
	int count, signo, code;
	uintptr_t addr, rip, r12, r13, error, trap;
} seen;
extern char fault_store[], fault_resume[], fault_jump_resume[];

static void handler(int signo, siginfo_t *info, void *context)
{
	greg_t *r = ((ucontext_t *)context)->uc_mcontext.gregs;
	seen.count++;
	seen.signo = signo;
	seen.code = info->si_code;
	seen.addr = (uintptr_t)info->si_addr;
	seen.rip = (uintptr_t)r[REG_RIP];
	seen.r12 = (uintptr_t)r[REG_R12];
	seen.r13 = (uintptr_t)r[REG_R13];
	seen.error = (uintptr_t)r[REG_ERR];
	seen.trap = (uintptr_t)r[REG_TRAPNO];
	r[REG_R13] = 0x1357;
	if ((uintptr_t)r[REG_RIP] == (uintptr_t)fault_store)
		r[REG_RIP] = (greg_t)fault_resume;
	else
		r[REG_RIP] = (greg_t)fault_jump_resume;
}

/* Stores to `at` with known registers; r13 as the handler left it. */
static uintptr_t __attribute__((noinline)) store(void *at)
{
	register uintptr_t r13 __asm__("r13") = 0x2468;
	__asm__ volatile("mov $0x123456789abc, %%r12\n"
			 ".globl fault_store, fault_resume\n"
			 "fault_store: movb $1, (%1)\n"
			 "fault_resume:\n"
			 : "+r"(r13)
			 : "a"(at)
			 : "r12", "memory");
	return r13;
}

static uintptr_t __attribute__((noinline)) jump(void *at)
{
	register uintptr_t r13 __asm__("r13") = 0;
	__asm__ volatile("jmp *%1\n"
			 ".globl fault_jump_resume\n"
			 "fault_jump_resume:\n"
			 : "+r"(r13)
			 : "a"(at)
			 : "r12", "memory");
	return r13;
}

static void report(const char *id, void *at, uintptr_t r13)
{
	observe(id, "rt_sigreturn", ret_hex((long)r13), ARGS(f_int("count", seen.count)),
		STATE(f_int("signo", seen.signo), f_int("code", seen.code), f_bool("addr", seen.addr == (uintptr_t)at),
		      f_bool("rip", seen.rip == (uintptr_t)fault_store || seen.rip == (uintptr_t)at), f_hex("r12", seen.r12), f_hex("r13", seen.r13),
		      f_hex("error", seen.error), f_uint("trap", seen.trap)));
}

PROBE("fault/segv", "unmapped", "read_only", "none", "not_executable", "again")
{
	on_signal(SIGSEGV, handler, 0, 0);
	char *at = pages(2, false);
	at[0] = 1;
	must(sys(munmap, at + 4096, 4096));
	report("unmapped", at + 4096, store(at + 4096));
	must(sys(mprotect, at, 4096, PROT_READ));
	report("read_only", at + 8, store(at + 8));
	must(sys(mprotect, at, 4096, PROT_NONE));
	report("none", at, store(at));
	must(sys(mprotect, at, 4096, PROT_READ | PROT_WRITE));
	seen.r12 = 0;
	uintptr_t r13 = jump(at);
	seen.r12 = seen.r13 = 0;
	report("not_executable", at, r13);
	must(sys(munmap, at, 4096));
	report("again", at, store(at));
}
