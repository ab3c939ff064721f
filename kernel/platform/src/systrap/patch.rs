//! Call site patching: the `syscall` instruction of a site that traps often becomes a jump to a trampoline.
//!
//! Rules that keep every thread correct, wherever it stands:
//! - **each original instruction start inside the patched window is an invalid opcode in the new bytes**, so a thread that jumps or returns
//!   there faults, and the stub does what the original instructions would have done (the trampoline's header says what);
//! - only file-backed, private, executable text is patched, through the process's memory file, so that nothing reaches the file;
//! - if the process has other threads, the stub first learns of the window and its trampoline, so that it knows what a fault there means; then
//!   every original instruction start becomes an invalid opcode, byte by byte; then the rest is written; then the jump's first byte; with a
//!   core-synchronising barrier after each step.

use std::sync::Arc;

use bevor_abi::Errno;
use bevor_hostcall::HostFd;
use bevor_stub::layout as l;
use iced_x86::{Code, Decoder, DecoderOptions, FlowControl, Instruction};

use super::text::SpaceTexts;
use super::{place, sys};
use crate::api::{Mapping, MemoryLimits, SpaceLayout};

/// One-byte opcodes that are invalid in 64-bit mode.
const INVALID: [u8; 17] = [0x06, 0x07, 0x0e, 0x16, 0x17, 0x1e, 0x1f, 0x27, 0x2f, 0x37, 0x3f, 0x60, 0x61, 0x82, 0x9a, 0xce, 0xd4];

/// Bytes of one trampoline area.
const ARENA: u64 = 0x1_0000;
const SLOTS: usize = 512;
/// End of the application's half of the address space.
const USER_TOP: u64 = 0x7fff_ffff_f000;
/// Longest run of code looked at after a site.
const LOOKAHEAD: usize = 32;
/// Longest relocated instruction sequence before the site.
const BEFORE: usize = 8;

/// What opens a stub's `/proc` files; a sentry that cannot open files has its gofer do it.
pub trait ProcFiles: Send + Sync {
    /// `/proc/PID/mem` for reading and writing.
    ///
    /// # Errors
    /// The host's errno.
    fn memory(&self, pid: i32) -> Result<HostFd, Errno>;
    /// `/proc/PID/maps`.
    ///
    /// # Errors
    /// The host's errno.
    fn maps(&self, pid: i32) -> Result<HostFd, Errno>;
    /// `/proc/TID/stat`.
    ///
    /// # Errors
    /// The host's errno.
    fn stat(&self, tid: i32) -> Result<HostFd, Errno>;
    /// `/proc/TID/schedstat`.
    ///
    /// # Errors
    /// The host's errno.
    fn schedstat(&self, tid: i32) -> Result<HostFd, Errno>;
}

/// An area of trampolines in an address space.
#[derive(Clone, Debug)]
struct Arena {
    base: u64,
    used: Vec<bool>,
}

/// What is written next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Write {
    Boundaries,
    Rest,
    Jump,
    Nothing,
}

/// A patch under way in an address space with several threads.
#[derive(Clone, Debug)]
struct Steps {
    plan: Plan,
    header: u64,
    next: Write,
}

/// An address space's patches.
#[derive(Default)]
pub(crate) struct Patches {
    arenas: Vec<Arena>,
    /// The address to try for an area, while the stub is asked to map one.
    trying: Option<Trying>,
    steps: Option<Steps>,
    files: Option<(HostFd, HostFd)>,
    /// Sites are not patched any more (the process's files could not be opened).
    off: bool,
    /// Patches begun, by however forged requests.
    begun: u32,
    /// Text that was patched before it was mapped.
    pub(crate) texts: SpaceTexts,
}

/// Patches begun in one process before it may ask for no more: far more than there are sites worth it.
const BUDGET: u32 = 4096;

#[derive(Clone, Copy, Debug)]
struct Trying {
    /// For which site.
    site: u64,
    base: u64,
    tries: u32,
}

