/* File mappings: shared writes reach the file, private ones don't, and the file's later changes show. */
#include "probe.h"

PROBE("mm/file", "shared", "private", "tail", "coherent", "msync", "read_only_fd", "ebadf", "directory")
{
	char data[16], page[4096];
	memset(page, 'a', sizeof page);
	put_file("f", page, 4096);
	put_file("f2", "tail", 4);
	long fd = must(sys(openat, AT_FDCWD, "f", O_RDWR)), ro = must(sys(openat, AT_FDCWD, "f", O_RDONLY));
	long r = sys(mmap, NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	char *shared = (char *)must(r);
	memcpy(shared + 1, "SH", 2);
	get_file("f", data, 4);
	observe("shared", "mmap", ret_addr(r), ARGS(f_hex("flags", MAP_SHARED)), STATE(f_bytes("file", data, 4)));
	r = sys(mmap, NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, ro, 0);
	char *private = (char *)must(r);
	memcpy(private + 1, "pr", 2);
	get_file("f", data, 4);
	observe("private", "mmap", ret_addr(r), ARGS(f_hex("flags", MAP_PRIVATE)), STATE(f_bytes("file", data, 4), f_bytes("memory", private, 4)));
	long fd2 = must(sys(openat, AT_FDCWD, "f2", O_RDONLY));
	r = sys(mmap, NULL, 4096, PROT_READ, MAP_PRIVATE, fd2, 0);
	observe("tail", "mmap", ret_addr(r), ARGS(f_hex("prot", PROT_READ)), STATE(f_bytes("memory", (char *)r, 8), f_int("last", ((char *)r)[4095])));
	long n = sys(pwrite64, fd, "new", 3, 100);
	observe("coherent", "pwrite64", ret_int(n), ARGS(f_int("offset", 100)), STATE(f_bytes("memory", shared + 99, 5)));
	shared[7] = 'M';
	r = sys(msync, shared, 4096, MS_SYNC);
	must(sys(pread64, fd, data, 3, 6));
	observe("msync", "msync", ret_int(r), ARGS(f_hex("flags", MS_SYNC)), STATE(f_bytes("file", data, 3)));
	observe("read_only_fd", "mmap", ret_addr(sys(mmap, NULL, 4096, PROT_WRITE, MAP_SHARED, ro, 0)), ARGS(f_hex("prot", PROT_WRITE)), STATE());
	observe("ebadf", "mmap", ret_addr(sys(mmap, NULL, 4096, PROT_READ, MAP_PRIVATE, 4000, 0)), ARGS(f_int("fd", 4000)), STATE());
	long dir = must(sys(openat, AT_FDCWD, ".", O_RDONLY));
	observe("directory", "mmap", ret_addr(sys(mmap, NULL, 4096, PROT_READ, MAP_PRIVATE, dir, 0)), ARGS(f_fd("fd", dir)), STATE());
}
