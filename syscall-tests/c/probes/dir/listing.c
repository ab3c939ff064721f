/* A directory read in pieces shows each entry once; positions, rewinding, and changes meanwhile. */
#include "probe.h"

struct entry { uint64_t ino; int64_t off; uint16_t len; uint8_t type; char name[]; };

static int seen[40], other;
static long reads;
static void count(long fd, size_t size)
{
	char b[4096] __attribute__((aligned(8)));
	long n;
	memset(seen, 0, sizeof seen);
	other = 0, reads = 0;
	while ((n = must(sys(getdents64, fd, b, size))) > 0) {
		reads++;
		for (long at = 0; at < n;) {
			struct entry *e = (struct entry *)(b + at);
			int i = -1;
			if (sscanf(e->name, "f%d", &i) == 1 && i >= 0 && i < 40)
				seen[i]++;
			else
				other++;
			at += e->len;
		}
	}
}

static void say(const char *id, long r)
{
	int once = 0, more = 0;
	for (size_t i = 0; i < countof(seen); i++)
		once += seen[i] == 1, more += seen[i] > 1;
	observe(id, "getdents64", ret_int(r), ARGS(), STATE(f_int("once", once), f_int("more", more), f_int("other", other), f_bool("several", reads > 1)));
}

static int old(long fd, unsigned size)
{
	char b[4096] __attribute__((aligned(8)));
	int total = 0;
	long n;
	while ((n = must(sys(getdents, fd, b, size))) > 0)
		for (long at = 0; at < n; at += *(uint16_t *)(b + at + 16))
			total++;
	return total;
}

PROBE("dir/listing", "pieces", "smallest", "whole", "end_again", "rewound", "added", "removed", "old_pieces", "seek_back", "types", "links_of_root", "dup_shares", "write_only", "efault", "seek_end")
{
	must(sys(mkdirat, AT_FDCWD, "d", 0755));
	char name[16];
	for (int i = 0; i < 30; i++) {
		snprintf(name, sizeof name, "d/f%d", i);
		put_file(name, "x", 1);
	}
	long fd = must(sys(openat, AT_FDCWD, "d", O_RDONLY));
	count(fd, 100);
	say("pieces", 0);
	must(sys(lseek, fd, 0, SEEK_SET));
	count(fd, 24);
	say("smallest", 0);
	must(sys(lseek, fd, 0, SEEK_SET));
	count(fd, 4096);
	say("whole", 0);
	count(fd, 4096);
	say("end_again", 0);
	long at = sys(lseek, fd, 0, SEEK_SET);
	count(fd, 200);
	say("rewound", at);
	put_file("d/f30", "x", 1);
	must(sys(lseek, fd, 0, SEEK_SET));
	count(fd, 300);
	say("added", 0);
	must(sys(unlink, "d/f3"));
	must(sys(lseek, fd, 0, SEEK_SET));
	count(fd, 300);
	say("removed", 0);
	must(sys(lseek, fd, 0, SEEK_SET));
	int n = old(fd, 90);
	must(sys(lseek, fd, 0, SEEK_SET));
	observe("old_pieces", "getdents", ret_int(n), ARGS(), STATE(f_int("whole", old(fd, 4096))));
	char b[4096] __attribute__((aligned(8)));
	must(sys(lseek, fd, 0, SEEK_SET));
	must(sys(getdents64, fd, b, 200));
	struct entry *first = (struct entry *)b, *second = (struct entry *)(b + first->len), *third = (struct entry *)(b + first->len + second->len);
	must(sys(lseek, fd, second->off, SEEK_SET));
	char c[4096] __attribute__((aligned(8)));
	must(sys(getdents64, fd, c, 200));
	observe("seek_back", "lseek", ret_int(0), ARGS(), STATE(f_bool("same", strcmp(third->name, ((struct entry *)c)->name) == 0), f_bool("ino", third->ino == ((struct entry *)c)->ino)));
	must(sys(mkdirat, AT_FDCWD, "t", 0755));
	must(sys(mkdirat, AT_FDCWD, "t/d", 0755));
	must(sys(symlinkat, "x", AT_FDCWD, "t/l"));
	must(sys(mknodat, AT_FDCWD, "t/p", S_IFIFO | 0600, 0));
	must(sys(mknodat, AT_FDCWD, "t/s", S_IFSOCK | 0600, 0));
	put_file("t/f", "x", 1);
	long t = must(sys(openat, AT_FDCWD, "t", O_RDONLY));
	long len = must(sys(getdents64, t, b, sizeof b));
	int types[256] = {0};
	bool inos = true;
	for (long p = 0; p < len;) {
		struct entry *e = (struct entry *)(b + p);
		char path[300];
		snprintf(path, sizeof path, "t/%s", e->name);
		types[(uint8_t)e->name[0]] = e->type;
		if (e->name[0] != '.')
			inos &= lstat_of(path).st_ino == e->ino;
		p += e->len;
	}
	observe("types", "getdents64", ret_bool(len > 0), ARGS(), STATE(f_int("d", types['d']), f_int("l", types['l']), f_int("p", types['p']), f_int("s", types['s']), f_int("f", types['f']), f_int("dot", types['.']), f_bool("inos", inos)));
	/* Whatever the host has there. */
	long root = must(sys(openat, AT_FDCWD, "/", O_RDONLY));
	int wrong = 0, entries = 0;
	while ((len = must(sys(getdents64, root, b, sizeof b))) > 0)
		for (long p = 0; p < len;) {
			struct entry *e = (struct entry *)(b + p);
			char path[300];
			snprintf(path, sizeof path, "/%s", e->name);
			struct stat st = lstat_of(path);
			entries++;
			wrong += e->type != (st.st_mode & S_IFMT) >> 12;
			p += e->len;
		}
	observe("links_of_root", "getdents64", ret_int(wrong), ARGS(), STATE(f_bool("entries", entries > 5)));
	must(sys(lseek, fd, 0, SEEK_SET));
	long dup = must(sys(dup, fd));
	must(sys(getdents64, fd, b, 100));
	count(dup, 4096);
	int all = 0;
	for (size_t i = 0; i < countof(seen); i++)
		all += seen[i];
	observe("dup_shares", "getdents64", ret_bool(all < 30), ARGS(), STATE(f_bool("some", all > 20)));
	long path = must(sys(openat, AT_FDCWD, "d", O_PATH));
	observe("write_only", "getdents64", ret_int(sys(getdents64, path, b, sizeof b)), ARGS(), STATE());
	must(sys(lseek, fd, 0, SEEK_SET));
	long r = sys(getdents64, fd, 8, 100);
	observe("efault", "getdents64", ret_int(r), ARGS(), STATE(f_bool("still", sys(getdents64, fd, b, 4096) > 0)));
	observe("seek_end", "lseek", ret_int(sys(lseek, fd, -1, SEEK_SET)), ARGS(), STATE());
}
