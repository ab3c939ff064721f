/* Where offsets go, and where they can't. */
#include "probe.h"

PROBE("rw/lseek", "set", "cur", "end", "beyond", "hole", "negative", "whence", "pipe", "overflow")
{
	put_file("f", "abcdef", 6);
	long fd = must(sys(openat, AT_FDCWD, "f", O_RDWR));
#define SEEK(id, offset, whence) \
	observe(id, "lseek", ret_int(sys(lseek, fd, offset, whence)), ARGS(f_int("offset", offset), f_int("whence", whence)), \
		STATE(f_int("offset", tell(fd))))
	SEEK("set", 4, SEEK_SET);
	SEEK("cur", -3, SEEK_CUR);
	SEEK("end", -2, SEEK_END);
	SEEK("beyond", 9, SEEK_SET);
	char data[16];
	long n = sys(write, fd, "Z", 1);
	long len = get_file("f", data, sizeof data);
	observe("hole", "write", ret_int(n), ARGS(f_uint("count", 1)), STATE(f_bytes("data", data, (size_t)len)));
	SEEK("negative", -11, SEEK_CUR);
	SEEK("whence", 0, 99);
	SEEK("overflow", LONG_MAX, SEEK_CUR);
	int ends[2];
	make_pipe(ends, 0);
	observe("pipe", "lseek", ret_int(sys(lseek, ends[0], 0, SEEK_CUR)), ARGS(f_int("offset", 0)), STATE());
}
