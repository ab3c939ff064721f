/* Arguments of random calls: one per letter of calls.h. */
#include "fuzz.h"
#include <limits.h>

__thread uint64_t state;
__thread unsigned char *arena;
static __thread size_t arena_at;

int arena_make(void)
{
    unsigned char *p = mmap(NULL, ARENA + 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED || mprotect(p + ARENA, 4096, PROT_READ) || munmap(p + ARENA + 4096, 4096))
        return -1;
    arena = p;
    return 0;
}

void *room(size_t n)
{
    arena_at = arena_at + n > ARENA / 2 ? 0 : (arena_at + n + 15) & ~15ul;
    return arena + arena_at;
}

/* Where a structure of `n` bytes touches what cannot be written, or ends where nothing is mapped, or goes on there. */
static unsigned char *edge(size_t n)
{
    unsigned char *read_only = arena + ARENA, *end = read_only + 4096;
    switch (below(4)) {
    case 0: return read_only - n;
    case 1: return read_only - below(n + 1);
    case 2: return end - n;
    default: return end - below(n + 1);
    }
}

/* A structure as it is, or now and then one that lies at an edge (as far as it can be written there). */
static void *placed(void *p, size_t n)
{
    if (below(24))
        return p;
    unsigned char *to = arena + ARENA - n;
    if (below(2)) {
        memcpy(to, p, n); /* the last bytes before a page that can only be read: what is longer fails half way */
        return to;
    }
    return edge(n);
}

/* Paths at the limits: PATH_MAX and one less, names of 255 and 256 bytes, no end. */
static const char *a_long_path(void)
{
    char *p = room(PATH_MAX + 16);
    size_t n = (size_t)PICK(255, 256, 4094, 4095, 4096, 4097);
    if (n <= 256) {
        memset(p, 'n', n);
    } else {
        for (size_t i = 0; i < n; i++)
            p[i] = i & 1 ? '/' : '.';
        if (below(2))
            memcpy(p + n - 2, "/a", 2);
    }
    p[n] = 0;
    if (below(4) == 0) { /* without an end, up to where nothing is mapped */
        unsigned char *tail = arena + ARENA - 64;
        memset(tail, 'x', 64);
        return (const char *)tail;
    }
    return p;
}

const char *a_path(void)
{
    static const char *paths[] = {"a", "b", "c", "d", "d/e", "d/f", "l", "p", "s", ".", "..", "x/y", "", "/dev/null", "/dev/zero", "/proc/self/fd",
                                  "/proc/self/status", "/etc/passwd", "/tmp", "d/../a", "//", "a/", "l/l", "/rw/a", "/rw/b", "/rw/d/e", "/rw/l", "/rw",
                                  "/proc/self/maps", "/proc/self/fdinfo/3", "/proc/self/exe", "/proc/self/cwd/a", "/proc/self/root/tmp/fuzz/a", "/dev/shm/x"};
    switch (below(16)) {
    case 0: return a_long_path();
    case 1: {
        char *p = room(64);
        long pid = below(2) ? getpid() : shared->leaders[below(LEADERS)];
        snprintf(p, 64, PICK(0, 1) ? "/proc/%ld/fd/%d" : "/proc/%ld/task", pid, (int)below(PLAY));
        return p;
    }
    case 2: case 3: case 4: return paths[below(sizeof paths / sizeof *paths)];
    default: return paths[below(9)];
    }
}

static int a_dir(void) { return below(4) ? AT_FDCWD : (int)below(PLAY); }

long odd(void)
{
    return below(2) ? PICK(0, 1, -1, 7, 4095, 4096, 65536, 0x7fffffff, 0x80000000l, 0xffffffffl, 0x100000000l, 0x7fffffffffffffffl, -4096, LONG_MIN, LONG_MAX - 4095)
                    : (long)(rnd() >> below(64));
}

