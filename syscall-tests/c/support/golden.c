/* The same values as rust/src/golden.rs. */
#include "encode.h"

void golden(void (*emit)(struct line *))
{
	struct line line = {0};
	const char *const plan[] = {"first", "second \"quoted\""};
	line_plan(&line, plan, countof(plan));
	struct fields args = ARGS(f_int("int", INT64_MIN), f_uint("uint", UINT64_MAX), f_hex("hex", 0x80042),
				  f_hex("hex0", 0), f_bool("yes", true), f_bool("no", false), f_fd("fd", -100),
				  f_pid("pid", 4711), f_ino("ino", 1ull << 63), f_dev("dev", 2049),
				  f_addr("addr", (void *)0x7fff12345678), f_addr("null", NULL));
	struct fields state = STATE(
		f_str("str", "tab\there \"and\" back\\slash \x7f \xc3\xa4\xe2\x82\xac\xf0\x9f\xa6\x80"),
		f_str("broken_utf8", "a\xff\xc3z\xed\xa0\x80\xc0\xaf\xe2\x82"), f_strn("nul", "a\0b", 3), f_str("empty", ""),
		f_bytes("bytes", "\x00\x01\xfe\xff", 4), f_bytes("no_bytes", "", 0), f_errno("errno", ENOENT),
		f_errno("none", 0), f_errno("unknown", 4000), f_time("time", 1700000000123456789),
		f_dur("dur", 1200000, 1000000, 500000000), f_rel("lt", -1, 1), f_rel("eq", 2, 2), f_rel("gt", 3, 2),
		f_value("set", v_set(v_int(2), v_int(1))), f_list("list", v_str("a"), v_list(v_bool(true))),
		f_list("no_list"), f_map("map", f_int("x", -7), f_map("inner")));
	line_observation(&line, "first", "openat", ret_fd(3), args, state);
	line_observation(&line, "second \"quoted\"", "mkdir", ret_int(-EEXIST), ARGS(), STATE());
	line_observation(&line, "ret", "mmap", ret_addr(-4096), ARGS(), STATE());
	line_observation(&line, "ret", "lseek", ret_int(1ll << 40), ARGS(), STATE());
	line_broken(&line, "mkdir: EACCES");
	line_end(&line);
	emit(&line);
}
