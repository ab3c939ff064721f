/* Calls that need a history: longer stories of files, sockets, timers, processes and identities. */
#include "fuzz.h"
#include <linux/capability.h>
#include <linux/futex.h>
#include <sys/epoll.h>
#include <grp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/rseq.h>
#include <sys/select.h>

static void sockets(void)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int abstract = below(4) == 0;
    snprintf(sa.sun_path + abstract, sizeof sa.sun_path - 1, "sock%d", (int)below(below(2) ? 8 : 100000));
    long l = S3(socket, AF_UNIX, SOCK_STREAM, 0), c = S3(socket, AF_UNIX, SOCK_STREAM | (below(2) ? SOCK_NONBLOCK : 0), 0);
    S3(bind, l, &sa, sizeof sa);
    S2(listen, l, below(5));
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
    if (below(4) == 0)
        it.it_interval.tv_nsec = (long)below(1000); /* a storm of ticks */
    struct sigevent ev = {.sigev_notify = below(4) ? SIGEV_SIGNAL : SIGEV_NONE, .sigev_signo = PICK(SIGUSR1, SIGUSR2, 40)};
    if (S3(timer_create, PICK(CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_BOOTTIME), &ev, &id) == 0) {
        S4(timer_settime, id, 0, &it, 0);
        S2(timer_gettime, id, arena);
        S1(timer_getoverrun, id);
        if (below(8))
            S1(timer_delete, id);
    }
    long fd = S2(timerfd_create, CLOCK_MONOTONIC, O_NONBLOCK);
    S4(timerfd_settime, fd, 0, &it, arena);
    S2(timerfd_gettime, fd, arena);
    if (below(2))
        S2(dup2, fd, 20 + below(20));
    S1(close, fd);
    struct itimerval once = {{0, 0}, {0, 1000}};
    S3(setitimer, 0, &once, 0);
}

