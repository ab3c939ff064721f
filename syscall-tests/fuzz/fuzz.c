/*
 * Makes typed random system calls: live descriptors, mapped buffers, paths in a directory of its own and in a writable bind, from several
 * threads of several processes with different users and capabilities, which pass descriptors around.
 *   fuzz [--seed N] [--seconds S] [--threads T] [--first ROUND]
 * Prints the seed, and at the end `ok NUMBER COUNT` for every call that has ever succeeded. The same seed makes the same calls,
 * not in the same order between threads. A round does not depend on those before it, but through what they left.
 *
 * A round is LEADERS processes, for a quarter of a second. Calls that change a process are made in short-lived ones. A bystander has to be
 * served in each round. After BATCH rounds everything is killed and removed, and what the kernel keeps must be what it kept at first. A
 * line `calm ...` is printed then and, with --wait, a line of input awaited: whoever runs the sandbox looks at it from outside.
 *
 * Ends with 0 if all was well, else with 3 after lines that start with FAIL.
 */
#include "fuzz.h"
#include <pthread.h>

#define BATCH 8

struct shared *shared;
const char *self_path;
static volatile int stop;

static uint64_t seed_of(uint64_t seed, uint64_t round, uint64_t thread)
{
    uint64_t x = (seed * 1000003 + round) * 1000003 + thread * 0x9e3779b97f4a7c15u + 1;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return (x ^ (x >> 31)) | 1;
}

/* Each return from it is an rt_sigreturn. */
static void handler(int signo)
{
    (void)signo;
    succeeded(SYS_rt_sigreturn);
}

static void handlers(void)
{
    static const int signals[] = {SIGALRM, SIGURG, SIGUSR1, SIGUSR2, 40, SIGPIPE, SIGXFSZ, SIGIO, SIGVTALRM, SIGPROF};
    struct sigaction sa = {.sa_handler = handler};
    for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++)
        sigaction(signals[i], &sa, NULL);
}

struct worker {
    uint64_t seed;
    pthread_t thread;
};

static void *work(void *arg)
{
    struct worker *w = arg;
    state = w->seed;
    if (arena_make())
        return NULL;
    while (!stop) {
        if (below(40) == 0)
            history();
        else
            one_call();
    }
    return NULL;
}

/* A process with threads, for about a quarter of a second. */
static void lead(uint64_t seed, uint64_t round, int which, int threads)
{
    struct worker w[32];
    long end = now_ms() + 250;
    handlers();
    state = seed_of(seed, round, 1000 + (uint64_t)which);
    if (below(3) == 0 && chdir("/rw"))
        state |= 1;
    mkdir("d", 0777);
    if (which)
        identity((int)below(IDENTITIES));
    descriptors();
    for (int i = 0; i < threads; i++) {
        w[i].seed = seed_of(seed, round, (uint64_t)(which * 32 + i));
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

/* Sockets that a round's processes share. */
static void hub_make(int hub[HUBS])
{
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM};
    for (int i = 0; i < HUBS; i += 2)
        if (socketpair(AF_UNIX, types[i / 2] | SOCK_CLOEXEC, 0, hub + i))
            hub[i] = hub[i + 1] = -1;
}

/* One round; 0 if the sandbox failed. */
static int round_of(uint64_t seed, uint64_t round, int threads, int null, const struct bystander *b, int *late)
{
    int hub[HUBS], pids[LEADERS], going = 0, fine = 1;
    hub_make(hub);
    memset(shared->leaders, 0, sizeof shared->leaders);
    for (int i = 0; i < LEADERS; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            setsid();
            /* Opened anew: a lock of what all rounds share would stay. */
            char path[32];
            snprintf(path, sizeof path, "/proc/self/fd/%d", null);
            int own = open(path, O_RDWR);
            dup2(own, 0), dup2(own, 1), dup2(own, 2);
            for (int k = 0; k < HUBS; k++)
                fcntl(hub[k], F_DUPFD, 100 + k);
            for (int k = 0; k < HUBS; k++)
                dup2(100 + k, HUB + k);
            syscall(SYS_close_range, 3, HUB - 1, 0);
            syscall(SYS_close_range, HUB + HUBS, SHARED_FD - 1, 0), syscall(SYS_close_range, SHARED_FD + 1, ~0u, 0);
            lead(seed, round, i, threads);
        }
        shared->leaders[i] = pids[i];
        going += pids[i] > 0;
    }
    for (int i = 0; i < HUBS; i++)
        close(hub[i]);
    fine = bystander_answers(b, 0);
    for (long end = now_ms() + 8000; going > 0;) {
        pid_t pid = waitpid(-1, NULL, WNOHANG);
        for (int i = 0; i < LEADERS; i++)
            if (pid > 0 && pid == pids[i])
                going--, pids[i] = -1;
        if (pid == b->pid)
            return printf("FAIL the bystander ended\n"), 0;
        if (pid > 0)
            continue;
        if (now_ms() > end) { /* whatever holds it up: what must work is the kill, which end_all judges */
            for (int i = 0; i < LEADERS; i++)
                if (pids[i] > 0)
                    kill(pids[i], SIGKILL), ++*late;
            break;
        }
        usleep(3000);
    }
    return fine;
}

