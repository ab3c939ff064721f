/* SEEK_DATA and SEEK_HOLE at the edges, and where the position is afterwards. */
#include "probe.h"

static void look(const char *id, long fd, long offset, int whence)
{
	must(sys(lseek, fd, 77, SEEK_SET));
	long r = sys(lseek, fd, offset, whence);
	observe(id, "lseek", ret_int(r), ARGS(f_int("offset", offset), f_int("whence", whence)), STATE(f_int("position", tell(fd))));
}

PROBE("rw/seek_data", "data_start", "data_last", "data_end", "data_past", "data_negative", "hole_start", "hole_last", "hole_end", "hole_past", "hole_negative",
      "data_in_hole", "hole_in_hole", "data_last_hole", "hole_before_data", "data_empty", "hole_empty", "bad_whence", "executable_hole", "executable_data", "executable_past", "directory_end")
{
	long fd = must(sys(openat, AT_FDCWD, "f", O_CREAT | O_RDWR, 0600));
	static char block[8192];
	must(sys(write, fd, block, 8192));
	look("data_start", fd, 0, SEEK_DATA);
	look("data_last", fd, 8191, SEEK_DATA);
	look("data_end", fd, 8192, SEEK_DATA);
	look("data_past", fd, 8193, SEEK_DATA);
	look("data_negative", fd, -1, SEEK_DATA);
	look("hole_start", fd, 0, SEEK_HOLE);
	look("hole_last", fd, 8191, SEEK_HOLE);
	look("hole_end", fd, 8192, SEEK_HOLE);
	look("hole_past", fd, 8193, SEEK_HOLE);
	look("hole_negative", fd, -1, SEEK_HOLE);
	must(sys(ftruncate, fd, 0));
	must(sys(pwrite64, fd, block, 4096, 1 << 20));
	must(sys(ftruncate, fd, 2 << 20));
	look("data_in_hole", fd, 65536, SEEK_DATA);
	look("hole_in_hole", fd, 65536, SEEK_HOLE);
	look("data_last_hole", fd, (1 << 20) + 4096, SEEK_DATA);
	look("hole_before_data", fd, 1 << 20, SEEK_HOLE);
	long empty = must(sys(openat, AT_FDCWD, "empty", O_CREAT | O_RDWR, 0600));
	look("data_empty", empty, 0, SEEK_DATA);
	look("hole_empty", empty, 0, SEEK_HOLE);
	look("bad_whence", fd, 0, 5);
	/* The host's file, whatever its size. */
	long exe = must(sys(openat, AT_FDCWD, "/proc/self/exe", O_RDONLY));
	int64_t size = fstat_of((int)exe).st_size;
	long hole = sys(lseek, exe, 0, SEEK_HOLE);
	observe("executable_hole", "lseek", ret_bool(hole == size), ARGS(f_int("whence", SEEK_HOLE)), STATE(f_bool("position", tell(exe) == size)));
	look("executable_data", exe, 0, SEEK_DATA);
	long n = sys(pread64, exe, block, 10, size + 1);
	long at_end = sys(pread64, exe, block, 10, size);
	observe("executable_past", "pread64", ret_int(n), ARGS(), STATE(f_int("at_end", at_end), f_int("before_end", sys(pread64, exe, block, 10, size - 3))));
	long dir = must(sys(openat, AT_FDCWD, ".", O_RDONLY));
	observe("directory_end", "lseek", ret_bool(sys(lseek, dir, 5, SEEK_SET) == 5), ARGS(), STATE(f_int("position", tell(dir))));
}
