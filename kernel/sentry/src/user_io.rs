//! File data in application memory: [`UserSink`] and [`UserSource`].
//!
//! A source copies everything in before the file is asked; a sink collects and copies out after the file has let go of its locks.

use std::cell::Cell;

use bevor_abi::fs::IoVec;
use bevor_abi::{Errno, UserAddr};
use bevor_core::context::SyscallContext;
use bevor_core::io::{DataSink, DataSource};
use bevor_core::num::{to_u64, to_usize};
use bevor_hostcall::{FileWindow, HostFd, SharedSlice, file};
use bevor_platform::Thread;
use parking_lot::Mutex;
use smallvec::SmallVec;

/// The most that one read or write moves (MAX_RW_COUNT).
pub const MAX_RW: usize = 0x7fff_f000;
/// How much is moved in one step.
pub const CHUNK: usize = 1 << 20;
/// Below this nothing is ever mapped (vm.mmap_min_addr).
const LOWEST: u64 = 65536;
/// UIO_MAXIOV.
const MAX_IOV: usize = 1024;

/// Buffers of an application, in order.
pub type IoVecs = SmallVec<[IoVec; 4]>;

/// One buffer.
///
/// # Errors
/// EFAULT if it is not inside application memory.
pub fn single(addr: UserAddr, len: usize) -> Result<IoVecs, Errno> {
    let len = len.min(MAX_RW);
    addr.add(to_u64(len))?;
    let mut iov = IoVecs::new();
    iov.push(IoVec { base: addr.0, len: to_u64(len) });
    Ok(iov)
}

/// Copies an iovec array in (readv(2)) and cuts the total to [`MAX_RW`].
///
/// # Errors
/// EINVAL for too many or a negative length; EFAULT.
pub fn copy_in_iovecs(ctx: &SyscallContext<'_>, addr: UserAddr, count: usize) -> Result<IoVecs, Errno> {
    if bevor_abi::mutant!("iov/count-boundary", count > MAX_IOV, count >= MAX_IOV) {
        return Err(Errno::EINVAL);
    }
    let mut iov = IoVecs::new();
    let mut bytes: SmallVec<[u8; 128]> = SmallVec::new();
    bytes.resize(count * 16, 0);
    if count > 0 {
        ctx.copy_in(addr, &mut bytes)?;
    }
    let mut left = to_u64(MAX_RW);
    for entry in bytes.chunks_exact(16) {
        let (base, len) = entry.split_at(8);
        let base = base.first_chunk().map_or(0, |b| u64::from_le_bytes(*b));
        let len = len.first_chunk().map_or(0, |b| u64::from_le_bytes(*b));
        if len > i64::MAX.cast_unsigned() && !bevor_abi::mutated!("iov/negative") {
            return Err(Errno::EINVAL);
        }
        UserAddr(base).add(len)?;
        let len = len.min(left);
        left -= len;
        iov.push(IoVec { base, len });
    }
    Ok(iov)
}

/// Bytes in all.
#[must_use]
pub fn total(iov: &[IoVec]) -> usize {
    iov.iter().map(|v| to_usize(v.len)).sum()
}

/// Walks the parts of `iov` from byte `skip` on, `len` bytes in all, until `f` returns false.
fn parts(iov: &[IoVec], mut skip: u64, mut len: usize, mut f: impl FnMut(u64, usize) -> bool) {
    for v in iov {
        if len == 0 {
            return;
        }
        if skip >= v.len {
            skip -= v.len;
            continue;
        }
        let n = to_usize(v.len - skip).min(len);
        if !f(v.base + skip, n) {
            return;
        }
        len -= n;
        skip = 0;
    }
}

/// The largest buffer that each worker keeps for its next transfer.
const KEEP: usize = 64 << 10;
/// The largest that is kept for whoever needs one next, and how many of them.
const KEEP_SHARED: usize = CHUNK;
const SHARED: usize = 2;

