/* What a child has of its parent: timer slack, personality, scheduling, dumpability, robust list, alternate stack, pending alarms and timers. */
#include "probe.h"
#include <sys/prctl.h>

static long *page;

static int look(void *unused)
{
	(void)unused;
	struct sched_param param = {-1};
	stack_t stack = {0};
	void *head = (void *)1;
	size_t len = 0;
	struct itimerval timer = {0};
	page[0] = sys(prctl, PR_GET_TIMERSLACK, 0, 0, 0, 0);
	sys(prctl, PR_SET_TIMERSLACK, 12345, 0, 0, 0);
	sys(prctl, PR_SET_TIMERSLACK, 0, 0, 0, 0);
	page[1] = sys(prctl, PR_GET_TIMERSLACK, 0, 0, 0, 0);
	page[2] = sys(prctl, PR_GET_DUMPABLE, 0, 0, 0, 0);
	page[3] = sys(sched_getscheduler, 0);
	sys(sched_getparam, 0, &param);
	page[4] = param.sched_priority;
	page[5] = sys(getpriority, PRIO_PROCESS, 0);
	page[6] = sys(personality, 0xffffffff);
	sys(sigaltstack, NULL, &stack);
	page[7] = stack.ss_flags;
	sys(get_robust_list, 0, &head, &len);
	page[8] = head == NULL;
	sys(getitimer, ITIMER_REAL, &timer);
	page[9] = timer.it_value.tv_sec + timer.it_value.tv_usec;
	struct itimerspec spec;
	page[10] = sys(timer_gettime, 0, &spec);
	page[11] = sys(prctl, PR_GET_KEEPCAPS, 0, 0, 0, 0);
	page[12] = sys(prctl, PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
	page[13] = sys(umask, 022);
	int signal = -1;
	sys(prctl, PR_GET_PDEATHSIG, &signal, 0, 0, 0);
	page[14] = signal;
	struct rlimit limit = {0, 0};
	sys(getrlimit, RLIMIT_CORE, &limit);
	page[15] = (long)limit.rlim_cur;
	sys(getrlimit, RLIMIT_SIGPENDING, &limit);
	page[16] = (long)limit.rlim_cur;
	struct rusage usage;
	sys(getrusage, RUSAGE_SELF, &usage);
	page[17] = usage.ru_utime.tv_sec * 1000000 + usage.ru_utime.tv_usec < 40000;
	return 0;
}

static void observe_look(const char *id, const char *call)
{
	observe(id, call, ret_int(0), ARGS(),
		STATE(f_int("slack", page[0]), f_int("slack_default", page[1]), f_int("dumpable", page[2]), f_hex("policy", (uint64_t)page[3]), f_int("priority", page[4]), f_int("nice", 20 - page[5]),
		      f_hex("personality", (uint64_t)page[6]), f_hex("altstack", (uint64_t)page[7]), f_bool("no_robust_list", page[8]), f_int("alarm", page[9]), f_errno("timer", err_of(page[10])),
		      f_int("keepcaps", page[11]), f_int("no_new_privs", page[12]), f_hex("umask", (uint64_t)page[13]), f_int("pdeathsig", page[14]), f_int("core", page[15]), f_int("sigpending", page[16]), f_bool("no_time", page[17])));
}

static int over_nproc(void *unused)
{
	(void)unused;
	must(sys(setresuid, 34567, 34567, 34567));
	struct rlimit limit = {2, 2};
	must(sys(setrlimit, RLIMIT_NPROC, &limit));
	int errors = 0, p[2];
	make_pipe(p, 0);
	for (int i = 0; i < 3; i++) {
		long pid = sys(fork);
		if (pid == 0) {
			char c;
			sys(close, p[1]);
			sys(read, p[0], &c, 1);
			sys(exit_group, 0);
		}
		errors = errors * 20 + err_of(pid);
	}
	return errors == 11 * 20 + 11 ? 1 : errors == 11 ? 2 : errors == 0 ? 3 : 4;
}

struct schedule {
	const char *id;
	int policy, priority, nice;
};

static int set_all(void *arg)
{
	const struct schedule *to = arg;
	struct sched_param param = {to->priority};
	static struct {
		void *next;
		long offset;
		void *pending;
	} head = {&head, 0, NULL};
	stack_t stack = {.ss_sp = pages(4, false), .ss_size = 16384};
	struct itimerval timer = {{0, 0}, {100, 0}};
	int id = -1;
	while (clock_ns(CLOCK_PROCESS_CPUTIME_ID) < 60000000)
		;
	must(sys(prctl, PR_SET_TIMERSLACK, 77777, 0, 0, 0));
	must(sys(prctl, PR_SET_DUMPABLE, 0, 0, 0, 0));
	must(sys(personality, 0x0040000));
	must(sys(sigaltstack, &stack, NULL));
	must(sys(set_robust_list, &head, sizeof head));
	must(sys(setitimer, ITIMER_REAL, &timer, NULL));
	must(sys(timer_create, CLOCK_MONOTONIC, NULL, &id));
	must(sys(prctl, PR_SET_KEEPCAPS, 1, 0, 0, 0));
	must(sys(prctl, PR_SET_PDEATHSIG, SIGUSR1, 0, 0, 0));
	must(sys(umask, 051));
	struct rlimit limit = {0, 17};
	must(sys(setrlimit, RLIMIT_CORE, &limit));
	limit = (struct rlimit){99, 999};
	must(sys(setrlimit, RLIMIT_SIGPENDING, &limit));
	must(sys(setpriority, PRIO_PROCESS, 0, to->nice));
	must(sys(sched_setscheduler, 0, to->policy, &param));
	return reap(spawn(look, NULL)) ? 1 : 0;
}

static const struct schedule schedules[] = {
	{"plain", SCHED_OTHER, 0, 6},
	{"batch", SCHED_BATCH, 0, -3},
	{"reset_batch", SCHED_BATCH | SCHED_RESET_ON_FORK, 0, 6},
	{"reset_nice", SCHED_OTHER | SCHED_RESET_ON_FORK, 0, -5},
	{"realtime", SCHED_RR, 3, 4},
	{"reset_realtime", SCHED_FIFO | SCHED_RESET_ON_FORK, 5, 0},
};

PROBE("process/inherited", "plain", "batch", "reset_batch", "reset_nice", "realtime", "reset_realtime", "limit")
{
	page = pages(1, true);
	for (size_t i = 0; i < countof(schedules); i++) {
		require(reap(spawn(set_all, (void *)&schedules[i])) == 0);
		observe_look(schedules[i].id, "fork");
	}
	observe("limit", "fork", ret_int(0), ARGS(f_int("limit", 2)), STATE(f_int("outcome", WEXITSTATUS(reap(spawn(over_nproc, NULL))))));
}
