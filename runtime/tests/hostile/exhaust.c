/*
 * Uses up what there is: processes, threads, descriptors, memory.
 *   exhaust forks [COUNT]|bomb|threads|files|memory|sizes|timers
 */
#include "hostile.h"
#include <limits.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/timerfd.h>
#include <sys/uio.h>

static void limit(int what, unsigned long n)
{
    struct rlimit r = {n, n};
    if (setrlimit(what, &r))
        fail("setrlimit", what, errno);
}

static int count = 10000;
static void forks(void)
{
    for (int i = 0; i < count; i++) {
        pid_t pid = fork();
        if (pid < 0)
            fail("fork", i, errno);
        if (pid == 0)
            _exit(i & 127);
        int status;
        if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != (i & 127))
            fail("a child's status", i, status);
    }
}

/* Every process forks for as long as it may. */
static void bomb(void)
{
    limit(RLIMIT_NPROC, 150);
    if (setgid(1000) || setuid(1000))
        fail("setuid", errno, 0);
    long end = now_ms() + 2000;
    volatile long *refused = mmap(NULL, 4096, 3, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    volatile long *most = refused + 1;
    pid_t top = getpid();
    while (now_ms() < end && *most < 400) {
        pid_t pid = fork();
        if (pid < 0) {
            if (errno != EAGAIN)
                fail("fork", errno, 0);
            __atomic_add_fetch(refused, 1, __ATOMIC_RELAXED);
            millis(1);
        } else if (pid == 0) {
            __atomic_add_fetch(most, 1, __ATOMIC_RELAXED);
        }
    }
    while (wait(NULL) > 0 || errno == EINTR) { }
    if (getpid() != top)
        _exit(0);
    if (!*refused)
        fail("the limit on processes never showed", *most, 0);
    printf("bomb: %ld processes, refused %ld times\n", *most, *refused);
}

/* POSIX timers beyond what the kernel may keep, whatever the caller's own limit. */
static void timers(void)
{
    limit(RLIMIT_SIGPENDING, 1000000);
    struct sigevent none = {.sigev_notify = SIGEV_NONE};
    int id, made = 0;
    while (made < 60000 && !syscall(SYS_timer_create, CLOCK_MONOTONIC, &none, &id))
        made++;
    if (made == 60000)
        fail("timers without end", made, 0);
    if (errno != EAGAIN)
        fail("timer_create", errno, 0);
    printf("timers: %d\n", made);
}

static pthread_barrier_t barrier;
static void *idle(void *arg)
{
    (void)arg;
    pthread_barrier_wait(&barrier);
    return NULL;
}

static void threads(void)
{
    enum { MOST = 700 };
    static pthread_t t[MOST];
    pthread_attr_t attr;
    limit(RLIMIT_NPROC, 500);
    if (setgid(1001) || setuid(1001))
        fail("setuid", errno, 0);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 65536);
    for (int round = 0; round < 2; round++) {
        int n = 0;
        pthread_barrier_init(&barrier, NULL, MOST);
        /* Threads wait for a count that is never reached; their end is the process's. */
        pid_t pid = fork();
        if (pid == 0) {
            while (n < MOST && pthread_create(&t[n], &attr, idle, NULL) == 0)
                n++;
            _exit(n == MOST ? 1 : n < 300 ? 2 : 0);
        }
        int status = await_child(pid, 8000);
        if (status)
            fail("threads up to the limit", status, round);
    }
}

