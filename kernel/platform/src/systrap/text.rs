//! Program text whose call sites are patched already: a copy of a file's executable segment, made once in a sandbox, which every later process
//! maps in the file's place, with the trampolines at a fixed distance below. A short program then makes its libc's calls without a single trap.
//!
//! - Sites are recognised by byte sequences that compilers make of a system call, where decoding from far enough before agrees that an
//!   instruction begins there ([`plans`]); what is not recognised traps and is patched as ever. So are `cpuid`s whose answer is known.
//! - **A copy is sealed before anybody gets it**: it is the text of processes that need not trust each other.
//! - It stands for one version of the file (device, inode, size, times) that has not been changed for a while, and only for private, executable
//!   mappings at addresses that the caller chose.
//! - `/proc/PID/maps` shows the file and not the copy.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bevor_hostcall::file::{self, HostStat};
use bevor_hostcall::{HostFd, clock};
use bevor_stub::layout as l;
use iced_x86::{Decoder, DecoderError, DecoderOptions, Instruction};
use parking_lot::Mutex;

use super::cpuid::{self, Answer};
use super::patch::{EXIT, Plan, write_all};
use super::pool::Pool;
use super::sys;
use crate::api::{FileMapping, Mapping, MmapOp};
use crate::defence::Defences;

const PAGE: u64 = 4096;
/// How far below its text a copy's trampolines are: clear of what is mapped below libraries, and of the areas for single patches. As with
/// those, the jumps' last byte is an invalid opcode (d4).
pub(crate) const DISTANCE: u64 = 0x2b40_0000;
/// Below are programs at fixed addresses and their heaps: no place for trampolines.
const LOW_END: u64 = 1 << 32;
/// Larger segments are not copied, and all copies together are no larger than this, those that processes keep alone included.
const TEXT_MAX: u64 = 8 << 20;
const ALL_MAX: u64 = 64 << 20;
/// Files that are remembered.
const FILES_MAX: usize = 256;
/// Mappings of a text before it is copied.
const MAPPED_OFTEN: u32 = 2;
/// A file that was changed more recently than this, in seconds, may change again without its times telling.
const SETTLED_S: i64 = 2;
/// Copies that one process may map.
const SPACE_MAX: usize = 64;
/// Identities of copies among those of [`FileMapping`]s, which are smaller.
const COPY_ID: u64 = 1 << 63;
/// Where the scanned text is thought to lie; only distances matter.
const SCAN_BASE: u64 = 0x7000_0000_0000;
/// Trampolines are laid out in areas of this many bytes: over one, the jump's second byte takes every value.
const AREA: u64 = 0x1_0000;
/// More of them are not tried.
const AREAS: usize = 16;

/// rt_sigreturn(2), whose site unwinders know by its bytes, and sched_yield(2), which may be the host's.
const LEFT_ALONE: [u32; 2] = [15, 24];
const NR_END: u32 = 1024;
/// Decoding begins at each of the bytes from `FROM` to `TO` before a window: what has not met a code that is none has found the true
/// instructions by then. At least `SURE` attempts must get so far.
const FROM: usize = 72;
const TO: usize = 32;
const SURE: usize = 8;
/// Sites patched in one text, and places looked at: far more than a library has. A program can write text that is nothing else.
const SITES_MAX: usize = 4096;
const LOOKED_AT_MAX: usize = 4 * SITES_MAX;
/// No window is longer than this.
const WINDOW_MAX: u64 = 24;

/// A patched copy of a text segment.
pub(crate) struct Text {
    fd: HostFd,
    id: u64,
    copy: ((u32, u32), u64),
    original: ((u32, u32), u64),
    /// The segment's offset in the original.
    offset: u64,
    /// Bytes of trampolines, which stand before the text in the copy.
    trampolines: u64,
    _room: Room,
}

/// A copy's share of [`ALL_MAX`].
struct Room {
    taken: Arc<AtomicU64>,
    bytes: u64,
}

impl Room {
    fn take(taken: &Arc<AtomicU64>, bytes: u64) -> Option<Self> {
        let room = Self { taken: Arc::clone(taken), bytes };
        (taken.fetch_add(bytes, Ordering::Relaxed) + bytes <= ALL_MAX).then_some(room)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Text")
    }
}

