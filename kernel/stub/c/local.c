/* Calls that the stub answers itself: identities, clocks, masks, memory, futexes. NOT_LOCAL sends the call to the sentry. */
#include "stub.h"

#define SIG_UNBLOCKABLE ((1UL << 8) | (1UL << 18)) /* SIGKILL, SIGSTOP */
/* CLOCK_MONOTONIC_RAW (4) included: the vDSO reads it on every kernel since 5.3. */
#define MEMBARRIER_ALLOWED 0x1f8u
#define MEMBARRIER_REGISTER 0x150u

static s64 local_sigprocmask(struct tcb *t, u64 how, const void *set, void *old, u64 size)
{
    struct channel *ch = t->ch;
    u64 mask, before = ch->sigmask;
    if (size != 8)
        return -EINVAL;
    if (set) {
        if (get_user64(&mask, set))
            return -EFAULT;
        mask &= ~SIG_UNBLOCKABLE;
        switch ((u32)how) {
        case 0: mask |= before; break;
        case 1: mask = before & ~mask; break;
        case 2: break;
        default: return -EINVAL;
        }
        if (mask != before) {
            /* Dekker with the sentry, which sets `pending` and then reads the mask. */
            __atomic_exchange_n(&ch->sigmask, mask, __ATOMIC_SEQ_CST);
            if (__atomic_load_n(&ch->pending, __ATOMIC_SEQ_CST) & ~mask)
                t->kicked = 1;
        }
    }
    if (old && put_user64(old, before))
        return -EFAULT;
    return 0;
}

/* do_sigaltstack() of kernel/signal.c: `at` is the stack pointer. The flags are kept as they were given. */
s64 set_altstack(struct channel *ch, u64 at, u64 sp, u64 size, u32 flags)
{
    u32 mode = flags & ~SS_AUTODISARM;
    if (ch->alt_size && !(ch->alt_flags & SS_AUTODISARM) && at - ch->alt_sp - 1 < ch->alt_size)
        return -EPERM;
    if (mode != 0 && mode != SS_ONSTACK && mode != SS_DISABLE)
        return -EINVAL;
    if (mode == SS_DISABLE)
        sp = size = 0;
    else if (size < 2048)
        return -ENOMEM;
    ch->alt_sp = sp;
    ch->alt_size = size;
    ch->alt_flags = flags;
    return 0;
}

static s64 local_sigaltstack(struct tcb *t, const struct regs *r, u64 *set, u64 *old)
{
    struct channel *ch = t->ch;
    u64 sp = ch->alt_sp, size = ch->alt_size, flags = ch->alt_flags;
    int on = size && r->sp - sp - 1 < size && !(flags & SS_AUTODISARM);
    u64 n[3];
    if (set) {
        if (copy_user(n, set, 24))
            return -EFAULT;
        s64 e = set_altstack(ch, r->sp, n[0], n[2], (u32)n[1]);
        if (e)
            return e;
    }
    if (old) {
        u64 o[3] = {sp, (size ? (on ? SS_ONSTACK : 0) : SS_DISABLE) | (flags & SS_AUTODISARM), size};
        if (copy_user(old, o, 24))
            return -EFAULT;
    }
    return 0;
}

/*
 * The sentry reads the host's CPU clocks of this process, and those of another process lag by up to a tick while its thread spins for
 * an answer. A walk through the scheduler brings them up to now.
 */
s64 settle_cpu_clock(u64 nr, u64 id)
{
    if (nr == 98 || nr == 100 || (nr == 228 && ((u32)id == 2 || (u32)id == 3))) /* getrusage, times, clock_gettime */
        gate1(24, 0);
    return NOT_LOCAL;
}

static s64 local_clock_gettime(u64 id, u64 *out)
{
    u64 ts[2];
    if ((u32)id == 2 || (u32)id == 3)
        return settle_cpu_clock(228, id);
    /* Only the clocks that the vDSO reads without a system call. */
    if ((u32)id > 11 || !((1u << (u32)id) & ((1 << 0) | (1 << 1) | (1 << 4) | (1 << 5) | (1 << 6) | (1 << 7) | (1 << 11))) || !proc.clock_gettime)
        return NOT_LOCAL;
    if (proc.clock_gettime((s32)id, ts)) /* a clock source that the vDSO cannot read */
        return NOT_LOCAL;
    if (put_user64(out, ts[0]) || put_user64(out + 1, ts[1]))
        return -EFAULT;
    return 0;
}

static s64 local_gettimeofday(u64 *tv, u64 *tz)
{
    u64 v[2];
    if (!proc.gettimeofday || tz)
        return NOT_LOCAL;
    if (tv) {
        if (proc.gettimeofday(v, NULL))
            return NOT_LOCAL;
        if (put_user64(tv, v[0]) || put_user64(tv + 1, v[1]))
            return -EFAULT;
    }
    return 0;
}

/*
 * futex(2) on the host. Relative timeouts become absolute first, so that an interruption that runs no handler goes on with the
 * same deadline. What a handler does to the call is decided in deliver_signal by `waiting`.
 */
