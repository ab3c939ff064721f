/*
 * Layout shared by the stub's C and assembly and by the sentry (kernel/stub/src/layout.rs mirrors this file; a test compares
 * both). Everything in `struct channel` is written by both sides: the sentry trusts nothing that it reads there.
 */
#ifndef BEVOR_STUB_LAYOUT_H
#define BEVOR_STUB_LAYOUT_H

/* Address map of a stub process. One range, hidden from the application. */
#define STUB_BASE 0x7d0000000000
#define STUB_TEXT STUB_BASE
#define GATE_PAGE STUB_BASE              /* the only page where host calls are not trapped */
#define CHANNEL_BASE 0x7d0010000000      /* slabs */
#define STACK_BASE 0x7d0040000000        /* per-thread regions: TCB, syscall stack, signal stack */
#define STUB_END 0x7d0080000000

#define CHANNEL_SIZE 0x11000             /* header page + 64 KiB */
#define SLAB_CHANNELS 16
#define SLAB_SIZE (CHANNEL_SIZE * SLAB_CHANNELS)
#define BOUNCE_OFFSET 0x200              /* data area within a channel */
#define BOUNCE_SIZE (CHANNEL_SIZE - BOUNCE_OFFSET)
#define SMALL 32                         /* bytes beside a request's or a reply's first window */
#define WINDOW_SMALL 0xffffffffu

#define REGION_SIZE 0x20000              /* per-thread region, aligned to its size */
#define REGION_SYSSTACK_TOP 0x8000
#define REGION_ALTSTACK 0x8000

#define TCB_MAGIC 0x5ec0de01             /* at gs:0 */

/* Thread control block offsets, for assembly. */
#define TCB_SELF_MAGIC 0
#define TCB_SELF 8
#define TCB_SYSSTACK 16
#define TCB_USER_RSP 24
#define TCB_RESUME 32
#define TCB_FRAME 40
#define TCB_KICKED 48
#define TCB_XSAVE_MASK_LO 52
#define TCB_XSAVE_MASK_HI 56

/* The notification number: unknown to the host kernel, caught by the filter. arg0 = kind. */
#define NOTIF_NR 0x2be70
#define NOTIF_WAIT 1                     /* arg1 = slot, arg2 = sequence, arg3 = space, arg4 = 1 after a spin in vain, arg5 = CPU:
                                          * sleep until the reply is there */
#define NOTIF_CLAIM 2                    /* arg1, arg2 = nonce: a forked child asks for its slab; returns a descriptor */
#define NOTIF_FD 3                       /* arg1 = slot, arg2: donate descriptors of the current reply: in each two bytes (from the lowest) the
                                          * number that one is to have, 0 for the end, and its index; returns the last's */
#define DONATED_FD 32                    /* numbers of donated descriptors; those that are mapped and closed at once are below */
#define DONATED 32
#define KEPT_OVER_EXEC (1UL << 62)           /* in a file's id: its descriptor may stay for the next image */
#define NOTIF_SLAB 4                     /* arg1 = slot, arg2 = slab index: donate a further slab; returns a descriptor */

/* The host signal that makes a thread stop. */
#define KICK_SIGNAL 10

/* Kinds of requests (stub to sentry). */
#define REQ_SYSCALL 1
#define REQ_FAULT 2                      /* args: signo, code, addr, trapno, error, 0 */
#define REQ_INTERRUPTED 3
#define REQ_STARTED 4                    /* a spare asks for its image; a thread says that its slab and region are in place */
#define REQ_BROKEN 5                     /* args: errno, op index */
#define REQ_ZYGOTE 6                     /* args: listener fd, vdso base, stack pointer, highest page that was free */
#define REQ_COPY_FAULT 7                 /* a copy-out of the reply faulted: args: original nr, address, number of segments stored */
#define REQ_CLONED 8                     /* arg0: host result of the clone that the last reply asked for */
#define REQ_PATCH 9                      /* arg0: address after a system call instruction that has trapped often, arg1: number, arg2: result of the step; arg0 0: no text that is patched already */

/* Kinds of replies (sentry to stub). */
#define REP_CONTINUE 1
#define REP_RETURN 2
#define REP_AGAIN 3
#define REP_SIGNAL 4
/* op[]: address, length, PROT_*, MAP_*, offset, the file's id, its index or -1; op[7], unless 0: patched text, and what precedes it in the file
 * (its trampolines) is to be mapped so many bytes below. */
#define REP_MMAP 5
#define REP_CLONE 6
#define REP_EXIT 7
#define REP_EXEC 8
#define REP_LOCAL 9
#define REP_PATCH 11                     /* op[0]: next step of a patch (PATCH_*) */
#define REP_FORK 10                      /* to the zygote: fork a fresh stub */

/* Steps of a patch that the stub carries out; it then sends REQ_PATCH again with the result. */
#define PATCH_DONE 0
#define PATCH_MAP 1                      /* op[1] address, op[2] bytes: map memory for trampolines */
#define PATCH_BARRIER 2                  /* op[1] start of the window, op[2] trampoline: make all threads see the code written so far */

/* A trampoline: this header, then the code at TRAMPOLINE_CODE. Deltas are relative to the header. */
#define TRAMPOLINE_SIZE 128
#define TRAMPOLINE_CODE 32
#define TRAMPOLINE_MAGIC 0x706d6172746f7665
#define BOUNDARY_NONE 0
#define BOUNDARY_SYSCALL 1               /* execute the system call with the current registers */
#define BOUNDARY_TAIL 2                  /* go on in the relocated instructions after it */
#define BOUNDARY_BEFORE 3                /* go on in the relocated instructions before it */