/* Up to eight pieces: usual ones; overlapping; NULL; pages that can only be read; tails that are not mapped; lengths beyond sense. */
static struct iovec *an_iovec(void)
{
    struct iovec *v = room(8 * sizeof *v);
    for (int i = 0; i < 8; i++)
        v[i] = (struct iovec){arena + below(ARENA / 2), below(8) ? below(512) : (size_t)odd() & 0xffff};
    int i = (int)below(8);
    switch (below(10)) {
    case 0: v[i].iov_base = NULL; break;
    case 1: v[i] = (struct iovec){NULL, 0}; break;
    case 2: v[i] = v[(i + 1) % 8]; break;
    case 3: v[i] = (struct iovec){arena + ARENA - below(64), 64 + below(64)}; break;
    case 4: v[i] = (struct iovec){arena + ARENA + 4096 - below(64), 64}; break;
    case 5: v[i].iov_len = (size_t)odd(); break;
    case 6: v[i] = (struct iovec){v, 8 * sizeof *v}; break; /* the vector itself */
    default: break;
    }
    return placed(v, 8 * sizeof *v);
}

struct msghdr *a_msghdr(void)
{
    struct msghdr *m = room(sizeof *m * 2 + 16);
    memset(m, 0, sizeof *m * 2 + 16);
    m->msg_iov = an_iovec();
    m->msg_iovlen = below(30) ? below(4) : (size_t)PICK(8, 1024, 1025, -1);
    if (below(2)) {
        int n = below(4) ? 1 : 1 + (int)below(8);
        struct cmsghdr *c = room(128);
        memset(c, 0, 128);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = below(8) ? SCM_RIGHTS : SCM_CREDENTIALS;
        c->cmsg_len = below(16) ? CMSG_LEN((size_t)n * 4) : (size_t)odd();
        int *fds = (int *)CMSG_DATA(c);
        for (int i = 0; i < n; i++)
            fds[i] = (int)below(PLAY);
        m->msg_control = c;
        m->msg_controllen = below(16) ? CMSG_SPACE((size_t)n * 4) : (size_t)odd() & 0xfff;
    }
    return m;
}

static long a_pid(void) { return below(2) ? 0 : below(2) ? getpid() : shared->leaders[below(LEADERS)]; }

static long an_offset(void) { return below(8) ? (long)below(1 << 16) : PICK(-1, 0x7fffffffl, 0x80000000l, 0x100000000l, LONG_MAX, LONG_MAX - 4095, LONG_MAX - 4096, LONG_MIN, 1l << 62); }

static const long fcntls[] = {F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD, F_DUPFD_CLOEXEC, F_GETLK, F_SETLK, F_SETLKW, F_GETPIPE_SZ, F_SETPIPE_SZ, F_ADD_SEALS,
                              F_GET_SEALS, F_GETOWN, F_SETOWN, F_GETOWN_EX, F_SETOWN_EX, F_GETSIG, F_SETSIG, F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW};

