//! Descriptor tables.

use std::sync::Arc;

use bevor_abi::{Errno, Fd};
use parking_lot::RwLock;

use super::file::File;
use super::locks::LockOwner;
use crate::memory::{Kind, MemoryBudget, ObjectCharge, Owner};
use crate::num::to_u64;

#[derive(Clone)]
struct Slot {
    file: Arc<File>,
    cloexec: bool,
}

#[derive(Default)]
struct Slots {
    list: Vec<Option<Slot>>,
    /// How many are taken: high numbers alone say nothing.
    used: usize,
    /// No free slot is below this one.
    first_free: usize,
    /// What a table that is longer than usual is counted by.
    charge: Option<ObjectCharge>,
}

/// Tables up to this length count with their process.
const FREE_SLOTS: usize = 64;
/// A process that has more descriptors is not among those for which the last files are kept.
const FEW_FILES: usize = 64;

impl Slots {
    /// The lowest free number from `min` on, which must be below `limit`.
    fn lowest(&self, min: usize, limit: usize) -> Result<usize, Errno> {
        let from = min.max(self.first_free);
        let at = (from..self.list.len()).find(|i| self.list[*i].is_none()).unwrap_or_else(|| self.list.len().max(from));
        if at < limit { Ok(at) } else { Err(Errno::EMFILE) }
    }

    /// As [`Slots::lowest`], with the vector long enough to hold it.
    fn reserve(&mut self, memory: &Arc<MemoryBudget>, min: usize, limit: usize) -> Result<usize, Errno> {
        let at = self.lowest(min, limit)?;
        self.grow(memory, at)?;
        if min <= self.first_free {
            self.first_free = at + 1;
        }
        Ok(at)
    }

    /// Makes the list long enough for number `at`.
    fn grow(&mut self, memory: &Arc<MemoryBudget>, at: usize) -> Result<(), Errno> {
        if self.list.len() > at {
            return Ok(());
        }
        if self.list.capacity() <= at {
            let capacity = (at + 1).next_power_of_two();
            if capacity > FREE_SLOTS {
                let bytes = to_u64(capacity * size_of::<Option<Slot>>());
                match &mut self.charge {
                    Some(charge) => charge.resize(bytes)?,
                    None => self.charge = Some(memory.object_of(Kind::FdTable, bytes, Owner::default())?),
                }
            }
            self.list.reserve_exact(capacity - self.list.len());
        }
        self.list.resize_with(at + 1, || None);
        Ok(())
    }

    /// A copy of the first `most`, no longer than it must be.
    fn copy(&self, memory: &Arc<MemoryBudget>, most: usize) -> Result<Self, Errno> {
        let mut copy = Self { first_free: self.first_free.min(most), ..Self::default() };
        if let Some(last) = self.list.iter().take(most).rposition(Option::is_some) {
            copy.grow(memory, last)?;
            copy.list.clone_from_slice(self.list.get(..=last).unwrap_or_default());
            copy.used = copy.list.iter().flatten().count();
            if bevor_abi::mutated!("fork/cloexec-lost") {
                copy.list.iter_mut().flatten().for_each(|slot| slot.cloexec = false);
            }
        }
        Ok(copy)
    }

    /// Puts `slot` at `at`, for which there is room; what was there.
    fn put(&mut self, at: usize, slot: Slot) -> Option<Slot> {
        let previous = self.list[at].replace(slot);
        self.used += usize::from(previous.is_none());
        previous
    }

    fn hoards(&self) -> bool {
        self.used > FEW_FILES
    }

    fn take(&mut self, at: usize) -> Option<Slot> {
        let slot = self.list.get_mut(at)?.take()?;
        self.used -= 1;
        self.first_free = bevor_abi::mutant!("close/number-lost", self.first_free.min(at), self.first_free);
        Some(slot)
    }
}

/// The descriptor table of a task (shared under CLONE_FILES).
pub struct FdTable {
    slots: RwLock<Slots>,
    memory: Arc<MemoryBudget>,
}

impl Drop for FdTable {
    /// The last task of the table has ended: POSIX locks go with its descriptors.
    fn drop(&mut self) {
        self.close_all();
    }
}

impl std::fmt::Debug for FdTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter().map(|(fd, file, _)| (fd.0, file))).finish()
    }
}

fn number(index: usize) -> Fd {
    Fd(i32::try_from(index).unwrap_or(i32::MAX))
}

fn index(fd: Fd) -> Result<usize, Errno> {
    usize::try_from(fd.0).map_err(|_| Errno::EBADF)
}

