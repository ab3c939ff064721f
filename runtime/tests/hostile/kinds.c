/*
 * `kinds KIND`: makes objects of a kind until the kernel refuses, says how many and with which error, lets go of them, and has another
 * process make one more.
 */
#define _GNU_SOURCE
#include "hostile.h"
#include <grp.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

/* So many at most, more than any kind has: 1 for the process that comes after. */
static int most = 200000;

static void limit(int what, rlim_t n)
{
    struct rlimit r = {n, n};
    setrlimit(what, &r);
}

/* Counts what `one` makes. */
static int many(int (*one)(int))
{
    int n = 0;
    while (n < most && one(n) >= 0)
        n++;
    return n;
}

/* Children that each make one and then wait for their end. */
static int in_children(int (*one)(int))
{
    int n = 0;
    for (; n < most && n < 100; n++) {
        int p[2], e = 0;
        if (pipe(p))
            return n;
        pid_t pid = fork();
        if (pid < 0)
            return n;
        if (!pid) {
            e = one(n) < 0 ? errno : 0;
            (void)!write(p[1], &e, sizeof e);
            for (;;)
                pause();
        }
        (void)!read(p[0], &e, sizeof e);
        close(p[0]), close(p[1]);
        if (e) {
            errno = e;
            return n;
        }
    }
    return n;
}

static int a_file(int n) { return open("/dev/null", O_RDONLY); }
static int an_epoll(int n) { return epoll_create1(0); }
static int a_socket(int n) { return socket(AF_UNIX, SOCK_DGRAM, 0); }
static int a_table(int n) { return dup2(0, 500000); }
static int a_group_list(int n)
{
    static gid_t list[65536];
    for (int i = 0; i < 65536; i++)
        list[i] = (gid_t)i;
    return setgroups(65536, list);
}
static int a_watch(int n)
{
    static int ep = -1, fd;
    struct epoll_event e = {EPOLLIN, {0}};
    if (ep < 0)
        ep = epoll_create1(0), fd = eventfd(0, 0);
    return epoll_ctl(ep, EPOLL_CTL_ADD, dup(fd), &e);
}
static int in_flight(int n)
{
    static int p[2], fds[250];
    char control[CMSG_SPACE(sizeof fds)] = {0}, byte = 0;
    struct iovec iov = {&byte, 1};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    if (n % 8 == 0 && socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, p))
        return -1;
    c->cmsg_level = SOL_SOCKET, c->cmsg_type = SCM_RIGHTS, c->cmsg_len = CMSG_LEN(sizeof fds);
    memcpy(CMSG_DATA(c), fds, sizeof fds); /* the standard input, all of them */
    return (int)sendmsg(p[0], &m, 0);
}
static int a_connection(int n)
{
    static int listener = -1;
    static struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "\0kinds"};
    if (listener < 0) {
        listener = socket(AF_UNIX, SOCK_STREAM, 0);
        if (bind(listener, (struct sockaddr *)&a, 8) || listen(listener, 1 << 20))
            return -1;
    }
    int s = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    return s < 0 ? s : connect(s, (struct sockaddr *)&a, 8);
}
static int a_name(int n)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int s = socket(AF_UNIX, SOCK_DGRAM, 0);
    return s < 0 ? s : bind(s, (struct sockaddr *)&a, sizeof(sa_family_t));
}
static int a_timer(int n)
{
    struct sigevent none = {.sigev_notify = SIGEV_NONE};
    int id;
    return (int)syscall(SYS_timer_create, CLOCK_MONOTONIC, &none, &id);
}
static int a_signal(int n) { return sigqueue(getpid(), SIGRTMIN, (union sigval){0}); }
static int a_lock(int n)
{
    static int fd;
    char name[64];
    if (n % 500 == 0) {
        snprintf(name, sizeof name, "/tmp/kinds-%d-%d", getpid(), n);
        fd = open(name, O_RDWR | O_CREAT, 0600);
        if (fd < 0)
            return fd;
    }
    struct flock l = {.l_type = F_WRLCK, .l_start = n % 500 * 2, .l_len = 1};
    return fcntl(fd, F_SETLK, &l);
}
static int a_text(int n)
{
    static char *at;
    char byte;
    if (!at) {
        at = mmap(NULL, 40000l * 4096, 0, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        for (int i = 0; i < 20000; i++)
            mprotect(at + 8192l * i, 4096, 1);
    }
    int fd = open("/proc/self/maps", O_RDONLY);
    return fd < 0 ? fd : (int)read(fd, &byte, 1);
}
static int a_listing(int n)
{
    char list[256];
    int fd = open("/usr/bin", O_RDONLY | O_DIRECTORY);
    return fd < 0 ? fd : (int)syscall(SYS_getdents64, fd, list, sizeof list);
}
static int a_wait(int n)
{
    /* The files are the parent's. */
    static struct pollfd p[20000];
    for (int i = 0; i < 20000; i++)
        p[i] = (struct pollfd){100 + i, POLLIN, 0};
    struct timespec moment = {0, 1000000};
    int first = ppoll(p, 20000, &moment, NULL);
    if (first < 0 || fork())
        return first;
    for (;;)
        poll(p, 20000, -1);
}
static int waits(void)
{
    for (int i = 0; i < 20000; i++)
        if (dup2(eventfd(0, EFD_CLOEXEC), 100 + i) < 0)
            return 0;
    return in_children(a_wait);
}
static void *idle(void *arg)
{
    for (;;)
        pause();
}
static int threads(int n)
{
    pthread_attr_t attr;
    pthread_t t;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 16384);
    for (int made = 0; made < 3000 && made < most; made++) {
        int e = pthread_create(&t, &attr, idle, NULL);
        if (e) {
            errno = e;
            return -1;
        }
    }
    return 0;
}

