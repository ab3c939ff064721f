/*
 * Host calls from the gate page, with odd and with useful arguments: none outside the allow-list has an effect.
 *   calls gate|rewritten|native DIR PID SOCKET
 * `rewritten` first makes the gate page writable and puts bytes of its own there; `native` is the control, outside a sandbox.
 * DIR/canary is to be written, the process PID to be killed, the abstract unix socket SOCKET to be connected to.
 */
#include "hostile.h"
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

static gate_fn call = gate;
static volatile long *shared; /* [0]: argument set under way, [1 + set]: result */
static char path[256];
static long victim;
static struct sockaddr_un sa;
static socklen_t sa_len;
static char buffer[4096];
#define SETS 6

/* Calls that the filter lets through from the gate, for some arguments. */
static int allowed(long nr)
{
    static const short list[] = {202, 15, 9, 11, 10, 24, 28, 56, 3, 60, 25, 218, 334, 324, 27, 26, 149, 150, 325};
    for (unsigned i = 0; i < sizeof list / sizeof *list; i++)
        if (list[i] == nr)
            return 1;
    return 0;
}

static void one_number(long nr)
{
    static const long sets[SETS][6] = {
        {0, 0, 0, 0, 0, 0},
        {-1, -1, -1, -1, -1, -1},
        {1, 1, 1, 1, 1, 1},
        {0, 0x7fffffff, 0x7fffffffffffffff, 0, 1, 2},
        {3, 0, 0, 0, 0, 0},
        {0, 0, 0, 0, 0, 0},
    };
    for (long i = shared[0]; i < SETS; i++) {
        long a[6];
        memcpy(a, sets[i], sizeof a);
        shared[0] = i + 1;
        if (i >= 4) {
            a[i - 4] = (long)path;
            a[i - 3] = (long)buffer;
            a[i - 2] = 64;
        }
        shared[1 + i] = call(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
    }
}

/* Every number with odd arguments. */
static void all_numbers(void)
{
    for (long nr = 0; nr <= 600; nr++) {
        if (nr == SYS_exit || nr == SYS_rt_sigreturn || nr == SYS_clone)
            continue; /* those have tests of their own */
        shared[0] = 0;
        memset((void *)(shared + 1), 0, SETS * sizeof *shared);
        while (shared[0] < SETS)
            in_child(one_number, nr, 30);
        for (int i = 0; i < SETS && !allowed(nr); i++)
            if (shared[1 + i] > 0)
                fail("a host call succeeds", nr, shared[1 + i]);
    }
}

static const struct attempt {
    const char *name;
    long nr, a[6];
} attempts[] = {
    {"socket", SYS_socket, {AF_INET, SOCK_STREAM}},
    {"memfd_create", SYS_memfd_create, {(long)"x"}},
    {"eventfd2", SYS_eventfd2, {1}},
    {"pipe", SYS_pipe, {(long)buffer}},
    {"getppid", SYS_getppid, {0}},
    {"dup", SYS_dup, {1}},
    {"prctl", SYS_prctl, {38, 1}},
    {"unshare", SYS_unshare, {0x10000000}},
    {"ptrace", SYS_ptrace, {0}},
    {"clone VM|SIGCHLD", SYS_clone, {0x4111, 0}}, /* vfork: the child would share the stack */
    {"clone SIGCHLD", SYS_clone, {17}},
    {"mmap HUGETLB", SYS_mmap, {0, 0x200000, 3, 0x40022, -1}},
    {"mremap of nothing", SYS_mremap, {0, 0, 4096, 1}},
    {"madvise 12", SYS_madvise, {0, 0, 12}},
    {"madvise MERGEABLE|2^32", SYS_madvise, {0, 0, 0x10000000cL}},
    {"futex LOCK_PI", SYS_futex, {(long)buffer, 6}},
    {"openat", SYS_openat, {-100, (long)path, 0102, 0666}},
};

static void one_attempt(long i)
{
    const struct attempt *t = &attempts[i];
    shared[1] = -1;
    long r = call(t->nr, t->a[0], t->a[1], t->a[2], t->a[3], t->a[4], t->a[5]);
    if (t->nr == SYS_clone && r == 0)
        call(SYS_exit, 0, 0, 0, 0, 0, 0);
    shared[1] = r;
}

static void write_canary(long unused)
{
    (void)unused;
    long fd = call(SYS_open, (long)path, O_WRONLY | O_CREAT | O_TRUNC, 0666, 0, 0, 0);
    if (fd >= 0)
        call(SYS_write, fd, (long)"pwned", 5, 0, 0, 0);
    call(SYS_mkdir, (long)strcat(path, ".d"), 0777, 0, 0, 0, 0);
}

static void kill_victim(long unused)
{
    (void)unused;
    shared[1] = call(SYS_kill, victim, SIGKILL, 0, 0, 0, 0);
    for (long pid = 1; pid < 4 && call == gate; pid++)
        call(SYS_kill, pid, SIGKILL, 0, 0, 0, 0);
}

static void connect_out(long unused)
{
    (void)unused;
    long fd = call(SYS_socket, AF_UNIX, SOCK_STREAM, 0, 0, 0, 0);
    for (long at = fd < 0 ? 0 : fd; at < (fd < 0 ? 64 : fd + 1); at++)
        if (call(SYS_connect, at, (long)&sa, sa_len, 0, 0, 0) == 0)
            call(SYS_write, at, (long)"pwned", 5, 0, 0, 0);
}

static void execute(long unused)
{
    (void)unused;
    char *argv[] = {"sh", "-c", "exit 77", NULL}, *envp[] = {NULL};
    call(SYS_execve, (long)"/bin/sh", (long)argv, (long)envp, 0, 0, 0);
    _exit(0);
}

/* The gate page with a `syscall; ret` of ours at both ends and an instruction that leaves the page. */
static void rewrite_gate(void)
{
    if (mprotect((void *)GATE_PAGE, 4096, 7) == 0)
        fail("mprotect of the gate by the front door", 0, 0);
    long r = gate(SYS_mprotect, GATE_PAGE, 4096, 7, 0, 0, 0);
    if (r) {
        printf("the gate page refuses: %ld\n", r);
        return;
    }
    static const unsigned char code[] = {0x48, 0x89, 0xf8, 0x48, 0x89, 0xf7, 0x48, 0x89, 0xd6, 0x48, 0x89, 0xca, 0x4d, 0x89,
                                         0xc2, 0x4d, 0x89, 0xc8, 0x4c, 0x8b, 0x4c, 0x24, 0x08, 0x0f, 0x05, 0xc3};
    unsigned char *at = (unsigned char *)GATE_PAGE + 4096 - sizeof code;
    memcpy(at, code, sizeof code);
    call = (gate_fn)at;
    printf("the gate page is rewritten\n");
}

int main(int argc, char **argv)
{
    if (argc < 5)
        return 64;
    int native = !strcmp(argv[1], "native");
    shared = mmap(NULL, 4096, 3, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    snprintf(path, sizeof path, "%s/canary", argv[2]);
    victim = atol(argv[3]);
    sa.sun_family = AF_UNIX;
    strncpy(sa.sun_path + 1, argv[4], sizeof sa.sun_path - 2);
    sa_len = offsetof(struct sockaddr_un, sun_path) + 1 + strlen(argv[4]);
    if (native)
        call = plain;
    else if (!strcmp(argv[1], "rewritten"))
        rewrite_gate();

    int done = 0;
    for (unsigned i = 0; i < sizeof attempts / sizeof *attempts; i++) {
        in_child(one_attempt, i, 2000);
        if (shared[1] >= 0) {
            done++;
            if (!native)
                fail(attempts[i].name, shared[1], 0);
        } else if (native) {
            printf("control: %s refused natively: %ld\n", attempts[i].name, shared[1]);
        }
    }
    shared[1] = -1;
    in_child(kill_victim, 0, 2000);
    if (!native && shared[1] == 0)
        fail("kill", victim, 0);
    in_child(connect_out, 0, 2000);
    int status = in_child(execute, 0, 2000);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77 && !native)
        fail("execve", status, 0);
    in_child(write_canary, 0, 2000);
    if (!native)
        all_numbers();
    printf("succeeded: %d\n", done);
    return 0;
}
