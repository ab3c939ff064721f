/* clone3 takes its arguments in a structure that may grow, and checks them all. */
#include "probe.h"

struct args {
	uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup, later;
};

/* In the child, ends it. */
static long clone3(struct args *a, size_t size)
{
	long pid = sys(clone3, a, size);
	if (pid == 0) {
		/* CLONE_CHILD_SETTID's word is in this copy of the memory. */
		int32_t *tid = (int32_t *)a->child_tid;
		sys(exit_group, tid && *tid == sys(getpid) ? 7 : 5);
	}
	return pid;
}

PROBE("thread/clone3", "fork", "tids", "signal", "small", "larger", "too_large", "bad_signal", "thread_alone", "sighand_alone", "stack_alone", "bad_flags", "efault")
{
	struct args a = {.exit_signal = SIGCHLD};
	long pid = clone3(&a, 64);
	int status = pid > 0 ? reap(pid) : -1;
	observe("fork", "clone3", ret_pid(pid), ARGS(f_uint("size", 64)), STATE(f_hex("status", (uint64_t)status)));
	int32_t parent = 0, child = 0;
	a = (struct args){.flags = CLONE_PARENT_SETTID | CLONE_CHILD_SETTID, .parent_tid = (uintptr_t)&parent, .child_tid = (uintptr_t)&child, .exit_signal = SIGCHLD};
	pid = clone3(&a, 88);
	status = pid > 0 ? reap(pid) : -1;
	observe("tids", "clone3", ret_pid(pid), ARGS(f_hex("flags", a.flags)),
		STATE(f_hex("status", (uint64_t)status), f_bool("parent", parent == pid), f_int("child", child)));
	mask_signals(SIG_BLOCK, SIGBIT(SIGUSR1) | SIGBIT(SIGCHLD));
	a = (struct args){.exit_signal = SIGUSR1};
	pid = clone3(&a, 64);
	status = 0;
	must(sys(wait4, pid, &status, __WALL, NULL));
	observe("signal", "clone3", ret_pid(pid), ARGS(f_int("exit_signal", SIGUSR1)), STATE(f_hex("pending", pending_signals()), f_hex("status", (uint64_t)status)));
	a = (struct args){.exit_signal = SIGCHLD};
	observe("small", "clone3", ret_pid(clone3(&a, 63)), ARGS(f_uint("size", 63)), STATE());
	pid = clone3(&a, sizeof a);
	status = pid > 0 ? reap(pid) : -1;
	observe("larger", "clone3", ret_pid(pid), ARGS(f_uint("size", sizeof a)), STATE(f_hex("status", (uint64_t)status)));
	a.later = 1;
	observe("too_large", "clone3", ret_pid(clone3(&a, sizeof a)), ARGS(f_uint("size", sizeof a)), STATE());
	a = (struct args){.exit_signal = 65};
	observe("bad_signal", "clone3", ret_pid(clone3(&a, 64)), ARGS(f_int("exit_signal", 65)), STATE());
	a = (struct args){.flags = CLONE_THREAD};
	observe("thread_alone", "clone3", ret_pid(clone3(&a, 64)), ARGS(f_hex("flags", CLONE_THREAD)), STATE());
	a = (struct args){.flags = CLONE_SIGHAND};
	observe("sighand_alone", "clone3", ret_pid(clone3(&a, 64)), ARGS(f_hex("flags", CLONE_SIGHAND)), STATE());
	a = (struct args){.exit_signal = SIGCHLD, .stack = 0x100000};
	observe("stack_alone", "clone3", ret_pid(clone3(&a, 64)), ARGS(), STATE());
	a = (struct args){.flags = 1ull << 40, .exit_signal = SIGCHLD};
	observe("bad_flags", "clone3", ret_pid(clone3(&a, 64)), ARGS(f_hex("flags", 1ull << 40)), STATE());
	observe("efault", "clone3", ret_pid(sys(clone3, 8, 64)), ARGS(), STATE());
}
