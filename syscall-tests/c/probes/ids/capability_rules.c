/* Which changes capset, the ambient set, the bounding set and securebits allow, and what goes with them. */
#include "probe.h"
#include <sys/prctl.h>
#include <linux/capability.h>
#include <linux/securebits.h>

#define BIT(cap) (1u << (cap))

static long *page;

/* The lower words of the sets; all of these capabilities are there. */
static long set(uint32_t effective, uint32_t permitted, uint32_t inheritable)
{
	uint32_t header[2] = {0x20080522, 0}, sets[6] = {effective, permitted, inheritable, 0, 0, 0};
	return sys(capset, header, sets);
}

static uint64_t of_status(const char *key)
{
	char text[20] = "";
	proc_status(0, key, text, sizeof text);
	return strtoull(text, NULL, 16);
}

static long ambient(int what, int cap) { return sys(prctl, PR_CAP_AMBIENT, what, cap, 0, 0); }
static long securebits(unsigned long bits) { return sys(prctl, PR_SET_SECUREBITS, bits, 0, 0, 0); }
#define SET_ BIT(CAP_CHOWN) | BIT(CAP_KILL) | BIT(CAP_SETUID)

static long effective_beyond(void)
{
	must(set(SET_, SET_, 0));
	return set(SET_, BIT(CAP_CHOWN), 0);
}
static long permitted_beyond(void)
{
	must(set(BIT(CAP_CHOWN), BIT(CAP_CHOWN), 0));
	return set(BIT(CAP_CHOWN), SET_, 0);
}
static long inheritable_of_permitted(void)
{
	must(set(BIT(CAP_CHOWN), BIT(CAP_CHOWN) | BIT(CAP_KILL), 0));
	return set(BIT(CAP_CHOWN), BIT(CAP_CHOWN), BIT(CAP_KILL));
}
static long inheritable_of_others(void)
{
	must(set(BIT(CAP_CHOWN), BIT(CAP_CHOWN), 0));
	return set(BIT(CAP_CHOWN), BIT(CAP_CHOWN), BIT(CAP_KILL));
}
static long inheritable_by_setpcap(void)
{
	must(set(BIT(CAP_SETPCAP), BIT(CAP_SETPCAP), 0));
	return set(BIT(CAP_SETPCAP), BIT(CAP_SETPCAP), BIT(CAP_KILL));
}
static long inheritable_beyond_bounding(void)
{
	must(sys(prctl, PR_CAPBSET_DROP, CAP_KILL, 0, 0, 0));
	return set(BIT(CAP_SETPCAP), BIT(CAP_SETPCAP) | BIT(CAP_KILL), BIT(CAP_KILL));
}
static long inheritable_kept_beyond(void)
{
	must(set(BIT(CAP_SETPCAP), BIT(CAP_SETPCAP), BIT(CAP_KILL)));
	must(sys(prctl, PR_CAPBSET_DROP, CAP_KILL, 0, 0, 0));
	return set(BIT(CAP_SETPCAP), BIT(CAP_SETPCAP), BIT(CAP_KILL));
}
static long ambient_trimmed(void)
{
	must(set(SET_, SET_, SET_));
	must(ambient(PR_CAP_AMBIENT_RAISE, CAP_CHOWN));
	must(ambient(PR_CAP_AMBIENT_RAISE, CAP_KILL));
	return set(SET_, SET_, BIT(CAP_KILL));
}
static long ambient_trimmed_permitted(void)
{
	must(set(SET_, SET_, SET_));
	must(ambient(PR_CAP_AMBIENT_RAISE, CAP_CHOWN));
	return set(BIT(CAP_KILL), BIT(CAP_KILL), SET_);
}
static long raise_not_inheritable(void)
{
	must(set(SET_, SET_, BIT(CAP_CHOWN)));
	return ambient(PR_CAP_AMBIENT_RAISE, CAP_KILL);
}
static long raise_not_permitted(void)
{
	must(set(SET_, SET_, SET_));
	must(set(BIT(CAP_CHOWN), BIT(CAP_CHOWN), SET_));
	return ambient(PR_CAP_AMBIENT_RAISE, CAP_KILL);
}
static long raise_not_effective(void)
{
	must(set(0, SET_, SET_));
	return ambient(PR_CAP_AMBIENT_RAISE, CAP_KILL);
}
static long raise_forbidden(void)
{
	must(securebits(SECBIT_NO_CAP_AMBIENT_RAISE));
	must(set(SET_, SET_, SET_));
	return ambient(PR_CAP_AMBIENT_RAISE, CAP_KILL);
}
static long ambient_lowered(void)
{
	must(set(SET_, SET_, SET_));
	must(ambient(PR_CAP_AMBIENT_RAISE, CAP_CHOWN));
	must(ambient(PR_CAP_AMBIENT_RAISE, CAP_KILL));
	return ambient(PR_CAP_AMBIENT_LOWER, CAP_CHOWN);
}
static long ambient_cleared(void)
{
	must(set(SET_, SET_, SET_));
	must(ambient(PR_CAP_AMBIENT_RAISE, CAP_CHOWN));
	return ambient(PR_CAP_AMBIENT_CLEAR_ALL, 0);
}
static long ambient_asked(void)
{
	must(set(SET_, SET_, SET_));
	must(ambient(PR_CAP_AMBIENT_RAISE, CAP_CHOWN));
	return ambient(PR_CAP_AMBIENT_IS_SET, CAP_CHOWN) * 10 + ambient(PR_CAP_AMBIENT_IS_SET, CAP_KILL);
}
static long ambient_bad_cap(void) { return ambient(PR_CAP_AMBIENT_IS_SET, 64); }
static long ambient_bad_what(void) { return ambient(77, 0); }
static long ambient_clear_arg(void) { return ambient(PR_CAP_AMBIENT_CLEAR_ALL, 1); }
static long bounding_by_nobody(void)
{
	must(set(SET_, SET_, 0));
	return sys(prctl, PR_CAPBSET_DROP, CAP_KILL, 0, 0, 0);
}
static long bounding_bad(void) { return sys(prctl, PR_CAPBSET_DROP, 64, 0, 0, 0); }
static long bounding_bad_by_nobody(void)
{
	must(set(SET_, SET_, 0));
	return sys(prctl, PR_CAPBSET_DROP, 64, 0, 0, 0);
}
static long bounding_keeps_permitted(void) { return sys(prctl, PR_CAPBSET_DROP, CAP_KILL, 0, 0, 0); }
static long bounding_last(void) { return sys(prctl, PR_CAPBSET_READ, 40, 0, 0, 0); }
static long bounding_after_last(void) { return sys(prctl, PR_CAPBSET_READ, 41, 0, 0, 0); }
static long bits_locked(void)
{
	must(securebits(SECBIT_NOROOT | SECBIT_NOROOT_LOCKED));
	return securebits(SECBIT_NOROOT_LOCKED);
}
static long bits_unlocked(void)
{
	must(securebits(SECBIT_NOROOT | SECBIT_NOROOT_LOCKED));
	return securebits(SECBIT_NOROOT);
}
static long bits_beside_lock(void)
{
	must(securebits(SECBIT_NOROOT | SECBIT_NOROOT_LOCKED));
	return securebits(SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP);
}
static long bits_by_nobody(void)
{
	must(set(SET_, SET_, 0));
	return securebits(SECBIT_NOROOT);
}
static long bits_unknown(void) { return securebits(1 << 12); }
static long keep_locked(void)
{
	must(securebits(SECBIT_KEEP_CAPS_LOCKED));
	return sys(prctl, PR_SET_KEEPCAPS, 1, 0, 0, 0);
}
static long keep_bad(void) { return sys(prctl, PR_SET_KEEPCAPS, 2, 0, 0, 0); }
static long keep_bad_locked(void)
{
	must(securebits(SECBIT_KEEP_CAPS_LOCKED));
	return sys(prctl, PR_SET_KEEPCAPS, 2, 0, 0, 0);
}
static long of_other(void)
{
	long pid = must(sys(fork));
	if (pid == 0) {
		must(set(BIT(CAP_CHOWN), SET_, BIT(CAP_KILL)));
		__atomic_store_n(&page[9], 1, __ATOMIC_SEQ_CST);
		for (;;)
			sys(pause);
	}
	while (!__atomic_load_n(&page[9], __ATOMIC_SEQ_CST))
		sys(sched_yield);
	uint32_t header[2] = {0x20080522, (uint32_t)pid}, sets[6] = {0};
	long r = sys(capget, header, sets);
	page[10] = sets[0];
	page[11] = sets[1];
	page[12] = sets[2];
	page[13] = sys(capset, header, sets);
	must(sys(kill, pid, SIGKILL));
	reap(pid);
	return r;
}
static long version_one(void)
{
	uint32_t header[2] = {0x19980330, 0}, sets[6] = {BIT(CAP_CHOWN), SET_, 0, 99, 99, 99};
	must(sys(capset, header, sets));
	uint32_t back[6] = {7, 7, 7, 7, 7, 7};
	long r = sys(capget, header, back);
	page[10] = back[0];
	page[11] = back[1];
	page[12] = back[3];
	return r;
}
static long negative_pid(void)
{
	uint32_t header[2] = {0x20080522, (uint32_t)-5}, sets[6];
	return sys(capget, header, sets);
}
static long only_version(void)
{
	uint32_t header[2] = {99, 0};
	long r = sys(capget, header, NULL);
	page[10] = header[0];
	return r;
}

