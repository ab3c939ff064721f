/*
 * What lies in queues of sockets, and what watches what: too deep, too much, in circles.
 *   flight chain|watchers|circle|cycles|carried|pending|gather
 */
#include "hostile.h"
#include <pthread.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>

enum { FILES = 253 };

/* Sends `n` descriptors by `to`; the errno. */
static int pass(int to, const int *fds, int n)
{
    static char room[CMSG_SPACE(FILES * sizeof(int))];
    struct iovec byte = {"x", 1};
    struct msghdr m = {.msg_iov = &byte, .msg_iovlen = 1, .msg_control = room, .msg_controllen = CMSG_SPACE(n * sizeof(int))};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(n * sizeof(int));
    memcpy(CMSG_DATA(c), fds, n * sizeof(int));
    return sendmsg(to, &m, MSG_DONTWAIT | MSG_NOSIGNAL) == 1 ? 0 : errno;
}

static void pair(int type, int s[2])
{
    if (socketpair(AF_UNIX, type, 0, s))
        fail("socketpair", errno, 0);
}

static int watch(int epoll, int fd)
{
    struct epoll_event e = {.events = EPOLLIN};
    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) ? errno : 0;
}

/* Each socket in the queue of the next: closing the last closes all. */
static void chain(void)
{
    int last = -1, s[2], depth = 0;
    for (; depth < 6000; depth++) {
        pair(SOCK_STREAM, s);
        if (last >= 0) {
            if (pass(s[0], &last, 1))
                break;
            close(last);
        }
        close(s[0]);
        last = s[1];
    }
    printf("a chain of %d\n", depth);
    fflush(stdout);
    close(last);
}

/* Each instance watches the next one, made later; then something happens below. */
static void watchers(void)
{
    int top = epoll_create1(0), at = top, depth = 0, event = eventfd(0, 0);
    struct rlimit most = {20000, 20000};
    setrlimit(RLIMIT_NOFILE, &most);
    for (; depth < 15000; depth++) {
        int next = epoll_create1(0);
        if (next < 0 || watch(at, next))
            break;
        at = next;
    }
    printf("%d levels\n", depth);
    fflush(stdout);
    if (watch(at, event))
        fail("an event at the bottom", errno, 0);
    eventfd_write(event, 1);
    struct epoll_event e;
    if (epoll_wait(top, &e, 1, 0) != 1)
        fail("nothing at the top", errno, 0);
}

static int one, other, result;
static pthread_barrier_t meet;

static void *add(void *unused)
{
    for (;;) {
        pthread_barrier_wait(&meet);
        result = watch(other, one);
        pthread_barrier_wait(&meet);
    }
    return unused;
}

/* Two threads make two instances watch one another at the same time. */
static void circle(void)
{
    pthread_t thread;
    pthread_barrier_init(&meet, NULL, 2);
    pthread_create(&thread, NULL, add, NULL);
    for (long tries = 0, end = now_ms() + 3000; now_ms() < end; tries++) {
        one = epoll_create1(0);
        other = epoll_create1(0);
        pthread_barrier_wait(&meet);
        int mine = watch(one, other);
        pthread_barrier_wait(&meet);
        if (!mine && !result)
            fail("a circle", tries, 0);
        if (mine && result)
            fail("neither was added", mine, result);
        close(one);
        close(other);
    }
}

/* Sockets in their own queues, and in one another's, with files beside them; also by a process that ends. */
static void cycles(void)
{
    int s[2], t[2], fds[FILES];
    for (int round = 0; round < 200; round++) {
        if (round % 8 == 7) {
            int status = 0;
            pid_t pid = fork();
            if (pid == 0) {
                pair(SOCK_STREAM, s);
                _exit(pass(s[0], &s[1], 1));
            }
            if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
                fail("a child's", status, errno);
        }
        pair(SOCK_SEQPACKET, s);
        pair(SOCK_STREAM, t);
        fds[0] = t[1];
        for (int i = 1; i < FILES; i++)
            if ((fds[i] = eventfd(0, 0)) < 0)
                fail("files that nobody has are kept", round, errno);
        int e = pass(s[0], fds, FILES);
        if (e || (e = pass(t[0], &s[1], 1)))
            fail("files that nobody can receive are counted", round, e);
        for (int i = 0; i < FILES; i++)
            close(fds[i]);
        close(t[0]);
        close(s[0]);
        close(s[1]);
    }
}

/* Files in flight, as many as there may be. */
static void carried(void)
{
    int s[2], fds[FILES], e = 0, messages = 0;
    pair(SOCK_SEQPACKET, s);
    for (int i = 0; i < FILES; i++)
        fds[i] = eventfd(0, 0);
    for (; messages < 260 && !e; messages++)
        if ((e = pass(s[0], fds, FILES)) == EAGAIN) {
            pair(SOCK_SEQPACKET, s);
            e = 0;
        }
    if (!e)
        fail("files in flight without end", messages, 0);
    printf("%d messages: %s\n", messages, strerror(e));
}

/* Connections that nobody accepts, of sockets that are closed again. */
static void pending(void)
{
    long connections = 0;
    int e = 0;
    for (int l = 0; l < 16 && !e; l++) {
        struct sockaddr_un at = {.sun_family = AF_UNIX};
        int listener = socket(AF_UNIX, SOCK_STREAM, 0);
        snprintf(at.sun_path + 1, 32, "pending-%d", l);
        if (listener < 0 || bind(listener, (void *)&at, 32) || listen(listener, 4096))
            break;
        for (;;) {
            int client = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
            e = client < 0 || connect(client, (void *)&at, 32) ? errno : 0;
            close(client);
            if (e)
                break;
            connections++;
        }
        if (e == EAGAIN)
            e = 0;
    }
    if (!e)
        fail("connections without end", connections, 0);
    printf("%ld connections: %s\n", connections, strerror(e));
}

/* A datagram of a size that no socket takes, from one buffer named many times. */
static void gather(void)
{
    static char data[512 << 10];
    static struct iovec iov[512];
    int s[2];
    pair(SOCK_DGRAM, s);
    for (int i = 0; i < 512; i++)
        iov[i] = (struct iovec){data, sizeof data};
    struct msghdr m = {.msg_iov = iov, .msg_iovlen = 512};
    for (int i = 0; i < 20; i++)
        if (sendmsg(s[0], &m, MSG_DONTWAIT) != -1 || errno != EMSGSIZE)
            fail("a datagram of 256 MiB", i, errno);
    /* What else can be written to takes what it takes, or nothing, of a buffer of 512 MiB. */
    char *whole = mmap(NULL, 512 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    int p[2], stream[2];
    if (whole == MAP_FAILED || pipe2(p, O_NONBLOCK) || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, stream))
        fail("no buffer or pipe", 0, errno);
    int others[] = {eventfd(0, EFD_NONBLOCK), p[1], stream[0], open("/dev/null", O_WRONLY), open("/dev/full", O_WRONLY), timerfd_create(CLOCK_MONOTONIC, 0), epoll_create1(0)};
    for (unsigned i = 0; i < sizeof others / sizeof *others; i++) {
        write(others[i], whole, 512 << 20);
        writev(others[i], iov, 512);
        pwrite(others[i], whole, 512 << 20, 1);
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } all[] = {{"chain", chain}, {"watchers", watchers}, {"circle", circle}, {"cycles", cycles}, {"carried", carried}, {"pending", pending}, {"gather", gather}};
    for (unsigned i = 0; i < sizeof all / sizeof *all; i++)
        if (argc > 1 && !strcmp(argv[1], all[i].name)) {
            all[i].run();
            return 0;
        }
    return 64;
}