static int open_all(int (*make)(void))
{
    int n = 0, fd;
    while (n < 4096 && (fd = make()) >= 0)
        n++;
    int e = n < 4096 ? errno : ELOOP;
    for (fd = 3; fd < 2048; fd++)
        close(fd);
    return e == EMFILE ? n : -e;
}
static int a_file(void) { return open("/etc/passwd", O_RDONLY); }
static int a_zero(void) { return open("/dev/zero", O_RDONLY); }
static int a_dup(void) { return dup(1); }
static int a_memfd(void) { return memfd_create("x", 0); }
static int an_eventfd(void) { return eventfd(0, 0); }
static int an_epoll(void) { return epoll_create1(0); }
static int a_timer(void) { return timerfd_create(CLOCK_MONOTONIC, 0); }
static int a_socket(void) { return socket(AF_UNIX, SOCK_STREAM, 0); }
static int a_pipe(void)
{
    int p[2];
    return pipe(p) ? -1 : p[0];
}
static int a_pair(void)
{
    int p[2];
    return socketpair(AF_UNIX, SOCK_STREAM, 0, p) ? -1 : p[0];
}
static int a_tmpfile(void)
{
    static int i;
    char name[64];
    snprintf(name, sizeof name, "/tmp/f%d", i++);
    return open(name, O_RDWR | O_CREAT, 0600);
}

static void files(void)
{
    int (*makers[])(void) = {a_file, a_zero, a_dup, a_memfd, an_eventfd, an_epoll, a_timer, a_socket, a_pipe, a_pair, a_tmpfile};
    limit(RLIMIT_NOFILE, 2048);
    for (int round = 0; round < 3; round++)
        for (unsigned i = 0; i < sizeof makers / sizeof *makers; i++) {
            int n = open_all(makers[i]);
            if (n < 1000)
                fail("descriptors up to EMFILE", i, n);
        }
    /* Descriptors in flight: sent over and over and never received. */
    int p[2], sent = 0;
    socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, p);
    for (; sent < 300000; sent++) {
        char control[CMSG_SPACE(sizeof(int))] = {0}, byte = 0;
        struct iovec iov = {&byte, 1};
        struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &p[sent & 1], sizeof(int));
        if (sendmsg(p[0], &m, 0) < 0)
            break;
    }
    if (sent == 300000)
        fail("messages without end", sent, 0);
}

