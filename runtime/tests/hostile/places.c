/* Where this process's parts lie, in one line: program, interpreter, stack, mappings, break, vDSO. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct timespec t;
    char line[512], label[64];
    unsigned long start, end, reserved = 0, stack = 0, vdso = 0;
    /* The vDSO works where it is. */
    if (clock_gettime(CLOCK_MONOTONIC, &t) || !t.tv_sec)
        return 1;
    FILE *maps = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof line, maps)) {
        *label = 0;
        sscanf(line, "%lx-%lx %*s %*s %*s %*s %63s", &start, &end, label);
        if (!strcmp(label, "[stack]"))
            stack += start <= (unsigned long)&t && (unsigned long)&t < end ? 1 : 100;
        if (!strcmp(label, "[vdso]"))
            vdso += start == getauxval(AT_SYSINFO_EHDR) ? 1 : 100;
        if (!*label && end - start > 1UL << 30)
            reserved++;
    }
    if (stack != 1 || vdso != 1 || reserved)
        printf("FAIL: maps: %lu stacks, %lu vDSOs, %lu vast\n", stack, vdso, reserved);
    /* A stack grows as far as it may. */
    volatile char *deep = __builtin_alloca(6 << 20);
    deep[0] = 1;
    printf("%lx %lx %lx %lx %lx %lx\n", (unsigned long)main, getauxval(AT_BASE), (unsigned long)&argc,
           (unsigned long)mmap(NULL, 1 << 20, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), (unsigned long)sbrk(0),
           getauxval(AT_SYSINFO_EHDR));
    return 0;
}
