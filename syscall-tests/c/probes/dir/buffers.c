/* readlink and getcwd with buffers that just fit; paths that are empty. */
#include "probe.h"

PROBE("dir/buffers", "link_exact", "link_one_less", "link_one_more", "link_one", "link_0", "link_negative", "link_fd", "file_fd", "directory_fd", "file_path", "empty_path", "missing", "link_bad_fd", "cwd_exact", "cwd_one_less", "cwd_0", "cwd_1", "cwd_efault",
      "empty_target", "long_target", "longest_target", "empty_name", "name_255", "name_256", "slash_link", "existing_link", "link_length")
{
	char b[64];
	must(sys(symlinkat, "target7", AT_FDCWD, "l"));
	put_file("f", "x", 1);
	must(sys(mkdirat, AT_FDCWD, "d", 0755));
#define LINK(id, ...)                                                                                                 \
	do {                                                                                                          \
		memset(b, '#', sizeof b);                                                                             \
		long r_ = sys(readlinkat, __VA_ARGS__);                                                               \
		observe(id, "readlinkat", ret_int(r_), ARGS(), STATE(f_strn("buffer", b, 10)));                       \
	} while (0)
	LINK("link_exact", AT_FDCWD, "l", b, 7);
	LINK("link_one_less", AT_FDCWD, "l", b, 6);
	LINK("link_one_more", AT_FDCWD, "l", b, 8);
	LINK("link_one", AT_FDCWD, "l", b, 1);
	LINK("link_0", AT_FDCWD, "l", b, 0);
	LINK("link_negative", AT_FDCWD, "l", b, -1);
	long l = must(sys(openat, AT_FDCWD, "l", O_PATH | O_NOFOLLOW)), f = must(sys(openat, AT_FDCWD, "f", O_PATH)), d = must(sys(openat, AT_FDCWD, "d", O_RDONLY));
	LINK("link_fd", l, "", b, 64);
	LINK("file_fd", f, "", b, 64);
	LINK("directory_fd", d, "", b, 64);
	LINK("file_path", AT_FDCWD, "f", b, 64);
	LINK("empty_path", AT_FDCWD, "", b, 64);
	LINK("missing", AT_FDCWD, "missing", b, 64);
	LINK("link_bad_fd", 4000, "l", b, 64);
	must(sys(chdir, "/proc"));
#define CWD(id, ...)                                                                                                  \
	do {                                                                                                          \
		memset(b, '#', sizeof b);                                                                             \
		long r_ = sys(getcwd, __VA_ARGS__);                                                                   \
		observe(id, "getcwd", ret_int(r_), ARGS(), STATE(f_bytes("buffer", b, 8)));                           \
	} while (0)
	CWD("cwd_exact", b, 6);
	CWD("cwd_one_less", b, 5);
	CWD("cwd_0", b, 0);
	CWD("cwd_1", b, 1);
	CWD("cwd_efault", 8, 64);
	must(sys(fchdir, d));
	static char target[4200];
	memset(target, 'a', sizeof target - 1);
	observe("empty_target", "symlink", ret_int(sys(symlink, "", "e")), ARGS(), STATE(f_errno("made", lstat_errno("e"))));
	target[4096] = 0;
	observe("long_target", "symlink", ret_int(sys(symlink, target, "e")), ARGS(), STATE(f_errno("made", lstat_errno("e"))));
	target[4095] = 0;
	long r = sys(symlink, target, "e");
	observe("longest_target", "symlink", ret_int(r), ARGS(), STATE(f_int("size", lstat_errno("e") ? -1 : lstat_of("e").st_size)));
	observe("empty_name", "symlink", ret_int(sys(symlink, "x", "")), ARGS(), STATE());
	target[255] = 0;
	r = sys(mkdirat, AT_FDCWD, target, 0700);
	observe("name_255", "mkdirat", ret_int(r), ARGS(), STATE());
	memset(target, 'a', 256);
	target[256] = 0;
	r = sys(mkdirat, AT_FDCWD, target, 0700);
	observe("name_256", "mkdirat", ret_int(r), ARGS(), STATE());
	observe("slash_link", "symlink", ret_int(sys(symlink, "x", "new/")), ARGS(), STATE());
	must(sys(symlink, "x", "again"));
	observe("existing_link", "symlink", ret_int(sys(symlink, "", "again")), ARGS(), STATE());
	observe("link_length", "symlinkat", ret_int(sys(symlinkat, "12345", d, "five")), ARGS(), STATE(f_int("size", lstat_of("five").st_size), f_hex("mode", lstat_of("five").st_mode)));
}
