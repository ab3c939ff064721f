//! Open file descriptions.

use std::any::Any;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bevor_abi::fs::o;
use bevor_abi::{Errno, Fd};
use bevor_platform::FileMapping;
use parking_lot::{Mutex, MutexGuard};

use super::attr::FileKind;
use super::inode::Inode;
use super::mount::Path;
use crate::context::SyscallContext;
use crate::error::SyscallResult;
use crate::io::{DataSink, DataSource};
use crate::lock::lock_as_work;
use crate::memory::{Kind, MemoryBudget, ObjectCharge, Owner};
use crate::num::to_u64;
use crate::socket::Socket;
use crate::wait::{PollEvents, WaitQueue};

/// One entry of a directory as it is read.
#[derive(Clone, Copy, Debug)]
pub struct DirEntry<'a> {
    /// Name.
    pub name: &'a [u8],
    /// Inode number.
    pub ino: u64,
    /// Type.
    pub kind: FileKind,
    /// Position of the next entry (`d_off`).
    pub next: u64,
}

/// What a file type implements. Offsets are explicit; access modes were checked by [`File`]; every default is Linux's answer for
/// a file without that operation. `file.inode()` may be another file system's (an overlay's): keep what you need yourself.
#[allow(unused_variables, clippy::missing_errors_doc)]
pub trait FileOps: Send + Sync {
    /// Reads at `offset`. EAGAIN if it would block; the caller sleeps on [`FileOps::queue`].
    fn read_at(&self, file: &File, offset: u64, sink: &mut dyn DataSink) -> Result<usize, Errno> {
        Err(Errno::EINVAL)
    }
    /// Writes at `offset`. EAGAIN if it would block.
    fn write_at(&self, file: &File, offset: u64, source: &mut dyn DataSource) -> Result<usize, Errno> {
        Err(Errno::EINVAL)
    }
    /// Writes at the end; returns the count and the position after it.
    fn append(&self, file: &File, source: &mut dyn DataSource) -> Result<(usize, u64), Errno> {
        self.write_at(file, 0, source).map(|n| (n, 0))
    }
    /// Whether the file has positions. False: pread and lseek are ESPIPE.
    fn seekable(&self) -> bool {
        false
    }
    /// lseek(2) for files that do not use the description's position (devices, host files with a shared position). `None`: the
    /// ordinary rules.
    fn seek(&self, file: &File, offset: i64, whence: u32) -> Option<Result<u64, Errno>> {
        None
    }
    /// The size that SEEK_END counts from.
    fn size(&self, file: &File) -> Result<u64, Errno> {
        file.inode().attr().map(|a| a.size)
    }
    /// SEEK_DATA (`hole` false) and SEEK_HOLE from `offset`, which is inside the file.
    fn seek_data(&self, file: &File, offset: u64, size: u64, hole: bool) -> Result<u64, Errno> {
        Ok(if hole { size } else { offset })
    }
    /// Calls `emit` for the entries from position `pos` on until it returns false.
    fn readdir(&self, file: &File, pos: u64, emit: &mut dyn FnMut(&DirEntry<'_>) -> bool) -> Result<(), Errno> {
        Err(Errno::ENOTDIR)
    }
    /// Readiness now. Register with [`FileOps::queue`] before asking.
    fn poll(&self, file: &File) -> PollEvents {
        PollEvents::IN | PollEvents::OUT | PollEvents::RDNORM | PollEvents::WRNORM
    }
    /// Woken when readiness may have changed. `None`: always ready, not for epoll.
    fn queue(&self) -> Option<&WaitQueue> {
        None
    }
    /// ioctl(2) commands beyond those that all files know.
    fn ioctl(&self, file: &File, ctx: &mut SyscallContext<'_>, request: u32, arg: u64) -> SyscallResult {
        Err(Errno::ENOTTY.into())
    }
    /// What to map. `write`: a shared mapping that may become writable; otherwise the descriptor must not be able to write, since
    /// the application's process gets it.
    fn mapping(&self, file: &File, write: bool) -> Result<FileMapping, Errno> {
        Err(Errno::ENODEV)
    }
    /// fallocate(2), for regular files. `mode`: FALLOC_FL_*.
    fn fallocate(&self, file: &File, mode: u32, offset: u64, len: u64) -> Result<(), Errno> {
        Err(Errno::ENODEV)
    }
    /// ftruncate(2).
    fn truncate(&self, file: &File, size: u64) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }
    /// fsync(2), fdatasync(2).
    fn fsync(&self, file: &File, data_only: bool) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }
    /// F_GET_SEALS (`add` is `None`) and F_ADD_SEALS; the seals afterwards.
    fn seals(&self, file: &File, add: Option<u32>) -> Result<u32, Errno> {
        Err(Errno::EINVAL)
    }
    /// Status flags changed (F_SETFL, FIONBIO).
    fn flags_changed(&self, file: &File, old: u32, new: u32) -> Result<(), Errno> {
        Ok(())
    }
    /// Called when a descriptor of the file is closed (not only the last).
    fn flush(&self, file: &File) -> Result<(), Errno> {
        Ok(())
    }
    /// Called once when the description goes away.
    fn release(&self, file: &File) {}
    /// Lines for /proc/PID/fdinfo/N beyond the common ones.
    fn fdinfo(&self, file: &File) -> String {
        String::new()
    }
    /// The socket, if this is one.
    fn as_socket(&self) -> Option<&dyn Socket> {
        None
    }
    /// For the owner of the type to find it again.
    fn as_any(&self) -> &dyn Any;
}

