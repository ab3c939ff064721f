//! One thread's channel: typed access to memory that the untrusted stub shares.
//!
//! Every read copies once; nothing that was read decides about the sentry's memory without a check.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bevor_hostcall::{SharedMemory, SharedSlice};
use bevor_stub::layout::channel as at;
use bevor_stub::layout::{BOUNCE_SIZE, CHANNEL_SIZE, SMALL, WINDOW_SMALL};

use crate::api::{AltStack, EndWords, Identity, SyscallRequest};

/// Application memory that came along with a request.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Window {
    pub(crate) addr: u64,
    pub(crate) len: usize,
    pub(crate) place: Place,
}

/// Where a window's bytes are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    /// In the request's or reply's own line.
    Small,
    /// At this offset in the data area.
    Data(usize),
}

impl Default for Place {
    fn default() -> Self {
        Self::Data(0)
    }
}

/// A request, copied out of the channel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) kind: u32,
    pub(crate) call: SyscallRequest,
    pub(crate) windows: [Window; 2],
    /// End of the request's data in the data area.
    pub(crate) used: usize,
}

pub(crate) struct Channel {
    memory: Arc<SharedMemory>,
    base: usize,
}

impl Channel {
    pub(crate) fn new(memory: Arc<SharedMemory>, index: u32) -> Self {
        let base = usize::try_from(index).unwrap_or(0) * CHANNEL_SIZE;
        assert!(base + CHANNEL_SIZE <= memory.len(), "a channel inside its slab");
        Self { memory, base }
    }

    fn load32(&self, field: usize) -> u32 {
        self.memory.atomic_u32(self.base + field).load(Ordering::Relaxed)
    }

    fn store32(&self, field: usize, value: u32) {
        self.memory.atomic_u32(self.base + field).store(value, Ordering::Relaxed);
    }

    fn load64(&self, field: usize) -> u64 {
        self.memory.atomic_u64(self.base + field).load(Ordering::Relaxed)
    }

    fn store64(&self, field: usize, value: u64) {
        self.memory.atomic_u64(self.base + field).store(value, Ordering::Relaxed);
    }

    /// Sequence of the latest request.
    pub(crate) fn request_seq(&self) -> u32 {
        self.memory.atomic_u32(self.base + at::REQ_SEQ).load(Ordering::Acquire)
    }

    /// Copies the request. Lengths and offsets are clamped to the data area.
    pub(crate) fn request(&self) -> Request {
        let mut args = [0; 6];
        for (i, a) in args.iter_mut().enumerate() {
            *a = self.load64(at::ARGS + 8 * i);
        }
        let used_word = self.load32(at::IN_USED);
        let mut windows = [Window::default(); 2];
        let mut used = 0;
        if used_word & 0x8000_0000 != 0 {
            used = usize::try_from(used_word & 0x7fff_ffff).unwrap_or(0).min(BOUNCE_SIZE);
            for (i, w) in windows.iter_mut().enumerate() {
                let field = at::IN + 16 * i;
                let len = usize::try_from(self.load32(field + 8)).unwrap_or(0);
                let off = self.load32(field + 12);
                let (place, room) = match usize::try_from(off).unwrap_or(usize::MAX) {
                    _ if i == 0 && off == WINDOW_SMALL => (Place::Small, SMALL),
                    off => (Place::Data(off), BOUNCE_SIZE.saturating_sub(off)),
                };
                if len <= room {
                    *w = Window { addr: self.load64(field), len, place };
                }
            }
        }
        let call = SyscallRequest { nr: u64::from(self.load32(at::NR)), args };
        Request { kind: self.load32(at::REQ_KIND), call, windows, used }
    }

    /// Reads what came along with a request, from byte `skip` of `window` on; the range must lie inside it.
    pub(crate) fn read_window(&self, window: &Window, skip: usize, dst: &mut [u8]) {
        let start = match window.place {
            Place::Small => at::IN_SMALL,
            Place::Data(off) => at::DATA + off,
        };
        self.memory.read(self.base + start + skip, dst);
    }

    /// Reads what was stored for a reply's window.
    pub(crate) fn read_out(&self, window: &Window, dst: &mut [u8]) {
        let start = match window.place {
            Place::Small => at::OUT_SMALL,
            Place::Data(off) => at::DATA + off,
        };
        self.memory.read(self.base + start, dst);
    }

    /// The place for the bytes of a reply's window.
    pub(crate) fn out_slice(&self, window: &Window) -> Option<SharedSlice> {
        let start = match window.place {
            Place::Small => at::OUT_SMALL,
            Place::Data(off) => at::DATA + off,
        };
        self.memory.slice(self.base + start, window.len).ok()
    }

    pub(crate) fn write_data(&self, off: usize, src: &[u8]) {
        self.memory.write(self.base + at::DATA + off, src);
    }

