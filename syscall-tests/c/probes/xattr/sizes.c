/* Buffers that just fit, and names that just do. */
#include "probe.h"
#include <sys/xattr.h>

PROBE("xattr/sizes", "get_exact", "get_less", "get_0", "get_more", "get_empty", "list_exact", "list_less", "list_0", "list_none", "name_255", "name_256", "name_empty", "name_prefix", "name_unknown", "bad_flags", "both_flags", "create", "create_again", "replace", "replace_missing",
      "remove_missing", "get_missing", "get_efault", "set_path_fd", "fd_read_only", "replaced_shorter", "longest", "longest_read", "too_long")
{
	char b[512];
	put_file("f", "x", 1);
	put_file("g", "x", 1);
	must(sys(setxattr, "f", "user.name", "value", 5, 0));
#define GET(id, call, ...)                                                                                            \
	do {                                                                                                          \
		memset(b, '#', sizeof b);                                                                             \
		long r_ = sys(call, __VA_ARGS__);                                                                     \
		observe(id, #call, ret_int(r_), ARGS(), STATE(f_bytes("buffer", b, 12)));                             \
	} while (0)
#define SAY(id, call, ...) observe(id, #call, ret_int(sys(call, __VA_ARGS__)), ARGS(), STATE())
	GET("get_exact", getxattr, "f", "user.name", b, 5);
	GET("get_less", getxattr, "f", "user.name", b, 4);
	GET("get_0", getxattr, "f", "user.name", b, 0);
	GET("get_more", getxattr, "f", "user.name", b, 6);
	must(sys(setxattr, "g", "user.e", "", 0, 0));
	GET("get_empty", getxattr, "g", "user.e", b, 5);
	GET("list_exact", listxattr, "f", b, 10);
	GET("list_less", listxattr, "f", b, 9);
	GET("list_0", listxattr, "f", b, 0);
	must(sys(removexattr, "g", "user.e"));
	GET("list_none", listxattr, "g", b, 100);
	static char name[300] = "user.";
	memset(name + 5, 'n', 250);
	SAY("name_255", setxattr, "g", name, "v", 1, 0);
	name[255] = 'n';
	SAY("name_256", setxattr, "g", name, "v", 1, 0);
	SAY("name_empty", setxattr, "g", "", "v", 1, 0);
	SAY("name_prefix", setxattr, "g", "user.", "v", 1, 0);
	SAY("name_unknown", setxattr, "g", "other.x", "v", 1, 0);
	static char big[100];
	must(sys(setxattr, "g", "user.big", big, 100, 0));
	SAY("bad_flags", setxattr, "g", "user.x", "v", 1, 4);
	SAY("both_flags", setxattr, "g", "user.x", "v", 1, 3);
	SAY("create", setxattr, "g", "user.x", "v", 1, XATTR_CREATE);
	SAY("create_again", setxattr, "g", "user.x", "w", 1, XATTR_CREATE);
	SAY("replace", setxattr, "g", "user.x", "longer", 6, XATTR_REPLACE);
	SAY("replace_missing", setxattr, "g", "user.y", "v", 1, XATTR_REPLACE);
	SAY("remove_missing", removexattr, "g", "user.y");
	SAY("get_missing", getxattr, "g", "user.y", b, 5);
	SAY("get_efault", getxattr, "g", "user.x", 8, 100);
	long path = must(sys(openat, AT_FDCWD, "g", O_PATH)), ro = must(sys(openat, AT_FDCWD, "g", O_RDONLY));
	SAY("set_path_fd", fsetxattr, path, "user.x", "v", 1, 0);
	SAY("fd_read_only", fsetxattr, ro, "user.x", "vw", 2, 0);
	GET("replaced_shorter", getxattr, "g", "user.x", b, 100);
	/* Of a file in memory: a disk's may hold less. */
	static char most[65537];
	long memory = must(sys(memfd_create, "m", 0));
	SAY("longest", fsetxattr, memory, "user.big", most, 65536, 0);
	SAY("longest_read", fgetxattr, memory, "user.big", NULL, 0);
	SAY("too_long", fsetxattr, memory, "user.big", most, 65537, 0);
}