/// The position of a description, locked.
pub struct Position<'a> {
    at: MutexGuard<'a, u64>,
    last: &'a AtomicU64,
}

impl Deref for Position<'_> {
    type Target = u64;
    fn deref(&self) -> &u64 {
        &self.at
    }
}

impl DerefMut for Position<'_> {
    fn deref_mut(&mut self) -> &mut u64 {
        &mut self.at
    }
}

impl Drop for Position<'_> {
    fn drop(&mut self) {
        self.last.store(*self.at, Ordering::Relaxed);
    }
}

/// An open file description: what all descriptors from one open(2) share.
pub struct File {
    path: Path,
    ops: Arc<dyn FileOps>,
    /// open(2) flags without those that matter only at open.
    flags: AtomicU32,
    position: Mutex<u64>,
    /// The position after the last call that had it.
    last_position: AtomicU64,
    /// F_SETOWN: > 0 process, < 0 process group, 0 nobody.
    pub owner: AtomicI32,
    /// Which is a single thread (F_OWNER_TID).
    pub owner_is_thread: AtomicBool,
    /// F_SETSIG.
    pub sig: AtomicI32,
    /// Holds write access to the inode.
    counted_writer: bool,
    /// What it is counted by from the first descriptor on.
    charge: OnceLock<ObjectCharge>,
}

impl File {
    /// Makes a description. `flags` are open(2)'s.
    #[must_use]
    pub fn new(path: Path, ops: Arc<dyn FileOps>, flags: u32) -> Arc<Self> {
        Arc::new(Self::build(path, ops, flags, false))
    }

    pub(super) fn new_counted(path: Path, ops: Arc<dyn FileOps>, flags: u32) -> Arc<Self> {
        Arc::new(Self::build(path, ops, flags, true))
    }

    fn build(path: Path, ops: Arc<dyn FileOps>, flags: u32, counted_writer: bool) -> Self {
        Self {
            path,
            ops,
            flags: AtomicU32::new(flags & !(o::CREAT | o::EXCL | o::NOCTTY | o::TRUNC | o::CLOEXEC)),
            position: Mutex::new(0),
            last_position: AtomicU64::new(0),
            owner: AtomicI32::new(0),
            owner_is_thread: AtomicBool::new(true),
            sig: AtomicI32::new(0),
            counted_writer,
            charge: OnceLock::new(),
        }
    }

    /// Counts the description, which is about to get a descriptor, unless it has had one.
    ///
    /// # Errors
    /// ENFILE if there are too many.
    pub(super) fn admit(&self, memory: &Arc<MemoryBudget>, owner: Owner) -> Result<(), Errno> {
        if self.charge.get().is_none() {
            let charge = memory.object_of(Kind::File, Kind::File.cost(), owner)?;
            // Another was as fast: one is enough.
            self.charge.set(charge).ok();
        }
        Ok(())
    }

    /// Where it was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The inode.
    #[must_use]
    pub fn inode(&self) -> &Arc<Inode> {
        self.path.dentry.inode()
    }

    /// The file type's operations. Most callers want the checked methods of `File`.
    #[must_use]
    pub fn ops(&self) -> &Arc<dyn FileOps> {
        &self.ops
    }

