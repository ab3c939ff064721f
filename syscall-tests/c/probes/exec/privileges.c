/* Which ids and capabilities a program starts with: set-id bits, no_new_privs, saved ids, securebits, bounding, inheritable and ambient sets. */
#include "probe.h"
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/auxv.h>
#include <sys/prctl.h>

struct seen {
	uint32_t uids[4], gids[4];
	char inheritable[20], permitted[20], effective[20], bounding[20], ambient[20];
	unsigned long secure, aux_euid, securebits, dumpable, keepcaps;
	int pdeath;
};

static struct seen *seen;

CHILD("privileges")
{
	(void)argc;
	(void)envp;
	(void)argv;
	struct seen s = {0};
	char text[100];
	proc_status(0, "Uid", text, sizeof text);
	sscanf(text, "%u %u %u %u", &s.uids[0], &s.uids[1], &s.uids[2], &s.uids[3]);
	proc_status(0, "Gid", text, sizeof text);
	sscanf(text, "%u %u %u %u", &s.gids[0], &s.gids[1], &s.gids[2], &s.gids[3]);
	proc_status(0, "CapInh", s.inheritable, sizeof s.inheritable);
	proc_status(0, "CapPrm", s.permitted, sizeof s.permitted);
	proc_status(0, "CapEff", s.effective, sizeof s.effective);
	proc_status(0, "CapBnd", s.bounding, sizeof s.bounding);
	proc_status(0, "CapAmb", s.ambient, sizeof s.ambient);
	s.secure = getauxval(AT_SECURE);
	s.aux_euid = getauxval(AT_EUID);
	s.securebits = (unsigned long)sys(prctl, PR_GET_SECUREBITS, 0, 0, 0, 0);
	s.keepcaps = (unsigned long)sys(prctl, PR_GET_KEEPCAPS, 0, 0, 0, 0);
	s.dumpable = (unsigned long)sys(prctl, PR_GET_DUMPABLE, 0, 0, 0, 0);
	sys(prctl, PR_GET_PDEATHSIG, &s.pdeath, 0, 0, 0);
	sys(write, 1, &s, sizeof s);
	return 0;
}

static void set_caps(uint64_t effective, uint64_t permitted, uint64_t inheritable)
{
	uint32_t header[2] = {0x20080522, 0};
	uint32_t sets[6] = {(uint32_t)effective, (uint32_t)permitted, (uint32_t)inheritable, (uint32_t)(effective >> 32), (uint32_t)(permitted >> 32), (uint32_t)(inheritable >> 32)};
	must(sys(capset, header, sets));
}

#define BIT(cap) (1ull << (cap))

static void ids(uint32_t r, uint32_t e, uint32_t s) { must(sys(setresuid, r, e, s)); }
static void bits(unsigned long b) { must(sys(prctl, PR_SET_SECUREBITS, b, 0, 0, 0)); }

