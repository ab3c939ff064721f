//! File locks: POSIX (fcntl F_SETLK), open-file-description (F_OFD_SETLK) and BSD (flock(2)).

use std::sync::Arc;

use bevor_abi::Errno;
use parking_lot::Mutex;

use crate::memory::{Kind, MemoryBudget, ObjectCharge, Owner};
use crate::num::to_u64;
use crate::wait::{PollEvents, WaitQueue};

/// Who owns a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LockOwner {
    /// A process: the identity of its descriptor table.
    Posix(usize),
    /// An open file description.
    File(usize),
}

/// A byte-range lock; `end` is exclusive, `u64::MAX` for "to the end".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangeLock {
    /// Owner.
    pub owner: LockOwner,
    /// The process that F_GETLK reports (-1 for open-file-description locks).
    pub pid: i32,
    /// F_WRLCK (true) or F_RDLCK.
    pub exclusive: bool,
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
}

impl RangeLock {
    fn conflicts(&self, other: &RangeLock) -> bool {
        self.owner != other.owner
            && bevor_abi::mutant!("locks/touching", self.start < other.end, self.start <= other.end)
            && other.start < self.end
            && (other.exclusive || self.exclusive && !bevor_abi::mutated!("locks/read-against-write"))
    }
}

#[derive(Default)]
struct State {
    ranges: Vec<RangeLock>,
    /// flock(2): owner file and whether exclusive.
    flocks: Vec<(usize, bool)>,
    /// What both are counted by; none while there are none.
    charge: Option<ObjectCharge>,
}

impl State {
    /// Makes room for `more` locks.
    fn reserve(&mut self, memory: &Arc<MemoryBudget>, more: usize) -> Result<(), Errno> {
        let bytes = to_u64(self.ranges.len() + self.flocks.len() + more) * Kind::Lock.cost();
        match &mut self.charge {
            Some(charge) => charge.resize(bytes),
            None => {
                self.charge = Some(memory.object_of(Kind::Lock, bytes, Owner::default())?);
                Ok(())
            }
        }
    }

    /// Gives back what is not needed.
    fn settle(&mut self) {
        let count = self.ranges.len() + self.flocks.len();
        if count == 0 {
            *self = Self::default();
            return;
        }
        if self.ranges.capacity() > 64 && self.ranges.len() < self.ranges.capacity() / 4 {
            self.ranges.shrink_to(self.ranges.len() * 2);
        }
        if let Some(charge) = &mut self.charge {
            let bytes = to_u64(count) * Kind::Lock.cost();
            // Less than was reserved: never refused.
            let _ = charge.resize(bytes);
        }
    }
}

/// The locks of one inode.
#[derive(Default)]
pub struct InodeLocks {
    state: Mutex<State>,
    queue: WaitQueue,
}

impl InodeLocks {
    /// Woken (IN) whenever a lock goes away.
    #[must_use]
    pub fn queue(&self) -> &WaitQueue {
        &self.queue
    }

    /// The first lock that `wanted` conflicts with (F_GETLK).
    #[must_use]
    pub fn test(&self, wanted: &RangeLock) -> Option<RangeLock> {
        self.state.lock().ranges.iter().find(|l| l.conflicts(wanted)).copied()
    }

    /// Takes `wanted`, replacing what its owner holds in the range.
    ///
    /// # Errors
    /// EAGAIN if another owner's lock conflicts, ENOLCK if there are too many.
    pub fn set(&self, memory: &Arc<MemoryBudget>, wanted: &RangeLock) -> Result<(), Errno> {
        let mut state = self.state.lock();
        if state.ranges.iter().any(|l| l.conflicts(wanted)) {
            return Err(Errno::EAGAIN);
        }
        // Itself, and a piece more of a lock that it splits.
        state.reserve(memory, 2)?;
        let removed = Self::cut(&mut state.ranges, wanted.owner, wanted.start, wanted.end);
        state.ranges.push(*wanted);
        Self::merge(&mut state.ranges, wanted.owner);
        state.settle();
        drop(state);
        if removed && !bevor_abi::mutated!("locks/downgrade-wake") {
            // A write lock may have become a read lock.
            self.queue.wake(PollEvents::IN);
        }
        Ok(())
    }

