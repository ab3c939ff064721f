/* What bytes a record lock covers, however it is given; another process looks byte by byte. */
#include "probe.h"

static long fd;
static char *seen;

/* The type that another process finds on each of the first 16 bytes, and what it is told of the first lock. */
static int look(void *arg)
{
	(void)arg;
	for (int at = 0; at < 16; at++) {
		struct flock l = {.l_type = F_WRLCK, .l_start = at, .l_len = 1};
		if (sys(fcntl, fd, F_GETLK, &l))
			return 1;
		seen[at] = l.l_type == F_UNLCK ? '.' : l.l_type == F_RDLCK ? 'r' : 'w';
	}
	struct flock *first = (struct flock *)(seen + 64);
	*first = (struct flock){.l_type = F_WRLCK};
	return sys(fcntl, fd, F_GETLK, first) ? 1 : 0;
}

static void show(const char *id, long r)
{
	memset(seen, 0, 4096);
	require(reap(spawn(look, NULL)) == 0);
	struct flock *first = (struct flock *)(seen + 64);
	observe(id, "fcntl", ret_int(r), ARGS(),
		STATE(f_strn("bytes", seen, 16), f_int("start", first->l_start), f_int("len", first->l_len), f_int("whence", first->l_whence), f_bool("mine", first->l_pid == sys(getpid))));
}

static long set(long on, int cmd, int type, int whence, long start, long len)
{
	struct flock l = {.l_type = (short)type, .l_whence = (short)whence, .l_start = start, .l_len = len};
	return sys(fcntl, on, cmd, &l);
}

static int touching(void *arg)
{
	long *r = arg;
	r[0] = set(fd, F_SETLK, F_WRLCK, SEEK_SET, 2, 2);
	r[1] = set(fd, F_SETLK, F_WRLCK, SEEK_SET, 8, 2);
	r[2] = set(fd, F_SETLK, F_WRLCK, SEEK_SET, 7, 2);
	r[3] = set(fd, F_SETLK, F_WRLCK, SEEK_SET, 3, 2);
	r[4] = set(fd, F_SETLK, F_RDLCK, SEEK_SET, 4, 1);
	return 0;
}

