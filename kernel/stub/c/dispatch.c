/* From a system call to its answer: local, or a request to the sentry and what its reply asks for. */
#include "stub.h"

#define TIGHT_POLLS 100 /* before the first pause */
#define SPIN_LIMIT 500  /* polls in all; about 20 us */
#define NO_ROOM (-5002L)

struct process proc;

void copy_bytes(void *d, const void *s, u64 n) { __asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n)::"memory"); }
void zero_bytes(void *p, u64 n) { __asm__ volatile("rep stosb" : "+D"(p), "+c"(n) : "a"(0) : "memory"); }
/* The compiler may emit calls to these. */
void *memcpy(void *d, const void *s, u64 n)
{
    copy_bytes(d, s, n);
    return d;
}
void *memset(void *p, int v, u64 n)
{
    void *q = p;
    __asm__ volatile("rep stosb" : "+D"(q), "+c"(n) : "a"(v) : "memory");
    return p;
}

/* Publishes the request in the channel; its data must have been marshalled before. */
u32 send_request(struct tcb *t, u32 kind, u64 nr)
{
    struct channel *ch = t->ch;
    u32 seq = t->seq + 1;
    t->seq = seq;
    ch->req_kind = kind;
    ch->nr = (u32)nr;
    /* No barrier against the sentry's clearing of `watched`: a request that it does not see is notified when the spin has run out. */
    __atomic_store_n(&ch->req_seq, seq, __ATOMIC_RELEASE);
    return seq;
}

void wait_reply(struct tcb *t, u32 seq)
{
    struct channel *ch = t->ch;
    u32 spun = __atomic_load_n(&ch->watched, __ATOMIC_RELAXED);
    if (spun) {
        for (u32 i = 0; i < SPIN_LIMIT; i++) {
            if (likely(__atomic_load_n(&ch->rep_seq, __ATOMIC_ACQUIRE) == seq))
                return;
            if (__atomic_load_n(&ch->park_seq, __ATOMIC_RELAXED) == seq)
                break;
            if (i >= TIGHT_POLLS)
                pause_cpu();
        }
    }
    for (;;) {
        u32 now = __atomic_load_n(&ch->rep_seq, __ATOMIC_ACQUIRE);
        if (now == seq)
            return;
        /* The request has been taken and will be answered late: no need to tell anybody that this thread sleeps. */
        if (__atomic_load_n(&ch->park_seq, __ATOMIC_ACQUIRE) == seq) {
            gate6(202, &ch->rep_seq, 0, now, 0, 0, 0);
            continue;
        }
        s64 e = gate6(NOTIF_NR, NOTIF_WAIT, ch->slot, seq, ch->space, spun, current_cpu());
        if (unlikely(e == -ENOSYS)) /* nobody listens any more: the sandbox is gone */
            gate1(60, 127);
    }
}

/* A notification that asks for something, whatever signals come meanwhile. */
s64 notify(u64 kind, u64 a, u64 b, u64 c)
{
    s64 e;
    do
        e = gate6(NOTIF_NR, kind, a, b, c, 0, 0);
    while (e == -EINTR);
    return e;
}

/* Copies out what came with the reply. */
static s64 copy_out(struct tcb *t, s64 result)
{
    struct channel *ch = t->ch;
    const struct window *w = &ch->out0;
    for (u32 i = 0; i < ch->nout && i < 2; i++, w = &ch->out1) {
        u32 off = w->off, len = w->len;
        const u8 *from = ch->data + off;
        if (i == 0 && off == WINDOW_SMALL && len <= SMALL)
            from = ch->out_small;
        else if (off > BOUNCE_SIZE || len > BOUNCE_SIZE - off)
            return -EFAULT;
        if (unlikely(copy_user((void *)w->addr, from, len)))
            return -EFAULT;
    }
    return result;
}

static void lock_fds(void)
{
    while (__atomic_exchange_n(&proc.fds_lock, 1, __ATOMIC_ACQUIRE))
        pause_cpu();
}
static void unlock_fds(void) { __atomic_store_n(&proc.fds_lock, 0, __ATOMIC_RELEASE); }

static s32 find_fd(u64 id)
{
    for (s32 i = 0; id && i < DONATED; i++)
        if (proc.fds[i].used && proc.fds[i].id == id)
            return i;
    return -1;
}

/* A place in the cache for file `id`, which is to be fetched; an unused one if there is one. Called and returns with the lock held. */
static s32 take_place(u64 id)
{
    for (;;) {
        s32 found = -1;
        for (u32 i = 0; i < DONATED && found < 0; i++)
            if (!proc.fds[i].used && !proc.fds[i].users)
                found = (s32)i;
        for (u32 tries = 0; tries < DONATED && found < 0; tries++) {
            u32 i = proc.next_fd++ % DONATED;
            if (!proc.fds[i].users)
                found = (s32)i;
        }
        if (found >= 0) {
            proc.fds[found].used = 0;
            proc.fds[found].id = id;
            proc.fds[found].users = 1;
            return found;
        }
        /* All are about to be mapped by other threads. */
        unlock_fds();
        gate1(24, 0);
        lock_fds();
    }
}

