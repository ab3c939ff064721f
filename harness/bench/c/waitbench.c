// Compares ways for two processes to hand work to each other and wait for the answer.
//
//   waitbench list
//   waitbench run MECHANISM CLIENT_CPU SERVER_CPU ROUNDS [SPINS]
//
// A CPU of -1 leaves that side unpinned. SPINS is how often a side looks at the shared word before
// it sleeps (spinfutex only). Prints the mean time of one round trip in nanoseconds for each of
// BATCHES batches, one a line. Ends with status 3 if the kernel lacks the mechanism.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#endif
#ifndef SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP 1UL
#endif

enum { BATCHES = 5, STATUS_UNSUPPORTED = 3, CACHE_LINE = 64, ANSWER = 4711 };

static void die(const char *what) {
    fprintf(stderr, "waitbench: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void unsupported(const char *what) {
    fprintf(stderr, "waitbench: %s: %s\n", what, strerror(errno));
    exit(STATUS_UNSUPPORTED);
}

// ---- State that both processes see --------------------------------------------------------------

// One direction of the channel: a sequence number and whether its reader sleeps, on its own line.
struct word {
    _Alignas(CACHE_LINE) _Atomic uint32_t value;
    _Atomic uint32_t sleeping;
};

struct shared {
    struct word request, reply;
    _Alignas(CACHE_LINE) _Atomic int listener;  // the client's descriptor of its notifications, plus one
};

static struct shared *shared;
static int request_fd[2], reply_fd[2];  // [0] is read, [1] is written; sockets use request_fd only
static long total_rounds;
static long spins = 2000;

static void pause_cpu(void) { __builtin_ia32_pause(); }

// ---- Shared words: spinning, yielding, sleeping on a futex --------------------------------------

typedef void await_word(struct word *word, uint32_t wanted);

static void futex_sleep(struct word *word, uint32_t seen) {
    if (syscall(SYS_futex, &word->value, FUTEX_WAIT, seen, NULL, NULL, 0) < 0 && errno != EAGAIN && errno != EINTR)
        die("futex wait");
}

static void futex_wake(struct word *word) {
    if (syscall(SYS_futex, &word->value, FUTEX_WAKE, 1, NULL, NULL, 0) < 0) die("futex wake");
}

static void await_spin(struct word *word, uint32_t wanted) {
    while (atomic_load_explicit(&word->value, memory_order_acquire) != wanted) pause_cpu();
}

static void await_yield(struct word *word, uint32_t wanted) {
    while (atomic_load_explicit(&word->value, memory_order_acquire) != wanted) sched_yield();
}

static void await_futex(struct word *word, uint32_t wanted) {
    uint32_t seen;
    while ((seen = atomic_load(&word->value)) != wanted) futex_sleep(word, seen);
}

static void await_spin_futex(struct word *word, uint32_t wanted) {
    for (long i = 0; i < spins; i++) {
        if (atomic_load_explicit(&word->value, memory_order_acquire) == wanted) return;
        pause_cpu();
    }
    atomic_store(&word->sleeping, 1);
    await_futex(word, wanted);
    atomic_store(&word->sleeping, 0);
}

static void post_plain(struct word *word, uint32_t value) {
    atomic_store_explicit(&word->value, value, memory_order_release);
}

static void post_and_wake(struct word *word, uint32_t value) {
    atomic_store(&word->value, value);
    futex_wake(word);
}

static void post_and_wake_sleeper(struct word *word, uint32_t value) {
    atomic_store(&word->value, value);
    if (atomic_load(&word->sleeping)) futex_wake(word);
}

#define WORD_MECHANISM(name, post, await)                     \
    static void name##_call(uint32_t round) {                 \
        post(&shared->request, round);                        \
        await(&shared->reply, round);                         \
    }                                                         \
    static void name##_serve(void) {                          \
        for (long round = 1; round <= total_rounds; round++) { \
            await(&shared->request, (uint32_t)round);         \
            post(&shared->reply, (uint32_t)round);            \
        }                                                     \
    }

WORD_MECHANISM(spin, post_plain, await_spin)
WORD_MECHANISM(yield, post_plain, await_yield)
WORD_MECHANISM(futex, post_and_wake, await_futex)
WORD_MECHANISM(spinfutex, post_and_wake_sleeper, await_spin_futex)

// ---- Descriptors: eventfd, pipe, unix socket ----------------------------------------------------

static void setup_eventfd(void) {
    request_fd[0] = request_fd[1] = eventfd(0, EFD_CLOEXEC);
    reply_fd[0] = reply_fd[1] = eventfd(0, EFD_CLOEXEC);
    if (request_fd[0] < 0 || reply_fd[0] < 0) die("eventfd");
}

static void setup_pipe(void) {
    if (pipe(request_fd) || pipe(reply_fd)) die("pipe");
}

static void setup_unix(void) {
    int there[2], back[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, there) || socketpair(AF_UNIX, SOCK_SEQPACKET, 0, back))
        die("socketpair");
    memcpy(request_fd, there, sizeof there);
    memcpy(reply_fd, back, sizeof back);
}

// An eventfd wants eight bytes; the others carry them just as well.
static void send_token(const int *fd) {
    uint64_t token = 1;
    if (write(fd[1], &token, sizeof token) != sizeof token) die("write");
}

static void receive_token(const int *fd) {
    uint64_t token;
    if (read(fd[0], &token, sizeof token) != sizeof token) die("read");
}

static void descriptor_call(uint32_t round) {
    (void)round;
    send_token(request_fd);
    receive_token(reply_fd);
}

static void descriptor_serve(void) {
    for (long round = 0; round < total_rounds; round++) {
        receive_token(request_fd);
        send_token(reply_fd);
    }
}

// ---- Seccomp user notifications -----------------------------------------------------------------

