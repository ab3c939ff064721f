/* Start of the zygote, clone, exec and exit. */
#include "stub.h"

#define CLONE_THREAD_FLAGS 0x150f00UL /* VM FS FILES SIGHAND THREAD SYSVSEM PARENT_SETTID: what the filter allows */
#define CLONE_FORK_FLAGS 0x8000UL     /* PARENT: the sentry reaps, and no exit signal can be chosen */
#define MADV_DONTFORK 10

extern void set_gs(u64), set_fs(u64);
extern u64 get_fs(void);
extern void switch_stack(void *arg, void *sp, void (*fn)(void *)) __attribute__((noreturn));

static struct channel *channel_at(u32 slot) { return (struct channel *)(CHANNEL_BASE + (u64)slot * CHANNEL_SIZE); }

static s64 map_slab(s64 fd, u32 index)
{
    u64 at = CHANNEL_BASE + (u64)index * SLAB_SIZE;
    s64 e = gate6(9, at, SLAB_SIZE, 3, MAP_SHARED | MAP_FIXED, fd, 0);
    if (!is_error(e)) {
        e = gate3(28, at, SLAB_SIZE, MADV_DONTFORK);
    }
    gate1(3, fd);
    return is_error(e) ? e : 0;
}

/* The thread block of region `region`, which must be mapped. */
struct tcb *init_region(u32 region, u32 slot)
{
    struct tcb *t = (struct tcb *)(STACK_BASE + (u64)region * REGION_SIZE);
    zero_bytes(t, sizeof *t);
    t->magic = TCB_MAGIC;
    t->self = t;
    t->sysstack = (u64)t + REGION_SYSSTACK_TOP;
    t->ch = channel_at(slot);
    t->region = region;
    t->seq = t->ch->req_seq;
    return t;
}

