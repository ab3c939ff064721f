//! The layout shared with the stub (`c/layout.h`); a test compares the two.

/// Stub base.
pub const STUB_BASE: u64 = 0x7d00_0000_0000;
/// Where trampolines jump to (checked by the linker script).
pub const STUB_ENTRY: u64 = STUB_BASE + 0x1000;
/// Slabs.
pub const CHANNEL_BASE: u64 = 0x7d00_1000_0000;
/// Per-thread regions: TCB, syscall stack, signal stack.
pub const STACK_BASE: u64 = 0x7d00_4000_0000;
/// Stub end.
pub const STUB_END: u64 = 0x7d00_8000_0000;
/// Header page + 64 KiB.
pub const CHANNEL_SIZE: usize = 0x0001_1000;
/// Slab channels.
pub const SLAB_CHANNELS: u32 = 16;
/// Data area within a channel.
pub const BOUNCE_OFFSET: usize = 0x200;
/// Bytes beside a request's or a reply's first window.
pub const SMALL: usize = 32;
/// Offset of a window whose bytes are there.
pub const WINDOW_SMALL: u32 = u32::MAX;
/// Per-thread region, aligned to its size.
pub const REGION_SIZE: u64 = 0x0002_0000;
/// Region sysstack top.
pub const REGION_SYSSTACK_TOP: u64 = 0x8000;
/// Region altstack.
pub const REGION_ALTSTACK: u64 = 0x8000;
/// Notif nr.
pub const NOTIF_NR: u32 = 0x0002_be70;
/// Arg1 = slot, arg2 = sequence: sleep until the reply is there.
pub const NOTIF_WAIT: u32 = 1;
/// Arg1, arg2 = nonce: a forked child asks for its slab; returns a descriptor.
pub const NOTIF_CLAIM: u32 = 2;
/// Arg1 = slot, arg2: donate descriptors of the current reply: in each two bytes (from the lowest) the number that one is to have, 0
/// for the end, and its index; returns the last's.
pub const NOTIF_FD: u32 = 3;
/// Numbers of donated descriptors; those that are mapped and closed at once are below.
pub const DONATED_FD: u32 = 32;
/// How many there are.
pub const DONATED: u32 = 32;
/// In a file's id: its descriptor may stay for the next image.
pub const KEPT_OVER_EXEC: u64 = 1 << 62;
/// Arg1 = slot, arg2 = slab index: donate a further slab; returns a descriptor.
pub const NOTIF_SLAB: u32 = 4;
/// Kinds of requests (stub to sentry).
pub const KICK_SIGNAL: i32 = 10;
/// Req syscall.
pub const REQ_SYSCALL: u32 = 1;
/// Args: signo, code, addr, trapno, error, 0.
pub const REQ_FAULT: u32 = 2;
/// Req interrupted.
pub const REQ_INTERRUPTED: u32 = 3;
/// A spare asks for its image; a thread says that its slab and region are in place.
pub const REQ_STARTED: u32 = 4;
/// Args: errno, op index.
pub const REQ_BROKEN: u32 = 5;
/// Args: listener fd, vdso base, stack pointer, highest page that was free.
pub const REQ_ZYGOTE: u32 = 6;
/// A copy-out of the reply faulted: args: original nr, address, number of segments stored.
pub const REQ_COPY_FAULT: u32 = 7;
/// Arg0: host result of the clone that the last reply asked for.
pub const REQ_CLONED: u32 = 8;
/// Arg0: address after a system call instruction that has trapped often.
pub const REQ_PATCH: u32 = 9;
/// The next step of a patch follows.
pub const REP_PATCH: u32 = 11;
/// Step of a patch: finished.
pub const PATCH_DONE: u64 = 0;
/// Step of a patch: map memory for trampolines.
pub const PATCH_MAP: u64 = 1;
/// Step of a patch: make all threads see the code written so far.
pub const PATCH_BARRIER: u64 = 2;
/// Bytes of a trampoline with its header.
pub const TRAMPOLINE_SIZE: u64 = 128;
/// Offset of a trampoline's code.
pub const TRAMPOLINE_CODE: u64 = 32;
/// First word of a trampoline's header.
pub const TRAMPOLINE_MAGIC: u64 = 0x706d_6172_746f_7665;
/// Boundary kind: execute the system call.
pub const BOUNDARY_SYSCALL: u8 = 1;
/// Boundary kind: go on in the relocated instructions.
pub const BOUNDARY_TAIL: u8 = 2;
/// Boundary kind: go on in the relocated instructions before the system call.
pub const BOUNDARY_BEFORE: u8 = 3;
/// Rep continue.
pub const REP_CONTINUE: u32 = 1;
/// Rep return.
pub const REP_RETURN: u32 = 2;
/// Rep again.
pub const REP_AGAIN: u32 = 3;
/// Rep signal.
pub const REP_SIGNAL: u32 = 4;
/// Rep mmap.
pub const REP_MMAP: u32 = 5;
/// Rep clone.
pub const REP_CLONE: u32 = 6;
/// Rep exit.
pub const REP_EXIT: u32 = 7;
/// Rep exec.
pub const REP_EXEC: u32 = 8;
/// Rep local.
pub const REP_LOCAL: u32 = 9;
/// To the zygote: fork a fresh stub.
pub const REP_FORK: u32 = 10;
/// Args: addr, len, prot, flags, fd index or -1, offset; id.
pub const OP_MMAP: u32 = 1;
/// Args: addr, len.
pub const OP_ZERO: u32 = 2;
/// Args: addr, len, offset in bounce.
pub const OP_WRITE: u32 = 3;
/// Args: addr, len of the range that stays (the vDSO), offset: robust list; the old image goes.
pub const OP_RESET: u32 = 4;
/// Args: new addr, len, offset: old addr.
pub const OP_MOVE: u32 = 5;
/// Args: addr of the vDSO from now on.
pub const OP_VDSO: u32 = 6;
/// As `OP_MMAP`; that it fails does not matter.
pub const OP_RESERVE: u32 = 7;
/// Clone op share vm.
pub const CLONE_OP_SHARE_VM: u64 = 1;
/// Clone op settls.
pub const CLONE_OP_SETTLS: u64 = 2;
/// Clone op parent settid.
pub const CLONE_OP_PARENT_SETTID: u64 = 4;
/// Clone op child settid.
pub const CLONE_OP_CHILD_SETTID: u64 = 8;
/// The child's region is not mapped yet.
pub const CLONE_OP_MAP_REGION: u64 = 16;
/// The child's slab is not mapped yet.
pub const CLONE_OP_MAP_SLAB: u64 = 32;
/// Clone op new stack.
pub const CLONE_OP_NEW_STACK: u64 = 64;
/// Clone op hold.
pub const CLONE_OP_HOLD: u64 = 128;
/// The child sends a request before it runs application code.
pub const CLONE_OP_REPORT: u64 = 256;
/// Bytes of one slab.
pub const SLAB_SIZE: usize = CHANNEL_SIZE * 16;
/// Bytes of a channel's data area.
pub const BOUNCE_SIZE: usize = CHANNEL_SIZE - BOUNCE_OFFSET;

