// Syscall microbenchmark: measures one row (or all of them) inside the calling process.
//
//   microbench list                      names of the rows, one a line; hot ones are followed by " hot"
//   microbench run [OPTION…] [ROW…]      measure the rows (default: all)
//   microbench busy                      spin until the parent process dies
//   microbench exit                      exit at once (the program that the exec rows start)
//
// Options of run:
//   --via libc|anon|sites   how hot rows enter the kernel (see "Ways into the kernel")
//   --batches N             timed batches for each row (default 5)
//   --batch-us N            length aimed at for a batch, in microseconds (default 20000)
//   --exec-static PATH      program for the row fork_exec_static (default: the row is skipped)
//   --tmp DIR               where to make the scratch file (default: /dev/shm, else /tmp)
//
// Output, one record a line, space-separated:
//   microbench 1            the version of this format
//   tmpdir DIR
//   begin ROW ITERATIONS BATCHES     printed just before the timed batches
//   end ROW                          printed just after them
//   sample ROW NANOSECONDS           one for each batch: mean time of one operation
//   skip ROW REASON…
// Any failure prints a line to standard error and ends the process with status 1.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef __x86_64__
#error "microbench.c holds x86-64 call sites"
#endif

enum { PAGE = 4096, SCRATCH_BYTES = 16 * PAGE, MAX_BATCHES = 64, TOUCHED_PAGES = 64 };

// ---- Failure ------------------------------------------------------------------------------------

static char scratch_path[256];
static pid_t scratch_owner;

static void remove_scratch(void) {
    if (scratch_owner == getpid()) unlink(scratch_path);
}

static void die(const char *what) {
    fprintf(stderr, "microbench: %s: %s\n", what, strerror(errno));
    remove_scratch();
    _exit(1);
}

static long check(const char *what, long result) {
    if (result < 0) {
        if (result != -1) errno = (int)-result;  // a raw call's result
        die(what);
    }
    return result;
}

// ---- Ways into the kernel -----------------------------------------------------------------------
//
// A sandbox may rewrite call sites so that a system call no longer traps. Hot rows can therefore be
// entered in three ways: through libc; from code in an anonymous mapping, which no sandbox that
// patches files' text can rewrite; and from a site of this program's own text after SITES other
// sites have been executed several times, so that tables of patched sites are not nearly empty.

enum { SITES = 300, SITE_BYTES = 32, SITE_WARMUP = 12 };

typedef long raw_call(long nr, long a, long b, long c, long d, long e, long f);

// System V arguments to the kernel's registers. The instruction before `syscall` is five bytes, as
// in glibc's syscall(2), so that a site built this way is as patchable as real ones.
#define MOVE_ARGUMENTS    \
    "mov %rdi, %rax\n"    \
    "mov %rsi, %rdi\n"    \
    "mov %rdx, %rsi\n"    \
    "mov %rcx, %rdx\n"    \
    "mov %r8, %r10\n"     \
    "mov %r9, %r8\n"      \
    "mov 8(%rsp), %r9\n"

__asm__(
    ".text\n"
    ".balign 32\n"
    ".globl own_site, own_site_end\n"
    ".type own_site, @function\n"
    "own_site:\n" MOVE_ARGUMENTS
    "syscall\n"
    "ret\n"
    "own_site_end:\n"
    ".size own_site, . - own_site\n"
    ".globl raw_getpid\n"
    ".type raw_getpid, @function\n"
    ".balign 32\n"
    "raw_getpid:\n"
    "mov $39, %eax\n"
    "syscall\n"
    "ret\n"
    ".size raw_getpid, . - raw_getpid\n"
    // SITES sites of getpid (39) in three common shapes, SITE_BYTES apart. The caller passes 39.
    ".balign 32\n"
    ".globl many_sites, many_sites_end\n"
    "many_sites:\n"
    ".rept 100\n"
    ".balign 32\n"
    "mov $39, %eax\n"
    "syscall\n"
    "ret\n"
    ".balign 32\n"
    "mov %edi, %eax\n"
    "syscall\n"
    "cmp $-4095, %rax\n"
    "ret\n"
    ".balign 32\n"
    "mov %rdi, %rax\n"
    "mov 8(%rsp), %r9\n"
    "syscall\n"
    "ret\n"
    ".endr\n"
    ".balign 32\n"
    "many_sites_end:\n");