static void files(void)
{
    const char *name = below(4) ? "a" : "/rw/a";
    long fd = S3(open, name, O_RDWR | O_CREAT, 0666), d = S3(open, ".", O_DIRECTORY, 0), ep = S1(epoll_create1, 0), ev = S2(eventfd2, 1, O_NONBLOCK);
    struct epoll_event e = {EPOLLIN, {0}};
    long off = 0, off2 = 4096;
    uint64_t how[3] = {O_RDONLY, 0, 0};
    int p[2] = {-1, -1}, q[2] = {-1, -1};
    S6(fallocate, fd, 0, 0, 8192, 0, 0);
    S6(copy_file_range, fd, &off, fd, &off2, 100, 0);
    S4(epoll_ctl, ep, EPOLL_CTL_ADD, ev, &e);
    S4(epoll_wait, ep, arena, 4, 0);
    S6(epoll_pwait, ep, arena, 4, 0, 0, 8);
    struct timespec none = {0, 0};
    S6(epoll_pwait2, ep, arena, 4, &none, 0, 8);
    S4(openat2, AT_FDCWD, name, how, 24);
    S3(getdents64, d, arena, 4096);
    S3(getdents, d, arena, 4096);
    S1(fchdir, d);
    S6(renameat2, d, "b", d, "c", PICK(0, 1, 2), 0);
    S4(newfstatat, d, "a", arena, 0);
    S6(fsetxattr, fd, "user.a", "v", 1, 0, 0);
    S6(setxattr, name, "user.a", "v", 1, 0, 0), S6(lsetxattr, name, "user.a", "v", 1, 0, 0);
    S4(fgetxattr, fd, "user.a", arena, 10), S4(getxattr, name, "user.a", arena, 10), S4(lgetxattr, name, "user.a", arena, 10);
    S3(flistxattr, fd, arena, 100), S3(listxattr, name, arena, 100), S3(llistxattr, name, arena, 100);
    if (below(3) == 0)
        S2(fremovexattr, fd, "user.a");
    else if (below(2))
        S2(removexattr, name, "user.a");
    else
        S2(lremovexattr, name, "user.a");
    if (S2(pipe2, p, O_NONBLOCK) == 0 && S2(pipe2, q, O_NONBLOCK) == 0) {
        S3(write, p[1], arena, 100);
        S4(tee, p[0], q[1], 60, SPLICE_F_NONBLOCK);
        S6(splice, p[0], 0, fd, 0, 50, 0);
        S4(sendfile, p[1], fd, 0, 100);
    }
    S1(close, p[0]), S1(close, p[1]), S1(close, q[0]), S1(close, q[1]);
    S2(symlink, "a", "l"), S3(readlink, "l", arena, 100), S4(readlinkat, AT_FDCWD, "l", arena, 100);
    S2(link, "a", "d/f");
    S6(linkat, AT_FDCWD, "a", d, "d/h", 0, 0), S6(unlinkat, d, "d/h", 0, 0, 0, 0);
    S1(unlink, "d/f");
    S2(mkdir, "d", 0777), S2(mkdir, "d/g", 0755), S1(rmdir, "d/g");
    /* Far offsets, and a mapping of what is cut off under it. */
    S4(pwrite64, fd, arena, 16, PICK(0x7fffffffffffffff, 0x7ffffffffffff000, 1l << 40, 0));
    void *m = (void *)S6(mmap, 0, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    S2(ftruncate, fd, PICK(0, 1, 4096, 0x7fffffffffffffff, 5000));
    if (m != MAP_FAILED && (unsigned long)m < -4095ul)
        S3(msync, m, 8192, PICK(1, 2, 4)), S2(munmap, m, 8192);
    S1(close, fd), S1(close, d), S1(close, ep), S1(close, ev);
}

/* Other real, effective, saved and file system ids, some of which can be given back. */
void become(int how)
{
    long id = PICK(0, 1000, 1001, 65534), other = PICK(0, 1000, 1001, 65534);
    gid_t groups[4] = {0, 1000, 1001, 65534};
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct caps[2];
    switch (how) {
    case 0: S1(setfsuid, id), S1(setfsgid, other); break;
    case 1: S3(setresuid, -1, id, -1), S3(setresuid, -1, 0, -1); break;
    case 2: S3(setresgid, -1, id, 0), S2(setgroups, below(5), groups); break;
    case 3: S2(setreuid, -1, id); break;
    case 4: S3(setresuid, id, other, 0); break;
    case 5: S3(setresgid, id, other, id), S3(setresuid, id, id, id); break;
    case 6:
        if (S2(capget, &header, caps) == 0) {
            caps[0].effective = (uint32_t)rnd() & caps[0].permitted, caps[1].effective &= caps[1].permitted;
            S2(capset, &header, caps);
        }
        break;
    default: S1(setgid, id), S1(setuid, other); break;
    }
}

/* What a process of a round is. */
void identity(int which)
{
    gid_t groups[2] = {1000, 1001};
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct caps[2] = {0};
    switch (which) {
    case 0: break; /* root */
    case 1: setgroups(2, groups), setresgid(1000, 1000, 1000), setresuid(1000, 1000, 1000); break;
    case 2: setgroups(0, groups), setresgid(65534, 65534, 65534), setresuid(65534, 65534, 65534); break;
    case 3: syscall(SYS_capset, &header, caps); break; /* root's id, no capability */
    case 4: /* an ordinary id with capabilities */
        prctl(PR_SET_KEEPCAPS, 1);
        setresgid(1001, 1001, 1001), setresuid(1001, 1001, 1001);
        caps[0].effective = caps[0].permitted = 1u << CAP_SETUID | 1u << CAP_CHOWN | 1u << CAP_DAC_OVERRIDE | 1u << CAP_KILL | 1u << CAP_SYS_PTRACE;
        syscall(SYS_capset, &header, caps);
        break;
    case 5: setresuid(1000, 0, 0); break;
    case 6: setresuid(0, 1000, 0); break;
    default: syscall(SYS_setfsuid, 1001), syscall(SYS_setfsgid, 1001); break;
    }
}

/* Descriptors of every kind below PLAY; says how many could be had. */
int descriptors(void)
{
    uint64_t mask = 1u << (SIGUSR2 - 1);
    int p[2], made = 0;
    syscall(SYS_epoll_create1, 0), syscall(SYS_eventfd2, 3, O_NONBLOCK), syscall(SYS_timerfd_create, 1, O_NONBLOCK);
    syscall(SYS_memfd_create, "m", 3), syscall(SYS_signalfd4, -1, &mask, 8, O_NONBLOCK), syscall(SYS_pidfd_open, getpid(), 0);
    open("a", O_RDWR | O_CREAT, 0666), open("/rw/a", O_RDWR | O_CREAT, 0666), open("/proc/self/maps", O_RDONLY), open(".", O_DIRECTORY);
    open("/etc/passwd", O_RDWR), open("/dev/zero", O_RDWR), open("/rw", O_DIRECTORY), open(".", O_PATH);
    if (pipe2(p, O_NONBLOCK) == 0)
        made++;
    int l = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    bind(l, (struct sockaddr *)&sa, sizeof(sa_family_t));
    listen(l, 3);
    for (int i = 3; i < PLAY; i++)
        made += fcntl(i, F_GETFD) >= 0;
    return made;
}

static char *no_env[] = {NULL};

/* Executes the fuzzer again, which goes on with the same descriptors. */
static void again(long how)
{
    char seed[32], method[8];
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)rnd());
    snprintf(method, sizeof method, "%ld", how);
    char *argv[] = {"fuzz", "--again", seed, method, NULL};
    if (how == SYS_execve)
        S3(execve, self_path, argv, no_env);
    else
        S6(execveat, below(2) ? AT_FDCWD : 5, self_path, argv, no_env, 0, 0);
}