    /// The file type's operations, if they are of type `T`.
    #[must_use]
    pub fn downcast<T: 'static>(&self) -> Option<&T> {
        self.ops.as_any().downcast_ref()
    }

    /// Status flags and access mode (F_GETFL).
    #[must_use]
    pub fn flags(&self) -> u32 {
        self.flags.load(Ordering::Relaxed)
    }

    /// Sets the status flags `mask` to `new`.
    ///
    /// # Errors
    /// What the file type says (EINVAL for O_DIRECT where it cannot).
    pub fn set_flags(&self, mask: u32, new: u32) -> Result<(), Errno> {
        let old = self.flags();
        let new = (old & !mask) | (new & mask);
        self.ops.flags_changed(self, old, new)?;
        self.flags.store(new, Ordering::Relaxed);
        Ok(())
    }

    /// O_NONBLOCK.
    #[must_use]
    pub fn is_nonblocking(&self) -> bool {
        self.flags() & o::NONBLOCK != 0
    }

    /// O_PATH.
    #[must_use]
    pub fn is_path(&self) -> bool {
        self.flags() & o::PATH != 0
    }

    /// Opened for reading.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        let flags = self.flags();
        flags & o::PATH == 0 && matches!(flags & o::ACCMODE, o::RDONLY | o::RDWR)
    }

    /// Opened for writing.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        let flags = self.flags();
        flags & o::PATH == 0 && matches!(flags & o::ACCMODE, o::WRONLY | o::RDWR)
    }

    /// The position, locked: read, write and lseek on one description are serialised.
    pub fn position(&self) -> Position<'_> {
        Position { at: lock_as_work(&self.position), last: &self.last_position }
    }

    /// The position for those who only show it: never waits, for whoever has it may be who asks (a file of /proc/PID/fdinfo is read, and
    /// tells of itself).
    pub fn last_position(&self) -> u64 {
        self.last_position.load(Ordering::Relaxed)
    }

    /// read(2): at the position, which moves.
    ///
    /// # Errors
    /// EBADF if not open for reading, EISDIR, EAGAIN, and the file type's.
    pub fn read(&self, sink: &mut dyn DataSink) -> Result<usize, Errno> {
        self.check_read()?;
        if !self.ops.seekable() {
            return self.ops.read_at(self, 0, sink);
        }
        let mut position = self.position();
        let n = self.ops.read_at(self, *position, sink)?;
        *position += to_u64(n);
        Ok(n)
    }

    /// The last `n` bytes that [`File::read`] took did not arrive: the position goes back.
    pub fn give_back(&self, n: usize) {
        if n > 0 && self.ops.seekable() {
            let mut position = self.position();
            *position = position.saturating_sub(to_u64(n));
        }
    }

    /// pread(2).
    ///
    /// # Errors
    /// As [`File::read`]; ESPIPE without positions.
    pub fn pread(&self, offset: u64, sink: &mut dyn DataSink) -> Result<usize, Errno> {
        if self.is_path() {
            return Err(Errno::EBADF);
        }
        if !self.ops.seekable() {
            return Err(Errno::ESPIPE);
        }
        self.check_read()?;
        let n = self.ops.read_at(self, offset, sink)?;
        if bevor_abi::mutated!("pread/moves") {
            *self.position() = offset + to_u64(n);
        }
        Ok(n)
    }

    /// write(2): at the position, which moves; or at the end under O_APPEND.
    ///
    /// # Errors
    /// EBADF if not open for writing, EAGAIN, EPIPE, and the file type's.
    pub fn write(&self, source: &mut dyn DataSource) -> Result<usize, Errno> {
        self.write_as(source, self.flags() & o::APPEND != 0)
    }

    /// As [`File::write`]; at the end if `append`, whatever the flags say.
    ///
    /// # Errors
    /// As [`File::write`].
    pub fn write_as(&self, source: &mut dyn DataSource, append: bool) -> Result<usize, Errno> {
        self.check_write()?;
        if !self.ops.seekable() {
            return self.ops.write_at(self, 0, source);
        }
        let mut position = self.position();
        if append {
            if source.remaining() == 0 {
                return Ok(0);
            }
            let (n, end) = self.ops.append(self, source)?;
            *position = bevor_abi::mutant!("write/append-position", end, *position + to_u64(n));
            return Ok(n);
        }
        let n = self.ops.write_at(self, *position, source)?;
        *position += to_u64(n);
        Ok(n)
    }

    /// pwrite(2). Under O_APPEND it appends, as Linux does.
    ///
    /// # Errors
    /// As [`File::write`]; ESPIPE without positions.
    pub fn pwrite(&self, offset: u64, source: &mut dyn DataSource) -> Result<usize, Errno> {
        self.pwrite_as(offset, source, self.flags() & o::APPEND != 0)
    }

    /// As [`File::pwrite`]; at the end if `append`, whatever the flags say.
    ///
    /// # Errors
    /// As [`File::pwrite`].
    pub fn pwrite_as(&self, offset: u64, source: &mut dyn DataSource, append: bool) -> Result<usize, Errno> {
        if self.is_path() {
            return Err(Errno::EBADF);
        }
        if !self.ops.seekable() {
            return Err(Errno::ESPIPE);
        }
        self.check_write()?;
        if append && !bevor_abi::mutated!("pwrite/append-ignored") {
            return self.ops.append(self, source).map(|(n, _)| n);
        }
        let n = self.ops.write_at(self, offset, source)?;
        if bevor_abi::mutated!("pwrite/moves") {
            *self.position() = offset + to_u64(n);
        }
        Ok(n)
    }

    fn check_read(&self) -> Result<(), Errno> {
        if self.is_readable() { Ok(()) } else { Err(Errno::EBADF) }
    }

    fn check_write(&self) -> Result<(), Errno> {
        if self.is_writable() { Ok(()) } else { Err(Errno::EBADF) }
    }

    /// lseek(2).
    ///
    /// # Errors
    /// ESPIPE, EINVAL, ENXIO (SEEK_DATA, SEEK_HOLE past the end).
    pub fn seek(&self, offset: i64, whence: u32) -> Result<u64, Errno> {
        if let Some(result) = self.ops.seek(self, offset, whence) {
            return result;
        }
        if !self.ops.seekable() {
            return if whence > 4 { Err(Errno::EINVAL) } else { Err(Errno::ESPIPE) };
        }
        let mut position = self.position();
        let base = match whence {
            0 => 0,
            1 => *position,
            2 => self.ops.size(self)?,
            3 | 4 => {
                let size = self.ops.size(self)?;
                let at = u64::try_from(offset)
                    .ok()
                    .filter(|at| bevor_abi::mutant!("lseek/data-boundary", *at < size, *at <= size))
                    .ok_or(Errno::ENXIO)?;
                let found = self.ops.seek_data(self, at, size, whence == 4)?;
                *position = bevor_abi::mutant!("lseek/hole-position", found, *position);
                return Ok(found);
            }
            _ => return Err(Errno::EINVAL),
        };
        let new = base.checked_add_signed(offset).or(bevor_abi::mutant!("lseek/negative", None, Some(0))).ok_or(Errno::EINVAL)?;
        if new > i64::MAX.cast_unsigned() {
            return Err(Errno::EINVAL);
        }
        *position = new;
        Ok(new)
    }

    /// Readiness now.
    #[must_use]
    pub fn poll(&self) -> PollEvents {
        self.ops.poll(self)
    }

    /// Woken when readiness may have changed.
    #[must_use]
    pub fn queue(&self) -> Option<&WaitQueue> {
        self.ops.queue()
    }

    /// What to map for mmap(2). `write`: a shared mapping that is or may become writable.
    ///
    /// # Errors
    /// ENODEV if the file cannot be mapped; EACCES is the caller's to check against the access mode.
    pub fn mapping(&self, write: bool) -> Result<FileMapping, Errno> {
        self.ops.mapping(self, write)
    }

    /// Identity, for lock ownership and epoll.
    #[must_use]
    pub fn id(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        if let Some(locks) = self.inode().existing_locks() {
            locks.release_file(bevor_abi::mutant!("flock/outlives-file", self.id(), 0));
        }
        if self.counted_writer {
            self.inode().put_write_access();
        }
        self.ops.release(self);
    }
}

impl std::fmt::Debug for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "File({:?}, {:#o})", self.path.dentry, self.flags())
    }
}

/// Operations of an O_PATH description: every one is refused by the access mode.
pub struct PathOnly;

impl FileOps for PathOnly {
    fn poll(&self, _file: &File) -> PollEvents {
        PollEvents::NVAL
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A descriptor number that was handed out, checked to be non-negative.
#[must_use]
pub fn fd_result(fd: Fd) -> u64 {
    u64::try_from(fd.0).unwrap_or(0)
}

/// Seeking where there are no positions, but nobody says so.
///
/// # Errors
/// EINVAL: there is no such `whence`.
pub fn seek_nowhere(whence: u32) -> Result<u64, Errno> {
    if whence > 4 { Err(Errno::EINVAL) } else { Ok(0) }
}
