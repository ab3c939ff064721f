//! File locks: POSIX (fcntl F_SETLK), open-file-description (F_OFD_SETLK) and BSD (flock(2)).

use bevor_abi::Errno;
use parking_lot::Mutex;

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
        self.owner != other.owner && self.start < other.end && other.start < self.end && (self.exclusive || other.exclusive)
    }
}

#[derive(Default)]
struct State {
    ranges: Vec<RangeLock>,
    /// flock(2): owner file and whether exclusive.
    flocks: Vec<(usize, bool)>,
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
    /// EAGAIN if another owner's lock conflicts.
    pub fn set(&self, wanted: &RangeLock) -> Result<(), Errno> {
        let mut state = self.state.lock();
        if state.ranges.iter().any(|l| l.conflicts(wanted)) {
            return Err(Errno::EAGAIN);
        }
        let removed = Self::cut(&mut state.ranges, wanted.owner, wanted.start, wanted.end);
        state.ranges.push(*wanted);
        Self::merge(&mut state.ranges, wanted.owner);
        drop(state);
        if removed {
            // A write lock may have become a read lock.
            self.queue.wake(PollEvents::IN);
        }
        Ok(())
    }

    /// Releases what `owner` holds in the range.
    pub fn unlock(&self, owner: LockOwner, start: u64, end: u64) {
        let removed = Self::cut(&mut self.state.lock().ranges, owner, start, end);
        if removed {
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
            if l.end > end {
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
        for lock in ranges.drain(..) {
            let joined = out
                .iter_mut()
                .rev()
                .find(|p| p.owner == lock.owner)
                .filter(|p| lock.owner == owner && p.exclusive == lock.exclusive && p.end >= lock.start);
            match joined {
                Some(p) => p.end = p.end.max(lock.end),
                None => out.push(lock),
            }
        }
        *ranges = out;
    }

    /// Takes the flock(2) lock for `file`, converting one that it has.
    ///
    /// # Errors
    /// EAGAIN if another file's lock conflicts; a lock that was held is lost then, as on Linux.
    pub fn flock(&self, file: usize, exclusive: bool) -> Result<(), Errno> {
        let mut state = self.state.lock();
        if state.flocks.contains(&(file, exclusive)) {
            return Ok(());
        }
        let before = state.flocks.len();
        state.flocks.retain(|(f, _)| *f != file);
        let dropped = state.flocks.len() != before;
        let conflict = state.flocks.iter().any(|(_, e)| exclusive || *e);
        if !conflict {
            state.flocks.push((file, exclusive));
        }
        drop(state);
        if dropped {
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
        drop(state);
        if dropped {
            self.queue.wake(PollEvents::IN);
        }
    }

    /// Releases everything of an open file description that goes away.
    pub fn release_file(&self, file: usize) {
        self.funlock(file);
        self.unlock(LockOwner::File(file), 0, u64::MAX);
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
        let locks = InodeLocks::default();
        locks.set(&lock(1, true, 0, 100)).unwrap();
        locks.unlock(LockOwner::Posix(1), 40, 60);
        assert_eq!(locks.set(&lock(2, true, 40, 60)), Ok(()));
        assert_eq!(locks.set(&lock(2, true, 30, 41)), Err(Errno::EAGAIN));
        assert_eq!(locks.test(&lock(2, false, 60, 61)).map(|l| (l.start, l.end)), Some((60, 100)));
    }

    #[test]
    fn adjacent_locks_of_one_owner_are_merged() {
        let locks = InodeLocks::default();
        locks.set(&lock(1, true, 0, 10)).unwrap();
        locks.set(&lock(1, true, 10, 20)).unwrap();
        assert_eq!(locks.test(&lock(2, false, 0, 1)).map(|l| l.end), Some(20));
    }

    #[test]
    fn flock_conversion_that_fails_loses_the_lock() {
        let locks = InodeLocks::default();
        locks.flock(1, false).unwrap();
        locks.flock(2, false).unwrap();
        assert_eq!(locks.flock(1, true), Err(Errno::EAGAIN));
        assert_eq!(locks.flock(2, true), Ok(()));
    }
}
