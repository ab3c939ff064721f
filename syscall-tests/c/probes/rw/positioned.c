/* pread64 and pwrite64 leave the offset alone, fill holes with zeroes, refuse pipes and negative offsets. */
#include "probe.h"

PROBE("rw/positioned", "pwrite", "pread", "past_end", "negative", "pipe")
{
	put_file("f", "abcd", 4);
	long fd = must(sys(openat, AT_FDCWD, "f", O_RDWR));
	must(sys(lseek, fd, 1, SEEK_SET));
	char data[32];
	long n = sys(pwrite64, fd, "XY", 2, 6);
	long at = tell(fd), len = get_file("f", data, sizeof data);
	observe("pwrite", "pwrite64", ret_int(n), ARGS(f_int("offset", 6)),
		STATE(f_int("offset", at), f_bytes("data", data, (size_t)len)));
	memset(data, 0, sizeof data);
	n = sys(pread64, fd, data, 3, 2);
	observe("pread", "pread64", ret_int(n), ARGS(f_int("offset", 2), f_uint("count", 3)),
		STATE(f_bytes("buffer", data, 4), f_int("offset", tell(fd))));
	observe("past_end", "pread64", ret_int(sys(pread64, fd, data, 3, 100)), ARGS(f_int("offset", 100)), STATE());
	observe("negative", "pread64", ret_int(sys(pread64, fd, data, 3, -1)), ARGS(f_int("offset", -1)), STATE());
	int ends[2];
	make_pipe(ends, 0);
	must(sys(write, ends[1], "pp", 2));
	observe("pipe", "pread64", ret_int(sys(pread64, ends[0], data, 2, 0)), ARGS(f_int("offset", 0)), STATE());
}