static void nothing(void) {}
static void user(void) { ids(1000, 1000, 1000); }
static void mixed(void) { ids(1000, 2000, 3000); }
static void nnp(void)
{
	must(sys(prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	user();
}
static void keepcaps(void)
{
	must(sys(prctl, PR_SET_KEEPCAPS, 1, 0, 0, 0));
	user();
}
static void noroot(void)
{
	bits(SECBIT_NOROOT);
}
static void all_bits(void)
{
	bits(SECBIT_NO_SETUID_FIXUP | SECBIT_KEEP_CAPS | SECBIT_NO_CAP_AMBIENT_RAISE);
}
static void bounded(void)
{
	must(sys(prctl, PR_CAPBSET_DROP, CAP_KILL, 0, 0, 0));
	must(sys(prctl, PR_CAPBSET_DROP, CAP_CHOWN, 0, 0, 0));
}
static void inherits(void)
{
	char text[20];
	proc_status(0, "CapPrm", text, sizeof text);
	uint64_t rest = strtoull(text, NULL, 16) & ~BIT(CAP_KILL);
	set_caps(rest, rest, BIT(CAP_CHOWN));
	bounded();
}
static void ambient(void)
{
	must(sys(prctl, PR_SET_KEEPCAPS, 1, 0, 0, 0));
	user();
	set_caps(BIT(CAP_CHOWN) | BIT(CAP_KILL), BIT(CAP_CHOWN) | BIT(CAP_KILL), BIT(CAP_CHOWN) | BIT(CAP_KILL));
	must(sys(prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0));
}
static void no_ambient(void)
{
	must(sys(prctl, PR_SET_KEEPCAPS, 1, 0, 0, 0));
	user();
	set_caps(BIT(CAP_CHOWN), BIT(CAP_CHOWN), BIT(CAP_CHOWN));
}
static void undumpable(void) { must(sys(prctl, PR_SET_DUMPABLE, 0, 0, 0, 0)); }
static void pdeath(void)
{
	must(sys(prctl, PR_SET_PDEATHSIG, SIGUSR1, 0, 0, 0));
}
static void pdeath_user(void)
{
	user();
	pdeath();
}
static void root_as_real(void) { ids(0, 1000, 1000); }
static void root_as_effective(void) { ids(1000, 0, 0); }
static void nnp_root(void)
{
	must(sys(prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	set_caps(BIT(CAP_CHOWN) | BIT(CAP_SETUID), BIT(CAP_CHOWN) | BIT(CAP_SETUID), 0);
	ids(0, 1000, 0);
}

static void nnp_reduced(void)
{
	must(sys(prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	set_caps(BIT(CAP_CHOWN), BIT(CAP_CHOWN), 0);
}

static const struct {
	const char *id;
	uint32_t owner, group, mode;
	void (*before)(void);
} cases[] = {
	{"plain", 0, 0, 0755, nothing},
	{"user", 0, 0, 0755, user},
	{"saved_id", 0, 0, 0755, mixed},
	{"suid", 5000, 0, 04755, user},
	{"suid_root", 0, 0, 04755, user},
	{"suid_own", 1000, 0, 04755, user},
	{"suid_nnp", 5000, 0, 06755, nnp},
	{"sgid", 0, 6000, 02755, user},
	{"sgid_without_execute", 0, 6000, 02745, nothing},
	{"keepcaps", 0, 0, 0755, keepcaps},
	{"noroot", 0, 0, 0755, noroot},
	{"noroot_suid", 5000, 0, 04755, noroot},
	{"securebits", 0, 0, 0755, all_bits},
	{"bounded", 0, 0, 0755, bounded},
	{"inheritable", 0, 0, 0755, inherits},
	{"ambient", 0, 0, 0755, ambient},
	{"ambient_suid", 5000, 0, 04755, ambient},
	{"no_ambient", 0, 0, 0755, no_ambient},
	{"undumpable", 0, 0, 0755, undumpable},
	{"unreadable", 0, 0, 0711, user},
	{"pdeath", 0, 0, 0755, pdeath},
	{"pdeath_suid", 5000, 0, 04755, pdeath_user},
	{"real_root", 0, 0, 0755, root_as_real},
	{"effective_root", 0, 0, 0755, root_as_effective},
	{"nnp_root", 0, 0, 0755, nnp_root},
	{"nnp_reduced", 0, 0, 0755, nnp_reduced},
};

static void copy_self(const char *to)
{
	static char data[1 << 16];
	long in = must(sys(openat, AT_FDCWD, "/proc/self/exe", O_RDONLY)), out = must(sys(openat, AT_FDCWD, to, O_WRONLY | O_CREAT | O_TRUNC, 0755));
	for (long n; (n = must(sys(read, in, data, sizeof data))) > 0;)
		must(sys(write, out, data, n));
	must(sys(close, in));
	must(sys(close, out));
}

/* On the root: the folder of a probe may lie on a mount whose set-id bits do not count. */
static const char program[] = "/probe-of-exec-privileges";

PROBE("exec/privileges", "plain", "user", "saved_id", "suid", "suid_root", "suid_own", "suid_nnp", "sgid", "sgid_without_execute", "keepcaps", "noroot", "noroot_suid", "securebits", "bounded", "inheritable", "ambient",
      "ambient_suid", "no_ambient", "undumpable", "unreadable", "pdeath", "pdeath_suid", "real_root", "effective_root", "nnp_root", "nnp_reduced")
{
	seen = pages(1, true);
	copy_self(program);
	for (size_t i = 0; i < countof(cases); i++) {
		int p[2];
		must(sys(chown, program, cases[i].owner, cases[i].group));
		must(sys(chmod, program, cases[i].mode));
		make_pipe(p, O_CLOEXEC);
		long pid = must(sys(fork));
		if (pid == 0) {
			char *argv[] = {"program", "child", "privileges", NULL}, *envp[] = {NULL};
			must(sys(dup2, p[1], 1));
			cases[i].before();
			sys(exit_group, err_of(sys(execve, program, argv, envp)));
		}
		must(sys(close, p[1]));
		memset(seen, 0, sizeof *seen);
		must(sys(read, p[0], seen, sizeof *seen));
		must(sys(close, p[0]));
		int status = reap(pid);
		observe(cases[i].id, "execve", ret_int(0), ARGS(f_hex("mode", cases[i].mode)),
			STATE(f_hex("status", (uint64_t)status), f_list("uids", v_uint(seen->uids[0]), v_uint(seen->uids[1]), v_uint(seen->uids[2]), v_uint(seen->uids[3])),
			      f_list("gids", v_uint(seen->gids[0]), v_uint(seen->gids[1]), v_uint(seen->gids[2]), v_uint(seen->gids[3])),
			      f_str("inheritable", seen->inheritable), f_bool("permitted_chown", strtoull(seen->permitted, NULL, 16) & BIT(CAP_CHOWN)), f_bool("permitted_kill", strtoull(seen->permitted, NULL, 16) & BIT(CAP_KILL)),
			      f_bool("permitted_setuid", strtoull(seen->permitted, NULL, 16) & BIT(CAP_SETUID)), f_bool("effective_is_permitted", strcmp(seen->effective, seen->permitted) == 0), f_bool("effective_none", strtoull(seen->effective, NULL, 16) == 0),
			      f_bool("bounding_kill", strtoull(seen->bounding, NULL, 16) & BIT(CAP_KILL)), f_str("ambient", seen->ambient), f_uint("secure", seen->secure), f_bool("aux", seen->aux_euid == seen->uids[1]),
			      f_hex("securebits", seen->securebits), f_uint("keepcaps", seen->keepcaps), f_uint("dumpable", seen->dumpable), f_int("pdeath", seen->pdeath)));
	}
	sys(unlinkat, AT_FDCWD, program, 0);
}
