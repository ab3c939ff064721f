/* Calls of libc that signals interrupt at any place: a handler sees addresses that the dynamic linker knows, so that it can unwind. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

static volatile long signals, unknown;

static void handler(int signo, siginfo_t *info, void *context)
{
    Dl_info found;
    (void)signo;
    (void)info;
    signals++;
    unknown += !dladdr((void *)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP], &found);
}

int main(void)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    struct itimerval often = {{0, 100}, {0, 100}};
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    while (signals < 5000) {
        getppid();
        getuid();
        getegid();
    }
    printf("unknown %ld\n", unknown);
    return 0;
}