thread_local! {
    /// A transfer's buffer between two transfers: it spares the allocation and the zeros. Nothing in it is ever read again.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Large buffers between two transfers: there are many workers, and few transfers of this size at once.
static LARGE: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// A worker's transfer buffer. Its bytes are whatever earlier transfers left, except those that this one has stored.
struct Buffer(Vec<u8>);

impl Buffer {
    fn take() -> Self {
        Self(SPARE.take())
    }

    /// Room for `len` bytes from `at` on.
    fn room(&mut self, at: usize, len: usize) -> &mut [u8] {
        let end = at + len;
        if end > KEEP
            && self.0.len() <= KEEP
            && let Some(large) = LARGE.lock().pop()
        {
            let small = std::mem::replace(&mut self.0, large);
            self.0[..at].copy_from_slice(&small[..at]);
            SPARE.set(small);
        }
        if self.0.len() < end {
            self.0.resize(end.next_power_of_two().max(4096), 0);
        }
        &mut self.0[at..end]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.0);
        if buffer.len() <= KEEP {
            SPARE.set(buffer);
        } else if buffer.len() <= KEEP_SHARED {
            let mut large = LARGE.lock();
            if large.len() < SHARED {
                large.push(buffer);
            }
        }
    }
}

/// Collects data for application memory.
pub struct UserSink<'a> {
    thread: &'a dyn Thread,
    iov: &'a [IoVec],
    skip: usize,
    room: usize,
    /// Bytes collected so far.
    len: usize,
    buffer: Option<Buffer>,
    /// Bytes that stand in the reply already.
    direct: usize,
}

impl<'a> UserSink<'a> {
    /// A sink for up to `len` bytes from byte `skip` of `iov` on.
    #[must_use]
    pub fn new(thread: &'a dyn Thread, iov: &'a [IoVec], skip: usize, len: usize) -> Self {
        Self { thread, iov, skip, room: len.min(total(iov).saturating_sub(skip)), len: 0, buffer: None, direct: 0 }
    }

    /// Copies out what was collected; returns how much arrived. Call it with no lock held.
    ///
    /// # Errors
    /// EFAULT if there was data and none of it arrived.
    pub fn finish(self) -> Result<usize, Errno> {
        let Some(buffer) = self.buffer.as_ref().filter(|_| self.len > 0) else {
            return Ok(self.direct);
        };
        let data = &buffer.0[..self.len];
        let single = self.skip == 0 && self.iov.len() == 1;
        if single && let Some(reply) = self.thread.reply_buffer(self.iov[0].base, data.len()) {
            reply.write(0, data);
            return Ok(data.len());
        }
        let mut at = 0;
        parts(self.iov, to_u64(self.skip), data.len(), |addr, n| {
            let done = self.thread.write_memory(addr, &data[at..at + n]);
            at += done;
            done == n
        });
        if at == 0 || bevor_abi::mutated!("readv/partial-fault") && at < data.len() { Err(Errno::EFAULT) } else { Ok(at) }
    }

    /// Whether the first byte certainly has no place: then nothing must be taken from a file.
    fn check(&self) -> Result<(), Errno> {
        let mut first = None;
        if self.len == 0 && self.direct == 0 {
            parts(self.iov, to_u64(self.skip), self.room, |addr, n| {
                first = (n > 0).then_some(addr);
                n == 0
            });
        }
        if first.is_some_and(|addr| addr < LOWEST) { Err(Errno::EFAULT) } else { Ok(()) }
    }

    /// The place in the reply for all that is wanted, if it is wanted in one piece and nothing was collected yet.
    fn whole(&self, len: usize) -> Option<SharedSlice> {
        if len != self.room || len == 0 || self.len > 0 || self.direct > 0 || self.skip > 0 || self.iov.len() != 1 {
            return None;
        }
        self.thread.reply_buffer(self.iov[0].base, len)
    }

    /// Room for the next `len` bytes.
    fn next(&mut self, len: usize) -> &mut [u8] {
        self.buffer.get_or_insert_with(Buffer::take).room(self.len, len)
    }

    fn stored(&mut self, len: usize) {
        self.len += len;
        self.room -= len;
    }
}

