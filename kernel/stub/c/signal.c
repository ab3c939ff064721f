/* Host signals (traps, faults, interruptions) and the application's signal frames. */
#include "stub.h"

#define UC_FP_XSTATE 1
#define UC_SIGCONTEXT_SS 2
#define UC_STRICT_RESTORE_SS 4
#define SA_SIGINFO 4UL
#define SA_ONSTACK 0x08000000UL
#define SA_RESTART 0x10000000UL
#define SA_RESTORER 0x04000000UL
#define SA_NODEFER 0x40000000UL
#define X86_EFLAGS_TF 0x100UL
#define X86_EFLAGS_HANDLER_CLEARS 0x10500UL /* RF, DF, TF */
#define AUDIT_ARCH_X86_64 0xc000003eU

extern void set_gs(u64);
extern char string_start[], string_end[], string_fixup[];

/* The stub's own code, or the vDSO called by it: application code never runs on the stub's stacks. */
static int in_stub(const struct regs *r) { return in_stub_range(r->ip) || in_stub_range(r->sp); }

/* Goes on with `r` as the thread's registers and `fpstate` (0: initial) as its vector state, through the host's rt_sigreturn. */
void enter_context(struct tcb *t, struct regs *r, u64 fpstate)
{
    struct ucontext uc __attribute__((aligned(16)));
    zero_bytes(&uc, sizeof uc);
    uc.flags = UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS | (fpstate ? UC_FP_XSTATE : 0);
    uc.stack.sp = (u64)t + REGION_ALTSTACK;
    uc.stack.size = REGION_SIZE - REGION_ALTSTACK;
    uc.mc.r = *r;
    uc.mc.cs = 0x33;
    uc.mc.ss = 0x2b;
    uc.mc.fpstate = fpstate;
    gate_sigreturn(&uc);
}

/* Where the vector state goes: returns the bytes that the application's frame needs for it. */
static u64 fp_size(const struct stop *s)
{
    if (s->uc && s->uc->mc.fpstate) {
        const struct fpx_sw_bytes *sw = (void *)(s->uc->mc.fpstate + 464);
        u32 magic = 0, size = 0;
        if (get_user32(&magic, &sw->magic1) == 0 && get_user32(&size, &sw->extended_size) == 0 && magic == FP_XSTATE_MAGIC1 && size >= 576 && size < 16384)
            return size;
        return 512;
    }
    return proc.xsave_size + 4UL;
}

static s64 store_fp(const struct stop *s, u64 at, u64 size)
{
    u64 zeros[8] = {0};
    if (s->uc && s->uc->mc.fpstate)
        return copy_user((void *)at, (void *)s->uc->mc.fpstate, size) ? -EFAULT : 0;
    if (s->uc) { /* initial state: a second signal at one stop */
        for (u64 i = 0; i < proc.xsave_size; i += 64) {
            if (copy_user((void *)(at + i), zeros, proc.xsave_size - i < 64 ? proc.xsave_size - i : 64))
                return -EFAULT;
        }
        if (put_user32((void *)at, 0x37f) || put_user32((void *)(at + 24), 0x1f80))
            return -EFAULT;
    } else {
        if (copy_user((void *)(at + 512), zeros, 64))
            return -EFAULT;
        if (xsave_user((void *)at, (u32)proc.xsave_mask, (u32)(proc.xsave_mask >> 32)))
            return -EFAULT;
    }
    struct fpx_sw_bytes sw;
    zero_bytes(&sw, sizeof sw);
    sw.magic1 = FP_XSTATE_MAGIC1;
    sw.extended_size = (u32)size;
    sw.xfeatures = proc.xsave_mask;
    sw.xstate_size = proc.xsave_size;
    if (copy_user((void *)(at + 464), &sw, sizeof sw))
        return -EFAULT;
    return put_user32((void *)(at + proc.xsave_size), FP_XSTATE_MAGIC2);
}