/// Byte offsets of the fields of `struct channel`.
#[allow(missing_docs)]
pub mod channel {
    pub const REQ_SEQ: usize = 0;
    pub const REQ_KIND: usize = 8;
    pub const NR: usize = 12;
    pub const ARGS: usize = 16;
    pub const IN: usize = 64;
    pub const IN_SMALL: usize = 96;
    pub const IN_USED: usize = 4;
    pub const REP_SEQ: usize = 128;
    pub const REP_KIND: usize = 132;
    pub const RESULT: usize = 136;
    pub const NOUT: usize = 134;
    pub const OUT0: usize = 144;
    pub const OUT_SMALL: usize = 160;
    pub const OP: usize = 192;
    pub const WATCHED: usize = 256;
    pub const PARK_SEQ: usize = 260;
    pub const PENDING: usize = 264;
    pub const LOCAL_CALLS: usize = 272;
    pub const SLOT: usize = 276;
    pub const REGION: usize = 280;
    pub const KICK: usize = 284;
    pub const SPACE: usize = 288;
    pub const OUT1: usize = 296;
    pub const ID: usize = 320;
    pub const SIGMASK: usize = 384;
    pub const ALT_SP: usize = 392;
    pub const ALT_SIZE: usize = 400;
    pub const ALT_FLAGS: usize = 408;
    pub const HOST_TID: usize = 412;
    pub const BRK_START: usize = 416;
    pub const BRK_NOW: usize = 424;
    pub const STATS_LOCAL: usize = 432;
    pub const STATS_TRAP: usize = 440;
    pub const FORKED_PID: usize = 448;
    pub const CLEAR_TID: usize = 456;
    pub const ROBUST_LIST: usize = 464;
    pub const DATA: usize = 512;
}

/// Byte offsets of the fields of `struct image_op`.
#[allow(missing_docs)]
pub mod image_op {
    pub const KIND: usize = 0;
    pub const FD: usize = 4;
    pub const ADDR: usize = 8;
    pub const LEN: usize = 16;
    pub const PROT: usize = 24;
    pub const FLAGS: usize = 28;
    pub const OFFSET: usize = 32;
    pub const ID: usize = 40;
    pub const SIZE: usize = 48;
}

/// Byte offsets of the fields of `struct signal_frame`.
#[allow(missing_docs)]
pub mod signal_frame {
    pub const SIGNO: usize = 0;
    pub const OUTCOME: usize = 4;
    pub const VALUE: usize = 8;
    pub const HANDLER: usize = 16;
    pub const FLAGS: usize = 24;
    pub const RESTORER: usize = 32;
    pub const OLD_MASK: usize = 40;
    pub const NEW_MASK: usize = 48;
    pub const INFO: usize = 56;
    pub const SIZE: usize = 184;
}

/// Byte offsets of the fields of `struct boot`.
#[allow(missing_docs)]
pub mod boot {
    pub const XSAVE_MASK: usize = 0;
    pub const XSAVE_SIZE: usize = 8;
    pub const BPF_LEN: usize = 12;
    pub const VDSO_CLOCK_GETTIME: usize = 16;
    pub const VDSO_GETTIMEOFDAY: usize = 24;
    pub const VDSO_TIME: usize = 32;
    pub const VDSO_GETCPU: usize = 40;
    pub const BPF: usize = 48;
}
