//! `cpuid` instructions whose answer is known when text is copied (see [`super::text`]). A hypervisor has to answer each one, which takes
//! some microseconds where a system call takes a fraction of one, and an interpreter asks some forty times before a program's first
//! instruction.
//!
//! - Only leaves that tell nothing of the CPU that asks, and none that programs use as a barrier (0 and 1).
//! - Only where the leaf, and the subleaf if there are any, are moved in right before: [`find`].

use std::arch::x86_64::{__cpuid_count, CpuidResult};

use bevor_stub::layout as l;

/// `xor %ecx, %ecx`: subleaf 0. It sets the flags, as it does in the copy.
const SUBLEAF_0: [u8; 2] = [0x31, 0xc9];
const CPUID: [u8; 2] = [0x0f, 0xa2];
/// `mov $leaf, %eax`: what becomes a jump.
const MOV_LEN: usize = 5;

/// Instructions answered in one text, of which an interpreter has some thirty, and places looked at.
const ANSWERS_MAX: usize = 256;
const LOOKED_AT_MAX: usize = 4 * ANSWERS_MAX;

/// An instruction that is answered by a trampoline of moves, together with the move before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Where the leaf is moved to eax.
    window: u64,
    /// Address after the instruction.
    back: u64,
    subleaf_0: bool,
    /// eax, ebx, ecx, edx.
    registers: [u32; 4],
}

/// Whether all CPUs say the same, at any time; `subleaf_0`: that the subleaf is known.
fn is_constant(leaf: u32, subleaf_0: bool) -> bool {
    match leaf {
        // Vendor-neutral extended leaves: features, names, caches and TLBs, power, address sizes.
        0x8000_0000..=0x8000_0008 => true,
        // Features, state components, trace, key locker.
        0x7 | 0xd | 0x14 | 0x19 => subleaf_0,
        _ => false,
    }
}

fn cpuid(leaf: u32) -> CpuidResult {
    // SAFETY: every x86-64 CPU has the instruction, which only changes the registers that it answers in. (Newer compilers know.)
    #[allow(unused_unsafe)]
    unsafe {
        __cpuid_count(leaf, 0)
    }
}

/// The instructions in `code` (whose first byte is at `base`) that can be answered. `is_instruction` says whether one begins at an offset.
pub(crate) fn find(code: &[u8], base: u64, is_instruction: impl Fn(usize) -> bool) -> Vec<Answer> {
    let mut found = Vec::new();
    let (mut from, mut looked_at) = (0, 0);
    while let Some(at) = code[from..].windows(CPUID.len()).position(|w| w == CPUID).map(|i| i + from) {
        from = at + CPUID.len();
        let before = &code[..at];
        let subleaf_0 = before.ends_with(&SUBLEAF_0);
        let before = before.strip_suffix(&SUBLEAF_0).unwrap_or(before);
        let Some((before, leaf)) = before.split_last_chunk::<4>() else { continue };
        let leaf = u32::from_le_bytes(*leaf);
        let Some(start) = before.strip_suffix(&[0xb8]).map(<[u8]>::len) else { continue };
        let (Ok(window), Ok(back)) = (u64::try_from(start), u64::try_from(from)) else { continue };
        if !is_constant(leaf, subleaf_0) {
            continue;
        }
        if found.len() == ANSWERS_MAX || looked_at == LOOKED_AT_MAX {
            break;
        }
        looked_at += 1;
        if is_instruction(start) {
            let r = cpuid(leaf);
            let registers = [r.eax, r.ebx, r.ecx, r.edx];
            found.push(Answer { window: base + window, back: base + back, subleaf_0, registers });
        }
    }
    found
}

impl Answer {
    /// The window's first byte.
    pub(crate) fn window(&self) -> u64 {
        self.window
    }

    /// The window's new bytes for a trampoline with code at `target`. What follows stays, for who jumps there.
    pub(crate) fn jump(&self, target: u64) -> Option<[u8; MOV_LEN]> {
        let rel = distance(target, self.window + 5)?.to_le_bytes();
        Some([0xe9, rel[0], rel[1], rel[2], rel[3]])
    }