/* What an interrupted call looks like below the frame. */
static void apply_outcome(struct tcb *t, struct regs *r, const struct signal_frame *f, u64 nr)
{
    u32 outcome = f->outcome;
    s64 value = f->value;
    if (t->waiting != WAIT_NONE && outcome == 0) { /* a local futex wait: timed ones end, untimed ones follow SA_RESTART */
        outcome = t->waiting == WAIT_UNTIMED && (f->flags & SA_RESTART) ? 2 : 1;
        value = -EINTR;
        nr = 202;
    }
    switch (outcome) {
    case 1: r->ax = (u64)value; break;
    case 2:
        r->ax = nr;
        r->ip -= 2;
        break;
    case 3:
        r->ax = 219;
        r->ip -= 2;
        break;
    }
}

/* Builds an rt_sigframe (arch/x86/kernel/signal_64.c) and enters the handler. Returns a negated errno if the stack is bad;
 * on the patched path it does not return otherwise. */
s64 deliver_signal(struct stop *s, struct signal_frame *f, u64 nr)
{
    struct tcb *t = s->t;
    struct channel *ch = t->ch;
    struct regs r = *s->r;
    apply_outcome(t, &r, f, nr);

    u64 alt_sp = ch->alt_sp, alt_size = ch->alt_size, sp = r.sp - 128;
    int autodisarm = (ch->alt_flags & 0x80000000u) != 0;
    int on_alt = alt_size && !autodisarm && r.sp - alt_sp - 1 < alt_size;
    int entering = 0;
    if (!(f->flags & SA_RESTORER))
        return -EFAULT;
    if ((f->flags & SA_ONSTACK) && alt_size && !on_alt) {
        sp = alt_sp + alt_size;
        entering = 1;
    }
    u64 fps = fp_size(s), fpstate = (sp - fps) & ~63UL;
    u64 frame = ((fpstate - sizeof(struct rt_sigframe)) & ~15UL) - 8;
    if ((on_alt || entering) && frame - alt_sp >= alt_size)
        return -EFAULT;
    if (in_stub_range(frame) || in_stub_range(sp))
        return -EFAULT;

    struct rt_sigframe k;
    zero_bytes(&k, sizeof k);
    k.pretcode = f->restorer;
    k.uc.flags = UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS;
    k.uc.stack.sp = alt_sp;
    k.uc.stack.size = alt_size;
    k.uc.stack.flags = (s32)(alt_size ? ch->alt_flags : SS_DISABLE); /* as it was set, not whether it is in use */
    k.uc.mc.r = r;
    k.uc.mc.cs = 0x33;
    k.uc.mc.ss = 0x2b;
    if (s->uc) {
        k.uc.mc.err = s->uc->mc.err;
        k.uc.mc.trapno = s->uc->mc.trapno;
        k.uc.mc.cr2 = s->uc->mc.cr2;
    }
    k.uc.mc.oldmask = f->old_mask;
    k.uc.mc.fpstate = fpstate;
    k.uc.sigmask = f->old_mask;
    copy_bytes(k.info, f->info, sizeof k.info);
    if (store_fp(s, fpstate, fps))
        return -EFAULT;
    if (copy_user((void *)frame, &k, sizeof k))
        return -EFAULT;

    if (autodisarm) {
        ch->alt_sp = ch->alt_size = 0;
        ch->alt_flags = 0;
    }
    t->waiting = WAIT_NONE;
    __atomic_exchange_n(&ch->sigmask, f->new_mask, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&ch->pending, __ATOMIC_SEQ_CST) & ~f->new_mask)
        t->kicked = 1;
    r.di = (u64)f->signo;
    r.si = frame + offsetof(struct rt_sigframe, info);
    r.dx = frame + offsetof(struct rt_sigframe, uc);
    r.ax = 0;
    r.ip = f->handler;
    r.sp = frame;
    r.flags &= ~X86_EFLAGS_HANDLER_CLEARS;
    if (s->uc) {
        s->uc->mc.r = r;
        s->uc->mc.fpstate = 0; /* a handler starts with initial vector state */
        s->uc->flags &= ~(u64)UC_FP_XSTATE;
        return 0;
    }
    enter_context(t, &r, 0);
}

