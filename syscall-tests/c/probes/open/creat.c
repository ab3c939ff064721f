/* creat(2) and open(2), the old forms, with the umask applied. */
#include "probe.h"

PROBE("open/creat", "creat", "creat_again", "open")
{
	must(sys(umask, 027));
	long fd = sys(creat, "f", 0666);
	must(sys(write, fd, "data", 4));
	observe("creat", "creat", ret_fd(fd), ARGS(f_hex("mode", 0666)),
		STATE(f_hex("mode", lstat_of("f").st_mode), f_hex("status", status_flags(fd)), f_int("size", lstat_of("f").st_size)));
	long again = sys(creat, "f", 0600);
	observe("creat_again", "creat", ret_fd(again), ARGS(f_hex("mode", 0600)),
		STATE(f_hex("mode", lstat_of("f").st_mode), f_int("size", lstat_of("f").st_size)));
	fd = sys(open, "g", O_CREAT | O_RDWR | O_CLOEXEC, 0777);
	observe("open", "open", ret_fd(fd), ARGS(f_hex("flags", O_CREAT | O_RDWR | O_CLOEXEC), f_hex("mode", 0777)),
		STATE(f_hex("mode", lstat_of("g").st_mode), f_hex("fd_flags", fd_flags(fd))));
}
