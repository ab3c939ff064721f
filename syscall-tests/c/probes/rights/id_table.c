/* Every change of ids by every call from several starts (real, effective, saved, with and without capabilities): result and ids after it. */
#include "probe.h"
#include "notes.h"
#include <linux/capability.h>
#include <sys/prctl.h>

enum { KEEP = -1 };
static const int starts[][3] = {{0, 0, 0}, {0, 1, 0}, {1, 0, 1}, {1, 1, 0}, {1, 2, 3}, {1, 1, 1}, {1, 2, 1}, {0, 1, 1}};
static const int values[] = {KEEP, 0, 1, 2, 3, 9};
static bool groups;

struct change {
	int nr, start, args[3];
	bool capable;
};

/* Real, effective, saved and file-system id as digits. */
static void ids(char *text, size_t cap)
{
	char line[64] = "";
	int r = 0, e = 0, s = 0, f = 0;
	require(proc_status(0, groups ? "Gid" : "Uid", line, sizeof line) && sscanf(line, "%d %d %d %d", &r, &e, &s, &f) == 4);
	snprintf(text, cap, "%d%d%d%d", r, e, s, f);
}

static int make(void *arg)
{
	const struct change *c = arg;
	const int *from = starts[c->start];
	char after[64], caps[20] = "";
	if (groups) {
		must(sys(setresgid, from[0], from[1], from[2]));
		if (!c->capable)
			must(sys(setresuid, 5, 5, 5));
	} else {
		must(sys(setresuid, from[0], from[1], from[2]));
	}
	long r = sys6(c->nr, c->args[0], c->args[1], c->args[2], 0, 0, 0);
	ids(after, sizeof after);
	proc_status(0, "CapEff", caps, sizeof caps);
	note("%s%s%s", r ? errno_name(err_of(r)) : "", after, !groups && strtoull(caps, NULL, 16) & 1 << CAP_SETUID ? "!" : "");
	return 0;
}

static void one(int nr, int start, bool capable, int a, int b, int c)
{
	struct change change = {nr, start, {a, b, c}, capable};
	if (reap(spawn(make, &change)))
		broken("a child failed at start %d", start);
}

/* One argument. */
static void simple(int nr, bool capable)
{
	for (int s = 0; s < (int)countof(starts); s++)
		for (size_t a = 0; a < countof(values); a++)
			one(nr, s, capable, values[a], 0, 0);
}
/* Two arguments, from the starts where it matters. */
static void pair(int nr, bool capable)
{
	static const int some[] = {0, 1, 4, 6};
	for (size_t s = 0; s < countof(some); s++)
		for (size_t a = 0; a < countof(values) - 1; a++)
			for (size_t b = 0; b < countof(values) - 1; b++)
				one(nr, some[s], capable, values[a], values[b], 0);
}
static void triple(int nr, bool capable)
{
	static const int some[] = {1, 4};
	for (size_t s = 0; s < countof(some); s++)
		for (size_t a = 0; a < countof(values); a += 2)
			for (size_t b = 0; b < countof(values); b++)
				one(nr, some[s], capable, values[a], values[b], values[(a + b + 1) % countof(values)]);
}

PROBE("rights/id_table", "setuid", "setreuid", "setresuid", "setfsuid", "setgid", "setregid", "setresgid", "setfsgid", "setgid_root", "setregid_root", "setfsgid_root")
{
	note("r/e/s/fs:");
	simple(__NR_setuid, false);
	observe_notes("setuid", "setuid");
	note("r/e/s/fs:");
	pair(__NR_setreuid, false);
	observe_notes("setreuid", "setreuid");
	note("r/e/s/fs:");
	triple(__NR_setresuid, false);
	observe_notes("setresuid", "setresuid");
	note("r/e/s/fs:");
	simple(__NR_setfsuid, false);
	observe_notes("setfsuid", "setfsuid");
	groups = true;
	note("r/e/s/fs:");
	simple(__NR_setgid, false);
	observe_notes("setgid", "setgid");
	note("r/e/s/fs:");
	pair(__NR_setregid, false);
	observe_notes("setregid", "setregid");
	note("r/e/s/fs:");
	triple(__NR_setresgid, false);
	observe_notes("setresgid", "setresgid");
	note("r/e/s/fs:");
	simple(__NR_setfsgid, false);
	observe_notes("setfsgid", "setfsgid");
	note("r/e/s/fs:");
	simple(__NR_setgid, true);
	observe_notes("setgid_root", "setgid");
	note("r/e/s/fs:");
	pair(__NR_setregid, true);
	observe_notes("setregid_root", "setregid");
	note("r/e/s/fs:");
	simple(__NR_setfsgid, true);
	observe_notes("setfsgid_root", "setfsgid");
}
