/* Holes are found, and punched. */
#include "probe.h"
#include <linux/falloc.h>

PROBE("rw/holes", "data", "hole", "enxio", "keep_size", "punch", "punched_data")
{
	long fd = must(sys(openat, AT_FDCWD, "f", O_CREAT | O_RDWR, 0600));
	const long size = 256 * 1024;
	must(sys(ftruncate, fd, size));
	must(sys(pwrite64, fd, "data", 4, size / 2));
	observe("data", "lseek", ret_int(sys(lseek, fd, 0, SEEK_DATA)), ARGS(f_int("whence", SEEK_DATA)), STATE());
	long hole = sys(lseek, fd, size / 2, SEEK_HOLE);
	observe("hole", "lseek", ret_int(hole), ARGS(f_int("whence", SEEK_HOLE), f_int("offset", size / 2)), STATE());
	observe("enxio", "lseek", ret_int(sys(lseek, fd, size, SEEK_DATA)), ARGS(f_int("offset", size)), STATE());
	long r = sys(fallocate, fd, FALLOC_FL_KEEP_SIZE, 0, 2 * size);
	observe("keep_size", "fallocate", ret_int(r), ARGS(f_hex("mode", FALLOC_FL_KEEP_SIZE), f_int("len", 2 * size)),
		STATE(f_int("size", lstat_of("f").st_size), f_bool("blocks", lstat_of("f").st_blocks * 512 >= 2 * size)));
	r = sys(fallocate, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, size / 2, 4096);
	observe("punch", "fallocate", ret_int(r), ARGS(f_hex("mode", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)),
		STATE(f_int("size", lstat_of("f").st_size)));
	char data[5] = "....";
	long n = sys(pread64, fd, data, 4, size / 2);
	observe("punched_data", "pread64", ret_int(n), ARGS(f_int("offset", size / 2)), STATE(f_bytes("data", data, 4)));
}
