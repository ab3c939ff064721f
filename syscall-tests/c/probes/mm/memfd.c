/* Anonymous files are files; seals hold. */
#include "probe.h"

PROBE("mm/memfd", "create", "seal", "shrink_sealed", "write_sealed", "unsealable", "bad_flags")
{
	long fd = sys(memfd_create, "name", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	char link[64] = "", path[64];
	must(sys(ftruncate, fd, 8192));
	snprintf(path, sizeof path, "/proc/self/fd/%ld", fd);
	long n = sys(readlink, path, link, sizeof link - 1);
	observe("create", "memfd_create", ret_fd(fd), ARGS(f_hex("flags", MFD_CLOEXEC | MFD_ALLOW_SEALING)),
		STATE(f_int("size", fstat_of((int)fd).st_size), f_hex("mode", fstat_of((int)fd).st_mode), f_strn("link", link, n > 0 ? (size_t)n : 0), f_hex("fd_flags", fd_flags(fd))));
	long r = sys(fcntl, fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_WRITE);
	observe("seal", "fcntl", ret_int(r), ARGS(f_hex("seals", F_SEAL_SHRINK | F_SEAL_WRITE)), STATE(f_hex("seals", (uint64_t)sys(fcntl, fd, F_GET_SEALS))));
	observe("shrink_sealed", "ftruncate", ret_int(sys(ftruncate, fd, 4096)), ARGS(f_int("length", 4096)), STATE(f_int("size", fstat_of((int)fd).st_size)));
	observe("write_sealed", "write", ret_int(sys(write, fd, "x", 1)), ARGS(f_uint("count", 1)), STATE(f_int("offset", tell(fd))));
	long other = must(sys(memfd_create, "other", 0));
	r = sys(fcntl, other, F_ADD_SEALS, F_SEAL_WRITE);
	observe("unsealable", "fcntl", ret_int(r), ARGS(f_hex("seals", F_SEAL_WRITE)), STATE(f_hex("seals", (uint64_t)sys(fcntl, other, F_GET_SEALS))));
	observe("bad_flags", "memfd_create", ret_fd(sys(memfd_create, "n", 0x100)), ARGS(f_hex("flags", 0x100)), STATE());
}
