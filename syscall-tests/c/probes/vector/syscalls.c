/* Every vector register and the x87 stack survive system calls, cheap and blocking ones. */
#include "probe.h"

static int ymm;

static void load(const void *from)
{
	if (ymm)
		__asm__ volatile("vmovdqu (%0),%%ymm0\nvmovdqu 32(%0),%%ymm1\nvmovdqu 64(%0),%%ymm2\nvmovdqu 96(%0),%%ymm3\n"
				 "vmovdqu 128(%0),%%ymm7\nvmovdqu 160(%0),%%ymm8\nvmovdqu 192(%0),%%ymm14\nvmovdqu 224(%0),%%ymm15" ::"r"(from));
	else
		__asm__ volatile("movdqu (%0),%%xmm0\nmovdqu 32(%0),%%xmm1\nmovdqu 64(%0),%%xmm2\nmovdqu 96(%0),%%xmm3\n"
				 "movdqu 128(%0),%%xmm7\nmovdqu 160(%0),%%xmm8\nmovdqu 192(%0),%%xmm14\nmovdqu 224(%0),%%xmm15" ::"r"(from));
	__asm__ volatile("fldpi\nfld1");
}

static void store(void *to, double *x87)
{
	__asm__ volatile("fstpl (%0)\nfstpl 8(%0)" ::"r"(x87) : "memory");
	if (ymm)
		__asm__ volatile("vmovdqu %%ymm0,(%0)\nvmovdqu %%ymm1,32(%0)\nvmovdqu %%ymm2,64(%0)\nvmovdqu %%ymm3,96(%0)\n"
				 "vmovdqu %%ymm7,128(%0)\nvmovdqu %%ymm8,160(%0)\nvmovdqu %%ymm14,192(%0)\nvmovdqu %%ymm15,224(%0)\nvzeroupper" ::"r"(to) : "memory");
	else
		__asm__ volatile("movdqu %%xmm0,(%0)\nmovdqu %%xmm1,32(%0)\nmovdqu %%xmm2,64(%0)\nmovdqu %%xmm3,96(%0)\n"
				 "movdqu %%xmm7,128(%0)\nmovdqu %%xmm8,160(%0)\nmovdqu %%xmm14,192(%0)\nmovdqu %%xmm15,224(%0)" ::"r"(to) : "memory");
}

#define ACROSS(id, name, show, ...)                                                                                   \
	do {                                                                                                          \
		unsigned char in[256], out[256];                                                                      \
		double x87[2] = {0, 0};                                                                               \
		for (int i = 0; i < 256; i++)                                                                         \
			in[i] = (unsigned char)(i * 7 + 1);                                                           \
		memset(out, 0, sizeof out);                                                                           \
		unsigned csr = 0x3f80, csr_after = 0;                                                                 \
		__asm__ volatile("ldmxcsr %0" ::"m"(csr));                                                            \
		load(in);                                                                                             \
		long r = sys6(__NR_##name, __VA_ARGS__);                                                              \
		store(out, x87);                                                                                      \
		__asm__ volatile("stmxcsr %0" : "=m"(csr_after));                                                     \
		int wrong = 0;                                                                                        \
		for (int i = 0; i < 256; i++)                                                                         \
			wrong += (ymm || i % 32 < 16) && in[i] != out[i];                                             \
		if (__NR_##name == __NR_fork && r == 0)                                                               \
			sys(exit_group, wrong || x87[0] != 1.0 ? 1 : 77);                                             \
		observe(id, #name, show(r), ARGS(), STATE(f_int("wrong_bytes", wrong),                                \
			f_int("child", __NR_##name == __NR_fork && r > 0 ? WEXITSTATUS(reap(r)) : 0),                 \
			f_bool("x87", x87[0] == 1.0 && x87[1] > 3.14 && x87[1] < 3.15), f_hex("mxcsr", csr_after)));  \
	} while (0)

static int late_writer(void *fd)
{
	await_sleep(sys(getppid), sys(getppid));
	sys(write, (long)fd, "x", 1);
	return 0;
}

PROBE("vector/syscalls", "getpid", "yield", "write", "mmap", "blocking_read", "fork")
{
	ymm = __builtin_cpu_supports("avx");
	int p[2];
	char c;
	make_pipe(p, 0);
	ACROSS("getpid", getpid, ret_pid, 0, 0, 0, 0, 0, 0);
	ACROSS("yield", sched_yield, ret_int, 0, 0, 0, 0, 0, 0);
	ACROSS("write", write, ret_int, p[1], (long)"x", 1, 0, 0, 0);
	must(sys(read, p[0], &c, 1));
	ACROSS("mmap", mmap, ret_addr, 0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	long pid = spawn(late_writer, (void *)(long)p[1]);
	ACROSS("blocking_read", read, ret_int, p[0], (long)&c, 1, 0, 0, 0);
	reap(pid);
	ACROSS("fork", fork, ret_pid, 0, 0, 0, 0, 0, 0);
}
