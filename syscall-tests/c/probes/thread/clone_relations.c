/* What a clone shares or resets by its flags: signal actions, exit signals of siblings, words in shared memory at the end and at execve. */
#include "probe.h"

struct args {
	uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
};
#define CLONE_CLEAR_SIGHAND_ 0x100000000ull

static int32_t *shared;

static void handler(int signo, siginfo_t *info, void *context)
{
	(void)signo;
	(void)info;
	(void)context;
}

static int action_of(int signal)
{
	struct ksigaction a = {0};
	sys(rt_sigaction, signal, NULL, &a, 8);
	return a.handler == (void *)SIG_DFL ? 0 : a.handler == (void *)SIG_IGN ? 1 : 2;
}

static void ignore(int signal)
{
	struct ksigaction a = {(void *)SIG_IGN, 0, NULL, 0};
	must(sys(rt_sigaction, signal, &a, NULL, 8));
}

static long clone3(struct args a) { return sys(clone3, &a, sizeof a); }

/* With the exit signal that clone was given, and as a sibling. */
static void sibling(const char *id, bool by_clone3)
{
	mask_signals(SIG_BLOCK, SIGBIT(SIGCHLD) | SIGBIT(SIGUSR1) | SIGBIT(SIGUSR2));
	shared[0] = shared[1] = 0;
	long middle = must(sys(clone, SIGUSR1, 0, 0, 0, 0));
	if (middle == 0) {
		long inner = by_clone3 ? clone3((struct args){.flags = CLONE_PARENT}) : sys(clone, CLONE_PARENT | SIGUSR2, 0, 0, 0, 0);
		if (inner == 0) {
			for (int32_t v; (v = __atomic_load_n(&shared[1], __ATOMIC_SEQ_CST)) == 0;)
				sys(futex, &shared[1], FUTEX_WAIT, v, NULL);
			sys(exit_group, 6);
		}
		shared[0] = (int32_t)inner;
		sys(exit_group, 0);
	}
	int status = 0;
	must(sys(wait4, middle, &status, __WALL, NULL));
	uint64_t any = SIGBIT(SIGCHLD) | SIGBIT(SIGUSR1) | SIGBIT(SIGUSR2);
	struct timespec none = {0, 0}, limit = {5, 0};
	long first = sys(rt_sigtimedwait, &any, NULL, &none, 8);
	__atomic_store_n(&shared[1], 1, __ATOMIC_SEQ_CST);
	sys(futex, &shared[1], FUTEX_WAKE, 1);
	long second = shared[0] > 0 ? sys(rt_sigtimedwait, &any, NULL, &limit, 8) : 0;
	long r = shared[0] > 0 ? sys(wait4, shared[0], &status, __WALL, NULL) : shared[0];
	observe(id, by_clone3 ? "clone3" : "clone", ret_pid(r), ARGS(f_hex("flags", CLONE_PARENT)), STATE(f_int("first", first), f_int("second", second), f_hex("status", (uint64_t)status)));
	mask_signals(SIG_UNBLOCK, any);
}

static long with_stack(unsigned long flags, int (*body)(void *), void *arg)
{
	char *stack = (char *)pages(16, false) + 16 * 4096;
	return clone(body, stack, flags, arg, NULL, NULL, &shared[10]);
}

static int set_handler(void *unused)
{
	(void)unused;
	ignore(SIGUSR2);
	return 0;
}

static int go_away(void *what)
{
	char *argv[] = {"/proc/self/exe", "child", "relations", NULL}, *envp[] = {NULL};
	(void)what;
	return err_of(sys(execve, argv[0], argv, envp));
}

CHILD("relations")
{
	(void)argc;
	(void)argv;
	(void)envp;
	return 31;
}

/* The word once it no longer holds `value`, as one who waits for a thread's end sees it. */
static int32_t cleared(int32_t value)
{
	struct timespec limit = {2, 0};
	while (__atomic_load_n(&shared[10], __ATOMIC_SEQ_CST) == value && sys(futex, &shared[10], FUTEX_WAIT, value, &limit) != -ETIMEDOUT)
		;
	return shared[10];
}

