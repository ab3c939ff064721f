/* Sleepers: calls that wait, each tried with everything that may happen to a thread while it waits. */
#ifndef BEVOR_WAKE_H
#define BEVOR_WAKE_H

/* What the sleeper's process and the probe tell each other; in shared memory. */
struct board {
	volatile int32_t handled, go;
	volatile int64_t result;
	uint64_t word;
};
static struct board *board;

struct sleeper {
	const char *id, *call;
	void (*prepare)(void); /* in the probe: makes descriptors */
	long (*sleep)(void);   /* in a child: the call */
	void (*finish)(void);  /* in the probe: what the call waits for */
};
/* The process that sleeps. */
static long sleeping;

enum happening { HANDLER, RESTART, IGNORED, BLOCKED, DEFAULT, STOPPED, KILLED, EXITS, EXECS, HAPPENINGS };

static void wake_count_(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)info, (void)context;
	board->handled++;
}

static int wake_other_(void *what)
{
	static char *argv[] = {"x", "child", "wake", NULL}, *envp[] = {NULL};
	while (!board->go)
		sys(futex, &board->go, FUTEX_WAIT, 0, NULL);
	if (what)
		sys(execve, "/proc/self/exe", argv, envp);
	sys(exit_group, 5);
	return 0;
}

static const struct sleeper *wake_now_;
static int wake_child_(void *arg)
{
	long what = (long)arg;
	static struct thread other;
	if (what == HANDLER || what == RESTART)
		on_signal(SIGUSR1, wake_count_, what == RESTART ? SA_RESTART : 0, 0);
	if (what == IGNORED)
		must(sys(rt_sigaction, SIGUSR1, &(struct ksigaction){.handler = (void *)1}, NULL, 8));
	if (what == BLOCKED)
		mask_signals(SIG_BLOCK, SIGBIT(SIGUSR1));
	if (what == EXITS || what == EXECS)
		thread_start(&other, wake_other_, (void *)(long)(what == EXECS));
	board->result = wake_now_->sleep();
	return 0;
}

/* The state of a process's main thread as /proc shows it. */
static inline char wake_state(long pid)
{
	char path[64], text[512];
	snprintf(path, sizeof path, "/proc/%ld/task/%ld/stat", pid, pid);
	long n = get_file(path, text, sizeof text - 1);
	if (n <= 0)
		return 'Z';
	text[n] = 0;
	const char *close = strrchr(text, ')');
	return close ? close[2] : '?';
}

/* Waits until the sleeper sleeps (again), or has ended; it must have handled `signals` before. */
static void wake_settled_(long pid, int signals)
{
	for (int64_t end = now_ns() + 8000000000; now_ns() < end;) {
		int handled = board->handled;
		char state = wake_state(pid);
		if (state == 'Z' || (state == 'S' && handled >= signals))
			return;
		sys(sched_yield);
	}
	broken("%s neither sleeps nor ends", wake_now_->id);
}

/* How the sleeper's process ended, or what its call gave, as text. */
static inline void wake_text(int status, char *text, size_t room)
{
	if (WIFSIGNALED(status))
		snprintf(text, room, "signal %d", WTERMSIG(status));
	else if (WEXITSTATUS(status))
		snprintf(text, room, "exit %d", WEXITSTATUS(status));
	else if (err_of(board->result))
		snprintf(text, room, "%s", errno_name(err_of(board->result)));
	else if (board->result > 4096)
		snprintf(text, room, "part");
	else
		snprintf(text, room, "%ld", (long)board->result);
}

