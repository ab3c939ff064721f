/* What fallocate does and refuses. */
#include "probe.h"
#include <linux/falloc.h>

static void look(const char *id, long fd, int mode, long offset, long len)
{
	long r = sys(fallocate, fd, mode, offset, len);
	char b[16];
	long n = sys(pread64, fd, b, 12, 0);
	observe(id, "fallocate", ret_int(r), ARGS(f_hex("mode", (uint64_t)mode), f_int("offset", offset), f_int("len", len)),
		STATE(f_int("size", fstat_of((int)fd).st_size), f_bytes("data", b, n > 0 ? (size_t)n : 0), f_int("position", tell(fd))));
}

PROBE("rw/allocate", "inside", "grows", "keep_size", "punch_alone", "punch_part", "punch_past", "punch_all", "length_0", "length_negative", "offset_negative", "overflow", "read_only", "path", "pipe", "directory", "closed", "unknown_mode", "punch_and_zero", "after_keep")
{
	long fd = must(sys(openat, AT_FDCWD, "f", O_CREAT | O_RDWR, 0600));
	must(sys(write, fd, "0123456789", 10));
	look("inside", fd, 0, 2, 3);
	look("grows", fd, 0, 4, 20);
	look("keep_size", fd, FALLOC_FL_KEEP_SIZE, 10, 5000);
	look("punch_alone", fd, FALLOC_FL_PUNCH_HOLE, 0, 4);
	look("punch_part", fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2, 3);
	look("punch_past", fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 20, 5000);
	look("punch_all", fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096);
	look("length_0", fd, 0, 0, 0);
	look("length_negative", fd, 0, 0, -1);
	look("offset_negative", fd, 0, -1, 1);
	look("overflow", fd, 0, LONG_MAX, 1);
	long ro = must(sys(openat, AT_FDCWD, "f", O_RDONLY)), path = must(sys(openat, AT_FDCWD, "f", O_PATH)), dir = must(sys(openat, AT_FDCWD, ".", O_RDONLY));
	int p[2];
	make_pipe(p, 0);
#define SAY(id, ...) observe(id, "fallocate", ret_int(sys(fallocate, __VA_ARGS__)), ARGS(), STATE())
	SAY("read_only", ro, 0, 0, 1);
	SAY("path", path, 0, 0, 1);
	SAY("pipe", p[1], 0, 0, 1);
	SAY("directory", dir, 0, 0, 1);
	SAY("closed", 4000, 0, 0, 0);
	SAY("unknown_mode", fd, 0x4000, 0, 1);
	SAY("punch_and_zero", fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 0, 1);
	look("after_keep", fd, FALLOC_FL_KEEP_SIZE, 0, 100);
}