static s64 local_futex(struct stop *s, u64 uaddr, u32 op, u64 val, u64 timeout, u64 uaddr2, u64 val3)
{
    struct tcb *t = s->t;
    u32 cmd = op & 127;
    u64 abs[2], *deadline = NULL;
    switch (cmd) {
    case 1: case 3: case 4: case 5: case 10: /* wake, requeue, cmp_requeue, wake_op, wake_bitset */
        return gate6(202, uaddr, op, val, timeout, uaddr2, val3);
    case 0: case 9:
        break;
    default:
        return NOT_LOCAL;
    }
    if (timeout) {
        if (copy_user(abs, (void *)timeout, 16))
            return -EFAULT;
        if ((s64)abs[0] < 0 || abs[1] >= 1000000000)
            return -EINVAL;
        if (cmd == 0) {
            u64 now[2];
            if (!proc.clock_gettime || proc.clock_gettime(1, now))
                return NOT_LOCAL;
            abs[0] += now[0];
            abs[1] += now[1];
            if (abs[1] >= 1000000000) {
                abs[1] -= 1000000000;
                abs[0]++;
            }
            if ((s64)abs[0] < 0)
                abs[0] = 0x7fffffffffffffff;
            op = (op & ~(127u | 256u)) | 9; /* FUTEX_WAIT_BITSET, CLOCK_MONOTONIC */
            val3 = 0xffffffff;
        }
        deadline = abs;
    }
    for (;;) {
        s64 e = gate_futex(uaddr, op, val, (u64)deadline, 0, val3);
        if (e != -512 && e != -EINTR)
            return e;
        if (!t->kicked)
            continue;
        t->kicked = 0;
        t->waiting = deadline ? WAIT_TIMED : WAIT_UNTIMED;
        handle_event(s, REQ_INTERRUPTED, 0, 0, 0, 0, 0);
        if (t->waiting == WAIT_NONE) /* a handler was entered */
            return REGS_REPLACED;
        t->waiting = WAIT_NONE;
    }
}

static int hits_stub(u64 addr, u64 len) { return addr < STUB_END && addr + len > STUB_BASE && len; }

static s64 local_mmap(u64 addr, u64 len, u64 prot, u64 flags, u64 off)
{
    u64 allowed = MAP_SHARED | MAP_PRIVATE | MAP_FIXED | MAP_FIXED_NOREPLACE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_POPULATE | 0x100 /* GROWSDOWN */ |
                  0x10000 /* NONBLOCK */ | 0x20000 /* STACK */ | 0x40 /* 32BIT */;
    u64 type = flags & MAP_TYPE;
    s64 e;
    if (type != MAP_SHARED && type != MAP_PRIVATE)
        return NOT_LOCAL;
    if (flags & 0x40000) /* HUGETLB: no pool */
        return -ENOMEM;
    if (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) {
        if (hits_stub(addr, len))
            return -ENOMEM;
    } else if (hits_stub(addr, len)) {
        addr = 0; /* a hint */
    }
    if (off & 4095)
        return -EINVAL;
    e = gate6(9, addr, len, prot & 7, flags & allowed, -1, 0);
    if (!is_error(e) && (flags & 0x2000)) /* MAP_LOCKED */
        gate2(149, e, len); /* a failure is not reported, see mmap(2) */
    return e;
}

static s64 local_munmap(u64 addr, u64 len)
{
    if (unlikely(hits_stub(addr, len))) {
        if (addr & 4095)
            return -EINVAL;
        if (addr < STUB_BASE)
            gate2(11, addr, STUB_BASE - addr);
        if (addr + len > STUB_END)
            gate2(11, STUB_END, addr + len - STUB_END);
        return 0;
    }
    return gate2(11, addr, len);
}

