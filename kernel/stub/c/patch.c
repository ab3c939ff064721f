/* The stub's part in call site patching: counting traps, carrying out steps, and addresses inside patched windows. */
#include "stub.h"

#define PATCH_AFTER 4 /* traps of a site before it is patched */
#define PATCH_WARM_UP 96 /* traps of the process before its first patch */
#define MEMBARRIER_SYNC_CORE 32
#define MEMBARRIER_REGISTER_SYNC_CORE 64

static int read_trampoline(struct trampoline *h, u64 at)
{
    return copy_user(h, (void *)at, sizeof *h) == 0 && h->magic == TRAMPOLINE_MAGIC;
}

/* Goes on from the boundary `offset` of the window whose trampoline is `h` (at `base`). */
static int take_boundary(struct tcb *t, struct ucontext *uc, const struct trampoline *h, u64 base, u64 offset)
{
    struct regs *r = &uc->mc.r;
    u64 site = base + (u64)(s64)h->site;
    for (u32 i = 0; i < 4; i++) {
        if (h->boundary_kind[i] == BOUNDARY_NONE || h->boundary_at[i] != offset)
            continue;
        if (h->boundary_kind[i] == BOUNDARY_BEFORE) {
            r->ip = base + TRAMPOLINE_CODE + offset;
            return 1;
        }
        if (h->boundary_kind[i] == BOUNDARY_SYSCALL) {
            r->ip = site;
            r->cx = site;
            r->r11 = r->flags;
            struct stop s = {t, r, uc};
            handle_syscall(&s);
            if (r->ip != site)
                return 1;
        }
        r->ip = base + (u64)(s64)h->tail;
        /* The relocated instructions are verbatim copies: a later start has the same distance there. */
        if (h->boundary_kind[i] == BOUNDARY_TAIL)
            r->ip += offset - (site - (base + (u64)(s64)h->window));
        return 1;
    }
    return 0;
}

/* An invalid opcode at an original instruction start inside a patched window. */
int patched_boundary(struct tcb *t, struct ucontext *uc)
{
    u64 ip = uc->mc.r.ip;
    struct trampoline h;
    u64 window = __atomic_load_n(&proc.patch_window, __ATOMIC_ACQUIRE), base = __atomic_load_n(&proc.patch_trampoline, __ATOMIC_ACQUIRE);
    /* The two words belong together if the trampoline says so. */
    if (window && ip - window < 16 && read_trampoline(&h, base) && base + (u64)(s64)h.window == window) {
        if (ip == window) {
            uc->mc.r.ip = base + TRAMPOLINE_CODE;
            return 1;
        }
        if (take_boundary(t, uc, &h, base, ip - window))
            return 1;
    }
    /* k = 0: the patch was finished between the fault and now; the jump is executed. */
    for (u64 k = 0; k < 16; k++) {
        u8 code[5];
        s32 rel;
        if (copy_user(code, (void *)(ip - k), 5) || code[0] != 0xe9)
            continue;
        copy_bytes(&rel, code + 1, 4);
        base = ip - k + 5 + (u64)(s64)rel - TRAMPOLINE_CODE;
        if (read_trampoline(&h, base) && base + (u64)(s64)h.window == ip - k && (k == 0 || take_boundary(t, uc, &h, base, k)))
            return 1;
    }
    return 0;
}

/* Where the application would be without the patch: unwinders know nothing of trampolines. It may go on from there. */
u64 original_ip(u64 ip)
{
    struct trampoline h;
    u8 code[5];
    s32 rel;
    u64 base = ip & ~(u64)(TRAMPOLINE_SIZE - 1);
    if (ip - base < TRAMPOLINE_CODE || !read_trampoline(&h, base))
        return ip;
    u64 window = base + (u64)(s64)h.window, site = base + (u64)(s64)h.site, tail = base + (u64)(s64)h.tail;
    if (copy_user(code, (void *)window, 5) || code[0] != 0xe9)
        return ip;
    copy_bytes(&rel, code + 1, 4);
    if (window + 5 + (u64)(s64)rel != base + TRAMPOLINE_CODE)
        return ip;
    /* What comes before the jump to the stub can be done again. */
    if (tail == site || ip < tail)
        return window;
    if (copy_user(code, (void *)ip, 5))
        return ip;
    copy_bytes(&rel, code + 1, 4);
    return code[0] == 0xe9 ? ip + 5 + (u64)(s64)rel : site + (ip - tail);
}

/* What a patch needs later. With one thread it costs nothing, with more of them the host waits for tens of milliseconds
 * (RCU): so it is done before there is a second one. */
void register_sync_core(void)
{
    if (proc.sync_core)
        return;
    gate1(324, MEMBARRIER_REGISTER_SYNC_CORE);
    proc.sync_core = 1;
}

static void patch(struct stop *s, u64 site, u64 nr)
{
    struct tcb *t = s->t;
    struct channel *ch = t->ch;
    s64 result = 0;
    for (;;) {
        ch->args[0] = site;
        ch->args[1] = nr;
        ch->args[2] = (u64)result;
        ch->in_used = 0;
        wait_reply(t, send_request(t, REQ_PATCH, 0));
        if (ch->rep_kind != REP_PATCH)
            break;
        u64 step = ch->op[0], a = ch->op[1], b = ch->op[2];
        if (step == PATCH_MAP) {
            result = gate6(9, a, b, 5, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
        } else if (step == PATCH_BARRIER) {
            /* Before the first byte of the window changes: the sentry writes only after the next request. */
            __atomic_store_n(&proc.patch_trampoline, b, __ATOMIC_RELEASE);
            __atomic_store_n(&proc.patch_window, a, __ATOMIC_RELEASE);
            register_sync_core();
            result = gate1(324, MEMBARRIER_SYNC_CORE);
        } else {
            proc.patch_window = 0;
            break;
        }
    }
}

/* Called after each trap from `site` (before it, if the call does not return): an often trapping site is patched. */
void count_trap(struct stop *s, u64 site)
{
    u32 at = (u32)((site >> 1) ^ (site >> 9)) & 255;
    if (proc.sites[at].site != site) {
        proc.sites[at].site = site;
        proc.sites[at].count = 0;
    }
    u32 n = ++proc.sites[at].count;
    /* A process's first patch costs as much as some fifty traps: one that soon ends is better off without. */
    if (proc.traps < PATCH_WARM_UP && ++proc.traps < PATCH_WARM_UP)
        return;
    /* After a refusal it is asked for again ever more rarely. */
    if (n < PATCH_AFTER || (n & (n - 1)) != 0 || proc.patch_window)
        return;
    if (s->r->ip != site || __atomic_exchange_n(&proc.patch_busy, 1, __ATOMIC_ACQUIRE))
        return;
    patch(s, site, s->t->last_nr);
    __atomic_store_n(&proc.patch_busy, 0, __ATOMIC_RELEASE);
}
