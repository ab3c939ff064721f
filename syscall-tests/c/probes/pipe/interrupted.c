/* A write that sleeps for room goes on where it was, and so does one that a handler interrupts. */
#include "probe.h"

enum { TOTAL = 300000 };
static int fds[2];

static int writer(void *arg)
{
	uint32_t *words = arg;
	long done = 0;
	while (done < TOTAL) {
		long n = sys(write, fds[1], (char *)words + done, TOTAL - done);
		if (n <= 0)
			return 1;
		done += n;
	}
	return 0;
}

static long result;
static void ignore(int signal, siginfo_t *info, void *context) { (void)signal, (void)info, (void)context; }
static int once(void *arg)
{
	long *r = arg;
	on_signal(SIGUSR1, ignore, 0, 0);
	r[0] = sys(write, fds[1], (char *)arg + 4096, TOTAL);
	return 0;
}

PROBE("pipe/interrupted", "goes_on", "partial")
{
	make_pipe(fds, 0);
	uint32_t *words = pages(TOTAL / 4096 + 2, true);
	for (uint32_t i = 0; i < TOTAL / 4; i++)
		words[i] = i;
	long pid = spawn(writer, words);
	await_sleep(pid, pid);
	static uint32_t got[TOTAL / 4];
	long done = 0, rounds = 0;
	while (done < TOTAL) {
		long n = must(sys(read, fds[0], (char *)got + done, TOTAL - done > 5000 ? 5000 : TOTAL - done));
		done += n;
		if (done < 100000 && ++rounds % 8 == 0)
			await_sleep(pid, pid);
	}
	long wrong = -1;
	for (uint32_t i = 0; i < TOTAL / 4 && wrong < 0; i++)
		if (got[i] != i)
			wrong = i;
	int status = reap(pid);
	observe("goes_on", "write", ret_int(done), ARGS(f_uint("total", TOTAL)), STATE(f_int("first_wrong", wrong), f_int("status", status)));
	pid = spawn(once, words);
	await_sleep(pid, pid);
	must(sys(kill, pid, SIGUSR1));
	require(reap(pid) == 0);
	result = *(long *)words;
	int held = 0;
	must(sys(ioctl, fds[0], 0x541b, &held));
	observe("partial", "write", ret_int(result), ARGS(), STATE(f_int("held", held)));
}
