/* Alternate stacks: whose they are, when they are used, what a handler on one may do. */
#include "probe.h"

static char *stack_at;
static volatile bool on_it[3];
static volatile int depth, flags_seen, change_errno;

static bool here_on_it(void)
{
	volatile char here;
	return (char *)&here >= stack_at && (char *)&here < stack_at + 65536;
}

static void handler(int signo, siginfo_t *info, void *context)
{
	(void)info;
	stack_t now = {0}, other = {.ss_sp = pages(4, false), .ss_size = 16384};
	sys(sigaltstack, NULL, &now);
	on_it[depth] = here_on_it();
	if (depth == 0) {
		flags_seen = now.ss_flags;
		change_errno = err_of(sys(sigaltstack, &other, NULL));
		const ucontext_t *u = context;
		depth = 1;
		if (signo == SIGUSR1)
			sys(tkill, sys(gettid), SIGUSR2);
		on_it[2] = u->uc_stack.ss_sp == stack_at && u->uc_stack.ss_size == 65536;
		depth = 0;
	}
}

static stack_t current(void)
{
	stack_t now = {0};
	must(sys(sigaltstack, NULL, &now));
	return now;
}

static void set(int flags)
{
	stack_t s = {.ss_sp = stack_at, .ss_flags = flags, .ss_size = 65536};
	must(sys(sigaltstack, &s, NULL));
}

static void run(const char *id, unsigned long flags, int stack_flags)
{
	set(stack_flags);
	depth = 0;
	on_it[0] = on_it[1] = on_it[2] = false;
	flags_seen = change_errno = -1;
	on_signal(SIGUSR1, handler, flags, 0);
	on_signal(SIGUSR2, handler, flags, 0);
	long r = sys(tkill, sys(gettid), SIGUSR1);
	stack_t after = current();
	observe(id, "sigaltstack", ret_int(r), ARGS(f_hex("flags", flags), f_hex("stack_flags", (uint64_t)(uint32_t)stack_flags)),
		STATE(f_bool("first", on_it[0]), f_bool("nested", on_it[1]), f_bool("in_context", on_it[2]), f_hex("seen", (uint64_t)(uint32_t)flags_seen), f_errno("change", change_errno < 0 ? 0 : change_errno), f_hex("after", (uint64_t)(uint32_t)after.ss_flags), f_bool("kept", after.ss_sp == stack_at)));
}

static int32_t of_thread, of_clone;
static int thread(void *unused)
{
	(void)unused;
	of_thread = current().ss_flags;
	return 0;
}
static int sharing(void *unused)
{
	(void)unused;
	of_clone = current().ss_flags;
	return 0;
}

PROBE("signal/altstack_use", "used", "unused", "disarmed", "disarmed_again", "old", "sizes", "thread", "forked", "shared_memory", "held")
{
	stack_at = pages(16, false);
	run("used", SA_ONSTACK, 0);
	run("unused", 0, 0);
	run("disarmed", SA_ONSTACK, (int)(1u << 31));
	run("disarmed_again", SA_ONSTACK | SA_NODEFER, (int)(1u << 31));
	set(0);
	stack_t other = {.ss_sp = pages(4, false), .ss_size = 16384}, old = {0};
	long r = sys(sigaltstack, &other, &old);
	observe("old", "sigaltstack", ret_int(r), ARGS(), STATE(f_bool("old", old.ss_sp == stack_at), f_uint("old_size", old.ss_size), f_bool("now", current().ss_sp == other.ss_sp)));
	other.ss_size = 2047;
	r = sys(sigaltstack, &other, NULL);
	observe("sizes", "sigaltstack", ret_int(r), ARGS(f_uint("size", 2047)), STATE(f_uint("kept", current().ss_size), f_errno("fault", err_of(sys(sigaltstack, 8, NULL))), f_errno("old_fault", err_of(sys(sigaltstack, NULL, 8)))));
	set(0);
	struct thread t;
	thread_start(&t, thread, NULL);
	thread_join(&t);
	observe("thread", "clone", ret_int(0), ARGS(), STATE(f_hex("thread", (uint64_t)of_thread)));
	long pid = must(sys(fork));
	if (pid == 0)
		sys(exit_group, current().ss_flags * 2 + (current().ss_sp == stack_at));
	observe("forked", "fork", ret_int(0), ARGS(), STATE(f_hex("status", (uint64_t)reap(pid))));
	pid = must(clone(sharing, (char *)pages(16, false) + 16 * 4096, CLONE_VM | SIGCHLD, NULL));
	reap(pid);
	observe("shared_memory", "clone", ret_int(0), ARGS(f_hex("flags", CLONE_VM)), STATE(f_hex("child", (uint64_t)of_clone)));
	pid = must(clone(sharing, (char *)pages(16, false) + 16 * 4096, CLONE_VM | CLONE_VFORK | SIGCHLD, NULL));
	reap(pid);
	observe("held", "clone", ret_int(0), ARGS(f_hex("flags", CLONE_VM | CLONE_VFORK)), STATE(f_hex("child", (uint64_t)of_clone)));
}