void after_exec(uint64_t seed, long how)
{
    state = seed | 1;
    succeeded(how == SYS_execveat ? SYS_execveat : SYS_execve);
    if (arena_make())
        _exit(0);
    for (int i = 0; i < 40; i++)
        one_call();
    if (below(4) == 0)
        history();
    _exit(0);
}

static void signals_of_own(void)
{
    sigset_t set, none;
    struct timespec brief = {0, 1000};
    siginfo_t info = {.si_signo = SIGUSR2, .si_code = -1};
    sigfillset(&set);
    sigemptyset(&none);
    S4(rt_sigprocmask, SIG_BLOCK, &set, 0, 8);
    S2(kill, getpid(), SIGUSR1);
    S2(rt_sigpending, arena, 8);
    S4(rt_sigtimedwait, &set, arena, &brief, 8);
    S3(rt_sigqueueinfo, getpid(), SIGUSR2, &info);
    S4(rt_tgsigqueueinfo, getpid(), gettid(), SIGUSR2, &info);
    long fd = S3(signalfd, -1, &set, 8);
    S3(read, fd, arena, 256);
    S2(rt_sigsuspend, &none, 8);
    stack_t ss = {.ss_sp = arena, .ss_size = 8192};
    S2(sigaltstack, &ss, 0);
    S1(alarm, 1);
    setitimer(ITIMER_REAL, &(struct itimerval){{0, 2000}, {0, 2000}}, NULL);
    S4(rt_sigprocmask, SIG_SETMASK, &none, 0, 8);
    S0(pause);
}

/* Descriptors and signals through a pidfd of one of the round's processes. */
void taking(void)
{
    long who = shared->leaders[below(LEADERS)];
    long fd = S2(pidfd_open, who, 0);
    if (fd < 0)
        return;
    for (int i = 0; i < 4; i++) {
        long got = S3(pidfd_getfd, fd, below(PLAY), 0);
        if (got >= PLAY)
            S2(dup2, got, 16 + below(8)), S1(close, got);
    }
    S4(pidfd_send_signal, fd, PICK(0, SIGURG, SIGWINCH, 40), 0, 0);
    S6(waitid, P_PIDFD, fd, arena, WEXITED | WNOHANG, 0, 0);
    S1(close, fd);
}

