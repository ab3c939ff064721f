/* Steps through a call of libc: the trap flag is still there behind it. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

extern char __executable_start[], etext[];
static volatile long away, back;

static void step(int signo, siginfo_t *info, void *context)
{
    char *ip = (char *)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
    (void)signo;
    (void)info;
    if (ip < __executable_start || ip >= etext) {
        away++;
        back = 0;
    } else {
        back++;
    }
}

int main(void)
{
    struct sigaction action = {.sa_sigaction = step, .sa_flags = SA_SIGINFO};
    pid_t parent = getppid(), got;
    sigaction(SIGTRAP, &action, NULL);
    for (int i = 0; i < 3; i++) {
        away = back = 0;
        __asm__ volatile("pushfq; orl $0x100, (%%rsp); popfq" ::: "memory", "cc");
        got = getppid();
        __asm__ volatile("pushfq; andl $~0x100, (%%rsp); popfq" ::: "memory", "cc");
        printf("stepped on %d, right %d\n", away && back, got == parent);
    }
    return 0;
}
