/* cpuid in a library, whose answers a sandbox may know: the registers and flags are as the CPU's. With -DLIBRARY the library, else who loads it. */
#define _GNU_SOURCE
#include <stdint.h>

struct answer {
    uint64_t rax, rbx, rcx, rdx, flags;
};

#ifdef LIBRARY
/* Something for which a library is worth a copy. */
long library_call(void);
__asm__(".text\n.globl library_call\nlibrary_call:\n\tmov $39, %eax\n\tsyscall\n\tret\n");

/* NAME(answer): with all flags set that an addition can set, and the upper halves of the registers. */
#define ASK(name, instructions)                                                                                                  \
    __asm__(".text\n.globl " #name "\n" #name ":\n"                                                                               \
            "\tpush %rbx\n\tmov $-1, %rax\n\tmov %rax, %rbx\n\tmov %rax, %rcx\n\tmov %rax, %rdx\n\tadd $1, %rax\n"                 \
            ".globl " #name "_site\n" #name "_site:\n" instructions                                                               \
            "\tmov %rax, (%rdi)\n\tmov %rbx, 8(%rdi)\n\tmov %rcx, 16(%rdi)\n\tmov %rdx, 24(%rdi)\n"                               \
            "\tpushfq\n\tpop %rax\n\tmov %rax, 32(%rdi)\n\tpop %rbx\n\tret\n")
ASK(features, "\tmov $0x80000001, %eax\n\tcpuid\n");
ASK(states, "\tmov $13, %eax\n\txor %ecx, %ecx\n\tcpuid\n");
#else
#include <cpuid.h>
#include <dlfcn.h>
#include <stdio.h>

static int compare(void *library, const char *name, const char *site, unsigned leaf, uint64_t flags, int *answered)
{
    struct answer a;
    unsigned r[4];
    void (*ask)(struct answer *) = (void (*)(struct answer *))dlsym(library, name);
    const unsigned char *code = dlsym(library, site);
    *answered += *code == 0xe9;
    __cpuid_count(leaf, 0, r[0], r[1], r[2], r[3]);
    ask(&a);
    return a.rax == r[0] && a.rbx == r[1] && a.rcx == r[2] && a.rdx == r[3] && (a.flags & 0x8d5) == flags;
}

int main(int argc, char **argv)
{
    void *library = dlopen(argv[argc - 1], RTLD_NOW);
    if (!library)
        return fputs(dlerror(), stderr), 2;
    int answered = 0;
    /* CF, PF, AF and ZF of the addition; those of the exclusive or (which leaves AF to the CPU). */
    int same = compare(library, "features", "features_site", 0x80000001, 0x55, &answered);
    struct answer a;
    ((void (*)(struct answer *))dlsym(library, "states"))(&a);
    same += compare(library, "states", "states_site", 13, 0x44 | (a.flags & 0x10), &answered);
    printf("answered %d same %d\n", answered, same);
    return answered == 2 ? 0 : 1;
}
#endif