#define CASE(name, call) {#name, call, name}
static const struct {
	const char *id, *call;
	long (*body)(void);
} cases[] = {
	CASE(effective_beyond, "capset"), CASE(permitted_beyond, "capset"), CASE(inheritable_of_permitted, "capset"), CASE(inheritable_of_others, "capset"), CASE(inheritable_by_setpcap, "capset"),
	CASE(inheritable_beyond_bounding, "capset"), CASE(inheritable_kept_beyond, "capset"), CASE(ambient_trimmed, "capset"), CASE(ambient_trimmed_permitted, "capset"), CASE(raise_not_inheritable, "prctl"),
	CASE(raise_not_permitted, "prctl"), CASE(raise_not_effective, "prctl"), CASE(raise_forbidden, "prctl"), CASE(ambient_lowered, "prctl"), CASE(ambient_cleared, "prctl"), CASE(ambient_asked, "prctl"),
	CASE(ambient_bad_cap, "prctl"), CASE(ambient_bad_what, "prctl"), CASE(ambient_clear_arg, "prctl"), CASE(bounding_by_nobody, "prctl"), CASE(bounding_bad, "prctl"), CASE(bounding_bad_by_nobody, "prctl"),
	CASE(bounding_keeps_permitted, "prctl"), CASE(bounding_last, "prctl"), CASE(bounding_after_last, "prctl"), CASE(bits_locked, "prctl"), CASE(bits_unlocked, "prctl"), CASE(bits_beside_lock, "prctl"),
	CASE(bits_by_nobody, "prctl"), CASE(bits_unknown, "prctl"), CASE(keep_locked, "prctl"), CASE(keep_bad, "prctl"), CASE(keep_bad_locked, "prctl"), CASE(of_other, "capget"), CASE(version_one, "capget"),
	CASE(negative_pid, "capget"), CASE(only_version, "capget"),
};

