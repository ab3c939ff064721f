/* One call moves megabytes: reads and writes of a regular file are short only at its end. */
#include "probe.h"

enum { SIZE = 5 << 20, PIECE = 3 << 20 };

static bool is_pattern(const uint32_t *words, size_t bytes, size_t from)
{
	for (size_t i = 0; i < bytes / 4; i++)
		if (words[i] != (uint32_t)(from / 4 + i))
			return false;
	return true;
}

PROBE("rw/large", "write", "read", "rest", "pread", "readv", "sendfile", "copy")
{
	uint32_t *out = pages(SIZE / 4096, false), *in = pages(SIZE / 4096, false);
	for (size_t i = 0; i < SIZE / 4; i++)
		out[i] = (uint32_t)i;
	long fd = must(sys(openat, AT_FDCWD, "f", O_CREAT | O_RDWR, 0600));
	long n = sys(write, fd, out, SIZE);
	observe("write", "write", ret_int(n), ARGS(f_uint("count", SIZE)), STATE(f_int("size", lstat_of("f").st_size), f_int("offset", tell(fd))));
	must(sys(lseek, fd, 0, SEEK_SET));
	n = sys(read, fd, in, PIECE);
	observe("read", "read", ret_int(n), ARGS(f_uint("count", PIECE)), STATE(f_bool("data", is_pattern(in, PIECE, 0)), f_int("offset", tell(fd))));
	n = sys(read, fd, in, PIECE);
	observe("rest", "read", ret_int(n), ARGS(f_uint("count", PIECE)), STATE(f_bool("data", is_pattern(in, SIZE - PIECE, PIECE)), f_int("offset", tell(fd))));
	n = sys(pread64, fd, in, PIECE, 4096);
	observe("pread", "pread64", ret_int(n), ARGS(f_uint("count", PIECE)), STATE(f_bool("data", is_pattern(in, PIECE, 4096)), f_int("offset", tell(fd))));
	must(sys(lseek, fd, 4, SEEK_SET));
	struct iovec parts[2] = {{in, PIECE}, {(char *)in + PIECE, 1 << 20}};
	n = sys(readv, fd, parts, 2);
	observe("readv", "readv", ret_int(n), ARGS(f_uint("count", PIECE)), STATE(f_bool("data", is_pattern(in, PIECE + (1 << 20), 4)), f_int("offset", tell(fd))));
	long to = must(sys(openat, AT_FDCWD, "to", O_CREAT | O_RDWR, 0600));
	must(sys(lseek, fd, 0, SEEK_SET));
	n = sys(sendfile, to, fd, NULL, PIECE);
	observe("sendfile", "sendfile", ret_int(n), ARGS(f_uint("count", PIECE)), STATE(f_int("size", lstat_of("to").st_size), f_int("offset", tell(fd))));
	int64_t at = 0;
	n = sys(copy_file_range, fd, &at, to, NULL, PIECE, 0);
	long got = sys(pread64, to, in, PIECE, PIECE);
	observe("copy", "copy_file_range", ret_int(n), ARGS(f_uint("count", PIECE)), STATE(f_int("read", got), f_bool("data", is_pattern(in, PIECE, 0)), f_int("at", at), f_int("offset", tell(to))));
}
