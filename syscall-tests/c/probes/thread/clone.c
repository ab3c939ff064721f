/* A thread shares its process's id, memory, descriptors; its end clears its word. */
#include "probe.h"

static struct {
	long pid, tid, fd, address;
	int32_t mine;
} seen;
static volatile int32_t elsewhere = 55;

static int body(void *unused)
{
	(void)unused;
	seen.pid = sys(getpid);
	seen.tid = sys(gettid);
	seen.fd = sys(openat, AT_FDCWD, "/dev/null", O_RDONLY);
	return 0;
}

static int moved(void *unused)
{
	(void)unused;
	seen.address = sys(set_tid_address, &elsewhere);
	return 0;
}

PROBE("thread/clone", "tid", "shares_files", "cleared", "set_tid_address", "moved_word", "invalid")
{
	struct thread t;
	thread_start(&t, body, NULL);
	thread_join(&t);
	observe("tid", "clone", ret_pid(t.tid), ARGS(), STATE(f_pid("pid", seen.pid), f_pid("tid", seen.tid), f_bool("same_pid", seen.pid == sys(getpid))));
	observe("shares_files", "openat", ret_fd(seen.fd), ARGS(), STATE(f_hex("fd_flags", fd_flags(seen.fd))));
	observe("cleared", "clone", ret_pid(t.tid), ARGS(), STATE(f_int("word", t.tid_word), f_errno("gone", err_of(sys(tgkill, sys(getpid), t.tid, 0)))));
	thread_start(&t, moved, NULL);
	for (int32_t v; (v = elsewhere) != 0;)
		sys(futex, &elsewhere, FUTEX_WAIT, v, NULL);
	observe("set_tid_address", "set_tid_address", ret_pid(seen.address), ARGS(), STATE(f_bool("own_tid", seen.address == t.tid)));
	observe("moved_word", "exit", ret_int(0), ARGS(), STATE(f_bool("first_untouched", t.tid_word == t.tid), f_int("second", elsewhere)));
	observe("invalid", "clone", ret_int(sys(clone, CLONE_THREAD | SIGCHLD, 0, 0, 0, 0)), ARGS(f_hex("flags", CLONE_THREAD | SIGCHLD)), STATE());
}
