//! ELF images (elf(5), fs/binfmt_elf.c).

use bevor_abi::Errno;
use bevor_platform::{FileMapping, ImageOp, MmapOp};

use super::{ExecFile, LoadError, LoadRequest, random_u64};
use crate::num::{to_u64, to_usize};

const PAGE: u64 = 4096;
const EHDR_SIZE: usize = 64;
const PHDR_SIZE: usize = 56;
const MAX_HEADERS: usize = 65536;
const ET_EXEC: u16 = 2;
const ET_DYN: u16 = 3;
const EM_X86_64: u16 = 62;
const PT_LOAD: u32 = 1;
const PT_INTERP: u32 = 3;
const PT_PHDR: u32 = 6;
const PT_GNU_STACK: u32 = 0x6474_e551;
const PF_X: u32 = 1;
const PF_W: u32 = 2;
const PF_R: u32 = 4;
const PROT_READ: i32 = 1;
const PROT_WRITE: i32 = 2;
const PROT_EXEC: i32 = 4;
const MAP_PRIVATE: i32 = 2;
const MAP_FIXED: i32 = 0x10;
const MAP_ANONYMOUS: i32 = 0x20;
const MAP_FIXED_NOREPLACE: i32 = 0x10_0000;

/// Lowest address of an image (vm.mmap_min_addr).
const MIN_ADDR: u64 = 0x1_0000;
/// Where position independent programs with an interpreter go (ELF_ET_DYN_BASE).
const PIE_BASE: u64 = 0x5555_5555_4000;
/// Where interpreters and static PIEs go; 1 TiB below the host's mmap area and above the stub.
const INTERP_BASE: u64 = 0x7e00_0000_0000;
/// Images end below this address; above are the stub and the host's mappings.
const IMAGE_TOP: u64 = 0x7cff_ffff_f000;
const INTERP_TOP: u64 = 0x7eff_0000_0000;

/// How to map a program, and what its auxiliary vector says.
#[derive(Debug, Default)]
pub struct Plan {
    /// Mappings in order.
    pub ops: Vec<ImageOp>,
    /// First instruction (the interpreter's, if there is one).
    pub entry: u64,
    /// AT_ENTRY.
    pub program_entry: u64,
    /// AT_PHDR.
    pub phdr: u64,
    /// AT_PHNUM.
    pub phnum: u64,
    /// AT_BASE.
    pub base: u64,
    /// Start of the break area.
    pub brk: u64,
    /// PT_GNU_STACK asks for an executable stack.
    pub exec_stack: bool,
}

#[derive(Clone, Copy, Debug)]
struct Header {
    kind: u16,
    entry: u64,
    phoff: u64,
    phnum: u16,
}

#[derive(Clone, Copy, Debug)]
struct Segment {
    kind: u32,
    flags: u32,
    offset: u64,
    vaddr: u64,
    filesz: u64,
    memsz: u64,
    align: u64,
}

fn u16_at(b: &[u8], at: usize) -> u16 {
    b.get(at..at + 2).and_then(|s| s.try_into().ok()).map_or(0, u16::from_le_bytes)
}
fn u32_at(b: &[u8], at: usize) -> u32 {
    b.get(at..at + 4).and_then(|s| s.try_into().ok()).map_or(0, u32::from_le_bytes)
}
fn u64_at(b: &[u8], at: usize) -> u64 {
    b.get(at..at + 8).and_then(|s| s.try_into().ok()).map_or(0, u64::from_le_bytes)
}

fn page_down(x: u64) -> u64 {
    x & !(PAGE - 1)
}

fn page_up(x: u64) -> Option<u64> {
    x.checked_add(PAGE - 1).map(page_down)
}

fn read_full(file: &dyn ExecFile, offset: u64, len: usize) -> Option<Vec<u8>> {
    let mut out = vec![0; len];
    (file.read_at(offset, &mut out).ok()? == len).then_some(out)
}

/// Reads the file header; `None` if this is no ELF file for this machine.
fn read_header(file: &dyn ExecFile) -> Result<Option<(Header, u16)>, Errno> {
    let mut head = [0; EHDR_SIZE];
    let got = file.read_at(0, &mut head)?;
    if got < 4 || !head.starts_with(b"\x7fELF") {
        return Ok(None);
    }
    let kind = u16_at(&head, 16);
    if !matches!(kind, ET_EXEC | ET_DYN) || u16_at(&head, 18) != EM_X86_64 {
        return Ok(None);
    }
    let header = Header { kind, entry: u64_at(&head, 24), phoff: u64_at(&head, 32), phnum: u16_at(&head, 56) };
    Ok(Some((header, u16_at(&head, 54))))
}

