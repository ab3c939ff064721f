//! The stubs' seccomp filter. It matches the instruction pointer, so it is assembled here.
//!
//! Security holds with the gate page's bytes chosen by an attacker: the instruction pointer decides only *trap or allow*, the
//! argument checks decide *safe*. Everything that is not listed traps to the stub (and so to the sentry).

use bevor_stub::layout::{NOTIF_NR, STUB_BASE};

use crate::defence::{Defence, Defences};

const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;
const RET_ALLOW: u32 = 0x7fff_0000;
const RET_TRAP: u32 = 0x0003_0000;
const RET_USER_NOTIF: u32 = 0x7fc0_0000;

const LD_ABS: u16 = 0x20;
const LD_IMM: u16 = 0x00;
const ALU_AND: u16 = 0x54;
const ALU_LSH_X: u16 = 0x6c;
const MISC_TAX: u16 = 0x07;
const JEQ: u16 = 0x15;
const JGE: u16 = 0x35;
const JSET: u16 = 0x45;
const RET: u16 = 0x06;

const NR: u32 = 0;
const ARCH: u32 = 4;
const IP_LOW: u32 = 8;
const IP_HIGH: u32 = 12;

/// clone(2) flags of a new application thread: VM FS FILES SIGHAND THREAD SYSVSEM PARENT_SETTID.
pub const CLONE_THREAD_FLAGS: u32 = 0x0015_0f00;
/// clone(2) flags of an application fork: PARENT.
pub const CLONE_FORK_FLAGS: u32 = 0x8000;
/// mmap(2) flags: SHARED PRIVATE FIXED ANONYMOUS 32BIT GROWSDOWN NORESERVE POPULATE NONBLOCK STACK FIXED_NOREPLACE.
pub const MMAP_FLAGS: u32 = 0x0013_c173;
/// madvise(2) advice: a bit per value; the hints, DONTNEED, FREE, DONTFORK, HUGEPAGE pair, DUMP pair, FORK pair, COLD..,
/// POPULATE. Not DOFORK: slabs stay out of forked children.
pub const MADVISE_ADVICE: u32 = 0x03ff_c51f;
/// futex(2) operations: WAIT WAKE REQUEUE CMP_REQUEUE WAKE_OP WAIT_BITSET WAKE_BITSET.
pub const FUTEX_OPS: u32 = 0x063b;

/// membarrier(2) commands: QUERY, (REGISTER_)PRIVATE_EXPEDITED, its SYNC_CORE and RSEQ kinds; none that stops every CPU of the host.
pub const MEMBARRIER_COMMANDS: [u32; 7] = [0, 8, 16, 32, 64, 128, 256];

/// A classic BPF instruction, `struct sock_filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Insn {
    code: u16,
    jt: u8,
    jf: u8,
    k: u32,
}

impl Insn {
    /// The instruction as the 64-bit word of memory that the kernel reads.
    #[must_use]
    pub fn to_word(self) -> u64 {
        u64::from(self.code) | u64::from(self.jt) << 16 | u64::from(self.jf) << 24 | u64::from(self.k) << 32
    }
}

fn stmt(code: u16, k: u32) -> Insn {
    Insn { code, jt: 0, jf: 0, k }
}

fn jump(code: u16, k: u32, jt: u8, jf: u8) -> Insn {
    Insn { code, jt, jf, k }
}

fn arg(n: u32) -> (u32, u32) {
    (16 + 8 * n, 20 + 8 * n)
}

