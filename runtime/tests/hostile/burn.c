/*
 * `burn HOW`: keeps the kernel busy as well as one process can, while a bystander in the same sandbox counts what it gets done: it must get
 * on while the attack lasts, and SIGKILL must end the attacker.
 */
#define _GNU_SOURCE
#include "hostile.h"
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>

/* Steps of the attacker and of the bystander. */
static volatile long *counts;

static void limit(int what, rlim_t n)
{
    struct rlimit r = {n, n};
    setrlimit(what, &r);
}

static void step(void) { __atomic_add_fetch(&counts[0], 1, __ATOMIC_RELAXED); }

enum { MANY = 100000 };

/* One file, named a hundred thousand times. */
static struct pollfd *one_file(void)
{
    static struct pollfd p[MANY];
    limit(RLIMIT_NOFILE, 1 << 20);
    int fd = eventfd(0, 0);
    for (int i = 0; i < MANY; i++)
        p[i] = (struct pollfd){fd, POLLIN, 0};
    return p;
}

static void polls(void)
{
    struct pollfd *p = one_file();
    for (;;) {
        struct timespec t = {0, 2000000};
        if (ppoll(p, MANY, &t, NULL) < 0)
            fail("ppoll", errno, 0);
        step();
    }
}

static void *one_of_many(void *files)
{
    for (;;) {
        poll(files, MANY, 1);
        step();
    }
}

/* The same from dozens of threads: each call is bounded, and all workers are at one. */
static void crowd(void)
{
    struct pollfd *p = one_file();
    pthread_t thread;
    for (int i = 0; i < 40; i++)
        if (pthread_create(&thread, NULL, one_of_many, p))
            fail("pthread_create", i, 0);
    for (;;)
        pause();
}

/* The same from processes that make one call each. */
static void brood(void)
{
    struct pollfd *p = one_file();
    for (int i = 0; i < 29 && fork(); i++) { }
    for (;;) {
        pid_t pid = fork();
        if (!pid) {
            poll(p, MANY, 0);
            step();
            _exit(0);
        }
        waitpid(pid, NULL, 0);
    }
}

/* Every instance of a level watches all of the level below: 60 ^ 4 ways up. */
static void nests(void)
{
    enum { WIDE = 60, LEVELS = 4 };
    int ep[LEVELS][WIDE];
    struct epoll_event e = {EPOLLIN, {0}};
    limit(RLIMIT_NOFILE, 4096);
    for (int l = 0; l < LEVELS; l++)
        for (int i = 0; i < WIDE; i++)
            ep[l][i] = epoll_create1(0);
    for (int l = LEVELS - 1; l > 0; l--)
        for (int i = 0; i < WIDE; i++)
            for (int k = 0; k < WIDE; k++)
                if (epoll_ctl(ep[l][i], EPOLL_CTL_ADD, ep[l - 1][k], &e))
                    fail("epoll_ctl", l, errno);
    for (;;) {
        int low = epoll_create1(0);
        epoll_ctl(ep[0][0], EPOLL_CTL_ADD, low, &e);
        close(low);
        step();
    }
}

/* Timers of a nanosecond whose signals nobody takes, timer descriptors that nobody reads, and CPU clocks that stand still. */
static void timers(void)
{
    struct sigevent by = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
    struct itimerspec t = {{0, 1}, {0, 1}};
    struct itimerval v = {{0, 1}, {0, 1}};
    sigset_t all;
    int id, made = 0;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    limit(RLIMIT_SIGPENDING, 1 << 20);
    for (int i = 0; i < 10000 && !syscall(SYS_timer_create, CLOCK_MONOTONIC, &by, &id); i++, made++)
        syscall(SYS_timer_settime, id, 0, &t, NULL);
    for (int i = 0; i < 500; i++)
        timerfd_settime(timerfd_create(CLOCK_MONOTONIC, 0), 0, &t, NULL);
    for (int i = 0; i < 3; i++)
        setitimer(i, &v, NULL);
    for (int i = 0; i < 20; i++)
        if (!fork()) {
            for (int k = 1; k < 3; k++)
                setitimer(k, &(struct itimerval){{0, 1}, {100000, 0}}, NULL);
            for (;;)
                pause();
        }
    if (made < 1000)
        fail("timers", made, errno);
    counts[0] = 10;
    counts[2] = 1;
    for (;;)
        pause();
}