PROBE("fcntl/ranges", "plain", "split", "unlock_end", "to_end", "to_end_again", "backwards", "backwards_at_start", "from_position", "from_end", "from_end_backwards", "overwrite", "merge", "downgrade_part", "upgrade_part",
      "beside_before", "beside_after", "over_last", "over_first", "read_over_write", "one_byte_unlock", "bad_start", "bad_type", "bad_whence", "overflow", "reaches_end", "read_write_only", "write_read_only", "getlk_write_only",
      "unlock_read_only", "getlk_free", "getlk_bad_type", "ofd_pid", "path", "pipe", "unlock_all", "efault")
{
	put_file("f", "0123456789", 10);
	fd = must(sys(openat, AT_FDCWD, "f", O_RDWR));
	seen = pages(1, true);
	show("plain", set(fd, F_SETLK, F_WRLCK, SEEK_SET, 2, 8));
	show("split", set(fd, F_SETLK, F_UNLCK, SEEK_SET, 4, 2));
	show("unlock_end", set(fd, F_SETLK, F_UNLCK, SEEK_SET, 8, 100));
	show("to_end", set(fd, F_SETLK, F_WRLCK, SEEK_SET, 0, 0));
	show("to_end_again", set(fd, F_SETLK, F_UNLCK, SEEK_SET, 0, 12));
	must(set(fd, F_SETLK, F_UNLCK, SEEK_SET, 0, 0));
	show("backwards", set(fd, F_SETLK, F_WRLCK, SEEK_SET, 8, -3));
	show("backwards_at_start", set(fd, F_SETLK, F_WRLCK, SEEK_SET, 2, -3));
	must(set(fd, F_SETLK, F_UNLCK, SEEK_SET, 0, 0));
	must(sys(lseek, fd, 3, SEEK_SET));
	show("from_position", set(fd, F_SETLK, F_WRLCK, SEEK_CUR, 1, 2));
	must(set(fd, F_SETLK, F_UNLCK, SEEK_SET, 0, 0));
	show("from_end", set(fd, F_SETLK, F_RDLCK, SEEK_END, -2, 4));
	must(set(fd, F_SETLK, F_UNLCK, SEEK_SET, 0, 0));
	show("from_end_backwards", set(fd, F_SETLK, F_RDLCK, SEEK_END, 0, -4));
	show("overwrite", set(fd, F_SETLK, F_WRLCK, SEEK_SET, 5, 10));
	show("merge", set(fd, F_SETLK, F_WRLCK, SEEK_SET, 1, 4));
	show("downgrade_part", set(fd, F_SETLK, F_RDLCK, SEEK_SET, 6, 2));
	show("upgrade_part", set(fd, F_SETLK, F_WRLCK, SEEK_SET, 7, 1));
	must(set(fd, F_SETLK, F_UNLCK, SEEK_SET, 0, 0));
	must(set(fd, F_SETLK, F_WRLCK, SEEK_SET, 4, 4));
	long *r = pages(1, true);
	require(reap(spawn(touching, r)) == 0);
	static const char *const ids[] = {"beside_before", "beside_after", "over_last", "over_first", "read_over_write"};
	for (size_t i = 0; i < countof(ids); i++)
		observe(ids[i], "fcntl", ret_int(r[i]), ARGS(), STATE());
	show("one_byte_unlock", set(fd, F_SETLK, F_UNLCK, SEEK_SET, 5, 1));
#define SAY(id, ...) observe(id, "fcntl", ret_int(__VA_ARGS__), ARGS(), STATE())
	SAY("bad_start", set(fd, F_SETLK, F_WRLCK, SEEK_END, -11, 1));
	SAY("bad_type", set(fd, F_SETLK, 7, SEEK_SET, 0, 1));
	SAY("bad_whence", set(fd, F_SETLK, F_WRLCK, 3, 0, 1));
	SAY("overflow", set(fd, F_SETLK, F_WRLCK, SEEK_SET, LONG_MAX, 2));
	must(set(fd, F_SETLK, F_UNLCK, SEEK_SET, 0, 0));
	show("reaches_end", set(fd, F_SETLK, F_WRLCK, SEEK_SET, 6, LONG_MAX - 5));
	long wo = must(sys(openat, AT_FDCWD, "f", O_WRONLY)), ro = must(sys(openat, AT_FDCWD, "f", O_RDONLY));
	SAY("read_write_only", set(wo, F_SETLK, F_RDLCK, SEEK_SET, 0, 1));
	SAY("write_read_only", set(ro, F_SETLK, F_WRLCK, SEEK_SET, 0, 1));
	SAY("getlk_write_only", set(wo, F_GETLK, F_RDLCK, SEEK_SET, 0, 1));
	SAY("unlock_read_only", set(ro, F_SETLK, F_UNLCK, SEEK_SET, 0, 1));
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_CUR, .l_start = 2, .l_len = 5, .l_pid = 77};
	long g = sys(fcntl, fd, F_GETLK, &l);
	observe("getlk_free", "fcntl", ret_int(g), ARGS(), STATE(f_int("type", l.l_type), f_int("whence", l.l_whence), f_int("start", l.l_start), f_int("len", l.l_len), f_int("pid", l.l_pid)));
	SAY("getlk_bad_type", set(fd, F_GETLK, F_UNLCK, SEEK_SET, 0, 1));
	l = (struct flock){.l_type = F_WRLCK, .l_pid = 5};
	SAY("ofd_pid", sys(fcntl, fd, F_OFD_SETLK, &l));
	long path = must(sys(openat, AT_FDCWD, "f", O_PATH));
	SAY("path", set(path, F_SETLK, F_RDLCK, SEEK_SET, 0, 1));
	int p[2];
	make_pipe(p, 0);
	SAY("pipe", set(p[0], F_SETLK, F_RDLCK, SEEK_SET, 0, 1));
	show("unlock_all", set(fd, F_SETLK, F_UNLCK, SEEK_SET, 0, 0));
	SAY("efault", sys(fcntl, fd, F_SETLK, 8));
}
