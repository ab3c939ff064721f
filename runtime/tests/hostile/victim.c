/* Waits to be killed from outside, with a mapping by which the test finds its host process. */
#include "hostile.h"

static void on_fault(int signo)
{
    (void)signo;
    (void)!write(1, "gone\n", 5);
    _exit(0);
}

int main(int argc, char **argv)
{
    mmap((void *)0x515151510000, 4096, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    if (argc > 1 && !strcmp(argv[1], "look")) {
        signal(SIGSEGV, on_fault);
        printf("%s\n", *(volatile char *)LEFTOVER ? "stays" : "empty");
        return 0;
    }
    printf("ready\n");
    fflush(stdout);
    if (argc > 1 && !strcmp(argv[1], "spin"))
        for (;;) { }
    for (;;)
        pause();
}