/// The program headers, `None` if they are malformed.
fn read_segments(file: &dyn ExecFile, header: &Header, entry_size: u16) -> Option<Vec<Segment>> {
    let len = usize::from(header.phnum) * PHDR_SIZE;
    if usize::from(entry_size) != PHDR_SIZE || header.phnum == 0 || len > MAX_HEADERS {
        return None;
    }
    let raw = read_full(file, header.phoff, len)?;
    Some(
        raw.chunks_exact(PHDR_SIZE)
            .map(|p| Segment {
                kind: u32_at(p, 0),
                flags: u32_at(p, 4),
                offset: u64_at(p, 8),
                vaddr: u64_at(p, 16),
                filesz: u64_at(p, 32),
                memsz: u64_at(p, 40),
                align: u64_at(p, 48),
            })
            .collect(),
    )
}

/// The path in PT_INTERP.
fn interpreter(file: &dyn ExecFile, segments: &[Segment]) -> Result<Option<Vec<u8>>, Errno> {
    let Some(segment) = segments.iter().find(|s| s.kind == PT_INTERP) else {
        return Ok(None);
    };
    if !(2..=4096).contains(&segment.filesz) {
        return Err(Errno::ENOEXEC);
    }
    let raw = read_full(file, segment.offset, to_usize(segment.filesz)).ok_or(Errno::EIO)?;
    if raw.last() != Some(&0) {
        return Err(Errno::ENOEXEC);
    }
    Ok(raw.split(|b| *b == 0).next().map(<[u8]>::to_vec))
}

/// First address and length (page aligned) that the loadable segments span, and the largest alignment.
fn span(segments: &[Segment]) -> Option<(u64, u64, u64)> {
    let (mut low, mut high, mut align) = (u64::MAX, 0, PAGE);
    for s in segments.iter().filter(|s| s.kind == PT_LOAD) {
        low = low.min(page_down(s.vaddr));
        high = high.max(page_up(s.vaddr.checked_add(s.memsz)?)?);
        if s.align.is_power_of_two() && s.align > align && s.align <= 1 << 30 {
            align = s.align;
        }
    }
    (low < high).then(|| (low, high - low, align))
}

fn protection(flags: u32) -> i32 {
    let bit = |flag, prot| if flags & flag != 0 { prot } else { 0 };
    bit(PF_R, PROT_READ) | bit(PF_W, PROT_WRITE) | bit(PF_X, PROT_EXEC)
}

/// Where an image lies: added to every address of its headers.
struct Placed<'a> {
    segments: &'a [Segment],
    bias: u64,
    limit: (u64, u64),
}

impl Placed<'_> {
    /// Adds the mappings of all segments; returns the end of the highest.
    fn map(&self, mapping: &FileMapping, ops: &mut Vec<ImageOp>) -> Result<u64, LoadError> {
        let mut end = 0;
        let mut first = true;
        for segment in self.segments.iter().filter(|s| s.kind == PT_LOAD) {
            end = end.max(self.map_one(segment, first, mapping, ops)?);
            first = false;
        }
        if first {
            return Err(LoadError::Fatal);
        }
        Ok(end)
    }

    fn map_one(&self, s: &Segment, first: bool, mapping: &FileMapping, ops: &mut Vec<ImageOp>) -> Result<u64, LoadError> {
        let start = self.bias.wrapping_add(s.vaddr);
        let file_end = start.checked_add(s.filesz).ok_or(LoadError::Fatal)?;
        let mem_end = start.checked_add(s.memsz).ok_or(LoadError::Fatal)?;
        let page_end = page_up(mem_end).ok_or(LoadError::Fatal)?;
        let (low, high) = self.limit;
        if s.filesz > s.memsz || page_down(start) < low || page_end > high {
            return Err(LoadError::Fatal);
        }
        let shift = start - page_down(start);
        let prot = protection(s.flags);
        let fixed = if first { MAP_FIXED_NOREPLACE } else { MAP_FIXED };
        let mut anonymous_from = page_down(start);
        if s.filesz > 0 {
            let offset = s.offset.checked_sub(shift).filter(|o| o % PAGE == 0).ok_or(LoadError::Fatal)?;
            let mapped_end = page_up(file_end).ok_or(LoadError::Fatal)?;
            ops.push(ImageOp::Mmap(MmapOp {
                addr: page_down(start),
                len: mapped_end - page_down(start),
                prot,
                flags: MAP_PRIVATE | fixed,
                file: Some(mapping.clone()),
                offset,
            }));
            if s.memsz > s.filesz && prot & PROT_WRITE != 0 && file_end < mapped_end {
                ops.push(ImageOp::Zero { addr: file_end, len: mapped_end - file_end });
            }
            anonymous_from = mapped_end;
        }
        if page_end > anonymous_from {
            ops.push(ImageOp::Mmap(MmapOp {
                addr: anonymous_from,
                len: page_end - anonymous_from,
                prot,
                flags: MAP_PRIVATE | MAP_ANONYMOUS | fixed,
                file: None,
                offset: 0,
            }));
        }
        Ok(mem_end)
    }
}

