/* Each field of a signal's details by who sent it, as a handler, sigtimedwait(2) and a signalfd show it. */
#include "probe.h"
#include "notes.h"

struct record {
	uint32_t signo;
	int32_t error, code;
	uint32_t pid, uid;
	int32_t fd;
	uint32_t tid, band, overrun, trapno;
	int32_t status, integer;
	uint64_t pointer, utime, stime, address;
	uint16_t lsb;
	uint8_t rest[46];
};
_Static_assert(sizeof(struct record) == 128, "as the kernel has it");

static siginfo_t caught;
static volatile int times_caught;
static void handler(int signo, siginfo_t *info, void *context)
{
	(void)signo, (void)context;
	caught = *info;
	times_caught++;
}

static long child;
static int pid_name(long pid) { return pid == 0 ? 0 : pid == sys(getpid) ? 1 : pid == sys(gettid) ? 2 : pid == child ? 3 : pid == sys(getppid) ? 4 : 9; }

enum origin { KILL, TKILL, TGKILL, QUEUE, THREAD_QUEUE, PIDFD, PIDFD_INFO, TIMER, ALARM, ITIMER, BROKEN_PIPE, BROKEN_SOCKET, EXITED, KILLED, STOPPED, CONTINUED, QUIET_SIGNAL, RAISED_BY_CHILD, MESSAGE, ORIGINS };
static const char *const names[] = {"kill", "tkill", "tgkill", "queue", "thread_queue", "pidfd", "pidfd_info", "timer", "alarm", "itimer", "broken_pipe", "broken_socket", "exited", "killed", "stopped", "continued", "other_signal", "by_child", "message"};
static const int signals[] = {SIGUSR1, SIGUSR1, SIGUSR2, SIGUSR1, 34, SIGUSR1, SIGUSR1, SIGUSR1, SIGALRM, SIGALRM, SIGPIPE, SIGPIPE, SIGCHLD, SIGCHLD, SIGCHLD, SIGCHLD, SIGUSR2, SIGUSR1, SIGUSR1};

static int exits(void *code)
{
	if (code)
		for (;;)
			sys(pause);
	return 37;
}

static int timer;
static void make_one(enum origin origin)
{
	int p[2], signo = signals[origin];
	long me = sys(getpid);
	struct itimerval soon = {{0, 0}, {0, 1}};
	struct itimerspec now = {{0, 0}, {0, 1}};
	siginfo_t info = {.si_code = SI_QUEUE, .si_pid = 77, .si_uid = 88, .si_value = {.sival_ptr = (void *)0x123456789abcdef0}};
	siginfo_t message = {.si_code = SI_MESGQ, .si_errno = 5, .si_pid = 7, .si_uid = 8, .si_value = {.sival_int = 9}};
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value = {.sival_ptr = (void *)0x77}};
	child = 0;
	switch (origin) {
	case KILL: must(sys(kill, me, signo)); return;
	case TKILL: must(sys(tkill, sys(gettid), signo)); return;
	case TGKILL: must(sys(tgkill, me, sys(gettid), signo)); return;
	case QUEUE: must(sys(rt_sigqueueinfo, me, signo, &info)); return;
	case MESSAGE: must(sys(rt_sigqueueinfo, me, signo, &message)); return;
	case THREAD_QUEUE: must(sys(rt_tgsigqueueinfo, me, sys(gettid), signo, &info)); return;
	case PIDFD:
	case PIDFD_INFO:
		p[0] = (int)must(sys(pidfd_open, me, 0));
		info.si_signo = signo;
		must(sys(pidfd_send_signal, p[0], signo, origin == PIDFD ? NULL : &info, 0));
		must(sys(close, p[0]));
		return;
	case TIMER:
		must(sys(timer_create, CLOCK_MONOTONIC, &event, &timer));
		must(sys(timer_settime, timer, 0, &now, NULL));
		return;
	case ALARM: /* As soon as setitimer can. */
	case ITIMER: must(sys(setitimer, ITIMER_REAL, &soon, NULL)); return;
	case BROKEN_PIPE:
		make_pipe(p, 0);
		must(sys(close, p[0]));
		sys(write, p[1], "x", 1);
		must(sys(close, p[1]));
		return;
	case BROKEN_SOCKET:
		must(sys(socketpair, AF_UNIX, SOCK_STREAM, 0, p));
		must(sys(close, p[0]));
		sys(write, p[1], "x", 1);
		must(sys(close, p[1]));
		return;
	case EXITED: child = spawn(exits, NULL); return;
	case KILLED:
		child = spawn(exits, (void *)1);
		must(sys(kill, child, SIGKILL));
		return;
	case STOPPED:
	case CONTINUED:
		child = spawn(exits, (void *)1);
		must(sys(kill, child, SIGSTOP));
		must(sys(wait4, child, NULL, WUNTRACED, NULL));
		return;
	case QUIET_SIGNAL:
		child = must(sys(clone, SIGUSR2, 0, 0, 0, 0));
		if (!child)
			sys(exit_group, 5);
		return;
	default:
		child = must(sys(fork));
		if (!child)
			sys(exit_group, (int)sys(kill, sys(getppid), SIGUSR1));
		reap(child);
	}
}

