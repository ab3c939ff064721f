/* Which error wins where several are due, of positioned and vectored calls. */
#include "probe.h"

PROBE("rw/precedence", "pread_write_end", "pwrite_read_end", "pread_pipe_negative", "pread_write_only", "pwrite_read_only", "pread_closed_negative", "pread_directory",
      "preadv_write_end", "pwritev_read_end", "preadv_negative", "preadv_write_only", "read_append_flag", "write_append_flag", "write_append_read_only", "unknown_flag", "current_pipe",
      "nowait_file", "dsync_read", "count_0_write_only", "read_0_bad_pointer", "iov_0", "iov_1025", "iov_negative", "iov_closed", "write_end_read", "path_read")
{
	int p[2];
	make_pipe(p, 0);
	char data[16] = "................";
	put_file("f", "0123456789", 10);
	long wo = must(sys(openat, AT_FDCWD, "f", O_WRONLY)), ro = must(sys(openat, AT_FDCWD, "f", O_RDONLY)), rw = must(sys(openat, AT_FDCWD, "f", O_RDWR));
	long dir = must(sys(openat, AT_FDCWD, ".", O_RDONLY)), path = must(sys(openat, AT_FDCWD, "f", O_PATH));
	struct iovec v = {data, 4};
#define SAY(id, call, ...) observe(id, #call, ret_int(sys(call, __VA_ARGS__)), ARGS(), STATE())
	SAY("pread_write_end", pread64, p[1], data, 1, 0);
	SAY("pwrite_read_end", pwrite64, p[0], data, 1, 0);
	SAY("pread_pipe_negative", pread64, p[0], data, 1, -1);
	SAY("pread_write_only", pread64, wo, data, 1, 0);
	SAY("pwrite_read_only", pwrite64, ro, data, 1, 0);
	SAY("pread_closed_negative", pread64, 4000, data, 1, -1);
	SAY("pread_directory", pread64, dir, data, 1, 0);
	SAY("preadv_write_end", preadv, p[1], &v, 1, 0);
	SAY("pwritev_read_end", pwritev, p[0], &v, 1, 0);
	SAY("preadv_negative", preadv, rw, &v, 1, -1, -1);
	SAY("preadv_write_only", preadv, wo, &v, 1, 0);
	SAY("read_append_flag", preadv2, rw, &v, 1, 0, 0, 0x10);
	long n = sys(pwritev2, rw, &v, 1, 0, 0, 0x10);
	observe("write_append_flag", "pwritev2", ret_int(n), ARGS(), STATE(f_int("size", lstat_of("f").st_size), f_int("offset", tell(rw))));
	SAY("write_append_read_only", pwritev2, ro, &v, 1, 0, 0, 0x10);
	SAY("unknown_flag", preadv2, rw, &v, 1, 0, 0, 0x40000000);
	must(sys(write, p[1], "ab", 2));
	SAY("current_pipe", preadv2, p[0], &v, 1, -1, -1, 0);
	n = sys(preadv2, ro, &v, 1, -1, -1, 0);
	observe("nowait_file", "preadv2", ret_int(n), ARGS(), STATE(f_int("offset", tell(ro))));
	SAY("dsync_read", preadv2, ro, &v, 1, 0, 0, 2);
	SAY("count_0_write_only", read, wo, data, 0);
	SAY("read_0_bad_pointer", read, ro, 8, 0);
	SAY("iov_0", readv, ro, &v, 0);
	SAY("iov_1025", readv, ro, &v, 1025);
	SAY("iov_negative", readv, ro, &v, -1);
	SAY("iov_closed", readv, 4000, 8, 1025);
	SAY("write_end_read", read, p[1], data, 1);
	SAY("path_read", read, path, data, 1);
}
