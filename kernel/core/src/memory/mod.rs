//! A bound on the host memory that the sentry keeps for applications: files in memory, pipes, sockets' queues; and, counted
//! apart, the objects that they can make ([`Kind`]).
//!
//! Memory of processes is their own and goes with them; what is counted here would outlive every process that is killed for it. A
//! file that an application has mapped may still be in use after its last descriptor was closed, where the sentry no longer sees it:
//! such files stay counted, [*abandoned*](MemoryBudget::abandon), until a look at the processes shows that none has them.

mod kinds;
mod objects;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bevor_abi::Errno;
use bevor_hostcall::FdWatch;
use parking_lot::Mutex;
use rustc_hash::FxHashSet;

use crate::vfs::HostInode;
pub use kinds::{Kind, PerUser};
use objects::Objects;
pub use objects::{MIN_OBJECT_MEMORY, ObjectCharge, Owner};

/// Says which of some host files a process still maps or holds open.
pub type InUse = Box<dyn Fn(&FxHashSet<HostInode>) -> Result<FxHashSet<HostInode>, Errno> + Send + Sync>;

/// Abandoned files are looked after at the latest when there are this many.
const MANY: usize = 1024;

/// What may be used and what is. Zero costs nothing: charges are rare (a page's first use), never per call.
pub struct MemoryBudget {
    limit: u64,
    used: AtomicU64,
    /// Memory files, each of which costs descriptors, and how many there may be.
    files: AtomicU64,
    max_files: AtomicU64,
    abandoned: Mutex<Abandoned>,
    in_use: OnceLock<InUse>,
    objects: Objects,
}

#[derive(Default)]
struct Abandoned {
    files: Vec<(HostInode, u64, Vec<FdWatch>)>,
    /// How many were still in use at the last look.
    kept: usize,
}

impl MemoryBudget {
    /// A budget of `limit` bytes; objects may take a sixteenth of that besides, but some in any case.
    #[must_use]
    pub fn new(limit: u64) -> Arc<Self> {
        Self::with_objects(limit, (limit / 16).max(MIN_OBJECT_MEMORY))
    }

    /// A budget of `limit` bytes, and of `objects` for objects.
    #[must_use]
    pub fn with_objects(limit: u64, objects: u64) -> Arc<Self> {
        Arc::new(Self {
            limit,
            used: AtomicU64::new(0),
            files: AtomicU64::new(0),
            max_files: AtomicU64::new(u64::MAX),
            abandoned: Mutex::default(),
            in_use: OnceLock::new(),
            objects: Objects::new(objects),
        })
    }

    /// A budget without a bound, for tests and file systems that keep nothing.
    #[must_use]
    pub fn unlimited() -> Arc<Self> {
        Self::with_objects(u64::MAX, u64::MAX)
    }

    /// Sets how abandoned files are looked for; without it they stay counted. Only the first call counts.
    pub fn set_in_use(&self, look: InUse) {
        let _ = self.in_use.set(look);
    }

    /// Sets how many memory files there may be.
    pub fn set_max_files(&self, number: u64) {
        self.max_files.store(number, Ordering::Relaxed);
    }

    /// Counts one more memory file.
    ///
    /// # Errors
    /// ENFILE if there are too many.
    pub fn add_file(&self) -> Result<(), Errno> {
        let more = |files: u64| Some(files + 1).filter(|sum| *sum <= self.max_files.load(Ordering::Relaxed));
        self.files.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).map(drop).map_err(|_| Errno::ENFILE)
    }

    /// One of them is gone.
    pub fn remove_file(&self) {
        self.files.fetch_sub(1, Ordering::Relaxed);
    }

    /// Bytes in all.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Bytes in use.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Counts `bytes` more.
    ///
    /// # Errors
    /// ENOSPC if that would be too much. (Whoever has another word for it translates.)
    pub fn charge(&self, bytes: u64) -> Result<(), Errno> {
        if self.add(bytes) || self.reclaim() && self.add(bytes) { Ok(()) } else { Err(Errno::ENOSPC) }
    }

    fn add(&self, bytes: u64) -> bool {
        let more = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= self.limit);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// Counts `bytes` more whether or not they fit: for what cannot fail and was given back a moment ago.
    pub fn charge_anyway(&self, bytes: u64) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Gives `bytes` back.
    pub fn release(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// The sandbox has no name and no descriptor any more for a host file that is counted with `bytes` and that applications have
    /// mapped. While any of `fds` is open, the file is on its way to one of them.
    pub fn abandon(&self, file: HostInode, bytes: u64, fds: Vec<FdWatch>) {
        let many = {
            let mut abandoned = self.abandoned.lock();
            abandoned.files.push((file, bytes, fds));
            abandoned.files.len() >= MANY + 2 * abandoned.kept
        };
        if many {
            self.reclaim();
        }
    }

    /// Gives back what no process has any more; whether that was anything.
    fn reclaim(&self) -> bool {
        let Some(look) = self.in_use.get() else { return false };
        // Files that are abandoned during the look stay for the next.
        let files = std::mem::take(&mut self.abandoned.lock().files);
        if files.is_empty() {
            return false;
        }
        // Before the look: what is handed over meanwhile is seen by neither otherwise.
        let (mut stay, files): (Vec<_>, Vec<_>) = files.into_iter().partition(|(_, _, fds)| fds.iter().any(FdWatch::is_open));
        let wanted = files.iter().map(|(file, ..)| *file).collect();
        let kept = look(&wanted).unwrap_or(wanted);
        let (in_use, gone): (Vec<_>, Vec<_>) = files.into_iter().partition(|(file, ..)| kept.contains(file));
        stay.extend(in_use);
        for (_, bytes, _) in &gone {
            self.release(*bytes);
        }
        let mut abandoned = self.abandoned.lock();
        abandoned.kept = stay.len();
        abandoned.files.extend(stay);
        !gone.is_empty()
    }
}

