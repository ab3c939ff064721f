/* read and write advance the one offset; reading at the end gives 0. */
#include "probe.h"

PROBE("rw/offset", "write", "read", "short", "end", "zero")
{
	long fd = must(sys(openat, AT_FDCWD, "f", O_CREAT | O_RDWR, 0600));
	char data[32];
	long n = sys(write, fd, "0123456789", 10);
	long at = tell(fd), len = get_file("f", data, sizeof data);
	observe("write", "write", ret_int(n), ARGS(f_uint("count", 10)),
		STATE(f_int("offset", at), f_bytes("data", data, (size_t)len), f_int("size", lstat_of("f").st_size)));
	must(sys(lseek, fd, 2, SEEK_SET));
	memset(data, 'z', sizeof data);
	n = sys(read, fd, data, 4);
	observe("read", "read", ret_int(n), ARGS(f_uint("count", 4)), STATE(f_bytes("buffer", data, 6), f_int("offset", tell(fd))));
	memset(data, 'z', sizeof data);
	n = sys(read, fd, data, sizeof data);
	observe("short", "read", ret_int(n), ARGS(f_uint("count", sizeof data)),
		STATE(f_bytes("buffer", data, 8), f_int("offset", tell(fd))));
	n = sys(read, fd, data, sizeof data);
	observe("end", "read", ret_int(n), ARGS(f_uint("count", sizeof data)), STATE(f_int("offset", tell(fd))));
	n = sys(write, fd, (void *)8, 0);
	observe("zero", "write", ret_int(n), ARGS(f_uint("count", 0)), STATE(f_int("size", lstat_of("f").st_size)));
}
