/* What stands beside the fuzz: the bystander that must be served, and what is looked at once all the others are gone. */
#include "fuzz.h"
#include <dirent.h>
#include <ftw.h>
#include <sys/file.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

/* An ordinary program's day; 0 if all of it went well, else the line that did not. */
static int a_day(void)
{
    char buffer[512];
    int p[2], status, fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, buffer, sizeof buffer) <= 0)
        return close(fd), __LINE__;
    close(fd);
    if (pipe2(p, O_CLOEXEC))
        return __LINE__;
    int bad = write(p[1], "x", 1) != 1 || read(p[0], buffer, 1) != 1;
    close(p[0]), close(p[1]);
    if (bad)
        return __LINE__;
    int ep = epoll_create1(EPOLL_CLOEXEC);
    if (ep < 0)
        return __LINE__;
    close(ep);
    if (mkdir("day", 0700) || rmdir("day"))
        return __LINE__;
    fd = open("file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    bad = fd < 0 || write(fd, buffer, 512) != 512 || pread(fd, buffer, 512, 0) != 512;
    close(fd);
    if (bad || unlink("file"))
        return __LINE__;
    pid_t pid = fork();
    if (pid == 0)
        _exit(7);
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 7)
        return __LINE__;
    return 0;
}

int bystander_start(struct bystander *b)
{
    int ask[2], answer[2];
    if (mkdir("/by", 0700) || pipe2(ask, O_CLOEXEC) || pipe2(answer, O_CLOEXEC))
        return -1;
    b->pid = fork();
    if (b->pid == 0) {
        char question;
        setsid();
        if (chdir("/by"))
            _exit(1);
        dup2(ask[0], 3), dup2(answer[1], 4);
        syscall(SYS_close_range, 5, ~0u, 0);
        while (read(3, &question, 1) == 1) {
            int line = a_day();
            if (write(4, &line, sizeof line) != sizeof line)
                break;
        }
        _exit(0);
    }
    close(ask[0]), close(answer[1]);
    b->ask = ask[1], b->answer = answer[0];
    return b->pid < 0 ? -1 : 0;
}

/* Whether the bystander answers in time and, if `all`, could do everything. */
int bystander_answers(const struct bystander *b, int all)
{
    int line = 0;
    struct pollfd p = {b->answer, POLLIN, 0};
    if (write(b->ask, "?", 1) != 1 || poll(&p, 1, 30000) != 1 || read(b->answer, &line, sizeof line) != sizeof line) {
        printf("FAIL the bystander does not answer\n");
        return 0;
    }
    if (all && line)
        printf("FAIL the bystander could not do what line %d of calm.c asks\n", line);
    return !all || line == 0;
}

static void say_who(int pid)
{
    char path[64], text[256] = "";
    static const char *const what[] = {"comm", "stat", "wchan"};
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "/proc/%d/%s", pid, what[i]);
        int fd = open(path, O_RDONLY);
        ssize_t n = read(fd, text, sizeof text - 1);
        close(fd);
        printf("FAIL   %s: %.*s\n", path, n < 0 ? 0 : (int)n, text);
    }
}

/* Kills everybody but this process and the bystander, however often they forked; whether they are gone in time. */
int end_all(const struct bystander *b)
{
    long end = now_ms() + 30000;
    for (;;) {
        int others = 0;
        DIR *dir = opendir("/proc");
        struct dirent *e;
        int late = now_ms() > end;
        if (!dir)
            return 0;
        while ((e = readdir(dir))) {
            int pid = atoi(e->d_name);
            if (pid <= 1 || pid == getpid() || pid == b->pid)
                continue;
            others++;
            kill(pid, SIGKILL);
            if (late)
                printf("FAIL process %d outlives SIGKILL\n", pid), say_who(pid);
        }
        closedir(dir);
        pid_t pid;
        while ((pid = waitpid(-1, NULL, WNOHANG | __WALL)) > 0)
            if (pid == b->pid)
                return printf("FAIL the bystander ended\n"), 0;
        if (!others)
            return 1;
        if (late)
            return 0;
        usleep(5000);
    }
}

static int remove_it(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    char name[NAME_MAX + 4];
    (void)st;
    /* A folder is told of while one is still in it. */
    snprintf(name, sizeof name, "%s%s", kind == FTW_DP ? "../" : "", path + at->base);
    if (at->level > 0)
        remove(name);
    return 0;
}

/* By names in the folder that each is in: whole paths may be longer than PATH_MAX. */
static void empty(const char *dir)
{
    chmod(dir, 01777);
    nftw(dir, remove_it, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT | FTW_CHDIR);
}

static int name_it(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    static int named;
    if (at->level > 0 && named++ < 100)
        printf("there is %.200s: kind %d, mode %o, %ld links, %ld bytes\n", path, kind, (unsigned)st->st_mode, (long)st->st_nlink, (long)st->st_size);
    return 0;
}

static void device(const char *path, int minor)
{
    struct stat st;
    if (stat(path, &st) || !S_ISCHR(st.st_mode)) {
        remove(path);
        mknod(path, S_IFCHR | 0666, makedev(1, (unsigned)minor));
    }
    chmod(path, 0666);
}

/* A directory that is not the fuzz's own but that its paths lead to, and the names that were there at first. */
struct foreign {
    const char *path;
    char before[320][64];
    int known, seen;
};