/* Processes that have ended, for which nobody waits. */
static int zombies(void)
{
    int n = 0;
    for (; n < 12000 && n < most; n++) {
        pid_t pid = fork();
        if (!pid)
            _exit(0);
        if (pid < 0)
            return n;
    }
    return most;
}

static int of_kind(const char *kind)
{
    static const struct {
        const char *name;
        int (*one)(int);
        int children;
    } all[] = {{"File", a_file}, {"Task", threads, 1}, {"GroupList", a_group_list, 1}, {"FdTable", a_table, 1}, {"EpollInstance", an_epoll},
               {"EpollWatch", a_watch}, {"Socket", a_socket}, {"PendingConnection", a_connection}, {"FileInFlight", in_flight},
               {"SocketName", a_name}, {"Timer", a_timer}, {"QueuedSignal", a_signal}, {"Lock", a_lock}, {"ProcText", a_text},
               {"DirSnapshot", a_listing}};
    if (!strcmp(kind, "Waiter"))
        return waits();
    if (!strcmp(kind, "Zombie"))
        return zombies();
    for (unsigned i = 0; i < sizeof all / sizeof *all; i++)
        if (!strcmp(kind, all[i].name))
            return all[i].children ? in_children(all[i].one) : many(all[i].one);
    fail("no such kind", 0, 0);
    return 0;
}

int main(int argc, char **argv)
{
    sigset_t set;
    sigfillset(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
    limit(RLIMIT_NOFILE, 1 << 20);
    limit(RLIMIT_SIGPENDING, 1 << 20);
    for (int round = 0; round < 2; round++) {
        int status = -1;
        /* Those who hold the first ones end, and what they held goes a moment later. */
        for (long end = now_ms() + 10000; status && now_ms() < end; millis(round ? 50 : 0)) {
            pid_t pid = fork();
            if (!pid) {
                setpgid(0, 0);
                int n = of_kind(argv[1]);
                int e = n < most ? errno : 0;
                if (!round)
                    printf("%s: %d, then %s\n", argv[1], n, e ? strerrorname_np(e) : "no end");
                fflush(stdout);
                _exit(round && e);
            }
            setpgid(pid, pid);
            waitpid(pid, &status, 0);
            kill(-pid, SIGKILL);
            while (waitpid(-pid, NULL, 0) > 0) { }
            if (!round)
                break;
        }
        if (status)
            fail(round ? "one more" : "the first ones", status, 0);
        most = 1;
    }
    puts("one more");
    return 0;
}