    pub(crate) fn set_out(&self, index: usize, window: Window) {
        let field = if index == 0 { at::OUT0 } else { at::OUT1 };
        self.store64(field, window.addr);
        self.store32(field + 8, u32::try_from(window.len).unwrap_or(0));
        let off = match window.place {
            Place::Small => WINDOW_SMALL,
            Place::Data(off) => u32::try_from(off).unwrap_or(0),
        };
        self.store32(field + 12, off);
    }

    pub(crate) fn set_op(&self, index: usize, value: u64) {
        self.store64(at::OP + 8 * index, value);
    }

    /// Publishes the reply to request `seq`.
    pub(crate) fn publish(&self, seq: u32, kind: u32, result: i64, outs: u32) {
        // Both halves of one word: the kind and the number of windows.
        self.store32(at::REP_KIND, kind | outs << 16);
        self.store64(at::RESULT, result.cast_unsigned());
        self.memory.atomic_u32(self.base + at::REP_SEQ).store(seq, Ordering::Release);
    }

    /// The answer to `seq` will take long.
    pub(crate) fn park(&self, seq: u32) {
        self.memory.atomic_u32(self.base + at::PARK_SEQ).store(seq, Ordering::Release);
    }

    /// Wakes a stub that sleeps until the reply to a parked request.
    pub(crate) fn wake_parked(&self) {
        self.memory.futex_wake(self.base + at::REP_SEQ);
    }

    /// Makes a thread stop that cannot be signalled yet.
    pub(crate) fn set_kick(&self) {
        self.memory.atomic_u32(self.base + at::KICK).store(1, Ordering::SeqCst);
    }

    /// The host process of the thread's latest fork, as the stub says.
    pub(crate) fn forked_pid(&self) -> i32 {
        self.load32(at::FORKED_PID).cast_signed()
    }

    pub(crate) fn end_words(&self) -> EndWords {
        EndWords { clear_tid: self.load64(at::CLEAR_TID), robust_list: self.load64(at::ROBUST_LIST) }
    }

    pub(crate) fn set_end_words(&self, words: EndWords) {
        self.store64(at::CLEAR_TID, words.clear_tid);
        self.store64(at::ROBUST_LIST, words.robust_list);
    }

    /// Before a fork: no earlier one's process is taken for this one's.
    pub(crate) fn forget_fork(&self) {
        self.store32(at::FORKED_PID, 0);
    }

    /// Says whether a sentry thread polls this channel. After clearing, the caller looks at `request_seq` once more.
    pub(crate) fn set_watched(&self, on: bool) {
        self.memory.atomic_u32(self.base + at::WATCHED).store(u32::from(on), Ordering::SeqCst);
    }

    /// Sets the sentry's words of a channel that already holds a request (the zygote's).
    pub(crate) fn adopt(&self, slot: u32, space: u64) {
        self.store32(at::SLOT, slot);
        self.store64(at::SPACE, space);
    }

    /// A channel for a new thread, without what an earlier thread of the same process left in its words.
    pub(crate) fn init(&self, slot: u32, space: u64) {
        self.memory.zero(self.base, at::DATA);
        self.store32(at::SLOT, slot);
        self.store32(at::REGION, slot);
        self.store64(at::SPACE, space);
        self.store32(at::LOCAL_CALLS, 1);
        self.store32(at::ALT_FLAGS, 0);
    }

    pub(crate) fn set_identity(&self, id: Identity) {
        let words = [id.pid.cast_unsigned(), id.tid.cast_unsigned(), id.ppid.cast_unsigned(), id.uid, id.euid, id.gid, id.egid];
        for (i, w) in words.into_iter().enumerate() {
            self.store32(at::ID + 4 * i, w);
        }
    }

    pub(crate) fn set_local_calls(&self, on: bool) {
        self.store32(at::LOCAL_CALLS, u32::from(on));
    }

    pub(crate) fn sigmask(&self) -> u64 {
        self.memory.atomic_u64(self.base + at::SIGMASK).load(Ordering::SeqCst)
    }

    pub(crate) fn set_sigmask(&self, mask: u64) {
        self.memory.atomic_u64(self.base + at::SIGMASK).store(mask, Ordering::SeqCst);
    }

    pub(crate) fn set_pending(&self, pending: u64) {
        self.memory.atomic_u64(self.base + at::PENDING).store(pending, Ordering::SeqCst);
    }

    pub(crate) fn altstack(&self) -> AltStack {
        AltStack { sp: self.load64(at::ALT_SP), size: self.load64(at::ALT_SIZE), flags: self.load32(at::ALT_FLAGS) }
    }

    pub(crate) fn set_altstack(&self, alt: AltStack) {
        self.store64(at::ALT_SP, alt.sp);
        self.store64(at::ALT_SIZE, alt.size);
        self.store32(at::ALT_FLAGS, alt.flags);
    }

    pub(crate) fn host_tid(&self) -> i32 {
        self.memory.atomic_u32(self.base + at::HOST_TID).load(Ordering::SeqCst).cast_signed()
    }

    pub(crate) fn set_host_tid(&self, tid: i32) {
        self.store32(at::HOST_TID, tid.cast_unsigned());
    }
}
