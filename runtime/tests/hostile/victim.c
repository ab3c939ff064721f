/* Waits to be killed from outside, with a mapping by which the test finds its host process. */
#include "hostile.h"
int main(int argc, char **argv)
{
    mmap((void *)0x515151510000, 4096, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    printf("ready\n");
    fflush(stdout);
    if (argc > 1 && !strcmp(argv[1], "spin"))
        for (;;) { }
    for (;;)
        pause();
}
