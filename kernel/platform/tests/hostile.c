/* A guest that reaches for the host: it shares its address space with the stub, so it can use the stub's gate and its own channel. What
 * it does depends on its process id, which the test chooses; what it found is the status that it exits with (0: as it should be). */
typedef unsigned long u64;
typedef unsigned int u32;
typedef long s64;

#include "../../stub/c/layout.h"

#define CHANNEL ((volatile struct channel *)CHANNEL_BASE)

static inline __attribute__((always_inline)) s64 call(s64 nr, s64 a, s64 b, s64 c)
{
    s64 r;
    __asm__ volatile("syscall" : "=a"(r) : "a"(nr), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return r;
}

/* The stub's way to the host: a function at the start of its gate page. */
static s64 gate(s64 nr, s64 a, s64 b, s64 c, s64 d, s64 e, s64 f)
{
    return ((s64(*)(s64, s64, s64, s64, s64, s64, s64))GATE_PAGE)(nr, a, b, c, d, e, f);
}

/* A request made by hand, with its answer. The stub's own count of requests is wrong from then on. */
static u32 request(u32 kind, u64 nr, u64 arg)
{
    u32 seq = CHANNEL->req_seq + 1;
    CHANNEL->req_kind = kind;
    CHANNEL->nr = (u32)nr;
    CHANNEL->args[0] = arg;
    CHANNEL->in_used = 0;
    __atomic_store_n(&CHANNEL->req_seq, seq, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&CHANNEL->rep_seq, __ATOMIC_SEQ_CST) != seq)
        gate(NOTIF_NR, NOTIF_WAIT, 0, seq, CHANNEL->space, 0, 0);
    return CHANNEL->rep_kind;
}

static void finish(int status)
{
    request(REQ_SYSCALL, 231, (u64)status);
    for (;;)
        gate(60, 0, 0, 0, 0, 0, 0);
}

static int filter(void)
{
    s64 p = call(9, 0, 8192, 3); /* the test's mmap: anonymous */
    if (p < 0)
        return 1;
    if (gate(25, p, -1, 4096, 1, 0, 0) != -1) /* mremap of a size that wraps to zero */
        return 2;
    if (gate(25, p, 0, 4096, 1, 0, 0) != -1)
        return 3;
    if (gate(28, p, 4096, 11, 0, 0, 0) != -1) /* MADV_DOFORK */
        return 4;
    if (gate(9, 0, 4096, 3, 0x23, -1, 0) != -1) /* mmap, MAP_SHARED_VALIDATE */
        return 5;
    if (gate(324, 1, 0, 0, 0, 0, 0) != -1) /* membarrier, GLOBAL */
        return 6;
    if (gate(NOTIF_NR, NOTIF_CLAIM, 1, 2, 0, 0, 0) != -1)
        return 7;
    return gate(39, 0, 0, 0, 0, 0, 0) == -1 ? 0 : 8;
}

static u64 cycles(void)
{
    u32 lo, hi;
    __asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
    return (u64)hi << 32 | lo;
}

/* A fork whose child ends before it claims its channel, and before its parent can say who it was. */
static int unclaimed(void)
{
    for (int i = 0; i < 50; i++) {
        if (request(REQ_SYSCALL, 57, 0) != REP_CLONE)
            return 1;
        s64 pid = gate(56, 0x8000, 0, 0, 0, 0, 0);
        if (pid == 0)
            gate(60, 0, 0, 0, 0, 0, 0);
        if (pid < 0)
            return 2;
        for (u64 end = cycles() + 3000000; cycles() < end;)
            gate(24, 0, 0, 0, 0, 0, 0);
        CHANNEL->forked_pid = (s32)pid;
    }
    return 0;
}

/* A fork that the host refuses, and a clone asked for in the middle of another one. */
static int failed(void)
{
    if (request(REQ_SYSCALL, 57, 0) != REP_CLONE)
        return 1;
    if (request(REQ_CLONED, 0, (u64)-12) != REP_RETURN || CHANNEL->result != -12)
        return 2;
    return 0;
}

/* A request that only the zygote may make: it says that its fork has failed. */
static int zygote(void)
{
    for (int i = 0; i < 100; i++)
        if (request(REQ_ZYGOTE, 0, (u64)-12) != REP_RETURN || CHANNEL->result != -38)
            return 1;
    return 0;
}

void start(void)
{
    s64 pid = call(39, 0, 0, 0);
    if (pid >= 300 && pid < 400)
        finish(call(61, 0, 0, 0) != 7);
    if (pid >= 400 && pid < 500)
        finish(call(62, 0, 0, 0) != 7);
    switch (pid) {
    case 100: finish(filter());
    case 101: finish(unclaimed());
    case 102: finish(failed());
    case 103: /* the first thread ends behind the sentry's back */
        if (call(58, call(9, 0, 65536, 3) + 32768, 0, 0) == 0)
            call(60, 0, 0, 0);
        gate(60, 0, 0, 0, 0, 0, 0);
    case 105: finish(zygote());
    case 106: finish(call(61, 0, 0, 0) != 7);
    default: finish(0);
    }
}
__asm__(".section .text.unlikely, \"ax\"\n.globl _start\n_start: and $-16, %rsp\n call start\n ud2\n.text\n");
