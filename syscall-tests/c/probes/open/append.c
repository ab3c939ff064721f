/* O_APPEND moves every write to the end, pwrite64's too (pwrite(2), BUGS). */
#include "probe.h"

PROBE("open/append", "after_seek", "pwrite", "cleared")
{
	put_file("f", "abc", 3);
	long fd = must(sys(openat, AT_FDCWD, "f", O_RDWR | O_APPEND));
	must(sys(lseek, fd, 0, SEEK_SET));
	char data[32];
	long n = sys(write, fd, "DE", 2);
	long at = tell(fd);
	long len = get_file("f", data, sizeof data);
	observe("after_seek", "write", ret_int(n), ARGS(f_uint("count", 2)),
		STATE(f_bytes("data", data, (size_t)len), f_int("offset", at)));

	n = sys(pwrite64, fd, "FG", 2, 0);
	at = tell(fd);
	len = get_file("f", data, sizeof data);
	observe("pwrite", "pwrite64", ret_int(n), ARGS(f_uint("count", 2), f_int("offset", 0)),
		STATE(f_bytes("data", data, (size_t)len), f_int("offset", at)));

	long cleared = sys(fcntl, fd, F_SETFL, 0);
	must(sys(pwrite64, fd, "x", 1, 0));
	len = get_file("f", data, sizeof data);
	observe("cleared", "fcntl", ret_int(cleared), ARGS(f_hex("flags", 0)),
		STATE(f_bytes("data", data, (size_t)len), f_hex("status", status_flags(fd))));
}
