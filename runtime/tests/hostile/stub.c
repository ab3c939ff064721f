/*
 * Takes the stub apart from inside: each attack ends the child that makes it, at most. The last word is the shell's.
 *   stub unmap|mask|entry|shrink|text
 */
#include "hostile.h"
#include <elf.h>
#include <pthread.h>
#include <sys/ucontext.h>

static const struct part {
    const char *name;
    unsigned long at, len;
} parts[] = {
    {"gate page", GATE_PAGE, 4096},
    {"text", STUB_BASE + 4096, 0x4000},
    {"data", STUB_BASE + 0x5000, 0xb000},
    {"channel", CHANNEL_BASE, SLAB_SIZE},
    {"region", STACK_BASE, REGION_SIZE},
    {"later regions", STACK_BASE + REGION_SIZE, 16 * REGION_SIZE},
    {"all", STUB_BASE, STUB_END - STUB_BASE},
    {"address space", 0x10000, 0x7ffffffe0000},
};
#define PARTS (sizeof parts / sizeof *parts)
enum { UNMAP, NONE, RX, REPLACE, SHARED, MOVE, DISCARD, HOW };
static volatile long *shared;

static void take_apart(long what)
{
    const struct part *p = &parts[what / HOW];
    long r = 0;
    switch (what % HOW) {
    case UNMAP: r = gate(SYS_munmap, p->at, p->len, 0, 0, 0, 0); break;
    case NONE: r = gate(SYS_mprotect, p->at, p->len, 0, 0, 0, 0); break;
    case RX: r = gate(SYS_mprotect, p->at, p->len, 5, 0, 0, 0); break;
    case REPLACE:
    case SHARED:
        if (p->len > 0x1000000)
            return;
        r = gate(SYS_mmap, p->at, p->len, 7, what % HOW == SHARED ? 0x31 - 0 : 0x32, -1, 0);
        break;
    case MOVE: r = gate(SYS_mremap, p->at, p->len, p->len, 3, 0x300000000000, 0); break;
    case DISCARD: r = gate(SYS_madvise, p->at, p->len, MADV_DONTNEED, 0, 0, 0); break;
    }
    shared[0] = r;
    /* Whatever is left: a call by the front door, a fork, a fault. */
    write(2, "", 0);
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    if (pid > 0)
        waitpid(pid, NULL, 0);
    *(volatile char *)8 = 1;
}