extern const char own_site[], own_site_end[], many_sites[], many_sites_end[];
extern long raw_getpid(void);

static long libc_call(long nr, long a, long b, long c, long d, long e, long f) {
    long result = syscall(nr, a, b, c, d, e, f);
    return result < 0 ? -errno : result;
}

static raw_call *via = libc_call;
static bool via_libc = true;

// A call that libc has a wrapper for: the wrapper when rows go through libc, else the raw call.
#define CALL_1(wrapped, nr, a) (via_libc ? (long)(wrapped) : via(nr, (long)(a), 0, 0, 0, 0, 0))
#define CALL_3(wrapped, nr, a, b, c) \
    (via_libc ? (long)(wrapped) : via(nr, (long)(a), (long)(b), (long)(c), 0, 0, 0))
#define CALL_4(wrapped, nr, a, b, c, d) \
    (via_libc ? (long)(wrapped) : via(nr, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0))

static void enter_from_anonymous_memory(void) {
    char *code = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (code == MAP_FAILED) die("mmap of code");
    memcpy(code, own_site, (size_t)(own_site_end - own_site));
    check("mprotect of code", mprotect(code, PAGE, PROT_READ | PROT_EXEC));
    via = (raw_call *)code;
    via_libc = false;
}

static void enter_after_many_sites(void) {
    if (many_sites_end - many_sites != SITES * SITE_BYTES) {
        errno = EINVAL;
        die("layout of the call sites");
    }
    pid_t pid = getpid();
    for (int round = 0; round < SITE_WARMUP; round++)
        for (int i = 0; i < SITES; i++) {
            raw_call *site = (raw_call *)(many_sites + (size_t)i * SITE_BYTES);
            if (site(SYS_getpid, 0, 0, 0, 0, 0, 0) != pid) die("getpid from one of many sites");
        }
    via = (raw_call *)own_site;
    via_libc = false;
}

// ---- Shared state -------------------------------------------------------------------------------

static const char *self_path;
static const char *static_path;
static int zero_fd, scratch_fd, root_fd;
static char buffer[SCRATCH_BYTES];

static double now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

// ---- Rows: no kernel, identities, clocks --------------------------------------------------------

static void run_spin(long n) {
    volatile unsigned x = 0;
    for (long i = 0; i < n * 1000; i++) x += (unsigned)i;
}

static void run_getpid_raw(long n) {
    if (via_libc)
        while (n--) check("getpid", raw_getpid());
    else
        while (n--) check("getpid", via(SYS_getpid, 0, 0, 0, 0, 0, 0));
}

static void run_getpid_wrapper(long n) {
    while (n--) check("getpid", getpid());
}

static void run_clock_raw(long n) {
    struct timespec t;
    while (n--) check("clock_gettime", via(SYS_clock_gettime, CLOCK_MONOTONIC, (long)&t, 0, 0, 0, 0));
}

static void run_clock_vdso(long n) {
    struct timespec t;
    while (n--) check("clock_gettime", clock_gettime(CLOCK_MONOTONIC, &t));
}

static void run_yield(long n) {
    while (n--) check("sched_yield", CALL_1(sched_yield(), SYS_sched_yield, 0));
}

// ---- Rows: files --------------------------------------------------------------------------------

static void run_read_zero(long n) {
    while (n--) check("read of /dev/zero", CALL_3(read(zero_fd, buffer, 1), SYS_read, zero_fd, buffer, 1));
}

static void pread_page(int fd, long n) {
    while (n--)
        if (check("pread", CALL_4(pread(fd, buffer, PAGE, PAGE), SYS_pread64, fd, buffer, PAGE, PAGE)) != PAGE) {
            errno = EIO;
            die("short pread");
        }
}