/* Lets `what` happen to `s`, then what it waits for; how that ended as text. */
static inline void wake_try(const struct sleeper *s, int what, char *text, size_t room)
{
	wake_now_ = s;
	*board = (struct board){.result = -99};
	s->prepare();
	long pid = sleeping = spawn(wake_child_, (void *)(long)what);
	await_sleep(pid, pid);
	int status = 0;
	if (what == STOPPED) {
		must(sys(kill, pid, SIGSTOP));
		must(sys(wait4, pid, &status, WUNTRACED, NULL));
		must(sys(kill, pid, SIGCONT));
	} else if (what == EXITS || what == EXECS) {
		board->go = 1;
		sys(futex, &board->go, FUTEX_WAKE, 1);
	} else {
		must(sys(kill, pid, what == KILLED ? SIGKILL : what == DEFAULT ? SIGURG : SIGUSR1));
	}
	if (what < KILLED) {
		wake_settled_(pid, what <= RESTART);
		s->finish();
		status = reap(pid);
	} else {
		status = reap(pid);
		s->finish();
	}
	wake_text(status, text, room);
	must(sys(close_range, 3, 399, 0));
}

/* Each of the sleepers with each happening, one observation a sleeper. */
static inline void wake_all(const struct sleeper *sleepers, size_t n)
{
	static char text[HAPPENINGS][32];
	board = pages(1, true);
	for (size_t i = 0; i < n; i++) {
		for (int what = 0; what < HAPPENINGS; what++)
			wake_try(&sleepers[i], what, text[what], sizeof text[what]);
		observe(sleepers[i].id, sleepers[i].call, ret_int(0), ARGS(),
			STATE(f_str("handler", text[HANDLER]), f_str("restart", text[RESTART]), f_str("ignored", text[IGNORED]), f_str("blocked", text[BLOCKED]), f_str("default", text[DEFAULT]),
			      f_str("stopped", text[STOPPED]), f_str("killed", text[KILLED]), f_str("exits", text[EXITS]), f_str("execs", text[EXECS])));
	}
}

/* 0 for a descriptor, or the error. */
static inline long made_fd(long fd) { return fd < 0 ? fd : 0; }

/* X(id, call, prepare, sleep, finish) for each sleeper is made into a table. */
#define WAKE_ID(id, ...) #id,
#define WAKE_FUNCTIONS(id, call, prepare, act, finish)                                                                \
	static void prepare_##id(void) { prepare; }                                                                   \
	static long sleep_##id(void) { return act; }                                                                  \
	static void finish_##id(void) { finish; }
#define WAKE_ROW(id, call, prepare, act, finish) {#id, call, prepare_##id, sleep_##id, finish_##id},
/* Each of the sleepers with the event that must end it, or, if it `stays`, with one that must not: then a handler ends it or lets it sleep on. */
static inline void wake_ends(const struct sleeper *sleepers, size_t n, bool stays)
{
	char text[32];
	board = pages(1, true);
	for (size_t i = 0; i < n; i++) {
		wake_now_ = &sleepers[i];
		*board = (struct board){.result = -99};
		sleepers[i].prepare();
		long pid = sleeping = spawn(wake_child_, (void *)(long)(stays ? HANDLER : HAPPENINGS));
		await_sleep(pid, pid);
		sleepers[i].finish();
		if (stays)
			must(sys(kill, pid, SIGUSR1));
		wake_text(reap(pid), text, sizeof text);
		observe(sleepers[i].id, sleepers[i].call, ret_int(0), ARGS(), STATE(f_str("ended", text), f_int("handled", board->handled)));
		must(sys(close_range, 3, 399, 0));
	}
}
#define WAKE_PROBE(name, list)                                                                                        \
	list(WAKE_FUNCTIONS) static const struct sleeper sleepers_[] = {list(WAKE_ROW)};                              \
	PROBE(name, list(WAKE_ID)) { wake_all(sleepers_, countof(sleepers_)); }
#define WAKE_ENDS(name, list, stays)                                                                                  \
	list(WAKE_FUNCTIONS) static const struct sleeper sleepers_[] = {list(WAKE_ROW)};                              \
	PROBE(name, list(WAKE_ID)) { wake_ends(sleepers_, countof(sleepers_), stays); }
#endif
