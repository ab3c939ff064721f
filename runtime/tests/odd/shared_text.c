/* Writes code through a shared mapping: the second time the file's page is dirty already, and its times do not change. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    static const unsigned char code[] = {0xb8, 39, 0, 0, 0, 0x0f, 5, 0xc3}; /* getpid */
    static char nops[8192];
    struct stat st;
    int fd = open(argv[argc - 1], O_RDWR | O_CREAT | O_TRUNC, 0755);
    memset(nops, 0x90, sizeof nops);
    if (write(fd, nops, sizeof nops) != sizeof nops)
        return 1;
    char *written = mmap(NULL, sizeof nops, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    memcpy(written + 4096 + 200, code, sizeof code);
    written[4096] = 1;
    fstat(fd, &st);
    /* Until it counts as a file that does not change. */
    while (time(NULL) < st.st_ctime + 4)
        usleep(50000);
    for (long i = 1; i < 6; i++) {
        if (i == 5)
            written[4096] = 2;
        char *at = mmap((void *)(i << 36), 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, fd, 4096);
        if (at == MAP_FAILED)
            return 2;
        printf("%d ", at[0]);
    }
    puts("");
    return 0;
}
