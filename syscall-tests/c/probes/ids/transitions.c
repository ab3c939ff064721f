/* What each call that sets ids allows an ordinary user, what it changes beside, and what root's capabilities become. */
#include "probe.h"
#include <sys/prctl.h>
#include <linux/capability.h>
#include <linux/securebits.h>

struct outcome {
	long result;
	char uid[60], gid[60], effective[20], permitted[20];
	long dumpable, pdeath;
};

static struct outcome *out;

static void read_back(void)
{
	proc_status(0, "Uid", out->uid, sizeof out->uid);
	proc_status(0, "Gid", out->gid, sizeof out->gid);
	proc_status(0, "CapEff", out->effective, sizeof out->effective);
	proc_status(0, "CapPrm", out->permitted, sizeof out->permitted);
	out->dumpable = sys(prctl, PR_GET_DUMPABLE, 0, 0, 0, 0);
	int signal = -1;
	sys(prctl, PR_GET_PDEATHSIG, &signal, 0, 0, 0);
	out->pdeath = signal;
}

enum { KEEP = -1 };

static const struct {
	const char *id, *call;
	int from[3];          /* real, effective, saved; -2: still root with its groups as they are */
	int nr, args[3];
} cases[] = {
	{"setuid_saved", "setuid", {1000, 2000, 3000}, __NR_setuid, {3000}},
	{"setuid_real", "setuid", {1000, 2000, 3000}, __NR_setuid, {1000}},
	{"setuid_effective", "setuid", {1000, 2000, 3000}, __NR_setuid, {2000}},
	{"setuid_minus", "setuid", {1000, 2000, 3000}, __NR_setuid, {KEEP}},
	{"setgid_minus", "setgid", {1000, 2000, 3000}, __NR_setgid, {KEEP}},
	{"setgid_foreign", "setgid", {1000, 2000, 3000}, __NR_setgid, {77}},
	{"setreuid_real_saved", "setreuid", {1000, 2000, 3000}, __NR_setreuid, {3000, KEEP}},
	{"setreuid_real_effective", "setreuid", {1000, 2000, 3000}, __NR_setreuid, {2000, KEEP}},
	{"setreuid_effective_saved", "setreuid", {1000, 2000, 3000}, __NR_setreuid, {KEEP, 3000}},
	{"setreuid_effective_real", "setreuid", {1000, 2000, 3000}, __NR_setreuid, {KEEP, 1000}},
	{"setreuid_effective_same", "setreuid", {1000, 2000, 3000}, __NR_setreuid, {KEEP, 2000}},
	{"setreuid_swap", "setreuid", {1000, 2000, 3000}, __NR_setreuid, {2000, 1000}},
	{"setreuid_keep", "setreuid", {1000, 2000, 3000}, __NR_setreuid, {KEEP, KEEP}},
	{"setreuid_half", "setreuid", {1000, 2000, 3000}, __NR_setreuid, {2000, 77}},
	{"setregid_real_saved", "setregid", {1000, 2000, 3000}, __NR_setregid, {3000, KEEP}},
	{"setregid_effective_real", "setregid", {1000, 2000, 3000}, __NR_setregid, {KEEP, 1000}},
	{"setregid_effective_saved", "setregid", {1000, 2000, 3000}, __NR_setregid, {KEEP, 3000}},
	{"setregid_half", "setregid", {1000, 2000, 3000}, __NR_setregid, {2000, 77}},
	{"setresuid_rotate", "setresuid", {1000, 2000, 3000}, __NR_setresuid, {3000, 1000, 2000}},
	{"setresuid_half", "setresuid", {1000, 2000, 3000}, __NR_setresuid, {2000, 3000, 77}},
	{"setresuid_saved_only", "setresuid", {1000, 2000, 3000}, __NR_setresuid, {KEEP, KEEP, 1000}},
	{"setresgid_rotate", "setresgid", {1000, 2000, 3000}, __NR_setresgid, {3000, 1000, 2000}},
	{"setresgid_half", "setresgid", {1000, 2000, 3000}, __NR_setresgid, {3000, 77, 2000}},
	{"setfsuid_foreign", "setfsuid", {1000, 2000, 3000}, __NR_setfsuid, {77}},
	{"setfsuid_saved", "setfsuid", {1000, 2000, 3000}, __NR_setfsuid, {3000}},
	{"setfsuid_minus", "setfsuid", {1000, 2000, 3000}, __NR_setfsuid, {KEEP}},
	{"setfsgid_foreign", "setfsgid", {1000, 2000, 3000}, __NR_setfsgid, {77}},
	{"setfsgid_real", "setfsgid", {1000, 2000, 3000}, __NR_setfsgid, {1000}},
	{"root_setuid", "setuid", {0, 0, 0}, __NR_setuid, {1000}},
	{"root_setuid_from_real", "setuid", {1000, 0, 0}, __NR_setuid, {0}},
	{"root_effective", "setresuid", {0, 0, 0}, __NR_setresuid, {KEEP, 1000, KEEP}},
	{"root_back", "setresuid", {0, 1000, 0}, __NR_setresuid, {KEEP, 0, KEEP}},
	{"root_saved_only", "setresuid", {0, 0, 0}, __NR_setresuid, {1000, 1000, 0}},
	{"root_all", "setresuid", {0, 0, 0}, __NR_setresuid, {1000, 1000, 1000}},
	{"root_setreuid_effective", "setreuid", {0, 0, 0}, __NR_setreuid, {KEEP, 1000}},
	{"root_setreuid_same", "setreuid", {0, 0, 5}, __NR_setreuid, {KEEP, 0}},
	{"root_setreuid_both", "setreuid", {0, 0, 5}, __NR_setreuid, {7, 8}},
	{"root_setfsuid", "setfsuid", {0, 0, 0}, __NR_setfsuid, {1000}},
	{"root_setgid", "setgid", {0, 0, 0}, __NR_setgid, {1000}},
};