static void run_pread_scratch(long n) { pread_page(scratch_fd, n); }
static void run_pread_root(long n) { pread_page(root_fd, n); }

static void run_pwrite_scratch(long n) {
    while (n--)
        check("pwrite", CALL_4(pwrite(scratch_fd, buffer, PAGE, PAGE), SYS_pwrite64, scratch_fd, buffer, PAGE, PAGE));
}

static void open_close(const char *path, long n) {
    while (n--) {
        long fd = check("open", CALL_4(open(path, O_RDONLY), SYS_openat, AT_FDCWD, path, O_RDONLY, 0));
        check("close", CALL_1(close((int)fd), SYS_close, fd));
    }
}

static void run_open_scratch(long n) { open_close(scratch_path, n); }
static void run_open_root(long n) { open_close(self_path, n); }

static void stat_path(const char *path, long n) {
    struct stat s;
    while (n--) check("stat", CALL_4(stat(path, &s), SYS_newfstatat, AT_FDCWD, path, &s, 0));
}

static void run_stat_scratch(long n) { stat_path(scratch_path, n); }
static void run_stat_root(long n) { stat_path(self_path, n); }

// ---- Rows: bytes through pipes and sockets ------------------------------------------------------

static void write_byte(int fd) {
    char c = 'x';
    if (check("write", CALL_3(write(fd, &c, 1), SYS_write, fd, &c, 1)) != 1) die("short write");
}

// False at end of file.
static bool read_byte(int fd) {
    char c;
    return check("read", CALL_3(read(fd, &c, 1), SYS_read, fd, &c, 1)) == 1;
}

static int loop_pipe[2];

static void setup_pipe_self(void) { check("pipe", pipe(loop_pipe)); }
static void run_pipe_self(long n) {
    while (n--) {
        write_byte(loop_pipe[1]);
        read_byte(loop_pipe[0]);
    }
}
static void teardown_pipe_self(void) {
    close(loop_pipe[0]);
    close(loop_pipe[1]);
}

// A child process that sends every byte back.
static struct {
    int to, from;
    pid_t pid;
} echo;

static void echo_serve(int from, int to) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (read_byte(from)) write_byte(to);
    _exit(0);
}

static void setup_echo_pipes(void) {
    int there[2], back[2];
    check("pipe", pipe(there));
    check("pipe", pipe(back));
    if (check("fork", echo.pid = fork()) == 0) {
        close(there[1]);
        close(back[0]);
        echo_serve(there[0], back[1]);
    }
    close(there[0]);
    close(back[1]);
    echo.to = there[1];
    echo.from = back[0];
}

static void setup_echo_unix(void) {
    int pair[2];
    check("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    if (check("fork", echo.pid = fork()) == 0) {
        close(pair[0]);
        echo_serve(pair[1], pair[1]);
    }
    close(pair[1]);
    echo.to = echo.from = pair[0];
}

static void run_echo(long n) {
    while (n--) {
        write_byte(echo.to);
        if (!read_byte(echo.from)) {
            errno = EPIPE;
            die("the echoing child is gone");
        }
    }
}

static void teardown_echo(void) {
    close(echo.to);
    if (echo.from != echo.to) close(echo.from);
    int status;
    check("waitpid", waitpid(echo.pid, &status, 0));
}

// ---- Rows: threads and futexes ------------------------------------------------------------------

enum { BALL_HERE = 0, BALL_THERE = 1, GAME_OVER = 2 };
static _Atomic uint32_t ball;
static pthread_t partner;

static void ball_wait(uint32_t seen) {
    long r = via(SYS_futex, (long)&ball, FUTEX_WAIT_PRIVATE, seen, 0, 0, 0);
    if (r < 0 && r != -EAGAIN && r != -EINTR) check("futex wait", r);
}

static void ball_pass(uint32_t value) {
    atomic_store(&ball, value);
    check("futex wake", via(SYS_futex, (long)&ball, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0));
}