/// The checks of one call; each ends in a return or falls through to the trap that follows the body.
fn body(nr: u32) -> Vec<Insn> {
    let trap = stmt(RET, RET_TRAP);
    let allow = stmt(RET, RET_ALLOW);
    // A low word whose bits outside `mask` are zero.
    let within = |n: u32, mask: u32| {
        let (low, high) = arg(n);
        vec![stmt(LD_ABS, high), jump(JEQ, 0, 1, 0), trap, stmt(LD_ABS, low), jump(JSET, !mask, 0, 1), trap]
    };
    // A bit set in `set` for the value of the low word (masked), which must be below 32.
    let one_of = |n: u32, mask: u32, set: u32| {
        let (low, _) = arg(n);
        vec![
            stmt(LD_ABS, low),
            stmt(ALU_AND, mask),
            jump(JGE, 32, 0, 1),
            trap,
            stmt(MISC_TAX, 0),
            stmt(LD_IMM, 1),
            stmt(ALU_LSH_X, 0),
            jump(JSET, set, 1, 0),
            trap,
        ]
    };
    let mut out = Vec::new();
    match i64::from(nr) {
        libc::SYS_mmap => {
            out.extend(within(2, 7));
            out.extend(within(3, MMAP_FLAGS));
            // Both type bits are MAP_SHARED_VALIDATE. (The low word of the flags is loaded.)
            out.extend([stmt(ALU_AND, 3), jump(JEQ, 3, 0, 1), trap]);
        }
        libc::SYS_mremap => {
            let (low, high) = arg(1);
            // Zero duplicates shared pages; so would what wraps to zero when it is rounded up to pages.
            out.extend([stmt(LD_ABS, high), jump(JGE, 0x8000, 0, 1), trap]);
            out.extend([stmt(LD_ABS, low), jump(JEQ, 0, 0, 3), stmt(LD_ABS, high), jump(JEQ, 0, 0, 1), trap]);
            out.extend(within(3, 7));
        }
        libc::SYS_madvise => {
            out.extend(within(2, 0x1f));
            out.extend(one_of(2, u32::MAX, MADVISE_ADVICE));
        }
        // No flags.
        libc::SYS_close_range => out.extend(within(2, 0)),
        libc::SYS_futex => out.extend(one_of(1, 127, FUTEX_OPS)),
        libc::SYS_membarrier => {
            let (low, _) = arg(0);
            out.push(stmt(LD_ABS, low));
            let last = MEMBARRIER_COMMANDS.len() - 1;
            for (i, command) in MEMBARRIER_COMMANDS.into_iter().enumerate() {
                let to_allow = u8::try_from(last - i + 1).unwrap_or(0);
                out.push(jump(JEQ, command, to_allow, 0));
            }
            out.push(trap);
        }
        libc::SYS_clone => {
            let (low, high) = arg(0);
            out.extend([
                stmt(LD_ABS, high),
                jump(JEQ, 0, 1, 0),
                trap,
                stmt(LD_ABS, low),
                jump(JEQ, CLONE_THREAD_FLAGS, 2, 0),
                jump(JEQ, CLONE_FORK_FLAGS, 1, 0),
                trap,
            ]);
        }
        _ => {}
    }
    out.push(allow);
    out
}

/// The calls that the filter lets through from the gate, the frequent ones first.
pub const ALLOWED: [i64; 20] = [
    libc::SYS_futex,
    libc::SYS_rt_sigreturn,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mprotect,
    libc::SYS_sched_yield,
    libc::SYS_madvise,
    libc::SYS_clone,
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_exit,
    libc::SYS_mremap,
    libc::SYS_set_tid_address,
    libc::SYS_rseq,
    libc::SYS_membarrier,
    libc::SYS_mincore,
    libc::SYS_msync,
    libc::SYS_mlock,
    libc::SYS_munlock,
    libc::SYS_mlock2,
];

/// Assembles the filter. `native_yield`: sched_yield(2), which touches nothing, is the host's from wherever it is made. The host then knows from
/// the number alone that it is allowed and does not run the filter for it; but nobody sees such a call from an unpatched site.
#[must_use]
pub fn assemble(defences: &Defences, native_yield: bool) -> Vec<Insn> {
    let trap = stmt(RET, RET_TRAP);
    let foreign = if defences.has(Defence::Entries) { trap } else { stmt(RET, RET_ALLOW) };
    let gate_high = u32::try_from(STUB_BASE >> 32).unwrap_or(u32::MAX);
    let mut out = vec![stmt(LD_ABS, ARCH), jump(JEQ, AUDIT_ARCH_X86_64, 1, 0), foreign];
    if native_yield && let Ok(nr) = u32::try_from(libc::SYS_sched_yield) {
        out.extend([stmt(LD_ABS, NR), jump(JEQ, nr, 0, 1), stmt(RET, RET_ALLOW)]);
    }
    out.extend([
        stmt(LD_ABS, IP_HIGH),
        jump(JEQ, gate_high, 1, 0),
        trap,
        stmt(LD_ABS, IP_LOW),
        jump(JGE, 4096, 0, 1),
        trap,
        stmt(LD_ABS, NR),
        jump(JGE, 1 << 30, 0, 1),
        trap,
        jump(JEQ, NOTIF_NR, 0, 1),
        stmt(RET, RET_USER_NOTIF),
    ]);
    if !defences.has(Defence::Filter) {
        out.push(stmt(RET, RET_ALLOW));
        return out;
    }
    let mut seen = Vec::new();
    for nr in ALLOWED {
        let Ok(nr) = u32::try_from(nr) else { continue };
        if seen.contains(&nr) {
            continue;
        }
        seen.push(nr);
        let body = body(nr);
        let skip = u8::try_from(body.len()).unwrap_or(u8::MAX);
        out.push(jump(JEQ, nr, 0, skip));
        out.extend(body);
    }
    out.push(trap);
    out
}
