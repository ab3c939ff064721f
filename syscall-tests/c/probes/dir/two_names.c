/* What is done to a file by one of its names holds for the other, which was looked up before, or is again once many more were. */
#include "probe.h"
#include <sys/file.h>
#include "table.h"

static int as_other(long *results)
{
	results[0] = made(sys(openat, AT_FDCWD, "b", O_RDONLY));
	results[1] = made(sys(openat, AT_FDCWD, "b", O_WRONLY));
	results[2] = sys(access, "b", X_OK);
	results[3] = sys(truncate, "b", 3);
	results[4] = sys(chmod, "b", 0666);
	return 0;
}

PROBE("dir/two_names", "rights", "same", "flock", "open_file", "crowd")
{
	static struct row row;
	struct stat s, t;
	must(sys(chmod, ".", 0755));
	put_file("a", "#!/bin/true\n", 12);
	must(sys(chmod, "a", 0600));
	must(sys(linkat, AT_FDCWD, "a", AT_FDCWD, "b", 0));
	s = lstat_of("b");
	static const int modes[] = {0600, 0604, 0602, 0601, 0607, 0600};
	long *results = pages(1, true), r;
	for (size_t i = 0; i < countof(modes) + 2; i++) {
		if (i < countof(modes))
			must(sys(chmod, "a", modes[i]));
		else
			must(sys(chown, "a", i == countof(modes) ? 1234 : 0, 0));
		run_as(1234, 1234, as_other, results);
		for (long k = 0; k < 5; k++)
			cell(&row, (long)i * 10 + k, results[k]);
	}
	observe_row(&row, "rights", "chmod");
	s = lstat_of("a");
	t = lstat_of("b");
	observe("same", "link", ret_bool(s.st_ino == t.st_ino && s.st_dev == t.st_dev), ARGS(),
		STATE(f_uint("nlink", t.st_nlink), f_bool("mode", s.st_mode == t.st_mode), f_bool("ctime", stamp_ns(s.st_ctim) == stamp_ns(t.st_ctim))));
	long a = must(sys(openat, AT_FDCWD, "a", O_RDWR)), b = must(sys(openat, AT_FDCWD, "b", O_RDWR));
	must(sys(flock, a, LOCK_EX));
	observe("flock", "flock", ret_int(sys(flock, b, LOCK_SH | LOCK_NB)), ARGS(), STATE());
	must(sys(flock, a, LOCK_UN));
	struct flock l = {.l_type = F_WRLCK};
	must(sys(fcntl, a, F_OFD_SETLK, &l));
	r = sys(fcntl, b, F_OFD_SETLK, &l);
	observe("open_file", "fcntl", ret_int(r), ARGS(), STATE());
	must(sys(close, a));
	must(sys(close, b));
	/* So many names that a kernel may have forgotten those it does not use. */
	must(sys(mkdirat, AT_FDCWD, "crowd", 0755));
	must(sys(linkat, AT_FDCWD, "a", AT_FDCWD, "crowd/a", 0));
	must(sys(linkat, AT_FDCWD, "a", AT_FDCWD, "crowd/b", 0));
	a = must(sys(openat, AT_FDCWD, "crowd/a", O_RDWR));
	must(sys(flock, a, LOCK_EX));
	long crowd = must(sys(openat, AT_FDCWD, "crowd", O_RDONLY));
	must(sys(chmod, "b", 0600));
	put_file("other", "x", 1);
	char name[32];
	for (int i = 0; i < 20000; i++) {
		snprintf(name, sizeof name, "%d", i);
		must(sys(linkat, AT_FDCWD, "other", crowd, name, 0));
	}
	b = must(sys(openat, AT_FDCWD, "crowd/b", O_RDWR));
	r = sys(flock, b, LOCK_SH | LOCK_NB);
	must(sys(fchmod, a, 0604));
	must(sys(chdir, "crowd"));
	run_as(1234, 1234, as_other, results);
	observe("crowd", "flock", ret_int(r), ARGS(), STATE(f_errno("read", err_of(results[0])), f_errno("write", err_of(results[1]))));
}