/* A donated descriptor for the file `id`: from the cache, or asked for by notification. `*at` is for release_fd. */
s64 donated_fd(struct tcb *t, u64 id, s32 index, s32 *at)
{
    lock_fds();
    s32 i = find_fd(id);
    if (i >= 0) {
        proc.fds[i].users++;
        unlock_fds();
        *at = i;
        return DONATED_FD + i;
    }
    i = take_place(id);
    unlock_fds();
    *at = i;
    s64 e = notify(NOTIF_FD, t->ch->slot, (u64)(DONATED_FD + i) | (u64)(u8)index << 8, t->ch->space);
    if (e < 0) {
        release_fd(-1, i);
        return e;
    }
    __atomic_store_n(&proc.fds[i].used, id != 0, __ATOMIC_RELEASE);
    return DONATED_FD + i;
}

/* The descriptor is no longer needed: it stays in the cache, if its file can be asked for again. */
void release_fd(s64 fd, s32 at)
{
    lock_fds();
    if (fd >= 0 && !proc.fds[at].id) {
        gate1(3, fd);
        proc.fds[at].used = 0;
    }
    proc.fds[at].users--;
    unlock_fds();
}

/* Closes what of the cache everybody may read (`kept`), or all else. What a thread is about to map goes when it has done so. */
void purge_fds(int kept)
{
    lock_fds();
    for (u32 i = 0; i < DONATED; i++) {
        if (!proc.fds[i].id || !(proc.fds[i].id & KEPT_OVER_EXEC) != !kept)
            continue;
        if (!proc.fds[i].users && proc.fds[i].used)
            gate1(3, DONATED_FD + i);
        proc.fds[i].used = 0;
        proc.fds[i].id = 0;
    }
    unlock_fds();
}

/* Calls that change credentials: setuid, setgid, setreuid, setregid, setgroups, setresuid, setresgid, setfsuid, setfsgid, capset. What the process could get at so far it may not be able to get at now. */
static inline int changes_creds(u64 nr)
{
    return unlikely(nr - 105 < 22) && 0x265b03UL >> (nr - 105) & 1;
}

/* Fetches what of these files is not in the cache, all at once. What that fails for is fetched one by one when it is mapped. */
void fetch_fds(struct tcb *t, const u64 *ids, const s32 *indices, u32 count)
{
    s32 places[4];
    u64 wanted = 0;
    u32 n = 0;
    lock_fds();
    for (u32 k = 0; k < count && n < 4; k++) {
        if (!ids[k] || find_fd(ids[k]) >= 0)
            continue;
        places[n] = take_place(ids[k]);
        wanted |= ((u64)(DONATED_FD + places[n]) | (u64)(u8)indices[k] << 8) << (16 * n);
        n++;
    }
    unlock_fds();
    s64 e = n ? notify(NOTIF_FD, t->ch->slot, wanted, t->ch->space) : 0;
    lock_fds();
    for (u32 k = 0; k < n; k++) {
        proc.fds[places[k]].used = e >= 0;
        proc.fds[places[k]].users = 0;
    }
    unlock_fds();
}

/* mmap(2) for the application. NO_ROOM: the trampolines of patched text cannot be where they must. */
static s64 do_mmap_reply(struct tcb *t)
{
    struct channel *ch = t->ch;
    u64 addr = ch->op[0], len = ch->op[1], prot = ch->op[2], flags = ch->op[3], off = ch->op[4], id = ch->op[5], below = ch->op[7];
    s32 index = (s32)ch->op[6], at = -1;
    s64 fd = -1, result;
    if (addr < STUB_END && addr + len > STUB_BASE) {
        if (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE))
            return -ENOMEM;
        addr = 0; /* a hint */
    }
    if (index >= 0) {
        fd = donated_fd(t, id, index, &at);
        if (fd < 0)
            return fd;
    }
    if (below) {
        /* The file's first part, which goes below the text. */
        u64 base = addr - below;
        s64 e = gate6(9, base, off, 5, MAP_PRIVATE | MAP_FIXED_NOREPLACE, fd, 0);
        if ((u64)e != base) {
            if (!is_error(e))
                gate2(11, e, off);
            release_fd(fd, at);
            return NO_ROOM;
        }
    }
    result = gate6(9, addr, len, prot, flags, fd, off);
    if (below && is_error(result))
        gate2(11, addr - below, off);
    if (fd >= 0)
        release_fd(fd, at);
    return result;
}

static inline void store_args(struct channel *ch, const struct regs *r)
{
    ch->args[0] = r->di;
    ch->args[1] = r->si;
    ch->args[2] = r->dx;
    ch->args[3] = r->r10;
    ch->args[4] = r->r8;
    ch->args[5] = r->r9;
}

