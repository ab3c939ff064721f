/* syscall changes rax, rcx (the next instruction) and r11 (the flags), and nothing else. */
#include "probe.h"

extern char registers_next[];
uint64_t registers_out[16];

PROBE("vector/registers", "getpid", "enosys")
{
	for (int round = 0; round < 2; round++) {
		uint64_t nr = round ? __NR_tuxcall : __NR_getpid;
		__asm__ volatile("push %%rbp\npush %%rbx\n"
				 "mov $1,%%rbx\nmov $2,%%rdx\nmov $3,%%rsi\nmov $4,%%rdi\nmov $5,%%rbp\nmov $8,%%r8\nmov $9,%%r9\nmov $10,%%r10\n"
				 "mov $12,%%r12\nmov $13,%%r13\nmov $14,%%r14\nmov $15,%%r15\ncmp %%rbx,%%rbx\nstc\n"
				 "syscall\n"
				 "1:\n"
				 "mov %%r11,16+registers_out(%%rip)\nlea 1b(%%rip),%%r11\nsub %%r11,%%rcx\nmov %%rcx,8+registers_out(%%rip)\n"
				 "mov %%rax,registers_out(%%rip)\nmov %%rbx,24+registers_out(%%rip)\nmov %%rdx,32+registers_out(%%rip)\nmov %%rsi,40+registers_out(%%rip)\nmov %%rdi,48+registers_out(%%rip)\n"
				 "mov %%rbp,56+registers_out(%%rip)\nmov %%r8,64+registers_out(%%rip)\nmov %%r9,72+registers_out(%%rip)\nmov %%r10,80+registers_out(%%rip)\nmov %%r12,88+registers_out(%%rip)\n"
				 "mov %%r13,96+registers_out(%%rip)\nmov %%r14,104+registers_out(%%rip)\nmov %%r15,112+registers_out(%%rip)\n"
				 "pop %%rbx\npop %%rbp\n"
				 : "+a"(nr)
				 :
				 : "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory", "cc");
		long r = (long)registers_out[0];
		observe(round ? "enosys" : "getpid", round ? "tuxcall" : "getpid", ret_pid(r), ARGS(),
			STATE(f_uint("rcx_minus_next", registers_out[1]), f_hex("r11_arithmetic", registers_out[2] & 0x8d5), f_uint("rbx", registers_out[3]), f_uint("rdx", registers_out[4]), f_uint("rsi", registers_out[5]),
			      f_uint("rdi", registers_out[6]), f_uint("rbp", registers_out[7]), f_uint("r8", registers_out[8]), f_uint("r9", registers_out[9]), f_uint("r10", registers_out[10]), f_uint("r12", registers_out[11]),
			      f_uint("r13", registers_out[12]), f_uint("r14", registers_out[13]), f_uint("r15", registers_out[14])));
	}
}
