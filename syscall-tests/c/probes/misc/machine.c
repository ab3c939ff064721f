/* Random bytes up to a hole, and the sizes that sysinfo gives. */
#include "probe.h"
#include <sys/sysinfo.h>

PROBE("misc/machine", "up_to_hole", "all_hole", "small_over_hole", "flags_together", "unknown_flag", "nothing", "nonblock", "insecure", "sysinfo", "sysinfo_efault", "uname_efault")
{
	char *at = pages(3, false);
	must(sys(munmap, at + 8192, 4096));
	long r = sys(getrandom, at, 12288, 0);
	bool filled = false;
	for (int i = 4096; i < 8192; i++)
		filled |= at[i] != 0;
	observe("up_to_hole", "getrandom", ret_int(r), ARGS(f_uint("buflen", 12288)), STATE(f_bool("filled", filled)));
	observe("all_hole", "getrandom", ret_int(sys(getrandom, at + 8192, 4096, 0)), ARGS(), STATE());
	observe("small_over_hole", "getrandom", ret_int(sys(getrandom, at + 8192 - 10, 20, 0)), ARGS(f_uint("buflen", 20)), STATE());
	observe("flags_together", "getrandom", ret_int(sys(getrandom, at, 8, 6)), ARGS(f_hex("flags", 6)), STATE());
	observe("unknown_flag", "getrandom", ret_int(sys(getrandom, at, 8, 8)), ARGS(f_hex("flags", 8)), STATE());
	observe("nothing", "getrandom", ret_int(sys(getrandom, at, 0, 0)), ARGS(f_uint("buflen", 0)), STATE(f_int("bad_buffer", sys(getrandom, 8, 0, 0))));
	observe("nonblock", "getrandom", ret_int(sys(getrandom, at, 300, 1)), ARGS(f_hex("flags", 1)), STATE());
	observe("insecure", "getrandom", ret_int(sys(getrandom, at, 256, 4)), ARGS(f_hex("flags", 4)), STATE());
	struct sysinfo s;
	memset(&s, 0xff, sizeof s);
	r = sys(sysinfo, &s);
	observe("sysinfo", "sysinfo", ret_int(r), ARGS(),
		STATE(f_bool("unit", s.mem_unit == 1), f_bool("total", s.totalram > s.freeram && s.freeram > 0), f_bool("procs", s.procs > 0), f_bool("uptime", s.uptime > 0 && s.uptime < 100000000), f_uint("high", s.totalhigh + s.freehigh)));
	observe("sysinfo_efault", "sysinfo", ret_int(sys(sysinfo, 8)), ARGS(), STATE());
	observe("uname_efault", "uname", ret_int(sys(uname, 8)), ARGS(), STATE());
}
