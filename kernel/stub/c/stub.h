/* Internal declarations of the stub. It is freestanding, has no heap and never touches vector or x87 registers. */
#ifndef BEVOR_STUB_H
#define BEVOR_STUB_H
#include "layout.h"

#define NULL ((void *)0)
#define offsetof(t, m) __builtin_offsetof(t, m)
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define EPERM 1
#define EINTR 4
#define EAGAIN 11
#define ENOMEM 12
#define EFAULT 14
#define EINVAL 22
#define ENOSYS 38
#define ETIMEDOUT 110

#define PROT_EXEC 4
#define MAP_SHARED 1
#define MAP_PRIVATE 2
#define MAP_TYPE 15
#define MAP_FIXED 0x10
#define MAP_ANONYMOUS 0x20
#define MAP_NORESERVE 0x4000
#define MAP_POPULATE 0x8000
#define MAP_FIXED_NOREPLACE 0x100000

/* General registers, in the order of the kernel's struct sigcontext, so that a signal context is one of these. */
struct regs {
    u64 r8, r9, r10, r11, r12, r13, r14, r15, di, si, bp, bx, dx, ax, cx, sp, ip, flags;
};

struct sigcontext {
    struct regs r;
    u16 cs, gs, fs, ss;
    u64 err, trapno, oldmask, cr2;
    u64 fpstate;
    u64 reserved[8];
};

struct sigstack {
    u64 sp;
    s32 flags;
    u32 pad;
    u64 size;
};

struct ucontext {
    u64 flags;
    u64 link;
    struct sigstack stack;
    struct sigcontext mc;
    u64 sigmask;
};

struct siginfo {
    s32 signo, err, code, pad;
    u64 addr;
    s32 syscall;
    u32 arch;
    u8 rest[96];
};

/* What the kernel (and the stub, for the application) puts on the stack for a handler. */
struct rt_sigframe {
    u64 pretcode;
    struct ucontext uc;
    u8 info[128];
};

struct fpx_sw_bytes {
    u32 magic1, extended_size;
    u64 xfeatures;
    u32 xstate_size, padding[7];
};
#define FP_XSTATE_MAGIC1 0x46505853U
#define FP_XSTATE_MAGIC2 0x46505845U

/* Thread control block: private memory of the thread's region, reached through GS or by masking the stack pointer. */
struct tcb {
    u64 magic;
    struct tcb *self;
    u64 sysstack;
    u64 user_rsp;
    u64 resume;
    u64 frame;
    u32 kicked;
    u32 xsave_lo, xsave_hi;
    u32 seq;
    struct channel *ch;
    u64 guest_gs;
    u32 waiting;     /* a local futex wait is interrupted: WAIT_* */
    u32 region;
    u64 last_nr;     /* number of the latest trapped call */
    u64 rseq;        /* the application's restartable sequences area, as registered with the host */
    u32 rseq_len, rseq_sig;
};
#define WAIT_NONE 0
#define WAIT_UNTIMED 1
#define WAIT_TIMED 2

/* Process-wide data: private memory, copied by fork. */
struct process {
    u64 brk_start, brk_now;
    u32 brk_lock;
    u32 xsave_size;
    u64 xsave_mask;
    u64 vdso;
    s64 (*clock_gettime)(s32, void *);
    s64 (*gettimeofday)(void *, void *);
    s64 (*time)(void *);
    s64 (*getcpu)(u32 *, u32 *, void *);
    /* Donated descriptors that are kept: place i is number DONATED_FD + i. users: threads that fetch it or are about to map it. */
    struct {
        u64 id;
        u32 used, users;
    } fds[DONATED];
    u32 next_fd, fds_lock;
    /* Call site patching. A patch under way: a forked child keeps the record of a half-written window for good. */
    u64 patch_window, patch_trampoline;
    u32 patch_busy, sync_core, traps;
    /* Kinds of membarrier that the program has registered for: their commands. The host may know of more. */
    u32 membarriers;
    struct {
        u64 site;
        u32 count;
        u32 pad;
    } sites[256];
};
extern struct process proc;

/* gate.S: the only host calls. */
s64 gate(u64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f);
s64 gate_futex(u64 a, u64 b, u64 c, u64 d, u64 e, u64 f);
s64 gate_clone(u64 flags, u64 stack, void *ptid, void *ctid, u64 tls);
void gate_sigreturn(void *frame) __attribute__((noreturn));
extern char gate_futex_check[], gate_futex_syscall[], gate_futex_abort[];
extern char sig_exit_check[], sig_exit_end[], restorer[];
extern char exit_check[], exit_end[], stub_entry[], stub_entry_bad_gs[], stub_entry_saved[];
extern char text_start[], text_end[];
#define gate1(n, a) gate(n, (u64)(a), 0, 0, 0, 0, 0)
#define gate2(n, a, b) gate(n, (u64)(a), (u64)(b), 0, 0, 0, 0)
#define gate3(n, a, b, c) gate(n, (u64)(a), (u64)(b), (u64)(c), 0, 0, 0)
#define gate6(n, a, b, c, d, e, f) gate(n, (u64)(a), (u64)(b), (u64)(c), (u64)(d), (u64)(e), (u64)(f))

