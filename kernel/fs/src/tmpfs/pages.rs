//! Which pages of a file are counted in the sandbox's memory.

use std::sync::Arc;

use bevor_abi::Errno;
use bevor_core::memory::MemoryBudget;
use bevor_core::num::to_u64;
use bevor_core::vfs::HostInode;
use bevor_hostcall::FdWatch;
use rustc_hash::FxHashMap;

/// Bytes of a page.
pub(super) const PAGE: u64 = 4096;

/// The pages of one file that are paid for; they are given back when it goes.
///
/// A page is counted when it is first written or allocated. Once an application maps the file all of it is counted, holes too,
/// because a touch of the mapping fills them without a word to the sentry.
pub(super) struct Pages {
    memory: Arc<MemoryBudget>,
    /// Pages 0 to 63, a bit each.
    first: u64,
    /// Further groups of 64 pages, by number.
    groups: FxHashMap<u64, u64>,
    /// How many are counted.
    count: u64,
    /// All of the file is counted, whatever `first` and `groups` say.
    whole: bool,
}

/// Bits of the pages `start..end` (end exclusive) inside of group `group`.
fn mask(group: u64, start: u64, end: u64) -> u64 {
    let base = group * 64;
    let (from, to) = (start.max(base) - base, end.min(base + 64) - base);
    if to - from == 64 { u64::MAX } else { ((1 << (to - from)) - 1) << from }
}

/// The groups that the pages `start..end` lie in.
fn groups(start: u64, end: u64) -> std::ops::Range<u64> {
    if start >= end { 0..0 } else { start / 64..end.div_ceil(64) }
}

impl Pages {
    pub(super) fn new(memory: &Arc<MemoryBudget>) -> Self {
        Self { memory: Arc::clone(memory), first: 0, groups: FxHashMap::default(), count: 0, whole: false }
    }

    /// What they are counted in.
    pub(super) fn memory(&self) -> &MemoryBudget {
        &self.memory
    }