/* The application's rt_sigreturn: its frame, with the mask and the alternate stack taken by the stub. */
s64 guest_sigreturn(struct stop *s)
{
    struct tcb *t = s->t;
    struct channel *ch = t->ch;
    struct ucontext uc;
    if (in_stub_range(s->r->sp) || copy_user(&uc, (void *)s->r->sp, sizeof uc))
        return -EFAULT;
    u64 mask = uc.sigmask & ~((1UL << 8) | (1UL << 18));
    set_altstack(ch, uc.mc.r.sp, uc.stack.sp, uc.stack.size, (u32)uc.stack.flags); /* errors are ignored, as by Linux */
    __atomic_exchange_n(&ch->sigmask, mask, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&ch->pending, __ATOMIC_SEQ_CST) & ~mask)
        t->kicked = 1;
    uc.mc.cs = 0x33;
    uc.mc.ss = 0x2b;
    if (s->uc) {
        s->uc->mc = uc.mc;
        s->uc->flags = uc.flags & 7;
        return 0;
    }
    enter_context(t, &uc.mc.r, uc.mc.fpstate);
}

/* Before the host's rt_sigreturn, when an interruption was noted. 1: not at an application boundary, just return. */
int sig_slow_exit(struct ucontext *uc)
{
    struct tcb *t = tcb_of_stack(uc);
    if (in_stub(&uc->mc.r))
        return 1;
    t->kicked = 0;
    /* Not where a step or fault of the application's is reported: a program that steps would come to the same trampoline for ever. */
    uc->mc.r.ip = original_ip(uc->mc.r.ip);
    struct stop s = {t, &uc->mc.r, uc};
    handle_event(&s, REQ_INTERRUPTED, 0, 0, 0, 0, 0);
    return 0;
}

static void on_kick(struct tcb *t, struct ucontext *uc)
{
    struct regs *r = &uc->mc.r;
    t->kicked = 1;
    if (!in_stub(r))
        return; /* sig_exit_check asks the sentry */
    if (r->ip >= (u64)gate_futex_check && r->ip <= (u64)gate_futex_syscall)
        r->ip = (u64)gate_futex_abort;
    else if (r->ip >= (u64)sig_exit_check && r->ip < (u64)sig_exit_end)
        r->ip = (u64)sig_exit_check;
    else if (r->ip >= (u64)exit_check && r->ip < (u64)exit_end) {
        r->ip = (u64)exit_check;
        r->sp = t->sysstack - sizeof(struct regs);
    }
}

/* A patched call arrived while GS is the application's own: go on as if it had trapped. */
static void on_patched_trap(struct tcb *t, struct ucontext *uc)
{
    struct regs *r = &uc->mc.r;
    const s32 *d = (const s32 *)r->r11;
    s32 to_return, to_resume;
    if (get_user32((u32 *)&to_return, d) || get_user32((u32 *)&to_resume, d + 1))
        return;
    u64 resume = (u64)d + (u64)(s64)to_resume;
    r->ip = (u64)d + (u64)(s64)to_return;
    r->cx = r->ip;
    r->r11 = r->flags;
    u64 at = r->ip;
    struct stop s = {t, r, uc};
    handle_syscall(&s);
    if (r->ip == at)
        r->ip = resume;
}

static int fix_copy(struct regs *r)
{
    if (r->ip >= (u64)copy_start && r->ip < (u64)copy_end)
        r->ip = (u64)copy_fixup;
    else if (r->ip >= (u64)string_start && r->ip < (u64)string_end)
        r->ip = (u64)string_fixup;
    else if (r->ip >= (u64)word_start && r->ip < (u64)word_end)
        r->ip = (u64)word_fixup;
    else
        return 0;
    return 1;
}

/* The application has unmapped the vDSO, which the stub calls: as if it did not know the clock. */
static int vdso_is_gone(struct regs *r)
{
    u64 ip = r->ip;
    if (!ip || !in_stub_range(r->sp) || (ip != (u64)proc.clock_gettime && ip != (u64)proc.gettimeofday && ip != (u64)proc.getcpu))
        return 0;
    r->ax = (u64)-ENOSYS;
    r->ip = *(u64 *)r->sp;
    r->sp += 8;
    return 1;
}

