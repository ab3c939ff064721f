/* What execve keeps and what it resets: descriptors, dispositions, masks, pending signals, ids, name, memory. */
#include "probe.h"
#include <sys/prctl.h>

CHILD("state")
{
	(void)envp;
	if (argc != 3)
		return 90;
	struct ksigaction handled = {0}, ignored = {0};
	sys(rt_sigaction, SIGUSR1, NULL, &handled, 8);
	sys(rt_sigaction, SIGUSR2, NULL, &ignored, 8);
	uint64_t mask = 0, pending = 0;
	sys(rt_sigprocmask, SIG_BLOCK, NULL, &mask, 8);
	sys(rt_sigpending, &pending, 8);
	stack_t alternate = {0};
	sys(sigaltstack, NULL, &alternate);
	char name[16] = "", line[512];
	sys(prctl, PR_GET_NAME, name);
	int n = snprintf(line, sizeof line, "handled=%d ignored=%d mask=%llx pending=%llx altstack=%x kept=%s cloexec=%s name=%s umask=%lo pid=%d",
			 (int)(long)handled.handler, (int)(long)ignored.handler, (unsigned long long)mask, (unsigned long long)pending, (unsigned)alternate.ss_flags,
			 errno_name(err_of(fd_flags(atol(argv[0])))), errno_name(err_of(fd_flags(atol(argv[1])))), name, sys(umask, 0),
			 sys(getpid) == atol(argv[2]));
	sys(write, 1, line, n);
	return 0;
}

static void handler(int signo, siginfo_t *info, void *context)
{
	(void)signo;
	(void)info;
	(void)context;
}

PROBE("exec/state", "state")
{
	int p[2];
	char out[512] = "", kept[16], gone[16], self[16];
	make_pipe(p, O_CLOEXEC);
	long pid = must(sys(fork));
	if (pid == 0) {
		on_signal(SIGUSR1, handler, 0, 0);
		struct ksigaction ignore = {(void *)SIG_IGN, 0, NULL, 0};
		must(sys(rt_sigaction, SIGUSR2, &ignore, NULL, 8));
		mask_signals(SIG_BLOCK, SIGBIT(SIGTERM));
		must(sys(kill, sys(getpid), SIGTERM));
		stack_t alternate = {.ss_sp = pages(4, false), .ss_size = 16384};
		must(sys(sigaltstack, &alternate, NULL));
		must(sys(umask, 051));
		sys(dup2, p[1], 1);
		snprintf(kept, sizeof kept, "%ld", must(sys(openat, AT_FDCWD, "/dev/null", O_RDONLY)));
		snprintf(gone, sizeof gone, "%ld", must(sys(openat, AT_FDCWD, "/dev/null", O_RDONLY | O_CLOEXEC)));
		snprintf(self, sizeof self, "%ld", sys(getpid));
		char *argv[] = {"x", "child", "state", kept, gone, self, NULL}, *envp[] = {NULL};
		must(sys(symlinkat, "/proc/self/exe", AT_FDCWD, "renamed"));
		sys(exit_group, err_of(sys(execve, "renamed", argv, envp)));
	}
	must(sys(close, p[1]));
	long n = must(sys(read, p[0], out, sizeof out - 1));
	int status = reap(pid);
	observe("state", "execve", ret_int(0), ARGS(), STATE(f_hex("status", (uint64_t)status), f_strn("seen", out, (size_t)n)));
}
