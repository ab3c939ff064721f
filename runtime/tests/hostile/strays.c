/* `strays MOST`: host processes made behind the kernel's back, which its RLIMIT_NPROC does not count. `strays oom`: a child that wants more
 * memory than the control group has; the parent lives on and sees what became of it. */
#define _GNU_SOURCE
#include "hostile.h"
#include <sys/resource.h>

static void eat(void)
{
    for (;;) {
        char *at = mmap(NULL, 16 << 20, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (at == MAP_FAILED)
            fail("mmap", errno, 0);
        memset(at, 1, 16 << 20);
    }
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "oom")) {
        int status;
        pid_t pid = fork();
        if (!pid)
            eat();
        if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
            fail("the eater", status, errno);
        puts("killed");
        return 0;
    }
    long n = 0, most = argc > 1 ? atol(argv[1]) : 0, e = 0;
    struct rlimit r = {20, 20};
    if (setgid(1000) || setuid(1000))
        fail("setuid", errno, 0);
    setrlimit(RLIMIT_NPROC, &r);
    for (; n < most; n++) {
        long pid = gate(SYS_clone, 0x8000, 0, 0, 0, 0, 0);
        if (pid == 0) {
            static int word;
            for (;;)
                gate(SYS_futex, (long)&word, 0, 0, 0, 0, 0);
        }
        if (pid < 0) {
            e = -pid;
            break;
        }
    }
    printf("%ld strays, then %s\n", n, e ? strerrorname_np((int)e) : "no end");
    return 0;
}