impl Patches {
    /// What a forked child has: the same areas in the same use, no open files.
    pub(crate) fn fork(&self) -> Self {
        // No patch is under way: the space's gate sees to that.
        let off = self.off || self.steps.is_some();
        Self { arenas: self.arenas.clone(), off, begun: self.begun, texts: self.texts.clone(), ..Self::default() }
    }
}

/// How to patch a site: pure data, made from the code around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// First byte of the window.
    window: u64,
    /// Address after the system call instruction.
    site: u64,
    /// Window length, at least 5.
    len: usize,
    /// Relocated instructions before and after the system call.
    before: Vec<u8>,
    after: Vec<u8>,
    /// Original instruction starts inside the window, with what a thread there goes on with.
    boundaries: Vec<(u8, u8)>,
}

impl Plan {
    /// Makes a plan for the system call that ends at `site`, made with number `nr`. `before` is the code that ends with the system call
    /// instruction, `after` the code that follows.
    pub(crate) fn make(site: u64, nr: u64, before: &[u8], after: &[u8]) -> Option<Self> {
        let code = before.strip_suffix(&[0x0f, 0x05])?;
        if let Some(len) = relocatable_before(code, nr) {
            return Self::of_parts(site, &code[code.len() - len..], &[]);
        }
        Self::with_tail(site, after)
    }

    /// For a system call that ends at `site`, with the instruction before it (none) or those after it (none) as part of the window.
    pub(crate) fn of_parts(site: u64, before: &[u8], after: &[u8]) -> Option<Self> {
        if before.is_empty() {
            return Self::with_tail(site, after);
        }
        let len = u8::try_from(before.len()).ok()?;
        let mut boundaries = vec![(len, l::BOUNDARY_SYSCALL)];
        if before == EXIT {
            boundaries.insert(0, (2, l::BOUNDARY_BEFORE));
        }
        let window = site - 2 - u64::from(len);
        Some(Self { window, site, len: before.len() + 2, before: before.to_vec(), after: Vec::new(), boundaries })
    }

    /// The window's first byte.
    pub(crate) fn window(&self) -> u64 {
        self.window
    }

    /// Whether not every place for a trampoline will do.
    pub(crate) fn is_choosy(&self) -> bool {
        self.boundaries.iter().any(|(at, _)| *at < 5)
    }

    /// A window that starts at the system call and takes in what follows.
    fn with_tail(site: u64, after: &[u8]) -> Option<Self> {
        let mut decoder = Decoder::with_ip(64, after, site, DecoderOptions::NONE);
        let mut boundaries = vec![(2u8, l::BOUNDARY_TAIL)];
        let mut len = 0usize;
        let mut instruction = Instruction::default();
        while len < 3 {
            if !decoder.can_decode() {
                return None;
            }
            decoder.decode_out(&mut instruction);
            if !relocatable(&instruction) {
                return None;
            }
            len += instruction.len();
            if len < 3 {
                boundaries.push((u8::try_from(len + 2).ok()?, l::BOUNDARY_TAIL));
            }
        }
        Some(Self { window: site - 2, site, len: len + 2, before: Vec::new(), after: after.get(..len)?.to_vec(), boundaries })
    }

    /// Whether a jump from the window to code at `target` puts invalid opcodes where they must be.
    pub(crate) fn fits(&self, target: u64) -> bool {
        self.jump(target).is_some_and(|bytes| {
            self.boundaries.iter().all(|(at, _)| bytes.get(usize::from(*at)).is_some_and(|b| INVALID.contains(b)))
        })
    }

    /// The window's new bytes for a trampoline with code at `target`.
    pub(crate) fn jump(&self, target: u64) -> Option<Vec<u8>> {
        let rel = i32::try_from(target.wrapping_sub(self.window + 5).cast_signed()).ok()?;
        let mut bytes = vec![0xe9];
        bytes.extend_from_slice(&rel.to_le_bytes());
        bytes.resize(self.len, INVALID[0]);
        Some(bytes)
    }