static s64 map_region(u32 region)
{
    s64 e = gate6(9, STACK_BASE + (u64)region * REGION_SIZE, REGION_SIZE, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    return is_error(e) ? e : 0;
}

/* An interruption from before the sentry knew the host thread; whoever goes on to application code looks at `kicked`. */
static void take_kick(struct tcb *t)
{
    if (__atomic_exchange_n(&t->ch->kick, 0, __ATOMIC_SEQ_CST))
        t->kicked = 1;
}

/* First steps of a new application thread, on its own syscall stack. Its registers wait in its region. */
static void thread_start(struct ucontext *uc)
{
    struct tcb *t = tcb_of_stack(uc);
    set_gs(t->guest_gs ? t->guest_gs : (u64)t);
    if (uc->link & CLONE_OP_SETTLS)
        set_fs(uc->mc.reserved[0]);
    if (uc->link & CLONE_OP_CHILD_SETTID)
        put_user32((void *)uc->mc.reserved[1], (u32)uc->mc.reserved[2]);
    u64 report = uc->link & CLONE_OP_REPORT;
    uc->link = 0;
    uc->mc.reserved[0] = uc->mc.reserved[1] = uc->mc.reserved[2] = 0;
    if (report) {
        struct stop s = {t, &uc->mc.r, uc};
        handle_event(&s, REQ_STARTED, 0, 0, 0, 0, 0);
    }
    take_kick(t);
    gate_sigreturn(uc);
}

extern s64 store_fp_for_child(const struct stop *s, u64 at);

static s64 clone_thread(struct stop *s, u64 *op)
{
    struct channel *ch = s->t->ch;
    u64 flags = op[0];
    u32 slot = (u32)op[6], region = slot; /* one number names both */
    s64 e;
    if (flags & CLONE_OP_MAP_SLAB) {
        e = notify(NOTIF_SLAB, ch->slot, slot / SLAB_CHANNELS, ch->space);
        if (!is_error(e))
            e = map_slab(e, slot / SLAB_CHANNELS);
        if (e)
            return e;
    }
    if ((flags & CLONE_OP_MAP_REGION) && (e = map_region(region)))
        return e;
    struct tcb *c = init_region(region, slot);
    struct ucontext *uc = (struct ucontext *)((u64)c + 0x1000);
    u64 fp = (u64)c + REGION_FP;
    c->guest_gs = s->t->guest_gs;
    zero_bytes(uc, sizeof *uc);
    uc->flags = 7;
    uc->stack.sp = (u64)c + REGION_ALTSTACK;
    uc->stack.size = REGION_SIZE - REGION_ALTSTACK;
    uc->mc.r = *s->r;
    uc->mc.r.ax = 0;
    if (flags & CLONE_OP_NEW_STACK)
        uc->mc.r.sp = op[1];
    uc->mc.cs = 0x33;
    uc->mc.ss = 0x2b;
    uc->mc.fpstate = store_fp_for_child(s, fp) ? 0 : fp;
    uc->link = flags;
    uc->mc.reserved[0] = op[2];
    uc->mc.reserved[1] = op[4];
    uc->mc.reserved[2] = op[5];
    if (flags & CLONE_OP_PARENT_SETTID)
        put_user32((void *)op[3], (u32)op[5]);
    u64 *sp = (u64 *)(c->sysstack - 32);
    sp[0] = (u64)uc;
    sp[1] = (u64)thread_start;
    register_sync_core();
    e = gate_clone(CLONE_THREAD_FLAGS, (u64)sp, &c->ch->host_tid, NULL, 0);
    return e < 0 ? e : 0;
}

/* A forked child: only the forking thread, on copies of its stacks. It has no channel until it has claimed one, which then
 * stands at the same address as its parent's. */
static void claim(struct tcb *t, u64 lo, u64 hi)
{
    /* Nothing of the parent's channels is here (the sentry keeps forks and new slabs apart); make sure. */
    gate2(11, CHANNEL_BASE, STACK_BASE - CHANNEL_BASE);
    /* The parent's; one that comes from now on is this thread's own: the sentry can signal it before the claim has returned. */
    t->kicked = 0;
    s64 fd = notify(NOTIF_CLAIM, lo, hi, 0);
    if (fd < 0 || map_slab(fd, t->region / SLAB_CHANNELS))
        gate1(60, 127);
    t->seq = t->ch->req_seq;
    proc.brk_lock = 0;
    proc.patch_busy = 0;
    proc.patch_window = 0;
    proc.fds_lock = 0;
    for (u32 i = 0; i < DONATED; i++) {
        /* What another thread of the parent was about to map. (A number that it had not got yet is closed in vain.) */
        if (proc.fds[i].users && (!proc.fds[i].used || !proc.fds[i].id)) {
            gate1(3, DONATED_FD + i);
            proc.fds[i].used = 0;
        }
        proc.fds[i].users = 0;
    }
    proc.sync_core = 0;
}

s64 do_clone(struct stop *s)
{
    struct tcb *t = s->t;
    struct channel *ch = t->ch;
    u64 op[8];
    s64 e;
    copy_bytes(op, ch->op, sizeof op);
    if (op[0] & CLONE_OP_SHARE_VM) {
        e = clone_thread(s, op);
        if (e == 0 && !(op[0] & CLONE_OP_HOLD))
            return (s64)op[5];
    } else {
        if (op[0] & CLONE_OP_PARENT_SETTID)
            put_user32((void *)op[3], (u32)op[5]);
        e = gate_clone(CLONE_FORK_FLAGS, 0, NULL, NULL, 0);
        if (e == 0) {
            claim(t, op[6], op[7]);
            if (op[0] & CLONE_OP_CHILD_SETTID)
                put_user32((void *)op[4], (u32)op[5]);
            if (op[0] & CLONE_OP_SETTLS)
                set_fs(op[2]);
            s->r->ax = 0;
            if (op[0] & CLONE_OP_NEW_STACK) {
                s->r->sp = op[1];
                if (!s->uc)
                    t->user_rsp = op[1];
            }
            take_kick(t);
            return 0;
        }
        if (e > 0 && !(op[0] & CLONE_OP_HOLD)) {
            ch->forked_pid = (s32)e;
            return (s64)op[5];
        }
    }
    ch->args[0] = (u64)e;
    wait_reply(t, send_request(t, REQ_CLONED, 0));
    return NOT_LOCAL;
}

/* Threads that die holding robust futexes mark them (Documentation/locking/robust-futexes.rst). The host cannot: it knows other tids. */
static void robust_word(struct tcb *t, u64 entry, s64 offset, int pending)
{
    u32 word, seen, tid = (u32)t->ch->id.tid;
    u64 at = entry + (u64)offset;
    if (at & 3)
        return;
    for (int tries = 0; tries < 64; tries++) {
        if (get_user32(&word, (void *)at))
            return;
        if (pending && word == 0) {
            gate6(202, at, 1, 1, 0, 0, 0);
            return;
        }
        if ((word & 0x3fffffff) != tid)
            return;
        if (cmpxchg_user32((void *)at, word, (word & 0x80000000u) | 0x40000000u, &seen))
            return;
        if (seen != word)
            continue;
        if (word & 0x80000000u)
            gate6(202, at, 1, 1, 0, 0, 0);
        return;
    }
}

static void walk_robust_list(struct tcb *t, u64 head)
{
    u64 entry, offset, pending, next;
    if (get_user64(&entry, (void *)head) || get_user64(&offset, (void *)(head + 8)) || get_user64(&pending, (void *)(head + 16)))
        return;
    for (int limit = 2048; limit && (entry & ~1UL) != head; limit--) {
        if (get_user64(&next, (void *)(entry & ~1UL)))
            next = head;
        if ((entry & ~1UL) != (pending & ~1UL))
            robust_word(t, entry & ~1UL, (s64)offset, 0);
        entry = next;
    }
    if (pending & ~1UL)
        robust_word(t, pending & ~1UL, (s64)offset, 1);
}

void do_exit(struct tcb *t)
{
    struct channel *ch = t->ch;
    u64 clear_tid = ch->op[0], robust = ch->op[1];
    if (robust)
        walk_robust_list(t, robust);
    gate1(218, clear_tid);
    for (;;)
        gate1(60, 0);
}

static const u8 zeros[4096];

static void unmap(u64 from, u64 to)
{
    if (from < to)
        gate2(11, from, to - from);
}

/* Closes what is not in the cache (a descriptor that another thread was about to map when the process was forked) and what not everybody may
 * read: the old image may have been given that by somebody with other rights. What stays are libraries, which the new image maps again. */
static void close_stray_fds(void)
{
    u32 from = 0;
    for (u32 i = 0; i < DONATED; i++) {
        proc.fds[i].users = 0;
        if (!(proc.fds[i].id & KEPT_OVER_EXEC))
            proc.fds[i].used = 0;
        if (!proc.fds[i].used)
            continue;
        if (from < DONATED_FD + i)
            gate3(436, from, DONATED_FD + i - 1, 0);
        from = DONATED_FD + i + 1;
    }
    gate3(436, from, ~0U, 0);
}

/* The old image goes, in the process of its only thread: all of the application's memory but the vDSO's. */
static void reset_image(struct tcb *t, u64 keep, u64 keep_end, u64 robust)
{
    if (robust)
        walk_robust_list(t, robust);
    if (t->rseq && gate6(334, t->rseq, t->rseq_len, 1, t->rseq_sig, 0, 0)) {
        /* The area cannot be written any more, but the host wants to. */
        gate6(9, t->rseq & ~4095UL, 8192, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        gate6(334, t->rseq, t->rseq_len, 1, t->rseq_sig, 0, 0);
    }
    t->rseq = 0;
    unmap(0, STUB_BASE);
    unmap(STUB_END, keep);
    unmap(keep_end, USER_TOP);
    close_stray_fds();
    zero_bytes(proc.sites, sizeof proc.sites);
    proc.traps = 0;
    proc.patch_window = proc.patch_trampoline = 0;
    proc.patch_busy = 0;
    proc.brk_lock = 0;
    proc.membarriers = 0;
}

/* The vDSO lies at `at` from now on. */
static void set_vdso(u64 at)
{
    u64 by = at - proc.vdso;
    proc.vdso = at;
    if (proc.clock_gettime)
        proc.clock_gettime = (void *)((u64)proc.clock_gettime + by);
    if (proc.gettimeofday)
        proc.gettimeofday = (void *)((u64)proc.gettimeofday + by);
    if (proc.getcpu)
        proc.getcpu = (void *)((u64)proc.getcpu + by);
}

static s64 image_step(struct tcb *t, const struct image_op *o)
{
    struct channel *ch = t->ch;
    s64 e, fd = -1;
    s32 at = -1;
    switch (o->kind) {
    case OP_MMAP:
        if (o->fd >= 0 && (fd = donated_fd(t, o->id, o->fd, &at)) < 0)
            return fd;
        e = gate6(9, o->addr, o->len, o->prot, o->flags, fd, o->offset);
        if (fd >= 0)
            release_fd(fd, at);
        if (is_error(e))
            return e;
        return (o->flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) && (u64)e != o->addr ? -ENOMEM : 0;
    case OP_RESET:
        reset_image(t, o->addr, o->addr + o->len, o->offset);
        return 0;
    case OP_MOVE:
        e = gate6(25, o->offset, o->len, o->len, 3, o->addr, 0); /* MREMAP_MAYMOVE | MREMAP_FIXED */
        return is_error(e) ? e : 0;
    case OP_VDSO:
        set_vdso(o->addr);
        return 0;
    case OP_RESERVE:
        gate6(9, o->addr, o->len, o->prot, o->flags, -1, 0);
        return 0;
    case OP_ZERO:
        for (u64 to = o->addr, left = o->len; left;) {
            u64 n = left < sizeof zeros ? left : sizeof zeros;
            if (copy_user((void *)to, zeros, n))
                return -EFAULT;
            to += n;
            left -= n;
        }
        return 0;
    case OP_WRITE:
        if (o->offset > BOUNCE_SIZE || o->len > BOUNCE_SIZE - o->offset)
            return -EINVAL;
        return copy_user((void *)o->addr, ch->data + o->offset, o->len) ? -EFAULT : 0;
    }
    return -EINVAL;
}

/* The files that the image's steps map are few, and asking for each costs a sleep. */
static void fetch_image_fds(struct tcb *t, u64 count)
{
    struct image_op o;
    u64 ids[4];
    s32 indices[4];
    u32 n = 0;
    for (u64 i = 0; i < count && n < 4; i++) {
        copy_bytes(&o, t->ch->data + t->ch->out0.off + i * sizeof o, sizeof o);
        u32 k = 0;
        while (k < n && ids[k] != o.id)
            k++;
        if (o.kind != OP_MMAP || o.fd < 0 || k < n)
            continue;
        ids[n] = o.id;
        indices[n++] = o.fd;
    }
    fetch_fds(t, ids, indices, n);
}

void run_exec(struct tcb *t)
{
    struct channel *ch = t->ch;
    u64 count = ch->op[0], entry = ch->op[1], stack = ch->op[2], brk = ch->op[3];
    struct regs r;
    struct image_op o;
    zero_bytes(&r, sizeof r);
    fetch_image_fds(t, count);
    for (u64 i = 0; i < count; i++) {
        copy_bytes(&o, ch->data + ch->out0.off + i * sizeof o, sizeof o);
        s64 e = image_step(t, &o);
        if (e) {
            struct stop s = {t, &r, NULL};
            handle_event(&s, REQ_BROKEN, (u64)-e, i, 0, 0, 0);
            do_exit(t);
        }
    }
    purge_fds(0);
    proc.brk_start = proc.brk_now = brk;
    ch->brk_start = brk;
    set_fs(0);
    t->guest_gs = 0;
    set_gs((u64)t);
    r.ip = entry;
    r.sp = stack;
    r.flags = 0x202;
    /* A signal that is already pending is delivered onto a context of its own. */
    struct ucontext uc __attribute__((aligned(16)));
    zero_bytes(&uc, sizeof uc);
    uc.flags = 6;
    uc.stack.sp = (u64)t + REGION_ALTSTACK;
    uc.stack.size = REGION_SIZE - REGION_ALTSTACK;
    uc.mc.r = r;
    uc.mc.cs = 0x33;
    uc.mc.ss = 0x2b;
    take_kick(t);
    gate_sigreturn(&uc);
}

/* The zygote: forks a fresh stub whenever a reply asks for one. The first reply has arrived. */
void zygote_loop(struct tcb *t)
{
    struct channel *ch = t->ch;
    struct regs r;
    zero_bytes(&r, sizeof r);
    for (;;) {
        s64 e = 0;
        if (ch->rep_kind == REP_FORK) {
            u64 lo = ch->op[6], hi = ch->op[7];
            e = gate_clone(CLONE_FORK_FLAGS, 0, NULL, NULL, 0);
            if (e == 0) {
                claim(t, lo, hi);
                struct stop s = {t, &r, NULL};
                handle_event(&s, REQ_STARTED, 0, 0, 0, 0, 0); /* a spare: the reply is REP_EXEC or REP_EXIT */
                do_exit(t);
            }
        }
        ch->args[0] = (u64)e;
        wait_reply(t, send_request(t, REQ_ZYGOTE, 0));
    }
}

static void zygote_main(void *arg)
{
    struct tcb *t = arg;
    struct channel *ch = t->ch;
    struct boot *b = (struct boot *)ch->data;
    struct {
        u16 len;
        u64 filter;
    } prog = {(u16)b->bpf_len, (u64)b->bpf};
    set_gs((u64)t);
    setup_signals(t);
    /* What the host has left above the stack that is moved with each image. (Some hosts have the vDSO there.) */
    u64 above = ch->args[2] + 8192, top = above + 0x10000;
    if (top <= USER_TOP && (proc.vdso < above || proc.vdso > top + 0x20000))
        unmap(above - 4096, top);
    else if (top > USER_TOP)
        unmap(above - 4096, USER_TOP);
    ch->args[1] = proc.vdso;
    gate6(157, 38, 1, 0, 0, 0, 0); /* PR_SET_NO_NEW_PRIVS */
    s64 fd = gate3(317, 1, 8, &prog); /* SECCOMP_SET_MODE_FILTER, NEW_LISTENER */
    struct regs r;
    zero_bytes(&r, sizeof r);
    ch->args[0] = (u64)fd;
    wait_reply(t, send_request(t, REQ_ZYGOTE, 1));
    if (fd < 0)
        do_exit(t);
    gate1(3, fd);
    zygote_loop(t);
}

#define AT_SYSINFO_EHDR 33
#define STACK_ROOM (3UL << 20)

/* Entry: descriptor 3 is the boot slab. `sp` points at argc. */
void stub_main(u64 *sp)
{
    u64 *v = sp + 1 + sp[0] + 1;
    while (*v)
        v++;
    v++;
    for (; v[0]; v += 2)
        if (v[0] == AT_SYSINFO_EHDR)
            proc.vdso = v[1];
    /* Where the host's mappings begin: nothing was mapped there yet but perhaps the vDSO. */
    s64 highest = gate6(9, 0, 4096, 0, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!is_error(highest))
        gate2(11, highest, 4096);
    if (map_slab(3, 0) || map_region(0))
        gate1(231, 125);
    struct tcb *t = init_region(0, 0);
    struct channel *ch = t->ch;
    struct boot *b = (struct boot *)ch->data;
    proc.xsave_mask = b->xsave_mask;
    proc.xsave_size = b->xsave_size;
    if (proc.vdso) {
        proc.clock_gettime = b->vdso_clock_gettime ? (void *)(proc.vdso + b->vdso_clock_gettime) : NULL;
        proc.gettimeofday = b->vdso_gettimeofday ? (void *)(proc.vdso + b->vdso_gettimeofday) : NULL;
        proc.getcpu = b->vdso_getcpu ? (void *)(proc.vdso + b->vdso_getcpu) : NULL;
    }
    ch->args[2] = (u64)sp & ~4095UL;
    ch->args[3] = (u64)highest;
    /* The stack area is the application's later: let it grow now, and leave nothing of ours in it. */
    *(volatile u8 *)((u64)sp - STACK_ROOM) = 0;
    u64 *end = v + 2;
    while (((u64)end & 4095) != 0)
        *end++ = 0;
    for (u64 *p = sp; p < v + 2; p++)
        *p = 0;
    switch_stack(t, (void *)(t->sysstack - 64), zygote_main);
}
