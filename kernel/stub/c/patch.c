/* The stub's part in call site patching: counting traps, and addresses inside patched windows. */
#include "stub.h"

int patched_boundary(struct tcb *t, struct ucontext *uc)
{
    (void)t;
    (void)uc;
    return 0;
}

void count_trap(struct stop *s, u64 site)
{
    (void)s;
    (void)site;
}