    /// The trampoline for a header at `header`: see `struct trampoline` in the stub's layout.
    pub(crate) fn trampoline(&self, header: u64) -> Option<Vec<u8>> {
        let delta = |to: u64, from: u64| i32::try_from(to.wrapping_sub(from).cast_signed()).ok();
        let code = header + l::TRAMPOLINE_CODE;
        let entry_len = self.before.len() + 13;
        let tail_len = if self.after.is_empty() { 0 } else { self.after.len() + 5 };
        let tail = code + u64::try_from(entry_len).ok()?;
        let resume = if self.after.is_empty() { self.site } else { tail };
        let descriptor = (tail + u64::try_from(tail_len).ok()?).next_multiple_of(8);
        let literal = descriptor + 8;
        let mut out = Vec::new();
        out.extend_from_slice(&l::TRAMPOLINE_MAGIC.to_le_bytes());
        out.extend_from_slice(&delta(self.window, header)?.to_le_bytes());
        out.extend_from_slice(&delta(self.site, header)?.to_le_bytes());
        out.extend_from_slice(&delta(resume, header)?.to_le_bytes());
        let mut at = [0u8; 4];
        let mut kind = [0u8; 4];
        for (i, (a, k)) in self.boundaries.iter().take(4).enumerate() {
            at[i] = *a;
            kind[i] = *k;
        }
        out.extend_from_slice(&at);
        out.extend_from_slice(&kind);
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.before);
        // lea descriptor(%rip), %r11
        let lea_end = code + u64::try_from(self.before.len()).ok()? + 7;
        out.extend_from_slice(&[0x4c, 0x8d, 0x1d]);
        out.extend_from_slice(&delta(descriptor, lea_end)?.to_le_bytes());
        // jmp *literal(%rip)
        out.extend_from_slice(&[0xff, 0x25]);
        out.extend_from_slice(&delta(literal, lea_end + 6)?.to_le_bytes());
        if !self.after.is_empty() {
            out.extend_from_slice(&self.after);
            let end = tail + u64::try_from(tail_len).ok()?;
            let back = self.window + u64::try_from(self.len).ok()?;
            out.push(0xe9);
            out.extend_from_slice(&delta(back, end)?.to_le_bytes());
        }
        out.resize(usize::try_from(descriptor - header).ok()?, 0xcc);
        out.extend_from_slice(&delta(self.site, descriptor)?.to_le_bytes());
        out.extend_from_slice(&delta(resume, descriptor)?.to_le_bytes());
        out.extend_from_slice(&l::STUB_ENTRY.to_le_bytes());
        (out.len() <= usize::try_from(l::TRAMPOLINE_SIZE).ok()?).then_some(out)
    }
}

/// `xor %edi, %edi; mov %edx, %eax`: libc's exit of a thread.
pub(crate) const EXIT: [u8; 4] = [0x31, 0xff, 0x89, 0xd0];

/// How many bytes before the system call can move into the trampoline: instructions recognised by their bytes *and* by what the call's
/// number was, since code cannot be decoded backwards.
fn relocatable_before(code: &[u8], nr: u64) -> Option<usize> {
    // mov 8(%rsp), %r9, as in libc's syscall().
    if code.ends_with(&[0x4c, 0x8b, 0x4c, 0x24, 0x08]) {
        return Some(5);
    }
    if code.ends_with(&EXIT) && nr == 60 {
        return Some(EXIT.len());
    }
    let imm = u32::try_from(nr).ok()?.to_le_bytes();
    let tail = code.get(code.len().checked_sub(7)?..)?;
    // mov $nr, %rax
    if tail[..3] == [0x48, 0xc7, 0xc0] && tail[3..] == imm {
        return Some(7);
    }
    // mov $nr, %eax
    if tail[2] == 0xb8 && tail[3..] == imm {
        return Some(5);
    }
    None
}

fn relocatable(i: &Instruction) -> bool {
    !i.is_invalid()
        && i.flow_control() == FlowControl::Next
        && !i.is_ip_rel_memory_operand()
        && !matches!(i.code(), Code::Syscall | Code::Sysenter)
}

/// What the stub is to do next.
pub(crate) enum Step {
    Done,
    Map(u64, u64),
    Barrier(u64, u64),
}

/// The process whose code is patched.
pub(crate) struct Target<'a> {
    pub(crate) pid: i32,
    /// Nobody else runs in the address space: everything can be written at once.
    pub(crate) single: bool,
    pub(crate) files: &'a Arc<dyn ProcFiles>,
}

