/* Unmaps the vDSO, as valgrind does, asks for the time, and becomes a program that has a vDSO again. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct timespec t = {0, 0};
    struct timeval v;
    unsigned cpu = 0;
    char *vdso = (char *)getauxval(AT_SYSINFO_EHDR);
    if (argc > 1)
        return puts(clock_gettime(CLOCK_MONOTONIC, &t) == 0 && t.tv_sec && vdso && !memcmp(vdso, "\177ELF", 4) ? "again" : "no time") < 0;
    if (vdso)
        munmap(vdso, 8192);
    for (int i = 0; i < 200; i++)
        if (syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &t) || syscall(SYS_gettimeofday, &v, NULL) || syscall(SYS_getcpu, &cpu, NULL, NULL) ||
            !syscall(SYS_time, NULL))
            return 1;
    puts("without");
    fflush(stdout);
    execl("/proc/self/exe", argv[0], "again", NULL);
    return 2;
}