/* user.S: access to application memory; a fault ends the copy. */
u64 copy_user(void *dst, const void *src, u64 n);            /* bytes left */
s64 copy_string(void *dst, const void *src, u64 limit);      /* bytes copied incl. NUL; without NUL if limit or fault ended it */
s64 get_user32(u32 *dst, const void *src);                   /* 0 or -EFAULT */
s64 put_user32(void *dst, u32 value);
s64 get_user64(u64 *dst, const void *src);
s64 put_user64(void *dst, u64 value);
s64 cmpxchg_user32(void *dst, u32 old, u32 new, u32 *seen);
s64 xsave_user(void *dst, u32 lo, u32 hi);
extern char copy_start[], copy_end[], copy_fixup[], word_start[], word_end[], word_fixup[];

#define USER_TOP 0x7ffffffff000UL
#define SS_ONSTACK 1u
#define SS_DISABLE 2u
#define SS_AUTODISARM 0x80000000u
#define REGION_FP 0x1400 /* vector state at a thread's start, and when a patched call leaves through rt_sigreturn */

/* C parts. */
void syscall_patched(struct regs *r);
void syscall_slow_exit(struct regs *r);
#define NOT_LOCAL (-5000L)      /* the sentry must answer */
#define REGS_REPLACED (-5001L)  /* the registers were set; there is no result */

/* A stop: where the application's state is. `uc` is NULL on the patched path (vector state live in the CPU). */
struct stop {
    struct tcb *t;
    struct regs *r;
    struct ucontext *uc;
};
s64 local_call(struct stop *s, u64 nr);
s64 settle_cpu_clock(u64 nr, u64 id);
void handle_syscall(struct stop *s);
void handle_event(struct stop *s, u32 kind, u64 a0, u64 a1, u64 a2, u64 a3, u64 a4);
u32 send_request(struct tcb *t, u32 kind, u64 nr);
s64 notify(u64 kind, u64 a, u64 b, u64 c);
void wait_reply(struct tcb *t, u32 seq);
void act_on_reply(struct stop *s, u64 nr);
void marshal_in(struct tcb *t, u64 nr, const struct regs *r);
s64 deliver_signal(struct stop *s, struct signal_frame *f, u64 nr);
s64 guest_sigreturn(struct stop *s);
void run_exec(struct tcb *t) __attribute__((noreturn));
s64 do_clone(struct stop *s);
void do_exit(struct tcb *t) __attribute__((noreturn));
void enter_context(struct tcb *t, struct regs *r, u64 fpstate) __attribute__((noreturn));
void leave_patched(struct tcb *t, struct regs *r, u64 ip) __attribute__((noreturn));
s64 set_altstack(struct channel *ch, u64 at, u64 sp, u64 size, u32 flags);
int patched_boundary(struct tcb *t, struct ucontext *uc); /* 1: the address lies in a patched window, handled */
u64 original_ip(u64 ip); /* what the application is to see of an address in a trampoline */
void count_trap(struct stop *s, u64 site);
void register_sync_core(void);
void setup_signals(struct tcb *t);
struct tcb *init_region(u32 region, u32 slot);
s64 donated_fd(struct tcb *t, u64 id, s32 index, s32 *at);
void fetch_fds(struct tcb *t, const u64 *ids, const s32 *indices, u32 count);
void release_fd(s64 fd, s32 at);
void purge_fds(int kept);
void zygote_loop(struct tcb *t) __attribute__((noreturn));
void zero_bytes(void *p, u64 n);
void copy_bytes(void *d, const void *s, u64 n);

static inline struct tcb *current_tcb(void) /* only with the stub's own GS */
{
    struct tcb *t;
    __asm__("mov %%gs:%c1,%0" : "=r"(t) : "i"(TCB_SELF));
    return t;
}
static inline struct tcb *tcb_of_stack(const void *sp)
{
    return (struct tcb *)((u64)sp & ~(u64)(REGION_SIZE - 1));
}
static inline void pause_cpu(void) { __asm__ volatile("pause" ::: "memory"); }
/* The CPU, as the kernel keeps it in a segment's limit for the vDSO. */
static inline u32 current_cpu(void)
{
    u32 v;
    __asm__("lsl %1,%0" : "=r"(v) : "r"(0x7b));
    return v & 0xfff;
}
static inline int in_stub_range(u64 a) { return a >= STUB_BASE && a < STUB_END; }
static inline int is_error(s64 r) { return (u64)r >= (u64)-4095L; }
#endif
