/* Common to the hostile guests: direct host calls through the gate page, and children that may die or hang. */
#ifndef HOSTILE_H
#define HOSTILE_H
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* kernel/stub/c/layout.h; the test passes that folder to the compiler. */
#include "layout.h"

typedef long (*gate_fn)(long nr, long a, long b, long c, long d, long e, long f);

/* The same call by a `syscall` instruction of the program's own: the control, where nothing stands in the way. */
static inline long plain(long nr, long a, long b, long c, long d, long e, long f)
{
    register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
    long ret;
    __asm__ volatile("syscall" : "=a"(ret) : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
    return ret;
}

/* The first `syscall` instruction of the gate page. */
static inline unsigned char *gate_syscall(void)
{
    unsigned char *p = (unsigned char *)GATE_PAGE;
    for (int i = 0; i < 4095; i++)
        if (p[i] == 0x0f && p[i + 1] == 0x05)
            return p + i;
    fprintf(stderr, "the gate page has no system call\n");
    exit(99);
}

#define gate ((gate_fn)GATE_PAGE)

/* Where `leftover` leaves code, and `victim` looks for it. */
#define LEFTOVER (STUB_END - 0x10000)

static inline void millis(long n)
{
    struct timespec t = {n / 1000, n % 1000 * 1000000};
    while (nanosleep(&t, &t) && errno == EINTR) { }
}

static inline long now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* At most this many ms are waited for anything: PATIENCE, for runs that are meant to fail. */
static inline long patience(long most)
{
    const char *given = getenv("PATIENCE");
    long n = given ? atol(given) : most;
    return n < most ? n : most;
}

/* Waits for a child for up to `limit` ms and then kills it; its status. A child that survives SIGKILL for 10 s is a failure. */
static inline int await_child(pid_t pid, long limit)
{
    int status, killed = 0;
    long end = now_ms() + patience(limit), pause = 0;
    for (;;) {
        pid_t got = waitpid(pid, &status, WNOHANG);
        if (got == pid)
            return status;
        if (got < 0 && errno != EINTR) {
            printf("FAIL: waitpid: %s\n", strerror(errno));
            fflush(stdout);
            exit(98);
        }
        if (now_ms() > end) {
            if (killed) {
                printf("FAIL: child %d does not die of SIGKILL\n", (int)pid);
                fflush(stdout);
                exit(97);
            }
            kill(pid, SIGKILL);
            killed = 1;
            end = now_ms() + patience(10000);
        }
        if (pause)
            millis(pause);
        pause = pause < 4 ? pause + 1 : 4;
    }
}

/* Runs `attack(arg)` in a child. */
static inline int in_child(void (*attack)(long), long arg, long limit)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0) {
        perror("fork");
        exit(96);
    }
    if (pid == 0) {
        attack(arg);
        _exit(0);
    }
    return await_child(pid, limit);
}

static inline void fail(const char *what, long a, long b)
{
    printf("FAIL: %s (%ld, %ld)\n", what, a, b);
    fflush(NULL);
    exit(1);
}
#endif
