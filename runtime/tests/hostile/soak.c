/*
 * Makes objects and drops them: `soak DIR KIND [WARM]` makes WARM of them, says `ready`, and for each line `N` that it reads makes N rounds more and
 * says `done`. DIR is a folder on a bind mount. `soak list` names the kinds.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

static const char *dir, *kind;
static const char *self;

static void must(int ok, const char *what)
{
    if (ok)
        return;
    printf("FAIL: %s: %s\n", what, strerror(errno));
    fflush(stdout);
    _exit(1);
}
#define M(x) must((x) >= 0, #x)

static const char *name(const char *folder, long i)
{
    static char text[2][4096];
    static int which;
    which = !which;
    snprintf(text[which], sizeof text[0], "%s/%s-%ld", folder, kind, i);
    return text[which];
}

static void pipes(long i)
{
    int p[2];
    M(pipe(p));
    M(write(p[1], "x", 1));
    close(p[0]), close(p[1]);
}
static void pairs(long i)
{
    int p[2];
    M(socketpair(AF_UNIX, i & 1 ? SOCK_STREAM : SOCK_DGRAM, 0, p));
    M(write(p[1], "x", 1));
    close(p[0]), close(p[1]);
}
static void eventfds(long i) { close(eventfd(1, 0)); }
static void timerfds(long i)
{
    int fd = timerfd_create(i & 1 ? CLOCK_MONOTONIC : CLOCK_REALTIME, 0);
    struct itimerspec t = {{0, i & 2 ? 1000 : 0}, {i & 4 ? 1000 : 0, 1}};
    M(timerfd_settime(fd, 0, &t, NULL));
    close(fd);
}
static void signalfds(long i)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    close(signalfd(-1, &set, 0));
}
static void epolls(long i) { close(epoll_create1(0)); }
static void watches(long i)
{
    struct epoll_event e = {EPOLLIN | (i & 1 ? EPOLLET : 0), {0}};
    int ep = epoll_create1(0), fd = eventfd(1, 0);
    M(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e));
    M(epoll_wait(ep, &e, 1, 0));
    close(i & 2 ? ep : fd), close(i & 2 ? fd : ep);
}
static void watch_stays(long i)
{
    static int ep = -1;
    struct epoll_event e = {EPOLLIN, {0}};
    if (ep < 0)
        ep = epoll_create1(0);
    int fd = eventfd(1, 0);
    M(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e));
    if (i & 1)
        M(epoll_wait(ep, &e, 1, 0));
    close(fd);
}
static void nested(long i)
{
    struct epoll_event e = {EPOLLIN, {0}};
    int a = epoll_create1(0), b = epoll_create1(0), fd = eventfd(0, 0);
    M(epoll_ctl(a, EPOLL_CTL_ADD, b, &e));
    M(epoll_ctl(b, EPOLL_CTL_ADD, fd, &e));
    close(i & 1 ? a : fd), close(b), close(i & 1 ? fd : a);
}
static void memfds(long i)
{
    int fd = memfd_create("soak", 0);
    M(ftruncate(fd, 8192));
    M(write(fd, "x", 1));
    close(fd);
}
static void memfd_maps(long i)
{
    int fd = memfd_create("soak", 0);
    M(ftruncate(fd, 4096));
    char *p = mmap(NULL, 4096, 3, i & 1 ? MAP_SHARED : MAP_PRIVATE, fd, 0);
    must(p != MAP_FAILED, "mmap");
    *p = 1;
    munmap(p, 4096);
    close(fd);
}
static void files_in(const char *where, long i)
{
    const char *n = name(where, i);
    int fd = open(n, O_RDWR | O_CREAT | O_EXCL, 0600);
    M(fd);
    M(write(fd, "hello", 5));
    if (i & 1)
        M(unlink(n));
    close(fd);
    if (!(i & 1))
        M(unlink(n));
}
static void tmpfiles(long i) { files_in("/tmp", i); }
static void bound_files(long i) { files_in(dir, i); }
static void root_files(long i) { files_in("/var", i); }
static void dirs_in(const char *where, long i)
{
    M(mkdir(name(where, i), 0700));
    M(rmdir(name(where, i)));
}
static void dirs(long i) { dirs_in("/tmp", i); }
static void bound_dirs(long i) { dirs_in(dir, i); }
static void links_in(const char *where, long i)
{
    char target[64];
    M(symlink("soak-target", name(where, i)));
    M(readlink(name(where, i), target, sizeof target));
    M(unlink(name(where, i)));
}
static void symlinks(long i) { links_in("/tmp", i); }
static void bound_symlinks(long i) { links_in(dir, i); }
static void renames(long i)
{
    char to[4096];
    int fd = open(name("/tmp", i), O_RDWR | O_CREAT, 0600);
    M(fd);
    close(fd);
    snprintf(to, sizeof to, "/tmp/other-%ld", i);
    M(link(name("/tmp", i), to));
    M(rename(to, name("/tmp", i + 1000000000)));
    M(unlink(name("/tmp", i)));
    M(unlink(name("/tmp", i + 1000000000)));
}
static void fifos(long i)
{
    M(mkfifo(name("/tmp", i), 0600));
    int fd = open(name("/tmp", i), O_RDWR);
    M(fd);
    M(write(fd, "x", 1));
    M(unlink(name("/tmp", i)));
    close(fd);
}
static void xattrs(long i)
{
    static int fd = -1;
    char n[64];
    if (fd < 0)
        fd = open("/tmp/soak-x", O_RDWR | O_CREAT, 0600);
    snprintf(n, sizeof n, "user.soak%ld", i);
    M(fsetxattr(fd, n, "value", 5, 0));
    M(fremovexattr(fd, n));
}
static void dups(long i)
{
    int fd = dup(1);
    M(dup2(fd, 100 + (int)(i % 20)));
    close(fd), close(100 + (int)(i % 20));
}
static void mmaps(long i)
{
    void *p = mmap(NULL, 65536, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(p != MAP_FAILED, "mmap");
    munmap(p, 65536);
}
static void splits(long i)
{
    char *p = mmap(NULL, 65536, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    M(mprotect(p + 4096, 4096, 1));
    M(mprotect(p + 12288, 4096, 0));
    munmap(p, 65536);
}
static void timers(long i)
{
    struct sigevent none = {.sigev_notify = i & 1 ? SIGEV_NONE : SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    struct itimerspec t = {{0, 1}, {0, i & 2 ? 1 : 100000000}};
    int id;
    signal(SIGUSR1, SIG_IGN);
    M(syscall(SYS_timer_create, CLOCK_MONOTONIC, &none, &id));
    M(syscall(SYS_timer_settime, id, 0, &t, NULL));
    M(syscall(SYS_timer_delete, id));
}
static void itimers(long i)
{
    struct itimerval t = {{0, 0}, {100, 0}}, off = {{0, 0}, {0, 0}};
    M(setitimer((int)(i % 3), &t, NULL));
    M(setitimer((int)(i % 3), &off, NULL));
}
static void *nothing(void *arg) { return arg; }
static void threads(long i)
{
    pthread_t t;
    must(!pthread_create(&t, NULL, nothing, NULL), "pthread_create");
    pthread_join(t, NULL);
}
static void forks(long i)
{
    pid_t pid = fork();
    M(pid);
    if (!pid)
        _exit(0);
    M(waitpid(pid, NULL, 0));
}
static void strangers(long i)
{
    /* A session, a group, other ids and groups, and an orphan. */
    pid_t pid = fork();
    M(pid);
    if (!pid) {
        static gid_t many[500];
        setsid();
        if (i % 3 == 0 && !fork())
            _exit(0);
        many[0] = (gid_t)i;
        if (!geteuid() && (setgroups(500, many) || setgid(1000 + (int)(i % 50)) || setuid(1000 + (int)(i % 50))))
            _exit(2);
        _exit(0);
    }
    int status;
    M(waitpid(pid, &status, 0));
    must(status == 0, "a stranger");
}
static void execs(long i)
{
    char *argv[] = {(char *)self, NULL}, *none[] = {NULL};
    pid_t pid = i & 1 ? fork() : vfork();
    M(pid);
    if (!pid) {
        execve(self, argv, none);
        _exit(9);
    }
    int status;
    M(waitpid(pid, &status, 0));
    must(WIFEXITED(status) && WEXITSTATUS(status) == 3, "execve");
}
static void pidfds(long i)
{
    int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    M(fd);
    struct pollfd p = {fd, POLLIN, 0};
    M(poll(&p, 1, 0));
    close(fd);
}
static int lock_file(void)
{
    int fd = open("/tmp/soak-lock", O_RDWR | O_CREAT, 0600);
    M(fd);
    return fd;
}
static void flocks(long i)
{
    int fd = lock_file();
    M(flock(fd, i & 1 ? LOCK_SH : LOCK_EX));
    close(fd);
}
static void locks(int command, long i)
{
    int fd = lock_file();
    struct flock l = {.l_type = i & 1 ? F_WRLCK : F_RDLCK, .l_start = i, .l_len = 100};
    M(fcntl(fd, command, &l));
    l.l_type = F_UNLCK, l.l_start += 10, l.l_len = 10;
    M(fcntl(fd, command, &l));
    close(fd);
}
static void posix_locks(long i) { locks(F_SETLK, i); }
static void ofd_locks(long i) { locks(F_OFD_SETLK, i); }
static void scm(long i)
{
    int p[2], fd = eventfd(0, 0);
    char control[CMSG_SPACE(sizeof(int))] = {0}, byte = 0;
    struct iovec iov = {&byte, 1};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET, c->cmsg_type = SCM_RIGHTS, c->cmsg_len = CMSG_LEN(sizeof(int));
    M(socketpair(AF_UNIX, SOCK_STREAM, 0, p));
    memcpy(CMSG_DATA(c), i % 3 == 2 ? &p[0] : &fd, sizeof fd);
    M(sendmsg(p[0], &m, 0));
    if (i & 1) { /* received; otherwise it goes with the socket */
        M(recvmsg(p[1], &m, 0));
        int got;
        memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof got);
        close(got);
    }
    close(fd), close(p[0]), close(p[1]);
}
static void connections(long i)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path + (i & 1), sizeof a.sun_path - 1, "/tmp/soak-s%ld", i);
    int s = socket(AF_UNIX, SOCK_STREAM, 0), c = socket(AF_UNIX, SOCK_STREAM, 0);
    M(bind(s, (struct sockaddr *)&a, sizeof a));
    M(listen(s, 5));
    M(connect(c, (struct sockaddr *)&a, sizeof a));
    if (i & 2) {
        int got = accept(s, NULL, NULL);
        M(got);
        close(got);
    }
    close(s), close(c);
    if (!(i & 1))
        M(unlink(a.sun_path));
}
static void procs(long i)
{
    static const char *const files[] = {"/proc/self/maps", "/proc/self/status", "/proc/self/stat", "/proc/self/fd", "/proc/mounts",
                                        "/proc/self/fdinfo/1", "/proc/self/task", "/proc/self/environ"};
    char text[512];
    int fd = open(files[i % 8], O_RDONLY);
    M(fd);
    (void)!read(fd, text, sizeof text);
    close(fd);
}
static void dead_procs(long i)
{
    char n[64];
    pid_t pid = fork();
    M(pid);
    if (!pid)
        _exit(0);
    snprintf(n, sizeof n, "/proc/%d/status", pid);
    int fd = open(n, O_RDONLY);
    M(waitpid(pid, NULL, 0));
    close(fd);
    open(n, O_RDONLY);
}
static void opaths(long i)
{
    int fd = open(i & 1 ? "/usr/bin" : dir, O_PATH);
    M(fd);
    close(fd);
}
static void host_files(long i)
{
    char text[64];
    int fd = open("/etc/passwd", O_RDONLY);
    M(fd);
    M(read(fd, text, sizeof text));
    close(fd);
}
static void missing(long i)
{
    struct stat st;
    stat(name(dir, i), &st);
    stat(name("/tmp", i), &st);
    stat(name("/usr", i), &st);
}
static void lists(long i)
{
    char text[4096];
    int fd = open(i & 1 ? "/proc" : i & 2 ? dir : "/tmp", O_RDONLY | O_DIRECTORY);
    M(fd);
    M(syscall(SYS_getdents64, fd, text, sizeof text));
    close(fd);
}
static void signals(long i)
{
    sigset_t set;
    siginfo_t info;
    int signo = i & 1 ? SIGUSR1 : SIGRTMIN + 2;
    sigemptyset(&set);
    sigaddset(&set, signo);
    sigprocmask(SIG_BLOCK, &set, NULL);
    for (int n = 0; n < 4; n++)
        M(sigqueue(getpid(), signo, (union sigval){.sival_int = n}));
    struct timespec now = {0, 0};
    while (sigtimedwait(&set, &info, &now) >= 0) { }
}
static void polls(long i)
{
    int p[2];
    M(pipe(p));
    struct pollfd fds[8];
    for (int n = 0; n < 8; n++)
        fds[n] = (struct pollfd){p[n & 1], n & 1 ? 0 : POLLIN, 0};
    struct timespec t = {0, 1000};
    M(ppoll(fds, 8, &t, NULL));
    close(p[0]), close(p[1]);
}
static void sched(long i)
{
    cpu_set_t set;
    M(sched_getaffinity(0, sizeof set, &set));
    M(sched_setaffinity(0, sizeof set, &set));
    setpriority(PRIO_PROCESS, 0, 0);
    umask((mode_t)(i & 077));
    umask(022);
    M(chdir(i & 1 ? "/tmp" : "/"));
}
static void copies(long i)
{
    int from = open("/etc/passwd", O_RDONLY), to = memfd_create("copy", 0), p[2];
    off_t at = 0;
    M(sendfile(to, from, &at, 500));
    M(pipe(p));
    M(splice(from, NULL, p[1], NULL, 100, 0));
    close(from), close(to), close(p[0]), close(p[1]);
}