impl Text {
    fn file(&self) -> Option<FileMapping> {
        Some(FileMapping { fd: self.fd.clone(), id: self.id })
    }

    /// The mapping of the copy's text in place of `op`.
    pub(crate) fn stand_in(&self, op: &MmapOp) -> MmapOp {
        MmapOp { file: self.file(), offset: self.trampolines, ..*op }
    }

    /// The mapping of its trampolines below text at `addr`.
    pub(crate) fn trampolines_op(&self, addr: u64) -> MmapOp {
        MmapOp {
            addr: addr - DISTANCE,
            len: self.trampolines,
            prot: libc::PROT_READ | libc::PROT_EXEC,
            flags: libc::MAP_PRIVATE | libc::MAP_FIXED_NOREPLACE,
            file: self.file(),
            offset: 0,
        }
    }

    /// What a mapping of the copy is shown as: the original's text, or (trampolines) memory without a file.
    pub(crate) fn disguise(&self, m: &mut Mapping) -> bool {
        if (m.dev, m.inode) != self.copy {
            return false;
        }
        if m.offset < self.trampolines {
            (m.dev, m.inode, m.offset) = ((0, 0), 0, 0);
        } else {
            (m.dev, m.inode) = self.original;
            m.offset = m.offset - self.trampolines + self.offset;
        }
        true
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    dev: u64,
    ino: u64,
    offset: u64,
    len: u64,
}

/// What tells one state of a file from another.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Version {
    size: u64,
    mtime: (i64, i64),
    ctime: (i64, i64),
}

enum Copy {
    /// Mapped so many times.
    Mapped(u32),
    /// Somebody is making it.
    Begun,
    Made(Arc<Text>),
    /// There is nothing to patch, or it could not be made.
    None,
}

struct Entry {
    version: Version,
    copy: Copy,
    used: u64,
}

/// A sandbox's copies.
#[derive(Default)]
pub(crate) struct TextCache {
    defences: Defences,
    entries: Mutex<HashMap<Key, Entry>>,
    clock: AtomicU64,
    next_id: AtomicU64,
    /// Bytes of all copies that there are.
    taken: Arc<AtomicU64>,
}

impl TextCache {
    pub(crate) fn new(defences: &Defences) -> Self {
        Self { defences: defences.clone(), ..Self::default() }
    }

    /// The copy to be mapped in place of `op`, if there is one by now. One that is worth it is made by `pool`.
    pub(crate) fn find(self: &Arc<Self>, op: &MmapOp, pool: &Pool) -> Option<Arc<Text>> {
        let file = op.file.as_ref()?;
        let fixed = op.flags & (libc::MAP_FIXED | libc::MAP_FIXED_NOREPLACE) != 0;
        let private = op.flags & libc::MAP_TYPE == libc::MAP_PRIVATE;
        if op.prot != libc::PROT_READ | libc::PROT_EXEC || !fixed || !private || file.id == 0 {
            return None;
        }
        // A segment at the file's start holds headers and constants beside code.
        if op.offset == 0 || op.len == 0 || op.len > TEXT_MAX || !op.addr.is_multiple_of(PAGE) || op.addr < LOW_END {
            return None;
        }
        let stat = file::fstat(&file.fd).ok()?;
        let key = Key { dev: stat.dev, ino: stat.ino, offset: op.offset, len: op.len.next_multiple_of(PAGE) };
        if key.offset.checked_add(key.len)? > stat.size.next_multiple_of(PAGE) {
            return None;
        }
        let version = Version { size: stat.size, mtime: stat.mtime, ctime: stat.ctime };
        if !self.note(key, version, &stat)? {
            return self.made(&key);
        }
        // It takes a while: this mapping does without.
        let (me, fd) = (Arc::clone(self), file.fd.clone());
        pool.spawn(Box::new(move || me.make_now(&fd, key, version, &stat)));
        None
    }

    fn make_now(&self, fd: &HostFd, key: Key, version: Version, stat: &HostStat) {
        let text = self.make(fd, key, stat).map(Arc::new);
        // It may have changed while it was read.
        let same = file::fstat(fd).is_ok_and(|s| (s.size, s.mtime, s.ctime) == (version.size, version.mtime, version.ctime));
        if let Some(entry) = self.entries.lock().get_mut(&key).filter(|e| e.version == version) {
            entry.copy = text.filter(|_| same).map_or(Copy::None, Copy::Made);
        }
    }