/* A process of its own for what changes one: ids, groups, sessions, limits, roots, threads, exits. */
static void child_life(int what)
{
    struct rlimit64 { uint64_t cur, max; } rl;
    uint32_t header[2] = {0x20080522, 0}, caps[6];
    gid_t groups[2] = {5, 6};
    switch (what) {
    case 0: again(SYS_execve); break;
    case 1: again(SYS_execveat); break;
    case 2:
        if (below(2))
            S0(setsid);
        S2(setpgid, 0, 0);
        S1(getsid, 0);
        break;
    case 3:
        S2(setgroups, below(3), groups);
        S1(setfsuid, 5), S1(setfsgid, 5);
        S1(setgid, 5), S2(setregid, 5, 5), S3(setresgid, 5, 5, 5);
        S1(setuid, 5), S2(setreuid, 5, 5), S3(setresuid, 5, 5, 5);
        break;
    case 4:
        S1(chroot, below(2) ? "." : "/");
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
        S2(arch_prctl, 0x1003, arena); /* ARCH_GET_FS */
        S4(rseq, (char *)__builtin_thread_pointer() + __rseq_offset, 32, RSEQ_FLAG_UNREGISTER, RSEQ_SIG);
        S4(rseq, (char *)__builtin_thread_pointer() + __rseq_offset, 32, 0, RSEQ_SIG);
        break;
    case 6: signals_of_own(); break;
    case 7: taking(); break;
    case 8: passing(); break;
    default:
        become((int)below(8));
        for (int i = 0; i < 30; i++)
            one_call();
        if (below(3) == 0)
            again(below(2) ? SYS_execve : SYS_execveat);
        break;
    }
    /* Neither returns. */
    succeeded(what & 1 ? SYS_exit : SYS_exit_group);
    syscall(what & 1 ? SYS_exit : SYS_exit_group, 0);
}

void processes(void)
{
    int what = (int)below(14), how = (int)below(4);
    long pid = -1;
    uint64_t clone_args[11] = {below(2) ? CLONE_FS | CLONE_FILES : 0, 0, 0, 0, SIGCHLD};
    switch (how) {
    case 0: pid = S0(fork); break;
    case 1: /* nothing but an execve is safe in a vfork child */
        pid = vfork();
        if (pid == 0) {
            execl("/bin/true", "true", NULL);
            _exit(1);
        }
        if (pid > 0)
            succeeded(SYS_vfork);
        break;
    case 2: pid = S1(clone, SIGCHLD | (below(4) ? 0 : CLONE_FILES)); break;
    default: pid = S2(clone3, clone_args, 88); break;
    }
    if (pid == 0)
        child_life(what);
    if (pid < 0)
        return;
    for (int tries = 0; tries < 400; tries++) {
        long got = below(2) ? S4(wait4, pid, arena, WNOHANG | __WALL, 0) : S6(waitid, P_PID, pid, arena, WEXITED | WNOHANG | __WALL, arena + 256, 0);
        if (got < 0 || got == pid)
            return;
        if (tries == 100 && below(2))
            S2(kill, pid, SIGSTOP), S2(kill, pid, SIGCONT);
        if (tries == 300)
            S2(kill, pid, SIGKILL);
        usleep(200);
    }
}

/* The same open files through /proc. */
static void reopening(void)
{
    char path[64];
    long pid = below(2) ? getpid() : shared->leaders[below(LEADERS)];
    snprintf(path, sizeof path, "/proc/%ld/fd/%d", pid, (int)below(PLAY));
    long fd = S3(open, path, PICK(O_RDONLY, O_WRONLY, O_RDWR, O_PATH) | O_NONBLOCK | O_CLOEXEC, 0);
    S3(readlink, path, arena, 100);
    if (fd >= 0) {
        S6(linkat, AT_FDCWD, path, AT_FDCWD, "b", AT_SYMLINK_FOLLOW, 0);
        S2(dup2, fd, 16 + below(8));
        S1(close, fd);
    }
    snprintf(path, sizeof path, "/proc/%ld/%s", pid, ((const char *[]){"maps", "status", "stat", "environ", "auxv", "smaps", "limits", "task", "mountinfo", "fdinfo/3"}[below(10)]));
    fd = S3(open, path, O_RDONLY, 0);
    for (int i = 0; i < 3; i++)
        S3(read, fd, arena, below(4096));
    S3(lseek, fd, PICK(0, 1, 0x7fffffffffffffff), PICK(0, 1, 2));
    S1(close, fd);
}

void history(void)
{
    switch (below(12)) {
    case 0: sockets(); break;
    case 1: timers(); break;
    case 2: processes(); break;
    case 3: files(); break;
    case 4: passing(); break;
    case 5: taking(); break;
    case 6: racing(); break;
    case 7: storm(); break;
    case 8: reopening(); break;
    case 9: become((int)below(4)); break;
    default: processes(); break;
    }
}