/// Bytes that are counted for as long as this lives.
pub struct Charge {
    memory: Arc<MemoryBudget>,
    bytes: u64,
}

impl Charge {
    /// Counts `bytes`.
    ///
    /// # Errors
    /// As [`MemoryBudget::charge`].
    pub fn new(memory: &Arc<MemoryBudget>, bytes: u64) -> Result<Self, Errno> {
        memory.charge(bytes)?;
        Ok(Self { memory: Arc::clone(memory), bytes })
    }

    /// Takes over what `other` counts.
    pub fn merge(&mut self, mut other: Self) {
        self.bytes += std::mem::take(&mut other.bytes);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.memory.release(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(ino: u64) -> HostInode {
        ((0, 1), ino)
    }

    /// Of a descriptor that nobody has.
    fn closed() -> FdWatch {
        bevor_hostcall::fd::memfd(c"test").unwrap().watch()
    }

    #[test]
    fn a_file_that_is_being_handed_over_stays_counted() {
        let memory = MemoryBudget::new(100);
        memory.set_in_use(Box::new(|_| Ok(FxHashSet::default())));
        memory.charge(100).unwrap();
        let fd = bevor_hostcall::fd::memfd(c"test").unwrap();
        memory.abandon(file(1), 100, vec![closed(), fd.watch()]);
        assert_eq!(memory.charge(1), Err(Errno::ENOSPC));
        drop(fd);
        assert_eq!(memory.charge(1), Ok(()));
    }

    #[test]
    fn charges_stop_at_the_limit() {
        let memory = MemoryBudget::new(100);
        assert_eq!(memory.charge(60), Ok(()));
        assert_eq!(memory.charge(41), Err(Errno::ENOSPC));
        assert_eq!(memory.charge(40), Ok(()));
        memory.release(1);
        assert_eq!(memory.charge(1), Ok(()));
        assert_eq!(memory.charge(u64::MAX), Err(Errno::ENOSPC));
    }

    #[test]
    fn merged_charges_are_given_back_once() {
        let memory = MemoryBudget::new(100);
        let mut charge = Charge::new(&memory, 10).unwrap();
        charge.merge(Charge::new(&memory, 5).unwrap());
        assert_eq!(memory.used(), 15);
        drop(charge);
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn abandoned_files_are_given_back_when_nobody_has_them() {
        let memory = MemoryBudget::new(100);
        memory.charge(100).unwrap();
        memory.abandon(file(1), 30, vec![closed()]);
        memory.abandon(file(2), 70, vec![closed()]);
        assert_eq!(memory.charge(1), Err(Errno::ENOSPC), "nobody looks");
        memory.set_in_use(Box::new(|files| Ok(files.iter().copied().filter(|f| f.1 == 2).collect())));
        assert_eq!(memory.charge(30), Ok(()));
        assert_eq!(memory.charge(1), Err(Errno::ENOSPC), "file 2 is in use");
        assert_eq!(memory.used(), 100);
    }

    #[test]
    fn files_that_cannot_be_looked_for_stay_counted() {
        let memory = MemoryBudget::new(100);
        memory.charge(100).unwrap();
        memory.set_in_use(Box::new(|_| Err(Errno::ENOSYS)));
        memory.abandon(file(1), 100, vec![closed()]);
        assert_eq!(memory.charge(1), Err(Errno::ENOSPC));
    }

    #[test]
    fn many_abandoned_files_are_looked_after_before_the_limit() {
        let memory = MemoryBudget::unlimited();
        memory.set_in_use(Box::new(|_| Ok(FxHashSet::default())));
        for i in 0..10_000 {
            memory.charge(1).unwrap();
            memory.abandon(file(i), 1, vec![closed()]);
        }
        assert!(memory.used() < 2000);
    }
}
