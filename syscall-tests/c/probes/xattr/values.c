/* Extended attributes of a path: made, replaced, listed, removed; flags, sizes and names are checked. */
#include "probe.h"
#include <sys/xattr.h>

static long get(const char *name, char *buf, size_t cap)
{
	memset(buf, '.', 8);
	return sys(getxattr, "f", name, buf, cap);
}

PROBE("xattr/values", "create", "exists", "replace", "replace_missing", "bad_flags", "empty_value", "get", "size", "small", "absent",
      "list", "list_size", "list_small", "remove", "remove_absent", "bad_name", "no_namespace", "missing_file", "efault")
{
	put_file("f", "abc", 3);
	char data[8], names[64];
	long r = sys(setxattr, "f", "user.one", "1234", 4, XATTR_CREATE), n = get("user.one", data, 8);
	observe("create", "setxattr", ret_int(r), ARGS(f_hex("flags", XATTR_CREATE)), STATE(f_int("size", n), f_bytes("value", data, 8)));
	r = sys(setxattr, "f", "user.one", "x", 1, XATTR_CREATE), n = get("user.one", data, 8);
	observe("exists", "setxattr", ret_int(r), ARGS(f_hex("flags", XATTR_CREATE)), STATE(f_int("size", n), f_bytes("value", data, 8)));
	r = sys(setxattr, "f", "user.one", "new", 3, XATTR_REPLACE), n = get("user.one", data, 8);
	observe("replace", "setxattr", ret_int(r), ARGS(f_hex("flags", XATTR_REPLACE)), STATE(f_int("size", n), f_bytes("value", data, 8)));
	r = sys(setxattr, "f", "user.two", "x", 1, XATTR_REPLACE), n = get("user.two", data, 8);
	observe("replace_missing", "setxattr", ret_int(r), ARGS(f_hex("flags", XATTR_REPLACE)), STATE(f_errno("made", err_of(n))));
	observe("bad_flags", "setxattr", ret_int(sys(setxattr, "f", "user.two", "x", 1, 4)), ARGS(f_hex("flags", 4)),
		STATE(f_errno("made", err_of(get("user.two", data, 8)))));
	r = sys(setxattr, "f", "user.two", NULL, 0, 0), n = get("user.two", data, 8);
	observe("empty_value", "setxattr", ret_int(r), ARGS(f_uint("size", 0)), STATE(f_int("size", n), f_bytes("value", data, 8)));
	n = get("user.one", data, 8);
	observe("get", "getxattr", ret_int(n), ARGS(f_uint("size", 8)), STATE(f_bytes("value", data, 8)));
	observe("size", "getxattr", ret_int(sys(getxattr, "f", "user.one", NULL, 0)), ARGS(f_uint("size", 0)), STATE());
	n = get("user.one", data, 2);
	observe("small", "getxattr", ret_int(n), ARGS(f_uint("size", 2)), STATE(f_bytes("value", data, 8)));
	observe("absent", "getxattr", ret_int(get("user.three", data, 8)), ARGS(), STATE());
	memset(names, 0, sizeof names);
	n = sys(listxattr, "f", names, sizeof names);
	require(n < (long)sizeof names);
	bool one = n > 0 && memmem(names, (size_t)n, "user.one", 9), two = n > 0 && memmem(names, (size_t)n, "user.two", 9);
	observe("list", "listxattr", ret_int(n), ARGS(), STATE(f_bool("one", one), f_bool("two", two)));
	observe("list_size", "listxattr", ret_int(sys(listxattr, "f", NULL, 0)), ARGS(f_uint("size", 0)), STATE());
	observe("list_small", "listxattr", ret_int(sys(listxattr, "f", names, 10)), ARGS(f_uint("size", 10)), STATE());
	r = sys(removexattr, "f", "user.two");
	observe("remove", "removexattr", ret_int(r), ARGS(), STATE(f_errno("gone", err_of(get("user.two", data, 8))), f_int("other", get("user.one", data, 8))));
	observe("remove_absent", "removexattr", ret_int(sys(removexattr, "f", "user.two")), ARGS(), STATE());
	observe("bad_name", "setxattr", ret_int(sys(setxattr, "f", "", "x", 1, 0)), ARGS(f_str("name", "")), STATE());
	observe("no_namespace", "setxattr", ret_int(sys(setxattr, "f", "plain", "x", 1, 0)), ARGS(f_str("name", "plain")),
		STATE(f_errno("made", err_of(get("plain", data, 8)))));
	observe("missing_file", "getxattr", ret_int(sys(getxattr, "missing", "user.one", data, 8)), ARGS(), STATE());
	observe("efault", "getxattr", ret_int(sys(getxattr, "f", 8, data, 8)), ARGS(), STATE());
}
