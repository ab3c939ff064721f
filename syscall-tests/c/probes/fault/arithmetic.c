/* Division by zero, an invalid opcode, a breakpoint, a privileged instruction. */
#include "probe.h"

static volatile struct {
	int signo, code;
	uintptr_t addr, rip, trap;
} seen;
extern char arith_div[], arith_div_end[], arith_ud[], arith_ud_end[], arith_bp_end[], arith_hlt[], arith_hlt_end[];
static void *resume;

static void handler(int signo, siginfo_t *info, void *context)
{
	greg_t *r = ((ucontext_t *)context)->uc_mcontext.gregs;
	seen.signo = signo;
	seen.code = info->si_code;
	seen.addr = (uintptr_t)info->si_addr;
	seen.rip = (uintptr_t)r[REG_RIP];
	seen.trap = (uintptr_t)r[REG_TRAPNO];
	r[REG_RIP] = (greg_t)resume;
}

static void report(const char *id, void *at, void *addr)
{
	observe(id, "rt_sigaction", ret_int(seen.signo), ARGS(), STATE(f_int("code", seen.code), f_bool("rip", seen.rip == (uintptr_t)at),
		f_bool("addr", seen.addr == (uintptr_t)addr), f_uint("trap", seen.trap)));
}

PROBE("fault/arithmetic", "divide", "illegal", "breakpoint", "privileged")
{
	const int signals[] = {SIGFPE, SIGILL, SIGTRAP, SIGSEGV};
	for (size_t i = 0; i < countof(signals); i++)
		on_signal(signals[i], handler, 0, 0);
	resume = arith_div_end;
	__asm__ volatile("xor %%edx, %%edx\nmov $7, %%eax\nxor %%ecx, %%ecx\n"
			 ".globl arith_div, arith_div_end\narith_div: div %%ecx\narith_div_end:\n" ::: "eax", "ecx", "edx", "memory", "cc");
	report("divide", arith_div, arith_div);
	resume = arith_ud_end;
	__asm__ volatile(".globl arith_ud, arith_ud_end\narith_ud: ud2\narith_ud_end:\n" ::: "memory");
	report("illegal", arith_ud, arith_ud);
	resume = arith_bp_end;
	__asm__ volatile(".globl arith_bp_end\nint3\narith_bp_end:\n" ::: "memory");
	report("breakpoint", arith_bp_end, NULL);
	resume = arith_hlt_end;
	__asm__ volatile(".globl arith_hlt, arith_hlt_end\narith_hlt: hlt\narith_hlt_end:\n" ::: "memory");
	report("privileged", arith_hlt, NULL);
}