PROBE("thread/clone_relations", "clear_sighand", "clear_and_share", "sibling", "sibling3", "sibling3_signal", "thread_signal", "shares_actions", "exec_unshares_actions", "exec_unshares_files", "exec_clears_word", "exit_clears_word", "no_word")
{
	shared = pages(1, true);
	on_signal(SIGUSR1, handler, 0, 0);
	ignore(SIGUSR2);
	long pid = clone3((struct args){.flags = CLONE_CLEAR_SIGHAND_, .exit_signal = SIGCHLD});
	if (pid == 0)
		sys(exit_group, action_of(SIGUSR1) * 16 + action_of(SIGUSR2));
	int status = pid > 0 ? reap(pid) : 0;
	observe("clear_sighand", "clone3", ret_pid(pid), ARGS(f_hex("flags", CLONE_CLEAR_SIGHAND_)), STATE(f_hex("status", (uint64_t)status), f_int("here", action_of(SIGUSR1) * 16 + action_of(SIGUSR2))));
	observe("clear_and_share", "clone3", ret_pid(clone3((struct args){.flags = CLONE_CLEAR_SIGHAND_ | CLONE_SIGHAND | CLONE_VM, .exit_signal = SIGCHLD})), ARGS(), STATE());
	sibling("sibling", false);
	sibling("sibling3", true);
	observe("sibling3_signal", "clone3", ret_pid(clone3((struct args){.flags = CLONE_PARENT, .exit_signal = SIGCHLD})), ARGS(f_int("exit_signal", SIGCHLD)), STATE());
	observe("thread_signal", "clone3", ret_pid(clone3((struct args){.flags = CLONE_THREAD | CLONE_SIGHAND | CLONE_VM, .exit_signal = SIGCHLD, .stack = (uint64_t)pages(4, false), .stack_size = 16384})), ARGS(f_int("exit_signal", SIGCHLD)), STATE());
	struct ksigaction plain = {0};
	must(sys(rt_sigaction, SIGUSR2, &plain, NULL, 8));
	pid = with_stack(CLONE_VM | CLONE_SIGHAND | SIGCHLD, set_handler, NULL);
	status = reap(pid);
	observe("shares_actions", "clone", ret_pid(pid), ARGS(f_hex("flags", CLONE_VM | CLONE_SIGHAND)), STATE(f_hex("status", (uint64_t)status), f_int("action", action_of(SIGUSR2))));
	pid = with_stack(CLONE_VM | CLONE_VFORK | CLONE_SIGHAND | SIGCHLD, go_away, NULL);
	status = reap(pid);
	observe("exec_unshares_actions", "execve", ret_pid(pid), ARGS(f_hex("flags", CLONE_VM | CLONE_SIGHAND)), STATE(f_hex("status", (uint64_t)status), f_int("caught", action_of(SIGUSR1)), f_int("ignored", action_of(SIGUSR2))));
	long fd = must(sys(openat, AT_FDCWD, "/dev/null", O_RDONLY | O_CLOEXEC));
	pid = must(sys(clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0));
	if (pid == 0)
		sys(exit_group, go_away(NULL));
	status = reap(pid);
	observe("exec_unshares_files", "execve", ret_pid(pid), ARGS(f_hex("flags", CLONE_FILES)), STATE(f_hex("status", (uint64_t)status), f_hex("descriptor", (uint64_t)fd_flags(fd))));
	shared[10] = 77;
	pid = with_stack(CLONE_VM | CLONE_VFORK | CLONE_CHILD_CLEARTID | SIGCHLD, go_away, NULL);
	status = reap(pid);
	int word = cleared(77);
	observe("exec_clears_word", "execve", ret_pid(pid), ARGS(f_hex("flags", CLONE_CHILD_CLEARTID)), STATE(f_hex("status", (uint64_t)status), f_int("word", word)));
	shared[10] = 78;
	pid = with_stack(CLONE_VM | CLONE_CHILD_CLEARTID | SIGCHLD, set_handler, NULL);
	status = reap(pid);
	word = cleared(78);
	observe("exit_clears_word", "exit", ret_pid(pid), ARGS(f_hex("flags", CLONE_CHILD_CLEARTID)), STATE(f_hex("status", (uint64_t)status), f_int("word", word)));
	shared[10] = 79;
	pid = with_stack(CLONE_VM | SIGCHLD, set_handler, NULL);
	status = reap(pid);
	observe("no_word", "exit", ret_pid(pid), ARGS(f_hex("flags", CLONE_VM)), STATE(f_hex("status", (uint64_t)status), f_int("word", shared[10])));
}
