/*
 * Processes and threads that come and go faster than anybody can look: nothing is lost, nobody waits for a watchdog.
 *   storms kill|stop|orphans|threads|selves
 */
#include "hostile.h"
#include <pthread.h>

/* A child that is killed at once, before or after its first instruction, and makes no call of its own. */
static void kills(long signo)
{
    for (int i = 0; i < 1500; i++) {
        long begin = now_ms();
        pid_t pid = fork();
        if (pid == 0)
            for (;;) { }
        if (pid < 0)
            fail("fork", errno, i);
        if (signo == SIGSTOP) {
            int status;
            kill(pid, SIGSTOP);
            if (waitpid(pid, &status, WUNTRACED) != pid || !WIFSTOPPED(status))
                fail("no stop", status, i);
            kill(pid, SIGKILL);
        } else {
            for (volatile int n = (i % 50) * 40; n > 0; n--) { }
            kill(pid, (int)signo);
        }
        int status = await_child(pid, 4000);
        if (!WIFSIGNALED(status) || now_ms() - begin > 3000)
            fail("not killed in time", now_ms() - begin, i);
    }
}

/* Parents that end right after their fork: their children run all the same. */
static void orphans(void)
{
    enum { COUNT = 400 };
    int p[2];
    if (pipe(p))
        fail("pipe", errno, 0);
    for (int i = 0; i < COUNT; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            if (fork() == 0)
                _exit(write(p[1], "x", 1) != 1);
            _exit(0);
        }
        await_child(pid, 4000);
    }
    close(p[1]);
    char buf[COUNT + 1];
    long seen = 0;
    for (long n; (n = read(p[0], buf, sizeof buf)) > 0;)
        seen += n;
    if (seen != COUNT)
        fail("orphans that did not run", seen, COUNT);
}

static void *nothing(void *arg) { return arg; }

static void *maker(void *arg)
{
    for (long i = 0; i < 400; i++) {
        pthread_t t;
        void *got;
        if (pthread_create(&t, NULL, nothing, (void *)i))
            fail("pthread_create", i, 0);
        if (pthread_join(t, &got) || got != (void *)i)
            fail("pthread_join", i, 0);
    }
    return arg;
}

static volatile sig_atomic_t ticks;
static void on_tick(int signo) { ticks += signo != 0; }

/* Threads made and joined, and forks beside them, with signals in between. */
static void threads(void)
{
    pthread_t t[3];
    struct sigaction sa = {.sa_handler = on_tick, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &sa, NULL);
    for (int i = 0; i < 3; i++)
        pthread_create(&t[i], NULL, maker, NULL);
    for (int i = 0; i < 150; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            pthread_t own;
            if (pthread_create(&own, NULL, nothing, NULL) || pthread_join(own, NULL))
                _exit(2);
            _exit(1);
        }
        kill(getpid(), SIGUSR1);
        int status = await_child(pid, 8000);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 1)
            fail("a fork beside threads", status, i);
    }
    for (int i = 0; i < 3; i++)
        pthread_join(t[i], NULL);
    if (!ticks)
        fail("no signal", 0, 0);
}

/* Files that tell of descriptors, among them their own and each other's, read by two threads. */
static void *teller(void *arg)
{
    const int *fds = arg;
    char text[512];
    for (long i = 0; i < 4000; i++) {
        int fd = fds[i % 2];
        lseek(fd, 0, SEEK_SET);
        if (read(fd, text, sizeof text) < 0 || pread(fd, text, sizeof text, 0) < 8 || memcmp(text, "pos:", 4))
            fail("fdinfo", errno, i);
    }
    return arg;
}

static void selves(void)
{
    static int fds[2][2];
    char name[64];
    pthread_t t;
    for (int i = 0; i < 2; i++) {
        int next = dup(0);
        close(next);
        /* The lowest free descriptor is what the file will be; the other one comes next. */
        snprintf(name, sizeof name, "/proc/self/fdinfo/%d", i ? next - 1 : next + 1);
        int other = -1;
        if (!i)
            other = dup2(0, next + 1);
        fds[0][i] = fds[1][1 - i] = open(name, O_RDONLY);
        if (fds[0][i] != next)
            fail("the descriptor", fds[0][i], next);
        if (other >= 0)
            close(other);
    }
    pthread_create(&t, NULL, teller, fds[1]);
    teller(fds[0]);
    pthread_join(t, NULL);
    /* And each of itself. */
    int next = dup(0);
    snprintf(name, sizeof name, "/proc/self/fdinfo/%d", next);
    int self = open(name, O_RDONLY);
    dup2(self, next);
    fds[0][0] = fds[0][1] = next;
    teller(fds[0]);
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    if (!strcmp(argv[1], "kill")) {
        kills(SIGKILL);
        kills(SIGTERM);
    } else if (!strcmp(argv[1], "stop")) {
        kills(SIGSTOP);
    } else if (!strcmp(argv[1], "orphans")) {
        orphans();
    } else if (!strcmp(argv[1], "selves")) {
        selves();
    } else {
        threads();
    }
    printf("done\n");
    return 0;
}