    fn made(&self, key: &Key) -> Option<Arc<Text>> {
        match &self.entries.lock().get(key)?.copy {
            Copy::Made(text) => Some(Arc::clone(text)),
            _ => None,
        }
    }

    /// Counts a mapping. True if the caller is to have the copy made; `None` if there is to be none.
    fn note(&self, key: Key, version: Version, stat: &HostStat) -> Option<bool> {
        let now = self.clock.fetch_add(1, Ordering::Relaxed);
        let mut entries = self.entries.lock();
        let entry = entries.entry(key).or_insert(Entry { version, copy: Copy::Mapped(0), used: now });
        if entry.version != version {
            *entry = Entry { version, copy: Copy::Mapped(0), used: now };
        }
        entry.used = now;
        let begin = match &mut entry.copy {
            Copy::Made(_) => return Some(false),
            Copy::Begun | Copy::None => return None,
            Copy::Mapped(times) => {
                *times += 1;
                *times >= MAPPED_OFTEN && is_settled(stat)
            }
        };
        if begin {
            entry.copy = Copy::Begun;
        }
        if begin || entries.len() > FILES_MAX {
            make_room(&mut entries, key);
        }
        begin.then_some(true)
    }

    fn make(&self, fd: &HostFd, key: Key, stat: &HostStat) -> Option<Text> {
        let room = Room::take(&self.taken, key.len)?;
        let mut code = vec![0; usize::try_from(key.len).ok()?];
        let mut got = 0;
        while got < code.len() {
            match file::pread(fd, &mut code[got..], key.offset + u64::try_from(got).ok()?) {
                Ok(0) => break,
                Ok(n) => got += n,
                Err(_) => return None,
            }
        }
        let trampolines = patch(&mut code)?;
        let bytes = u64::try_from(trampolines.len()).ok()?;
        let fd = bevor_hostcall::fd::memfd(c"bevor-text").ok()?;
        write_all(&fd, 0, &trampolines)?;
        write_all(&fd, bytes, &code)?;
        sys::seal_for_good(&fd, &self.defences).ok()?;
        let copy = file::fstat(&fd).ok()?;
        let public = if stat.mode & 0o004 == 0 { 0 } else { FileMapping::FOR_EVERYBODY };
        Some(Text {
            fd,
            id: COPY_ID | public | self.next_id.fetch_add(1, Ordering::Relaxed),
            copy: (device(copy.dev), copy.ino),
            original: (device(stat.dev), stat.ino),
            offset: key.offset,
            trampolines: bytes,
            _room: room,
        })
    }
}

/// Forgets what was used longest ago, beside `kept`, until the rest is within bounds. (Who has mapped a copy keeps it, and its [`Room`].)
fn make_room(entries: &mut HashMap<Key, Entry>, kept: Key) {
    let bytes = |e: &HashMap<Key, Entry>| -> u64 {
        e.iter().filter(|(_, e)| matches!(e.copy, Copy::Made(_) | Copy::Begun)).map(|(k, _)| k.len).sum()
    };
    while entries.len() > FILES_MAX || bytes(entries) > ALL_MAX {
        let oldest = entries.iter().filter(|(k, _)| **k != kept).min_by_key(|(_, e)| e.used).map(|(k, _)| *k);
        match oldest {
            Some(key) => entries.remove(&key),
            None => return,
        };
    }
}

fn is_settled(stat: &HostStat) -> bool {
    let now = i64::try_from(clock::realtime() / 1_000_000_000).unwrap_or(0);
    stat.mtime.0.max(stat.ctime.0).saturating_add(SETTLED_S) < now
}

fn device(dev: u64) -> (u32, u32) {
    (libc::major(dev), libc::minor(dev))
}

/// What becomes a jump to a trampoline.
enum Site {
    Call(Plan),
    Cpuid(Answer),
}

impl Site {
    fn is_choosy(&self) -> bool {
        matches!(self, Self::Call(plan) if plan.is_choosy())
    }