/* Timers of a nanosecond whose signals are ignored. */
static void ignored(void)
{
    struct sigevent by = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    struct itimerspec t = {{0, 1}, {0, 1}};
    int id, made = 0;
    signal(SIGUSR1, SIG_IGN);
    limit(RLIMIT_SIGPENDING, 1 << 20);
    for (int i = 0; i < 10000 && !syscall(SYS_timer_create, CLOCK_MONOTONIC, &by, &id); i++, made++)
        syscall(SYS_timer_settime, id, 0, &t, NULL);
    if (made < 1000)
        fail("timers", made, errno);
    counts[0] = 10;
    counts[2] = 1;
    for (;;)
        pause();
}

/* Tens of thousands of mappings, and the list of them byte by byte from the start. */
static void maps(void)
{
    char *at = mmap(NULL, 2l * 60000 * 4096, 0, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0), text[4096];
    for (int i = 0; i < 60000 / 2; i++)
        mprotect(at + 8192l * i, 4096, 1);
    for (;;) {
        int fd = open("/proc/self/maps", O_RDONLY);
        for (int i = 0; i < 20 && read(fd, text, sizeof text) > 0; i++)
            step();
        close(fd);
    }
}

/* A description whose text takes long to make, and a hundred threads that ask for no more than its position. */
static int described;

static void *seeker(void *arg)
{
    for (;;) {
        lseek(described, 0, SEEK_CUR);
        step();
    }
}

static void seekers(void)
{
    char *at = mmap(NULL, 2l * 30000 * 4096, 0, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0), text[256];
    pthread_t thread;
    for (int i = 0; i < 30000; i++)
        mprotect(at + 8192l * i, 4096, 1);
    described = open("/proc/self/maps", O_RDONLY);
    for (int i = 0; i < 100; i++)
        if (pthread_create(&thread, NULL, seeker, NULL))
            fail("pthread_create", i, 0);
    for (;;) {
        lseek(described, 0, SEEK_SET);
        read(described, text, sizeof text);
    }
}

/* Locks of every other byte, then locks over all of them. */
static void locks(void)
{
    int fd = open("/tmp/burn", O_RDWR | O_CREAT, 0600);
    for (long i = 0;; i++) {
        struct flock l = {.l_type = F_WRLCK, .l_start = i % 20000 * 2, .l_len = 1};
        if (fcntl(fd, F_SETLK, &l) && errno != ENOLCK)
            fail("F_SETLK", errno, 0);
        step();
    }
}

/* Thousands of vectors of a byte each. */
static void vectors(void)
{
    static char bytes[1024];
    static struct iovec v[1024];
    for (int i = 0; i < 1024; i++)
        v[i] = (struct iovec){&bytes[i], 1};
    int zero = open("/dev/zero", O_RDONLY), out = open("/tmp/burn-v", O_RDWR | O_CREAT, 0600);
    for (;;) {
        readv(zero, v, 1024);
        pwritev(out, v, 1024, 0);
        step();
    }
}

/* Directories of many thousands of names. */
static void names(void)
{
    char name[64], list[65536];
    mkdir("/tmp/burn-d", 0700);
    for (int i = 0; i < 20000; i++) {
        snprintf(name, sizeof name, "/tmp/burn-d/%d", i);
        int fd = open(name, O_CREAT | O_WRONLY, 0600);
        if (fd < 0)
            break;
        close(fd);
    }
    int dir = open("/tmp/burn-d", O_RDONLY);
    for (long i = 0;; i++) {
        lseek(dir, 0, SEEK_SET);
        for (int k = 0; k < 4 && syscall(SYS_getdents64, dir, list, sizeof list) > 0; k++) { }
        snprintf(name, sizeof name, "/tmp/burn-d/%ld", i % 20000);
        unlink(name);
        step();
    }
}

