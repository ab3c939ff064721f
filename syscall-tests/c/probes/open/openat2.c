/* openat2 restricts how a path is resolved and refuses what it does not know. */
#include "probe.h"

struct how {
	uint64_t flags, mode, resolve, later;
};
enum { NO_XDEV = 1, NO_MAGICLINKS = 2, NO_SYMLINKS = 4, BENEATH = 8, IN_ROOT = 16 };

static long with(const char *path, uint64_t flags, uint64_t mode, uint64_t resolve)
{
	struct how how = {flags, mode, resolve, 0};
	long ret;
	/* openat2(2): a rename or mount anywhere on the system while ".." is resolved under RESOLVE_BENEATH or RESOLVE_IN_ROOT gives EAGAIN. */
	do
		ret = sys(openat2, AT_FDCWD, path, &how, 24);
	while (ret == -EAGAIN && resolve & (BENEATH | IN_ROOT));
	return ret;
}

PROBE("open/openat2", "create", "symlink", "no_symlinks", "beneath", "beneath_up", "beneath_absolute", "in_root", "magic", "no_magiclinks",
      "no_xdev", "bad_flags", "bad_resolve", "both_roots", "mode_unused", "bad_mode", "small", "larger", "too_large", "efault", "missing")
{
	must(sys(mkdir, "d", 0755));
	put_file("d/f", "inside", 6);
	must(sys(symlink, "d/f", "l"));
	long fd = with("new", O_CREAT | O_RDWR | O_CLOEXEC, 0640, 0);
	observe("create", "openat2", ret_fd(fd), ARGS(f_hex("flags", O_CREAT | O_RDWR | O_CLOEXEC)),
		STATE(f_hex("mode", lstat_of("new").st_mode), f_hex("status", (uint64_t)status_flags(fd)), f_hex("cloexec", (uint64_t)fd_flags(fd))));
	fd = with("l", O_RDONLY, 0, 0);
	observe("symlink", "openat2", ret_fd(fd), ARGS(f_hex("resolve", 0)), STATE(f_int("size", fd >= 0 ? fstat_of((int)fd).st_size : -1)));
	observe("no_symlinks", "openat2", ret_fd(with("l", O_RDONLY, 0, NO_SYMLINKS)), ARGS(f_hex("resolve", NO_SYMLINKS)), STATE());
	observe("beneath", "openat2", ret_fd(with("d/../l", O_RDONLY, 0, BENEATH)), ARGS(f_hex("resolve", BENEATH)), STATE());
	observe("beneath_up", "openat2", ret_fd(with("../etc", O_RDONLY, 0, BENEATH)), ARGS(f_hex("resolve", BENEATH)), STATE());
	observe("beneath_absolute", "openat2", ret_fd(with("/", O_RDONLY, 0, BENEATH)), ARGS(f_hex("resolve", BENEATH)), STATE());
	fd = with("/../../d/f", O_RDONLY, 0, IN_ROOT);
	observe("in_root", "openat2", ret_fd(fd), ARGS(f_hex("resolve", IN_ROOT)), STATE(f_int("size", fd >= 0 ? fstat_of((int)fd).st_size : -1)));
	observe("magic", "openat2", ret_fd(with("/proc/self/exe", O_RDONLY, 0, 0)), ARGS(f_hex("resolve", 0)), STATE());
	observe("no_magiclinks", "openat2", ret_fd(with("/proc/self/exe", O_RDONLY, 0, NO_MAGICLINKS)), ARGS(f_hex("resolve", NO_MAGICLINKS)), STATE());
	observe("no_xdev", "openat2", ret_fd(with("/proc/self/comm", O_RDONLY, 0, NO_XDEV)), ARGS(f_hex("resolve", NO_XDEV)), STATE());
	observe("bad_flags", "openat2", ret_fd(with("d/f", 1ull << 40, 0, 0)), ARGS(f_hex("flags", 1ull << 40)), STATE());
	observe("bad_resolve", "openat2", ret_fd(with("d/f", O_RDONLY, 0, 1 << 20)), ARGS(f_hex("resolve", 1 << 20)), STATE());
	observe("both_roots", "openat2", ret_fd(with("d/f", O_RDONLY, 0, BENEATH | IN_ROOT)), ARGS(f_hex("resolve", BENEATH | IN_ROOT)), STATE());
	observe("mode_unused", "openat2", ret_fd(with("d/f", O_RDONLY, 0600, 0)), ARGS(f_hex("mode", 0600)), STATE());
	observe("bad_mode", "openat2", ret_fd(with("new2", O_CREAT | O_RDWR, 010000, 0)), ARGS(f_hex("mode", 010000)), STATE(f_errno("made", lstat_errno("new2"))));
	struct how how = {O_RDONLY, 0, 0, 0};
	observe("small", "openat2", ret_fd(sys(openat2, AT_FDCWD, "d/f", &how, 23)), ARGS(f_uint("size", 23)), STATE());
	observe("larger", "openat2", ret_fd(sys(openat2, AT_FDCWD, "d/f", &how, 32)), ARGS(f_uint("size", 32)), STATE());
	how.later = 1;
	observe("too_large", "openat2", ret_fd(sys(openat2, AT_FDCWD, "d/f", &how, 32)), ARGS(f_uint("size", 32)), STATE());
	observe("efault", "openat2", ret_fd(sys(openat2, AT_FDCWD, "d/f", 8, 24)), ARGS(), STATE());
	observe("missing", "openat2", ret_fd(with("missing", O_RDONLY, 0, 0)), ARGS(), STATE());
}