impl Patches {
    /// One step for the system call that ends at `site`; `result` is what the stub's last step returned.
    pub(crate) fn step(&mut self, target: &Target<'_>, site: u64, nr: u64, result: i64) -> Step {
        if self.off {
            return Step::Done;
        }
        match self.try_step(target, site, nr, result) {
            Some(step) => step,
            None => {
                self.trying = None;
                Step::Done
            }
        }
    }

    fn try_step(&mut self, target: &Target<'_>, site: u64, nr: u64, result: i64) -> Option<Step> {
        if self.steps.is_some() {
            return self.go_on(target);
        }
        if let Some(trying) = self.trying.take().filter(|t| t.site == site) {
            if u64::try_from(result) == Ok(trying.base) {
                self.arenas.push(Arena { base: trying.base, used: vec![false; SLOTS] });
            } else if trying.tries < 40 {
                return self.ask_for_arena(site, trying.tries + 1);
            } else {
                return None;
            }
        } else if self.begun >= BUDGET {
            return None;
        } else {
            self.begun += 1;
        }
        let plan = self.plan(target, site, nr)?;
        let Some((arena, slot)) = self.find_slot(&plan) else {
            return self.ask_for_arena(site, 0);
        };
        let header = self.arenas[arena].base + u64::try_from(slot).ok()? * l::TRAMPOLINE_SIZE;
        self.arenas[arena].used[slot] = true;
        let (memory, _) = self.files.clone()?;
        write_all(&memory, header, &plan.trampoline(header)?)?;
        if target.single {
            let bytes = plan.jump(header + l::TRAMPOLINE_CODE)?;
            write_all(&memory, plan.window, &bytes)?;
            return Some(Step::Done);
        }
        let window = plan.window;
        self.steps = Some(Steps { plan, header, next: Write::Boundaries });
        Some(Step::Barrier(window, header))
    }

    /// The next write of a patch in a process with several threads.
    fn go_on(&mut self, _target: &Target<'_>) -> Option<Step> {
        let mut steps = self.steps.take()?;
        let (memory, _) = self.files.clone()?;
        let bytes = steps.plan.jump(steps.header + l::TRAMPOLINE_CODE)?;
        let window = steps.plan.window;
        steps.next = match steps.next {
            Write::Boundaries => {
                write_all(&memory, window, &INVALID[..1])?;
                for (at, _) in &steps.plan.boundaries {
                    let byte = bytes.get(usize::from(*at)).copied()?;
                    write_all(&memory, window + u64::from(*at), &[byte])?;
                }
                Write::Rest
            }
            Write::Rest => {
                write_all(&memory, window + 1, &bytes[1..])?;
                Write::Jump
            }
            Write::Jump => {
                write_all(&memory, window, &bytes[..1])?;
                Write::Nothing
            }
            Write::Nothing => return Some(Step::Done),
        };
        let step = Step::Barrier(window, steps.header);
        self.steps = Some(steps);
        Some(step)
    }

    fn find_slot(&self, plan: &Plan) -> Option<(usize, usize)> {
        for (a, arena) in self.arenas.iter().enumerate() {
            for (s, used) in arena.used.iter().enumerate() {
                let code = arena.base + u64::try_from(s).ok()? * l::TRAMPOLINE_SIZE + l::TRAMPOLINE_CODE;
                if !used && plan.fits(code) {
                    return Some((a, s));
                }
            }
        }
        None
    }

    /// Areas lie within two gigabytes of the code: below libraries, above a program at a low address (whose heap grows there). The
    /// distances make the jump's last byte an invalid opcode (d4, 2f), which a boundary at offset 4 needs.
    fn ask_for_arena(&mut self, site: u64, tries: u32) -> Option<Step> {
        if site >= USER_TOP {
            return None;
        }
        let stride = 0x10_0000 * u64::from(tries);
        let base = if site < 0x8000_0000 { site + 0x2f80_0000 + stride } else { site - 0x2b80_0000 + stride } & !(ARENA - 1);
        self.trying = Some(Trying { site, base, tries });
        Some(Step::Map(base, ARENA))
    }