/* What was made goes; the next starts without anything pending. */
static void clean(enum origin origin)
{
	struct timespec none = {0, 0};
	uint64_t all = ~0ull;
	if (origin == TIMER)
		must(sys(timer_delete, timer));
	if (origin == EXITED || origin == QUIET_SIGNAL)
		must(sys(wait4, child, NULL, __WALL, NULL));
	if (origin == KILLED)
		reap(child);
	if (origin == STOPPED || origin == CONTINUED) {
		must(sys(kill, child, SIGKILL));
		reap(child);
	}
	while (sys(rt_sigtimedwait, &all, NULL, &none, 8) >= 0)
		;
}

static void second(enum origin origin, uint64_t set)
{
	siginfo_t info;
	struct timespec patience = {8, 0};
	if (origin != CONTINUED)
		return;
	/* The stop's own signal first. */
	must(sys(rt_sigtimedwait, &set, &info, &patience, 8));
	must(sys(kill, child, SIGCONT));
}

static void show(const char *how, int signo, int error, int code, long pid, long uid, int status, uint64_t pointer)
{
	note("%s:%d/%d/%d/%d/%ld/%d/%llx", how, signo, error, code, pid_name(pid), uid, status, (unsigned long long)pointer);
}

static void shown(const char *how, enum origin origin, const siginfo_t *info)
{
	if (info->si_signo == SIGCHLD || origin == QUIET_SIGNAL)
		show(how, info->si_signo, info->si_errno, info->si_code, info->si_pid, info->si_uid, info->si_status, 0);
	else if (info->si_code == SI_TIMER)
		show(how, info->si_signo, info->si_errno, info->si_code, 0, 0, info->si_overrun, (uintptr_t)info->si_value.sival_ptr);
	else
		show(how, info->si_signo, info->si_errno, info->si_code, info->si_pid, info->si_uid, 0, (uintptr_t)info->si_value.sival_ptr);
}

PROBE("outs/signals", "kill", "tkill", "tgkill", "queue", "thread_queue", "pidfd", "pidfd_info", "timer", "alarm", "itimer", "broken_pipe", "broken_socket", "exited", "killed", "stopped", "continued",
      "other_signal", "by_child", "message")
{
	struct timespec patience = {8, 0};
	mask_signals(SIG_BLOCK, ~0ull);
	for (int o = 0; o < ORIGINS; o++) {
		uint64_t set = SIGBIT(signals[o]);
		siginfo_t info;
		struct record record;
		on_signal(signals[o], handler, 0, 0);
		/* By waiting for it. */
		memset(&info, 0x5a, sizeof info);
		make_one((enum origin)o);
		second((enum origin)o, set);
		must(sys(rt_sigtimedwait, &set, &info, &patience, 8));
		shown("wait", (enum origin)o, &info);
		note_bytes("rest", (char *)&info + 64, 64);
		clean((enum origin)o);
		/* By a descriptor. */
		memset(&record, 0x5a, sizeof record);
		long fd = must(sys(signalfd4, -1, &set, 8, 0));
		make_one((enum origin)o);
		second((enum origin)o, set);
		must(sys(read, fd, &record, sizeof record));
		/* Of a child's end by another signal Linux shows what the same bytes are for a file's. */
		if (o == QUIET_SIGNAL)
			memset((char *)&record + 12, 0, offsetof(struct record, rest) - 12);
		note("fd:%u/%d/%d/%d/%u/%u/%u/%u/%d/%d/%llx/%llx/%d", record.signo, record.error, record.code, pid_name(record.pid), record.uid, record.tid != 0 && o != TIMER, record.band, record.overrun, record.status, record.integer,
		     (unsigned long long)record.pointer, (unsigned long long)record.address, record.fd);
		note_bytes("rest", record.rest, sizeof record.rest);
		must(sys(close, fd));
		clean((enum origin)o);
		/* By a handler. */
		times_caught = 0;
		memset(&caught, 0, sizeof caught);
		make_one((enum origin)o);
		second((enum origin)o, set);
		uint64_t open = ~set;
		while (!times_caught)
			sys(rt_sigsuspend, &open, 8);
		shown("handler", (enum origin)o, &caught);
		note("times=%d", times_caught);
		clean((enum origin)o);
		observe_notes(names[o], "rt_sigtimedwait");
	}
}
