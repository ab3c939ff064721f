//! Pipes and FIFOs (pipe(7)).
//!
//! The buffer is a ring of page-sized slots, as on Linux, so that capacity, merging of small writes and POLLOUT agree exactly.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::Arc;

use bevor_abi::Errno;
use bevor_abi::fs::o;
use parking_lot::Mutex;

use crate::context::SyscallContext;
use crate::error::SyscallResult;
use crate::io::{DataSink, DataSource};
use crate::memory::MemoryBudget;
use crate::num::to_u64;
use crate::vfs::{File, FileOps, Vfs};
use crate::wait::{PollEvents, WaitQueue};

/// Bytes of a slot.
const PAGE: usize = 4096;
/// Writes of up to this many bytes are atomic.
pub const PIPE_BUF: usize = 4096;
/// Slots of a fresh pipe (64 KiB).
const DEFAULT_SLOTS: usize = 16;
/// /proc/sys/fs/pipe-max-size.
pub const PIPE_MAX_SIZE: usize = 1 << 20;
/// How many emptied pages are kept for reuse.
const SPARE: usize = 2;

struct Slot {
    page: Box<[u8; PAGE]>,
    start: usize,
    end: usize,
    /// O_DIRECT: a packet, read alone and never merged.
    packet: bool,
}

struct State {
    memory: Arc<MemoryBudget>,
    /// Pages that are counted there: those in slots and the spare ones.
    pages: usize,
    slots: VecDeque<Slot>,
    max: usize,
    spare: Vec<Box<[u8; PAGE]>>,
    readers: u32,
    writers: u32,
    /// Counts openings, so that a blocked FIFO open sees one that came and went.
    reader_opens: u64,
    writer_opens: u64,
}

impl State {
    fn fresh_page(&mut self) -> Result<Box<[u8; PAGE]>, Errno> {
        if let Some(page) = self.spare.pop() {
            return Ok(page);
        }
        self.memory.charge(to_u64(PAGE)).map_err(|_| Errno::ENOMEM)?;
        self.pages += 1;
        Ok(Box::new([0; PAGE]))
    }

    fn put_back(&mut self, page: Box<[u8; PAGE]>) {
        if self.spare.len() < SPARE {
            self.spare.push(page);
        } else {
            self.pages -= 1;
            self.memory.release(to_u64(PAGE));
        }
    }

    fn clear(&mut self) {
        self.slots.clear();
        self.spare.clear();
        self.memory.release(to_u64(self.pages * PAGE));
        self.pages = 0;
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.clear();
    }
}

/// A pipe: the object that both ends and a FIFO's inode share.
pub struct Pipe {
    anonymous: bool,
    state: Mutex<State>,
    queue: WaitQueue,
}

impl Pipe {
    /// An empty FIFO without ends.
    #[must_use]
    pub fn new(memory: &Arc<MemoryBudget>) -> Arc<Self> {
        Self::make(memory, false)
    }

    fn make(memory: &Arc<MemoryBudget>, anonymous: bool) -> Arc<Self> {
        Arc::new(Self {
            anonymous,
            state: Mutex::new(State {
                memory: Arc::clone(memory),
                pages: 0,
                slots: VecDeque::new(),
                max: DEFAULT_SLOTS,
                spare: Vec::new(),
                readers: 0,
                writers: 0,
                reader_opens: 0,
                writer_opens: 0,
            }),
            queue: WaitQueue::new(),
        })
    }

    /// pipe2(2): read end and write end. `flags`: O_NONBLOCK, O_DIRECT.
    #[must_use]
    pub fn create(vfs: &Vfs, flags: u32, owner: (u32, u32)) -> [Arc<File>; 2] {
        let pipe = Self::make(vfs.memory(), true);
        let read: Arc<dyn FileOps> = PipeEnd::attach(&pipe, true, false);
        let write: Arc<dyn FileOps> = PipeEnd::attach(&pipe, false, true);
        let reader = vfs.anon_file(
            "pipe:[{}]",
            0o010_600,
            read,
            o::RDONLY | bevor_abi::mutant!("pipe2/nonblock-reader", flags & o::NONBLOCK, 0),
            owner,
        );
        reader.inode().set_fifo(Arc::clone(&pipe));
        let name = String::from_utf8_lossy(&reader.path().dentry.name()).into_owned();
        let writer = vfs.anon_file_of(&name, Arc::clone(reader.inode()), write, o::WRONLY | flags);
        [reader, writer]
    }

