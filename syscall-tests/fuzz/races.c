/* Descriptors that go around, threads that race for one object, storms of signals. */
#include "fuzz.h"
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/file.h>

static long give(long sock, const int *fds, int n)
{
    struct { struct cmsghdr h; int fds[253]; } c;
    char byte = 1;
    struct iovec v = {&byte, 1};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = CMSG_SPACE((size_t)n * 4)};
    memset(&c, 0, sizeof c);
    c.h.cmsg_level = SOL_SOCKET, c.h.cmsg_type = SCM_RIGHTS, c.h.cmsg_len = CMSG_LEN((size_t)n * 4);
    memcpy(CMSG_DATA(&c.h), fds, (size_t)n * 4);
    return S3(sendmsg, sock, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Takes a message, puts what came with it over others' descriptors. */
static void take(long sock)
{
    static const size_t sizes[] = {0, 8, 16, 17, 20, 24, 128, CMSG_SPACE(253 * 4)};
    char control[CMSG_SPACE(253 * 4)], byte[16];
    struct iovec v = {byte, sizeof byte};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizes[below(sizeof sizes / sizeof *sizes)]};
    if (S3(recvmsg, sock, &m, MSG_DONTWAIT | (below(4) ? 0 : MSG_CMSG_CLOEXEC) | (below(8) ? 0 : MSG_PEEK)) < 0)
        return;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        int n = (int)((c->cmsg_len - CMSG_LEN(0)) / 4), *fds = (int *)CMSG_DATA(c);
        for (int i = 0; i < n; i++) {
            S2(dup2, fds[i], 3 + below(PLAY - 3));
            if (fds[i] >= PLAY)
                S1(close, fds[i]);
        }
    }
}

