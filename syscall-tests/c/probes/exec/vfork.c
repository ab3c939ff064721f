/* A vfork child shares the memory and holds its parent up until it executes or ends. */
#include "probe.h"

static volatile int word;

/* vfork returns twice on one stack: no C frame may be left in between. */
static long __attribute__((noinline)) vfork_and_exit(int value)
{
	long pid;
	__asm__ volatile("syscall\n"
			 "test %%rax, %%rax\n"
			 "jnz 1f\n"
			 "movl %2, %1\n"
			 "mov $24, %%eax\nsyscall\n"
			 "mov $231, %%eax\nmov %2, %%edi\nsyscall\n"
			 "1:\n"
			 : "=a"(pid), "+m"(word)
			 : "r"(value), "a"((long)__NR_vfork)
			 : "rcx", "r11", "rdi", "memory");
	return pid;
}

CHILD("vfork")
{
	(void)argc;
	(void)argv;
	(void)envp;
	char byte;
	/* Only comes back from here when the parent runs again. */
	return sys(read, 0, &byte, 1) == 1 ? 21 : 22;
}

static char *child_argv[] = {"x", "child", "vfork", NULL}, *child_envp[] = {NULL};

static long __attribute__((noinline)) vfork_and_exec(void)
{
	long pid;
	__asm__ volatile("syscall\n"
			 "test %%rax, %%rax\n"
			 "jnz 1f\n"
			 "mov $59, %%eax\nmov %2, %%rdi\nmov %3, %%rsi\nmov %4, %%rdx\nsyscall\n"
			 "mov $231, %%eax\nmov $98, %%edi\nsyscall\n"
			 "1:\n"
			 : "=a"(pid)
			 : "a"((long)__NR_vfork), "r"("/proc/self/exe"), "r"(child_argv), "r"(child_envp)
			 : "rcx", "r11", "rdi", "rsi", "rdx", "memory");
	return pid;
}

PROBE("exec/vfork", "exit", "exec")
{
	long pid = vfork_and_exit(33);
	int seen = word, status = reap(pid);
	observe("exit", "vfork", ret_pid(pid), ARGS(), STATE(f_int("word", seen), f_hex("status", (uint64_t)status)));
	int p[2];
	make_pipe(p, O_CLOEXEC);
	must(sys(dup2, p[0], 0));
	pid = vfork_and_exec();
	must(sys(write, p[1], "x", 1));
	status = reap(pid);
	observe("exec", "vfork", ret_pid(pid), ARGS(), STATE(f_hex("status", (uint64_t)status)));
}
