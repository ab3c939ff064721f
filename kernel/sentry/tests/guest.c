/* Exercised under the systrap platform by tests/systrap.rs. Each check prints a line; the exit status is the number of failures. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int failures;
static void check(const char *name, int ok)
{
    char line[128];
    int n = snprintf(line, sizeof line, "%s %s\n", ok ? "ok" : "FAIL", name);
    if (write(1, line, n) != n)
        failures++;
    failures += !ok;
}

static volatile sig_atomic_t caught;
static void on_signal(int signo, siginfo_t *info, void *context)
{
    (void)context;
    caught = signo;
    if (info->si_signo != signo)
        failures++;
}

static void handler(int signo, int flags)
{
    struct sigaction sa = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | flags};
    sigaction(signo, &sa, NULL);
}

static void *worker(void *arg)
{
    *(int *)arg = 7;
    return (void *)0x5eed;
}

static void processes(void)
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0)
        _exit(42);
    check("fork and wait4", waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 42);
    check("no more children", waitpid(-1, &status, 0) == -1 && errno == ECHILD);
    pid = vfork();
    if (pid == 0)
        _exit(3);
    check("vfork", waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 3);
    pid = fork();
    if (pid == 0)
        for (;;)
            pause();
    kill(pid, SIGSTOP);
    check("stop", waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
    kill(pid, SIGCONT);
    check("continue", waitpid(pid, &status, WCONTINUED) == pid && WIFCONTINUED(status));
    kill(pid, SIGKILL);
    check("kill", waitpid(pid, &status, 0) == pid && WTERMSIG(status) == SIGKILL);
    pid = fork();
    if (pid == 0)
        for (volatile int spin = 0;; spin++)
            ;
    kill(pid, SIGTERM);
    check("terminate a busy loop", waitpid(pid, &status, 0) == pid && WTERMSIG(status) == SIGTERM);
    pid = fork();
    if (pid == 0) {
        *(volatile int *)8 = 1;
        _exit(0);
    }
    check("segmentation fault", waitpid(pid, &status, 0) == pid && WTERMSIG(status) == SIGSEGV);
}

static void signals(void)
{
    handler(SIGUSR1, 0);
    raise(SIGUSR1);
    check("raise", caught == SIGUSR1);
    sigset_t set, old;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    handler(SIGUSR2, 0);
    sigprocmask(SIG_BLOCK, &set, &old);
    raise(SIGUSR2);
    check("blocked", caught == SIGUSR1);
    sigprocmask(SIG_SETMASK, &old, NULL);
    check("unblocked", caught == SIGUSR2);
    handler(SIGALRM, 0);
    struct timespec ts = {10, 0}, rem = {0};
    ualarm(20000, 0);
    check("nanosleep is interrupted", nanosleep(&ts, &rem) == -1 && errno == EINTR && caught == SIGALRM && rem.tv_sec == 9);
    ts = (struct timespec){0, 1000000};
    check("nanosleep ends", nanosleep(&ts, NULL) == 0);
    sigprocmask(SIG_BLOCK, &set, NULL);
    raise(SIGUSR2);
    siginfo_t info;
    check("sigwaitinfo", sigwaitinfo(&set, &info) == SIGUSR2 && info.si_pid == getpid());
    caught = 0;
    handler(SIGSEGV, SA_RESETHAND);
}

static void *exec_in_thread(void *arg)
{
    char *args[] = {"guest", "again", arg, NULL};
    execve("/guest", args, NULL);
    return NULL;
}

static void threads(void)
{
    pthread_t t[4];
    int value[4] = {0}, ok = 1;
    void *result;
    for (int i = 0; i < 4; i++)
        ok &= pthread_create(&t[i], NULL, worker, &value[i]) == 0;
    for (int i = 0; i < 4; i++)
        ok &= pthread_join(t[i], &result) == 0 && result == (void *)0x5eed && value[i] == 7;
    check("threads", ok);
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        pthread_create(&t[0], NULL, (void *(*)(void *))pause, NULL);
        exit(6);
    }
    check("exit with a sleeping thread", waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 6);
    pid = fork();
    if (pid == 0) {
        pthread_create(&t[0], NULL, exec_in_thread, "21");
        for (;;)
            pause();
    }
    check("exec in a thread", waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 21);
}

int main(int argc, char **argv, char **envp)
{
    if (argc == 5 && !strcmp(argv[1], "again")) /* by way of the script: argv[0] is replaced by its path */
        _exit(!strcmp(argv[2], "/script") && !strcmp(argv[3], "again") && !strcmp(argv[4], "9") ? 77 : 1);
    if (argc == 3 && !strcmp(argv[1], "again"))
        _exit(atoi(argv[2]));
    check("argv and envp", argc == 2 && !strcmp(argv[1], "first") && envp[0] && !strcmp(envp[0], "K=V") && !envp[1]);
    check("auxv", getauxval(AT_PAGESZ) == 4096 && !strcmp((char *)getauxval(AT_EXECFN), argv[0]) && getauxval(AT_RANDOM));
    processes();
    signals();
    threads();
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        char *args[] = {"guest", "again", "9", NULL};
        execve("/script", args, NULL);
        _exit(1);
    }
    check("exec of a script", waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 77);
    pid = vfork();
    if (pid == 0) {
        char *args[] = {"guest", "again", "9", NULL};
        execve("/guest", args, NULL);
        _exit(1);
    }
    check("vfork and exec", waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 9);
    return failures;
}
