/* What rename, link, unlink and rmdir refuse, in which order, and what is left. */
#include "probe.h"

static char tree[16];
static const char *names(void)
{
	static const char *const all[] = {"f", "g", "d", "e", "d/s", "d/s/x", "d/f", "l"};
	for (size_t i = 0; i < countof(all); i++)
		tree[i] = lstat_errno(all[i]) ? '.' : S_ISDIR(lstat_of(all[i]).st_mode) ? 'd' : S_ISLNK(lstat_of(all[i]).st_mode) ? 'l' : 'f';
	return tree;
}
#define SAY(id, call, ...)                                                                                            \
	do {                                                                                                          \
		long r_ = sys(call, __VA_ARGS__);                                                                     \
		observe(id, #call, ret_int(r_), ARGS(), STATE(f_str("tree", names())));                               \
	} while (0)
#define CWD AT_FDCWD

PROBE("dir/rename_edges", "over_ancestor", "directory_over_ancestor", "into_itself", "into_child", "same", "same_file", "directory_over_file",
      "file_over_directory", "over_full", "dot", "to_dot", "dotdot", "to_dotdot", "slash_file", "slash_source", "slash_directory", "back", "missing",
      "missing_over", "missing_parent", "through_file", "link_itself", "link_back", "empty", "to_empty", "noreplace_same", "noreplace_existing",
      "noreplace_slash", "exchange_missing", "exchange_kinds", "exchange_kinds_back", "exchange_child", "exchange_parent", "exchange_same",
      "whiteout_exchange", "unknown_flag", "bad_fd", "bad_fd_to", "efault", "link_directory", "link_existing", "link_slash", "link_source_slash",
      "link_link", "link_link_unlink", "link_flags", "link_missing", "link_missing_existing", "unlink_directory", "unlink_slash",
      "unlink_directory_slash", "unlink_dot", "unlink_flags", "unlink_missing_slash", "rmdir_file", "rmdir_full", "rmdir_dot", "rmdir_dotdot",
      "rmdir_root", "rmdir_link", "rmdir_missing", "rmdir_through_file", "mkdir_existing_file", "mkdir_slash", "mkdir_rmdir_slash", "mkdir_dot",
      "mkdir_dot_end", "mkdir_link", "mkdir_through_file", "mknod_existing", "mknod_directory", "mknod_bad", "mknod_slash", "symlink_existing",
      "over_empty", "replace", "replaced")
{
	put_file("f", "f", 1);
	put_file("g", "gg", 2);
	must(sys(mkdirat, CWD, "d", 0755));
	must(sys(mkdirat, CWD, "e", 0755));
	must(sys(mkdirat, CWD, "d/s", 0755));
	put_file("d/s/x", "x", 1);
	put_file("d/f", "x", 1);
	must(sys(symlinkat, "f", CWD, "l"));
	SAY("over_ancestor", rename, "d/s/x", "d");
	SAY("directory_over_ancestor", rename, "d/s", "d");
	SAY("into_itself", rename, "d", "d/s/y");
	SAY("into_child", rename, "d", "d/s");
	SAY("same", rename, "d", "d");
	SAY("same_file", rename, "f", "f");
	SAY("directory_over_file", rename, "e", "f");
	SAY("file_over_directory", rename, "f", "e");
	SAY("over_full", rename, "e", "d");
	SAY("dot", rename, ".", "new");
	SAY("to_dot", rename, "e", ".");
	SAY("dotdot", rename, "d/..", "new");
	SAY("to_dotdot", rename, "f", "d/..");
	SAY("slash_file", rename, "f", "new/");
	SAY("slash_source", rename, "f/", "new");
	SAY("slash_directory", rename, "e/", "new/");
	SAY("back", rename, "new", "e/");
	SAY("missing", rename, "missing", "new");
	SAY("missing_over", rename, "missing", "d");
	SAY("missing_parent", rename, "f", "missing/f");
	SAY("through_file", rename, "f", "g/f");
	SAY("link_itself", rename, "l", "link2");
	SAY("link_back", rename, "link2", "l");
	SAY("empty", rename, "", "new");
	SAY("to_empty", rename, "f", "");
	SAY("noreplace_same", renameat2, CWD, "f", CWD, "f", 1);
	SAY("noreplace_existing", renameat2, CWD, "f", CWD, "g", 1);
	SAY("noreplace_slash", renameat2, CWD, "f", CWD, "g/", 1);
	SAY("exchange_missing", renameat2, CWD, "f", CWD, "new", 2);
	SAY("exchange_kinds", renameat2, CWD, "f", CWD, "e", 2);
	SAY("exchange_kinds_back", renameat2, CWD, "f", CWD, "e", 2);
	SAY("exchange_child", renameat2, CWD, "d", CWD, "d/s", 2);
	SAY("exchange_parent", renameat2, CWD, "d/s", CWD, "d", 2);
	SAY("exchange_same", renameat2, CWD, "f", CWD, "f", 2);
	SAY("whiteout_exchange", renameat2, CWD, "f", CWD, "g", 6);
	SAY("unknown_flag", renameat2, CWD, "f", CWD, "g", 8);
	SAY("bad_fd", renameat, 4000, "f", CWD, "g");
	SAY("bad_fd_to", renameat, CWD, "f", 4000, "g");
	SAY("efault", rename, 8, "g");
	SAY("link_directory", link, "d", "new");
	SAY("link_existing", link, "f", "g");
	SAY("link_slash", link, "f", "new/");
	SAY("link_source_slash", link, "f/", "new");
	SAY("link_link", link, "l", "new");
	SAY("link_link_unlink", unlink, "new");
	SAY("link_flags", linkat, CWD, "f", CWD, "new", 1);
	SAY("link_missing", link, "missing", "new");
	SAY("link_missing_existing", link, "missing", "f");
	SAY("unlink_directory", unlink, "e");
	SAY("unlink_slash", unlink, "f/");
	SAY("unlink_directory_slash", unlink, "e/");
	SAY("unlink_dot", unlink, ".");
	SAY("unlink_flags", unlinkat, CWD, "f", 1);
	SAY("unlink_missing_slash", unlink, "missing/");
	SAY("rmdir_file", rmdir, "f");
	SAY("rmdir_full", rmdir, "d");
	SAY("rmdir_dot", rmdir, "e/.");
	SAY("rmdir_dotdot", rmdir, "d/s/..");
	SAY("rmdir_root", rmdir, "/");
	SAY("rmdir_link", rmdir, "l");
	SAY("rmdir_missing", rmdir, "missing");
	SAY("rmdir_through_file", rmdir, "f/x");
	SAY("mkdir_existing_file", mkdir, "f", 0755);
	SAY("mkdir_slash", mkdir, "new/", 0755);
	SAY("mkdir_rmdir_slash", rmdir, "new/");
	SAY("mkdir_dot", mkdir, ".", 0755);
	SAY("mkdir_dot_end", mkdir, "new/.", 0755);
	SAY("mkdir_link", mkdir, "l", 0755);
	SAY("mkdir_through_file", mkdir, "f/x", 0755);
	SAY("mknod_existing", mknodat, CWD, "f", S_IFREG | 0600, 0);
	SAY("mknod_directory", mknodat, CWD, "new", S_IFDIR | 0600, 0);
	SAY("mknod_bad", mknodat, CWD, "new", 0130000 | 0600, 0);
	SAY("mknod_slash", mknodat, CWD, "new/", S_IFREG | 0600, 0);
	SAY("symlink_existing", symlinkat, "x", CWD, "d");
	SAY("over_empty", rename, "d/s", "e");
	SAY("replace", rename, "f", "g");
	char b[4];
	observe("replaced", "read", ret_int(get_file("g", b, 4)), ARGS(), STATE(f_uint("links", lstat_of("g").st_nlink)));
}
