/* Names, modes and seals that memfd_create gives. */
#include "probe.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8u
#endif
#ifndef MFD_EXEC
#define MFD_EXEC 16u
#endif

PROBE("mm/memfd_flags", "longest_name", "too_long", "empty_name", "plain", "sealable", "noexec", "exec", "noexec_and_exec", "unknown_flag", "cloexec", "name_efault", "add_unsealable", "add_unknown",
      "seal_of_file", "seal_read_only", "grow_boundary", "shrink_boundary", "sealed_seal")
{
	static char name[300];
	char link[300] = "", path[40];
	memset(name, 'n', 249);
	long fd = sys(memfd_create, name, 0);
	snprintf(path, sizeof path, "/proc/self/fd/%ld", fd);
	long n = sys(readlink, path, link, sizeof link);
	observe("longest_name", "memfd_create", ret_fd(fd), ARGS(f_uint("length", 249)), STATE(f_int("link", n), f_strn("begin", link, 10)));
	memset(name, 'n', 250);
	observe("too_long", "memfd_create", ret_fd(sys(memfd_create, name, 0)), ARGS(f_uint("length", 250)), STATE());
	fd = sys(memfd_create, "", 0);
	snprintf(path, sizeof path, "/proc/self/fd/%ld", fd);
	n = sys(readlink, path, link, sizeof link);
	observe("empty_name", "memfd_create", ret_fd(fd), ARGS(), STATE(f_strn("link", link, n > 0 ? (size_t)n : 0)));
	struct kind {
		const char *id;
		unsigned flags;
	} const kinds[] = {{"plain", 0}, {"sealable", MFD_ALLOW_SEALING}, {"noexec", MFD_NOEXEC_SEAL}, {"exec", MFD_EXEC}};
	for (size_t i = 0; i < countof(kinds); i++) {
		fd = sys(memfd_create, "m", kinds[i].flags);
		struct stat st = fstat_of((int)fd);
		observe(kinds[i].id, "memfd_create", ret_fd(fd), ARGS(f_hex("flags", kinds[i].flags)),
			STATE(f_hex("mode", st.st_mode), f_hex("seals", (uint64_t)sys(fcntl, fd, F_GET_SEALS)), f_int("executable", sys(fchmod, fd, 0700)), f_hex("status", (uint64_t)status_flags(fd)), f_hex("cloexec", (uint64_t)fd_flags(fd))));
	}
	observe("noexec_and_exec", "memfd_create", ret_fd(sys(memfd_create, "m", MFD_NOEXEC_SEAL | MFD_EXEC)), ARGS(f_hex("flags", MFD_NOEXEC_SEAL | MFD_EXEC)), STATE());
	observe("unknown_flag", "memfd_create", ret_fd(sys(memfd_create, "m", 0x100)), ARGS(f_hex("flags", 0x100)), STATE());
	fd = sys(memfd_create, "m", MFD_CLOEXEC);
	observe("cloexec", "memfd_create", ret_fd(fd), ARGS(f_hex("flags", MFD_CLOEXEC)), STATE(f_hex("cloexec", (uint64_t)fd_flags(fd))));
	observe("name_efault", "memfd_create", ret_fd(sys(memfd_create, 8, 0)), ARGS(), STATE());
	fd = must(sys(memfd_create, "m", 0));
	long r = sys(fcntl, fd, F_ADD_SEALS, F_SEAL_GROW);
	observe("add_unsealable", "fcntl", ret_int(r), ARGS(f_hex("seals", F_SEAL_GROW)), STATE(f_int("write", sys(write, fd, "x", 1))));
	long sealed = must(sys(memfd_create, "m", MFD_ALLOW_SEALING));
	observe("add_unknown", "fcntl", ret_int(sys(fcntl, sealed, F_ADD_SEALS, 0x100)), ARGS(f_hex("seals", 0x100)), STATE());
	put_file("f", "x", 1);
	long file = must(sys(openat, AT_FDCWD, "f", O_RDWR));
	int p[2];
	make_pipe(p, 0);
	observe("seal_of_file", "fcntl", ret_int(sys(fcntl, p[0], F_GET_SEALS)), ARGS(), STATE(f_int("add", sys(fcntl, p[1], F_ADD_SEALS, F_SEAL_GROW))));
	(void)file;
	must(sys(write, sealed, "0123456789", 10));
	snprintf(path, sizeof path, "/proc/self/fd/%ld", sealed);
	long ro = must(sys(openat, AT_FDCWD, path, O_RDONLY));
	observe("seal_read_only", "fcntl", ret_int(sys(fcntl, ro, F_ADD_SEALS, F_SEAL_GROW)), ARGS(f_hex("seals", F_SEAL_GROW)), STATE(f_hex("seals", (uint64_t)sys(fcntl, ro, F_GET_SEALS))));
	must(sys(fcntl, sealed, F_ADD_SEALS, F_SEAL_GROW));
	observe("grow_boundary", "pwrite64", ret_int(sys(pwrite64, sealed, "ab", 2, 8)), ARGS(f_int("offset", 8)),
		STATE(f_int("beyond", sys(pwrite64, sealed, "ab", 2, 9)), f_int("same", sys(ftruncate, sealed, 10)), f_int("larger", sys(ftruncate, sealed, 11)), f_int("allocate", sys(fallocate, sealed, 0, 0, 11)), f_int("size", fstat_of((int)sealed).st_size)));
	must(sys(fcntl, sealed, F_ADD_SEALS, F_SEAL_SHRINK));
	observe("shrink_boundary", "ftruncate", ret_int(sys(ftruncate, sealed, 10)), ARGS(f_int("length", 10)), STATE(f_int("smaller", sys(ftruncate, sealed, 9)), f_int("size", fstat_of((int)sealed).st_size)));
	must(sys(fcntl, sealed, F_ADD_SEALS, F_SEAL_SEAL));
	observe("sealed_seal", "fcntl", ret_int(sys(fcntl, sealed, F_ADD_SEALS, F_SEAL_WRITE)), ARGS(f_hex("seals", F_SEAL_WRITE)), STATE(f_hex("seals", (uint64_t)sys(fcntl, sealed, F_GET_SEALS)), f_int("write", sys(pwrite64, sealed, "x", 1, 0))));
}
