/*
 * Makes the kernel keep as much memory as it will, and says how many MiB that came to.
 *   hoard files|sparse|mapped|held|unlinked|inherited|pipes|sockets|names
 */
#include "hostile.h"
#include <sys/socket.h>
#include <sys/xattr.h>

enum { MIB = 1 << 20, MOST = 256 };
static char block[MIB];

/* A memfd with `mib` MiB of data; -1 if that is too much. */
static int filled(int mib)
{
    int fd = memfd_create("hoard", 0);
    for (int i = 0; fd >= 0 && i < mib; i++)
        if (write(fd, block, MIB) != MIB) {
            close(fd);
            return -1;
        }
    return fd;
}

/* What is written to files of a tmpfs, of the root's upper layer and to memfds. */
static long files(void)
{
    static const char *names[] = {"/tmp/hoard", "/hoard", NULL};
    long done = 0;
    for (int i = 0; i < 3; i++) {
        int fd = names[i] ? open(names[i], O_RDWR | O_CREAT, 0600) : memfd_create("hoard", 0);
        while (fd >= 0 && done < (long)MOST * MIB) {
            long n = write(fd, block, MIB);
            if (n < 0 && errno != ENOSPC)
                fail("write", errno, 0);
            if (n <= 0)
                break;
            done += n;
        }
    }
    return done / MIB;
}

/* Holes that are read, mapped privately and allocated. */
static long sparse(void)
{
    long done = 0;
    int fd = memfd_create("hoard", 0);
    struct stat st;
    if (ftruncate(fd, (long)MOST * MIB))
        fail("ftruncate of a hole", errno, 0);
    for (long i = 0; i < MOST; i++)
        if (pread(fd, block, MIB, i * MIB) != MIB)
            fail("pread of a hole", errno, 0);
    fstat(fd, &st);
    if (st.st_blocks)
        fail("reading holes fills them", st.st_blocks, 0);
    while (done < MOST && fallocate(fd, 0, done * MIB, MIB) == 0)
        done++;
    /* What is given back can be had again. */
    for (int i = 0; i < 4 && done < MOST; i++) {
        if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, i * MIB, MIB) || fallocate(fd, 0, i * MIB, MIB))
            fail("a hole filled again", errno, i);
        if (fallocate(fd, 0, done * MIB, MIB) == 0)
            fail("more after a hole was filled again", i, 0);
    }
    return done;
}

/* Mappings of holes, which the host fills without the kernel's knowledge. */
static long mapped(void)
{
    long done = 0;
    for (int i = 0; i < MOST / 8; i++) {
        int fd = memfd_create("hoard", 0);
        if (fd < 0 || ftruncate(fd, 8 * MIB))
            break;
        char *at = mmap(NULL, 8 * MIB, 1, MAP_PRIVATE, fd, 0);
        if (at == MAP_FAILED)
            break;
        for (long k = 0; k < 8 * MIB; k += 4096)
            (void)*(volatile char *)(at + k);
        done += 8;
    }
    return done;
}

/* Files whose descriptor is closed while they are mapped. */
static long held(void)
{
    long done = 0;
    for (int fd; done < MOST && (fd = filled(8)) >= 0; done += 8) {
        if (mmap(NULL, 8 * MIB, 1, MAP_SHARED, fd, 0) == MAP_FAILED)
            break;
        close(fd);
    }
    return done;
}

/* The same with files that nobody has any more: that can go on. */
static long unlinked(void)
{
    long done = 0;
    for (; done < MOST; done += 8) {
        int fd = filled(8);
        void *at = fd < 0 ? MAP_FAILED : mmap(NULL, 8 * MIB, 3, MAP_SHARED, fd, 0);
        if (at == MAP_FAILED)
            fail("memory does not come back", done, errno);
        close(fd);
        munmap(at, 8 * MIB);
    }
    return done;
}

/* Files that only a host process has which the kernel does not know. */
static long inherited(void)
{
    static long word;
    long done = 0;
    for (int fd; done < MOST && (fd = filled(8)) >= 0; done += 8) {
        void *at = mmap(NULL, 8 * MIB, 1, MAP_SHARED, fd, 0);
        if (at == MAP_FAILED)
            break;
        close(fd);
        long pid = gate(SYS_clone, 0x8000, 0, 0, 0, 0, 0);
        if (pid == 0)
            for (;;)
                gate(SYS_futex, (long)&word, 0, 0, 0, 0, 0);
        munmap(at, 8 * MIB);
    }
    return done;
}

static long pipes(void)
{
    long done = 0, before = -1;
    int p[2];
    while (done != before && done < (long)MOST * MIB && pipe2(p, O_NONBLOCK) == 0) {
        before = done;
        fcntl(p[1], F_SETPIPE_SZ, MIB);
        for (long n; (n = write(p[1], block, MIB)) > 0;)
            done += n;
    }
    return done / MIB;
}

static long sockets(void)
{
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
    long done = 0, before = -1;
    int p[2];
    for (int i = 0; done != before && done < (long)MOST * MIB && socketpair(AF_UNIX, types[i % 3] | SOCK_NONBLOCK, 0, p) == 0; i++) {
        before = done;
        for (long n; (n = write(p[1], block, 65536)) > 0;)
            done += n;
    }
    /* Messages without bytes take room in the sender's buffer, whatever the kernel may keep. */
    long empty = 0;
    if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, p) == 0)
        while (empty < MIB / 2 && send(p[0], "", 0, 0) == 0)
            empty++;
    if (empty == MIB / 2)
        printf("empty messages without end\n");
    return done / MIB;
}

/* Inodes, names, links and attributes, at a KiB each. */
static long names(void)
{
    char name[256], value[1000];
    long n = 0;
    memset(value, 'v', sizeof value);
    if (mkdir("/tmp/names", 0700))
        fail("mkdir", errno, 0);
    for (; n < 45000; n++) {
        snprintf(name, sizeof name, "/tmp/names/%ld", n);
        int r = n % 4 == 0   ? mknod(name, S_IFREG | 0600, 0)
                : n % 4 == 1 ? symlink("/tmp", name)
                : n % 4 == 2 ? mkdir(name, 0700)
                             : link("/tmp/names/0", name);
        if (r) {
            if (errno != ENOSPC)
                fail("a name", errno, n);
            break;
        }
    }
    long attributes = 0;
    for (; attributes < 45000; attributes++) {
        snprintf(name, sizeof name, "user.%ld", attributes);
        if (setxattr("/tmp", name, value, sizeof value, 0))
            break;
    }
    return (n + attributes) / 1024;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        long (*run)(void);
    } all[] = {{"files", files}, {"sparse", sparse}, {"mapped", mapped}, {"held", held}, {"unlinked", unlinked}, {"inherited", inherited},
               {"pipes", pipes}, {"sockets", sockets}, {"names", names}};
    memset(block, 1, sizeof block);
    for (unsigned i = 0; i < sizeof all / sizeof *all; i++)
        if (argc > 1 && !strcmp(argv[1], all[i].name)) {
            printf("kept %ld MiB\n", all[i].run());
            return 0;
        }
    return 64;
}