    fn plan(&mut self, target: &Target<'_>, site: u64, nr: u64) -> Option<Plan> {
        if self.files.is_none() {
            match (target.files.memory(target.pid), target.files.maps(target.pid)) {
                (Ok(memory), Ok(maps)) => self.files = Some((memory, maps)),
                _ => {
                    self.off = true;
                    return None;
                }
            }
        }
        let (_, maps) = self.files.clone()?;
        let start = site.checked_sub(u64::try_from(BEFORE + 2).ok()?)?;
        let (low, high) = private_text(&maps, site)?;
        let mut code = [0u8; BEFORE + 2 + LOOKAHEAD];
        let got = sys::vm_read(target.pid, start, &mut code);
        let known = usize::try_from(high.checked_sub(start)?).ok()?.min(got);
        let (before, after) = code.get(..known)?.split_at_checked(BEFORE + 2)?;
        let plan = Plan::make(site, nr, before, after)?;
        (plan.window >= low).then_some(plan)
    }
}

pub(super) fn write_all(memory: &HostFd, addr: u64, bytes: &[u8]) -> Option<()> {
    (sys::pwrite(memory, addr, bytes) == bytes.len()).then_some(())
}

/// The bounds of the file-backed, private, executable, not writable mapping that holds `addr`.
fn private_text(maps: &HostFd, addr: u64) -> Option<(u64, u64)> {
    let mut found = None;
    sys::read_lines(maps, MAPS_LIMIT, |line| {
        found = parse_mapping(line).filter(|m| m.end > addr);
        found.is_some()
    });
    let m = found.filter(|m| m.start <= addr)?;
    (&m.perms[1..] == b"-xp" && m.inode != 0).then_some((m.start, m.end))
}

/// Longest maps file that is read.
const MAPS_LIMIT: usize = 16 << 20;

/// One line of a maps file.
fn parse_mapping(line: &[u8]) -> Option<Mapping> {
    let line = std::str::from_utf8(line).ok()?;
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let perms = fields.next()?.as_bytes().try_into().ok()?;
    let offset = u64::from_str_radix(fields.next()?, 16).ok()?;
    let (major, minor) = fields.next()?.split_once(':')?;
    let inode = fields.next()?.parse().ok()?;
    let label = fields.next().filter(|l| l.starts_with('[')).unwrap_or_default().to_owned();
    Some(Mapping {
        start: u64::from_str_radix(start, 16).ok()?,
        end: u64::from_str_radix(end, 16).ok()?,
        perms,
        offset,
        dev: (u32::from_str_radix(major, 16).ok()?, u32::from_str_radix(minor, 16).ok()?),
        inode,
        label,
    })
}

pub(super) fn is_own(m: &Mapping) -> bool {
    (l::STUB_BASE..l::STUB_END).contains(&m.start)
}

impl Patches {
    /// The application's mappings of process `pid`.
    pub(crate) fn mappings(&mut self, pid: i32, files: &Arc<dyn ProcFiles>, layout: &SpaceLayout) -> Result<Vec<Mapping>, Errno> {
        if self.files.is_none() {
            self.files = Some((files.memory(pid)?, files.maps(pid)?));
        }
        let Some((_, maps)) = &self.files else { return Err(Errno::ESRCH) };
        let text = sys::read_whole(maps, MAPS_LIMIT);
        // Areas of trampolines are shown: whoever looks for free addresses must not take theirs.
        let lines = text.split(|b| *b == b'\n').filter_map(parse_mapping);
        let mut mappings: Vec<_> = lines.flat_map(|m| place::seen(layout, m)).collect();
        mappings.iter_mut().for_each(|m| self.texts.disguise(m));
        Ok(mappings)
    }

