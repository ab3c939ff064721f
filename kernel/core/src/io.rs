//! Where file data goes to and comes from, without naming application memory.
//!
//! A file's `read` puts bytes into a [`DataSink`], its `write` takes them from a [`DataSource`]. The system call layer implements
//! both over application buffers (already copied in: **copy-in completes before any lock, copy-out comes after**), the kernel
//! itself over slices (`splice`, loaders).

use bevor_abi::Errno;
use bevor_hostcall::{FileWindow, HostFd, SharedSlice};

/// Takes data in order.
pub trait DataSink {
    /// How many more bytes fit.
    fn remaining(&self) -> usize;
    /// Appends as much of `src` as fits; returns how much. EFAULT only if nothing could be stored.
    ///
    /// # Errors
    /// EFAULT.
    fn put(&mut self, src: &[u8]) -> Result<usize, Errno>;
    /// Appends up to `len` zero bytes.
    ///
    /// # Errors
    /// EFAULT.
    fn put_zeros(&mut self, len: usize) -> Result<usize, Errno>;
    /// Appends from memory that an application may be changing (a memfd-backed file), without a look at it.
    ///
    /// # Errors
    /// EFAULT.
    fn put_shared(&mut self, src: &SharedSlice, offset: usize, len: usize) -> Result<usize, Errno>;
    /// A host descriptor's data, straight to the sink: by pread(2), or copied from the file's `window` where that holds it all. `None`:
    /// not supported, read to a buffer and `put`.
    fn put_from_host(
        &mut self,
        _fd: &HostFd,
        _window: Option<&FileWindow>,
        _offset: u64,
        _len: usize,
    ) -> Option<Result<usize, Errno>> {
        None
    }
}

/// Gives data in order.
pub trait DataSource {
    /// How many bytes are left.
    fn remaining(&self) -> usize;
    /// Fills as much of `dst` as there is; returns how much. EFAULT only if nothing could be read.
    ///
    /// # Errors
    /// EFAULT.
    fn get(&mut self, dst: &mut [u8]) -> Result<usize, Errno>;
    /// Stores up to `len` bytes into shared memory (a memfd-backed file).
    ///
    /// # Errors
    /// EFAULT.
    fn get_shared(&mut self, dst: &SharedSlice, offset: usize, len: usize) -> Result<usize, Errno>;
}

/// A sink over a byte vector with a limit.
pub struct VecSink<'a> {
    /// Receives the data.
    pub data: &'a mut Vec<u8>,
    /// Room left.
    pub room: usize,
}

impl DataSink for VecSink<'_> {
    fn remaining(&self) -> usize {
        self.room
    }
    fn put(&mut self, src: &[u8]) -> Result<usize, Errno> {
        let n = src.len().min(self.room);
        self.data.extend_from_slice(&src[..n]);
        self.room -= n;
        Ok(n)
    }
    fn put_zeros(&mut self, len: usize) -> Result<usize, Errno> {
        let n = len.min(self.room);
        self.data.resize(self.data.len() + n, 0);
        self.room -= n;
        Ok(n)
    }
    fn put_shared(&mut self, src: &SharedSlice, offset: usize, len: usize) -> Result<usize, Errno> {
        let n = len.min(self.room);
        let at = self.data.len();
        self.data.resize(at + n, 0);
        src.read(offset, &mut self.data[at..]);
        self.room -= n;
        Ok(n)
    }
}

/// A source over a slice.
pub struct SliceSource<'a>(pub &'a [u8]);

impl DataSource for SliceSource<'_> {
    fn remaining(&self) -> usize {
        self.0.len()
    }
    fn get(&mut self, dst: &mut [u8]) -> Result<usize, Errno> {
        let n = dst.len().min(self.0.len());
        let (head, tail) = self.0.split_at(n);
        dst[..n].copy_from_slice(head);
        self.0 = tail;
        Ok(n)
    }
    fn get_shared(&mut self, dst: &SharedSlice, offset: usize, len: usize) -> Result<usize, Errno> {
        let n = len.min(self.0.len());
        let (head, tail) = self.0.split_at(n);
        dst.write(offset, head);
        self.0 = tail;
        Ok(n)
    }
}