/* One argument of the kind that its letter says. */
static long argument(char kind)
{
    switch (kind) {
    case '0': return 0;
    case '1': return 1;
    case '3': return 3;
    case '8': return 8;
    case 'f': return below(16) ? (long)below(PLAY) : odd();
    case 'h': return 20 + (long)below(20);  /* a descriptor that may be replaced */
    case 'D': return a_dir();
    case 's': return (long)a_path();
    case 'n': return (long)((const char *[]){"user.a", "user.b", "x", "trusted.q", "security.capability", "system.posix_acl_access"}[below(6)]);
    case 'b': return below(12) ? (long)(arena + below(ARENA / 2)) : below(2) ? (long)edge(64) : odd();
    case 'q': { /* zeroed memory */
        void *p = room(512);
        memset(p, 0, 512);
        return (long)placed(p, 64);
    }
    case 'r': { /* random memory with small words */
        int *p = room(256);
        for (int i = 0; i < 64; i++)
            p[i] = below(2) ? (int)below(8) : below(16) ? 0 : (int)odd();
        return (long)placed(p, 32);
    }
    case 'z': return below(20) ? (long)below(8192) : odd();
    case 'Z': return PICK(8, 16, 64, 128, 256);
    case 'i': return below(40) ? (long)below(8) : odd();
    case 'o': return (long)below(below(4) ? 01000 : 010000);
    case 'O': return PICK(O_RDONLY, O_WRONLY, O_RDWR) | (below(2) ? O_CREAT : 0) | (below(6) ? 0 : PICK(O_EXCL, O_TRUNC, O_DIRECTORY, O_PATH, O_APPEND, O_CLOEXEC, O_NOFOLLOW, __O_TMPFILE)) | (below(8) ? O_NONBLOCK : 0);
    case 'g': return below(3) ? 0 : 1l << below(32);
    case 'w': return (long)below(6);
    case 'u': return an_offset();
    case 'x': return odd();
    case 't': { /* a short time */
        struct timespec *t = room(sizeof *t * 2);
        t[0] = (struct timespec){0, (long)below(300000)};
        t[1] = (struct timespec){0, (long)below(300000)};
        return (long)placed(t, sizeof *t);
    }
    case 'c': return PICK(0, 1, 2, 3, 4, 5, 6, 7, 11);
    case 'v': return (long)an_iovec();
    case 'm': return (long)placed(a_msghdr(), sizeof(struct msghdr));
    case 'k': return below(40) ? (long)below(7) : PICK(8, 1024, 1025, -1, INT_MAX);
    case 'S': return PICK(0, SIGURG, SIGWINCH, SIGCHLD, SIGUSR1, SIGUSR2, SIGCONT, 40);
    case 'P': return below(2) ? 0 : getpid();
    case 'p': return a_pid();
    case 'T': return gettid();
    case 'I': return PICK(-1, 0, 0, 0, 1000, 1001, 65534);
    case 'J': return below(3) ? -1 : PICK(0, 1000, 1001, 65534, odd());
    case 'F': return fcntls[below(sizeof fcntls / sizeof *fcntls)];
    case 'C': return PICK(0x5401, 0x5413, 0x541b, 0x5421, 0x5450, 0x5451, 0x5410, 0x540f, 0x5452, 0x8901, 0x8902, 0x8903, 0x8904);
    case 'A': return AF_UNIX;
    case 'Y': return PICK(SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET) | SOCK_NONBLOCK;
    case 'L': return PICK(0, MSG_DONTWAIT, MSG_PEEK, MSG_NOSIGNAL, MSG_TRUNC, MSG_WAITALL, MSG_OOB) | MSG_DONTWAIT | MSG_NOSIGNAL;
    case 'E': return AT_EMPTY_PATH * below(2) | AT_SYMLINK_NOFOLLOW * below(2);
    case 'R': return (long)below(16);
    case '-': return -1;
    case 'U': return 40000;
    case 'K': return (long)(arena + ARENA / 2 + (below(8) << 12)); /* pages that may change */
    case 'M': return (long)((1 + below(4)) << 12);
    case 'a': return below(3) ? (long)(MAP_PRIVATE | MAP_ANONYMOUS) : PICK(MAP_SHARED, MAP_PRIVATE, MAP_SHARED | MAP_ANONYMOUS, 0x03);
    case 'B': return (long)(arena + ARENA / 2) | (long)below(ARENA / 2); /* into those pages */
    default: return 0;
    }
}

static const struct entry {
    const char *name;
    long nr;
    const char *args;
} table[] = {
#define C(n, a) {#n, SYS_##n, a},
#include "calls.h"
#undef C
};
#define CALLS (sizeof table / sizeof *table)

void one_call(void)
{
    const struct entry *e = &table[below(CALLS)];
    long a[6] = {0};
    for (int i = 0; e->args[i]; i++)
        a[i] = argument(e->args[i]);
    call(e->nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}
