/*
 * Makes typed random system calls: live descriptors, mapped buffers, paths in a directory of its own, from several threads and processes.
 *   fuzz [--seed N] [--seconds S] [--threads T]
 * Prints the seed, and at the end `ok NUMBER COUNT` for every call that has ever succeeded. The same seed makes the same calls,
 * not in the same order between threads.
 *
 * Calls are made in short-lived processes, so that what one does to itself (masks, limits, descriptors, memory) ends with it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

static unsigned *counts; /* shared: successes by number */
static __thread uint64_t state;

static uint64_t rnd(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}
static uint64_t below(uint64_t n) { return rnd() % n; }
#define PICK(...) ((const long[]){__VA_ARGS__}[below(sizeof((const long[]){__VA_ARGS__}) / sizeof(long))])

/* Makes a call and notes its success. Interruption is the success of calls that only end so. */
static long call(long nr, long a, long b, long c, long d, long e, long f)
{
    register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
    long ret;
    __asm__ volatile("syscall" : "=a"(ret) : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
    int waits = nr == SYS_pause || nr == SYS_rt_sigsuspend;
    if ((unsigned long)ret < -4095ul || (waits && ret == -EINTR))
        __atomic_add_fetch(&counts[nr], 1, __ATOMIC_RELAXED);
    return ret;
}
#define S1(n, a) call(SYS_##n, (long)(a), 0, 0, 0, 0, 0)
#define S2(n, a, b) call(SYS_##n, (long)(a), (long)(b), 0, 0, 0, 0)
#define S3(n, a, b, c) call(SYS_##n, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define S4(n, a, b, c, d) call(SYS_##n, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define S6(n, a, b, c, d, e, f) call(SYS_##n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

/* Memory that a thread's pointers point to. */
#define ARENA 65536
static __thread unsigned char *arena;
static __thread size_t arena_at;
static void *room(size_t n)
{
    arena_at = arena_at + n > ARENA / 2 ? 0 : (arena_at + n + 15) & ~15ul;
    return arena + arena_at;
}

static const char *a_path(void)
{
    static const char *paths[] = {"a", "b", "c", "d", "d/e", "d/f", "l", "p", "s", ".", "..", "x/y", "", "/dev/null", "/dev/zero", "/proc/self/fd",
                                  "/proc/self/status", "/etc/passwd", "/tmp", "d/../a", "//", "a/", "l/l"};
    return below(3) ? paths[below(9)] : paths[below(sizeof paths / sizeof *paths)];
}

static int a_dir(void) { return below(4) ? AT_FDCWD : (int)below(40); }

static long odd(void)
{
    return below(2) ? PICK(0, 1, -1, 7, 4095, 4096, 65536, 0x7fffffff, 0x80000000l, 0xffffffffl, 0x100000000l, 0x7fffffffffffffffl, -4096) : (long)(rnd() >> below(64));
}

static struct iovec *an_iovec(void)
{
    struct iovec *v = room(8 * sizeof *v);
    for (int i = 0; i < 8; i++)
        v[i] = (struct iovec){arena + below(ARENA / 2), below(8) ? below(512) : (size_t)odd() & 0xffff};
    return v;
}

static struct msghdr *a_msghdr(void)
{
    struct msghdr *m = room(sizeof *m * 2 + 16);
    memset(m, 0, sizeof *m * 2 + 16);
    m->msg_iov = an_iovec();
    m->msg_iovlen = below(4);
    if (below(2)) {
        struct cmsghdr *c = room(64);
        memset(c, 0, 64);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(4);
        *(int *)CMSG_DATA(c) = (int)below(40);
        m->msg_control = c;
        m->msg_controllen = CMSG_SPACE(4);
    }
    return m;
}

/* One argument of the kind that its letter says. */
static long argument(char kind)
{
    switch (kind) {
    case '0': return 0;
    case '1': return 1;
    case '8': return 8;
    case 'f': return below(16) ? (long)below(40) : odd();
    case 'h': return 20 + (long)below(20);  /* a descriptor that may be replaced */
    case 'D': return a_dir();
    case 's': return (long)a_path();
    case 'n': return (long)((const char *[]){"user.a", "user.b", "x", "trusted.q"}[below(4)]);
    case 'b': return below(30) ? (long)(arena + below(ARENA / 2)) : odd();
    case 'q': { /* zeroed memory */
        void *p = room(512);
        memset(p, 0, 512);
        return (long)p;
    }
    case 'r': { /* random memory with small words */
        int *p = room(256);
        for (int i = 0; i < 64; i++)
            p[i] = below(2) ? (int)below(8) : 0;
        return (long)p;
    }
    case 'z': return below(20) ? (long)below(8192) : odd();
    case 'Z': return PICK(8, 16, 64, 128, 256);
    case 'i': return (long)below(8);
    case 'o': return (long)below(01000);
    case 'O': return PICK(O_RDONLY, O_WRONLY, O_RDWR) | (below(2) ? O_CREAT : 0) | (below(6) ? 0 : PICK(O_EXCL, O_TRUNC, O_DIRECTORY, O_PATH, O_APPEND)) | O_NONBLOCK;
    case 'g': return below(3) ? 0 : 1l << below(32);
    case 'w': return (long)below(6);
    case 'u': return (long)below(1 << 16);
    case 'x': return odd();
    case 't': { /* a short time */
        struct timespec *t = room(sizeof *t * 2);
        t[0] = (struct timespec){0, (long)below(300000)};
        t[1] = (struct timespec){0, (long)below(300000)};
        return (long)t;
    }
    case 'c': return PICK(0, 1, 2, 3, 4, 5, 6, 7, 11);
    case 'v': return (long)an_iovec();
    case 'm': return (long)a_msghdr();
    case 'k': return (long)below(7);
    case 'S': return PICK(0, SIGURG, SIGWINCH, SIGCHLD, SIGUSR1, SIGUSR2, SIGCONT, 40);
    case 'P': return below(2) ? 0 : getpid();
    case 'T': return gettid();
    case 'I': return PICK(-1, 0, 0, 0);
    case 'F': return PICK(F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD, F_DUPFD_CLOEXEC, F_GETLK, F_SETLK, F_GETPIPE_SZ, F_SETPIPE_SZ, F_ADD_SEALS, F_GET_SEALS, F_GETOWN, F_SETOWN, 36, 37);
    case 'C': return PICK(0x5401, 0x5413, 0x541b, 0x5421, 0x5450, 0x5451, 0x5410, 0x540f);
    case 'A': return AF_UNIX;
    case 'Y': return PICK(SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET) | SOCK_NONBLOCK;
    case 'L': return PICK(0, MSG_DONTWAIT, MSG_PEEK, MSG_NOSIGNAL, MSG_TRUNC) | MSG_DONTWAIT | MSG_NOSIGNAL;
    case 'E': return AT_EMPTY_PATH * below(2) | AT_SYMLINK_NOFOLLOW * below(2);
    case 'R': return (long)below(16);
    case '-': return -1;
    case 'U': return 40000;
    case 'K': return (long)(arena + ARENA / 2 + (below(8) << 12)); /* pages that may change */
    case 'M': return (long)((1 + below(4)) << 12);
    case 'a': return below(10) ? (long)(MAP_PRIVATE | MAP_ANONYMOUS) : MAP_SHARED;
    }
    return 0;
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

static void one_call(void)
{
    const struct entry *e = &table[below(CALLS)];
    long a[6] = {0};
    for (int i = 0; e->args[i]; i++)
        a[i] = argument(e->args[i]);
    call(e->nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static void handler(int signo) { (void)signo; }

static void handlers(void)
{
    static const int signals[] = {SIGALRM, SIGURG, SIGUSR1, SIGUSR2, 40, SIGPIPE, SIGXFSZ, SIGIO, SIGVTALRM, SIGPROF};
    struct sigaction sa = {.sa_handler = handler};
    for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++)
        sigaction(signals[i], &sa, NULL);
}

/* Calls that need a history. */
static void sockets(void)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    snprintf(sa.sun_path, sizeof sa.sun_path, "sock%d", (int)below(100000));
    long l = S3(socket, AF_UNIX, SOCK_STREAM, 0), c = S3(socket, AF_UNIX, SOCK_STREAM, 0);
    S3(bind, l, &sa, sizeof sa);
    S2(listen, l, 5);
    S3(connect, c, &sa, sizeof sa);
    long s = below(2) ? S3(accept, l, 0, 0) : S4(accept4, l, 0, 0, SOCK_CLOEXEC);
    socklen_t n = sizeof sa;
    int one = 1;
    S3(getsockname, s, &sa, &n);
    n = sizeof sa;
    S3(getpeername, s, &sa, &n);
    n = 4;
    S6(setsockopt, s, SOL_SOCKET, SO_PASSCRED, &one, 4, 0);
    S6(getsockopt, s, SOL_SOCKET, SO_TYPE, &one, &n, 0);
    S6(sendto, c, arena, 10, MSG_NOSIGNAL, 0, 0);
    S6(recvfrom, s, arena, 100, MSG_DONTWAIT, 0, 0);
    S3(sendmsg, c, a_msghdr(), MSG_DONTWAIT | MSG_NOSIGNAL);
    S3(recvmsg, s, a_msghdr(), MSG_DONTWAIT);
    S4(sendmmsg, c, a_msghdr(), 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    S6(recvmmsg, s, a_msghdr(), 1, MSG_DONTWAIT, 0, 0);
    S2(shutdown, s, below(3));
    S1(close, s), S1(close, c), S1(close, l);
    S1(unlink, sa.sun_path);
}

static void timers(void)
{
    int id;
    struct itimerspec it = {{0, 0}, {0, 1000000}};
    struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    if (S3(timer_create, CLOCK_MONOTONIC, &ev, &id) == 0) {
        S4(timer_settime, id, 0, &it, 0);
        S2(timer_gettime, id, arena);
        S1(timer_getoverrun, id);
        S1(timer_delete, id);
    }
    long fd = S2(timerfd_create, CLOCK_MONOTONIC, O_NONBLOCK);
    S4(timerfd_settime, fd, 0, &it, arena);
    S2(timerfd_gettime, fd, arena);
    S1(close, fd);
    struct itimerval once = {{0, 0}, {0, 1000}};
    S3(setitimer, 0, &once, 0);
}

/* A process of its own for what changes one: ids, groups, sessions, limits, roots, threads, exits. */
static void child_life(int what)
{
    char *argv[] = {"true", NULL}, *envp[] = {NULL};
    struct rlimit64 { uint64_t cur, max; } rl;
    uint32_t header[2] = {0x20080522, 0}, caps[6];
    switch (what) {
    case 0: S3(execve, "/bin/true", argv, envp); break;
    case 1: S6(execveat, AT_FDCWD, "/bin/true", argv, envp, 0, 0); break;
    case 2:
        S1(setsid, 0);
        S2(setpgid, 0, 0);
        S1(getsid, 0);
        break;
    case 3:
        S2(setpgid, 0, 0);
        S2(setgroups, 0, 0);
        S1(setfsuid, 5), S1(setfsgid, 5);
        S1(setgid, 5), S2(setregid, 5, 5), S3(setresgid, 5, 5, 5);
        S1(setuid, 5), S2(setreuid, 5, 5), S3(setresuid, 5, 5, 5);
        break;
    case 4:
        S1(chroot, ".");
        S2(sethostname, "fuzz", 4);
        S2(setdomainname, "fuzz", 4);
        S2(capget, header, caps);
        S2(capset, header, caps);
        break;
    case 5:
        S2(getrlimit, RLIMIT_NOFILE, &rl);
        S2(setrlimit, RLIMIT_NOFILE, &rl);
        S4(prlimit64, 0, RLIMIT_CORE, &rl, &rl);
        S2(set_robust_list, arena, 24);
        S3(get_robust_list, 0, arena, arena + 8);
        S1(set_tid_address, arena);
        break;
    case 6: {
        sigset_t set;
        sigfillset(&set);
        S4(rt_sigprocmask, SIG_BLOCK, &set, 0, 8);
        S2(kill, getpid(), SIGUSR1);
        S2(rt_sigpending, arena, 8);
        struct timespec brief = {0, 1000};
        S4(rt_sigtimedwait, &set, arena, &brief, 8);
        siginfo_t info = {.si_signo = SIGUSR2, .si_code = -1};
        S3(rt_sigqueueinfo, getpid(), SIGUSR2, &info);
        S4(rt_tgsigqueueinfo, getpid(), gettid(), SIGUSR2, &info);
        sigemptyset(&set);
        S2(rt_sigsuspend, &set, 8);
        S1(alarm, 1);
        setitimer(ITIMER_REAL, &(struct itimerval){{0, 2000}, {0, 2000}}, NULL);
        S1(pause, 0);
        break;
    }
    case 7:
        for (int i = 0; i < 30; i++)
            one_call();
        break;
    }
    /* Neither returns. */
    __atomic_add_fetch(&counts[SYS_exit], what & 1, __ATOMIC_RELAXED);
    __atomic_add_fetch(&counts[SYS_exit_group], 1, __ATOMIC_RELAXED);
    syscall(what & 1 ? SYS_exit : SYS_exit_group, 0);
}

static void processes(void)
{
    int what = (int)below(10), how = (int)below(4);
    long pid = -1;
    uint64_t clone_args[11] = {0, 0, 0, 0, SIGCHLD};
    switch (what == 0 ? how : how == 1 ? 0 : how) {
    case 0: pid = S1(fork, 0); break;
    case 1: /* nothing but an execve is safe in a vfork child */
        __atomic_add_fetch(&counts[SYS_vfork], 1, __ATOMIC_RELAXED);
        pid = vfork();
        if (pid == 0) {
            execl("/bin/true", "true", NULL);
            _exit(1);
        }
        break;
    case 2: pid = S6(clone, SIGCHLD, 0, 0, 0, 0, 0); break;
    case 3: pid = S2(clone3, clone_args, 88); break;
    }
    if (pid == 0)
        child_life(what);
    if (pid < 0)
        return;
    for (int tries = 0; tries < 2000; tries++) {
        long got = below(2) ? S4(wait4, pid, arena, WNOHANG | __WALL, 0) : S6(waitid, P_PID, pid, arena, WEXITED | WNOHANG, arena + 256, 0);
        if (got < 0 || (got == pid))
            return;
        usleep(200);
        if (tries == 1500)
            kill((pid_t)pid, SIGKILL);
    }
}

static void files(void)
{
    long fd = S3(open, "a", O_RDWR | O_CREAT, 0644), d = S3(open, ".", O_DIRECTORY, 0), ep = S1(epoll_create1, 0), ev = S2(eventfd2, 1, O_NONBLOCK);
    struct epoll_event e = {EPOLLIN, {0}};
    long off = 0, off2 = 4096;
    uint64_t how[3] = {O_RDONLY, 0, 0};
    int p[2] = {-1, -1};
    S6(fallocate, fd, 0, 0, 8192, 0, 0);
    S6(copy_file_range, fd, &off, fd, &off2, 100, 0);
    S4(epoll_ctl, ep, EPOLL_CTL_ADD, ev, &e);
    S4(epoll_wait, ep, arena, 4, 0);
    S6(epoll_pwait, ep, arena, 4, 0, 0, 8);
    struct timespec none = {0, 0};
    S6(epoll_pwait2, ep, arena, 4, &none, 0, 8);
    S4(openat2, AT_FDCWD, "a", how, 24);
    S3(getdents64, d, arena, 4096);
    S3(getdents, d, arena, 4096);
    S1(fchdir, d);
    S6(renameat2, d, "b", d, "c", 0, 0);
    S4(newfstatat, d, "a", arena, 0);
    S6(fsetxattr, fd, "user.a", "v", 1, 0, 0);
    S6(setxattr, "a", "user.a", "v", 1, 0, 0), S6(lsetxattr, "a", "user.a", "v", 1, 0, 0);
    S4(fgetxattr, fd, "user.a", arena, 10), S4(getxattr, "a", "user.a", arena, 10), S4(lgetxattr, "a", "user.a", arena, 10);
    S3(flistxattr, fd, arena, 100), S3(listxattr, "a", arena, 100), S3(llistxattr, "a", arena, 100);
    const char *remove = "user.a";
    if (below(3) == 0)
        S2(fremovexattr, fd, remove);
    else if (below(2))
        S2(removexattr, "a", remove);
    else
        S2(lremovexattr, "a", remove);
    if (S2(pipe2, p, O_NONBLOCK) == 0) {
        S3(write, p[1], arena, 100);
        S6(splice, p[0], 0, fd, 0, 50, 0);
        S4(sendfile, p[1], fd, 0, 100);
        S1(close, p[0]), S1(close, p[1]);
    }
    S3(symlink, "a", "l", 0), S3(readlink, "l", arena, 100), S4(readlinkat, AT_FDCWD, "l", arena, 100);
    S3(link, "a", "d/f", 0);
    S2(unlink, "d/f", 0);
    S2(mkdir, "d", 0755), S2(mkdir, "d/g", 0755), S1(rmdir, "d/g");
    S1(close, fd), S1(close, d), S1(close, ep), S1(close, ev);
}

static volatile int stop;
static long now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static uint64_t seed_of(uint64_t seed, uint64_t round, uint64_t thread) { return (seed * 1000003 + round) * 1000003 + thread * 0x9e3779b97f4a7c15u + 1; }

struct worker {
    uint64_t seed;
    pthread_t thread;
};

static void *work(void *arg)
{
    struct worker *w = arg;
    state = w->seed;
    arena = mmap(NULL, ARENA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (arena == MAP_FAILED)
        return NULL;
    while (!stop) {
        switch (below(200)) {
        case 0: sockets(); break;
        case 1: timers(); break;
        case 2: processes(); break;
        case 3: files(); break;
        default: one_call();
        }
    }
    return NULL;
}

/* A process with threads, for about a quarter of a second. */
static void round_of(uint64_t seed, uint64_t round, int threads)
{
    struct worker w[32];
    handlers();
    long end = now_ms() + 250;
    for (int i = 0; i < threads; i++) {
        w[i].seed = seed_of(seed, round, (uint64_t)i);
        if (pthread_create(&w[i].thread, NULL, work, &w[i]))
            _exit(0);
    }
    while (now_ms() < end) {
        for (int i = 0; i < threads; i++)
            pthread_kill(w[i].thread, SIGURG);
        syscall(SYS_nanosleep, &(struct timespec){0, 5000000}, NULL);
    }
    _exit(0);
}

int main(int argc, char **argv)
{
    uint64_t seed = (uint64_t)time(NULL);
    long seconds = 10;
    int threads = 3;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--seed"))
            seed = strtoull(argv[i + 1], NULL, 0);
        else if (!strcmp(argv[i], "--seconds"))
            seconds = atol(argv[i + 1]);
        else if (!strcmp(argv[i], "--threads"))
            threads = atoi(argv[i + 1]);
    }
    threads = threads < 1 ? 1 : threads > 32 ? 32 : threads;
    if (!getenv("FUZZ_IN_SANDBOX")) {
        fprintf(stderr, "fuzz: harms the machine outside of a sandbox; set FUZZ_IN_SANDBOX inside of one\n");
        return 2;
    }
    printf("seed %llu\n", (unsigned long long)seed);
    fflush(stdout);
    counts = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    mkdir("/tmp/fuzz", 0777);
    if (counts == MAP_FAILED || chdir("/tmp/fuzz"))
        return 1;
    int null = open("/dev/null", O_RDWR); /* before a round removes it */
    long deadline_ms = now_ms() + seconds * 1000;
    int status, signals = 0, hangs = 0;
    uint64_t round = 0;
    for (; now_ms() < deadline_ms; round++) {
        pid_t pid = fork();
        if (pid == 0) {
            setsid();
            dup2(null, 0), dup2(null, 1), dup2(null, 2);
            mkdir("d", 0777);
            close(open("a", O_CREAT | O_RDWR, 0666));
            for (int i = 0; i < 10; i++)
                open(i & 1 ? "/dev/zero" : "a", O_RDWR);
            round_of(seed, round, threads);
        }
        long end = now_ms() + 4000;
        while (waitpid(pid, &status, WNOHANG) == 0) {
            if (now_ms() > end) {
                kill(pid, SIGKILL);
                hangs++;
                waitpid(pid, &status, 0);
                break;
            }
            usleep(10000);
        }
        kill(-pid, SIGKILL); /* what its children left */
        signals += WIFSIGNALED(status);
    }
    printf("rounds %llu, ended by signals %d, hung %d\n", (unsigned long long)round, signals, hangs);
    for (int i = 0; i < 1000; i++)
        if (counts[i])
            printf("ok %d %u\n", i, counts[i]);
    return 0;
}