    fn window(&self) -> u64 {
        match self {
            Self::Call(plan) => plan.window(),
            Self::Cpuid(answer) => answer.window(),
        }
    }

    fn fits(&self, target: u64) -> bool {
        match self {
            Self::Call(plan) => plan.fits(target),
            Self::Cpuid(_) => true,
        }
    }

    fn jump(&self, target: u64) -> Option<Vec<u8>> {
        match self {
            Self::Call(plan) => plan.jump(target),
            Self::Cpuid(answer) => answer.jump(target).map(Vec::from),
        }
    }

    fn trampoline(&self, header: u64) -> Option<Vec<u8>> {
        match self {
            Self::Call(plan) => plan.trampoline(header),
            Self::Cpuid(answer) => answer.trampoline(header),
        }
    }
}

/// The calls in `code` and, if there are any, the other sites.
fn sites(code: &[u8]) -> Vec<Site> {
    let plans = plans(code);
    if plans.is_empty() {
        return Vec::new();
    }
    let mut answers = cpuid::find(code, SCAN_BASE, |at| is_instruction(code, at));
    // Windows must not overlap: what looks like both, in text that was written for it, is left to the call.
    answers.retain(|a| !plans.iter().any(|p| p.window().abs_diff(a.window()) < WINDOW_MAX));
    let mut sites: Vec<Site> = plans.into_iter().map(Site::Call).chain(answers.into_iter().map(Site::Cpuid)).collect();
    // Those for which few places do come first; the others fill the gaps.
    sites.sort_by_key(|s| !s.is_choosy());
    sites
}

/// Patches `code`, whose trampolines will lie [`DISTANCE`] below it; returns them. `None`: there is nothing to patch.
fn patch(code: &mut [u8]) -> Option<Vec<u8>> {
    let sites = sites(code);
    let base = SCAN_BASE - DISTANCE;
    let slots = usize::try_from(AREA / l::TRAMPOLINE_SIZE).ok()?;
    let mut used: Vec<bool> = Vec::new();
    let mut out: Vec<u8> = Vec::new();
    for site in &sites {
        let mut at = 0;
        let header = loop {
            if at == used.len() {
                used.resize(used.len() + slots, false);
            }
            let header = base + u64::try_from(at).ok()? * l::TRAMPOLINE_SIZE;
            if !used[at] && site.fits(header + l::TRAMPOLINE_CODE) {
                break Some(header);
            }
            at += 1;
            if at > AREAS * slots {
                break None;
            }
        };
        // There are more sites of its kind than places.
        let Some(header) = header else { continue };
        used[at] = true;
        let trampoline = site.trampoline(header)?;
        let start = usize::try_from(header - base).ok()?;
        let end = start + trampoline.len();
        if out.len() < end {
            out.resize(end.next_multiple_of(4096), 0);
        }
        out[start..end].copy_from_slice(&trampoline);
        let window = usize::try_from(site.window() - SCAN_BASE).ok()?;
        let bytes = site.jump(header + l::TRAMPOLINE_CODE)?;
        code.get_mut(window..window + bytes.len())?.copy_from_slice(&bytes);
    }
    (!out.is_empty()).then_some(out)
}

/// The call sites in `code` that are what they look like: a number moved to eax right before the call, libc's `syscall()`, or a call whose
/// result is compared with the range of errors right after it. The same bytes are found in constants of programs that write code.
fn plans(code: &[u8]) -> Vec<Plan> {
    let mut found = Vec::new();
    let mut end_of_last = 0;
    let (mut from, mut looked_at) = (0, 0);
    while let Some(at) = code[from..].windows(2).position(|w| w == [0x0f, 0x05]).map(|i| i + from) {
        from = at + 2;
        let (before, after) = (&code[..at], &code[at + 2..]);
        let moved = number_moved(before);
        let (len_before, len_after) = match moved {
            Some((_, nr)) if LEFT_ALONE.contains(&nr) => continue,
            Some((len, _)) => (len, 0),
            None if before.ends_with(&[0x4c, 0x8b, 0x4c, 0x24, 0x08]) => (5, 0),
            None if before.ends_with(&EXIT) => (EXIT.len(), 0),
            None if after.starts_with(&[0x48, 0x3d]) && matches!(after.get(2..6), Some([0 | 1, 0xf0, 0xff, 0xff])) => (0, 6),
            None => continue,
        };
        looked_at += 1;
        if found.len() == SITES_MAX || looked_at > LOOKED_AT_MAX {
            break;
        }
        let start = at - len_before;
        let Ok(site) = u64::try_from(at + 2) else { break };
        if start >= end_of_last
            && is_instruction(code, start)
            && let Some(plan) = Plan::of_parts(SCAN_BASE + site, &before[start..], &after[..len_after])
        {
            end_of_last = at + 2 + len_after;
            found.push(plan);
        }
    }
    found
}