static int child(void *arg)
{
	memset(page, 0, 200);
	page[0] = cases[(size_t)arg].body();
	page[1] = (long)(of_status("CapEff") & 0xffff);
	page[2] = (long)(of_status("CapPrm") & 0xffff);
	page[3] = (long)of_status("CapInh");
	page[4] = (long)(of_status("CapBnd") & 0xffff);
	page[5] = (long)of_status("CapAmb");
	page[6] = sys(prctl, PR_GET_SECUREBITS, 0, 0, 0, 0);
	return 0;
}

PROBE("ids/capability_rules", "effective_beyond", "permitted_beyond", "inheritable_of_permitted", "inheritable_of_others", "inheritable_by_setpcap", "inheritable_beyond_bounding", "inheritable_kept_beyond", "ambient_trimmed",
      "ambient_trimmed_permitted", "raise_not_inheritable", "raise_not_permitted", "raise_not_effective", "raise_forbidden", "ambient_lowered", "ambient_cleared", "ambient_asked", "ambient_bad_cap", "ambient_bad_what",
      "ambient_clear_arg", "bounding_by_nobody", "bounding_bad", "bounding_bad_by_nobody", "bounding_keeps_permitted", "bounding_last", "bounding_after_last", "bits_locked", "bits_unlocked", "bits_beside_lock", "bits_by_nobody",
      "bits_unknown", "keep_locked", "keep_bad", "keep_bad_locked", "of_other", "version_one", "negative_pid", "only_version")
{
	page = pages(1, true);
	for (size_t i = 0; i < countof(cases); i++) {
		require(reap(spawn(child, (void *)i)) == 0);
		observe(cases[i].id, cases[i].call, ret_int(page[0]), ARGS(),
			STATE(f_hex("effective", (uint64_t)page[1]), f_hex("permitted", (uint64_t)page[2]), f_hex("inheritable", (uint64_t)page[3]), f_hex("bounding", (uint64_t)page[4]), f_hex("ambient", (uint64_t)page[5]),
			      f_hex("securebits", (uint64_t)page[6]), f_list("seen", v_hex((uint64_t)page[10]), v_hex((uint64_t)page[11]), v_hex((uint64_t)page[12]), v_int(page[13]))));
	}
}