/// A page-aligned random offset below `range`.
fn jitter(request: &LoadRequest<'_>, index: usize, range: u64) -> u64 {
    if request.no_randomize { 0 } else { page_down(random_u64(&request.random, index) % range) }
}

fn bias_for(base: u64, low: u64, align: u64) -> u64 {
    (base & !(align - 1)).wrapping_sub(low & !(align - 1))
}

/// Places the program and its interpreter.
///
/// # Errors
/// ENOEXEC, ELIBBAD, EIO, EINVAL, ENODEV and what opening the interpreter gives.
pub fn plan(file: &dyn ExecFile, request: &LoadRequest<'_>) -> Result<Plan, LoadError> {
    let (header, entry_size) = read_header(file)?.ok_or(Errno::ENOEXEC)?;
    let segments = read_segments(file, &header, entry_size).ok_or(Errno::ENOEXEC)?;
    let mapping = file.mapping().map_err(|_| Errno::ENOEXEC)?;
    let interpreter = interpreter(file, &segments)?.map(|path| (request.open)(&path)).transpose()?;
    let interpreter = match &interpreter {
        None => None,
        Some(file) => {
            let (header, entry_size) = read_header(&**file)?.ok_or(Errno::ELIBBAD)?;
            let segments = read_segments(&**file, &header, entry_size).ok_or(Errno::ELIBBAD)?;
            Some((file, header, segments))
        }
    };
    let (low, len, align) = span(&segments).ok_or(LoadError::Fatal)?;
    let mut plan = Plan {
        exec_stack: segments.iter().rfind(|s| s.kind == PT_GNU_STACK).is_some_and(|s| s.flags & PF_X != 0),
        phnum: u64::from(header.phnum),
        ..Plan::default()
    };
    let (bias, limit) = match (header.kind, &interpreter) {
        (ET_EXEC, _) => (0, (MIN_ADDR, IMAGE_TOP)),
        (_, Some(_)) => (bias_for(PIE_BASE + jitter(request, 0, 1 << 40), low, align), (MIN_ADDR, IMAGE_TOP)),
        (_, None) => (bias_for(INTERP_BASE + jitter(request, 0, 1 << 38), low, align), (INTERP_BASE, INTERP_TOP)),
    };
    if len > limit.1 - limit.0 {
        return Err(LoadError::Fatal);
    }
    let placed = Placed { segments: &segments, bias, limit };
    let end = placed.map(&mapping, &mut plan.ops)?;
    plan.program_entry = bias.wrapping_add(header.entry);
    plan.entry = plan.program_entry;
    plan.phdr = phdr_address(&segments, &header, bias);
    // A static PIE's break would run into other mappings up there: it starts where a PIE would lie (Linux does so too).
    let brk_base = if header.kind == ET_DYN && interpreter.is_none() { PIE_BASE } else { end };
    plan.brk = page_up(brk_base).ok_or(LoadError::Fatal)? + jitter(request, 2, 0x200_0000);
    if let Some((file, header, segments)) = interpreter {
        plan_interpreter(&**file, &header, &segments, request, &mut plan)?;
    }
    if plan.entry == 0 || plan.entry > bevor_abi::user::USER_TOP {
        return Err(LoadError::Fatal);
    }
    Ok(plan)
}

fn plan_interpreter(
    file: &dyn ExecFile,
    header: &Header,
    segments: &[Segment],
    request: &LoadRequest<'_>,
    plan: &mut Plan,
) -> Result<(), LoadError> {
    let (low, _, align) = span(segments).ok_or(LoadError::Fatal)?;
    let bias = match header.kind {
        ET_EXEC => 0,
        _ => bias_for(INTERP_BASE + jitter(request, 1, 1 << 39), low, align),
    };
    let limit = if bias == 0 { (MIN_ADDR, IMAGE_TOP) } else { (INTERP_BASE, INTERP_TOP) };
    let mapping = file.mapping().map_err(|_| LoadError::Fatal)?;
    Placed { segments, bias, limit }.map(&mapping, &mut plan.ops)?;
    plan.base = bias;
    plan.entry = bias.wrapping_add(header.entry);
    Ok(())
}

fn phdr_address(segments: &[Segment], header: &Header, bias: u64) -> u64 {
    if let Some(s) = segments.iter().find(|s| s.kind == PT_PHDR) {
        return bias.wrapping_add(s.vaddr);
    }
    segments
        .iter()
        .find(|s| s.kind == PT_LOAD && s.offset <= header.phoff && header.phoff - s.offset < s.filesz)
        .map_or(0, |s| bias.wrapping_add(s.vaddr).wrapping_add(header.phoff - s.offset))
}

/// AT_PHENT.
#[must_use]
pub fn phdr_size() -> u64 {
    to_u64(PHDR_SIZE)
}
