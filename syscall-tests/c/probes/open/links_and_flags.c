/* How O_CREAT, O_EXCL, O_NOFOLLOW, O_DIRECTORY and O_TRUNC act on links, directories and files that exist. */
#include "probe.h"

static void look(const char *id, const char *path, int flags)
{
	long fd = sys(openat, AT_FDCWD, path, flags, 0640);
	observe(id, "openat", ret_int(fd >= 0 ? 0 : fd), ARGS(f_str("path", path), f_hex("flags", (uint64_t)flags)),
		STATE(f_errno("target", lstat_errno("target")), f_int("size", lstat_of("f").st_size), f_hex("status", fd >= 0 ? (uint64_t)status_flags(fd) : 0), f_int("cloexec", fd >= 0 ? fd_flags(fd) : 0)));
	if (fd >= 0)
		sys(close, fd);
	sys(unlink, "target");
}

PROBE("open/links_and_flags", "dangling", "dangling_excl", "dangling_creat", "dangling_nofollow", "dangling_creat_nofollow", "link", "link_excl",
      "link_nofollow", "link_path", "link_trunc_excl", "loop", "loop_excl", "loop_creat", "directory_creat", "directory_excl", "directory_rdwr",
      "directory_trunc", "directory_append", "directory_link", "directory_link_nofollow", "directory_link_slash", "file_directory",
      "file_directory_creat", "file_slash", "file_creat_slash", "missing_directory_creat", "excl_alone", "creat_existing_mode", "path_creat",
      "path_cloexec", "tmpfile_excl", "tmpfile_file", "tmpfile_no_directory", "nonblock_file", "sync", "direct", "link_chain", "empty", "dot_creat",
      "dotdot_excl", "in_file", "append_trunc", "accmode_3", "link_trunc", "trunc_rdonly")
{
	put_file("f", "0123456789", 10);
	must(sys(mkdirat, AT_FDCWD, "d", 0755));
	must(sys(symlinkat, "target", AT_FDCWD, "dangling"));
	must(sys(symlinkat, "f", AT_FDCWD, "link"));
	must(sys(symlinkat, "loop", AT_FDCWD, "loop"));
	must(sys(symlinkat, "d", AT_FDCWD, "dlink"));
	must(sys(symlinkat, "dangling", AT_FDCWD, "chain"));
	look("dangling", "dangling", O_RDONLY);
	look("dangling_excl", "dangling", O_CREAT | O_EXCL | O_RDWR);
	look("dangling_creat", "dangling", O_CREAT | O_RDWR);
	look("dangling_nofollow", "dangling", O_NOFOLLOW);
	look("dangling_creat_nofollow", "dangling", O_CREAT | O_NOFOLLOW | O_RDWR);
	look("link", "link", O_RDONLY | O_CLOEXEC);
	look("link_excl", "link", O_CREAT | O_EXCL | O_RDWR);
	look("link_nofollow", "link", O_NOFOLLOW);
	look("link_path", "link", O_PATH | O_NOFOLLOW);
	look("link_trunc_excl", "link", O_CREAT | O_EXCL | O_TRUNC | O_RDWR);
	look("loop", "loop", O_RDONLY);
	look("loop_excl", "loop", O_CREAT | O_EXCL | O_RDWR);
	look("loop_creat", "loop", O_CREAT | O_RDWR);
	look("directory_creat", "d", O_CREAT);
	look("directory_excl", "d", O_CREAT | O_EXCL);
	look("directory_rdwr", "d", O_RDWR);
	look("directory_trunc", "d", O_TRUNC);
	look("directory_append", "d", O_APPEND);
	look("directory_link", "dlink", O_DIRECTORY);
	look("directory_link_nofollow", "dlink", O_DIRECTORY | O_NOFOLLOW);
	look("directory_link_slash", "dlink/", O_DIRECTORY | O_NOFOLLOW);
	look("file_directory", "f", O_DIRECTORY);
	look("file_directory_creat", "f", O_DIRECTORY | O_CREAT);
	look("file_slash", "f/", O_RDONLY);
	look("file_creat_slash", "new/", O_CREAT | O_RDWR);
	look("missing_directory_creat", "new", O_CREAT | O_DIRECTORY | O_RDWR);
	look("excl_alone", "f", O_EXCL);
	look("creat_existing_mode", "f", O_CREAT | O_RDONLY);
	look("path_creat", "target", O_PATH | O_CREAT);
	look("path_cloexec", "f", O_PATH | O_CLOEXEC | O_RDWR | O_APPEND);
	look("tmpfile_excl", ".", O_TMPFILE | O_EXCL | O_RDWR);
	look("tmpfile_file", "f", O_TMPFILE | O_RDWR);
	look("tmpfile_no_directory", "missing", O_TMPFILE | O_RDWR);
	look("nonblock_file", "f", O_RDONLY | O_NONBLOCK);
	look("sync", "f", O_RDWR | O_SYNC | O_DSYNC);
	look("direct", "d", O_RDONLY | O_DIRECTORY | O_NOATIME);
	look("link_chain", "chain", O_CREAT | O_RDWR);
	look("empty", "", O_CREAT | O_RDWR);
	look("dot_creat", ".", O_CREAT | O_RDWR);
	look("dotdot_excl", "..", O_CREAT | O_EXCL);
	look("in_file", "f/x", O_CREAT | O_RDWR);
	look("append_trunc", "f", O_RDWR | O_APPEND);
	look("accmode_3", "f", 3);
	look("link_trunc", "link", O_WRONLY | O_TRUNC);
	must(sys(truncate, "f", 10));
	look("trunc_rdonly", "f", O_RDONLY | O_TRUNC);
}
