/* The l calls act on a symbolic link itself, which user attributes are refused to; the others follow it. */
#include "probe.h"
#include <sys/xattr.h>

PROBE("xattr/links", "follows", "set", "get", "get_link", "list", "list_link", "remove_link", "remove", "replace", "missing")
{
	put_file("f", "abc", 3);
	must(sys(symlink, "f", "l"));
	char data[8] = "", names[32] = "";
	long r = sys(setxattr, "l", "user.a", "12", 2, 0);
	observe("follows", "setxattr", ret_int(r), ARGS(), STATE(f_int("target", sys(lgetxattr, "f", "user.a", data, 8))));
	observe("set", "lsetxattr", ret_int(sys(lsetxattr, "l", "user.b", "3", 1, 0)), ARGS(), STATE(f_errno("target", err_of(sys(getxattr, "f", "user.b", data, 8)))));
	memset(data, '.', 8);
	long n = sys(lgetxattr, "f", "user.a", data, 8);
	observe("get", "lgetxattr", ret_int(n), ARGS(), STATE(f_bytes("value", data, 8)));
	observe("get_link", "lgetxattr", ret_int(sys(lgetxattr, "l", "user.a", data, 8)), ARGS(), STATE());
	n = sys(llistxattr, "f", names, sizeof names);
	observe("list", "llistxattr", ret_int(n), ARGS(), STATE(f_bytes("names", names, 16)));
	observe("list_link", "llistxattr", ret_int(sys(llistxattr, "l", names, sizeof names)), ARGS(), STATE());
	observe("remove_link", "lremovexattr", ret_int(sys(lremovexattr, "l", "user.a")), ARGS(), STATE(f_int("kept", sys(getxattr, "f", "user.a", data, 8))));
	r = sys(lremovexattr, "f", "user.a");
	observe("remove", "lremovexattr", ret_int(r), ARGS(), STATE(f_errno("gone", err_of(sys(getxattr, "f", "user.a", data, 8)))));
	r = sys(lsetxattr, "f", "user.c", "45", 2, XATTR_CREATE);
	long again = sys(lsetxattr, "f", "user.c", "6", 1, XATTR_CREATE);
	memset(data, '.', 8);
	n = sys(getxattr, "f", "user.c", data, 8);
	observe("replace", "lsetxattr", ret_int(r), ARGS(f_hex("flags", XATTR_CREATE)),
		STATE(f_errno("again", err_of(again)), f_int("size", n), f_bytes("value", data, 8)));
	observe("missing", "llistxattr", ret_int(sys(llistxattr, "missing", names, sizeof names)), ARGS(), STATE());
}
