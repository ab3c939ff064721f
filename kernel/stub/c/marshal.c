/*
 * What travels with a request. This is a prefetch: the sentry asks the channel's windows first and reads application memory
 * by other means where they do not cover what it wants, so a missing or short window only costs time.
 */
#include "stub.h"

#define INLINE_LIMIT 16384 /* larger buffers are read by the sentry itself */

enum kind { NONE, PATH, BUF, FIX };
struct item {
    u8 kind, arg;  /* which argument is the address */
    u8 len_arg;    /* BUF: which argument is the length */
    u8 unit;       /* BUF: bytes per element; FIX: bytes */
};
struct spec {
    struct item a, b;
};
#define P(n) {PATH, n, 0, 0}
#define B(n, l, u) {BUF, n, l, u}
#define F(n, s) {FIX, n, 0, s}
static const struct spec specs[470] = {
    [1] = {B(1, 2, 1)}, [18] = {B(1, 2, 1)},            /* write, pwrite64 */
    [2] = {P(0)}, [4] = {P(0)}, [6] = {P(0)}, [21] = {P(0)}, [80] = {P(0)}, [82] = {P(0), P(1)}, [83] = {P(0)}, [84] = {P(0)},
    [85] = {P(0)}, [86] = {P(0), P(1)}, [87] = {P(0)}, [88] = {P(0), P(1)}, [89] = {P(0)}, [90] = {P(0)}, [92] = {P(0)}, [76] = {P(0)},
    [133] = {P(0)}, [137] = {P(0)}, [161] = {P(0)}, [59] = {P(0)}, [94] = {P(0)},
    [257] = {P(1)}, [258] = {P(1)}, [259] = {P(1)}, [260] = {P(1)}, [262] = {P(1)}, [263] = {P(1)}, [264] = {P(1), P(3)}, [265] = {P(1), P(3)},
    [266] = {P(0), P(2)}, [267] = {P(1)}, [268] = {P(1)}, [269] = {P(1)}, [280] = {P(1), F(2, 32)}, [316] = {P(1), P(3)}, [322] = {P(1)},
    [332] = {P(1)}, [437] = {P(1), B(2, 3, 1)}, [439] = {P(1)},
    [7] = {B(0, 1, 8)}, [271] = {B(0, 1, 8), F(2, 16)},  /* poll, ppoll */
    [13] = {F(1, 32)}, [35] = {F(0, 16)}, [230] = {F(2, 16)}, [233] = {F(3, 12)}, [38] = {F(1, 32)}, [286] = {F(2, 32)},
    [20] = {B(1, 2, 16)}, [19] = {B(1, 2, 16)}, [302] = {F(2, 16)}, [435] = {B(0, 1, 1)}, [44] = {B(1, 2, 1), B(4, 5, 1)},
    [42] = {B(1, 2, 1)}, [49] = {B(1, 2, 1)}, [46] = {F(1, 56)}, [47] = {F(1, 56)}, [23] = {F(4, 16)},
};

static u64 arg_of(const struct regs *r, u32 n)
{
    switch (n) {
    case 0: return r->di;
    case 1: return r->si;
    case 2: return r->dx;
    case 3: return r->r10;
    case 4: return r->r8;
    default: return r->r9;
    }
}

/* Fills a window; `off` is where the data area is free, the result where it is afterwards. `small`: room beside the window, or NULL. */
static u32 fetch(struct channel *ch, struct window *w, u8 *small, const struct item *i, const struct regs *r, u32 off)
{
    u64 addr = arg_of(r, i->arg), want;
    s64 got;
    w->addr = addr;
    w->off = off;
    w->len = 0;
    if (!addr)
        return off;
    if (i->kind == PATH) {
        if (small) {
            got = copy_string(small, (const void *)addr, SMALL);
            if (got < SMALL || small[SMALL - 1] == 0) {
                w->off = WINDOW_SMALL;
                w->len = (u32)got;
                return off;
            }
        }
        got = copy_string(ch->data + off, (const void *)addr, 4096);
    } else {
        want = i->kind == FIX ? 1 : arg_of(r, i->len_arg);
        if (want > INLINE_LIMIT / i->unit)
            return off;
        want *= i->unit;
        if (small && want <= SMALL) {
            w->off = WINDOW_SMALL;
            w->len = (u32)(want - copy_user(small, (const void *)addr, want));
            return off;
        }
        got = (s64)(want - copy_user(ch->data + off, (const void *)addr, want));
    }
    w->len = (u32)got;
    return (off + (u32)got + 15) & ~15u;
}

void marshal_in(struct tcb *t, u64 nr, const struct regs *r)
{
    struct channel *ch = t->ch;
    if (nr >= sizeof specs / sizeof *specs || specs[nr].a.kind == NONE) {
        ch->in_used = 0;
        return;
    }
    const struct spec *s = &specs[nr];
    u32 off = fetch(ch, &ch->in[0], ch->in_small, &s->a, r, 0);
    if (s->b.kind != NONE)
        off = fetch(ch, &ch->in[1], NULL, &s->b, r, off);
    else
        ch->in[1].len = 0;
    ch->in_used = off | 0x80000000u; /* windows are valid */
}
