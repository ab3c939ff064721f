/* Positioned vectors, the offset -1 of the second forms, and their flags. */
#include "probe.h"

PROBE("rw/preadv2", "pwritev", "preadv", "current", "append", "unknown_flag")
{
	put_file("f", "0123456789", 10);
	long fd = must(sys(openat, AT_FDCWD, "f", O_RDWR));
	char a[3] = "", b[3] = "", data[32];
	struct iovec out[] = {{"AB", 2}, {"C", 1}}, in[] = {{a, 2}, {b, 2}};
	long n = sys(pwritev, fd, out, 2, 4, 0);
	long len = get_file("f", data, sizeof data);
	observe("pwritev", "pwritev", ret_int(n), ARGS(f_int("offset", 4)),
		STATE(f_bytes("data", data, (size_t)len), f_int("offset", tell(fd))));
	n = sys(preadv, fd, in, 2, 3, 0);
	observe("preadv", "preadv", ret_int(n), ARGS(f_int("offset", 3)),
		STATE(f_str("first", a), f_str("second", b), f_int("offset", tell(fd))));
	n = sys(preadv2, fd, in, 2, -1, 0, 0);
	observe("current", "preadv2", ret_int(n), ARGS(f_int("offset", -1)),
		STATE(f_str("first", a), f_str("second", b), f_int("offset", tell(fd))));
	n = sys(pwritev2, fd, out, 2, 0, 0, 0x10);
	len = get_file("f", data, sizeof data);
	observe("append", "pwritev2", ret_int(n), ARGS(f_int("offset", 0), f_hex("flags", 0x10)),
		STATE(f_bytes("data", data, (size_t)len)));
	n = sys(preadv2, fd, in, 2, 0, 0, 0x40000000);
	observe("unknown_flag", "preadv2", ret_int(n), ARGS(f_hex("flags", 0x40000000)), STATE());
}
