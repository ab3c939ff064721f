/* Helpers of probe.h that are too large to be inline. */
#include "probe.h"

__asm__(".text\n.globl sig_restorer\n.type sig_restorer,@function\nsig_restorer:\n"
	"mov $15, %eax\nsyscall\n.size sig_restorer, .-sig_restorer\n");

void on_signal(int signal, void (*handler)(int, siginfo_t *, void *), unsigned long flags, uint64_t mask)
{
	struct ksigaction action = {handler, flags | SA_SIGINFO | SA_RESTORER_, sig_restorer, mask};
	must(sys(rt_sigaction, signal, &action, NULL, 8));
}

uint64_t mask_signals(int how, uint64_t set)
{
	uint64_t old = 0;
	must(sys(rt_sigprocmask, how, &set, &old, 8));
	return old;
}

uint64_t pending_signals(void)
{
	uint64_t set = 0;
	must(sys(rt_sigpending, &set, 8));
	return set;
}

void put_file(const char *path, const void *data, size_t len)
{
	long fd = must(sys(openat, AT_FDCWD, path, O_CREAT | O_TRUNC | O_WRONLY, 0644));
	long n = must(sys(write, fd, data, len));
	require((size_t)n == len);
	must(sys(close, fd));
}

long get_file(const char *path, void *buf, size_t cap)
{
	long fd = sys(openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	size_t len = 0;
	while (len < cap) {
		long n = sys(read, fd, (char *)buf + len, cap - len);
		if (n < 0) {
			sys(close, fd);
			return n;
		}
		if (n == 0)
			break;
		len += (size_t)n;
	}
	sys(close, fd);
	return (long)len;
}

struct stat lstat_of(const char *path)
{
	struct stat st = {0};
	must(sys(newfstatat, AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW));
	return st;
}

int lstat_errno(const char *path)
{
	struct stat st;
	return err_of(sys(newfstatat, AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW));
}

struct stat fstat_of(int fd)
{
	struct stat st = {0};
	must(sys(fstat, fd, &st));
	return st;
}

int64_t clock_ns(clockid_t clock)
{
	struct timespec t = {0};
	must(sys(clock_gettime, clock, &t));
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

int64_t now_ns(void) { return clock_ns(CLOCK_MONOTONIC); }

int reap(long pid)
{
	int status = 0;
	long got;
	do
		got = sys(wait4, pid, &status, 0, NULL);
	while (got == -EINTR);
	must(got);
	return status;
}

long spawn(int (*body)(void *), void *arg)
{
	long pid = must(sys(fork));
	if (pid == 0)
		sys(exit_group, body(arg));
	return pid;
}

void run_as(uid_t uid, gid_t gid, int (*body)(long *results), long *results)
{
	long pid = must(sys(fork));
	if (pid == 0) {
		if (sys(setgroups, 0, NULL) || sys(setresgid, gid, gid, gid) || sys(setresuid, uid, uid, uid))
			sys(exit_group, 99);
		sys(exit_group, body(results));
	}
	int status = reap(pid);
	if (status)
		broken("the child with uid %d ended with status %x", (int)uid, status);
}

void next_stamp(void)
{
	/* Here, for another file system may have another clock. */
	long fd = must(sys(openat, AT_FDCWD, ".stamp", O_CREAT | O_RDWR | O_CLOEXEC, 0600));
	must(sys(write, fd, "x", 1));
	int64_t first = stamp_ns(fstat_of((int)fd).st_mtim);
	do {
		sys(sched_yield);
		must(sys(pwrite64, fd, "x", 1, 0));
	} while (stamp_ns(fstat_of((int)fd).st_mtim) <= first);
	must(sys(close, fd));
	must(sys(unlinkat, AT_FDCWD, ".stamp", 0));
}

/* thread_enter_(flags, stack, ptid, ctid): clone; in the child calls the function and argument that lie on the stack. */
long thread_enter_(unsigned long flags, void *stack, void *ptid, volatile int32_t *ctid);
__asm__(".text\n.globl thread_enter_\n.type thread_enter_,@function\nthread_enter_:\n"
	"mov $56, %eax\n"
	"mov %rcx, %r10\n"
	"syscall\n"
	"test %rax, %rax\n"
	"jnz 1f\n"
	"xor %ebp, %ebp\n"
	"pop %rax\n"
	"pop %rdi\n"
	"call *%rax\n"
	"mov %eax, %edi\n"
	"mov $60, %eax\n"
	"syscall\n"
	"ud2\n"
	"1: ret\n"
	".size thread_enter_, .-thread_enter_\n");

#define THREAD_STACK (64 * 1024)

void thread_start(struct thread *t, int (*body)(void *), void *arg)
{
	t->stack = (void *)must(sys(mmap, NULL, THREAD_STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	void **top = (void **)((char *)t->stack + THREAD_STACK) - 2;
	top[0] = (void *)body;
	top[1] = arg;
	t->tid_word = -1;
	t->tid = must(thread_enter_(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |
					    CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID,
				    top, (void *)&t->tid_word, &t->tid_word));
}

void thread_join(struct thread *t)
{
	for (int32_t v; (v = __atomic_load_n(&t->tid_word, __ATOMIC_SEQ_CST)) != 0;)
		sys(futex, &t->tid_word, FUTEX_WAIT, v, NULL);
	sys(munmap, t->stack, THREAD_STACK);
}

/* How long another task may take to get where it is awaited, in ns: less than a probe's time limit, more than any busy machine needs. */
#define PATIENCE 8000000000

void await_sleep(long pid, long tid)
{
	char path[64], text[512];
	snprintf(path, sizeof path, "/proc/%ld/task/%ld/stat", pid, tid);
	for (int64_t end = now_ns() + PATIENCE; now_ns() < end;) {
		long n = get_file(path, text, sizeof text - 1);
		if (n < 0) {
			/* A kernel without this file: long enough for any thread to have come to its blocking call. */
			struct timespec patience = {0, 30000000};
			must(sys(nanosleep, &patience, NULL));
			return;
		}
		text[n] = 0;
		const char *close = strrchr(text, ')');
		if (close != NULL && close[2] == 'S')
			return;
		sys(sched_yield);
	}
	broken("%s never showed a sleeping thread", path);
}

void await_waiters(int32_t *word, int flag, int32_t value, long n)
{
	/* Moving waiters to the word they are on wakes none and counts them. */
	for (int64_t end = now_ns() + PATIENCE; now_ns() < end;) {
		long found = sys(futex, word, FUTEX_CMP_REQUEUE | flag, 0, INT_MAX, word, value);
		if (found >= n)
			return;
		if (found < 0) {
			struct timespec patience = {0, 30000000};
			must(sys(nanosleep, &patience, NULL));
			return;
		}
		sys(sched_yield);
	}
	broken("%ld tasks never waited on the futex", n);
}

bool proc_status(long pid, const char *key, char *buf, size_t cap)
{
	char path[32], text[4096];
	snprintf(path, sizeof path, pid ? "/proc/%ld/status" : "/proc/self/status", pid);
	long n = get_file(path, text, sizeof text - 1);
	if (n < 0)
		return false;
	text[n] = 0;
	size_t len = strlen(key);
	for (char *at = text; at != NULL; at = strchr(at, '\n')) {
		at += *at == '\n';
		if (strncmp(at, key, len) != 0 || at[len] != ':')
			continue;
		const char *value = at + len + 1 + strspn(at + len + 1, " \t");
		snprintf(buf, cap, "%.*s", (int)strcspn(value, "\n"), value);
		return true;
	}
	return false;
}

void make_pipe(int fds[2], int flags) { must(sys(pipe2, fds, flags)); }

void *pages(size_t count, bool shared)
{
	return (void *)must(sys(mmap, NULL, count * 4096, PROT_READ | PROT_WRITE,
				(shared ? MAP_SHARED : MAP_PRIVATE) | MAP_ANONYMOUS, -1, 0));
}