/* SCM_RIGHTS: chains, cycles, sockets that hold each other, what all processes of the round share. */
void passing(void)
{
    int fds[253], pair[2], other[2];
    int n = below(4) ? 1 + (int)below(4) : (int)PICK(1, 16, 253);
    for (int i = 0; i < n; i++)
        fds[i] = (int)below(PLAY);
    long hub = HUB + (long)below(HUBS);
    switch (below(6)) {
    case 0: give(hub, fds, n); break;
    case 1: take(hub); break;
    case 2: /* a socket in its own queue, or in its peer's */
        if (S4(socketpair, AF_UNIX, PICK(SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET), 0, pair) == 0) {
            give(pair[0], pair, 2);
            give(pair[1], pair, 1 + (int)below(2));
            if (below(2))
                take(pair[1]);
            S1(close, pair[0]), S1(close, pair[1]);
        }
        break;
    case 3: /* a chain: each in the queue of the next */
        if (S4(socketpair, AF_UNIX, SOCK_STREAM, 0, pair))
            break;
        for (int i = 0, length = (int)below(40); i < length; i++) {
            if (S4(socketpair, AF_UNIX, PICK(SOCK_STREAM, SOCK_SEQPACKET), 0, other))
                break;
            if (give(other[0], pair, 2) < 0)
                give(other[1], pair, 1);
            S1(close, pair[0]), S1(close, pair[1]);
            pair[0] = other[0], pair[1] = other[1];
        }
        if (below(3) == 0)
            give(hub, pair, 2);
        if (below(2))
            take(pair[1]);
        S1(close, pair[0]), S1(close, pair[1]);
        break;
    case 4: { /* a listener with connections that nobody accepted goes on its way */
        struct sockaddr_un sa = {.sun_family = AF_UNIX}, to;
        socklen_t len = sizeof to;
        long l = S3(socket, AF_UNIX, SOCK_STREAM, 0), c = S3(socket, AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
        S3(bind, l, &sa, sizeof(sa_family_t));
        S2(listen, l, 3);
        S3(getsockname, l, &to, &len);
        S3(connect, c, &to, len);
        int both[2] = {(int)l, (int)c};
        give(c, both, 2);
        give(hub, both, 1 + (int)below(2));
        S1(close, l), S1(close, c);
        break;
    }
    default: /* round and round */
        for (int i = 0; i < 4; i++)
            give(HUB + (long)below(HUBS), fds, n < 8 ? n : 8), take(HUB + (long)below(HUBS));
    }
}

/* One thread of a race waits for an object, the other takes it away. */
struct race {
    long fd, other;
    int how;
    uint64_t seed;
};
static volatile int racers;
static uint32_t word;

static void wait_for(const struct race *r)
{
    struct pollfd p[2] = {{(int)r->fd, POLLIN, 0}, {(int)r->other, POLLIN | POLLOUT, 0}};
    struct epoll_event e[4] = {{EPOLLIN | EPOLLOUT | (below(2) ? EPOLLET : 0), {0}}};
    struct timespec t = {0, 20000000};
    struct flock lock = {.l_type = PICK(F_RDLCK, F_WRLCK), .l_start = (long)below(4), .l_len = (long)below(4)};
    char bytes[64];
    struct iovec v = {bytes, sizeof bytes};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
    switch (r->how) {
    case 0: S3(read, r->fd, bytes, sizeof bytes); break;
    case 1: S3(poll, p, 2, 20); break;
    case 2: {
        long ep = S1(epoll_create1, 0), outer = S1(epoll_create1, 0);
        S4(epoll_ctl, ep, EPOLL_CTL_ADD, r->fd, e);
        S4(epoll_ctl, outer, EPOLL_CTL_ADD, ep, e);
        S4(epoll_wait, below(2) ? ep : outer, e, 4, 20);
        S4(epoll_ctl, ep, EPOLL_CTL_MOD, r->fd, e);
        if (below(2))
            S4(epoll_ctl, ep, EPOLL_CTL_DEL, r->fd, 0);
        S1(close, ep), S1(close, outer);
        break;
    }
    case 3: S3(recvmsg, r->fd, &m, 0); break;
    case 4: S4(accept4, r->fd, 0, 0, O_CLOEXEC); break;
    case 5: S3(fcntl, r->fd, below(2) ? F_SETLKW : F_OFD_SETLKW, &lock); break;
    case 6: S2(flock, r->fd, PICK(LOCK_SH, LOCK_EX)); break;
    case 7: S6(futex, &word, FUTEX_WAIT, 0, &t, 0, 0); break;
    case 8:
        for (int i = 0; i < 40; i++)
            S3(write, r->other, arena ? arena : (unsigned char *)bytes, arena ? 8192 : 64);
        break;
    case 9: S6(splice, r->fd, 0, r->other, 0, 4096, 0); break;
    case 10: S4(pread64, r->fd, bytes, 64, 0); break;
    default: S6(clock_nanosleep, CLOCK_MONOTONIC, 0, &t, 0, 0, 0); break;
    }
}

static void *waiter(void *arg)
{
    struct race *r = arg;
    state = r->seed | 1;
    arena = NULL;
    wait_for(r);
    __atomic_sub_fetch(&racers, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

static int open_pair(long *a, long *b)
{
    int p[2];
    *b = -1;
    switch (below(8)) {
    case 0:
        if (S1(pipe, p))
            return -1;
        *a = p[0], *b = p[1];
        return 0;
    case 1: case 2:
        if (S4(socketpair, AF_UNIX, PICK(SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET), 0, p))
            return -1;
        *a = p[0], *b = p[1];
        return 0;
    case 3: *a = S2(eventfd2, 0, 0), *b = S1(dup, *a); return 0;
    case 4: *a = S2(timerfd_create, CLOCK_MONOTONIC, 0), *b = S1(dup, *a); return 0;
    case 5: {
        struct sockaddr_un sa = {.sun_family = AF_UNIX};
        *a = S3(socket, AF_UNIX, SOCK_STREAM, 0), *b = S3(socket, AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
        S3(bind, *a, &sa, sizeof(sa_family_t)), S2(listen, *a, 1);
        return 0;
    }
    case 6:
        *a = S3(open, below(2) ? "a" : "/rw/a", O_RDWR | O_CREAT, 0666), *b = S3(open, below(2) ? "a" : "/rw/a", O_RDWR, 0);
        S2(flock, *b, LOCK_EX);
        return 0;
    default: {
        uint64_t mask = 1ull << 39;
        *a = S4(signalfd4, -1, &mask, 8, 0), *b = S2(pidfd_open, getpid(), 0);
        return 0;
    }
    }
}

void racing(void)
{
    pthread_t t[3];
    struct race r[3];
    long a, b;
    if (__atomic_load_n(&racers, __ATOMIC_SEQ_CST) > 12 || open_pair(&a, &b))
        return;
    int n = 1 + (int)below(3), made = 0;
    for (int i = 0; i < n; i++) {
        r[i] = (struct race){below(4) ? a : b, below(4) ? b : a, (int)below(12), rnd()};
        __atomic_add_fetch(&racers, 1, __ATOMIC_SEQ_CST);
        if (pthread_create(&t[i], NULL, waiter, &r[i])) {
            __atomic_sub_fetch(&racers, 1, __ATOMIC_SEQ_CST);
            break;
        }
        made++;
    }
    usleep((unsigned)below(2000));
    struct itimerspec soon = {{0, 0}, {0, 1000}};
    switch (below(8)) {
    case 0: S1(close, a); break;
    case 1: S1(close, b); break;
    case 2: S2(dup2, b, a); break;
    case 3: S3(write, b, "12345678", 8); break;
    case 4: S2(shutdown, a, 2); break;
    case 5: S4(timerfd_settime, a, 0, &soon, 0); break;
    case 6: S6(futex, &word, FUTEX_WAKE, INT_MAX, 0, 0, 0); break;
    default: S2(dup2, 3 + below(PLAY - 3), a); break;
    }
    /* Nothing waits beyond this, or the round's end: signals interrupt, then both ends go. */
    for (int i = 0; i < made; i++) {
        for (int tries = 0;; tries++) {
            struct timespec t0;
            clock_gettime(CLOCK_REALTIME, &t0);
            if ((t0.tv_nsec += 3000000) >= 1000000000)
                t0.tv_sec++, t0.tv_nsec -= 1000000000;
            if (pthread_timedjoin_np(t[i], NULL, &t0) == 0)
                break;
            pthread_kill(t[i], SIGURG);
            if (tries == 3)
                S2(flock, b, LOCK_UN), S1(close, a), S1(close, b);
        }
    }
    S1(close, a), S1(close, b);
}

/* Many signals at once, queued and not, to this process and its siblings. */
void storm(void)
{
    siginfo_t info = {.si_code = -1};
    long me = getpid(), tid = gettid();
    for (int i = 0; i < 60; i++) {
        long who = below(3) ? me : shared->leaders[below(LEADERS)];
        long signo = PICK(SIGUSR1, SIGUSR2, SIGURG, SIGWINCH, SIGCONT, SIGCHLD, 40);
        info.si_signo = (int)signo;
        switch (below(4)) {
        case 0: S2(kill, who, signo); break;
        case 1: S3(rt_sigqueueinfo, who, signo, &info); break;
        case 2: S3(tgkill, me, tid, signo); break;
        default: S4(rt_tgsigqueueinfo, me, tid, signo, &info); break;
        }
    }
    struct itimerval fast = {{0, (long)below(50) + 1}, {0, 1}};
    S3(setitimer, ITIMER_REAL, &fast, 0);
    S3(setitimer, PICK(ITIMER_VIRTUAL, ITIMER_PROF), &fast, 0);
    for (int i = 0; i < 30; i++)
        one_call();
    memset(&fast, 0, sizeof fast);
    S3(setitimer, ITIMER_REAL, &fast, 0);
}