/* The front door must not open to the stub's own ranges. */
static void front_door(void)
{
    for (unsigned i = 0; i < PARTS - 1; i++) {
        void *at = (void *)parts[i].at;
        unsigned long len = parts[i].len;
        if (mmap(at, len, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == at)
            fail("mmap over the stub", i, 0);
        if (mprotect(at, len, 7) == 0)
            fail("mprotect of the stub", i, 0);
        if (mremap(at, len, len, 3, 0x300000000000) != MAP_FAILED)
            fail("mremap of the stub", i, 0);
        void *page = mmap(NULL, 4096, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (mremap(page, 4096, 4096, 3, at) != MAP_FAILED)
            fail("mremap over the stub", i, 0);
        madvise(at, len, MADV_DONTNEED);
        munmap(at, len);
    }
    /* Lengths that wrap around. */
    if (mprotect((void *)(STUB_BASE - 4096), -4096UL, 7) == 0 || mremap((void *)(STUB_BASE - 4096), -4096UL, 4096, 3, 0x300000000000) != MAP_FAILED)
        fail("a wrapping range", 0, 0);
    munmap((void *)(STUB_BASE - 4096), -8192UL);
    if (getppid() <= 0)
        fail("getppid", 0, 0);
}

/* All host signals masked, through the host's rt_sigreturn, then a loop that makes no calls. */
static void mask_and_spin(long unused)
{
    (void)unused;
    static struct {
        ucontext_t uc;
        char info[256];
    } frame __attribute__((aligned(64)));
    static char stack[4096] __attribute__((aligned(16)));
    static const unsigned char spin[] = {0xeb, 0xfe};
    void *code = mmap(NULL, 4096, 7, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(code, spin, sizeof spin);
    memset(&frame, 0, sizeof frame);
    frame.uc.uc_flags = 6;
    frame.uc.uc_mcontext.gregs[REG_RIP] = (long)code;
    frame.uc.uc_mcontext.gregs[REG_RSP] = (long)(stack + sizeof stack - 64);
    frame.uc.uc_mcontext.gregs[REG_CSGSFS] = 0x002b000000000033;
    frame.uc.uc_mcontext.gregs[REG_EFL] = 0x202;
    memset(&frame.uc.uc_sigmask, 0xff, 8);
    *(volatile long *)shared = 1;
    __asm__ volatile("mov %0, %%rsp\n\tmov $15, %%eax\n\tjmp *%1" ::"r"((char *)&frame), "r"(gate_syscall()) : "rax", "memory");
    __builtin_unreachable();
}

static void *masked_thread(void *arg)
{
    mask_and_spin((long)arg);
    return NULL;
}

static void exit_beside(long code)
{
    pthread_t t;
    shared[0] = 0;
    pthread_create(&t, NULL, masked_thread, NULL);
    while (!shared[0])
        sched_yield();
    millis(20);
    if (code == 1)
        execl("/bin/sh", "sh", "-c", "exit 43", NULL);
    syscall(SYS_exit_group, 42);
}

static void masks(void)
{
    pid_t pid = fork();
    if (pid == 0)
        mask_and_spin(0);
    while (!shared[0])
        sched_yield();
    millis(20);
    kill(pid, SIGKILL);
    int status = await_child(pid, 8000);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
        fail("SIGKILL to a masked spinner", status, 0);
    status = in_child(exit_beside, 0, 8000);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 42)
        fail("exit_group beside a masked spinner", status, 0);
    status = in_child(exit_beside, 1, 8000);
    /* Its host process has to go; the new program may not come to be with it. */
    if (!(WIFEXITED(status) && WEXITSTATUS(status) == 43) && !(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL))
        fail("execve beside a masked spinner", status, 0);
}

/* Ways into the kernel and registers that a program is not meant to use. */
static void int80(long nr)
{
    long r;
    __asm__ volatile("int $0x80" : "=a"(r) : "a"(nr), "b"(0L), "c"(0L), "d"(0L), "S"(0L), "D"(0L) : "r8", "r9", "r10", "r11", "memory");
    shared[0] = r;
}

static void x32(long nr)
{
    shared[0] = plain(nr | 0x40000000, 0, 0, 0, 0, 0, 0);
    shared[1] = gate(nr | 0x40000000, 0, 0, 0, 0, 0, 0);
}

static void garbage_gs(long value)
{
    __asm__ volatile("wrgsbase %0" ::"r"(value));
    for (int i = 0; i < 100; i++) {
        getppid();
        (void)!write(1, "", 0);
        umask(022);
    }
    _exit(7);
}

static void set_gs(long value)
{
    long got = -1;
    long r = syscall(SYS_arch_prctl, 0x1001, value);
    if (r == 0 && (syscall(SYS_arch_prctl, 0x1004, &got) || got != value))
        _exit(9);
    for (int i = 0; i < 100; i++)
        (void)!write(1, "", 0);
    pid_t pid = fork();
    if (pid == 0)
        _exit(3);
    int status;
    waitpid(pid, &status, 0);
    _exit(WEXITSTATUS(status) == 3 ? 8 : 10);
}

static void entries(void)
{
    static const long values[] = {0, 1, 8, -4096, 0x1000, CHANNEL_BASE, STACK_BASE, STACK_BASE + REGION_SIZE, GATE_PAGE, 0x7fffffffe000, (long)values};
    for (long nr = 0; nr < 512; nr++) {
        if (nr == 1 || nr == 252 || nr == 119 || nr == 173)
            continue; /* exit, exit_group, sigreturns in the 32-bit table */
        shared[0] = -38;
        in_child(int80, nr, 500);
        if (shared[0] >= 0)
            fail("int 0x80 succeeds", nr, shared[0]);
    }
    for (long nr = 0; nr < 600; nr++) {
        shared[0] = shared[1] = -38;
        in_child(x32, nr, 500);
        if (shared[0] >= 0 || shared[1] >= 0)
            fail("an x32 number succeeds", nr, shared[0]);
    }
    for (unsigned i = 0; i < sizeof values / sizeof *values; i++) {
        int status = in_child(garbage_gs, values[i], 5000);
        printf("wrgsbase %#lx: %#x\n", values[i], status);
        if (values[i] <= 8 && !(WIFEXITED(status) && WEXITSTATUS(status) == 7))
            fail("a program with a GS base of its own", values[i], status);
        status = in_child(set_gs, values[i], 5000);
        printf("ARCH_SET_GS %#lx: %#x\n", values[i], status);
        if (values[i] <= 8 && !(WIFEXITED(status) && WEXITSTATUS(status) == 8))
            fail("a program with ARCH_SET_GS", values[i], status);
    }
}

static void *sleeper(void *arg)
{
    millis(300);
    return arg;
}

/* Cuts off the memory that the sentry is to write a reply to. */
static void shrink(long unused)
{
    (void)unused;
    pthread_t t;
    pthread_create(&t, NULL, sleeper, NULL);
    millis(50);
    struct channel *ch = (struct channel *)CHANNEL_BASE;
    long fd = gate(NOTIF_NR, NOTIF_SLAB, ch->slot, 0, (long)ch->space, 0, 0);
    if (fd < 0)
        fail("a descriptor of the own slab", fd, 0);
    shared[0] = gate(SYS_ftruncate, fd, 0, 0, 0, 0, 0);
    for (;;) { }
}

/* Writes to text that other processes run: the patched copies of libraries, whose descriptors a process is given to map them. */
static void others_text(void)
{
    Elf64_Ehdr head;
    Elf64_Phdr ph = {0};
    int lib = open("/lib64/ld-linux-x86-64.so.2", O_RDONLY);
    if (pread(lib, &head, sizeof head, 0) != sizeof head)
        fail("no dynamic linker", lib, errno);
    for (int i = 0; i < head.e_phnum && !(ph.p_type == PT_LOAD && ph.p_flags & PF_X); i++)
        pread(lib, &ph, sizeof ph, (off_t)(head.e_phoff + (unsigned)i * sizeof ph));
    unsigned char *at = NULL, *file = malloc(ph.p_filesz);
    off_t from = (off_t)(ph.p_offset & ~4095UL);
    if (pread(lib, file, ph.p_filesz, from) != (ssize_t)ph.p_filesz)
        fail("no dynamic linker", lib, errno);
    /* It is copied, aside, once it has been mapped often enough. */
    long end = now_ms() + patience(20000);
    for (long i = 1; !at || !memcmp(at, file, ph.p_filesz); i = i % 10000 + 1) {
        if (at && now_ms() > end)
            fail("the text is not a patched copy", 0, 0);
        if (at)
            munmap(at, ph.p_filesz);
        at = (unsigned char *)(i << 33);
        if (mmap(at, ph.p_filesz, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, lib, from) != at)
            fail("no text", errno, i);
    }
    for (long fd = 0; fd < 128; fd++) {
        long p = gate(SYS_mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (p < -4095 || p > 0)
            fail("the text of all can be written through a descriptor", fd, p);
    }
}

int main(int argc, char **argv)
{
    shared = mmap(NULL, 4096, 3, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (argc < 2)
        return 64;
    if (!strcmp(argv[1], "unmap")) {
        for (unsigned i = 0; i < PARTS * HOW; i++) {
            int status = in_child(take_apart, i, 1000);
            printf("%s, way %u: %ld, status %#x\n", parts[i / HOW].name, i % HOW, shared[0], status);
            fflush(stdout);
        }
        int status = in_child((void (*)(long))front_door, 0, 3000);
        if (status)
            fail("the front door", status, 0);
    } else if (!strcmp(argv[1], "mask")) {
        masks();
    } else if (!strcmp(argv[1], "shrink")) {
        shared[0] = 1;
        in_child(shrink, 0, 1000);
        printf("ftruncate of the slab: %ld\n", shared[0]);
    } else if (!strcmp(argv[1], "text")) {
        others_text();
    } else if (!strcmp(argv[1], "entry")) {
        entries();
    }
    return 0;
}
