/* Shrinking cuts, growing adds zeroes, the offset stays. */
#include "probe.h"

PROBE("truncate/sizes", "shrink", "grow", "fshrink", "read_only", "negative", "directory", "missing")
{
	put_file("f", "0123456789", 10);
	char data[32];
	long r = sys(truncate, "f", 4);
	long len = get_file("f", data, sizeof data);
	observe("shrink", "truncate", ret_int(r), ARGS(f_int("length", 4)), STATE(f_bytes("data", data, (size_t)len)));
	r = sys(truncate, "f", 7);
	len = get_file("f", data, sizeof data);
	observe("grow", "truncate", ret_int(r), ARGS(f_int("length", 7)), STATE(f_bytes("data", data, (size_t)len)));
	long fd = must(sys(openat, AT_FDCWD, "f", O_RDWR));
	must(sys(lseek, fd, 5, SEEK_SET));
	r = sys(ftruncate, fd, 2);
	len = get_file("f", data, sizeof data);
	observe("fshrink", "ftruncate", ret_int(r), ARGS(f_int("length", 2)),
		STATE(f_bytes("data", data, (size_t)len), f_int("offset", tell(fd))));
	long ro = must(sys(openat, AT_FDCWD, "f", O_RDONLY));
	observe("read_only", "ftruncate", ret_int(sys(ftruncate, ro, 0)), ARGS(f_int("length", 0)),
		STATE(f_int("size", lstat_of("f").st_size)));
	observe("negative", "truncate", ret_int(sys(truncate, "f", -1)), ARGS(f_int("length", -1)), STATE());
	observe("directory", "truncate", ret_int(sys(truncate, ".", 0)), ARGS(f_str("path", ".")), STATE());
	observe("missing", "truncate", ret_int(sys(truncate, "missing", 0)), ARGS(), STATE(f_errno("exists", lstat_errno("missing"))));
}
