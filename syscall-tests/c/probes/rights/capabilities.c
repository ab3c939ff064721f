/* Every change of one capability by capset from every state of it, every change of the ambient set, and what execve makes of every state. */
#include "probe.h"
#include "notes.h"
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/prctl.h>

enum { CAP = CAP_CHOWN };

static void get(uint32_t sets[6])
{
	uint32_t header[2] = {0x20080522, 0};
	must(sys(capget, header, sets));
}
static long set(const uint32_t sets[6])
{
	uint32_t header[2] = {0x20080522, 0};
	return sys(capset, header, sets);
}
/* The capability's bit in permitted, effective, inheritable, ambient. */
static int bits(void)
{
	uint32_t sets[6];
	get(sets);
	return (sets[1] >> CAP & 1) << 3 | (sets[0] >> CAP & 1) << 2 | (sets[2] >> CAP & 1) << 1 | (sys(prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP, 0, 0) == 1);
}

struct state {
	bool permitted, effective, inheritable, ambient, bounding, setpcap;
	int request;
	unsigned long securebits;
	int uid;
	const char *program;
};

static bool enter(const struct state *s)
{
	uint32_t sets[6];
	get(sets);
	sets[2] = (uint32_t)s->inheritable << CAP;
	must(set(sets));
	if (s->ambient)
		must(sys(prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP, 0, 0));
	if (!s->bounding)
		must(sys(prctl, PR_CAPBSET_DROP, CAP, 0, 0, 0));
	if (s->uid) {
		must(sys(prctl, PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0));
		must(sys(setresgid, s->uid, s->uid, s->uid));
		must(sys(setresuid, s->uid, s->uid, s->uid));
	}
	must(sys(prctl, PR_SET_SECUREBITS, s->securebits, 0, 0, 0));
	sets[0] = (uint32_t)s->effective << CAP | (uint32_t)s->setpcap << CAP_SETPCAP;
	sets[1] = (uint32_t)s->permitted << CAP | (uint32_t)s->setpcap << CAP_SETPCAP;
	sets[3] = sets[4] = sets[5] = 0;
	must(set(sets));
	return true;
}

static int change(void *arg)
{
	const struct state *s = arg;
	enter(s);
	long r;
	if (s->request < 8) {
		uint32_t sets[6];
		get(sets);
		for (int i = 0; i < 3; i++)
			sets[i] = (sets[i] & ~(1u << CAP)) | (uint32_t)(s->request >> (i == 1 ? 2 : i == 0 ? 1 : 0) & 1) << CAP;
		r = set(sets);
	} else {
		r = sys(prctl, PR_CAP_AMBIENT, s->request - 6, s->request == 10 ? 0 : CAP, 0, 0);
	}
	note("%s%x", r ? errno_name(err_of(r)) : "", bits());
	return 0;
}

CHILD("capability_bits")
{
	(void)argc, (void)argv, (void)envp;
	char text[64];
	int n = snprintf(text, sizeof text, "%x/%ld/%ld", bits(), sys(geteuid), sys(prctl, PR_GET_SECUREBITS, 0, 0, 0, 0));
	sys(write, 1, text, n);
	return 0;
}

static int execute(void *arg)
{
	const struct state *s = arg;
	char *argv[] = {"x", "child", "capability_bits", NULL}, *envp[] = {NULL};
	enter(s);
	return 100 + err_of(sys(execve, s->program, argv, envp));
}

static void executed(const struct state *s)
{
	int p[2];
	char text[64] = "";
	make_pipe(p, O_CLOEXEC);
	long pid = must(sys(fork));
	if (pid == 0) {
		must(sys(dup2, p[1], 1));
		sys(exit_group, execute((void *)s));
	}
	must(sys(close, p[1]));
	must(sys(read, p[0], text, sizeof text - 1));
	must(sys(close, p[0]));
	require(reap(pid) == 0);
	note("%s", text);
}

static void copy(const char *to, int mode)
{
	long from = must(sys(openat, AT_FDCWD, "/proc/self/exe", O_RDONLY)), fd = must(sys(openat, AT_FDCWD, to, O_CREAT | O_WRONLY, 0700));
	while (must(sys(sendfile, fd, from, NULL, 1 << 20)) > 0)
		;
	must(sys(fchmod, fd, mode));
	must(sys(close, from));
	must(sys(close, fd));
}

static void states(const char *id, const char *call, bool setpcap, bool bounding, int from, int to)
{
	for (int state = 0; state < 16; state++) {
		struct state s = {state >> 3 & 1, state >> 2 & 1, state >> 1 & 1, state & 1, bounding, setpcap, 0, 0, 1000, NULL};
		if ((s.effective && !s.permitted) || (s.ambient && !(s.permitted && s.inheritable)))
			continue;
		note("[%x]", state);
		for (s.request = from; s.request <= to; s.request++)
			if (reap(spawn(change, &s)))
				broken("%s failed", id);
	}
	observe_notes(id, call);
}

static void execs(const char *id, int uid, unsigned long securebits, const char *program)
{
	for (int state = 0; state < 32; state++) {
		struct state s = {state >> 3 & 1, state >> 2 & 1, state >> 1 & 1, state & 1, state >> 4, securebits != 0, 0, securebits, uid, program};
		if ((s.effective && !s.permitted) || (s.ambient && !(s.permitted && s.inheritable)) || (s.ambient && securebits & SECBIT_NO_CAP_AMBIENT_RAISE))
			continue;
		note("[%x]", state);
		executed(&s);
	}
	observe_notes(id, "execve");
}

PROBE("rights/capabilities", "plain", "setpcap", "unbounded", "unbounded_setpcap", "ambient", "ambient_unbounded", "exec_user", "exec_root", "exec_root_noroot", "exec_set_id", "exec_set_id_noroot", "exec_keep")
{
	notes_start();
	must(sys(chmod, ".", 0755));
	states("plain", "capset", false, true, 0, 7);
	states("setpcap", "capset", true, true, 0, 7);
	states("unbounded", "capset", false, false, 0, 7);
	states("unbounded_setpcap", "capset", true, false, 0, 7);
	/* IS_SET is 1, RAISE 2, LOWER 3, CLEAR_ALL 4. */
	states("ambient", "prctl", false, true, 8, 10);
	states("ambient_unbounded", "prctl", false, false, 8, 10);
	copy("/zz-plain", 0755);
	/* On the root, where set-id bits count. */
	copy("/zz-set-id", 04755);
	execs("exec_user", 1000, 0, "/zz-plain");
	execs("exec_root", 0, 0, "/zz-plain");
	execs("exec_root_noroot", 0, SECBIT_NOROOT, "/zz-plain");
	execs("exec_set_id", 1000, 0, "/zz-set-id");
	execs("exec_set_id_noroot", 1000, SECBIT_NOROOT, "/zz-set-id");
	execs("exec_keep", 1000, SECBIT_KEEP_CAPS | SECBIT_NO_SETUID_FIXUP, "/zz-plain");
	must(sys(unlink, "/zz-plain"));
	must(sys(unlink, "/zz-set-id"));
}