/* What the fuzz left in `dir`: whatever was not there when this was called first. */
static void empty_foreign(struct foreign *dir)
{
    DIR *open = opendir(dir->path);
    struct dirent *e;
    char path[600];
    while (open && (e = readdir(open))) {
        int found = e->d_name[0] == '.' && (!e->d_name[1] || (e->d_name[1] == '.' && !e->d_name[2]));
        for (int i = 0; i < dir->known && !found; i++)
            found = !strcmp(dir->before[i], e->d_name);
        if (!dir->seen && dir->known < 320 && strlen(e->d_name) < 64)
            strcpy(dir->before[dir->known++], e->d_name), found = 1;
        if (found)
            continue;
        snprintf(path, sizeof path, "%s/%s", dir->path, e->d_name);
        empty(path);
        remove(path);
    }
    dir->seen = 1;
    if (open)
        closedir(open);
}

static void without_attributes(const char *path)
{
    char names[4096];
    ssize_t n = listxattr(path, names, sizeof names);
    for (ssize_t i = 0; i < n; i += (ssize_t)strlen(names + i) + 1)
        removexattr(path, names + i);
}

/* What this process has open is its children's as well: attributes of the file, and locks that belong to the description. */
static void as_it_was_opened(int fd)
{
    char names[4096];
    struct flock all = {.l_type = F_UNLCK};
    flock(fd, LOCK_UN);
    fcntl(fd, F_OFD_SETLK, &all);
    ssize_t n = flistxattr(fd, names, sizeof names);
    for (ssize_t i = 0; i < n; i += (ssize_t)strlen(names + i) + 1)
        fremovexattr(fd, names + i);
}

/* Files as they were at the start, wherever the fuzz's paths lead. */
void clean_files(void)
{
    static struct foreign foreign[] = {{.path = "/"}, {.path = "/etc"}, {.path = "/dev"}, {.path = "/by"}};
    static const char *const kept[] = {"/", "/tmp", "/rw", "/dev/shm", "/dev/null", "/dev/zero", "/dev", "/etc", "/by"};
    umask(0);
    if (chdir("/"))
        return;
    empty("/tmp");
    empty("/rw");
    empty("/dev/shm");
    for (unsigned i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        chmod(foreign[i].path, 0755);
        empty_foreign(&foreign[i]);
    }
    device("/dev/null", 3);
    device("/dev/zero", 5);
    for (unsigned i = 0; i < sizeof kept / sizeof *kept; i++)
        without_attributes(kept[i]);
    for (int fd = 0; fd <= SHARED_FD; fd++)
        as_it_was_opened(fd);
    if (ftruncate(SHARED_FD, 4096))
        printf("FAIL the shared page is not as long as it was\n");
    empty("/etc/passwd");
    remove("/etc/passwd");
    int fd = open("/etc/passwd", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd >= 0 && write(fd, "root:x:0:0::/:/bin/sh\n", 22) != 22)
        printf("note: /etc/passwd cannot be written\n");
    close(fd);
    mkdir("/tmp/fuzz", 0777);
    if (chdir("/tmp/fuzz"))
        printf("FAIL no /tmp/fuzz\n");
}

/* Bytes of files that may be more than at the start (FUZZ_SLACK, in KiB). */
static unsigned long file_slack(void)
{
    const char *kib = getenv("FUZZ_SLACK");
    return (kib ? strtoul(kib, NULL, 10) : 64) << 10;
}

/*
 * What the kernel keeps, as /proc/slabinfo says, written as NAME=OBJECTS,... Judged against the first report: objects are back within ten
 * seconds (the last of a process goes after its parent has heard of its end), and bytes of files but for some (a name of the host's that
 * was replaced stays replaced).
 */
int slab_report(char *to, size_t size)
{
    static unsigned long base[32];
    static int based;
    char text[8192], over[512] = "";
    for (long end = now_ms() + 10000;;) {
        /* Files that were mapped when they went are looked for only when memory is short: ask for all that there may be. */
        struct statfs fs;
        int full = memfd_create("full", MFD_CLOEXEC);
        if (statfs("/dev/shm", &fs) == 0 && fallocate(full, 0, 0, (off_t)fs.f_blocks * fs.f_bsize) == 0)
            printf("note: a file of all memory fits\n");
        close(full);
        int fd = open("/proc/slabinfo", O_RDONLY | O_CLOEXEC), i = 0;
        ssize_t n = read(fd, text, sizeof text - 1);
        close(fd);
        *to = *over = 0;
        if (n <= 0)
            return snprintf(to, size, "no slabinfo"), 1; /* natively, for an ordinary user */
        text[n] = 0;
        size_t at = 0;
        char *rest = NULL;
        for (char *line = strtok_r(text, "\n", &rest); line && i < 32; line = strtok_r(NULL, "\n", &rest)) {
            char name[32];
            unsigned long used;
            if (*line == '#' || sscanf(line, "%31s %lu", name, &used) != 2)
                continue;
            unsigned long slack = strcmp(name, "FileMemory") ? strcmp(name, "FdTable") ? 0 : 4096 : file_slack();
            if (based && used > base[i] + slack)
                snprintf(over + strlen(over), sizeof over - strlen(over), " %s=%lu (%lu at the start)", name, used, base[i]);
            if (!based)
                base[i] = used;
            if (used && at < size)
                at += (size_t)snprintf(to + at, size - at, "%s%s=%lu", at ? "," : "", name, used);
            i++;
        }
        based = 1;
        if (!*over)
            return 1;
        if (now_ms() > end) {
            static const char *const places[] = {"/tmp", "/rw", "/dev", "/dev/shm", "/by"};
            for (unsigned k = 0; k < sizeof places / sizeof *places; k++)
                nftw(places[k], name_it, 16, FTW_PHYS | FTW_MOUNT);
            printf("FAIL kept after all processes ended:%s\n", over);
            return 0;
        }
        usleep(20000);
    }
}
