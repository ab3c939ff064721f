/* Numbers at the limit, flag words with more than the known bits, owners. */
#include "probe.h"

struct owner { int type, pid; };

static void limits(void)
{
	put_file("f", "x", 1);
	long f = must(sys(openat, AT_FDCWD, "f", O_RDWR));
	struct rlimit limit = {20, 20};
	must(sys(setrlimit, RLIMIT_NOFILE, &limit));
	observe("at_limit", "fcntl", ret_fd(sys(fcntl, f, F_DUPFD, 20)), ARGS(f_int("min", 20)), STATE());
	observe("past_limit", "fcntl", ret_fd(sys(fcntl, f, F_DUPFD, 21)), ARGS(f_int("min", 21)), STATE());
	observe("last", "fcntl", ret_int(sys(fcntl, f, F_DUPFD, 19)), ARGS(f_int("min", 19)), STATE(f_int("flags", fd_flags(19))));
	observe("last_taken", "fcntl", ret_fd(sys(fcntl, f, F_DUPFD_CLOEXEC, 19)), ARGS(f_int("min", 19)), STATE());
	observe("negative", "fcntl", ret_fd(sys(fcntl, f, F_DUPFD, -1)), ARGS(f_int("min", -1)), STATE());
	observe("dup2_at_limit", "dup2", ret_fd(sys(dup2, f, 20)), ARGS(), STATE());
	observe("dup2_last", "dup2", ret_int(sys(dup2, f, 19)), ARGS(), STATE());
	observe("dup3_at_limit", "dup3", ret_fd(sys(dup3, f, 20, 0)), ARGS(), STATE());
	observe("dup3_same", "dup3", ret_fd(sys(dup3, f, f, 0)), ARGS(), STATE());
	observe("dup3_same_closed", "dup3", ret_fd(sys(dup3, 15, 15, 0)), ARGS(), STATE());
	observe("dup3_flags", "dup3", ret_fd(sys(dup3, f, 15, O_NONBLOCK)), ARGS(), STATE(f_int("made", fd_flags(15))));
	observe("dup2_negative", "dup2", ret_fd(sys(dup2, f, -1)), ARGS(), STATE());
	observe("dup2_same_limit", "dup2", ret_fd(sys(dup2, 25, 25)), ARGS(), STATE());
	long r = sys(fcntl, f, F_SETFD, 2);
	observe("setfd_2", "fcntl", ret_int(r), ARGS(f_hex("flags", 2)), STATE(f_hex("flags", (uint64_t)fd_flags(f))));
	r = sys(fcntl, f, F_SETFD, 0xfffffffful);
	observe("setfd_all", "fcntl", ret_int(r), ARGS(), STATE(f_hex("flags", (uint64_t)fd_flags(f))));
	r = sys(fcntl, f, F_SETFD, 0x80);
	observe("setfd_off", "fcntl", ret_int(r), ARGS(), STATE(f_hex("flags", (uint64_t)fd_flags(f))));
}

static void status(void)
{
	long f = must(sys(openat, AT_FDCWD, "f", O_RDWR | O_CLOEXEC)), d = must(sys(dup, f)), wo = must(sys(openat, AT_FDCWD, "f", O_WRONLY | O_APPEND));
	long r = sys(fcntl, f, F_SETFL, O_APPEND | O_NONBLOCK);
	observe("setfl", "fcntl", ret_int(r), ARGS(), STATE(f_hex("flags", (uint64_t)status_flags(f)), f_hex("dup", (uint64_t)status_flags(d)), f_hex("fd", (uint64_t)fd_flags(f)), f_hex("fd_dup", (uint64_t)fd_flags(d))));
	must(sys(write, f, "yz", 2));
	r = sys(fcntl, f, F_SETFL, O_WRONLY | O_CREAT | O_TRUNC | O_EXCL | O_CLOEXEC | O_DIRECTORY);
	observe("setfl_ignored", "fcntl", ret_int(r), ARGS(), STATE(f_hex("flags", (uint64_t)status_flags(f)), f_int("size", lstat_of("f").st_size)));
	r = sys(fcntl, wo, F_SETFL, 0);
	must(sys(pwrite64, wo, "A", 1, 0));
	char data[8];
	long n = get_file("f", data, sizeof data);
	observe("append_off", "fcntl", ret_int(r), ARGS(), STATE(f_bytes("data", data, (size_t)n), f_hex("flags", (uint64_t)status_flags(wo))));
	r = sys(fcntl, f, F_SETFL, O_NOATIME);
	observe("noatime", "fcntl", ret_int(r), ARGS(), STATE(f_hex("flags", (uint64_t)status_flags(f))));
	long path = must(sys(openat, AT_FDCWD, "f", O_PATH));
	observe("path_setfl", "fcntl", ret_int(sys(fcntl, path, F_SETFL, 0)), ARGS(), STATE(f_hex("flags", (uint64_t)status_flags(path))));
}

