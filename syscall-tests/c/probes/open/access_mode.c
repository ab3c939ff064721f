/* A descriptor allows what it was opened for. */
#include "probe.h"

PROBE("open/access_mode", "write_read_only", "read_write_only", "status_rdonly", "status_rdwr")
{
	put_file("f", "abc", 3);
	long ro = must(sys(openat, AT_FDCWD, "f", O_RDONLY)), wo = must(sys(openat, AT_FDCWD, "f", O_WRONLY));
	long rw = must(sys(openat, AT_FDCWD, "f", O_RDWR | O_NONBLOCK));
	char data[8] = "untouch";
	long n = sys(write, ro, "XYZ", 3);
	char now[8];
	long len = get_file("f", now, sizeof now);
	observe("write_read_only", "write", ret_int(n), ARGS(f_fd("fd", ro)), STATE(f_bytes("data", now, (size_t)len)));
	n = sys(read, wo, data, 3);
	observe("read_write_only", "read", ret_int(n), ARGS(f_fd("fd", wo)),
		STATE(f_str("buffer", data), f_int("offset", tell(wo))));
	observe("status_rdonly", "fcntl", ret_hex(sys(fcntl, ro, F_GETFL)), ARGS(f_fd("fd", ro)), STATE());
	observe("status_rdwr", "fcntl", ret_hex(sys(fcntl, rw, F_GETFL)), ARGS(f_fd("fd", rw)), STATE());
}
