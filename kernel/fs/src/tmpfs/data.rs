//! Contents of a regular file: bytes on the heap, or a memfd that is mapped here and, if need be, in applications.
//!
//! A memfd costs a descriptor and a mapping, of which a process has some ten thousands: small files, of which there may be many more, do
//! without until they are mapped.

use std::sync::Arc;

use bevor_abi::Errno;
use bevor_core::io::{DataSink, DataSource};
use bevor_core::memory::MemoryBudget;
use bevor_core::num::{to_u64, to_usize};
use bevor_core::vfs::{Vfs, device_numbers};
use bevor_hostcall::{HostFd, SharedMemory, SharedSlice, file};

use super::pages::{PAGE, Pages};

/// Up to this size contents stay on the heap,
const INLINE_MAX: u64 = 64 * 1024;
/// and up to this one if no more descriptors can be had.
const INLINE_AT_NEED: u64 = 16 << 20;
/// The smallest memfd.
const MIN_CAPACITY: u64 = 64 * 1024;
/// How much of a file is mapped here at most; the rest is reached by pread and pwrite.
const MAX_WINDOW: u64 = 1 << 30;
/// The largest file (as ext4 with 4 KiB blocks; tmpfs allows more, hosts differ).
pub(super) const MAX_SIZE: u64 = i64::MAX.cast_unsigned() & !4095;

enum Store {
    /// Heap bytes; shorter than the file where the tail is a hole.
    Inline(Vec<u8>),
    Memory {
        fd: HostFd,
        /// The same file for reading only, once an application has mapped it that may not write it.
        reader: Option<HostFd>,
        /// The part that is mapped here, from the start on. None of a mapped file that was sealed against writing.
        window: Option<SharedSlice>,
        /// The memfd's own size. Bytes between the file's size and this one are zero.
        capacity: u64,
        /// An application maps the memfd: its size must be the file's, for SIGBUS past the end.
        mapped: bool,
    },
}

fn map_window(fd: &HostFd, len: u64) -> Result<SharedSlice, Errno> {
    let len = to_usize(len);
    SharedMemory::map(fd, 0, len, true)?.slice(0, len)
}

/// A memfd of `capacity` bytes that starts with `bytes`.
fn make_memory(capacity: u64, bytes: &[u8]) -> Result<(HostFd, SharedSlice), Errno> {
    let fd = bevor_hostcall::fd::memfd(c"tmpfs")?;
    file::ftruncate(&fd, capacity)?;
    let window = map_window(&fd, capacity.min(MAX_WINDOW))?;
    window.write(0, bytes);
    Ok((fd, window))
}

/// The window, if it holds anything from `at` on, and how much of `len` bytes.
fn within(window: Option<&SharedSlice>, at: u64, len: usize) -> Option<(&SharedSlice, usize)> {
    let there = to_u64(window?.len()).saturating_sub(at).min(to_u64(len));
    window.filter(|_| there > 0).map(|window| (window, to_usize(there)))
}

/// Reads from a memfd, up to where the window ends.
fn read_memory(fd: &HostFd, window: Option<&SharedSlice>, at: u64, len: usize, sink: &mut dyn DataSink) -> Result<usize, Errno> {
    if let Some((window, len)) = within(window, at, len) {
        return sink.put_shared(window, to_usize(at), len);
    }
    if let Some(result) = sink.put_from_host(fd, None, at, len) {
        return result;
    }
    let mut buffer = vec![0; len.min(1 << 20)];
    let n = file::pread(fd, &mut buffer, at)?;
    sink.put(&buffer[..n])
}

/// Contents with their size.
pub(super) struct Content {
    size: u64,
    store: Store,
    pages: Pages,
}

