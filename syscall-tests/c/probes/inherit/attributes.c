/* What each attribute of a process is in a child of each kind and after each kind of execve, and what the parent sees of the child's changes. */
#include "probe.h"
#include "notes.h"
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/file.h>
#include <sys/prctl.h>

long thread_enter_(unsigned long flags, void *stack, void *ptid, volatile int32_t *ctid);

static void handler(int signo, siginfo_t *info, void *context) { (void)signo, (void)info, (void)context; }

static struct {
	void *next;
	long offset;
	void *pending;
} head = {&head, 0, NULL};
static char alternate[16384] __attribute__((aligned(16)));
static char area[64] __attribute__((aligned(64)));
/* Private, private not for children, private empty for children, shared, locked, read-only. */
static char *memory[6];
static long above;
static int timer_id = -1;
static volatile int32_t tid_word;

static void setup(void)
{
	int p;
	struct timespec never = {100000, 0};
	struct itimerval timer = {{0, 0}, {100000, 0}};
	struct itimerspec spec = {{0, 0}, never};
	must(sys(mkdir, "sub", 0700));
	put_file("f", "0123456789", 10);
	for (int fd = 100; fd <= 105; fd++) {
		long opened = must(sys(openat, AT_FDCWD, "f", O_RDWR));
		must(sys(dup3, opened, fd, fd == 101 ? O_CLOEXEC : 0));
		must(sys(close, opened));
	}
	must(sys(lseek, 100, 5, SEEK_SET));
	struct flock lock = {.l_type = F_WRLCK, .l_start = 0, .l_len = 1}, ofd = {.l_type = F_WRLCK, .l_start = 2, .l_len = 1};
	must(sys(fcntl, 100, F_SETLK, &lock));
	must(sys(fcntl, 102, F_OFD_SETLK, &ofd));
	must(sys(flock, 103, LOCK_EX));
	p = (int)must(sys(timerfd_create, CLOCK_MONOTONIC, 0));
	must(sys(timerfd_settime, p, 0, &spec, NULL));
	must(sys(dup2, p, 106));
	must(sys(close, p));
	must(sys(chdir, "sub"));
	must(sys(umask, 027));
	struct ksigaction ignore = {(void *)SIG_IGN, 0, NULL, 0};
	must(sys(rt_sigaction, SIGHUP, &ignore, NULL, 8));
	on_signal(SIGINT, handler, SA_NODEFER | SA_ONSTACK, SIGBIT(SIGALRM));
	mask_signals(SIG_BLOCK, SIGBIT(SIGUSR1) | SIGBIT(SIGUSR2) | SIGBIT(SIGALRM));
	must(sys(kill, sys(getpid), SIGUSR1));
	must(sys(tkill, sys(gettid), SIGUSR2));
	stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
	must(sys(sigaltstack, &stack, NULL));
	for (int i = 0; i < 3; i++)
		must(sys(setitimer, i, &timer, NULL));
	must(sys(timer_create, CLOCK_MONOTONIC, NULL, &timer_id));
	must(sys(timer_settime, timer_id, 0, &spec, NULL));
	for (int i = 0; i < 6; i++)
		memory[i] = pages(1, i == 3), memory[i][0] = (char)(i + 1);
	must(sys(madvise, memory[1], 4096, MADV_DONTFORK));
	must(sys(madvise, memory[2], 4096, MADV_WIPEONFORK));
	must(sys(mlock, memory[4], 4096));
	must(sys(mprotect, memory[5], 4096, PROT_READ));
	must(sys(set_robust_list, &head, sizeof head));
	must(sys(set_tid_address, &tid_word));
	struct rlimit core = {3, 7}, files = {200, 300};
	must(sys(setrlimit, RLIMIT_CORE, &core));
	must(sys(setrlimit, RLIMIT_NOFILE, &files));
	uint64_t cpu = 1;
	must(sys(sched_setaffinity, 0, 8, &cpu));
	struct sched_param zero = {0};
	must(sys(sched_setscheduler, 0, SCHED_BATCH, &zero));
	must(sys(setpriority, PRIO_PROCESS, 0, 4));
	must(sys(prctl, PR_SET_NAME, "parent", 0, 0, 0));
	must(sys(prctl, PR_SET_TIMERSLACK, 77777, 0, 0, 0));
	must(sys(prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
	must(sys(personality, 0x0040000));
	gid_t groups[2] = {2, 7};
	must(sys(setgroups, 2, groups));
	must(sys(setresgid, 2, 2, 3));
	must(sys(setfsgid, 4));
	must(sys(setresuid, 0, 0, 5));
	uint32_t caps[2] = {0x20080522, 0}, sets[6];
	must(sys(capget, caps, sets));
	sets[2] = 1 << CAP_CHOWN | 1 << CAP_KILL;
	must(sys(capset, caps, sets));
	must(sys(prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0));
	must(sys(prctl, PR_CAPBSET_DROP, CAP_AUDIT_WRITE, 0, 0, 0));
	must(sys(prctl, PR_SET_SECUREBITS, SECBIT_KEEP_CAPS | SECBIT_NO_CAP_AMBIENT_RAISE, 0, 0, 0));
	must(sys(prctl, PR_SET_PDEATHSIG, SIGURG, 0, 0, 0));
	must(sys(prctl, PR_SET_DUMPABLE, 0, 0, 0, 0));
}

static void status(const char *key)
{
	char text[128] = "absent";
	char path[64], whole[4096];
	snprintf(path, sizeof path, "/proc/thread-self/status");
	long n = get_file(path, whole, sizeof whole - 1);
	whole[n > 0 ? n : 0] = 0;
	char find[32];
	snprintf(find, sizeof find, "%s:\t", key);
	char *at = whole;
	while (at && strncmp(at, find, strlen(find)))
		at = (at = strchr(at, '\n')) ? at + 1 : NULL;
	if (at)
		snprintf(text, sizeof text, "%.*s", (int)strcspn(at + strlen(find), "\n"), at + strlen(find));
	for (char *c = text; *c; c++)
		*c = *c == '\t' || *c == ' ' ? '/' : *c;
	note("%s=%s", key, text);
}

/* Looks at everything; `same` tells that the program is the same, so that addresses mean something. */
static void look(bool same)
{
	char b[256];
	static const char *const keys[] = {"SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt", "Uid", "Gid", "Groups", "Umask", "Threads", "CapInh", "CapAmb", "NoNewPrivs", "Seccomp", "Name"};
	for (size_t i = 0; i < countof(keys); i++)
		status(keys[i]);
	uint32_t header[2] = {0x20080522, 0}, sets[6] = {0};
	sys(capget, header, sets);
	note("caps=%d%d%d", sets[0] >> CAP_KILL & 1, sets[1] >> CAP_KILL & 1, sets[1] >> CAP_MKNOD & 1);
	note_result("bounding", sys(prctl, PR_CAPBSET_READ, CAP_AUDIT_WRITE, 0, 0, 0));
	note_result("securebits", sys(prctl, PR_GET_SECUREBITS, 0, 0, 0, 0));
	note_result("keepcaps", sys(prctl, PR_GET_KEEPCAPS, 0, 0, 0, 0));
	note_result("dumpable", sys(prctl, PR_GET_DUMPABLE, 0, 0, 0, 0));
	int value = -1;
	sys(prctl, PR_GET_PDEATHSIG, &value, 0, 0, 0);
	note("pdeathsig=%d", value);
	value = -1;
	sys(prctl, PR_GET_CHILD_SUBREAPER, &value, 0, 0, 0);
	note("subreaper=%d", value);
	note_result("slack", sys(prctl, PR_GET_TIMERSLACK, 0, 0, 0, 0));
	note_result("personality", sys(personality, 0xffffffff));
	struct ksigaction action = {0};
	sys(rt_sigaction, SIGINT, NULL, &action, 8);
	note("int=%s/%lx/%lx", (void *)action.handler == SIG_DFL ? "dfl" : action.handler == handler ? "ours" : "other", action.flags, (unsigned long)action.mask);
	sys(rt_sigaction, SIGHUP, NULL, &action, 8);
	note("hup=%d", (int)(long)action.handler);
	sys(rt_sigaction, SIGTERM, NULL, &action, 8);
	note("term=%d", (int)(long)action.handler);
	stack_t stack = {.ss_flags = 77};
	sys(sigaltstack, NULL, &stack);
	note("altstack=%x/%zu", (unsigned)stack.ss_flags, stack.ss_size);
	note_result("nice", sys(getpriority, PRIO_PROCESS, 0));
	note_result("policy", sys(sched_getscheduler, 0));
	uint64_t cpus[16] = {0};
	sys(sched_getaffinity, 0, sizeof cpus, cpus);
	if (same)
		note("cpus=%d", cpus[0] == 1);
	struct rlimit limit = {0};
	sys(getrlimit, RLIMIT_CORE, &limit);
	note("core=%ld/%ld", (long)limit.rlim_cur, (long)limit.rlim_max);
	sys(getrlimit, RLIMIT_NOFILE, &limit);
	note("nofile=%ld/%ld", (long)limit.rlim_cur, (long)limit.rlim_max);
	long n = sys(getcwd, b, sizeof b);
	note("cwd=%s", n > 0 ? strrchr(b, '/') : "none");
	for (int fd = 100; fd <= 110; fd++) {
		snprintf(b, sizeof b, "%d", fd);
		note_result(b, sys(fcntl, fd, F_GETFD));
	}
	note_result("offset", sys(lseek, 100, 0, SEEK_CUR));
	note("status=%lx", (unsigned long)sys(fcntl, 100, F_GETFL));
	struct flock lock = {.l_type = F_WRLCK, .l_start = 0, .l_len = 1, .l_pid = 0}, ofd = {.l_type = F_WRLCK, .l_start = 2, .l_len = 1}, other = ofd;
	sys(fcntl, 102, F_GETLK, &lock);
	note("posix=%d/%d", lock.l_type, lock.l_type == F_UNLCK ? 0 : lock.l_pid == sys(getpid) ? 1 : lock.l_pid == sys(getppid) ? 2 : 3);
	sys(fcntl, 102, F_OFD_GETLK, &ofd);
	sys(fcntl, 103, F_OFD_GETLK, &other);
	note("ofd=%d/%d/%d", ofd.l_type, other.l_type, other.l_pid);
	note_success("flock", sys(flock, 104, LOCK_EX | LOCK_NB));
	note_success("unlock", sys(flock, 104, LOCK_UN));
	for (int i = 0; i < 3; i++) {
		struct itimerval timer = {{0, 0}, {0, 0}};
		sys(getitimer, i, &timer);
		note("itimer%d=%d", i, timer.it_value.tv_sec > 0);
	}
	struct itimerspec spec = {{0, 0}, {0, 0}};
	note_success("timer", sys(timer_gettime, timer_id < 0 ? 0 : timer_id, &spec));
	long left = sys(timerfd_gettime, 106, &spec);
	note("timerfd=%ld/%d", left, spec.it_value.tv_sec > 0);
	void *list = NULL;
	size_t len = 0;
	sys(get_robust_list, 0, &list, &len);
	note("robust=%d", list == &head);
	note("pgid=%d sid=%d", sys(getpgid, 0) == sys(getpgid, sys(getppid)), sys(getsid, 0) == sys(getsid, sys(getppid)));
	n = get_file("/proc/self/stat", b, sizeof b - 1);
	b[n > 0 ? n : 0] = 0;
	note("leader=%d/%d", sys(getpgid, 0) == sys(getpid), sys(getsid, 0) == sys(getpid));
	if (same) {
		unsigned char vector = 0;
		for (int i = 0; i < 6; i++)
			if (sys(mincore, memory[i], 4096, &vector))
				note("m%d=none", i);
			else
				note("m%d=%d", i, memory[i][0]);
		note("brk=%d", sys(brk, 0) == above);
	}
}

static void change(void)
{
	struct itimerval off = {{0, 0}, {0, 0}};
	struct itimerspec unarmed = {{0, 0}, {0, 0}};
	struct flock unlock = {.l_type = F_UNLCK, .l_start = 0, .l_len = 0};
	struct ksigaction reset = {(void *)SIG_DFL, 0, NULL, 0}, ignore = {(void *)SIG_IGN, 0, NULL, 0};
	uint64_t some = SIGBIT(SIGUSR1), more = SIGBIT(SIGCHLD);
	struct sched_param zero = {0};
	struct rlimit core = {1, 2};
	stack_t none = {.ss_flags = SS_DISABLE};
	gid_t group = 9;
	uint64_t cpus[16];
	memset(cpus, 0xff, sizeof cpus);
	sys(umask, 077);
	sys(chdir, "/");
	sys(lseek, 100, 50, SEEK_SET);
	sys(fcntl, 100, F_SETFD, FD_CLOEXEC);
	sys(fcntl, 100, F_SETFL, O_NONBLOCK | O_APPEND);
	sys(close, 105);
	sys(dup2, 100, 110);
	sys(fcntl, 102, F_SETLK, &unlock);
	sys(fcntl, 102, F_OFD_SETLK, &unlock);
	sys(flock, 103, LOCK_UN);
	sys(rt_sigaction, SIGHUP, &reset, NULL, 8);
	sys(rt_sigaction, SIGTERM, &ignore, NULL, 8);
	sys(rt_sigprocmask, SIG_BLOCK, &more, NULL, 8);
	struct timespec now = {0, 0};
	sys(rt_sigtimedwait, &some, NULL, &now, 8);
	sys(sigaltstack, &none, NULL);
	sys(setpriority, PRIO_PROCESS, 0, 9);
	sys(sched_setscheduler, 0, SCHED_IDLE, &zero);
	sys(sched_setaffinity, 0, sizeof cpus, cpus);
	sys(setrlimit, RLIMIT_CORE, &core);
	sys(prctl, PR_SET_NAME, "child", 0, 0, 0);
	sys(prctl, PR_SET_TIMERSLACK, 11111, 0, 0, 0);
	sys(prctl, PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
	sys(prctl, PR_SET_PDEATHSIG, SIGUSR2, 0, 0, 0);
	sys(prctl, PR_CAPBSET_DROP, CAP_AUDIT_WRITE, 0, 0, 0);
	sys(prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	sys(personality, 0x0200000);
	for (int i = 0; i < 3; i++)
		sys(setitimer, i, &off, NULL);
	sys(timer_delete, timer_id);
	sys(timerfd_settime, 106, 0, &unarmed, NULL);
	sys(set_robust_list, NULL, sizeof head);
	sys(setgroups, 1, &group);
	sys(setresgid, 11, 12, 13);
	sys(setresuid, 0, 0, 6);
	memory[0][0] = 100, memory[3][0] = 103;
	sys(munlock, memory[4], 4096);
	sys(brk, sys(brk, 0) + 4096);
}

CHILD("inherit")
{
	(void)argc, (void)argv;
	look(false);
	long environment = 0;
	for (char **e = envp; *e; e++)
		environment += (*e)[0] == 'A' ? 1 : 100;
	note("env=%ld", environment);
	char auxv[1024];
	long n = get_file("/proc/self/auxv", auxv, sizeof auxv);
	for (uint64_t *a = (uint64_t *)auxv; n > 0 && (char *)a < auxv + n && a[0]; a += 2)
		if ((a[0] >= 11 && a[0] <= 14) || a[0] == 23)
			note("at%lu=%lu", (unsigned long)a[0], (unsigned long)a[1]);
	int out[2] = {120, 0};
	for (size_t at = 0; at < notes->len;) {
		long w = sys(write, out[0], notes->text + at, notes->len - at);
		if (w <= 0)
			return 1;
		at += (size_t)w;
	}
	return 0;
}

enum how { FORK, VFORK, VM, FS, FILES, SIGHAND, PARENT, PARENT_SETTID, IO_SYSV, CLEAR, QUIET, THREAD, EXEC, EXEC_SUID, EXEC_SGID, EXEC_NNP, EXEC_THREAD, EXEC_USER };

static const unsigned long flags[] = {
	[FORK] = SIGCHLD, [VFORK] = CLONE_VM | CLONE_VFORK | SIGCHLD, [VM] = CLONE_VM | SIGCHLD, [FS] = CLONE_FS | SIGCHLD, [FILES] = CLONE_FILES | SIGCHLD,
	[SIGHAND] = CLONE_VM | CLONE_SIGHAND | SIGCHLD, [PARENT] = CLONE_PARENT | SIGCHLD, [PARENT_SETTID] = CLONE_CHILD_CLEARTID | CLONE_CHILD_SETTID | SIGCHLD, [IO_SYSV] = CLONE_IO | CLONE_SYSVSEM | SIGUSR2,
	[CLEAR] = CLONE_UNTRACED | SIGCHLD, [QUIET] = 0, [THREAD] = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM,
};

static int changer(void *unused)
{
	(void)unused;
	notes_start();
	note_success("rseq", sys(rseq, area, 32, 0, 0x1234));
	look(true);
	note("tid_word=%d", tid_word == 0 ? 0 : tid_word == sys(gettid) ? 1 : 2);
	change();
	*(volatile int32_t *)(memory[3] + 64) = 7;
	return 0;
}

static char *mine;

static void execute(enum how how)
{
	char *argv[] = {"x", "child", "inherit", NULL}, *envp[] = {"A=1", "A=2", NULL};
	if (how == EXEC_NNP)
		must(sys(prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	if (how == EXEC_USER) {
		must(sys(prctl, PR_SET_SECUREBITS, 0, 0, 0, 0));
		must(sys(setresuid, 1000, 1000, 1000));
	}
	sys(exit_group, 100 + err_of(sys(execve, how == EXEC || how == EXEC_THREAD || how == EXEC_USER ? "/proc/self/exe" : mine, argv, envp)));
}
static int execute_here(void *how)
{
	execute((enum how)(long)how);
	return 0;
}

/* A copy of this program with set-id bits. */
static void copy(const char *to, int mode)
{
	long from = must(sys(openat, AT_FDCWD, "/proc/self/exe", O_RDONLY)), fd = must(sys(openat, AT_FDCWD, to, O_CREAT | O_WRONLY, 0700));
	long n;
	while ((n = must(sys(sendfile, fd, from, NULL, 1 << 20))) > 0)
		;
	must(sys(fchown, fd, 1234, 1235));
	must(sys(fchmod, fd, mode));
	must(sys(close, from));
	must(sys(close, fd));
}

static int run(void *arg)
{
	enum how how = (enum how)(long)arg;
	static char stack[65536] __attribute__((aligned(16)));
	char folder[32];
	must(sys(setpgid, 0, 0));
	snprintf(folder, sizeof folder, "k%d", how);
	must(sys(mkdir, folder, 0755));
	must(sys(chdir, folder));
	setup();
	above = sys(brk, 0);
	mine = how == EXEC_SGID ? "/zz-sgid" : "/zz-suid";
	if (how == EXEC_THREAD) {
		struct thread t;
		thread_start(&t, execute_here, (void *)(long)how);
		for (;;)
			sys(pause);
	}
	if (how >= EXEC)
		execute(how);
	void **top = (void **)(stack + sizeof stack) - 2;
	top[0] = (void *)changer;
	top[1] = NULL;
	volatile int32_t *word = (int32_t *)(memory[3] + 64), *sticky = &tid_word;
	*word = -1;
	*sticky = how == PARENT_SETTID ? 77 : 0;
	if (how == THREAD) {
		*word = 1;
		must(thread_enter_(flags[how] | CLONE_CHILD_CLEARTID, top, NULL, word));
		for (int32_t v; (v = *word) != 0;)
			sys(futex, word, FUTEX_WAIT, v, NULL);
	} else if (how == PARENT) {
		must(thread_enter_(flags[how], top, NULL, NULL));
		while (*word != 7)
			sys(sched_yield);
	} else {
		long pid = must(thread_enter_(flags[how], top, NULL, sticky));
		int wstatus = -1;
		long got = sys(wait4, pid, &wstatus, 0, NULL);
		if (got < 0)
			must(sys(wait4, pid, &wstatus, __WALL, NULL));
		note_success("wait", got);
		note("status=%x", (unsigned)wstatus);
	}
	notes->text[notes->len++] = '\n';
	note("pending=%lx", (unsigned long)(pending_signals() & ~SIGBIT(SIGALRM)));
	look(true);
	note("tid_word=%d", (int)tid_word);
	return 0;
}

#define HOWS(X) X(fork, FORK) X(vfork, VFORK) X(vm, VM) X(fs, FS) X(files, FILES) X(sighand, SIGHAND) X(parent, PARENT) X(settid, PARENT_SETTID) X(io, IO_SYSV) X(untraced, CLEAR) X(quiet, QUIET) X(thread, THREAD)
#define EXECS(X) X(exec, EXEC) X(exec_suid, EXEC_SUID) X(exec_sgid, EXEC_SGID) X(exec_nnp, EXEC_NNP) X(exec_thread, EXEC_THREAD) X(exec_user, EXEC_USER)
#define TWO(name, how) #name "_child", #name "_after",
#define ONE(name, how) #name,

PROBE("inherit/attributes", HOWS(TWO) EXECS(ONE))
{
	static const struct {
		const char *id;
		enum how how;
	} hows[] = {
#define ROW(name, how) {#name, how},
		HOWS(ROW) EXECS(ROW)
	};
	notes_start();
	/* On the root, where set-id bits count. */
	copy("/zz-suid", 06755);
	copy("/zz-sgid", 02755);
	for (size_t i = 0; i < countof(hows); i++) {
		int p[2];
		char id[64];
		if (hows[i].how >= EXEC) {
			make_pipe(p, 0);
			must(sys(dup2, p[1], 120));
			must(sys(close, p[1]));
		}
		long pid = spawn(run, (void *)(long)hows[i].how);
		if (hows[i].how >= EXEC) {
			must(sys(close, 120));
			long n;
			while ((n = must(sys(read, p[0], notes->text + notes->len, 8192))) > 0)
				notes->len += (size_t)n;
			must(sys(close, p[0]));
		}
		int wstatus = reap(pid);
		if (wstatus)
			broken("%s ended with %x", hows[i].id, (unsigned)wstatus);
		if (hows[i].how >= EXEC) {
			observe_notes(hows[i].id, "execve");
			continue;
		}
		if (hows[i].how == PARENT)
			must(sys(wait4, -1, NULL, __WALL, NULL));
		/* What the child saw, and then what its parent did. */
		char *line = memchr(notes->text, '\n', notes->len);
		require(line != NULL);
		size_t all = notes->len, first = (size_t)(line - notes->text);
		notes->len = first;
		snprintf(id, sizeof id, "%s_child", hows[i].id);
		observe_notes(id, "clone");
		memmove(notes->text, line + 1, all - first - 1);
		notes->len = all - first - 1;
		snprintf(id, sizeof id, "%s_after", hows[i].id);
		observe_notes(id, "clone");
	}
	must(sys(unlink, "/zz-suid"));
	must(sys(unlink, "/zz-sgid"));
}