/// Whether an instruction begins at `at`: all ways to decode what comes before lead there, but for those that make no sense.
fn is_instruction(code: &[u8], at: usize) -> bool {
    let Some(first) = at.checked_sub(FROM) else { return false };
    let mut decoder = Decoder::new(64, &code[first..at], DecoderOptions::NONE);
    let mut instruction = Instruction::default();
    // Whether the way from each byte on leads there or past it, from the last to the first; `None`: to what is no instruction.
    let mut leads = [None; FROM + 1];
    leads[FROM] = Some(true);
    for from in (0..FROM).rev() {
        if decoder.set_position(from).is_ok() {
            decoder.decode_out(&mut instruction);
            // One that does not end before `at` is not decoded whole.
            leads[from] = match decoder.last_error() {
                DecoderError::None => leads.get(from + instruction.len()).copied().flatten(),
                DecoderError::NoMoreBytes => Some(false),
                _ => None,
            };
        }
    }
    let ways = &leads[..FROM - TO];
    ways.iter().filter(|w| **w == Some(true)).count() >= SURE && !ways.contains(&Some(false))
}

/// `mov $nr, %eax` or `mov $nr, %rax` at the end of `code`: its length and the number.
fn number_moved(code: &[u8]) -> Option<(usize, u32)> {
    let (rest, imm) = code.split_last_chunk::<4>()?;
    let nr = u32::from_le_bytes(*imm);
    if nr >= NR_END {
        return None;
    }
    if rest.ends_with(&[0x48, 0xc7, 0xc0]) {
        return Some((7, nr));
    }
    rest.ends_with(&[0xb8]).then_some((5, nr))
}

/// Copies that an address space maps, with the addresses of their trampolines.
#[derive(Clone, Debug, Default)]
pub(crate) struct SpaceTexts {
    mapped: Vec<(u64, Arc<Text>)>,
    /// There was no room for trampolines once: the process places its memory itself.
    off: bool,
}

impl SpaceTexts {
    /// Whether another copy may be mapped.
    pub(crate) fn more(&self) -> bool {
        !self.off && self.mapped.len() < SPACE_MAX
    }

    /// No more of them.
    pub(crate) fn stop(&mut self) {
        self.off = true;
    }

    /// `text`'s trampolines are about to be mapped at `at`.
    pub(crate) fn add(&mut self, at: u64, text: Arc<Text>) {
        self.mapped.push((at, text));
    }

    /// Whether trampolines lie within these bounds.
    pub(crate) fn within(&self, start: u64, end: u64) -> bool {
        self.mapped.iter().any(|(at, _)| (start..end).contains(at))
    }