impl Content {
    pub(super) fn new(memory: &Arc<MemoryBudget>) -> Self {
        Self { size: 0, store: Store::Inline(Vec::new()), pages: Pages::new(memory) }
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Allocated 512-byte blocks.
    pub(super) fn blocks(&self) -> u64 {
        match &self.store {
            // Its pages come and go without the sentry.
            Store::Memory { fd, mapped: true, .. } => file::fstat(fd).map_or(0, |st| st.blocks),
            _ => self.pages.count() * 8,
        }
    }

    /// The memfd, made now (with room for `min` bytes) if the contents were on the heap.
    pub(super) fn memory(&mut self, min: u64) -> Result<&HostFd, Errno> {
        if let Store::Inline(bytes) = &self.store {
            // There may be more of them than `min`, if there was no room for a memory file before.
            let min = min.max(to_u64(bytes.len())).max(MIN_CAPACITY);
            let capacity = min.checked_next_power_of_two().unwrap_or(min);
            self.pages.memory().add_file()?;
            let made = make_memory(capacity, bytes).inspect_err(|_| self.pages.memory().remove_file());
            let (fd, window) = made?;
            self.store = Store::Memory { fd, reader: None, window: Some(window), capacity, mapped: false };
        }
        match &self.store {
            Store::Memory { fd, .. } => Ok(fd),
            Store::Inline(_) => Err(Errno::EIO),
        }
    }

    /// As [`Content::memory`] for a mapping in an application. Unless that is to `write`, the descriptor cannot.
    pub(super) fn map(&mut self, write: bool, vfs: &Vfs) -> Result<HostFd, Errno> {
        let fd = self.memory(self.size)?.clone();
        let mut given = fd.clone();
        if let (Store::Memory { reader, .. }, false) = (&mut self.store, write) {
            let known = reader.take().map_or_else(|| vfs.read_only(&fd), Ok)?;
            given = reader.insert(known).clone();
        }
        let size = self.size;
        self.pages.charge_whole(size).map_err(|_| Errno::ENOMEM)?;
        if let Store::Memory { capacity, mapped, .. } = &mut self.store {
            if *capacity != size {
                file::ftruncate(&fd, size)?;
                *capacity = size;
            }
            *mapped = true;
        }
        Ok(given)
    }

    /// Seals what applications have descriptors of against writing; the caller refuses its own writes from now on.
    ///
    /// EBUSY while any has a mapping that could write.
    pub(super) fn seal_write(&mut self) -> Result<(), Errno> {
        let Store::Memory { fd, window, mapped: true, .. } = &mut self.store else { return Ok(()) };
        // Which is a mapping that could write as well.
        let len = window.take().map(|window| to_u64(window.len()));
        bevor_hostcall::fd::seal_write(fd).inspect_err(|_| *window = len.and_then(|len| map_window(fd, len).ok()))
    }

    /// Makes room for `end` bytes, of which those from `start` on are about to be written, without changing the size.
    fn reserve(&mut self, start: u64, end: u64) -> Result<(), Errno> {
        if end > MAX_SIZE {
            return Err(Errno::EFBIG);
        }
        if let Store::Inline(bytes) = &self.store {
            // The heap has no holes: not more than a page of zeros is put in between.
            let dense = end <= PAGE || start <= to_u64(bytes.len()).next_multiple_of(PAGE);
            if dense && end <= INLINE_MAX {
                return Ok(());
            }
            match self.memory(end) {
                Err(Errno::EMFILE | Errno::ENFILE) if dense && end <= INLINE_AT_NEED => return Ok(()),
                made => drop(made?),
            }
        }
        if let Store::Memory { fd, window, capacity, mapped, .. } = &mut self.store {
            if end > *capacity {
                if *mapped {
                    self.pages.charge_whole(end)?;
                }
                let wanted =
                    if *mapped { end } else { end.checked_next_power_of_two().filter(|n| *n <= MAX_SIZE).unwrap_or(end) };
                file::ftruncate(fd, wanted)?;
                *capacity = wanted;
            }
            if let Some(window) = window
                && end > to_u64(window.len())
                && to_u64(window.len()) < MAX_WINDOW
            {
                *window = map_window(fd, end.next_power_of_two().min(MAX_WINDOW))?;
            }
        }
        Ok(())
    }

    pub(super) fn set_size(&mut self, size: u64) -> Result<(), Errno> {
        if size > self.size {
            // Nothing is written: what is new is a hole.
            self.reserve(0, size)?;
        }
        match &mut self.store {
            Store::Inline(bytes) => {
                bytes.truncate(bevor_abi::mutant!("tmpfs/old-bytes", to_usize(size), bytes.len()));
                bytes.shrink_to(to_usize(size.next_multiple_of(PAGE)));
                self.pages.truncate(size);
            }
            Store::Memory { fd, capacity, mapped, .. } => {
                if size < self.size {
                    // Drops the pages behind; what is mapped beyond is not touched any more.
                    file::ftruncate(fd, size)?;
                    *capacity = size;
                    self.pages.truncate(size);
                } else if *mapped && *capacity != size {
                    file::ftruncate(fd, size)?;
                    *capacity = size;
                }
            }
        }
        self.size = size;
        Ok(())
    }

    pub(super) fn read(&self, offset: u64, sink: &mut dyn DataSink) -> Result<usize, Errno> {
        if offset >= self.size {
            return Ok(0);
        }
        let len = to_usize(self.size - offset).min(sink.remaining());
        match &self.store {
            Store::Inline(bytes) => {
                let start = to_usize(offset).min(bytes.len());
                let end = (start + len).min(bytes.len());
                let mut n = 0;
                if end > start {
                    n = sink.put(&bytes[start..end])?;
                }
                if n == end - start && n < len {
                    n += sink.put_zeros(len - n)?;
                }
                Ok(n)
            }
            Store::Memory { fd, window, .. } => {
                let end = offset + to_u64(len);
                let mut at = offset;
                while at < end {
                    let (data, until) = self.pages.run(at, end);
                    let wanted = to_usize(until - at);
                    // A look at a hole through the window would fill it.
                    let step = if data { read_memory(fd, window.as_ref(), at, wanted, sink) } else { sink.put_zeros(wanted) };
                    match step {
                        Ok(n) => at += to_u64(n),
                        Err(errno) if at == offset => return Err(errno),
                        Err(_) => break,
                    }
                    if at < until {
                        break;
                    }
                }
                Ok(to_usize(at - offset))
            }
        }
    }

    /// Writes at `offset`; returns how much.
    pub(super) fn write(&mut self, offset: u64, source: &mut dyn DataSource) -> Result<usize, Errno> {
        let len = source.remaining();
        if len == 0 {
            return Ok(0);
        }
        if offset >= MAX_SIZE {
            return Err(Errno::EFBIG);
        }
        let len = to_usize(to_u64(len).min(MAX_SIZE - offset));
        self.reserve(offset, offset + to_u64(len))?;
        let end = self.pages.charge(offset, offset + to_u64(len))?;
        let len = to_usize(end - offset);
        let n = match &mut self.store {
            Store::Inline(bytes) => {
                let (start, end) = (to_usize(offset), to_usize(end));
                if bytes.len() < end {
                    // By the pages that are counted, not by doubling.
                    bytes.reserve_exact(end.next_multiple_of(to_usize(PAGE)) - bytes.len());
                    bytes.resize(end, 0);
                }
                source.get(&mut bytes[start..end])?
            }
            Store::Memory { fd, window, .. } => {
                if let Some((window, len)) = within(window.as_ref(), offset, len) {
                    source.get_shared(window, to_usize(offset), len)?
                } else {
                    let mut buffer = vec![0; len.min(1 << 20)];
                    let n = source.get(&mut buffer)?;
                    file::pwrite(fd, &buffer[..n], offset)?
                }
            }
        };
        self.size = self.size.max(offset + to_u64(n));
        Ok(n)
    }

    /// SEEK_DATA or SEEK_HOLE from `offset`, which is inside the file.
    pub(super) fn seek(&self, offset: u64, hole: bool) -> Result<u64, Errno> {
        match &self.store {
            Store::Memory { fd, mapped: true, .. } => {
                let whence = if hole { 4 } else { 3 };
                let at = i64::try_from(offset).map_err(|_| Errno::ENXIO)?;
                let found = file::lseek(fd, at, whence)?;
                match hole {
                    true => Ok(found.min(self.size)),
                    false if found >= self.size => Err(Errno::ENXIO),
                    false => Ok(found),
                }
            }
            Store::Inline(_) | Store::Memory { .. } => {
                let (data, until) = self.pages.run(offset, self.size);
                match data == hole {
                    false => Ok(offset),
                    true if until >= self.size && !hole => Err(Errno::ENXIO),
                    true => Ok(until.min(self.size)),
                }
            }
        }
    }

    /// fallocate(2) with a mode that the caller has checked: 0, KEEP_SIZE, PUNCH_HOLE|KEEP_SIZE or ZERO_RANGE.
    pub(super) fn allocate(&mut self, mode: u32, offset: u64, len: u64) -> Result<(), Errno> {
        let end = offset.checked_add(len).filter(|e| *e <= MAX_SIZE).ok_or(Errno::EFBIG)?;
        let keep = mode & 1 != 0 && !bevor_abi::mutated!("fallocate/keep-size");
        let punch = mode & 2 != 0;
        if punch && offset >= self.size {
            return Ok(());
        }
        let host_end = if keep { end.min(self.size.next_multiple_of(4096)) } else { end };
        if !punch {
            self.pages.charge_all(offset, end)?;
        }
        self.memory(end)?;
        if !keep {
            self.reserve(offset, end)?;
            if end > self.size {
                self.set_size(end)?;
            }
        }
        let fd = self.memory(end)?.clone();
        if punch {
            file::fallocate(&fd, 3, offset, len)?;
            self.pages.punch(offset, end);
            return Ok(());
        }
        // KEEP_SIZE on the host as well: the memfd may be larger than the file anyway.
        file::fallocate(&fd, 1, offset, if keep { len } else { host_end - offset })
    }
}

impl Drop for Content {
    fn drop(&mut self) {
        if matches!(self.store, Store::Memory { .. }) {
            self.pages.memory().remove_file();
        }
        if let Store::Memory { fd, reader, mapped: true, .. } = &self.store
            && let Ok(host) = file::fstat(fd)
        {
            let fds = [fd].into_iter().chain(reader).map(HostFd::watch).collect();
            self.pages.abandon((device_numbers(host.dev), host.ino), fds);
        }
    }
}

#[cfg(test)]
mod tests {
    use bevor_core::io::{SliceSource, VecSink};

    use super::*;

    #[test]
    fn what_had_to_stay_on_the_heap_keeps_its_contents_in_a_memory_file() {
        let memory = MemoryBudget::new(1 << 30);
        let bytes: Vec<u8> = (0..300_000_u32).map(|i| i.to_le_bytes()[0]).collect();
        for allocate in [true, false] {
            memory.set_max_files(0);
            let mut content = Content::new(&memory);
            assert_eq!(content.write(0, &mut SliceSource(&bytes)), Ok(bytes.len()));
            assert!(matches!(content.store, Store::Inline(_)), "there was no room for a file");
            memory.set_max_files(1);
            let part = to_usize(INLINE_MAX) + 1;
            if allocate {
                assert_eq!(content.allocate(0, 0, 100), Ok(()));
            } else {
                assert_eq!(content.write(0, &mut SliceSource(&bytes[..part])), Ok(part));
            }
            assert!(matches!(content.store, Store::Memory { .. }));
            let mut data = Vec::new();
            assert_eq!(content.read(0, &mut VecSink { data: &mut data, room: bytes.len() }), Ok(bytes.len()));
            assert!(data == bytes);
        }
    }
}