    /// What the stub itself takes of process `pid`'s memory.
    pub(crate) fn own_memory(&mut self, pid: i32, files: &Arc<dyn ProcFiles>, layout: &SpaceLayout) -> Option<MemoryLimits> {
        if self.files.is_none() {
            self.files = Some((files.memory(pid).ok()?, files.maps(pid).ok()?));
        }
        let (_, maps) = self.files.as_ref()?;
        let text = sys::read_whole(maps, MAPS_LIMIT);
        let mut own = MemoryLimits { all: 0, data: 0 };
        for m in text.split(|b| *b == b'\n').filter_map(parse_mapping) {
            let part = place::own_part(layout, &m);
            own.all += part;
            let arena =
                self.arenas.iter().any(|arena| (m.start..m.end).contains(&arena.base)) || self.texts.within(m.start, m.end);
            if is_own(&m) || arena {
                own.all += m.end - m.start - part;
                own.data += if m.perms[1] == b'w' && m.perms[3] == b'p' { m.end - m.start } else { 0 };
            }
        }
        Some(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn before(bytes: &[u8]) -> Vec<u8> {
        let mut v = vec![0x90; 10 - bytes.len()];
        v.extend_from_slice(bytes);
        v
    }

    #[test]
    fn a_moved_number_makes_the_window_end_at_the_site() {
        let plan = Plan::make(0x40_1007, 39, &before(&[0xb8, 39, 0, 0, 0, 0x0f, 5]), &[0xc3; 8]).expect("a plan");
        assert_eq!((plan.window, plan.len), (0x40_1000, 7));
        let bytes = plan.jump(0x41_0000).expect("in range");
        assert_eq!(bytes[0], 0xe9);
        assert!(INVALID.contains(&bytes[5]), "a thread between mov and syscall must fault");
    }

    #[test]
    fn a_number_that_does_not_match_the_call_is_not_believed() {
        let plan =
            Plan::make(0x40_1007, 40, &before(&[0xb8, 39, 0, 0, 0, 0x0f, 5]), &[0x48, 0x3d, 1, 0xf0, 0xff, 0xff, 0x90, 0x90]);
        let plan = plan.expect("a plan with a tail");
        assert_eq!(plan.window, 0x40_1005);
        assert_eq!(plan.after.len(), 6);
    }

    #[test]
    fn the_tail_boundary_is_an_invalid_opcode_wherever_the_trampoline_goes() {
        let plan =
            Plan::make(0x7f00_0000_1004, 0, &before(&[0x31, 0xc0, 0x0f, 5]), &[0x48, 0x3d, 1, 0xf0, 0xff, 0xff]).expect("a plan");
        let patches = Patches { arenas: vec![Arena { base: 0x7eff_d000_0000, used: vec![false; SLOTS] }], ..Patches::default() };
        let (_, slot) = patches.find_slot(&plan).expect("a slot that fits");
        let target = 0x7eff_d000_0000 + u64::try_from(slot).expect("small") * 128 + 32;
        assert!(INVALID.contains(&plan.jump(target).expect("in range")[2]));
        assert!(plan.trampoline(target - 32).is_some());
    }

    #[test]
    fn an_exit_has_a_boundary_between_its_moves() {
        let code = before(&[0x31, 0xff, 0x89, 0xd0, 0x0f, 5]);
        let plan = Plan::make(0x7f00_0000_1006, 60, &code, &[0xeb, 0xf8]).expect("a plan");
        assert_eq!(plan.boundaries, [(2, l::BOUNDARY_BEFORE), (4, l::BOUNDARY_SYSCALL)]);
        let patches = Patches { arenas: vec![Arena { base: 0x7eff_d480_0000, used: vec![false; SLOTS] }], ..Patches::default() };
        assert!(patches.find_slot(&plan).is_some());
        assert_eq!(Plan::make(0x7f00_0000_1006, 1, &code, &[0xeb, 0xf8]), None);
    }

    #[test]
    fn relative_jumps_and_returns_after_the_site_are_left_alone() {
        assert_eq!(Plan::make(0x40_1004, 0, &before(&[0x31, 0xc0, 0x0f, 5]), &[0x78, 0x10, 0xc3, 0x90, 0x90]), None);
        assert_eq!(Plan::make(0x40_1004, 0, &before(&[0x31, 0xc0, 0x0f, 5]), &[0xc3, 0x90, 0x90, 0x90]), None);
    }
}