static void *partner_play(void *unused) {
    for (;;) {
        uint32_t seen = atomic_load(&ball);
        if (seen == GAME_OVER) return unused;
        if (seen == BALL_THERE)
            ball_pass(BALL_HERE);
        else
            ball_wait(BALL_HERE);
    }
}

static void setup_futex(void) {
    atomic_store(&ball, BALL_HERE);
    if ((errno = pthread_create(&partner, NULL, partner_play, NULL))) die("pthread_create");
}
static void run_futex(long n) {
    while (n--) {
        ball_pass(BALL_THERE);
        while (atomic_load(&ball) == BALL_THERE) ball_wait(BALL_THERE);
    }
}
static void teardown_futex(void) {
    ball_pass(GAME_OVER);
    pthread_join(partner, NULL);
}

static void *thread_nothing(void *arg) { return arg; }

static void run_thread(long n) {
    while (n--) {
        pthread_t t;
        if ((errno = pthread_create(&t, NULL, thread_nothing, NULL))) die("pthread_create");
        pthread_join(t, NULL);
    }
}

// ---- Rows: memory, processes --------------------------------------------------------------------

static void run_mmap(long n) {
    const size_t length = (size_t)TOUCHED_PAGES * PAGE;
    const int prot = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE | MAP_ANONYMOUS;
    while (n--) {
        char *p = via_libc ? mmap(NULL, length, prot, flags, -1, 0)
                           : (char *)via(SYS_mmap, 0, (long)length, prot, flags, -1, 0);
        if ((uintptr_t)p >= (uintptr_t)-4095) die("mmap");
        for (size_t i = 0; i < length; i += PAGE) *(volatile char *)(p + i) = 1;
        check("munmap", CALL_3(munmap(p, length), SYS_munmap, p, length, 0));
    }
}

static void reap(pid_t pid) {
    int status;
    check("waitpid", waitpid(pid, &status, 0));
    if (status != 0) {
        errno = ECHILD;
        die("a child failed");
    }
}

static void run_fork(long n) {
    while (n--) {
        pid_t pid = (pid_t)check("fork", fork());
        if (pid == 0) _exit(0);
        reap(pid);
    }
}

static void fork_exec(const char *program, long n) {
    char *argv[] = {(char *)program, "exit", NULL}, *envp[] = {NULL};
    while (n--) {
        pid_t pid = (pid_t)check("fork", fork());
        if (pid == 0) {
            execve(program, argv, envp);
            _exit(99);
        }
        reap(pid);
    }
}

static void run_exec(long n) { fork_exec(self_path, n); }
static void run_exec_static(long n) { fork_exec(static_path, n); }

// ---- Rows: readiness, signals -------------------------------------------------------------------

static int ready_epoll, ready_event;

static void setup_ready(void) {
    struct epoll_event event = {.events = EPOLLIN};
    check("epoll_create1", ready_epoll = epoll_create1(EPOLL_CLOEXEC));
    check("eventfd", ready_event = eventfd(1, EFD_CLOEXEC));
    check("epoll_ctl", epoll_ctl(ready_epoll, EPOLL_CTL_ADD, ready_event, &event));
}
static void run_epoll(long n) {
    struct epoll_event event;
    while (n--)
        if (check("epoll_wait", CALL_4(epoll_wait(ready_epoll, &event, 1, -1), SYS_epoll_wait, ready_epoll, &event, 1,
                                       -1)) != 1) {
            errno = ENODATA;
            die("epoll_wait of a ready descriptor");
        }
}
static void run_poll(long n) {
    struct pollfd fd = {.fd = ready_event, .events = POLLIN};
    while (n--) check("poll", CALL_3(poll(&fd, 1, -1), SYS_poll, &fd, 1, -1));
}
static void teardown_ready(void) {
    close(ready_epoll);
    close(ready_event);
}

static void run_sigmask(long n) {
    uint64_t mask = 1ul << (SIGUSR2 - 1), old;
    while (n--) check("rt_sigprocmask", via(SYS_rt_sigprocmask, SIG_BLOCK, (long)&mask, (long)&old, 8, 0, 0));
}