static int calm(const struct bystander *b, uint64_t round, int wait)
{
    char kept[1024], line[16];
    int fine = end_all(b);
    clean_files();
    fine = fine && bystander_answers(b, 1);
    fine = slab_report(kept, sizeof kept) && fine;
    printf("calm %llu calls=%lu %s\n", (unsigned long long)round, shared->calls, kept);
    fflush(stdout);
    if (wait && !fgets(line, sizeof line, stdin))
        return 0;
    return fine;
}

int main(int argc, char **argv)
{
    uint64_t seed = (uint64_t)time(NULL), round = 0;
    long seconds = 10;
    int threads = 3, wait = 0, late = 0, fine = 1;
    int again = argc == 4 && !strcmp(argv[1], "--again");
    int memory = again ? SHARED_FD : memfd_create("shared", 0);
    for (int i = 1; i + 1 < argc && !again; i += 2) {
        if (!strcmp(argv[i], "--seed"))
            seed = strtoull(argv[i + 1], NULL, 0);
        else if (!strcmp(argv[i], "--seconds"))
            seconds = atol(argv[i + 1]);
        else if (!strcmp(argv[i], "--threads"))
            threads = atoi(argv[i + 1]);
        else if (!strcmp(argv[i], "--first"))
            round = strtoull(argv[i + 1], NULL, 0);
        else if (!strcmp(argv[i], "--wait"))
            wait = atoi(argv[i + 1]);
    }
    threads = threads < 1 ? 1 : threads > 32 ? 32 : threads;
    if (!again && !getenv("FUZZ_IN_SANDBOX")) {
        fprintf(stderr, "fuzz: harms the machine outside of a sandbox; set FUZZ_IN_SANDBOX inside of one\n");
        return 2;
    }
    if (memory < 0 || (!again && (ftruncate(memory, 4096) || dup2(memory, SHARED_FD) < 0 || close(memory))))
        return 1;
    shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, SHARED_FD, 0);
    if (shared == MAP_FAILED)
        return 1;
    self_path = argv[0];
    if (again) {
        handlers();
        self_path = "/fuzz/fuzz";
        after_exec(strtoull(argv[2], NULL, 0), atol(argv[3]));
    }
    struct bystander b;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC); /* before a round removes it */
    printf("seed %llu\n", (unsigned long long)seed);
    if (null < 0 || bystander_start(&b))
        return 1;
    uint64_t first = round;
    fine = calm(&b, round, wait);
    for (long deadline = now_ms() + seconds * 1000; fine && now_ms() < deadline;) {
        fine = round_of(seed, round++, threads, null, &b, &late);
        if ((round - first) % BATCH == 0)
            fine = calm(&b, round, wait) && fine;
    }
    fine = fine && ((round - first) % BATCH == 0 || calm(&b, round, wait));
    printf("rounds %llu, killed for being late %d\n", (unsigned long long)(round - first), late);
    if (!fine)
        printf("FAIL in round %llu of seed %llu\n", (unsigned long long)round, (unsigned long long)seed);
    for (int i = 0; i < NUMBERS; i++)
        if (shared->counts[i])
            printf("ok %d %u\n", i, shared->counts[i]);
    return fine ? 0 : 3;
}
