/*
 * Leaves a host thread of its own in its stub, with code and data where the stub keeps its own, and executes another program.
 *   leftover descriptor FILE, or mapped FILE, dropped FILE (which look for it in the same image; the second after setuid and fork), or same|dumpable|privileges|unreadable|setuid
 * The other program (victim look) says whether it has that memory: then the thread could read and write all of its.
 */
#include "hostile.h"
#include <sys/prctl.h>

#define CODE LEFTOVER
#define STACK (STUB_END - 0xc000)
#define COUNT (STUB_END - 0x8000)

static void place(long at, int prot, int kind)
{
    if (gate(SYS_mmap, at, 4096, prot, kind | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != at)
        fail("mmap", at, 0);
}

/* Counts for ever. */
static void leave_thread(void)
{
    static long tid;
    unsigned char code[] = {0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0xf0, 0x48, 0xff, 0x00, 0xf3, 0x90, 0xeb, 0xf8};
    uint64_t count = COUNT, start = CODE;
    memcpy(code + 2, &count, 8);
    place(CODE, 7, MAP_PRIVATE);
    place(STACK, 3, MAP_PRIVATE);
    memcpy((void *)CODE, code, sizeof code);
    memcpy((void *)(STACK + 2048), &start, 8);
    if (gate(SYS_clone, 0x150f00, STACK + 2048, (long)&tid, 0, 0, 0) <= 0)
        fail("clone", 0, 0);
}

static void copy_program(const char *to)
{
    static char buf[1 << 20];
    int in = open("/hostile/victim", O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0700);
    long n = read(in, buf, sizeof buf);
    if (n <= 0 || n == sizeof buf || write(out, buf, (size_t)n) != n)
        fail("copy", n, errno);
    close(in);
    close(out);
}

/* Looks among the host's descriptors for one of the file that another image has mapped. */
static void search(void)
{
    for (long fd = 0; fd < 128; fd++) {
        const char *at = (const char *)gate(SYS_mmap, 0, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
        if ((long)at > 0 && !memcmp(at, "secret", 6)) {
            puts("stays");
            exit(0);
        }
    }
    puts("gone");
    exit(0);
}

int main(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : "same", *program = "/hostile/victim";
    if (!strcmp(how, "search"))
        search();
    if (!strcmp(how, "mapped")) {
        int fd = open(argv[2], O_RDWR);
        void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (fd < 0 || at == MAP_FAILED || munmap(at, 4096) || close(fd))
            fail("secret", fd, errno);
        search();
    }
    if (!strcmp(how, "dropped")) {
        int fd = open(argv[2], O_RDONLY);
        void *at = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
        if (fd < 0 || at == MAP_FAILED || munmap(at, 4096) || close(fd) || setresuid(1000, 1000, 1000))
            fail("secret", fd, errno);
        if (fork() == 0)
            search();
        wait(NULL);
        exit(0);
    }
    if (!strcmp(how, "descriptor")) {
        int fd = open(argv[2], O_RDONLY);
        if (fd < 0 || mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED)
            fail("secret", fd, errno);
        close(fd);
        execl("/hostile/leftover", "leftover", "search", NULL);
        fail("execl", errno, 0);
    }
    if (!strcmp(how, "unreadable") || !strcmp(how, "setuid")) {
        program = strcmp(how, "setuid") ? "/tmp/victim" : "/victim"; /* /tmp is mounted nosuid */
        copy_program(program);
        if (!strcmp(how, "setuid") && chown(program, 1000, 1000))
            fail("chown", errno, 0);
        chmod(program, !strcmp(how, "setuid") ? 04755 : 0111);
    }
    place(COUNT, 3, MAP_PRIVATE);
    if (!strcmp(how, "unreadable") && getuid() == 0 && setresuid(1000, 1000, 1000))
        fail("setresuid", errno, 0);
    if (!strcmp(how, "unreadable")) { /* a new image with these rights first */
        execl("/hostile/leftover", "leftover", "again", NULL);
        fail("execl", errno, 0);
    }
    if (!strcmp(how, "dumpable"))
        prctl(PR_SET_DUMPABLE, 0);
    if (!strcmp(how, "privileges"))
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (!strcmp(how, "again"))
        program = "/tmp/victim";
    leave_thread();
    execl(program, "victim", "look", NULL);
    fail("execl", errno, 0);
}
