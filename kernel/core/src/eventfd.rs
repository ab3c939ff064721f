//! eventfd(2).

use std::any::Any;
use std::sync::Arc;

use bevor_abi::Errno;
use bevor_abi::fs::o;
use parking_lot::Mutex;

use crate::io::{DataSink, DataSource};
use crate::vfs::file::seek_nowhere;
use crate::vfs::{File, FileOps, Vfs};
use crate::wait::{PollEvents, WaitQueue};

/// An event counter.
pub struct EventFd {
    count: Mutex<u64>,
    semaphore: bool,
    queue: WaitQueue,
}

impl EventFd {
    /// eventfd2(2). `flags`: open(2)'s O_NONBLOCK.
    #[must_use]
    pub fn create(vfs: &Vfs, initial: u32, semaphore: bool, flags: u32, owner: (u32, u32)) -> Arc<File> {
        let ops = Arc::new(Self { count: Mutex::new(u64::from(initial)), semaphore, queue: WaitQueue::new() });
        vfs.anon_file("anon_inode:[eventfd]", 0o600, ops, o::RDWR | flags & o::NONBLOCK, owner)
    }
}

impl FileOps for EventFd {
    fn read_at(&self, _file: &File, _offset: u64, sink: &mut dyn DataSink) -> Result<usize, Errno> {
        if sink.remaining() < 8 {
            return Err(Errno::EINVAL);
        }
        let value = {
            let mut count = self.count.lock();
            if *count == 0 {
                return Err(Errno::EAGAIN);
            }
            let value = if self.semaphore { 1 } else { *count };
            *count -= bevor_abi::mutant!("eventfd/semaphore-all", value, *count);
            value
        };
        if !bevor_abi::mutated!("eventfd/read-no-wake") {
            self.queue.wake(PollEvents::OUT | PollEvents::WRNORM);
        }
        sink.put(&value.to_le_bytes())
    }
    fn write_at(&self, _file: &File, _offset: u64, source: &mut dyn DataSource) -> Result<usize, Errno> {
        let len = source.remaining();
        if bevor_abi::mutant!("eventfd/long-write", len != 8, len < 8) {
            return Err(Errno::EINVAL);
        }
        let mut bytes = [0; 8];
        source.get(&mut bytes)?;
        let value = u64::from_le_bytes(bytes);
        if value == u64::MAX {
            return Err(bevor_abi::mutant!("eventfd/greatest", Errno::EINVAL, Errno::EAGAIN));
        }
        {
            let mut count = self.count.lock();
            *count = count
                .checked_add(value)
                .filter(|n| bevor_abi::mutant!("eventfd/overflow-boundary", *n < u64::MAX, *n < u64::MAX - 1))
                .ok_or(Errno::EAGAIN)?;
        }
        self.queue.wake(PollEvents::IN | PollEvents::RDNORM);
        Ok(8)
    }
    fn poll(&self, _file: &File) -> PollEvents {
        let count = *self.count.lock();
        let mut events = PollEvents::empty();
        if count > 0 {
            events |= PollEvents::IN;
        }
        if bevor_abi::mutant!("eventfd/full-writable", count < u64::MAX - 1, count < u64::MAX) {
            events |= PollEvents::OUT;
        }
        events
    }
    fn seek(&self, _file: &File, _offset: i64, whence: u32) -> Option<Result<u64, Errno>> {
        Some(seek_nowhere(whence))
    }
    fn queue(&self) -> Option<&WaitQueue> {
        Some(&self.queue)
    }
    fn fdinfo(&self, _file: &File) -> String {
        let count = *self.count.lock();
        bevor_abi::mutant!(
            "eventfd/fdinfo-decimal",
            format!("eventfd-count: {count:16x}\n"),
            format!("eventfd-count: {count:16}\n")
        )
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}