/* Carries out the reply to request `t->seq`, which has arrived. */
void act_on_reply(struct stop *s, u64 nr)
{
    struct tcb *t = s->t;
    struct channel *ch = t->ch;
    for (;;) {
        s64 result;
        switch (ch->rep_kind) {
        case REP_RETURN:
            result = ch->result;
            if (ch->nout)
                result = copy_out(t, result);
            s->r->ax = (u64)result;
            return;
        case REP_CONTINUE:
            return;
        case REP_MMAP:
            result = do_mmap_reply(t);
            if (likely(result != NO_ROOM)) {
                s->r->ax = (u64)result;
                return;
            }
            /* Not from now on; then the call again. */
            ch->args[0] = 0;
            ch->in_used = 0;
            wait_reply(t, send_request(t, REQ_PATCH, 0));
            /* fall through */
        case REP_AGAIN:
            store_args(ch, s->r);
            marshal_in(t, nr, s->r);
            wait_reply(t, send_request(t, REQ_SYSCALL, nr));
            continue;
        case REP_LOCAL:
            result = local_call(s, nr);
            if (result != REGS_REPLACED)
                s->r->ax = (u64)(result == NOT_LOCAL ? ch->result : result);
            return;
        case REP_CLONE:
            result = do_clone(s);
            if (result == NOT_LOCAL) /* the answer comes with the next reply */
                continue;
            s->r->ax = (u64)result;
            return;
        case REP_EXIT:
            do_exit(t);
        case REP_EXEC:
            run_exec(t);
        case REP_SIGNAL: {
            struct signal_frame f;
            u32 off = ch->out0.off;
            if (off > BOUNCE_SIZE - sizeof f)
                off = 0;
            copy_bytes(&f, ch->data + off, sizeof f);
            result = deliver_signal(s, &f, nr);
            if (result == 0)
                return;
            ch->args[0] = (u64)-result;
            wait_reply(t, send_request(t, REQ_BROKEN, 0));
            continue;
        }
        default:
            ch->args[0] = EINVAL;
            wait_reply(t, send_request(t, REQ_BROKEN, 0));
        }
    }
}

/* Reports an event other than a system call and carries out the reply. */
void handle_event(struct stop *s, u32 kind, u64 a0, u64 a1, u64 a2, u64 a3, u64 a4)
{
    struct tcb *t = s->t;
    struct channel *ch = t->ch;
    ch->args[0] = a0;
    ch->args[1] = a1;
    ch->args[2] = a2;
    ch->args[3] = a3;
    ch->args[4] = a4;
    ch->in_used = 0;
    wait_reply(t, send_request(t, kind, 0));
    act_on_reply(s, s->r->ax);
}

void handle_syscall(struct stop *s)
{
    struct tcb *t = s->t;
    struct regs *r = s->r;
    u64 nr = r->ax;
    struct channel *ch = t->ch;
    if (nr == 15) {
        s64 e = guest_sigreturn(s);
        if (e)
            handle_event(s, REQ_FAULT, 11, 128, 0, 0, 0);
        return;
    }
    if (likely(ch->local_calls)) {
        s64 result = local_call(s, nr);
        if (result != NOT_LOCAL) {
            if (result != REGS_REPLACED)
                r->ax = (u64)result;
            return;
        }
    } else {
        settle_cpu_clock(nr, r->di);
    }
    store_args(ch, r);
    marshal_in(t, nr, r);
    wait_reply(t, send_request(t, REQ_SYSCALL, nr));
    if (likely(ch->rep_kind == REP_RETURN)) {
        s64 result = ch->result;
        if (ch->nout)
            result = copy_out(t, result);
        r->ax = (u64)result;
    } else {
        act_on_reply(s, nr);
    }
    if (changes_creds(nr))
        purge_fds(1);
}

/* From entry.S. */
void syscall_patched(struct regs *r)
{
    struct tcb *t = current_tcb();
    u32 nr = (u32)r->ax;
    /* The identities first: they must cost next to nothing. */
    if (likely(t->ch->local_calls)) {
        switch (nr) {
        case 39:
            r->ax = (u64)(s64)t->ch->id.pid;
            goto out;
        case 186:
            r->ax = (u64)(s64)t->ch->id.tid;
            goto out;
        case 102:
            r->ax = t->ch->id.uid;
            goto out;
        }
    }
    struct stop s = {t, r, NULL};
    handle_syscall(&s);
out:
    if (unlikely(r->flags & 0x100)) /* TF: the application is stepping */
        leave_patched(t, r, t->resume);
}

/* An interruption was noted while the stub was working. */
void syscall_slow_exit(struct regs *r)
{
    struct tcb *t = current_tcb();
    t->kicked = 0;
    struct stop s = {t, r, NULL};
    handle_event(&s, REQ_INTERRUPTED, 0, 0, 0, 0, 0);
}