static s64 local_brk(u64 want)
{
    s64 result;
    while (__atomic_exchange_n(&proc.brk_lock, 1, __ATOMIC_ACQUIRE))
        pause_cpu();
    u64 start = proc.brk_start, now = proc.brk_now;
    result = (s64)now;
    if (want >= start && want < USER_TOP) {
        u64 top = (now + 4095) & ~4095UL, new_top = (want + 4095) & ~4095UL;
        if (new_top == top) {
            proc.brk_now = want;
            result = (s64)want;
        } else if (new_top < top) {
            if (gate2(11, new_top, top - new_top) == 0) {
                proc.brk_now = want;
                result = (s64)want;
            }
        } else if (!hits_stub(top, new_top - top)) {
            s64 e = gate6(9, top, new_top - top, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
            if (!is_error(e)) {
                proc.brk_now = want;
                result = (s64)want;
            }
        }
    }
    __atomic_store_n(&proc.brk_lock, 0, __ATOMIC_RELEASE);
    return result;
}

extern void set_fs(u64), set_gs(u64);
extern u64 get_fs(void);

static s64 local_arch_prctl(struct stop *s, u64 code, u64 addr)
{
    struct tcb *t = s->t;
    switch ((u32)code) {
    case 0x1001: /* ARCH_SET_GS: patched sites then go the slow way, see stub_entry */
        if (addr >= USER_TOP)
            return -EPERM;
        t->guest_gs = addr;
        if (!s->uc) { /* the way back from a patched call needs the stub's */
            s->r->ax = 0;
            leave_patched(t, s->r, t->resume);
        }
        set_gs(addr);
        return 0;
    case 0x1002:
        if (addr >= USER_TOP)
            return -EPERM;
        set_fs(addr);
        return 0;
    case 0x1003:
        return put_user64((void *)addr, get_fs());
    case 0x1004:
        return put_user64((void *)addr, t->guest_gs);
    }
    return NOT_LOCAL;
}

s64 local_call(struct stop *s, u64 nr)
{
    struct tcb *t = s->t;
    struct regs *r = s->r;
    struct channel *ch = t->ch;
    u64 a0 = r->di, a1 = r->si, a2 = r->dx, a3 = r->r10, a4 = r->r8, a5 = r->r9;
    switch (nr) {
    case 39: return ch->id.pid;
    case 186: return ch->id.tid;
    case 110: return ch->id.ppid;
    case 102: return ch->id.uid;
    case 104: return ch->id.gid;
    case 107: return ch->id.euid;
    case 108: return ch->id.egid;
    case 24: return gate1(24, 0);
    case 14: return local_sigprocmask(t, a0, (void *)a1, (void *)a2, a3);
    case 131: return local_sigaltstack(t, r, (void *)a0, (void *)a1);
    case 228: return local_clock_gettime(a0, (u64 *)a1);
    case 98: case 100: return settle_cpu_clock(nr, 0);
    case 96: return local_gettimeofday((void *)a0, (void *)a1);
    case 201: {
        u64 v[2];
        if (!proc.gettimeofday || proc.gettimeofday(v, NULL))
            return NOT_LOCAL;
        if (a0 && put_user64((void *)a0, v[0]))
            return -EFAULT;
        return (s64)v[0];
    }
    case 309: {
        u32 cpu, node;
        if (!proc.getcpu || proc.getcpu(&cpu, &node, NULL)) {
            cpu = current_cpu();
            node = 0;
        }
        if ((a0 && put_user32((void *)a0, cpu)) || (a1 && put_user32((void *)a1, node)))
            return -EFAULT;
        return 0;
    }
    case 202: return local_futex(s, a0, (u32)a1, a2, a3, a4, a5);
    case 9:
        if (!(a3 & MAP_ANONYMOUS))
            return NOT_LOCAL;
        return local_mmap(a0, a1, a2, a3, a5);
    case 11: return local_munmap(a0, a1);
    case 10:
        if (hits_stub(a0, a1))
            return -ENOMEM;
        return gate3(10, a0, a1, a2);
    case 25:
        if (hits_stub(a0, a1) || ((a3 & 2) && hits_stub(a4, a2)))
            return -EFAULT;
        if (a1 == 0 || (a3 & ~7UL))
            return -EINVAL;
        return gate6(25, a0, a1, a2, a3, a4, 0);
    case 28:
        if (hits_stub(a0, a1))
            return -EINVAL;
        if (a2 > 25 || !((1u << a2) & 0x03ffc51fu))
            return NOT_LOCAL;
        return gate3(28, a0, a1, a2);
    case 12: return local_brk(a0);
    case 149: case 150: /* mlock, munlock */
        if (hits_stub(a0, a1))
            return -ENOMEM;
        return gate2(nr, a0, a1);
    case 325:
        if (hits_stub(a0, a1))
            return -ENOMEM;
        return gate3(nr, a0, a1, a2);
    case 26: case 27: /* msync, mincore */
        if (hits_stub(a0, a1))
            return -ENOMEM;
        return gate3(nr, a0, a1, a2);
    case 324: { /* only the commands that keep to this process */
        u32 command = (u32)a0;
        if ((command & ~MEMBARRIER_ALLOWED) || (command & (command - 1)))
            return -EINVAL;
        s64 e = gate3(324, command, a1, a2);
        if (command == 0)
            return e > 0 ? e & (s64)MEMBARRIER_ALLOWED : e;
        if (e == 0 && (command & MEMBARRIER_REGISTER))
            __atomic_fetch_or(&proc.membarriers, command >> 1, __ATOMIC_RELAXED);
        /* The stub's own registration, or the one of the image before. */
        return e == 0 && !(command & MEMBARRIER_REGISTER) && !(proc.membarriers & command) ? -EPERM : e;
    }
    case 218:
        ch->clear_tid = a0;
        return ch->id.tid;
    case 273:
        if (a1 != 24) /* sizeof(struct robust_list_head) */
            return -EINVAL;
        ch->robust_list = a0;
        return 0;
    case 334: { /* noted for execve, which gives it up */
        s64 e = gate6(334, a0, a1, a2, a3, 0, 0);
        if (e == 0) {
            t->rseq = (u32)a2 & 1 ? 0 : a0;
            t->rseq_len = (u32)a1;
            t->rseq_sig = (u32)a3;
        }
        return e;
    }
    case 158: return local_arch_prctl(s, a0, a1);
    }
    return NOT_LOCAL;
}
