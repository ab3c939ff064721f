/* Each seal by itself: what it refuses and what not. */
#include "probe.h"
#include <linux/falloc.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8u
#define MFD_EXEC 16u
#endif
#define SEAL_EXEC 0x20

static const struct { const char *id; int seal; } seals[] = {{"none", 0}, {"seal", 1}, {"shrink", 2}, {"grow", 4}, {"write", 8}, {"future", 16}, {"exec", SEAL_EXEC}};

static long sealed(int seal)
{
	long fd = must(sys(memfd_create, "m", MFD_ALLOW_SEALING));
	must(sys(write, fd, "0123456789", 10));
	if (seal)
		must(sys(fcntl, fd, F_ADD_SEALS, seal));
	return fd;
}

static const char *errnos(long r) { return errno_name(err_of(r)); }

PROBE("mm/seals", "none", "seal", "shrink", "grow", "write", "future", "exec", "grow_part", "grow_gap", "grow_append", "add_same", "unknown", "read_only", "unsealable", "noexec", "noexec_unseal", "exec_flag", "both", "exec_of_executable", "pipe", "name_249", "name_250", "name_slash", "name_empty", "cloexec", "reopened", "future_mapped",
      "write_mapped", "write_mapped_read")
{
	for (size_t i = 0; i < countof(seals); i++) {
		int s = seals[i].seal;
		long fd = sealed(s);
		long write_ = sys(pwrite64, fd, "x", 1, 0), over = sys(pwrite64, fd, "xy", 2, 9), shrink = sys(ftruncate, fd, 5), grow = sys(ftruncate, fd, 20), same = sys(ftruncate, fd, fstat_of((int)fd).st_size);
		long allocate = sys(fallocate, fd, 0, 0, 30), keep = sys(fallocate, fd, 1, 0, 40), punch = sys(fallocate, fd, 3, 0, 4), map = sys(mmap, NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		long map_read = sys(mmap, NULL, 4096, PROT_READ, MAP_SHARED, fd, 0), mode = sys(fchmod, fd, 0600), more = sys(fcntl, fd, F_ADD_SEALS, F_SEAL_SHRINK);
		observe(seals[i].id, "fcntl", ret_hex(sys(fcntl, fd, F_GET_SEALS)), ARGS(f_hex("seals", (uint64_t)s)),
			STATE(f_str("write", errnos(write_)), f_int("over", over), f_str("shrink", errnos(shrink)), f_str("grow", errnos(grow)), f_str("same", errnos(same)), f_str("allocate", errnos(allocate)), f_str("keep", errnos(keep)), f_str("punch", errnos(punch)),
			      f_str("map", errnos(map)), f_str("map_read", errnos(map_read)), f_str("mode", errnos(mode)), f_str("more", errnos(more)), f_int("size", fstat_of((int)fd).st_size)));
	}
	long fd = sealed(F_SEAL_GROW);
	must(sys(lseek, fd, 8, SEEK_SET));
	long n = sys(write, fd, "abcd", 4);
	observe("grow_part", "write", ret_int(n), ARGS(), STATE(f_int("size", fstat_of((int)fd).st_size), f_int("position", tell(fd))));
	n = sys(pwrite64, fd, "abcd", 4, 5000);
	observe("grow_gap", "pwrite64", ret_int(n), ARGS(), STATE(f_int("size", fstat_of((int)fd).st_size)));
	must(sys(fcntl, fd, F_SETFL, O_APPEND));
	n = sys(write, fd, "a", 1);
	observe("grow_append", "write", ret_int(n), ARGS(), STATE(f_int("size", fstat_of((int)fd).st_size)));
	observe("add_same", "fcntl", ret_int(sys(fcntl, fd, F_ADD_SEALS, F_SEAL_GROW)), ARGS(), STATE());
	observe("unknown", "fcntl", ret_int(sys(fcntl, fd, F_ADD_SEALS, 0x1000)), ARGS(), STATE(f_hex("seals", (uint64_t)sys(fcntl, fd, F_GET_SEALS))));
	char path[64];
	snprintf(path, sizeof path, "/proc/self/fd/%ld", fd);
	long ro = must(sys(openat, AT_FDCWD, path, O_RDONLY));
	observe("read_only", "fcntl", ret_int(sys(fcntl, ro, F_ADD_SEALS, F_SEAL_SHRINK)), ARGS(), STATE(f_hex("seals", (uint64_t)sys(fcntl, ro, F_GET_SEALS))));
	fd = must(sys(memfd_create, "u", 0));
	observe("unsealable", "fcntl", ret_int(sys(fcntl, fd, F_ADD_SEALS, F_SEAL_GROW)), ARGS(), STATE(f_hex("seals", (uint64_t)sys(fcntl, fd, F_GET_SEALS)), f_hex("mode", fstat_of((int)fd).st_mode)));
	fd = sys(memfd_create, "n", MFD_NOEXEC_SEAL);
	long up = sys(fchmod, fd, 0700), same = sys(fchmod, fd, 0644);
	observe("noexec", "memfd_create", ret_bool(fd >= 0), ARGS(f_hex("flags", MFD_NOEXEC_SEAL)), STATE(f_hex("seals", (uint64_t)sys(fcntl, fd, F_GET_SEALS)), f_str("chmod_x", errnos(up)), f_str("chmod", errnos(same)), f_hex("mode", fstat_of((int)fd).st_mode)));
	observe("noexec_unseal", "fcntl", ret_int(sys(fcntl, fd, F_ADD_SEALS, F_SEAL_SEAL)), ARGS(), STATE(f_hex("seals", (uint64_t)sys(fcntl, fd, F_GET_SEALS))));
	fd = sys(memfd_create, "e", MFD_EXEC);
	observe("exec_flag", "memfd_create", ret_bool(fd >= 0), ARGS(f_hex("flags", MFD_EXEC)), STATE(f_hex("seals", (uint64_t)sys(fcntl, fd, F_GET_SEALS)), f_hex("mode", fstat_of((int)fd).st_mode)));
	observe("both", "memfd_create", ret_fd(sys(memfd_create, "b", MFD_EXEC | MFD_NOEXEC_SEAL)), ARGS(), STATE());
	fd = must(sys(memfd_create, "x", MFD_ALLOW_SEALING));
	long r = sys(fcntl, fd, F_ADD_SEALS, SEAL_EXEC);
	observe("exec_of_executable", "fcntl", ret_int(r), ARGS(), STATE(f_hex("seals", (uint64_t)sys(fcntl, fd, F_GET_SEALS))));
	int p[2];
	make_pipe(p, 0);
	observe("pipe", "fcntl", ret_int(sys(fcntl, p[0], F_GET_SEALS)), ARGS(), STATE());
	char name[300];
	memset(name, 'n', sizeof name);
	name[249] = 0;
	observe("name_249", "memfd_create", ret_bool(sys(memfd_create, name, 0) >= 0), ARGS(), STATE());
	name[249] = 'n', name[250] = 0;
	observe("name_250", "memfd_create", ret_int(sys(memfd_create, name, 0)), ARGS(), STATE());
	char link[64] = "";
	fd = must(sys(memfd_create, "a/b", MFD_CLOEXEC));
	snprintf(path, sizeof path, "/proc/self/fd/%ld", fd);
	n = sys(readlink, path, link, sizeof link);
	observe("name_slash", "memfd_create", ret_bool(true), ARGS(), STATE(f_strn("link", link, n > 0 ? (size_t)n : 0)));
	observe("name_empty", "memfd_create", ret_bool(sys(memfd_create, "", 0) >= 0), ARGS(), STATE());
	observe("cloexec", "fcntl", ret_int(fd_flags(fd)), ARGS(), STATE(f_hex("status", (uint64_t)status_flags(fd)), f_uint("links", fstat_of((int)fd).st_nlink)));
	must(sys(write, fd, "abc", 3));
	long again = sys(openat, AT_FDCWD, path, O_RDWR);
	n = sys(read, again, link, 10);
	observe("reopened", "openat", ret_bool(again >= 0), ARGS(), STATE(f_int("read", n), f_int("position", tell(fd))));
	fd = sealed(0);
	must(sys(mmap, NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	observe("future_mapped", "fcntl", ret_int(sys(fcntl, fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE)), ARGS(), STATE());
	observe("write_mapped", "fcntl", ret_int(sys(fcntl, fd, F_ADD_SEALS, F_SEAL_WRITE)), ARGS(), STATE(f_hex("seals", (uint64_t)sys(fcntl, fd, F_GET_SEALS))));
	fd = sealed(0);
	must(sys(mmap, NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0));
	observe("write_mapped_read", "fcntl", ret_int(sys(fcntl, fd, F_ADD_SEALS, F_SEAL_WRITE)), ARGS(), STATE(f_hex("seals", (uint64_t)sys(fcntl, fd, F_GET_SEALS))));
}