/* Sizes that no host has. */
static void sizes(void)
{
    char *buf = mmap(NULL, 8192, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(buf + 4096, 4096, 0); /* what is written beyond the end must not be the C library's */
    char *vast = mmap(NULL, 1l << 40, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    int fd = open("/tmp/big", O_RDWR | O_CREAT, 0600), p[2];
    static const long offsets[] = {-1, 1l << 40, 1l << 62, LONG_MAX, LONG_MAX - 4095, LONG_MIN, 1l << 32, (1l << 44) - 1};
    pipe(p);
    fcntl(p[1], F_SETFL, O_NONBLOCK);
    for (unsigned i = 0; i < sizeof offsets / sizeof *offsets; i++) {
        (void)!pwrite(fd, buf, 1, offsets[i]);
        (void)!pread(fd, buf, 4096, offsets[i]);
        (void)!ftruncate(fd, offsets[i]);
        if (offsets[i] != 1l << 32) /* that much there might be */
            (void)!fallocate(fd, 0, 0, offsets[i]);
        (void)!fallocate(fd, 3, offsets[i], offsets[i]);
        lseek(fd, offsets[i], SEEK_SET);
        lseek(fd, offsets[i], SEEK_CUR);
        lseek(fd, offsets[i], SEEK_DATA);
        (void)!write(fd, buf, 1);
        (void)!write(fd, buf, (size_t)offsets[i]);
        (void)!read(fd, buf, (size_t)offsets[i]);
        (void)!write(p[1], vast == MAP_FAILED ? buf : vast, (size_t)offsets[i]);
        mmap(NULL, (size_t)offsets[i], 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        mmap(NULL, 4096, 1, MAP_SHARED, fd, offsets[i] & -4096);
        int m = memfd_create("big", 0);
        (void)!ftruncate(m, offsets[i]);
        (void)!pwrite(m, buf, 1, offsets[i]);
        close(m);
        struct iovec iov[1024];
        for (int k = 0; k < 1024; k++)
            iov[k] = (struct iovec){buf, (size_t)offsets[i]};
        (void)!writev(p[1], iov, 1024);
        (void)!writev(fd, iov, 1024);
        (void)!readv(fd, iov, 1024);
        (void)!writev(fd, iov, (int)offsets[i]);
        (void)!ftruncate(fd, 0);
        syscall(SYS_getrandom, buf, offsets[i], 0);
        syscall(SYS_poll, buf, offsets[i], 0);
        syscall(SYS_getdents64, fd, buf, offsets[i]);
        syscall(SYS_setgroups, offsets[i], buf);
        syscall(SYS_getcwd, buf, offsets[i]);
        syscall(SYS_sendto, p[1], buf, offsets[i], 0, 0, 0);
        syscall(SYS_fcntl, p[1], F_SETPIPE_SZ, offsets[i]);
        syscall(SYS_fcntl, fd, F_DUPFD, offsets[i]);
        syscall(SYS_close_range, offsets[i], offsets[i], 0);
        syscall(SYS_select, offsets[i], buf, 0, 0, &(struct timeval){0, 0});
        syscall(SYS_sched_setaffinity, 0, offsets[i], buf);
        syscall(SYS_sched_getaffinity, 0, offsets[i], buf);
        syscall(SYS_setxattr, "/tmp/big", "user.x", buf, offsets[i], 0);
        syscall(SYS_listxattr, "/tmp/big", buf, offsets[i]);
    }
    unlink("/tmp/big");
}

/* Memory of files, up to what the file system or a limit of 256 MiB gives. */
static void memory(void)
{
    static char block[1 << 20];
    struct statvfs fs;
    statvfs("/tmp", &fs);
    printf("/tmp has %llu MiB\n", (unsigned long long)fs.f_blocks * fs.f_bsize >> 20);
    memset(block, 1, sizeof block);
    for (int round = 0; round < 4; round++) {
        int fd = open("/tmp/full", O_RDWR | O_CREAT, 0600);
        for (int i = 0; i < 64 && write(fd, block, sizeof block) > 0; i++) { }
        close(fd);
        unlink("/tmp/full");
        int m = memfd_create("x", 0);
        for (int i = 0; i < 64 && write(m, block, sizeof block) > 0; i++) { }
        close(m);
    }
    limit(RLIMIT_FSIZE, 1 << 20);
    signal(SIGXFSZ, SIG_IGN);
    int fd = open("/tmp/full", O_RDWR | O_CREAT, 0600);
    if (write(fd, block, sizeof block) != sizeof block || write(fd, block, 1) != -1 || errno != EFBIG)
        fail("RLIMIT_FSIZE", errno, 0);
    /* Names, links and directories without end. */
    char name[64];
    for (int i = 0; i < 3000; i++) {
        snprintf(name, sizeof name, "/tmp/d%d", i);
        if (mkdir(name, 0700))
            break;
    }
    if (chdir("/tmp"))
        fail("chdir", errno, 0);
    for (int i = 0; i < 3000; i++)
        if (mkdir("d", 0700) || chdir("d"))
            break;
    char deep[65536];
    (void)!getcwd(deep, sizeof deep);
    /* Address space: the host's business, refused and not fatal. */
    limit(RLIMIT_AS, 1l << 30);
    while (mmap(NULL, 64 << 20, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) != MAP_FAILED) { static int n; if (n++ > 4000) break; }
    /* A stack without end. */
    pid_t pid = fork();
    if (pid == 0) {
        volatile char *sp = __builtin_frame_address(0);
        for (;;)
            *(sp -= 4096) = 1;
    }
    int status = await_child(pid, 5000);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSEGV)
        fail("a stack without end", status, 0);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } all[] = {{"forks", forks}, {"bomb", bomb}, {"threads", threads}, {"files", files}, {"memory", memory}, {"sizes", sizes}, {"timers", timers}};
    if (argc > 2)
        count = atoi(argv[2]);
    for (unsigned i = 0; i < sizeof all / sizeof *all; i++)
        if (argc > 1 && !strcmp(argv[1], all[i].name)) {
            all[i].run();
            return 0;
        }
    return 64;
}
