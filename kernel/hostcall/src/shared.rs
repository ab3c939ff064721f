//! Memory that an untrusted process can write at the same time.
//!
//! Such memory is never seen as a Rust reference: it is read and written by volatile or raw copies only, and every byte
//! is copied exactly once before it is looked at.

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64};

use bevor_abi::Errno;

use crate::fd::{HostFd, check};

/// A shared mapping of (part of) a memory file, unmapped when the last owner goes.
#[derive(Debug)]
pub struct SharedMemory {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping is valid until drop and all access goes through raw copies or atomics.
unsafe impl Send for SharedMemory {}
// SAFETY: as above; data races with the untrusted side are confined to volatile and raw copies.
unsafe impl Sync for SharedMemory {}

impl SharedMemory {
    /// Maps `len` bytes of `fd` from `offset`, readable and (if `writable`) writable.
    ///
    /// # Errors
    /// The host's errno from mmap(2).
    pub fn map(fd: &HostFd, offset: u64, len: usize, writable: bool) -> Result<Arc<Self>, Errno> {
        let prot = libc::PROT_READ | if writable { libc::PROT_WRITE } else { 0 };
        let off = libc::off_t::try_from(offset).map_err(|_| Errno::EINVAL)?;
        // SAFETY: a new mapping at an address of the kernel's choice aliases nothing of ours.
        let p = unsafe { libc::mmap(std::ptr::null_mut(), len, prot, libc::MAP_SHARED, fd.raw(), off) };
        if p == libc::MAP_FAILED {
            check(-1)?;
        }
        let base = NonNull::new(p.cast::<u8>()).ok_or(Errno::ENOMEM)?;
        Ok(Arc::new(Self { base, len }))
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the mapping is empty (never, in practice).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes `offset..offset + len`.
    ///
    /// # Errors
    /// EFAULT if the range is not inside the mapping.
    pub fn slice(self: &Arc<Self>, offset: usize, len: usize) -> Result<SharedSlice, Errno> {
        if offset.checked_add(len).is_none_or(|end| end > self.len) {
            return Err(Errno::EFAULT);
        }
        Ok(SharedSlice { memory: Arc::clone(self), offset, len })
    }

    fn at(&self, offset: usize, len: usize) -> *mut u8 {
        assert!(offset.checked_add(len).is_some_and(|end| end <= self.len), "range checked by the caller");
        // SAFETY: the range was just checked to lie inside the mapping.
        unsafe { self.base.as_ptr().add(offset) }
    }

    /// Copies from the mapping into `dst`.
    ///
    /// # Panics
    /// If the range is not inside the mapping: offsets are the trusted side's own.
    pub fn read(&self, offset: usize, dst: &mut [u8]) {
        // SAFETY: source is inside the mapping, destination is an exclusive slice; they cannot overlap.
        unsafe { std::ptr::copy_nonoverlapping(self.at(offset, dst.len()), dst.as_mut_ptr(), dst.len()) }
    }

    /// Copies `src` into the mapping.
    ///
    /// # Panics
    /// If the range is not inside the mapping: offsets are the trusted side's own.
    pub fn write(&self, offset: usize, src: &[u8]) {
        // SAFETY: destination is inside the mapping, source is a live slice; they cannot overlap.
        unsafe { std::ptr::copy_nonoverlapping(src.as_ptr(), self.at(offset, src.len()), src.len()) }
    }

    /// Fills part of the mapping with zeros.
    ///
    /// # Panics
    /// If the range is not inside the mapping.
    pub fn zero(&self, offset: usize, len: usize) {
        // SAFETY: the range is inside the mapping.
        unsafe { std::ptr::write_bytes(self.at(offset, len), 0, len) }
    }

    /// An aligned 32-bit word as an atomic.
    ///
    /// # Panics
    /// If the word is outside the mapping or misaligned: offsets are the trusted side's own.
    #[must_use]
    pub fn atomic_u32(&self, offset: usize) -> &AtomicU32 {
        assert!(offset.is_multiple_of(4));
        // SAFETY: inside the mapping, aligned, and only ever accessed atomically by this side.
        unsafe { AtomicU32::from_ptr(self.at(offset, 4).cast()) }
    }

    /// Wakes one process that waits for the word at `offset` to change (futex(2), FUTEX_WAKE).
    ///
    /// # Panics
    /// If the word is outside the mapping or misaligned.
    pub fn futex_wake(&self, offset: usize) {
        let word = self.atomic_u32(offset).as_ptr();
        // SAFETY: the kernel only looks up which page the address is in.
        unsafe { libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAKE, 1, 0, 0, 0) };
    }

    /// An aligned 64-bit word as an atomic.
    ///
    /// # Panics
    /// If the word is outside the mapping or misaligned: offsets are the trusted side's own.
    #[must_use]
    pub fn atomic_u64(&self, offset: usize) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8));
        // SAFETY: inside the mapping, aligned, and only ever accessed atomically by this side.
        unsafe { AtomicU64::from_ptr(self.at(offset, 8).cast()) }
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        // SAFETY: this object owns the mapping and nothing refers to it any more.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
    }
}

/// A range of a [`SharedMemory`].
#[derive(Clone, Debug)]
pub struct SharedSlice {
    memory: Arc<SharedMemory>,
    offset: usize,
    len: usize,
}

impl SharedSlice {
    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the range is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The address of `len` bytes from `offset`, for host calls of this crate.
    pub(crate) fn range_ptr(&self, offset: usize, len: usize) -> Option<*mut u8> {
        if offset.checked_add(len)? > self.len {
            return None;
        }
        Some(self.memory.at(self.offset + offset, len))
    }

    /// Copies `dst.len()` bytes from `offset` of the range.
    ///
    /// # Panics
    /// If the part is not inside the range.
    pub fn read(&self, offset: usize, dst: &mut [u8]) {
        assert!(offset.checked_add(dst.len()).is_some_and(|end| end <= self.len));
        self.memory.read(self.offset + offset, dst);
    }

    /// Copies `src` to `offset` of the range.
    ///
    /// # Panics
    /// If the part is not inside the range.
    pub fn write(&self, offset: usize, src: &[u8]) {
        assert!(offset.checked_add(src.len()).is_some_and(|end| end <= self.len));
        self.memory.write(self.offset + offset, src);
    }

    /// Fills `len` bytes from `offset` with zeros.
    ///
    /// # Panics
    /// If the part is not inside the range.
    pub fn zero(&self, offset: usize, len: usize) {
        assert!(offset.checked_add(len).is_some_and(|end| end <= self.len));
        self.memory.zero(self.offset + offset, len);
    }

    /// Copies `len` bytes between two shared ranges without a look at them in between.
    ///
    /// # Panics
    /// If a part is not inside its range.
    pub fn copy_from(&self, offset: usize, src: &SharedSlice, src_offset: usize, len: usize) {
        assert!(offset.checked_add(len).is_some_and(|end| end <= self.len));
        assert!(src_offset.checked_add(len).is_some_and(|end| end <= src.len));
        let to = self.memory.at(self.offset + offset, len);
        let from = src.memory.at(src.offset + src_offset, len);
        // SAFETY: both ranges are inside their mappings; `copy` allows overlap.
        unsafe { std::ptr::copy(from, to, len) }
    }
}