static void on_fault(struct tcb *t, s32 sig, struct siginfo *info, struct ucontext *uc)
{
    struct regs *r = &uc->mc.r;
    if (in_stub_range(r->ip)) {
        if (sig == 5) { /* single steps go on after the call, for which the flags must be saved with TF */
            if (r->ip < (u64)stub_entry || r->ip >= (u64)stub_entry_saved)
                r->flags &= ~X86_EFLAGS_TF;
            return;
        }
        if (fix_copy(r))
            return;
        if ((sig == 11 && r->ip == (u64)stub_entry) || (sig == 4 && r->ip == (u64)stub_entry_bad_gs)) {
            on_patched_trap(t, uc);
            return;
        }
        /* The application has damaged the stub or its thread block: it ends as by a fault of its own. */
    } else if (vdso_is_gone(r)) {
        return;
    }
    if (sig == 4 && patched_boundary(t, uc))
        return;
    struct stop s = {t, r, uc};
    handle_event(&s, REQ_FAULT, (u64)sig, (u64)(s64)info->code, info->addr, uc->mc.trapno, uc->mc.err);
}

static void on_trap(struct tcb *t, struct siginfo *info, struct ucontext *uc)
{
    struct regs *r = &uc->mc.r;
    if (in_stub_range(r->ip)) { /* a host call that the filter refused */
        r->ax = (u64)-EPERM;
        return;
    }
    if (in_stub_range(r->sp)) { /* the vDSO, called by the stub, falls back on a system call */
        r->ax = (u64)-ENOSYS;
        return;
    }
    if (info->arch != AUDIT_ARCH_X86_64) { /* int 0x80: there is no 32-bit table */
        r->ax = (u64)-ENOSYS;
        return;
    }
    t->ch->stats_trap++;
    u64 site = r->ip;
    u64 nr = r->ax;
    struct stop s = {t, r, uc};
    if ((u32)nr == 60) {
        /* A thread's exit does not return. */
        t->last_nr = nr;
        count_trap(&s, site);
    }
    handle_syscall(&s);
    t->last_nr = nr;
    count_trap(&s, site);
}

void host_signal(s32 sig, struct siginfo *info, struct ucontext *uc)
{
    struct tcb *t = tcb_of_stack(uc);
    switch (sig) {
    case 31: on_trap(t, info, uc); break;
    case KICK_SIGNAL: on_kick(t, uc); break;
    default: on_fault(t, sig, info, uc);
    }
}

void setup_signals(struct tcb *t)
{
    static const u8 signals[] = {31, 11, 7, 8, 4, 5, KICK_SIGNAL};
    struct {
        void *handler;
        u64 flags;
        void *restorer;
        u64 mask;
    } sa = {(void *)host_signal, SA_SIGINFO | SA_ONSTACK | SA_RESTORER | SA_NODEFER, (void *)restorer, 0};
    struct sigstack ss = {(u64)t + REGION_ALTSTACK, 0, 0, REGION_SIZE - REGION_ALTSTACK};
    u64 none = 0;
    gate2(131, &ss, 0);
    for (u32 i = 0; i < sizeof signals; i++)
        gate6(13, signals[i], &sa, 0, 8, 0, 0);
    gate6(14, 2, &none, 0, 8, 0, 0);
}

/* Leaves a patched call through the host's rt_sigreturn instead of its own exit. Does not return. */
void leave_patched(struct tcb *t, struct regs *r, u64 ip)
{
    struct stop s = {t, r, NULL};
    struct regs to = *r;
    u64 fp = (u64)t + REGION_FP;
    to.ip = ip;
    if (store_fp(&s, fp, fp_size(&s)))
        fp = 0;
    if (t->guest_gs)
        set_gs(t->guest_gs); /* nothing from here on uses the stub's */
    enter_context(t, &to, fp);
}

/* Vector state for a new thread, which inherits its parent's. */
s64 store_fp_for_child(const struct stop *s, u64 at)
{
    u64 size = fp_size(s);
    if (s->uc && !s->uc->mc.fpstate)
        return -EINVAL;
    return size > 0x6000 ? -EINVAL : store_fp(s, at, size);
}