/* Signals up to the limit, and the last kind of them first. */
static void signals(void)
{
    sigset_t all, one;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    limit(RLIMIT_SIGPENDING, 1 << 20);
    while (!sigqueue(getpid(), SIGRTMAX, (union sigval){0})) { }
    sigemptyset(&one);
    sigaddset(&one, SIGRTMIN);
    for (;;) {
        struct timespec now = {0, 0};
        sigqueue(getpid(), SIGRTMIN, (union sigval){0});
        sigtimedwait(&one, NULL, &now);
        kill(0, 0);
        step();
    }
}

/* As much as one call moves. */
static void vast(void)
{
    long most = 0x7ffff000;
    int zero = open("/dev/zero", O_RDONLY), null = open("/dev/null", O_WRONLY), file = open("/tmp/burn-s", O_RDWR | O_CREAT, 0600);
    char *at = mmap(NULL, most, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (ftruncate(file, 1l << 40))
        fail("ftruncate", errno, 0);
    for (;;) {
        lseek(file, 0, SEEK_SET);
        syscall(SYS_sendfile, null, file, NULL, most);
        step();
        write(null, at, most);
        step();
        fallocate(file, 3, 0, 1l << 39);
        lseek(file, 0, SEEK_DATA);
        step();
    }
}

/* What everybody else does: files, processes, pipes, locks, waits. */
static void bystander(void)
{
    char text[64];
    for (;;) {
        int p[2], status;
        pid_t pid = fork();
        if (pid == 0)
            _exit(7);
        if (pid < 0 || waitpid(pid, &status, 0) != pid || WEXITSTATUS(status) != 7)
            fail("the bystander's child", errno, 0);
        int fd = open("/tmp/bystander", O_RDWR | O_CREAT, 0600), ep = epoll_create1(0);
        struct epoll_event e = {EPOLLIN, {0}};
        if (fd < 0 || write(fd, "x", 1) != 1 || pipe(p) || write(p[1], "x", 1) != 1 || epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &e)
            || epoll_wait(ep, &e, 1, 1000) != 1 || read(p[0], text, 1) != 1)
            fail("the bystander", errno, 0);
        close(fd), close(p[0]), close(p[1]), close(ep);
        millis(1);
        __atomic_add_fetch(&counts[1], 1, __ATOMIC_RELAXED);
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } all[] = {{"polls", polls}, {"crowd", crowd}, {"brood", brood}, {"nests", nests}, {"timers", timers}, {"ignored", ignored}, {"maps", maps}, {"seekers", seekers}, {"locks", locks}, {"vectors", vectors},
               {"names", names}, {"signals", signals}, {"vast", vast}};
    counts = mmap(NULL, 4096, 3, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (unsigned i = 0; i < sizeof all / sizeof *all; i++) {
        if (argc < 2 || strcmp(argv[1], all[i].name))
            continue;
        pid_t attacker = fork();
        if (!attacker) {
            setpgid(0, 0);
            all[i].run();
        }
        setpgid(attacker, attacker);
        /* The attack has begun; then the bystander starts. */
        while (counts[0] < 10 && !waitpid(attacker, NULL, WNOHANG))
            millis(1);
        if (counts[2]) {
            printf("standing still\n");
            fflush(stdout);
            getchar();
        }
        pid_t other = fork();
        if (!other)
            bystander();
        int status;
        for (long end = now_ms() + patience(30000); counts[1] < 100; millis(1))
            if (waitpid(other, &status, WNOHANG) || now_ms() > end)
                fail("the bystander does not get on", counts[0], counts[1]);
        long during = counts[0];
        kill(-attacker, SIGKILL);
        if (waitpid(attacker, &status, 0) != attacker || !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
            fail("the attacker", status, errno);
        printf("%s: %ld steps, then killed\n", argv[1], during);
        kill(other, SIGKILL);
        waitpid(other, &status, 0);
        return 0;
    }
    return 64;
}
