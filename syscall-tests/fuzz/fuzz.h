/* What the parts of the fuzzer share. */
#ifndef FUZZ_H
#define FUZZ_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

#define NUMBERS 512
#define LEADERS 3

/* Shared by all processes, also over an execve: a memory file, open as descriptor SHARED_FD. */
struct shared {
    unsigned counts[NUMBERS];  /* successes by number */
    unsigned long calls;       /* all calls */
    int leaders[LEADERS];      /* pids of this round */
};
#define SHARED_FD 200
extern struct shared *shared;
extern const char *self_path;

/* Descriptors below PLAY are anybody's. HUB.. are sockets that all processes of a round have. */
#define PLAY 40
#define HUB 24
#define HUBS 8

extern __thread uint64_t state;
static inline uint64_t rnd(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}
static inline uint64_t below(uint64_t n) { return rnd() % n; }
#define PICK(...) ((const long[]){__VA_ARGS__}[below(sizeof((const long[]){__VA_ARGS__}) / sizeof(long))])

static inline void succeeded(long nr) { __atomic_add_fetch(&shared->counts[nr], 1, __ATOMIC_RELAXED); }

/* Makes a call and notes its success. Interruption is the success of calls that only end so. */
static inline long call(long nr, long a, long b, long c, long d, long e, long f)
{
    register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
    long ret;
    __asm__ volatile("syscall" : "=a"(ret) : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
    int waits = nr == SYS_pause || nr == SYS_rt_sigsuspend || nr == SYS_restart_syscall;
    __atomic_add_fetch(&shared->calls, 1, __ATOMIC_RELAXED);
    if ((unsigned long)ret < -4095ul || (waits && ret == -EINTR))
        succeeded(nr);
    return ret;
}
#define S0(n) call(SYS_##n, 0, 0, 0, 0, 0, 0)
#define S1(n, a) call(SYS_##n, (long)(a), 0, 0, 0, 0, 0)
#define S2(n, a, b) call(SYS_##n, (long)(a), (long)(b), 0, 0, 0, 0)
#define S3(n, a, b, c) call(SYS_##n, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define S4(n, a, b, c, d) call(SYS_##n, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define S6(n, a, b, c, d, e, f) call(SYS_##n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

/*
 * Memory that a thread's pointers point to: half for structures and data, half of pages that may change, then a page that can only be
 * read, then nothing.
 */
#define ARENA 65536
extern __thread unsigned char *arena;
int arena_make(void);
void *room(size_t n);

const char *a_path(void);
long odd(void);
struct msghdr *a_msghdr(void);
void one_call(void);

/* histories.c */
void become(int how);
void processes(void);
void history(void); /* one of the longer stories */
void identity(int which);
#define IDENTITIES 8
void after_exec(uint64_t seed, long how);
int descriptors(void);

/* races.c */
void passing(void);
void taking(void);
void racing(void);
void storm(void);

/* calm.c */
struct bystander {
    int pid, ask, answer;
};
int bystander_start(struct bystander *b);
int bystander_answers(const struct bystander *b, int all);
int end_all(const struct bystander *b);
void clean_files(void);
int slab_report(char *to, size_t size);

static inline long now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}
#endif