static int child(void *arg)
{
	size_t i = (size_t)arg;
	int r = cases[i].from[0], e = cases[i].from[1], s = cases[i].from[2];
	bool user = r && e && s;
	if (user)
		must(sys(setresgid, r, e, s));
	must(sys(setresuid, r, e, s));
	/* Dumpable and PR_SET_PDEATHSIG end with the change that is looked at, not with this one. */
	must(sys(prctl, PR_SET_DUMPABLE, 1, 0, 0, 0));
	must(sys(prctl, PR_SET_PDEATHSIG, SIGUSR1, 0, 0, 0));
	out->result = sys6(cases[i].nr, cases[i].args[0], cases[i].args[1], cases[i].args[2], 0, 0, 0);
	read_back();
	return 0;
}

static bool has(const char *set, int cap) { return strtoull(set, NULL, 16) >> cap & 1; }

static void report(const char *id, const char *call)
{
	observe(id, call, ret_int(out->result), ARGS(),
		STATE(f_str("uid", out->uid), f_str("gid", out->gid), f_bool("effective_kill", has(out->effective, CAP_KILL)), f_bool("effective_chown", has(out->effective, CAP_CHOWN)), f_bool("effective_mknod", has(out->effective, CAP_MKNOD)),
		      f_bool("effective_setuid", has(out->effective, CAP_SETUID)), f_bool("permitted_chown", has(out->permitted, CAP_CHOWN)), f_int("dumpable", out->dumpable), f_int("pdeath", out->pdeath)));
}

static void bits(unsigned long b) { must(sys(prctl, PR_SET_SECUREBITS, b, 0, 0, 0)); }

static int no_fixup(void *unused)
{
	(void)unused;
	bits(SECBIT_NO_SETUID_FIXUP);
	out->result = sys(setresuid, 1000, 1000, 1000);
	read_back();
	return 0;
}
static int no_fixup_fsuid(void *unused)
{
	(void)unused;
	bits(SECBIT_NO_SETUID_FIXUP);
	out->result = sys(setfsuid, 1000);
	read_back();
	return 0;
}
static int keepcaps(void *unused)
{
	(void)unused;
	must(sys(prctl, PR_SET_KEEPCAPS, 1, 0, 0, 0));
	out->result = sys(setresuid, 1000, 1000, 1000);
	read_back();
	return 0;
}
static int fsuid_back(void *unused)
{
	(void)unused;
	sys(setfsuid, 1000);
	out->result = sys(setfsuid, 0);
	read_back();
	return 0;
}
static int fsuid_follows(void *unused)
{
	(void)unused;
	sys(setfsuid, 1234);
	out->result = sys(setresuid, -1, -1, 55);
	read_back();
	return 0;
}
static int ambient_gone(void *keep)
{
	uint32_t header[2] = {0x20080522, 0}, sets[6];
	must(sys(capget, header, sets));
	sets[2] |= 1;
	must(sys(capset, header, sets));
	must(sys(prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0));
	must(sys(prctl, PR_SET_KEEPCAPS, 1, 0, 0, 0));
	out->result = keep ? sys(setresuid, 1000, 1000, 0) : sys(setresuid, 1000, 1000, 1000);
	read_back();
	proc_status(0, "CapAmb", out->gid, sizeof out->gid);
	return 0;
}

PROBE("ids/transitions", "setuid_saved", "setuid_real", "setuid_effective", "setuid_minus", "setgid_minus", "setgid_foreign", "setreuid_real_saved", "setreuid_real_effective", "setreuid_effective_saved",
      "setreuid_effective_real", "setreuid_effective_same", "setreuid_swap", "setreuid_keep", "setreuid_half", "setregid_real_saved", "setregid_effective_real", "setregid_effective_saved", "setregid_half", "setresuid_rotate",
      "setresuid_half", "setresuid_saved_only", "setresgid_rotate", "setresgid_half", "setfsuid_foreign", "setfsuid_saved", "setfsuid_minus", "setfsgid_foreign", "setfsgid_real", "root_setuid", "root_setuid_from_real",
      "root_effective", "root_back", "root_saved_only", "root_all", "root_setreuid_effective", "root_setreuid_same", "root_setreuid_both", "root_setfsuid", "root_setgid", "no_fixup", "no_fixup_fsuid", "keepcaps", "fsuid_back",
      "fsuid_follows", "ambient_gone", "ambient_kept")
{
	out = pages(1, true);
	for (size_t i = 0; i < countof(cases); i++) {
		require(reap(spawn(child, (void *)i)) == 0);
		report(cases[i].id, cases[i].call);
	}
	static const struct {
		const char *id, *call;
		int (*body)(void *);
		void *arg;
	} more[] = {
		{"no_fixup", "setresuid", no_fixup, NULL}, {"no_fixup_fsuid", "setfsuid", no_fixup_fsuid, NULL}, {"keepcaps", "setresuid", keepcaps, NULL}, {"fsuid_back", "setfsuid", fsuid_back, NULL},
		{"fsuid_follows", "setresuid", fsuid_follows, NULL}, {"ambient_gone", "setresuid", ambient_gone, NULL}, {"ambient_kept", "setresuid", ambient_gone, (void *)1},
	};
	for (size_t i = 0; i < countof(more); i++) {
		require(reap(spawn(more[i].body, more[i].arg)) == 0);
		report(more[i].id, more[i].call);
	}
}
