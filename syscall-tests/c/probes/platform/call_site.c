/* A syscall instruction that has run often still does what the registers say, from whatever address it is reached. */
#include "probe.h"

extern char site_entry[], site_syscall[], site_after[];
long site_at(void *target, long rax, long ignored);
__asm__(".text\n.globl site_entry, site_syscall, site_after, site_at\n"
	".type site_at,@function\n"
	"site_at: mov %rsi, %rax\njmp *%rdi\n.size site_at, .-site_at\n"
	".balign 16\n"
	"site_entry: mov $39, %eax\n" /* getpid */
	"site_syscall: syscall\n"
	"site_after: cmp $-4095, %rax\nret\nnop\nnop\nnop\nnop\n"
	/* As in libc's read: the number by xor. */
	".balign 16\n.globl site_xor, site_xor_syscall\n"
	"site_xor: xor %eax, %eax\n"
	"site_xor_syscall: syscall\ncmp $-4096, %rax\nret\nnop\nnop\nnop\nnop\n");
extern char site_xor[], site_xor_syscall[];

PROBE("platform/call_site", "entry", "inside", "after", "mixed", "bad_number", "xor", "xor_inside", "text")
{
	/* As the assembler made it: the text may have been patched before the program started. */
	static const unsigned char original[] = {0xb8, 39, 0, 0, 0, 0x0f, 5, 0x48, 0x3d, 1, 0xf0, 0xff, 0xff, 0xc3};
	long pid = sys6(__NR_gettid, 0, 0, 0, 0, 0, 0), parent = sys(getppid), right = 0, r = 0;
	for (int i = 0; i < 400; i++) {
		r = site_at(site_entry, -1, 0);
		right += r == pid;
	}
	observe("entry", "getpid", ret_pid(r), ARGS(f_int("calls", 400)), STATE(f_int("right", right)));
	right = 0;
	for (int i = 0; i < 400; i++) {
		r = site_at(site_syscall, __NR_getppid, 0);
		right += r == parent;
	}
	observe("inside", "getppid", ret_pid(r), ARGS(f_int("calls", 400)), STATE(f_int("right", right)));
	r = site_at(site_after, 77, 0);
	observe("after", "getppid", ret_int(r), ARGS(), STATE());
	right = 0;
	for (int i = 0; i < 200; i++)
		right += site_at(i % 2 ? site_entry : site_syscall, __NR_getppid, 0) == (i % 2 ? pid : parent);
	observe("mixed", "getpid", ret_pid(pid), ARGS(f_int("calls", 200)), STATE(f_int("right", right)));
	observe("bad_number", "tuxcall", ret_int(site_at(site_syscall, __NR_tuxcall, 0)), ARGS(), STATE());
	right = 0;
	/* rdi is the target's address: read from such a descriptor is EBADF. */
	for (int i = 0; i < 200; i++)
		right += site_at(site_xor, 1, 0) == -EBADF;
	observe("xor", "read", ret_int(site_at(site_xor, 1, 0)), ARGS(f_int("calls", 200)), STATE(f_int("right", right)));
	right = 0;
	for (int i = 0; i < 200; i++)
		right += site_at(site_xor_syscall, __NR_getpid, 0) == pid;
	observe("xor_inside", "getpid", ret_pid(pid), ARGS(f_int("calls", 200)), STATE(f_int("right", right)));
	observe("text", "getpid", ret_pid(pid), ARGS(), STATE(f_bool("unchanged", memcmp(original, site_entry, sizeof original) == 0)));
}
