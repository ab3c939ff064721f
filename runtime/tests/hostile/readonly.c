/*
 * Asks the kernel for the descriptor of a file that the program may only read, as its stub does for mmap and execve, and tries to
 * write through it.
 *   readonly shared|private|memfd|program|host|sealed
 * The last keeps a descriptor of a memfd from before it was sealed against writing.
 */
#include "hostile.h"

enum { READ = PROT_READ, WRITE = PROT_READ | PROT_WRITE };
enum { DONE, KIND, FD, MAPPED, PRIVATE, WRITABLE, UPGRADED, HELD, SEALED };
static volatile long *seen;
static const char *path;

/* Sends a system call from here: the stub never hears of its reply, and of no later one. */
static struct channel *forge(long nr, const long args[6])
{
    struct channel *ch = (struct channel *)CHANNEL_BASE;
    u32 seq = ch->rep_seq + 1;
    for (int i = 0; i < 6; i++)
        ch->args[i] = (u64)args[i];
    ch->in_used = 0;
    ch->req_kind = REQ_SYSCALL;
    ch->nr = (u32)nr;
    __atomic_store_n(&ch->req_seq, seq, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&ch->rep_seq, __ATOMIC_ACQUIRE) != seq)
        gate(NOTIF_NR, NOTIF_WAIT, ch->slot, seq, (long)ch->space, 0, 0);
    return ch;
}

static void await_attack(pid_t pid)
{
    for (long end = now_ms() + patience(10000); !seen[DONE] && now_ms() < end;)
        millis(1);
    kill(pid, SIGKILL);
    await_child(pid, 5000);
}

static void attack(int fd, const char *how)
{
    static char *argv[] = {"program", NULL};
    const long map[] = {0, 4096, READ, strcmp(how, "private") ? MAP_SHARED : MAP_PRIVATE, fd, 0};
    const long exec[] = {(long)path, (long)argv, (long)(argv + 1), 0, 0, 0};
    int program = !strcmp(how, "program");
    struct channel *ch = forge(program ? SYS_execve : SYS_mmap, program ? exec : map);
    seen[KIND] = ch->rep_kind;
    fd = (int)(seen[FD] = gate(NOTIF_NR, NOTIF_FD, ch->slot, DONATED_FD, (long)ch->space, 0, 0));
    if (!strcmp(how, "sealed")) {
        /* Before, it can be mapped, or the attack is none. */
        long early = gate(SYS_mmap, 0, 4096, WRITE, MAP_SHARED, fd, 0);
        seen[HELD] = early > 0 ? 1 + gate(SYS_munmap, early, 4096, 0, 0, 0, 0) : early;
        while (!seen[SEALED]) { }
    }
    long mapped = seen[MAPPED] = gate(SYS_mmap, 0, 4096, READ, MAP_SHARED, fd, 0);
    seen[PRIVATE] = gate(SYS_mmap, 0, 4096, WRITE, MAP_PRIVATE, fd, 0);
    seen[UPGRADED] = gate(SYS_mprotect, mapped, 4096, WRITE, 0, 0, 0);
    long at = seen[WRITABLE] = gate(SYS_mmap, 0, 4096, WRITE, MAP_SHARED, fd, 0);
    if (at > 0)
        *(volatile char *)(at + 1) = '!';
    seen[DONE] = 1;
    for (;;) { }
}

/* A file that everybody trusts not to change any more. */
static int sealed(void)
{
    int fd = memfd_create("file", MFD_ALLOW_SEALING);
    if (fd < 0 || write(fd, "text", 4) != 4)
        fail("memfd_create", errno, 0);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        attack(fd, "sealed");
    for (long end = now_ms() + patience(10000); !seen[HELD] && now_ms() < end;)
        millis(1);
    if (seen[HELD] != 1 || fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE))
        fail("the file is not sealed", seen[HELD], errno);
    seen[SEALED] = 1;
    await_attack(pid);
    char after[4] = "";
    if (seen[WRITABLE] != -EPERM || seen[PRIVATE] <= 0)
        fail("a sealed file is mapped for writing", seen[WRITABLE], seen[PRIVATE]);
    if (pread(fd, after, 4, 0) != 4 || memcmp(after, "text", 4))
        fail("it was changed", 0, 0);
    return 0;
}

static void copy_program(void)
{
    static char buf[1 << 20];
    int in = open("/hostile/victim", O_RDONLY), out = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0700);
    long n = read(in, buf, sizeof buf);
    if (n <= 0 || write(out, buf, (size_t)n) != n)
        fail("copy", n, errno);
    close(in);
    close(out);
}

int main(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : "shared";
    char opened[64], before[4] = "", after[4] = "";
    seen = mmap(NULL, 4096, WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (!strcmp(how, "sealed"))
        return sealed();
    path = strcmp(how, "host") ? "/tmp/file" : "/hostile/victim";
    int keep = -1;
    if (!strcmp(how, "memfd")) {
        keep = memfd_create("file", 0);
        path = opened;
        snprintf(opened, sizeof opened, "/proc/self/fd/%d", keep);
        fchmod(keep, 0444);
    } else if (!strcmp(how, "program")) {
        copy_program();
        chmod(path, 0555);
    } else if (strcmp(how, "host")) {
        keep = open(path, O_RDWR | O_CREAT | O_TRUNC, 0444);
    }
    if (keep >= 0 && write(keep, "text", 4) != 4)
        fail("write", errno, 0);
    int fd = open(path, O_RDONLY);
    if (fd < 0 || pread(fd, before, 4, 0) != 4)
        fail("open", fd, errno);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        /* A program in place of this one keeps its stub only with its rights. */
        if (strcmp(how, "program") && getuid() == 0 && setresuid(1000, 1000, 1000))
            _exit(1);
        if (keep >= 0)
            close(keep);
        attack(fd, how);
    }
    await_attack(pid);
    printf("%s: reply %ld, descriptor %ld, mapped %#lx, private %#lx, upgraded %ld, writable %#lx\n", how, seen[KIND], seen[FD], seen[MAPPED],
           seen[PRIVATE], seen[UPGRADED], seen[WRITABLE]);
    if (seen[KIND] != (strcmp(how, "program") ? REP_MMAP : REP_EXEC) || seen[FD] < 0 || seen[MAPPED] <= 0 || seen[PRIVATE] <= 0)
        fail("the descriptor is of no use", seen[KIND], seen[FD]);
    if (seen[WRITABLE] != -EACCES || seen[UPGRADED] != -EACCES)
        fail("a file that may only be read is mapped for writing", seen[WRITABLE], seen[UPGRADED]);
    if (pread(fd, after, 4, 0) != 4 || memcmp(before, after, 4))
        fail("it was changed", 0, 0);
    return 0;
}
