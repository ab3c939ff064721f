/*
 * Forges requests, replies, notifications and claims.
 *   channel SECONDS [claims]
 * Every thread and child may die of what it writes there; the rest must stay as it is.
 */
#include "hostile.h"
#include <pthread.h>

static volatile long *shared;
static uint64_t state = 88172645463325252u;
static __thread uint64_t seed;

static uint64_t rnd(void)
{
    if (!seed)
        seed = __atomic_add_fetch(&state, 0x9e3779b97f4a7c15u, __ATOMIC_RELAXED);
    seed ^= seed << 13;
    seed ^= seed >> 7;
    return seed ^= seed << 17;
}

static uint64_t odd(void)
{
    static const uint64_t values[] = {0, 1, 2, 15, 16, 17, 64, 0x7f, 0xff, 4095, 4096, 0xffff, 0x10000, 0x10e00, 0x7fffffff, 0x80000000, 0xffffffff,
                                      0x100000000, CHANNEL_BASE, STACK_BASE, GATE_PAGE, 0x7fffffffffff, 0x8000000000000000, ~0ul, ~0ul - 4095};
    return rnd() & 1 ? values[rnd() % (sizeof values / sizeof *values)] : rnd() >> (rnd() & 63);
}

static struct channel *channel(unsigned slot) { return (struct channel *)(CHANNEL_BASE + (uint64_t)slot * CHANNEL_SIZE); }

static long notify(long kind, long a, long b, long space) { return gate(NOTIF_NR, kind, a, b, space, 0, 0); }

/* One forged request in a channel that nobody's stub uses, or somebody's does. */
static void forge(struct channel *ch)
{
    switch (rnd() % 10) {
    case 0: ch->req_kind = rnd() % 12; break;
    case 1: ch->nr = rnd() & 1 ? rnd() % 470 : (u32)odd(); break;
    case 2: ch->args[rnd() % 6] = odd(); break;
    case 3:
        ch->in[rnd() & 1].addr = odd();
        ch->in[rnd() & 1].len = (u32)odd();
        ch->in[rnd() & 1].off = (u32)odd();
        break;
    case 4: ch->in_used = (u32)odd() | (rnd() & 1 ? 0x80000000u : 0); break;
    case 5: ch->req_seq += rnd() & 1 ? 1 : (u32)odd(); break;
    case 6:
        ch->rep_kind = rnd() % 13;
        ch->result = (s64)odd();
        ch->nout = rnd() % 4;
        ch->rep_seq = ch->req_seq;
        break;
    case 7:
        ch->op[rnd() % 8] = odd();
        struct window *out = rnd() & 1 ? &ch->out0 : &ch->out1;
        out->len = (u32)odd();
        out->off = (u32)odd();
        out->addr = odd();
        break;
    case 8:
        ch->watched = rnd() & 1;
        ch->park_seq = ch->req_seq;
        ch->pending = odd();
        ch->sigmask = odd();
        ch->local_calls = rnd() & 1;
        break;
    case 9:
        ch->slot = (u32)odd();
        ch->region = (u32)odd();
        ch->space = rnd() & 1 ? rnd() % 32 : odd();
        ch->host_tid = (s32)(rnd() % 64);
        ch->id.pid = (s32)odd();
        ch->alt_sp = odd();
        ch->alt_size = odd();
        ch->brk_now = odd();
        break;
    }
}

static void *forger(void *arg)
{
    for (long i = 0; i < (long)arg; i++) {
        forge(channel(rnd() % SLAB_CHANNELS));
        if (rnd() % 64 == 0)
            sched_yield();
    }
    return NULL;
}

static void *forker(void *arg)
{
    (void)arg;
    for (int i = 0; i < 20; i++) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(0);
        if (pid > 0)
            waitpid(pid, NULL, 0);
    }
    return NULL;
}

static void *caller(void *arg)
{
    (void)arg;
    char buf[64];
    int p[2];
    if (pipe(p))
        return NULL;
    for (int i = 0; i < 300; i++) {
        (void)!write(p[1], buf, sizeof buf);
        (void)!read(p[0], buf, sizeof buf);
    }
    return NULL;
}

/* Threads that write everywhere while others fork and call. */
static void storm(long round)
{
    pthread_t t[6];
    seed = 0;
    state += (uint64_t)round * 7919;
    for (int i = 0; i < 6; i++)
        pthread_create(&t[i], NULL, i < 2 ? forger : i < 4 ? forker : caller, (void *)(20000l));
    for (int i = 0; i < 6; i++)
        pthread_join(t[i], NULL);
}

/* Requests with a valid sequence number, sent by notification, of every kind and with odd windows. */
static void requests(long round)
{
    struct channel *ch = channel(0);
    state += (uint64_t)round * 104729;
    seed = 0;
    for (int i = 0; i < 200; i++) {
        for (int n = rnd() % 6; n; n--)
            switch (rnd() % 4) {
            case 0: ch->args[rnd() % 6] = odd(); break;
            case 1: ch->in_used = (u32)odd() | 0x80000000u; break;
            case 2: ch->nr = rnd() % 470; break;
            case 3:
                ch->in[rnd() & 1].len = (u32)odd();
                ch->in[rnd() & 1].off = (u32)odd();
                ch->in[rnd() & 1].addr = odd();
                break;
            }
        if (ch->nr == SYS_pause || ch->nr == SYS_rt_sigsuspend)
            ch->nr = SYS_getppid;
        ch->req_kind = round % 12;
        u32 seq = ch->rep_seq + 1;
        __atomic_store_n(&ch->req_seq, seq, __ATOMIC_SEQ_CST);
        notify(NOTIF_WAIT, ch->slot, seq, (long)ch->space);
    }
}