    /// How many are counted.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    fn bits(&self, group: u64) -> u64 {
        if group == 0 { self.first } else { self.groups.get(&group).copied().unwrap_or(0) }
    }

    fn set_bits(&mut self, group: u64, bits: u64) {
        if group == 0 {
            self.first = bits;
        } else if bits == 0 {
            self.groups.remove(&group);
        } else {
            self.groups.insert(group, bits);
        }
    }

    /// Counts the pages of `from..to`, as many from the start as there is memory for; returns up to where.
    pub(super) fn charge(&mut self, from: u64, to: u64) -> Result<u64, Errno> {
        let (start, end) = (from / PAGE, to.div_ceil(PAGE));
        if self.whole {
            return Ok(to);
        }
        for group in groups(start, end) {
            let old = self.bits(group);
            let missing = mask(group, start, end) & !old;
            if missing == 0 {
                continue;
            }
            let number = u64::from(missing.count_ones());
            if self.memory.charge(number * PAGE).is_ok() {
                self.count += number;
                self.set_bits(group, old | missing);
                continue;
            }
            // Page by page to where it ends.
            let mut bits = old;
            for page in (0..64).filter(|page| missing & (1 << page) != 0) {
                if let Err(errno) = self.memory.charge(PAGE) {
                    self.set_bits(group, bits);
                    let reached = (group * 64 + page) * PAGE;
                    return if reached <= from { Err(errno) } else { Ok(reached.min(to)) };
                }
                self.count += 1;
                bits |= 1 << page;
            }
            self.set_bits(group, bits);
        }
        Ok(to)
    }

    /// Counts all pages of `from..to`, or none more.
    pub(super) fn charge_all(&mut self, from: u64, to: u64) -> Result<(), Errno> {
        let (start, end) = (from / PAGE, to.div_ceil(PAGE));
        if self.whole {
            return Ok(());
        }
        if end - start > self.memory.limit() / PAGE {
            return Err(Errno::ENOSPC);
        }
        let missing = |group: u64| mask(group, start, end) & !self.bits(group);
        let number: u64 = groups(start, end).map(|group| u64::from(missing(group).count_ones())).sum();
        self.memory.charge(number * PAGE)?;
        self.count += number;
        for group in groups(start, end) {
            self.set_bits(group, self.bits(group) | mask(group, start, end));
        }
        Ok(())
    }

    /// Counts every page of a file of `size` bytes, now and as it grows.
    pub(super) fn charge_whole(&mut self, size: u64) -> Result<(), Errno> {
        let wanted = size.div_ceil(PAGE);
        if wanted > self.count {
            self.memory.charge((wanted - self.count) * PAGE)?;
            self.count = wanted;
        }
        self.whole = true;
        self.first = 0;
        self.groups = FxHashMap::default();
        Ok(())
    }

    /// Gives back the whole pages of a hole `from..to`.
    pub(super) fn punch(&mut self, from: u64, to: u64) {
        let (start, end) = (from.div_ceil(PAGE), to / PAGE);
        if self.whole || start >= end {
            return;
        }
        let range = groups(start, end);
        if range.start == 0 {
            self.drop_bits(0, mask(0, start, end));
        }
        let present: Vec<u64> = if range.end - range.start > to_u64(self.groups.len()) {
            self.groups.keys().copied().filter(|group| range.contains(group)).collect()
        } else {
            range.filter(|group| *group != 0).collect()
        };
        for group in present {
            self.drop_bits(group, mask(group, start, end));
        }
    }

    fn drop_bits(&mut self, group: u64, gone: u64) {
        let old = self.bits(group);
        self.set_bits(group, old & !gone);
        self.give_back(u64::from((old & gone).count_ones()));
    }

    fn give_back(&mut self, pages: u64) {
        self.count -= pages;
        self.memory.release(pages * PAGE);
    }

    /// Gives back what lies behind `size`.
    pub(super) fn truncate(&mut self, size: u64) {
        if self.whole {
            self.give_back(self.count - self.count.min(size.div_ceil(PAGE)));
        } else {
            self.punch(size.next_multiple_of(PAGE), u64::MAX);
        }
    }

    /// From `at` on, before `end`: whether there is data, and up to where that goes on.
    pub(super) fn run(&self, at: u64, end: u64) -> (bool, u64) {
        if self.whole {
            return (true, end);
        }
        let (start, last) = (at / PAGE, end.div_ceil(PAGE));
        let data = self.bits(start / 64) & (1 << (start % 64)) != 0;
        let range = groups(start, last);
        // A hole may be larger than all data.
        let next = (!data && range.end - range.start > to_u64(self.groups.len()) + 2)
            .then(|| self.groups.keys().copied().filter(|group| *group > start / 64).min().unwrap_or(u64::MAX));
        for group in [start / 64].into_iter().chain(next.unwrap_or(start / 64 + 1)..range.end) {
            let bits = self.bits(group);
            let other = mask(group, start, last) & if data { !bits } else { bits };
            if other != 0 {
                let at = (group * 64 + u64::from(other.trailing_zeros())) * PAGE;
                return (data, at.min(end));
            }
        }
        (data, end)
    }

    /// The file goes, but applications may still map it.
    pub(super) fn abandon(&mut self, file: HostInode, fds: Vec<FdWatch>) {
        self.memory.abandon(file, self.count * PAGE, fds);
        self.count = 0;
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.memory.release(self.count * PAGE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages(limit: u64) -> (Arc<MemoryBudget>, Pages) {
        let memory = MemoryBudget::new(limit * PAGE);
        let pages = Pages::new(&memory);
        (memory, pages)
    }

    #[test]
    fn a_page_counts_once_and_comes_back_with_the_file() {
        let (memory, mut pages) = pages(1000);
        assert_eq!(pages.charge(1, 2), Ok(2));
        assert_eq!(pages.charge(0, 4097), Ok(4097));
        assert_eq!(pages.charge(63 * PAGE, 65 * PAGE), Ok(65 * PAGE));
        assert_eq!((pages.count(), memory.used()), (4, 4 * PAGE));
        drop(pages);
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn what_does_not_fit_is_cut_at_a_page() {
        let (memory, mut pages) = pages(70);
        assert_eq!(pages.charge(10, 100 * PAGE), Ok(70 * PAGE));
        assert_eq!(pages.charge(70 * PAGE, 71 * PAGE), Err(Errno::ENOSPC));
        assert_eq!(pages.charge(69 * PAGE + 5, 71 * PAGE), Ok(70 * PAGE));
        assert_eq!(memory.used(), 70 * PAGE);
    }

    #[test]
    fn an_allocation_is_all_or_nothing() {
        let (memory, mut pages) = pages(70);
        pages.charge(5 * PAGE, 6 * PAGE).unwrap();
        assert_eq!(pages.charge_all(0, 71 * PAGE), Err(Errno::ENOSPC));
        assert_eq!(pages.charge_all(0, u64::MAX >> 1), Err(Errno::ENOSPC));
        assert_eq!(memory.used(), PAGE);
        assert_eq!(pages.charge_all(0, 70 * PAGE), Ok(()));
        assert_eq!(memory.used(), 70 * PAGE);
    }

    #[test]
    fn holes_give_back_whole_pages_only() {
        let (_, mut pages) = pages(1000);
        pages.charge(0, 200 * PAGE).unwrap();
        pages.punch(1, PAGE);
        assert_eq!(pages.count(), 200);
        pages.punch(1, 3 * PAGE + 5);
        assert_eq!(pages.count(), 198);
        assert_eq!(pages.run(0, 300 * PAGE), (true, PAGE));
        assert_eq!(pages.run(PAGE, 300 * PAGE), (false, 3 * PAGE));
        assert_eq!(pages.run(3 * PAGE + 7, 300 * PAGE), (true, 200 * PAGE));
        assert_eq!(pages.run(201 * PAGE, 300 * PAGE), (false, 300 * PAGE));
        pages.truncate(100 * PAGE + 1);
        assert_eq!(pages.count(), 99);
        pages.charge(1 << 50, (1 << 50) + 1).unwrap();
        assert_eq!(pages.run(500 * PAGE, 1 << 62), (false, 1 << 50));
        assert_eq!(pages.run(1 << 50, 1 << 62), (true, (1 << 50) + PAGE));
        pages.truncate(0);
        assert_eq!(pages.count(), 0);
    }

    #[test]
    fn a_mapped_file_counts_with_its_holes() {
        let (memory, mut pages) = pages(100);
        pages.charge(5 * PAGE, 6 * PAGE).unwrap();
        assert_eq!(pages.charge_whole(101 * PAGE), Err(Errno::ENOSPC));
        assert_eq!(memory.used(), PAGE);
        pages.charge_whole(100 * PAGE).unwrap();
        pages.punch(0, 50 * PAGE);
        assert_eq!(memory.used(), 100 * PAGE);
        pages.truncate(10 * PAGE);
        assert_eq!(memory.used(), 10 * PAGE);
        pages.abandon(((0, 1), 7), vec![bevor_hostcall::fd::memfd(c"test").unwrap().watch()]);
        drop(pages);
        assert_eq!(memory.used(), 10 * PAGE, "somebody may have it mapped");
    }
}
