/* What a child process shares is what the flags say. */
#include "probe.h"

static int32_t parent_tid, child_tid;

static long go(long flags) { return must(sys(clone, flags | SIGCHLD, 0, &parent_tid, &child_tid, 0)); }

PROBE("thread/clone_flags", "files", "no_files", "fs", "no_fs", "tids", "exit_signal_none", "sighand_without_vm", "parent")
{
	must(sys(mkdirat, AT_FDCWD, "d", 0755));
	for (int share = 1; share >= 0; share--) {
		long fd = must(sys(openat, AT_FDCWD, "/dev/null", O_RDONLY));
		long pid = go(share ? CLONE_FILES : 0);
		if (pid == 0)
			sys(exit_group, sys(close, fd) != 0);
		int status = reap(pid);
		observe(share ? "files" : "no_files", "clone", ret_pid(pid), ARGS(f_hex("flags", share ? CLONE_FILES : 0)),
			STATE(f_hex("status", (uint64_t)status), f_errno("descriptor", err_of(fd_flags(fd)))));
		must(sys(umask, 022));
		pid = go(share ? CLONE_FS : 0);
		if (pid == 0) {
			sys(umask, 077);
			sys(exit_group, sys(chdir, "d") != 0);
		}
		status = reap(pid);
		long mask = sys(umask, 022);
		observe(share ? "fs" : "no_fs", "clone", ret_pid(pid), ARGS(f_hex("flags", share ? CLONE_FS : 0)),
			STATE(f_hex("status", (uint64_t)status), f_hex("umask", (uint64_t)mask), f_errno("moved", lstat_errno("../d"))));
		if (share)
			must(sys(chdir, ".."));
	}
	int32_t *shared = pages(1, true);
	parent_tid = child_tid = 0;
	long pid = go(CLONE_PARENT_SETTID | CLONE_CHILD_SETTID);
	if (pid == 0) {
		shared[0] = child_tid;
		shared[1] = (int32_t)sys(gettid);
		sys(exit_group, 0);
	}
	reap(pid);
	observe("tids", "clone", ret_pid(pid), ARGS(f_hex("flags", CLONE_PARENT_SETTID | CLONE_CHILD_SETTID)),
		STATE(f_bool("parent", parent_tid == pid), f_bool("child", shared[0] == pid && shared[1] == pid), f_int("child_in_parent", child_tid)));
	pid = must(sys(clone, 0, 0, 0, 0, 0));
	if (pid == 0)
		sys(exit_group, 4);
	int status = 0;
	long none = sys(wait4, pid, &status, 0, NULL), all = sys(wait4, pid, &status, 0x40000000, NULL);
	observe("exit_signal_none", "wait4", ret_int(none), ARGS(f_hex("options", 0)), STATE(f_bool("wall", all == pid), f_hex("status", (uint64_t)status)));
	observe("sighand_without_vm", "clone", ret_int(sys(clone, CLONE_SIGHAND | SIGCHLD, 0, 0, 0, 0)), ARGS(f_hex("flags", CLONE_SIGHAND)), STATE());
	long outer = go(0);
	if (outer == 0) {
		long inner = sys(clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
		if (inner == 0)
			sys(exit_group, 6);
		shared[2] = (int32_t)inner;
		shared[3] = err_of(sys(wait4, inner, NULL, 0, NULL));
		sys(exit_group, 0);
	}
	reap(outer);
	status = reap(shared[2]);
	observe("parent", "clone", ret_pid(shared[2]), ARGS(f_hex("flags", CLONE_PARENT)), STATE(f_errno("not_its_child", shared[3]), f_hex("status", (uint64_t)status)));
}
