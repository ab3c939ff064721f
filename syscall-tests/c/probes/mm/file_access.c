/* Which mappings a descriptor allows, now and later, and which error comes first. */
#include "probe.h"

PROBE("mm/file_access", "write_only_private", "write_only_shared", "read_only_shared", "read_only_writable", "later_writable", "later_private", "unknown_validated", "unknown_shared", "noreplace_validated", "sync_validated", "validated",
      "no_type", "both_types", "bad_fd_zero_length", "zero_length", "unaligned", "unaligned_bad_fd", "overflow", "directory", "pipe", "path_only")
{
	static char data[8192];
	put_file("f", data, sizeof data);
	long wo = must(sys(openat, AT_FDCWD, "f", O_WRONLY)), ro = must(sys(openat, AT_FDCWD, "f", O_RDONLY)), rw = must(sys(openat, AT_FDCWD, "f", O_RDWR));
	long dir = must(sys(openat, AT_FDCWD, ".", O_RDONLY)), path = must(sys(openat, AT_FDCWD, "f", O_PATH));
	int p[2];
	make_pipe(p, 0);
#define MAP(length, prot, flags, fd, offset) ret_addr(sys(mmap, NULL, length, prot, flags, fd, offset))
	observe("write_only_private", "mmap", MAP(4096, PROT_READ, MAP_PRIVATE, wo, 0), ARGS(f_hex("flags", MAP_PRIVATE)), STATE());
	observe("write_only_shared", "mmap", MAP(4096, PROT_WRITE, MAP_SHARED, wo, 0), ARGS(f_hex("flags", MAP_SHARED)), STATE());
	long at = sys(mmap, NULL, 4096, PROT_READ, MAP_SHARED, ro, 0);
	observe("read_only_shared", "mmap", ret_bool(err_of(at) == 0), ARGS(f_hex("flags", MAP_SHARED)), STATE());
	observe("read_only_writable", "mmap", MAP(4096, PROT_READ | PROT_WRITE, MAP_SHARED, ro, 0), ARGS(f_hex("flags", MAP_SHARED)), STATE());
	observe("later_writable", "mprotect", ret_int(sys(mprotect, at, 4096, PROT_READ | PROT_WRITE)), ARGS(), STATE());
	at = must(sys(mmap, NULL, 4096, PROT_READ, MAP_PRIVATE, ro, 0));
	long r = sys(mprotect, at, 4096, PROT_READ | PROT_WRITE);
	if (r == 0)
		*(volatile char *)at = 'x';
	char byte = 1;
	must(sys(pread64, ro, &byte, 1, 0));
	observe("later_private", "mprotect", ret_int(r), ARGS(), STATE(f_int("file", byte)));
	observe("unknown_validated", "mmap", MAP(4096, PROT_READ, MAP_SHARED_VALIDATE | 0x200000, rw, 0), ARGS(f_hex("flags", MAP_SHARED_VALIDATE | 0x200000)), STATE());
	observe("unknown_shared", "mmap", ret_bool(err_of(sys(mmap, NULL, 4096, PROT_READ, MAP_SHARED | 0x200000, rw, 0)) == 0), ARGS(f_hex("flags", MAP_SHARED | 0x200000)), STATE());
	char *hole = pages(1, false);
	must(sys(munmap, hole, 4096));
	r = sys(mmap, hole, 4096, PROT_READ, MAP_SHARED_VALIDATE | MAP_FIXED_NOREPLACE, rw, 0);
	observe("noreplace_validated", "mmap", r == (long)hole ? ret_bool(true) : ret_addr(r), ARGS(f_hex("flags", MAP_SHARED_VALIDATE | MAP_FIXED_NOREPLACE)), STATE());
	observe("sync_validated", "mmap", MAP(4096, PROT_READ, MAP_SHARED_VALIDATE | MAP_SYNC, rw, 0), ARGS(f_hex("flags", MAP_SHARED_VALIDATE | MAP_SYNC)), STATE());
	at = sys(mmap, NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED_VALIDATE, rw, 4096);
	if (err_of(at) == 0)
		*(volatile char *)at = 'v';
	must(sys(pread64, ro, &byte, 1, 4096));
	observe("validated", "mmap", ret_bool(err_of(at) == 0), ARGS(f_hex("flags", MAP_SHARED_VALIDATE)), STATE(f_int("file", byte)));
	observe("no_type", "mmap", MAP(4096, PROT_READ, 0, rw, 0), ARGS(f_hex("flags", 0)), STATE());
	observe("both_types", "mmap", MAP(4096, PROT_READ, 4, rw, 0), ARGS(f_hex("flags", 4)), STATE());
	observe("bad_fd_zero_length", "mmap", MAP(0, PROT_READ, MAP_PRIVATE, 4000, 0), ARGS(f_uint("length", 0), f_int("fd", 4000)), STATE());
	observe("zero_length", "mmap", MAP(0, PROT_READ, MAP_PRIVATE, rw, 0), ARGS(f_uint("length", 0)), STATE());
	observe("unaligned", "mmap", MAP(4096, PROT_READ, MAP_PRIVATE, rw, 512), ARGS(f_uint("offset", 512)), STATE());
	observe("unaligned_bad_fd", "mmap", MAP(4096, PROT_READ, MAP_PRIVATE, 4000, 512), ARGS(f_uint("offset", 512), f_int("fd", 4000)), STATE());
	observe("overflow", "mmap", MAP(8192, PROT_READ, MAP_PRIVATE, rw, 0x7ffffffffffff000), ARGS(f_hex("offset", 0x7ffffffffffff000)), STATE());
	observe("directory", "mmap", MAP(4096, PROT_READ, MAP_PRIVATE, dir, 0), ARGS(), STATE());
	observe("pipe", "mmap", MAP(4096, PROT_READ, MAP_PRIVATE, p[0], 0), ARGS(), STATE());
	observe("path_only", "mmap", MAP(4096, PROT_READ, MAP_PRIVATE, path, 0), ARGS(f_hex("flags", O_PATH)), STATE());
}