/* Steps of an exec image. */
#define OP_MMAP 1                        /* args: addr, len, prot, flags, fd index or -1, offset; id */
#define OP_ZERO 2                        /* args: addr, len */
#define OP_WRITE 3                       /* args: addr, len, offset in bounce */
#define OP_RESET 4                       /* args: addr, len of the range that stays (the vDSO), offset: robust list; the old image goes */
#define OP_MOVE 5                        /* args: new addr, len, offset: old addr */
#define OP_VDSO 6                        /* args: addr of the vDSO from now on */
#define OP_RESERVE 7                     /* as OP_MMAP; that it fails does not matter */

/* Clone flags words (REP_CLONE op_flags). */
#define CLONE_OP_SHARE_VM 1
#define CLONE_OP_SETTLS 2
#define CLONE_OP_PARENT_SETTID 4
#define CLONE_OP_CHILD_SETTID 8
#define CLONE_OP_MAP_REGION 16           /* the child's region is not mapped yet */
#define CLONE_OP_MAP_SLAB 32             /* the child's slab is not mapped yet */
#define CLONE_OP_NEW_STACK 64
#define CLONE_OP_HOLD 128
#define CLONE_OP_REPORT 256              /* the child sends REQ_STARTED before it runs application code */

#ifndef __ASSEMBLER__
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;
typedef int s32;
typedef long s64;

struct window {                          /* application memory that travels with a request or reply */
    u64 addr;
    u32 len;
    u32 off;                             /* in the data area; WINDOW_SMALL: the first window's bytes, in the same line */
};

struct identity {
    s32 pid, tid, ppid;
    u32 uid, euid, gid, egid, pad;
};

struct channel {
    /* line 0: request; all of it, unless memory comes along */
    u32 req_seq;
    u32 in_used;                         /* bit 31: the windows are valid; below: bytes of the data area in use */
    u32 req_kind;
    u32 nr;
    u64 args[6];
    /* line 1: request, continued */
    struct window in[2];
    u8 in_small[SMALL];
    /* line 2: reply; all of it, unless more than SMALL bytes come along */
    u32 rep_seq;
    u16 rep_kind, nout;
    s64 result;
    struct window out0;
    u8 out_small[SMALL];
    /* line 3: reply, continued: operands */
    u64 op[8];
    /* line 4: sentry to stub, rarely changed */
    u32 watched;                         /* a sentry thread polls req_seq: no notification needed */
    u32 park_seq;                        /* the answer to this request will take long */
    u64 pending;                         /* pending signals */
    u32 local_calls;                     /* 0: every call goes to the sentry */
    u32 slot;
    u32 region;
    u32 kick;                            /* stop: the thread was interrupted before the sentry could signal it */
    u64 space;                           /* id of the address space, for notifications */
    struct window out1;                  /* the second window of a reply */
    u32 pad4[2];
    /* line 5: identity */
    struct identity id;
    u32 pad5[8];
    /* line 6: stub to sentry, rarely changed */
    u64 sigmask;
    u64 alt_sp, alt_size;
    u32 alt_flags;
    s32 host_tid;
    u64 brk_start, brk_now;
    u64 stats_local;
    u64 stats_trap;
    /* line 7 */
    s32 forked_pid;                      /* host process of the latest fork, for the case that it never comes for its channel */
    u32 pad6;
    u64 clear_tid, robust_list;          /* set_tid_address(2), set_robust_list(2) */
    u64 pad7[5];
    u8 data[BOUNCE_SIZE];
};

/* struct clone operands in op[]: 0 flags, 1 stack, 2 tls, 3 parent_tid addr, 4 child_tid addr, 5 tid (low) , 6 nonce lo, 7 nonce hi;
 * for threads: 6 = child's slot, 7 = child's region. */

/* Operands of REP_SIGNAL, in the data area at out0.off. */
struct signal_frame {
    s32 signo;
    u32 outcome;                         /* 0 none, 1 return, 2 restart, 3 restart block */
    s64 value;
    u64 handler, flags, restorer, old_mask, new_mask;
    u8 info[128];
};

/* One step of REP_EXEC, in the data area at out0.off; op[0] count, op[1] entry, op[2] stack, op[3] brk. */
struct image_op {
    u32 kind;
    s32 fd;                              /* index for NOTIF_FD, -1 anonymous */
    u64 addr, len;
    u32 prot, flags;
    u64 offset, id;
};

struct trampoline {
    u64 magic;
    s32 window;                          /* window's first byte minus this header */
    s32 site;                            /* end of the system call instruction minus this header */
    s32 tail;                            /* relocated instructions (or the site) minus this header */
    u8 boundary_at[4], boundary_kind[4]; /* original instruction starts inside the window */
    u32 pad;
};

/* Boot configuration, in the data area of the zygote's channel. */
struct boot {
    u64 xsave_mask;
    u32 xsave_size;
    u32 bpf_len;
    u64 vdso_clock_gettime, vdso_gettimeofday, vdso_time, vdso_getcpu; /* offsets into the vDSO image, 0 if absent */
    u64 bpf[512];
};
#endif
#endif