    /// Shows what `m` stands for.
    pub(crate) fn disguise(&self, m: &mut Mapping) {
        if m.inode != 0 {
            let _ = self.mapped.iter().any(|(_, text)| text.disguise(m));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GETPID: [u8; 7] = [0xb8, 39, 0, 0, 0, 0x0f, 5];
    const TAIL: [u8; 10] = [0x89, 0xd0, 0x0f, 5, 0x48, 0x3d, 0, 0xf0, 0xff, 0xff];

    fn text(parts: &[&[u8]]) -> Vec<u8> {
        let mut code = vec![0x90; FROM];
        for part in parts {
            code.extend_from_slice(part);
            code.push(0xc3);
        }
        code
    }

    #[test]
    fn sites_are_found_and_become_jumps_to_their_trampolines() {
        let original = text(&[&GETPID, &TAIL]);
        let mut code = original.clone();
        let trampolines = patch(&mut code).expect("two sites");
        assert!(trampolines.len().is_multiple_of(4096));
        for window in [FROM, FROM + GETPID.len() + 3] {
            assert_eq!(code[window], 0xe9, "a jump at {window}");
            let rel = i32::from_le_bytes(code[window + 1..window + 5].try_into().expect("four bytes"));
            let from = SCAN_BASE + u64::try_from(window).expect("small") + 5;
            let code_at = from.wrapping_add_signed(i64::from(rel)) - (SCAN_BASE - DISTANCE);
            let header = usize::try_from(code_at - l::TRAMPOLINE_CODE).expect("below the text");
            assert_eq!(trampolines[header..header + 8], l::TRAMPOLINE_MAGIC.to_le_bytes());
        }
        let changed = |i: usize| code[i] != original[i];
        assert!(
            (0..FROM).chain(FROM + GETPID.len()..FROM + GETPID.len() + 3).all(|i| !changed(i)),
            "nothing around the windows changes"
        );
    }

    #[test]
    fn calls_that_are_not_surely_calls_stay() {
        // sigreturn, sched_yield, a number that is none, no number at all, a cut-off tail.
        let parts: [&[u8]; 5] = [
            &[0x48, 0xc7, 0xc0, 15, 0, 0, 0, 0x0f, 5],
            &[0xb8, 24, 0, 0, 0, 0x0f, 5],
            &[0xb8, 0, 0, 1, 0, 0x0f, 5],
            &[0x31, 0xc0, 0x0f, 5],
            &[0x0f, 5, 0x48, 0x3d, 1],
        ];
        assert_eq!(plans(&text(&parts)), []);
        assert_eq!(patch(&mut text(&parts)), None);
        assert_eq!(plans(&[0x0f, 5]), []);
        assert_eq!(plans(&[]), []);
    }

    #[test]
    fn code_in_a_constant_is_not_code() {
        // movabs $..., %rax
        let mut constant = vec![0x48, 0xb8];
        constant.extend_from_slice(&GETPID);
        constant.push(0xc3);
        assert_eq!(plans(&text(&[&constant, &[0x48, 0x89, 0x07]])), []);
    }

    #[test]
    fn a_thread_s_exit_is_patched_far_below_only() {
        let exit = [0x31, 0xff, 0x89, 0xd0, 0x0f, 5, 0xeb, 0xf8];
        assert!(patch(&mut text(&[&exit])).is_some());
        let near = |i: u64| SCAN_BASE - 0x20_0000 + i * l::TRAMPOLINE_SIZE;
        let plans = plans(&text(&[&exit]));
        assert!(plans.len() == 1 && !(0..512).any(|i| plans[0].fits(near(i))));
    }

    #[test]
    fn windows_do_not_overlap() {
        let mut both = TAIL.to_vec();
        both.extend_from_slice(&GETPID[5..]);
        assert_eq!(plans(&text(&[&both])).len(), 1);
    }

    #[test]
    fn text_of_nothing_but_sites_is_patched_in_part_only() {
        let code = vec![TAIL; 100_000].concat();
        let mut patched = code.clone();
        let trampolines = patch(&mut patched).expect("sites");
        assert!(trampolines.len() <= 64 << 16);
        let end = patched.iter().zip(&code).rposition(|(a, b)| a != b).expect("a patch");
        assert!(end < LOOKED_AT_MAX * TAIL.len() + FROM);
    }

    #[test]
    fn copies_that_processes_keep_take_the_room_of_others() {
        let taken = Arc::default();
        let first = Room::take(&taken, ALL_MAX - 4096).expect("room");
        assert!(Room::take(&taken, 8192).is_none());
        let second = Room::take(&taken, 4096).expect("what did not fit has taken nothing");
        drop((first, second));
        assert_eq!(taken.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn hundreds_of_tails_find_places() {
        let parts: Vec<&[u8]> = std::iter::repeat_n(&TAIL[..], 300).collect();
        let mut code = text(&parts);
        let trampolines = patch(&mut code).expect("sites");
        let count = trampolines.chunks(128).filter(|c| c.starts_with(&l::TRAMPOLINE_MAGIC.to_le_bytes())).count();
        assert_eq!(count, 300);
    }
}
