/* Prints what the stub's C compiler makes of the shared layout. */
#include <stddef.h>
#include <stdio.h>
#include "layout.h"
#define F(f) printf("%s %zu\n", #f, offsetof(struct channel, f))
#define V(v) printf("%s %llu\n", #v, (unsigned long long)(v))
int main(void)
{
    F(req_seq); F(args); F(in); F(in_used); F(rep_seq); F(result); F(in_small); F(out0); F(out1); F(out_small); F(kick); F(forked_pid); F(clear_tid); F(robust_list); F(nr); F(req_kind); F(rep_kind); F(nout); F(op); F(watched); F(park_seq); F(pending);
    F(local_calls); F(slot); F(space); F(id); F(sigmask); F(alt_sp); F(host_tid); F(data);
    printf("channel %zu\nimage_op %zu\nsignal_frame %zu\n", sizeof(struct channel), sizeof(struct image_op), sizeof(struct signal_frame));
    printf("image_op_id %zu\nsignal_frame_info %zu\nboot_bpf %zu\n", offsetof(struct image_op, id), offsetof(struct signal_frame, info), offsetof(struct boot, bpf));
    V(STUB_BASE); V(CHANNEL_BASE); V(STACK_BASE); V(STUB_END); V(SLAB_SIZE); V(NOTIF_NR); V(REQ_PATCH); V(REQ_CLONED); V(REP_LOCAL);
    V(REP_FORK); V(REP_PATCH); V(TRAMPOLINE_MAGIC);
    return 0;
}
