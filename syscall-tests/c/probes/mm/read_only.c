/* A file that was opened for reading is mapped for reading; private pages are the program's own. */
#include "probe.h"

PROBE("mm/read_only", "shared", "coherent", "upgrade", "write", "private", "memfd", "memfd_upgrade", "memfd_write")
{
	char page[4096], data[8] = "", path[64];
	memset(page, 'a', sizeof page);
	put_file("f", page, 4096);
	long ro = must(sys(openat, AT_FDCWD, "f", O_RDONLY)), rw = must(sys(openat, AT_FDCWD, "f", O_RDWR));
	long r = sys(mmap, NULL, 4096, PROT_READ, MAP_SHARED, ro, 0);
	char *shared = (char *)must(r);
	observe("shared", "mmap", ret_addr(r), ARGS(f_hex("prot", PROT_READ)), STATE(f_bytes("memory", shared, 4)));
	long n = sys(pwrite64, rw, "new", 3, 1);
	observe("coherent", "pwrite64", ret_int(n), ARGS(f_int("offset", 1)), STATE(f_bytes("memory", shared, 5)));
	r = sys(mprotect, shared, 4096, PROT_READ | PROT_WRITE);
	observe("upgrade", "mprotect", ret_int(r), ARGS(f_hex("prot", PROT_READ | PROT_WRITE)), STATE(f_bytes("memory", shared, 5)));
	r = sys(mmap, NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, ro, 0);
	observe("write", "mmap", ret_addr(r), ARGS(f_hex("prot", PROT_READ | PROT_WRITE)), STATE());
	r = sys(mmap, NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, rw, 0);
	char *private = (char *)must(r);
	memcpy(private, "own", 3);
	get_file("f", data, 5);
	observe("private", "mmap", ret_addr(r), ARGS(f_hex("flags", MAP_PRIVATE)), STATE(f_bytes("memory", private, 5), f_bytes("file", data, 5), f_bytes("shared", shared, 5)));

	long fd = must(sys(memfd_create, "name", 0));
	must(sys(pwrite64, fd, "text", 4, 0));
	snprintf(path, sizeof path, "/proc/self/fd/%ld", fd);
	ro = must(sys(openat, AT_FDCWD, path, O_RDONLY));
	r = sys(mmap, NULL, 4096, PROT_READ, MAP_SHARED, ro, 0);
	shared = (char *)must(r);
	must(sys(pwrite64, fd, "T", 1, 0));
	observe("memfd", "mmap", ret_addr(r), ARGS(f_hex("prot", PROT_READ)), STATE(f_bytes("memory", shared, 5)));
	r = sys(mprotect, shared, 4096, PROT_READ | PROT_WRITE);
	observe("memfd_upgrade", "mprotect", ret_int(r), ARGS(f_hex("prot", PROT_READ | PROT_WRITE)), STATE(f_bytes("memory", shared, 5)));
	r = sys(mmap, NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, ro, 0);
	observe("memfd_write", "mmap", ret_addr(r), ARGS(f_hex("prot", PROT_READ | PROT_WRITE)), STATE());
}