static void notify_client_start(void) {
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof filter / sizeof *filter, .filter = filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) die("PR_SET_NO_NEW_PRIVS");
    long fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
    if (fd < 0) unsupported("seccomp listener");
    atomic_store(&shared->listener, (int)fd + 1);
}

static void notify_call(uint32_t round) {
    (void)round;
    if (syscall(SYS_getppid) != ANSWER) die("the notification's answer");
}

static pid_t client_pid;

static void notify_serve_with(unsigned long flags) {
    int theirs;
    while ((theirs = atomic_load(&shared->listener)) == 0) sched_yield();
    long pidfd = syscall(SYS_pidfd_open, client_pid, 0);
    long fd = pidfd < 0 ? -1 : syscall(SYS_pidfd_getfd, pidfd, theirs - 1, 0);
    if (fd < 0) unsupported("pidfd_getfd");
    if (flags && ioctl((int)fd, SECCOMP_IOCTL_NOTIF_SET_FLAGS, flags)) {
        int error = errno;
        signal(SIGCHLD, SIG_DFL);
        kill(client_pid, SIGKILL);
        errno = error;
        unsupported("SECCOMP_IOCTL_NOTIF_SET_FLAGS");
    }
    for (long round = 0; round < total_rounds; round++) {
        struct seccomp_notif request = {0};
        while (ioctl((int)fd, SECCOMP_IOCTL_NOTIF_RECV, &request))
            if (errno != EINTR) die("SECCOMP_IOCTL_NOTIF_RECV");
        struct seccomp_notif_resp reply = {.id = request.id, .val = ANSWER};
        if (ioctl((int)fd, SECCOMP_IOCTL_NOTIF_SEND, &reply)) die("SECCOMP_IOCTL_NOTIF_SEND");
    }
}

static void notify_serve(void) { notify_serve_with(0); }
static void notify_sync_serve(void) { notify_serve_with(SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP); }

// ---- No other side: the price of entering the kernel --------------------------------------------

static void syscall_call(uint32_t round) {
    (void)round;
    if (syscall(SYS_getppid) < 0) die("getppid");
}

static void serve_nothing(void) {}

// ---- The mechanisms -----------------------------------------------------------------------------

static const struct mechanism {
    const char *name;
    void (*setup)(void);         // before the fork
    void (*client_start)(void);  // in the client, before its first call
    void (*call)(uint32_t round);
    void (*serve)(void);
} MECHANISMS[] = {
    {"syscall", NULL, NULL, syscall_call, serve_nothing},
    {"spin", NULL, NULL, spin_call, spin_serve},
    {"spinfutex", NULL, NULL, spinfutex_call, spinfutex_serve},
    {"futex", NULL, NULL, futex_call, futex_serve},
    {"eventfd", setup_eventfd, NULL, descriptor_call, descriptor_serve},
    {"pipe", setup_pipe, NULL, descriptor_call, descriptor_serve},
    {"unix", setup_unix, NULL, descriptor_call, descriptor_serve},
    {"notify", NULL, notify_client_start, notify_call, notify_serve},
    {"notify_sync", NULL, notify_client_start, notify_call, notify_sync_serve},
    {"yield", NULL, NULL, yield_call, yield_serve},
};
enum { MECHANISM_COUNT = sizeof MECHANISMS / sizeof *MECHANISMS };

// ---- Running one --------------------------------------------------------------------------------

static double now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void pin(int cpu) {
    if (cpu < 0) return;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set)) die("sched_setaffinity");
}

static void client(const struct mechanism *mechanism, int cpu, long rounds) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    pin(cpu);
    if (mechanism->client_start) mechanism->client_start();
    uint32_t round = 1;
    double samples[BATCHES];
    for (long i = 0; i < rounds / 10; i++) mechanism->call(round++);  // warm up
    for (int k = 0; k < BATCHES; k++) {
        double start = now_ns();
        for (long i = 0; i < rounds; i++) mechanism->call(round++);
        samples[k] = (now_ns() - start) / (double)rounds;
    }
    for (int k = 0; k < BATCHES; k++) printf("%.1f\n", samples[k]);
    exit(0);
}

// The client has printed everything when it ends, and nothing else can end a server that waits for it.
static void client_ended(int signo) {
    (void)signo;
    int status;
    if (waitpid(-1, &status, WNOHANG) > 0) _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

static _Noreturn void run(const struct mechanism *mechanism, int client_cpu, int server_cpu, long rounds) {
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) die("mmap");
    total_rounds = rounds / 10 + BATCHES * rounds;
    if (mechanism->setup) mechanism->setup();
    signal(SIGCHLD, client_ended);
    if ((client_pid = fork()) < 0) die("fork");
    if (client_pid == 0) client(mechanism, client_cpu, rounds);
    pin(server_cpu);
    mechanism->serve();
    for (;;) pause();  // until client_ended
}

int main(int argc, char **argv) {
    if (argc == 2 && !strcmp(argv[1], "list")) {
        for (int i = 0; i < MECHANISM_COUNT; i++) puts(MECHANISMS[i].name);
        return 0;
    }
    if (argc < 6 || strcmp(argv[1], "run")) {
        fputs("waitbench: expected list, or run MECHANISM CLIENT_CPU SERVER_CPU ROUNDS [SPINS]\n", stderr);
        return 2;
    }
    long rounds = atol(argv[5]);
    if (argc > 6) spins = atol(argv[6]);
    for (int i = 0; i < MECHANISM_COUNT; i++)
        if (!strcmp(argv[2], MECHANISMS[i].name) && rounds > 0)
            run(&MECHANISMS[i], atoi(argv[3]), atoi(argv[4]), rounds);
    fputs("waitbench: unknown mechanism or bad number of rounds\n", stderr);
    return 2;
}
