/* Attributes through a descriptor outlive the name; a bad or path-only descriptor is refused. */
#include "probe.h"
#include <sys/xattr.h>

PROBE("xattr/descriptors", "set", "exists", "get", "small", "list", "list_size", "remove", "absent", "path_only", "ebadf_set", "ebadf_get", "ebadf_list", "ebadf_remove")
{
	put_file("f", "abc", 3);
	long fd = must(sys(openat, AT_FDCWD, "f", O_RDONLY)), path = must(sys(openat, AT_FDCWD, "f", O_PATH));
	char data[8], names[32] = "";
	long r = sys(fsetxattr, fd, "user.a", "123", 3, XATTR_CREATE);
	observe("set", "fsetxattr", ret_int(r), ARGS(f_hex("flags", XATTR_CREATE)), STATE(f_int("by_path", sys(getxattr, "f", "user.a", data, 8))));
	observe("exists", "fsetxattr", ret_int(sys(fsetxattr, fd, "user.a", "1", 1, XATTR_CREATE)), ARGS(f_hex("flags", XATTR_CREATE)),
		STATE(f_int("by_path", sys(getxattr, "f", "user.a", data, 8))));
	must(sys(unlink, "f"));
	memset(data, '.', 8);
	long n = sys(fgetxattr, fd, "user.a", data, 8);
	observe("get", "fgetxattr", ret_int(n), ARGS(), STATE(f_bytes("value", data, 8)));
	observe("small", "fgetxattr", ret_int(sys(fgetxattr, fd, "user.a", data, 1)), ARGS(f_uint("size", 1)), STATE());
	n = sys(flistxattr, fd, names, sizeof names);
	observe("list", "flistxattr", ret_int(n), ARGS(), STATE(f_bytes("names", names, 16)));
	observe("list_size", "flistxattr", ret_int(sys(flistxattr, fd, NULL, 0)), ARGS(f_uint("size", 0)), STATE());
	r = sys(fremovexattr, fd, "user.a");
	observe("remove", "fremovexattr", ret_int(r), ARGS(), STATE(f_errno("gone", err_of(sys(fgetxattr, fd, "user.a", data, 8)))));
	observe("absent", "fremovexattr", ret_int(sys(fremovexattr, fd, "user.a")), ARGS(), STATE());
	observe("path_only", "fgetxattr", ret_int(sys(fgetxattr, path, "user.a", data, 8)), ARGS(f_fd("fd", path)), STATE());
	observe("ebadf_set", "fsetxattr", ret_int(sys(fsetxattr, 4000, "user.a", "1", 1, 0)), ARGS(f_int("fd", 4000)), STATE());
	observe("ebadf_get", "fgetxattr", ret_int(sys(fgetxattr, 4000, "user.a", data, 8)), ARGS(f_int("fd", 4000)), STATE());
	observe("ebadf_list", "flistxattr", ret_int(sys(flistxattr, 4000, names, 8)), ARGS(f_int("fd", 4000)), STATE());
	observe("ebadf_remove", "fremovexattr", ret_int(sys(fremovexattr, 4000, "user.a")), ARGS(f_int("fd", 4000)), STATE());
}
