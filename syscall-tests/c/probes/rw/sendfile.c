/* Copies between descriptors, with and without an offset of their own. */
#include "probe.h"

PROBE("rw/sendfile", "offset", "current", "write_only", "copy", "copy_flags")
{
	put_file("from", "0123456789", 10);
	long from = must(sys(openat, AT_FDCWD, "from", O_RDONLY)), to = must(sys(openat, AT_FDCWD, "to", O_CREAT | O_WRONLY, 0600));
	int64_t at = 6;
	char data[32];
	long n = sys(sendfile, to, from, &at, 3);
	long len = get_file("to", data, sizeof data);
	observe("offset", "sendfile", ret_int(n), ARGS(f_int("offset", 6), f_uint("count", 3)),
		STATE(f_int("after", at), f_int("in_offset", tell(from)), f_bytes("data", data, (size_t)len)));
	n = sys(sendfile, to, from, NULL, 100);
	len = get_file("to", data, sizeof data);
	observe("current", "sendfile", ret_int(n), ARGS(f_uint("count", 100)),
		STATE(f_int("in_offset", tell(from)), f_bytes("data", data, (size_t)len)));
	observe("write_only", "sendfile", ret_int(sys(sendfile, from, to, NULL, 1)), ARGS(f_uint("count", 1)), STATE());
	int64_t in = 2, out = 1;
	n = sys(copy_file_range, from, &in, to, &out, 4, 0);
	len = get_file("to", data, sizeof data);
	observe("copy", "copy_file_range", ret_int(n), ARGS(f_int("in", 2), f_int("out", 1), f_uint("len", 4)),
		STATE(f_int("in", in), f_int("out", out), f_bytes("data", data, (size_t)len)));
	observe("copy_flags", "copy_file_range", ret_int(sys(copy_file_range, from, &in, to, &out, 1, 1)), ARGS(f_hex("flags", 1)), STATE());
}