static volatile sig_atomic_t signals_seen;
static void on_signal(int signo) {
    (void)signo;
    signals_seen++;
}
static void setup_signal(void) {
    struct sigaction action = {.sa_handler = on_signal};
    check("sigaction", sigaction(SIGUSR1, &action, NULL));
}
static void run_signal(long n) {
    long pid = getpid(), tid = syscall(SYS_gettid);
    signals_seen = 0;
    for (long i = 0; i < n; i++) check("tgkill", via(SYS_tgkill, pid, tid, SIGUSR1, 0, 0, 0));
    if (signals_seen != n) {
        errno = EPROTO;
        die("signals were lost");
    }
}
static void teardown_signal(void) { signal(SIGUSR1, SIG_DFL); }

// ---- The table of rows --------------------------------------------------------------------------

struct row {
    const char *name;
    bool hot;  // spends its time entering the kernel: also measured from unpatchable code and so on
    void (*run)(long iterations);
    void (*setup)(void);
    void (*teardown)(void);
};

static const struct row ROWS[] = {
    {"spin_1k_iters", false, run_spin, NULL, NULL},
    {"getpid_raw", true, run_getpid_raw, NULL, NULL},
    {"getpid_wrapper", false, run_getpid_wrapper, NULL, NULL},
    {"clock_gettime_raw", true, run_clock_raw, NULL, NULL},
    {"clock_gettime_vdso", false, run_clock_vdso, NULL, NULL},
    {"read1_devzero", true, run_read_zero, NULL, NULL},
    {"pread4k_tmpfs", true, run_pread_scratch, NULL, NULL},
    {"pread4k_root", true, run_pread_root, NULL, NULL},
    {"pwrite4k_tmpfs", true, run_pwrite_scratch, NULL, NULL},
    {"open_close_tmpfs", true, run_open_scratch, NULL, NULL},
    {"open_close_root", true, run_open_root, NULL, NULL},
    {"stat_tmpfs", true, run_stat_scratch, NULL, NULL},
    {"stat_root", true, run_stat_root, NULL, NULL},
    {"pipe_self", true, run_pipe_self, setup_pipe_self, teardown_pipe_self},
    {"pipe_pingpong", true, run_echo, setup_echo_pipes, teardown_echo},
    {"unix_pingpong", true, run_echo, setup_echo_unix, teardown_echo},
    {"futex_pingpong", true, run_futex, setup_futex, teardown_futex},
    {"epoll_wait_ready", true, run_epoll, setup_ready, teardown_ready},
    {"poll_ready", true, run_poll, setup_ready, teardown_ready},
    {"sched_yield", true, run_yield, NULL, NULL},
    {"sigprocmask", true, run_sigmask, NULL, NULL},
    {"signal_self", true, run_signal, setup_signal, teardown_signal},
    {"mmap_touch64_munmap", true, run_mmap, NULL, NULL},
    {"thread_create_join", false, run_thread, NULL, NULL},
    {"fork_exit_wait", false, run_fork, NULL, NULL},
    {"fork_exec_wait", false, run_exec, NULL, NULL},
    {"fork_exec_static", false, run_exec_static, NULL, NULL},
};
enum { ROW_COUNT = sizeof ROWS / sizeof *ROWS };

// ---- Measuring ----------------------------------------------------------------------------------

static long batches = 5;
static double batch_ns = 20e6;

// How many iterations fill one batch. Doubles from one; each step also warms caches and call sites.
static long calibrate(const struct row *row) {
    long n = 1;
    for (;;) {
        double start = now_ns();
        row->run(n);
        double took = now_ns() - start;
        if (took > batch_ns / 8 || n >= 1L << 24) {
            double scaled = (double)n * batch_ns / (took + 1);
            return scaled < 1 ? 1 : (long)scaled;
        }
        n *= 2;
    }
}