    /// The trampoline for a header at `header`: see `struct trampoline` in the stub's layout. It can be begun again at any point.
    pub(crate) fn trampoline(&self, header: u64) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        out.extend_from_slice(&l::TRAMPOLINE_MAGIC.to_le_bytes());
        out.extend_from_slice(&distance(self.window, header)?.to_le_bytes());
        // No part of it stands behind the site.
        out.extend_from_slice(&distance(self.back, header)?.to_le_bytes());
        out.extend_from_slice(&distance(self.back, header)?.to_le_bytes());
        // No boundary lies inside the window.
        out.resize(usize::try_from(l::TRAMPOLINE_CODE).ok()?, 0);
        if self.subleaf_0 {
            out.extend_from_slice(&SUBLEAF_0);
        }
        let [eax, ebx, ecx, edx] = self.registers;
        for (mov, value) in [(0xb8, eax), (0xbb, ebx), (0xb9, ecx), (0xba, edx)] {
            out.push(mov);
            out.extend_from_slice(&value.to_le_bytes());
        }
        let end = header + u64::try_from(out.len()).ok()? + 5;
        out.push(0xe9);
        out.extend_from_slice(&distance(self.back, end)?.to_le_bytes());
        Some(out)
    }
}

fn distance(to: u64, from: u64) -> Option<i32> {
    i32::try_from(to.wrapping_sub(from).cast_signed()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use iced_x86::{Code, Decoder, DecoderOptions, Register};

    const BASE: u64 = 0x5000_0000;

    fn leaf(number: u32, subleaf_0: bool) -> Vec<u8> {
        let mut code = vec![0xb8];
        code.extend_from_slice(&number.to_le_bytes());
        if subleaf_0 {
            code.extend_from_slice(&SUBLEAF_0);
        }
        code.extend_from_slice(&CPUID);
        code
    }

    #[test]
    fn the_trampoline_does_what_the_instructions_did() {
        let code = leaf(0xd, true);
        let found = find(&code, BASE, |at| at == 0);
        let r = cpuid(0xd);
        let header = BASE - 0x1_0000;
        let trampoline = found[0].trampoline(header).expect("it is near");
        let code_at = header + l::TRAMPOLINE_CODE;
        let code: Vec<_> = Decoder::with_ip(64, &trampoline[32..], code_at, DecoderOptions::NONE).into_iter().collect();
        assert_eq!(
            (code[0].code(), code[0].op0_register(), code[0].op1_register()),
            (Code::Xor_rm32_r32, Register::ECX, Register::ECX)
        );
        let wanted = [(Register::EAX, r.eax), (Register::EBX, r.ebx), (Register::ECX, r.ecx), (Register::EDX, r.edx)];
        let moves: Vec<_> = code[1..5].iter().map(|i| (i.op0_register(), i.immediate32())).collect();
        assert_eq!(moves, wanted);
        assert!(code[1..5].iter().all(|i| i.code() == Code::Mov_r32_imm32), "the flags stay");
        assert_eq!((code[5].code(), code[5].near_branch_target()), (Code::Jmp_rel32_64, BASE + 9));
        let jump = found[0].jump(code_at).expect("it is near");
        assert_eq!(Decoder::with_ip(64, &jump, BASE, DecoderOptions::NONE).decode().near_branch_target(), code_at);
        assert!(trampoline.len() <= usize::try_from(l::TRAMPOLINE_SIZE).expect("small"));
    }

    #[test]
    fn there_is_an_end_to_what_is_looked_at() {
        let code = leaf(0x8000_0000, false).repeat(100_000);
        assert_eq!(find(&code, BASE, |_| true).len(), ANSWERS_MAX);
        let looked_at = std::cell::Cell::new(0);
        let refuse = |_| {
            looked_at.set(looked_at.get() + 1);
            false
        };
        assert_eq!(find(&code, BASE, refuse), []);
        assert_eq!(looked_at.get(), LOOKED_AT_MAX);
    }

    #[test]
    fn only_what_every_cpu_says_alike_is_answered() {
        let found = |number, subleaf_0| find(&leaf(number, subleaf_0), BASE, |_| true).len();
        assert_eq!([0x8000_0000, 0x8000_0001, 0x8000_0006, 0x8000_0008].map(|n| found(n, false)), [1; 4]);
        assert_eq!([7, 0xd, 0x14, 0x19].map(|n| found(n, true)), [1; 4]);
        assert_eq!([7, 0xd, 0x14, 0x19].map(|n| found(n, false)), [0; 4], "which subleaf?");
        // Barriers, caches of this core, numbers of this CPU.
        assert_eq!([0, 1, 2, 4, 0xb, 0x1f, 0x8000_001d, 0x8000_001e].map(|n| found(n, true)), [0; 8]);
    }

    #[test]
    fn what_is_no_instruction_stays() {
        let code = leaf(0x8000_0000, false);
        assert_eq!(find(&code, BASE, |_| false), []);
        for cut in 1..code.len() {
            assert_eq!(find(&code[cut..], BASE, |_| true), [], "without its first {cut} bytes");
        }
        assert_eq!(find(&[], BASE, |_| true), []);
    }
}
