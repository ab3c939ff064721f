/* Seals against writing: not while a writable mapping is there, and no mapping writes after them. */
#include "probe.h"

PROBE("mm/sealed", "busy", "future", "old_mapping", "new_mapping", "new_readable", "sealed", "write_mapping", "read_mapping", "upgrade", "private", "grow")
{
	char data[8] = "";
	long fd = must(sys(memfd_create, "name", MFD_ALLOW_SEALING));
	must(sys(pwrite64, fd, "text", 4, 0));
	must(sys(ftruncate, fd, 8192));
	char *memory = (char *)must(sys(mmap, NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	long r = sys(fcntl, fd, F_ADD_SEALS, F_SEAL_WRITE);
	long n = sys(pwrite64, fd, "T", 1, 0);
	observe("busy", "fcntl", ret_int(r), ARGS(f_hex("seals", F_SEAL_WRITE)),
		STATE(f_hex("seals", (uint64_t)sys(fcntl, fd, F_GET_SEALS)), f_int("written", n), f_bytes("memory", memory, 5)));

	r = sys(fcntl, fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE);
	n = sys(pwrite64, fd, "X", 1, 0);
	observe("future", "fcntl", ret_int(r), ARGS(f_hex("seals", F_SEAL_FUTURE_WRITE)),
		STATE(f_hex("seals", (uint64_t)sys(fcntl, fd, F_GET_SEALS)), f_int("written", n)));
	memory[1] = 'E';
	n = sys(pread64, fd, data, 5, 0);
	observe("old_mapping", "pread64", ret_int(n), ARGS(f_int("offset", 0)), STATE(f_bytes("file", data, 5)));
	r = sys(mmap, NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	observe("new_mapping", "mmap", ret_addr(r), ARGS(f_hex("prot", PROT_READ | PROT_WRITE)), STATE());
	r = sys(mmap, NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	observe("new_readable", "mmap", ret_addr(r), ARGS(f_hex("prot", PROT_READ)), STATE(f_bytes("memory", (char *)must(r), 5)));

	must(sys(munmap, memory, 4096));
	r = sys(fcntl, fd, F_ADD_SEALS, F_SEAL_WRITE);
	n = sys(pread64, fd, data, 5, 0);
	observe("sealed", "fcntl", ret_int(r), ARGS(f_hex("seals", F_SEAL_WRITE)),
		STATE(f_hex("seals", (uint64_t)sys(fcntl, fd, F_GET_SEALS)), f_int("read", n), f_bytes("file", data, 5)));
	r = sys(mmap, NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	observe("write_mapping", "mmap", ret_addr(r), ARGS(f_hex("prot", PROT_READ | PROT_WRITE)), STATE());
	r = sys(mmap, NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	memory = (char *)must(r);
	observe("read_mapping", "mmap", ret_addr(r), ARGS(f_hex("prot", PROT_READ)), STATE(f_bytes("memory", memory, 5)));
	r = sys(mprotect, memory, 4096, PROT_READ | PROT_WRITE);
	observe("upgrade", "mprotect", ret_int(r), ARGS(f_hex("prot", PROT_READ | PROT_WRITE)), STATE(f_bytes("memory", memory, 5)));
	r = sys(mmap, NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	char *private = (char *)must(r);
	private[0] = 'p';
	observe("private", "mmap", ret_addr(r), ARGS(f_hex("flags", MAP_PRIVATE)), STATE(f_bytes("own", private, 5), f_bytes("memory", memory, 5)));
	r = sys(ftruncate, fd, 1 << 20);
	n = sys(pread64, fd, data, 4, (1 << 20) - 4);
	observe("grow", "ftruncate", ret_int(r), ARGS(f_int("length", 1 << 20)),
		STATE(f_int("size", fstat_of((int)fd).st_size), f_int("read", n), f_bytes("tail", data, 4)));
}
