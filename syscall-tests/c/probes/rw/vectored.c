/* Vectors are taken in order; too many, negative or bad ones are refused. */
#include "probe.h"

PROBE("rw/vectored", "writev", "readv", "empty", "count", "length", "efault")
{
	long fd = must(sys(openat, AT_FDCWD, "f", O_CREAT | O_RDWR, 0600));
	char a[4] = "....", b[4] = "....", data[32];
	struct iovec out[] = {{"one", 3}, {"", 0}, {"three", 5}};
	long n = sys(writev, fd, out, 3);
	long len = get_file("f", data, sizeof data);
	observe("writev", "writev", ret_int(n), ARGS(f_int("count", 3)),
		STATE(f_bytes("data", data, (size_t)len), f_int("offset", tell(fd))));
	must(sys(lseek, fd, 1, SEEK_SET));
	struct iovec in[] = {{a, 3}, {b, 4}, {data, 100}};
	memset(data, 0, sizeof data);
	n = sys(readv, fd, in, 3);
	observe("readv", "readv", ret_int(n), ARGS(f_int("count", 3)),
		STATE(f_bytes("first", a, 4), f_bytes("second", b, 4), f_bytes("third", data, 2), f_int("offset", tell(fd))));
	observe("empty", "readv", ret_int(sys(readv, fd, in, 0)), ARGS(f_int("count", 0)), STATE());
	observe("count", "readv", ret_int(sys(readv, fd, in, IOV_MAX + 1)), ARGS(f_int("count", IOV_MAX + 1)), STATE());
	struct iovec huge[] = {{a, 1}, {b, (size_t)-1}};
	observe("length", "writev", ret_int(sys(writev, fd, huge, 2)), ARGS(f_int("count", 2)),
		STATE(f_int("size", lstat_of("f").st_size)));
	observe("efault", "writev", ret_int(sys(writev, fd, 8, 2)), ARGS(f_int("count", 2)),
		STATE(f_int("size", lstat_of("f").st_size)));
}