    /// Whether pipe(2) has made it: who opens such a one again (through /proc/PID/fd) does not wait for the other side.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.anonymous
    }

    /// Readers and writers now.
    #[must_use]
    pub fn ends(&self) -> (u32, u32) {
        let state = self.state.lock();
        (state.readers, state.writers)
    }

    /// How often the pipe has been opened for reading and for writing.
    #[must_use]
    pub fn opens(&self) -> (u64, u64) {
        let state = self.state.lock();
        (state.reader_opens, state.writer_opens)
    }

    /// Woken on every change.
    #[must_use]
    pub fn queue(&self) -> &WaitQueue {
        &self.queue
    }

    /// Bytes in the pipe (FIONREAD).
    #[must_use]
    pub fn len(&self) -> usize {
        self.state
            .lock()
            .slots
            .iter()
            .take(bevor_abi::mutant!("pipes/fionread-first", usize::MAX, 1))
            .map(|s| s.end - s.start)
            .sum()
    }

    /// Whether it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.state.lock().slots.is_empty()
    }

    /// F_GETPIPE_SZ.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.state.lock().max * PAGE
    }

    /// F_SETPIPE_SZ; returns the new size.
    ///
    /// # Errors
    /// EINVAL for too much; EPERM beyond the limit if not `privileged`; EBUSY if more is in the pipe.
    pub fn set_capacity(&self, size: usize, privileged: bool) -> Result<usize, Errno> {
        if size > 1 << 31 {
            return Err(Errno::EINVAL);
        }
        let rounded =
            bevor_abi::mutant!("pipes/size-unrounded", size.max(PAGE).next_power_of_two(), size.max(PAGE).next_multiple_of(PAGE));
        let mut state = self.state.lock();
        let slots = rounded / PAGE;
        if slots > state.max && rounded > PIPE_MAX_SIZE && !privileged && !bevor_abi::mutated!("pipes/size-anybody") {
            return Err(Errno::EPERM);
        }
        if bevor_abi::mutant!("pipes/size-busy", state.slots.len() > slots, state.slots.len() >= slots) {
            return Err(Errno::EBUSY);
        }
        let grew = slots > state.max && !bevor_abi::mutated!("pipes/size-no-wake");
        state.max = slots;
        drop(state);
        if grew {
            self.queue.wake(PollEvents::OUT | PollEvents::WRNORM);
        }
        Ok(rounded)
    }

    fn read(&self, sink: &mut dyn DataSink) -> Result<usize, Errno> {
        if sink.remaining() == 0 && !bevor_abi::mutated!("pipes/zero-read") {
            return Ok(0);
        }
        let mut done = 0;
        // Nobody waits for room in a pipe that is not full, and who watches it for room is told once.
        let mut freed = false;
        {
            let mut state = self.state.lock();
            let full = state.slots.len() >= state.max;
            if state.slots.is_empty() {
                return if state.writers == 0 { Ok(0) } else { Err(Errno::EAGAIN) };
            }
            while let Some(slot) = state.slots.front_mut() {
                let n = match sink.put(&slot.page[slot.start..slot.end]) {
                    Ok(n) => n,
                    Err(e) if done == 0 => return Err(e),
                    Err(_) => break,
                };
                slot.start += n;
                done += n;
                let packet = slot.packet;
                if (slot.start == slot.end || packet && !bevor_abi::mutated!("pipes/packet-rest"))
                    && let Some(slot) = state.slots.pop_front()
                {
                    state.put_back(slot.page);
                    freed = full;
                }
                if packet && !bevor_abi::mutated!("pipes/packet-merge") || n == 0 || sink.remaining() == 0 {
                    break;
                }
            }
        }
        if (freed || bevor_abi::mutated!("pipes/room-again")) && !bevor_abi::mutated!("pipes/read-no-wake") {
            self.queue.wake(PollEvents::OUT | PollEvents::WRNORM);
        }
        Ok(done)
    }

    /// Gives back the end of what was read, for whom it was meant has not taken it. What there is no memory for is lost.
    pub fn unread(&self, tail: &[u8]) {
        if tail.is_empty() {
            return;
        }
        {
            let mut state = self.state.lock();
            for bytes in tail.rchunks(PAGE) {
                let Ok(mut page) = state.fresh_page() else { return };
                page[..bytes.len()].copy_from_slice(bytes);
                state.slots.push_front(Slot { page, start: 0, end: bytes.len(), packet: false });
            }
        }
        self.queue.wake(PollEvents::IN | PollEvents::RDNORM);
    }

    /// A copy of up to `max` bytes from the front, which stay (tee(2)); empty at the end.
    ///
    /// # Errors
    /// EAGAIN while there is nothing and a writer.
    pub fn peek(&self, max: usize) -> Result<Vec<u8>, Errno> {
        let state = self.state.lock();
        if state.slots.is_empty() {
            return if state.writers == 0 { Ok(Vec::new()) } else { Err(Errno::EAGAIN) };
        }
        let mut out = Vec::new();
        for slot in &state.slots {
            let bytes = &slot.page[slot.start..slot.end];
            out.extend_from_slice(&bytes[..bytes.len().min(max - out.len())]);
            if out.len() == max || bevor_abi::mutated!("tee/first-page") {
                break;
            }
        }
        Ok(out)
    }

    fn write(&self, source: &mut dyn DataSource, packet: bool) -> Result<usize, Errno> {
        let total = source.remaining();
        let mut done = 0;
        let quiet = bevor_abi::mutated!("pipes/edge-from-empty") && !self.is_empty();
        {
            let mut state = self.state.lock();
            if total == 0 && !(bevor_abi::mutated!("pipes/zero-write") && state.readers == 0) {
                return Ok(0);
            }
            if state.readers == 0 {
                return Err(Errno::EPIPE);
            }
            // The odd bytes of a write go behind what the last page holds, if they fit there whole.
            let odd = total % PAGE;
            if odd != 0
                && !packet
                && !bevor_abi::mutated!("pipes/no-merge")
                && let Some(last) = state.slots.back_mut()
                && !last.packet
                && (last.end + odd <= PAGE || bevor_abi::mutated!("pipes/split") && last.end < PAGE)
            {
                let odd = odd.min(PAGE - last.end);
                let end = last.end;
                let n = source.get(&mut last.page[end..end + odd])?;
                last.end += n;
                done += n;
            }
            while done < total && state.slots.len() < state.max {
                let mut page = match state.fresh_page() {
                    Ok(page) => page,
                    Err(e) if done == 0 => return Err(e),
                    Err(_) => break,
                };
                let n = match source.get(&mut page[..]) {
                    Ok(n) if n > 0 => n,
                    other => {
                        state.put_back(page);
                        if done == 0 {
                            other?;
                        }
                        break;
                    }
                };
                done += n;
                state.slots.push_back(Slot { page, start: 0, end: n, packet });
            }
        }
        if done == 0 {
            return Err(Errno::EAGAIN);
        }
        if !quiet {
            self.queue.wake(PollEvents::IN | PollEvents::RDNORM);
        }
        Ok(done)
    }
}

