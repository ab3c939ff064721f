/* What the kernel tells a new program about itself, and how it lays out the first stack. */
#include "probe.h"
#include <elf.h>
#include <sys/auxv.h>

extern char _start[];

PROBE("exec/auxv", "ids", "image", "memory", "stack", "vdso", "proc")
{
	observe("ids", "getuid", ret_int(0), ARGS(),
		STATE(f_bool("uid", getauxval(AT_UID) == (uint64_t)sys(getuid)), f_bool("euid", getauxval(AT_EUID) == (uint64_t)sys(geteuid)),
		      f_bool("gid", getauxval(AT_GID) == (uint64_t)sys(getgid)), f_bool("egid", getauxval(AT_EGID) == (uint64_t)sys(getegid)),
		      f_uint("secure", getauxval(AT_SECURE))));
	const Elf64_Phdr *ph = (const void *)getauxval(AT_PHDR);
	uint64_t n = getauxval(AT_PHNUM), load = 0, stack = 0;
	for (uint64_t i = 0; i < n; i++) {
		load += ph[i].p_type == PT_LOAD;
		stack += ph[i].p_type == PT_GNU_STACK;
	}
	observe("image", "execve", ret_int(0), ARGS(),
		STATE(f_uint("phent", getauxval(AT_PHENT)), f_bool("loads", load >= 2), f_uint("gnu_stack", stack), f_bool("entry", getauxval(AT_ENTRY) == (uintptr_t)_start),
		      f_uint("base", getauxval(AT_BASE)), f_bool("execfn", getauxval(AT_EXECFN) != 0 && strstr((char *)getauxval(AT_EXECFN), "probes-c") != NULL),
		      f_str("platform", (char *)getauxval(AT_PLATFORM))));
	const unsigned char *random = (const void *)getauxval(AT_RANDOM);
	int zeroes = 0;
	for (int i = 0; i < 16; i++)
		zeroes += random[i] == 0;
	observe("memory", "execve", ret_int(0), ARGS(),
		STATE(f_uint("pagesz", getauxval(AT_PAGESZ)), f_uint("clktck", getauxval(AT_CLKTCK)), f_bool("random", zeroes < 8), f_bool("minsigstksz", getauxval(AT_MINSIGSTKSZ) >= 1000)));
	char here;
	/* Down from the environment over the arguments' end to their count, where the first stack pointer was. */
	long *end = (long *)environ - 1, count = 0;
	while (count < 64 && end[-count - 1] != count)
		count++;
	observe("stack", "execve", ret_int(0), ARGS(),
		STATE(f_int("argc", count), f_int("terminator", *end), f_uint("alignment", (uintptr_t)&end[-count - 1] % 16),
		      f_bool("random_above", random > (const unsigned char *)&here)));
	const char *vdso = (const char *)getauxval(AT_SYSINFO_EHDR);
	observe("vdso", "execve", ret_int(0), ARGS(), STATE(f_bool("there", vdso != NULL), f_bool("elf", vdso != NULL && memcmp(vdso, "\177ELF", 4) == 0)));
	uint64_t v[128];
	long len = get_file("/proc/self/auxv", v, sizeof v), same = 0;
	for (long i = 0; i + 1 < len / 8; i += 2)
		if (v[i] == AT_PHDR || v[i] == AT_ENTRY || v[i] == AT_RANDOM)
			same += getauxval(v[i]) == v[i + 1];
	observe("proc", "openat", ret_bool(len > 0), ARGS(f_str("path", "/proc/self/auxv")), STATE(f_int("same", same)));
}