    /// Releases what `owner` holds in the range.
    ///
    /// # Errors
    /// ENOLCK if that splits a lock, and there are too many.
    pub fn unlock(&self, memory: &Arc<MemoryBudget>, owner: LockOwner, start: u64, end: u64) -> Result<(), Errno> {
        let mut state = self.state.lock();
        if state.ranges.iter().any(|l| l.owner == owner && l.start < start && l.end > end) {
            state.reserve(memory, 1)?;
        }
        let removed = Self::cut(&mut state.ranges, owner, start, end);
        state.settle();
        drop(state);
        if removed && !bevor_abi::mutated!("locks/unlock-wake") {
            self.queue.wake(PollEvents::IN);
        }
        Ok(())
    }

    /// Releases all that `owner` holds.
    pub fn unlock_all(&self, owner: LockOwner) {
        let mut state = self.state.lock();
        let removed = Self::cut(&mut state.ranges, owner, 0, u64::MAX);
        state.settle();
        drop(state);
        if removed && !bevor_abi::mutated!("locks/exit-wake") {
            self.queue.wake(PollEvents::IN);
        }
    }

    fn cut(ranges: &mut Vec<RangeLock>, owner: LockOwner, start: u64, end: u64) -> bool {
        let mut pieces = Vec::new();
        let before = ranges.len();
        ranges.retain(|l| {
            if l.owner != owner || l.start >= end || l.end <= start {
                return true;
            }
            if l.start < start {
                pieces.push(RangeLock { end: start, ..*l });
            }
            if l.end > end && !bevor_abi::mutated!("locks/split-tail") {
                pieces.push(RangeLock { start: end, ..*l });
            }
            false
        });
        let removed = ranges.len() != before;
        ranges.extend(pieces);
        removed
    }

    fn merge(ranges: &mut Vec<RangeLock>, owner: LockOwner) {
        ranges.sort_by_key(|l| l.start);
        let mut out: Vec<RangeLock> = Vec::with_capacity(ranges.len());
        let mut last_own = usize::MAX;
        for lock in ranges.drain(..) {
            if lock.owner == owner {
                if let Some(last) = out.get_mut(last_own).filter(|p| {
                    (p.exclusive == lock.exclusive || bevor_abi::mutated!("locks/merge-kinds")) && p.end >= lock.start
                }) {
                    last.end = last.end.max(lock.end);
                    continue;
                }
                last_own = out.len();
            }
            out.push(lock);
        }
        *ranges = out;
    }

    /// Takes the flock(2) lock for `file`, converting one that it has.
    ///
    /// # Errors
    /// EAGAIN if another file's lock conflicts; a lock that was held is lost then, as on Linux. ENOLCK if there are too many.
    pub fn flock(&self, memory: &Arc<MemoryBudget>, file: usize, exclusive: bool) -> Result<(), Errno> {
        let mut state = self.state.lock();
        if state.flocks.contains(&(file, exclusive)) {
            return Ok(());
        }
        state.reserve(memory, 1)?;
        let before = state.flocks.len();
        if bevor_abi::mutated!("flock/conversion-keeps") && state.flocks.iter().any(|(f, e)| *f != file && (exclusive || *e)) {
            return Err(Errno::EAGAIN);
        }
        state.flocks.retain(|(f, _)| *f != file);
        let dropped = state.flocks.len() != before;
        let conflict = state.flocks.iter().any(|(_, e)| exclusive || *e);
        if !conflict {
            state.flocks.push((file, exclusive));
        }
        state.settle();
        drop(state);
        if dropped && !bevor_abi::mutated!("flock/convert-wake") {
            self.queue.wake(PollEvents::IN);
        }
        if conflict { Err(Errno::EAGAIN) } else { Ok(()) }
    }