/// One open end (both, for a FIFO opened O_RDWR).
pub struct PipeEnd {
    pipe: Arc<Pipe>,
    reads: bool,
    writes: bool,
    /// How often a FIFO had been opened for writing before this end was: who went earlier has not hung up on it.
    since: u64,
}

impl PipeEnd {
    /// Adds an end to `pipe`.
    #[must_use]
    pub fn attach(pipe: &Arc<Pipe>, reads: bool, writes: bool) -> Arc<Self> {
        let since;
        {
            let mut state = pipe.state.lock();
            since = if pipe.anonymous || state.writers > 0 { 0 } else { state.writer_opens };
            state.readers += u32::from(reads);
            state.writers += u32::from(writes);
            state.reader_opens += u64::from(reads);
            state.writer_opens += u64::from(writes);
        }
        pipe.queue.wake(PollEvents::all());
        Arc::new(Self { pipe: Arc::clone(pipe), reads, writes, since })
    }

    /// The pipe.
    #[must_use]
    pub fn pipe(&self) -> &Arc<Pipe> {
        &self.pipe
    }
}

impl FileOps for PipeEnd {
    fn read_at(&self, _file: &File, _offset: u64, sink: &mut dyn DataSink) -> Result<usize, Errno> {
        self.pipe.read(sink)
    }
    fn write_at(&self, file: &File, _offset: u64, source: &mut dyn DataSource) -> Result<usize, Errno> {
        self.pipe.write(source, file.flags() & o::DIRECT != 0)
    }
    fn poll(&self, _file: &File) -> PollEvents {
        let state = self.pipe.state.lock();
        let mut events = PollEvents::empty();
        if self.reads {
            if !state.slots.is_empty() {
                events |= PollEvents::IN | PollEvents::RDNORM;
            }
            if state.writers == 0
                && (state.writer_opens > bevor_abi::mutant!("pipes/old-hangup", self.since, 0)
                    || bevor_abi::mutated!("pipes/fresh-hangup"))
            {
                events |= PollEvents::HUP;
            }
        }
        if self.writes {
            if state.slots.len() < state.max {
                events |= PollEvents::OUT | PollEvents::WRNORM;
            }
            if state.readers == 0 && !bevor_abi::mutated!("pipes/no-reader-error") {
                events |= PollEvents::ERR;
            }
        }
        events
    }
    fn queue(&self) -> Option<&WaitQueue> {
        Some(&self.pipe.queue)
    }
    fn ioctl(&self, _file: &File, ctx: &mut SyscallContext<'_>, request: u32, arg: u64) -> SyscallResult {
        if request != 0x541b {
            return Err(Errno::ENOTTY.into());
        }
        let n = i32::try_from(self.pipe.len()).unwrap_or(i32::MAX);
        ctx.copy_out_value(bevor_abi::UserAddr(arg), &n)?;
        Ok(0)
    }
    fn release(&self, _file: &File) {
        {
            let mut state = self.pipe.state.lock();
            state.readers -= u32::from(self.reads);
            state.writers -= u32::from(self.writes);
            if state.readers == 0 && state.writers == 0 {
                state.clear();
            }
        }
        if !bevor_abi::mutated!("pipes/close-no-wake") {
            self.pipe.queue.wake(PollEvents::all());
        }
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::{SliceSource, VecSink};

    fn open() -> (Arc<Pipe>, Arc<PipeEnd>, Arc<PipeEnd>) {
        let pipe = Pipe::new(&MemoryBudget::unlimited());
        let r = PipeEnd::attach(&pipe, true, false);
        let w = PipeEnd::attach(&pipe, false, true);
        (pipe, r, w)
    }

    fn read(pipe: &Pipe, n: usize) -> Result<Vec<u8>, Errno> {
        let mut data = Vec::new();
        pipe.read(&mut VecSink { data: &mut data, room: n })?;
        Ok(data)
    }

    #[test]
    fn small_writes_share_a_page_and_the_capacity_is_64_kib() {
        let (pipe, _r, _w) = open();
        for _ in 0..65536 {
            pipe.write(&mut SliceSource(b"x"), false).unwrap();
        }
        assert_eq!(pipe.write(&mut SliceSource(b"x"), false), Err(Errno::EAGAIN));
        assert_eq!(pipe.len(), 65536);
    }

    #[test]
    fn a_full_pipe_takes_no_byte_until_a_whole_page_was_read() {
        let (pipe, _r, _w) = open();
        assert_eq!(pipe.write(&mut SliceSource(&[7; 70000]), false), Ok(65536));
        assert_eq!(read(&pipe, 4095).map(|d| d.len()), Ok(4095));
        assert_eq!(pipe.write(&mut SliceSource(b"x"), false), Err(Errno::EAGAIN));
        assert_eq!(read(&pipe, 1).map(|d| d.len()), Ok(1));
        assert_eq!(pipe.write(&mut SliceSource(b"x"), false), Ok(1));
    }

    #[test]
    fn writes_up_to_pipe_buf_are_all_or_nothing() {
        let (pipe, _r, _w) = open();
        pipe.write(&mut SliceSource(&[1; 65536 - 100]), false).unwrap();
        assert_eq!(pipe.write(&mut SliceSource(&[2; 200]), false), Err(Errno::EAGAIN));
        assert_eq!(pipe.write(&mut SliceSource(&[2; 100]), false), Ok(100));
    }

    #[test]
    fn packets_keep_their_borders_and_lose_what_does_not_fit() {
        let (pipe, _r, _w) = open();
        pipe.write(&mut SliceSource(b"abc"), true).unwrap();
        pipe.write(&mut SliceSource(b"de"), true).unwrap();
        assert_eq!(read(&pipe, 2).as_deref(), Ok(&b"ab"[..]));
        assert_eq!(read(&pipe, 9).as_deref(), Ok(&b"de"[..]));
    }

    #[test]
    fn shrinking_below_the_contents_is_ebusy() {
        let (pipe, _r, _w) = open();
        pipe.write(&mut SliceSource(&[0; 8192]), false).unwrap();
        assert_eq!(pipe.set_capacity(4096, false), Err(Errno::EBUSY));
        assert_eq!(pipe.set_capacity(5000, false), Ok(8192));
        assert_eq!(pipe.set_capacity(2 << 20, false), Err(Errno::EPERM));
    }
}