impl DataSink for UserSink<'_> {
    fn remaining(&self) -> usize {
        self.room
    }
    fn put(&mut self, src: &[u8]) -> Result<usize, Errno> {
        let n = src.len().min(self.room);
        if n > 0 {
            self.check()?;
        }
        if let Some(reply) = self.whole(n) {
            reply.write(0, &src[..n]);
            (self.direct, self.room) = (n, 0);
            return Ok(n);
        }
        self.next(n).copy_from_slice(&src[..n]);
        self.stored(n);
        Ok(n)
    }
    fn put_zeros(&mut self, len: usize) -> Result<usize, Errno> {
        self.check()?;
        let n = len.min(self.room);
        if let Some(reply) = self.whole(n) {
            reply.zero(0, n);
            (self.direct, self.room) = (n, 0);
            return Ok(n);
        }
        self.next(n).fill(0);
        self.stored(n);
        Ok(n)
    }
    fn put_shared(&mut self, src: &SharedSlice, offset: usize, len: usize) -> Result<usize, Errno> {
        self.check()?;
        let n = len.min(self.room);
        if let Some(reply) = self.whole(n) {
            reply.copy_from(0, src, offset, n);
            (self.direct, self.room) = (n, 0);
            return Ok(n);
        }
        src.read(offset, self.next(n));
        self.stored(n);
        Ok(n)
    }
    fn put_from_host(
        &mut self,
        fd: &HostFd,
        window: Option<&FileWindow>,
        offset: u64,
        len: usize,
    ) -> Option<Result<usize, Errno>> {
        if let Err(errno) = self.check() {
            return Some(Err(errno));
        }
        let n = len.min(self.room);
        if let Some(reply) = self.whole(n) {
            let got = match window {
                Some(window) if window.copy_to(offset, n, &reply, 0) => Ok(n),
                _ => file::pread_shared(fd, &reply, 0, n, offset),
            };
            let done = *got.as_ref().unwrap_or(&0);
            if done < n {
                self.thread.shrink_reply(done);
            }
            // A short read ends the transfer: nothing can follow what stands in the reply.
            (self.direct, self.room) = (done, 0);
            return Some(got);
        }
        let got = file::pread(fd, self.next(n), offset);
        self.stored(*got.as_ref().unwrap_or(&0));
        Some(got)
    }
}

/// Data from application memory, copied in completely.
pub struct UserSource {
    buffer: Buffer,
    len: usize,
    at: usize,
}

impl UserSource {
    /// Copies up to `len` bytes in, from byte `skip` of `iov` on; fewer if memory ends on the way.
    ///
    /// # Errors
    /// EFAULT if nothing could be read.
    pub fn gather(thread: &dyn Thread, iov: &[IoVec], skip: usize, len: usize) -> Result<Self, Errno> {
        let want = len.min(total(iov).saturating_sub(skip));
        let mut buffer = Buffer::take();
        let data = buffer.room(0, want);
        let mut got = 0;
        parts(iov, to_u64(skip), want, |addr, n| {
            let read = thread.read_memory(addr, &mut data[got..got + n]);
            got += read;
            read == n
        });
        if got == 0 && want > 0 || bevor_abi::mutated!("writev/partial-fault") && got < want {
            return Err(Errno::EFAULT);
        }
        Ok(Self { buffer, len: got, at: 0 })
    }

    /// Leaves out all beyond the first `len` bytes.
    pub fn cut(&mut self, len: usize) {
        self.len = self.len.min(self.at + len);
    }
}

/// Bytes that cannot be had: whoever asks for them hears the error, after what goes before it.
pub struct Unreadable {
    /// How many they would be.
    pub len: usize,
    /// What is the matter with them.
    pub errno: Errno,
}

impl DataSource for Unreadable {
    fn remaining(&self) -> usize {
        self.len
    }
    fn get(&mut self, _dst: &mut [u8]) -> Result<usize, Errno> {
        Err(self.errno)
    }
    fn get_shared(&mut self, _dst: &SharedSlice, _offset: usize, _len: usize) -> Result<usize, Errno> {
        Err(self.errno)
    }
}

impl DataSource for UserSource {
    fn remaining(&self) -> usize {
        self.len - self.at
    }
    fn get(&mut self, dst: &mut [u8]) -> Result<usize, Errno> {
        let n = dst.len().min(self.remaining());
        dst[..n].copy_from_slice(&self.buffer.0[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
    fn get_shared(&mut self, dst: &SharedSlice, offset: usize, len: usize) -> Result<usize, Errno> {
        let n = len.min(self.remaining());
        dst.write(offset, &self.buffer.0[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_keep_small_buffers_and_share_large_ones() {
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let mut buffer = Buffer::take();
                    buffer.room(0, 5000).fill(7);
                    assert_eq!(buffer.room(5000, CHUNK - 5000).len(), CHUNK - 5000);
                    assert!(buffer.0[..5000].iter().all(|byte| *byte == 7), "what was stored stays");
                    drop(buffer);
                    assert!(SPARE.take().capacity() <= KEEP);
                    let large = LARGE.lock();
                    assert!(large.len() <= SHARED && large.iter().all(|buffer| buffer.capacity() <= KEEP_SHARED));
                });
            }
        });
        assert!(!LARGE.lock().is_empty());
    }
}