static void measure(const struct row *row) {
    double sample[MAX_BATCHES];
    if (row->run == run_exec_static && !static_path) {
        dprintf(1, "skip %s no static program was given\n", row->name);
        return;
    }
    if (row->setup) row->setup();
    long n = calibrate(row);
    dprintf(1, "begin %s %ld %ld\n", row->name, n, batches);
    for (long k = 0; k < batches; k++) {
        double start = now_ns();
        row->run(n);
        sample[k] = (now_ns() - start) / (double)n;
    }
    dprintf(1, "end %s\n", row->name);
    if (row->teardown) row->teardown();
    for (long k = 0; k < batches; k++) dprintf(1, "sample %s %.3f\n", row->name, sample[k]);
}

static void open_files(const char *wanted_dir) {
    const char *dirs[] = {wanted_dir ? wanted_dir : "/dev/shm", wanted_dir ? wanted_dir : "/tmp"};
    scratch_fd = -1;
    for (int i = 0; i < 2 && scratch_fd < 0; i++) {
        snprintf(scratch_path, sizeof scratch_path, "%s/microbench.%d", dirs[i], (int)getpid());
        scratch_fd = open(scratch_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (scratch_fd >= 0) dprintf(1, "tmpdir %s\n", dirs[i]);
    }
    check("scratch file", scratch_fd);
    scratch_owner = getpid();
    if (check("write of the scratch file", write(scratch_fd, buffer, sizeof buffer)) != sizeof buffer)
        die("short write of the scratch file");
    check("open of the program", root_fd = open(self_path, O_RDONLY | O_CLOEXEC));
    check("open of /dev/zero", zero_fd = open("/dev/zero", O_RDONLY | O_CLOEXEC));
}

// ---- Command line -------------------------------------------------------------------------------

static void usage(const char *problem) {
    fprintf(stderr, "microbench: %s (see the head of microbench.c)\n", problem);
    exit(2);
}

static bool wanted(const char *name, char **names, int count) {
    for (int i = 0; i < count; i++)
        if (!strcmp(name, names[i])) return true;
    return count == 0;
}

static int command_run(int argc, char **argv) {
    const char *dir = NULL, *way = "libc";
    int i = 0;
    for (; i < argc && !strncmp(argv[i], "--", 2); i += 2) {
        if (i + 1 >= argc) usage("an option lacks its value");
        const char *option = argv[i], *value = argv[i + 1];
        if (!strcmp(option, "--via")) way = value;
        else if (!strcmp(option, "--batches")) batches = atol(value);
        else if (!strcmp(option, "--batch-us")) batch_ns = atof(value) * 1e3;
        else if (!strcmp(option, "--exec-static")) static_path = value;
        else if (!strcmp(option, "--tmp")) dir = value;
        else usage("unknown option");
    }
    if (batches < 1 || batches > MAX_BATCHES || !(batch_ns >= 1e3)) usage("bad number of batches or length");
    if (self_path[0] != '/') usage("start me by an absolute path");
    dprintf(1, "microbench 1\n");
    open_files(dir);
    atexit(remove_scratch);
    if (!strcmp(way, "anon")) enter_from_anonymous_memory();
    else if (!strcmp(way, "sites")) enter_after_many_sites();
    else if (strcmp(way, "libc")) usage("unknown way into the kernel");
    int measured = 0;
    for (int r = 0; r < ROW_COUNT; r++)
        if (wanted(ROWS[r].name, argv + i, argc - i)) {
            measure(&ROWS[r]);
            measured++;
        }
    if (!measured) usage("no such row");
    return 0;
}

static void command_busy(void) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (volatile unsigned x = 0;; x++) {}
}

int main(int argc, char **argv) {
    self_path = argv[0];
    const char *command = argc > 1 ? argv[1] : "";
    if (!strcmp(command, "exit")) _exit(0);
    if (!strcmp(command, "busy")) command_busy();
    if (!strcmp(command, "run")) return command_run(argc - 2, argv + 2);
    if (!strcmp(command, "list")) {
        for (int r = 0; r < ROW_COUNT; r++) printf("%s%s\n", ROWS[r].name, ROWS[r].hot ? " hot" : "");
        return 0;
    }
    usage("expected list, run, busy or exit");
}