impl FdTable {
    /// An empty table of a kernel without bounds.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Self::bounded(&MemoryBudget::unlimited())
    }

    /// An empty table, which counts what it grows to and the files in it.
    #[must_use]
    pub fn bounded(memory: &Arc<MemoryBudget>) -> Arc<Self> {
        Arc::new(Self { slots: RwLock::default(), memory: Arc::clone(memory) })
    }

    /// Whether it has more descriptors than programs usually have.
    #[must_use]
    pub fn hoards(&self) -> bool {
        self.slots.read().hoards()
    }

    /// The file behind `fd`, O_PATH ones too.
    ///
    /// # Errors
    /// EBADF.
    pub fn get_any(&self, fd: Fd) -> Result<Arc<File>, Errno> {
        match self.slots.read().list.get(index(fd)?) {
            Some(Some(slot)) => Ok(Arc::clone(&slot.file)),
            _ => Err(Errno::EBADF),
        }
    }

    /// The file behind `fd`, not for O_PATH.
    ///
    /// # Errors
    /// EBADF.
    pub fn get(&self, fd: Fd) -> Result<Arc<File>, Errno> {
        let file = self.get_any(fd)?;
        if file.is_path() { Err(Errno::EBADF) } else { Ok(file) }
    }

    /// Puts `file` at the lowest free number from `min` on.
    ///
    /// # Errors
    /// EMFILE if that is not below `limit` (RLIMIT_NOFILE), ENFILE if there are too many files, ENOMEM if the table cannot grow.
    pub fn alloc(&self, file: Arc<File>, cloexec: bool, min: u32, limit: u64) -> Result<Fd, Errno> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(1 << 30);
        let min = usize::try_from(min).map_err(|_| Errno::EINVAL)?;
        let mut slots = self.slots.write();
        // The number first, for its error goes before the others.
        let at = slots.reserve(&self.memory, min, limit)?;
        let owner = Owner { hoards: slots.hoards(), ..Owner::default() };
        if let Err(e) = file.admit(&self.memory, owner) {
            slots.first_free = slots.first_free.min(at);
            return Err(e);
        }
        slots.put(at, Slot { file, cloexec });
        Ok(number(at))
    }

    /// Whether another descriptor would get a number below `limit` now; for calls that leave something behind where they fail later.
    ///
    /// # Errors
    /// EMFILE.
    pub fn has_room(&self, limit: u64) -> Result<(), Errno> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        self.slots.read().lowest(0, limit).map(drop)
    }

    /// Two descriptors or none (pipe(2), socketpair(2)).
    ///
    /// # Errors
    /// EMFILE.
    pub fn alloc_pair(&self, files: [Arc<File>; 2], cloexec: bool, limit: u64) -> Result<[Fd; 2], Errno> {
        let [a, b] = files;
        let first = self.alloc(a, cloexec, 0, limit)?;
        match self.alloc(b, cloexec, 0, limit) {
            Ok(second) => Ok([first, second]),
            Err(e) => {
                if !bevor_abi::mutated!("pipe/emfile-leak") {
                    drop(self.remove(first));
                }
                Err(e)
            }
        }
    }

    /// dup2(2), dup3(2): makes `new` a descriptor of what `old` is, closing what was there. `old != new`.
    ///
    /// # Errors
    /// EBADF, ENOMEM if the table cannot grow.
    pub fn dup_to(&self, old: Fd, new: Fd, cloexec: bool, limit: u64) -> Result<(), Errno> {
        let at = index(new)?;
        if u64::try_from(at).is_ok_and(|n| bevor_abi::mutant!("dup2/nofile-boundary", n >= limit, n > limit)) {
            return Err(Errno::EBADF);
        }
        let file = self.get_any(old)?;
        let previous = {
            let mut slots = self.slots.write();
            slots.grow(&self.memory, at)?;
            slots.put(at, Slot { file, cloexec })
        };
        if let Some(slot) = previous
            && !bevor_abi::mutated!("dup2/locks-kept")
        {
            self.after_remove(&slot.file).ok();
        }
        Ok(())
    }

    /// Takes a descriptor out without close(2)'s side effects.
    ///
    /// # Errors
    /// EBADF.
    pub fn remove(&self, fd: Fd) -> Result<Arc<File>, Errno> {
        let at = index(fd)?;
        self.slots.write().take(at).map(|s| s.file).ok_or(Errno::EBADF)
    }

    /// close(2).
    ///
    /// # Errors
    /// EBADF; what flushing the file reports.
    pub fn close(&self, fd: Fd) -> Result<(), Errno> {
        let file = self.remove(fd)?;
        self.after_remove(&file)
    }

    /// The identity that owns the table's POSIX locks.
    #[must_use]
    pub fn lock_owner(&self) -> LockOwner {
        LockOwner::Posix(std::ptr::from_ref(self).addr())
    }

    /// What close(2) does once a descriptor of `file` is gone: POSIX locks go with any of them.
    ///
    /// # Errors
    /// What flushing the file reports.
    pub fn after_remove(&self, file: &File) -> Result<(), Errno> {
        if file.is_path() {
            return Ok(());
        }
        if let Some(locks) = file.inode().existing_locks()
            && !bevor_abi::mutated!("close/posix-locks")
        {
            locks.unlock_all(self.lock_owner());
        }
        file.ops().flush(file)
    }

    /// close_range(2), inclusive bounds; or sets close-on-exec only.
    pub fn close_range(&self, first: u32, last: u32, cloexec_only: bool) {
        let Ok(first) = usize::try_from(first) else { return };
        let last = usize::try_from(last).unwrap_or(usize::MAX);
        let mut gone = Vec::new();
        {
            let mut slots = self.slots.write();
            let end = slots.list.len().min(bevor_abi::mutant!("close_range/last-kept", last.saturating_add(1), last));
            for at in first..end {
                if !cloexec_only {
                    gone.extend(slots.take(at));
                } else if let Some(slot) = slots.list[at].as_mut() {
                    slot.cloexec = true;
                }
            }
        }
        for slot in gone.iter().filter(|_| !bevor_abi::mutated!("close_range/posix-locks")) {
            self.after_remove(&slot.file).ok();
        }
    }

    /// FD_CLOEXEC of `fd`.
    ///
    /// # Errors
    /// EBADF.
    pub fn cloexec(&self, fd: Fd) -> Result<bool, Errno> {
        match self.slots.read().list.get(index(fd)?) {
            Some(Some(slot)) => Ok(slot.cloexec),
            _ => Err(Errno::EBADF),
        }
    }

    /// Sets FD_CLOEXEC of `fd`.
    ///
    /// # Errors
    /// EBADF.
    pub fn set_cloexec(&self, fd: Fd, on: bool) -> Result<(), Errno> {
        match self.slots.write().list.get_mut(index(fd)?) {
            Some(Some(slot)) => {
                slot.cloexec = on;
                Ok(())
            }
            _ => Err(Errno::EBADF),
        }
    }

    /// A copy for fork(2) or unshare(CLONE_FILES).
    ///
    /// # Errors
    /// ENOMEM if there is no memory for a table of that length.
    pub fn fork(&self) -> Result<Arc<Self>, Errno> {
        let slots = self.slots.read().copy(&self.memory, usize::MAX)?;
        Ok(Arc::new(Self { slots: RwLock::new(slots), memory: Arc::clone(&self.memory) }))
    }

    /// execve(2): closes what is marked close-on-exec.
    pub fn close_on_exec(&self) {
        let mut gone = Vec::new();
        {
            let mut slots = self.slots.write();
            for at in 0..slots.list.len() {
                if slots.list[at].as_ref().is_some_and(|s| s.cloexec) {
                    gone.extend(slots.take(at));
                }
            }
        }
        for slot in gone.iter().filter(|_| !bevor_abi::mutated!("exec/posix-locks")) {
            self.after_remove(&slot.file).ok();
        }
    }

    /// Closes everything (the last task of the table exits).
    pub fn close_all(&self) {
        self.close_range(0, u32::MAX, false);
    }

    /// All descriptors in ascending order, with FD_CLOEXEC: a snapshot.
    #[must_use]
    pub fn snapshot(&self) -> Vec<(Fd, Arc<File>, bool)> {
        self.slots
            .read()
            .list
            .iter()
            .enumerate()
            .filter_map(|(i, s)| s.as_ref().map(|s| (number(i), Arc::clone(&s.file), s.cloexec)))
            .collect()
    }

    /// The descriptors from `first` on, at most `most`.
    #[must_use]
    pub fn numbers(&self, first: Fd, most: usize) -> Vec<Fd> {
        let from = usize::try_from(first.0).unwrap_or(0);
        let slots = self.slots.read();
        (from..).zip(slots.list.iter().skip(from)).filter(|(_, s)| s.is_some()).take(most).map(|(i, _)| number(i)).collect()
    }

    /// As [`FdTable::snapshot`], as an iterator.
    pub fn iter(&self) -> impl Iterator<Item = (Fd, Arc<File>, bool)> + use<> {
        self.snapshot().into_iter()
    }

    /// How many slots the table has (FDSize in /proc/PID/status; select(2) looks no further).
    #[must_use]
    pub fn size(&self) -> usize {
        self.slots.read().list.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket::UnixCredentials;
    use crate::testing::test_vfs;
    use crate::unix::{UnixKind, UnixSocket};

    #[test]
    fn who_has_many_descriptors_hoards_and_not_who_has_a_high_one() {
        let [file, _] = UnixSocket::create_pair(&test_vfs(), UnixKind::SeqPacket, 0, UnixCredentials::default()).unwrap();
        let table = FdTable::new();
        let limit = 1024;
        // A shell keeps its script at 255.
        let first = table.alloc(Arc::clone(&file), true, 255, limit).unwrap();
        assert!(!table.hoards() && !table.fork().unwrap().hoards());
        table.dup_to(first, Fd(900), false, limit).unwrap();
        table.dup_to(first, Fd(900), false, limit).unwrap();
        for _ in 2..FEW_FILES {
            table.alloc(Arc::clone(&file), false, 0, limit).unwrap();
        }
        assert!(!table.hoards());
        table.alloc(file, false, 0, limit).unwrap();
        assert!(table.hoards() && table.fork().unwrap().hoards());
        table.close_on_exec();
        assert!(!table.hoards());
        table.close_all();
        assert_eq!(table.slots.read().used, 0);
    }
}