static void owners(void)
{
	int p[2];
	make_pipe(p, 0);
	struct owner o = {99, 99};
	long r = sys(fcntl, p[0], F_GETOWN_EX, &o);
	observe("owner_none", "fcntl", ret_int(r), ARGS(), STATE(f_int("type", o.type), f_int("pid", o.pid)));
	o = (struct owner){F_OWNER_PID, (int)sys(getpid)};
	r = sys(fcntl, p[0], F_SETOWN_EX, &o);
	struct owner back = {99, 99};
	must(sys(fcntl, p[0], F_GETOWN_EX, &back));
	observe("owner_pid", "fcntl", ret_int(r), ARGS(), STATE(f_int("type", back.type), f_bool("me", back.pid == sys(getpid)), f_bool("own", sys(fcntl, p[0], F_GETOWN) == sys(getpid))));
	o = (struct owner){F_OWNER_PGRP, (int)sys(getpgid, 0)};
	r = sys(fcntl, p[0], F_SETOWN_EX, &o);
	must(sys(fcntl, p[0], F_GETOWN_EX, &back));
	observe("owner_group", "fcntl", ret_int(r), ARGS(), STATE(f_int("type", back.type), f_bool("me", back.pid == sys(getpgid, 0)), f_bool("own", sys(fcntl, p[0], F_GETOWN) == -sys(getpgid, 0))));
	o = (struct owner){F_OWNER_TID, (int)sys(gettid)};
	r = sys(fcntl, p[0], F_SETOWN_EX, &o);
	must(sys(fcntl, p[0], F_GETOWN_EX, &back));
	observe("owner_thread", "fcntl", ret_int(r), ARGS(), STATE(f_int("type", back.type), f_bool("me", back.pid == sys(gettid))));
	o = (struct owner){7, 1};
	observe("owner_bad_type", "fcntl", ret_int(sys(fcntl, p[0], F_SETOWN_EX, &o)), ARGS(), STATE());
	r = sys(fcntl, p[0], F_SETOWN, 0);
	must(sys(fcntl, p[0], F_GETOWN_EX, &back));
	observe("owner_off", "fcntl", ret_int(r), ARGS(), STATE(f_int("pid", back.pid)));
	observe("owner_missing", "fcntl", ret_int(sys(fcntl, p[0], F_SETOWN, 4000000)), ARGS(), STATE());
	observe("owner_minimum", "fcntl", ret_int(sys(fcntl, p[0], F_SETOWN, INT_MIN)), ARGS(), STATE());
	observe("signal_64", "fcntl", ret_int(sys(fcntl, p[0], F_SETSIG, 64)), ARGS(), STATE(f_int("signal", sys(fcntl, p[0], F_GETSIG))));
	observe("signal_65", "fcntl", ret_int(sys(fcntl, p[0], F_SETSIG, 65)), ARGS(), STATE(f_int("signal", sys(fcntl, p[0], F_GETSIG))));
}

PROBE("fcntl/edges", "at_limit", "past_limit", "last", "last_taken", "negative", "dup2_at_limit", "dup2_last", "dup3_at_limit", "dup3_same", "dup3_same_closed", "dup3_flags", "dup2_negative", "dup2_same_limit", "setfd_2", "setfd_all",
      "setfd_off", "setfl", "setfl_ignored", "append_off", "noatime", "path_setfl", "owner_none", "owner_pid", "owner_group", "owner_thread", "owner_bad_type", "owner_off", "owner_missing", "owner_minimum", "signal_64", "signal_65")
{
	limits();
	status();
	owners();
}