    /// Releases the flock(2) lock of `file`.
    pub fn funlock(&self, file: usize) {
        let mut state = self.state.lock();
        let before = state.flocks.len();
        state.flocks.retain(|(f, _)| *f != file);
        let dropped = state.flocks.len() != before;
        state.settle();
        drop(state);
        if dropped && !bevor_abi::mutated!("flock/unlock-wake") {
            self.queue.wake(PollEvents::IN);
        }
    }

    /// Releases everything of an open file description that goes away.
    pub fn release_file(&self, file: usize) {
        self.funlock(file);
        self.unlock_all(LockOwner::File(file));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(owner: usize, exclusive: bool, start: u64, end: u64) -> RangeLock {
        RangeLock { owner: LockOwner::Posix(owner), pid: 1, exclusive, start, end }
    }

    #[test]
    fn unlocking_the_middle_splits_a_range_lock() {
        let (locks, memory) = (InodeLocks::default(), MemoryBudget::unlimited());
        locks.set(&memory, &lock(1, true, 0, 100)).unwrap();
        locks.unlock(&memory, LockOwner::Posix(1), 40, 60).unwrap();
        assert_eq!(locks.set(&memory, &lock(2, true, 40, 60)), Ok(()));
        assert_eq!(locks.set(&memory, &lock(2, true, 30, 41)), Err(Errno::EAGAIN));
        assert_eq!(locks.test(&lock(2, false, 60, 61)).map(|l| (l.start, l.end)), Some((60, 100)));
    }

    #[test]
    fn adjacent_locks_of_one_owner_are_merged() {
        let (locks, memory) = (InodeLocks::default(), MemoryBudget::unlimited());
        locks.set(&memory, &lock(1, true, 0, 10)).unwrap();
        locks.set(&memory, &lock(1, true, 10, 20)).unwrap();
        assert_eq!(locks.test(&lock(2, false, 0, 1)).map(|l| l.end), Some(20));
    }

    #[test]
    fn flock_conversion_that_fails_loses_the_lock() {
        let (locks, memory) = (InodeLocks::default(), MemoryBudget::unlimited());
        locks.flock(&memory, 1, false).unwrap();
        locks.flock(&memory, 2, false).unwrap();
        assert_eq!(locks.flock(&memory, 1, true), Err(Errno::EAGAIN));
        assert_eq!(locks.flock(&memory, 2, true), Ok(()));
    }

    #[test]
    fn locks_are_counted_split_and_given_back() {
        // Two locks at most: a quarter of it is theirs.
        let (locks, memory) = (InodeLocks::default(), MemoryBudget::with_objects(0, Kind::Lock.cost() * 8));
        locks.set(&memory, &lock(1, true, 0, 100)).unwrap();
        assert_eq!(locks.set(&memory, &lock(1, true, 200, 300)), Err(Errno::ENOLCK), "what it might split counts");
        locks.unlock(&memory, LockOwner::Posix(1), 10, 20).unwrap();
        assert_eq!(memory.objects_used(Kind::Lock), 2 * Kind::Lock.cost());
        assert_eq!(locks.unlock(&memory, LockOwner::Posix(1), 40, 50), Err(Errno::ENOLCK), "that would be a third");
        assert_eq!(locks.flock(&memory, 1, true), Err(Errno::ENOLCK));
        locks.unlock_all(LockOwner::Posix(1));
        assert_eq!(memory.objects_used(Kind::Lock), 0);
        locks.flock(&memory, 1, true).unwrap();
        locks.release_file(1);
        assert_eq!(memory.objects_used(Kind::Lock), 0);
    }

    #[test]
    fn locks_of_others_between_are_left_alone() {
        let (locks, memory) = (InodeLocks::default(), MemoryBudget::unlimited());
        locks.set(&memory, &lock(1, false, 0, 10)).unwrap();
        locks.set(&memory, &lock(2, false, 5, 15)).unwrap();
        locks.set(&memory, &lock(1, false, 10, 20)).unwrap();
        assert_eq!(locks.test(&lock(2, true, 0, 100)).map(|l| (l.start, l.end)), Some((0, 20)));
        assert_eq!(locks.test(&lock(1, true, 0, 100)).map(|l| (l.start, l.end)), Some((5, 15)));
    }
}
