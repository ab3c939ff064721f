/*
 * Processes and threads that come and go faster than anybody can look: nothing is lost, nobody waits for a watchdog.
 *   storms kill|orphans|threads
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
    } else {
        threads();
    }
    printf("done\n");
    return 0;
}