/* Notifications that speak for others. */
static void notifications(long unused)
{
    (void)unused;
    long space = (long)channel(0)->space;
    for (long s = 0; s < 64; s++)
        for (long slot = 0; slot < 4; slot++) {
            if (s == space && slot == channel(0)->slot)
                continue;
            if (notify(NOTIF_WAIT, slot, (long)odd(), s) >= 0)
                fail("a wait for another thread", s, slot);
            for (long index = -1; index < 4; index++) {
                if (notify(NOTIF_FD, slot, DONATED_FD | (index & 0xff) << 8, s) >= 0)
                    fail("a descriptor of another thread", s, slot);
                if (notify(NOTIF_SLAB, slot, index, s) >= 0)
                    fail("a slab of another space", s, slot);
            }
        }
    for (int i = 0; i < 2000; i++) {
        if (notify(NOTIF_CLAIM, (long)odd(), (long)odd(), (long)odd()) >= 0)
            fail("a claim with a guessed nonce", i, 0);
        long kind = (long)odd();
        if (kind != NOTIF_WAIT && kind != NOTIF_SLAB && notify(kind, (long)odd(), (long)odd(), (long)odd()) >= 0)
            fail("a notification of an odd kind", kind, i);
        if (notify(NOTIF_FD, channel(0)->slot, DONATED_FD | (long)(odd() % 256) << 8, space) >= 0 || notify(NOTIF_FD, channel(0)->slot, (long)odd(), space) >= 0)
            fail("a descriptor that was not donated", i, 0);
        long slab = notify(NOTIF_SLAB, channel(0)->slot, 1 + (long)(odd() % 0x7fffffff), space);
        if (slab >= 0)
            fail("a slab that is not there", slab, i);
    }
    shared[0] = 1;
}

/* A sibling reads the nonce of a fork from the channel and claims first, from a host process of its own. */
static void *thief(void *arg)
{
    struct channel *ch = arg;
    long seen = 0;
    for (long i = 0; i < 3000000 && seen < 200; i++) {
        u64 lo = ch->op[6], hi = ch->op[7];
        if (ch->rep_kind != REP_CLONE || !lo || !hi)
            continue;
        seen++;
        if (notify(NOTIF_CLAIM, (long)lo, (long)hi, 0) >= 0)
            fail("a claim from a process that has its channel", 0, 0);
        if (seen < 20) {
            long pid = gate(SYS_clone, 0x8000, 0, 0, 0, 0, 0);
            if (pid == 0) {
                long fd = notify(NOTIF_CLAIM, (long)lo, (long)hi, 0);
                gate(SYS_mmap, CHANNEL_BASE, SLAB_SIZE, 3, 0x11, fd, 0);
                for (long slot = 0; slot < 3; slot++)
                    for (long s = 0; s < 64; s++)
                        notify(NOTIF_WAIT, slot, 1, s);
                for (;;)
                    gate(SYS_exit, 0, 0, 0, 0, 0, 0);
            }
        }
    }
    return NULL;
}

/* One that claims whatever is to be had, with nonces of its own. */
static void *guesser(void *arg)
{
    (void)arg;
    for (long i = 0; i < 20000; i++)
        if (notify(NOTIF_CLAIM, i, i, 0) >= 0)
            fail("a claim with a guessed nonce beside a fork", i, 0);
    return NULL;
}

static void stolen_claims(long unused)
{
    (void)unused;
    pthread_t t[3];
    pthread_create(&t[0], NULL, thief, channel(0));
    pthread_create(&t[2], NULL, guesser, NULL);
    pthread_create(&t[1], NULL, thief, channel(0));
    for (int i = 0; i < 60; i++) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(0);
        if (pid > 0)
            await_child(pid, 300);
    }
    _exit(0);
}

/* Host processes that the kernel knows nothing of. */
static void strays(long count)
{
    for (long i = 0; i < count; i++) {
        long pid = gate(SYS_clone, 0x8000, 0, 0, 0, 0, 0);
        if (pid == 0) {
            if (i & 1)
                for (;;)
                    gate(SYS_futex, (long)&shared[9], 0, shared[9], 0, 0, 0); /* FUTEX_WAIT without end */
            for (;;)
                gate(SYS_exit, 0, 0, 0, 0, 0, 0);
        }
    }
}

int main(int argc, char **argv)
{
    long limit = argc > 1 ? atol(argv[1]) * 1000 : 3000, end;
    shared = mmap(NULL, 4096, 3, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (argc > 2) {
        in_child(stolen_claims, 0, 20000);
        return 0;
    }
    int status = in_child(notifications, 0, 40000);
    if (status || !shared[0])
        fail("notifications", status, 0);
    printf("notifications\n");
    fflush(stdout);
    in_child(stolen_claims, 0, 20000);
    printf("stolen claims\n");
    fflush(stdout);
    in_child(strays, 40, 3000);
    printf("strays\n");
    fflush(stdout);
    end = now_ms() + limit;
    for (long i = 0; now_ms() < end; i++) {
        in_child(requests, i, 400);
        in_child(storm, i, 800);
    }
    printf("storms\n");
    return 0;
}
