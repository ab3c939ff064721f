/* Code that a program writes itself runs, also its system calls, also after it was rewritten. */
#include "probe.h"

PROBE("platform/generated_code", "first", "rewritten", "write_execute", "shared_mapping")
{
	/* mov $nr, %eax; syscall; ret */
	unsigned char code[] = {0xb8, __NR_getpid, 0, 0, 0, 0x0f, 0x05, 0xc3};
	long pid = sys(getpid), parent = sys(getppid), right = 0;
	unsigned char *at = pages(1, false);
	memcpy(at, code, sizeof code);
	long r = sys(mprotect, at, 4096, PROT_READ | PROT_EXEC);
	for (int i = 0; i < 50; i++)
		right += ((long (*)(void))at)() == pid;
	observe("first", "mprotect", ret_int(r), ARGS(f_hex("prot", PROT_READ | PROT_EXEC)), STATE(f_int("right", right)));
	must(sys(mprotect, at, 4096, PROT_READ | PROT_WRITE));
	at[1] = __NR_getppid;
	r = sys(mprotect, at, 4096, PROT_READ | PROT_EXEC);
	right = 0;
	for (int i = 0; i < 50; i++)
		right += ((long (*)(void))at)() == parent;
	observe("rewritten", "mprotect", ret_int(r), ARGS(f_hex("prot", PROT_READ | PROT_EXEC)), STATE(f_int("right", right)));
	r = sys(mmap, NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned char *both = (unsigned char *)must(r);
	right = 0;
	for (int i = 0; i < 50; i++) {
		code[1] = i % 2 ? __NR_getpid : __NR_getppid;
		memcpy(both, code, sizeof code);
		right += ((long (*)(void))both)() == (i % 2 ? pid : parent);
	}
	observe("write_execute", "mmap", ret_addr(r), ARGS(f_hex("prot", PROT_READ | PROT_WRITE | PROT_EXEC)), STATE(f_int("right", right)));
	code[1] = __NR_getpid;
	put_file("code", code, sizeof code);
	long fd = must(sys(openat, AT_FDCWD, "code", O_RDWR));
	r = sys(mmap, NULL, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	unsigned char *shared = (unsigned char *)must(r), after[8];
	right = 0;
	for (int i = 0; i < 50; i++)
		right += ((long (*)(void))shared)() == pid;
	get_file("code", after, sizeof after);
	observe("shared_mapping", "mmap", ret_addr(r), ARGS(f_hex("flags", MAP_SHARED)), STATE(f_int("right", right), f_bytes("file", after, 8)));
}