static const struct {
    const char *name;
    void (*make)(long);
} kinds[] = {
    {"pipe", pipes}, {"pair", pairs}, {"eventfd", eventfds}, {"timerfd", timerfds}, {"signalfd", signalfds}, {"epoll", epolls},
    {"watch", watches}, {"watch-closed", watch_stays}, {"epoll-nested", nested}, {"memfd", memfds}, {"memfd-map", memfd_maps},
    {"tmpfile", tmpfiles}, {"bind-file", bound_files}, {"overlay-file", root_files}, {"dir", dirs}, {"bind-dir", bound_dirs},
    {"symlink", symlinks}, {"bind-symlink", bound_symlinks}, {"rename", renames}, {"fifo", fifos}, {"xattr", xattrs}, {"dup", dups},
    {"mmap", mmaps}, {"mprotect", splits}, {"posix-timer", timers}, {"itimer", itimers}, {"thread", threads}, {"fork", forks},
    {"stranger", strangers}, {"exec", execs}, {"pidfd", pidfds}, {"flock", flocks}, {"posix-lock", posix_locks}, {"ofd-lock", ofd_locks},
    {"scm", scm}, {"connection", connections}, {"proc", procs}, {"dead-proc", dead_procs}, {"o-path", opaths},
    {"host-file", host_files}, {"missing", missing}, {"getdents", lists}, {"signal", signals}, {"poll", polls}, {"sched", sched},
    {"copy", copies},
};

int main(int argc, char **argv)
{
    char line[64];
    long done = 0;
    if (argc < 2)
        return 3; /* of `execs` */
    self = "/proc/self/exe";
    char path[4096];
    ssize_t len = readlink("/proc/self/exe", path, sizeof path - 1);
    if (len > 0) {
        path[len] = 0;
        self = path;
    }
    if (!strcmp(argv[1], "list")) {
        for (unsigned k = 0; k < sizeof kinds / sizeof *kinds; k++)
            puts(kinds[k].name);
        return 0;
    }
    dir = argv[1];
    kind = argv[2];
    for (unsigned k = 0; argc > 2 && k < sizeof kinds / sizeof *kinds; k++)
        if (!strcmp(argv[2], kinds[k].name)) {
            for (long warm = argc > 3 ? atol(argv[3]) : 3000; done < warm; done++)
                kinds[k].make(done);
            puts("ready");
            fflush(stdout);
            while (fgets(line, sizeof line, stdin)) {
                for (long end = done + atol(line); done < end; done++)
                    kinds[k].make(done);
                puts("done");
                fflush(stdout);
            }
            return 0;
        }
    return 64;
}
