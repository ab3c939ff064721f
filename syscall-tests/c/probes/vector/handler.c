/* A signal handler may use the vector registers; the interrupted code finds its own again, and the frame shows them. */
#include "probe.h"

static volatile int runs, frame_shows;

static void handler(int signo, siginfo_t *info, void *context)
{
	(void)signo;
	(void)info;
	fpregset_t fp = ((ucontext_t *)context)->uc_mcontext.fpregs;
	unsigned char want[16];
	memset(want, 0x5a, 16);
	frame_shows = fp != NULL && memcmp(&fp->_xmm[9], want, 16) == 0;
	__asm__ volatile("pxor %%xmm9,%%xmm9\npcmpeqd %%xmm10,%%xmm10\nfninit" ::: "xmm9", "xmm10");
	runs++;
}

static void look(const char *id, const char *call, long nr, long a, long b, long c)
{
	unsigned char nine[16], ten[16], out[32] = {0};
	memset(nine, 0x5a, 16);
	memset(ten, 0xa5, 16);
	double x87 = 0;
	__asm__ volatile("movdqu (%0),%%xmm9\nmovdqu (%1),%%xmm10\nfld1" ::"r"(nine), "r"(ten));
	long r = sys6(nr, a, b, c, 0, 0, 0);
	__asm__ volatile("movdqu %%xmm9,(%0)\nmovdqu %%xmm10,16(%0)\nfstpl (%1)" ::"r"(out), "r"(&x87) : "memory");
	observe(id, call, ret_int(r), ARGS(), STATE(f_bytes("xmm9", out, 16), f_bytes("xmm10", out + 16, 16), f_bool("x87", x87 == 1.0), f_int("runs", runs),
		f_bool("frame", frame_shows)));
}

PROBE("vector/handler", "to_itself", "unmasked", "tgkill")
{
	on_signal(SIGUSR1, handler, 0, 0);
	long pid = sys(getpid);
	look("to_itself", "kill", __NR_kill, pid, SIGUSR1, 0);
	uint64_t set = SIGBIT(SIGUSR1);
	mask_signals(SIG_BLOCK, set);
	must(sys(tgkill, pid, pid, SIGUSR1));
	require(runs == 1);
	frame_shows = 0;
	uint64_t *zero = pages(1, false);
	unsigned char nine[16], out[16] = {0};
	memset(nine, 0x5a, 16);
	__asm__ volatile("movdqu (%0),%%xmm9" ::"r"(nine));
	long r = sys6(__NR_rt_sigprocmask, SIG_SETMASK, (long)zero, 0, 8, 0, 0);
	__asm__ volatile("movdqu %%xmm9,(%0)" ::"r"(out) : "memory");
	observe("unmasked", "rt_sigprocmask", ret_int(r), ARGS(f_int("how", SIG_SETMASK)), STATE(f_bytes("xmm9", out, 16), f_int("runs", runs), f_bool("frame", frame_shows)));
	look("tgkill", "tgkill", __NR_tgkill, pid, pid, SIGUSR1);
}
