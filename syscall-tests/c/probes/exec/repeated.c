/* A process that executes itself many times: each image finds what execve leaves, and nothing of the one before it. */
#include "probe.h"

#define ROUNDS 24
/* Where no image has anything: behind a program at a fixed address the heap begins anywhere within 1 GiB. */
#define OLD ((void *)0x200000000)

/* What an image finds wrong, a bit each. */
static unsigned look(void)
{
	unsigned wrong = 0;
	unsigned char there;
	unsigned csr;
	uint64_t mask = 0, pending = 0;
	stack_t alt;
	struct itimerval timer;
	struct itimerspec posix;
	__asm__ volatile("stmxcsr %0" : "=m"(csr));
	sys(rt_sigprocmask, SIG_BLOCK, NULL, &mask, 8);
	sys(rt_sigpending, &pending, 8);
	sys(sigaltstack, NULL, &alt);
	sys(getitimer, ITIMER_REAL, &timer);
	wrong |= (sys(mincore, OLD, 4096, &there) != -ENOMEM) << 0;
	wrong |= (mask != 1UL << (SIGUSR1 - 1)) << 1;
	wrong |= (pending != 1UL << (SIGUSR1 - 1)) << 2;
	wrong |= ((alt.ss_flags & SS_DISABLE) == 0) << 3;
	wrong |= (timer.it_value.tv_sec == 0) << 4;
	wrong |= (sys(timer_gettime, 0, &posix) != -EINVAL) << 5;
	wrong |= (sys(fcntl, 400, F_GETFD) != 0) << 6;
	wrong |= (sys(fcntl, 401, F_GETFD) != -EBADF) << 7;
	wrong |= (csr != 0x1f80) << 8;
	return wrong;
}

static void leave(void)
{
	static char stack[16384];
	uint64_t mask = 1UL << (SIGUSR1 - 1);
	unsigned csr = 0x7f80;
	stack_t alt = {.ss_sp = stack, .ss_size = sizeof stack};
	struct itimerval timer = {.it_value.tv_sec = 1000};
	struct sigevent none = {.sigev_notify = SIGEV_NONE};
	int id = -1;
	void *old = mmap(OLD, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	require(old == OLD);
	memset(old, 0x5a, 4096);
	must(sys(rt_sigprocmask, SIG_SETMASK, &mask, NULL, 8));
	must(sys(kill, sys(getpid), SIGUSR1));
	must(sys(sigaltstack, &alt, NULL));
	must(sys(setitimer, ITIMER_REAL, &timer, NULL));
	must(sys(timer_create, CLOCK_MONOTONIC, &none, &id));
	must(sys(dup3, 0, 400, 0));
	must(sys(dup3, 0, 401, O_CLOEXEC));
	__asm__ volatile("ldmxcsr %0" : : "m"(csr));
}

/* The registration of a C library that makes one must succeed in every image: then another one is refused. */
static int rseq_of_libc(void)
{
	static char area[64] __attribute__((aligned(64)));
	long e = sys(rseq, area, 32, 0, 0x53053053);
	if (e == 0)
		must(sys(rseq, area, 32, 1, 0x53053053));
	return e == 0;
}

CHILD("repeated")
{
	if (argc != 2)
		return 90;
	int round = atoi(argv[0]);
	unsigned wrong = round > 0 ? look() : 0;
	int rseq = rseq_of_libc();
	if (round > 0 && rseq != atoi(argv[1]))
		wrong |= 1 << 9;
	if (wrong != 0 || round == ROUNDS) {
		char line[64];
		int n = snprintf(line, sizeof line, "%d %#x", round, wrong);
		sys(write, 1, line, n);
		return 0;
	}
	char next[16], had[16];
	snprintf(next, sizeof next, "%d", round + 1);
	snprintf(had, sizeof had, "%d", rseq);
	char *args[] = {"probe", "child", "repeated", next, had, NULL};
	leave();
	sys(execve, "/proc/self/exe", args, envp);
	return 1;
}

PROBE("exec/repeated", "execve")
{
	char out[64] = "";
	int p[2];
	make_pipe(p, O_CLOEXEC);
	long pid = must(sys(fork));
	if (pid == 0) {
		char *args[] = {"probe", "child", "repeated", "0", "0", NULL}, *none[] = {NULL};
		sys(dup2, p[1], 1);
		sys(exit_group, -sys(execve, "/proc/self/exe", args, none));
	}
	must(sys(close, p[1]));
	must(sys(read, p[0], out, sizeof out - 1));
	long status = reap(pid);
	observe("execve", "execve", ret_int(0), ARGS(), STATE(f_hex("status", (uint64_t)status), f_str("last_image", out)));
}
