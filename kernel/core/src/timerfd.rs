//! timerfd_create(2).

use std::any::Any;
use std::sync::Arc;

use bevor_abi::Errno;
use bevor_abi::fs::o;
use parking_lot::Mutex;

use crate::io::{DataSink, DataSource};
use crate::time::{Instant, TimerId, Timers};
use crate::vfs::file::seek_nowhere;
use crate::vfs::{File, FileOps, Vfs};
use crate::wait::{PollEvents, WaitQueue, Waiter};

#[derive(Default)]
struct State {
    /// Next expiry on CLOCK_MONOTONIC.
    deadline: Option<Instant>,
    interval: u64,
    timer: Option<TimerId>,
}

struct Wake(WaitQueue);

impl Waiter for Wake {
    fn notify(&self, _events: PollEvents) {
        self.0.wake(PollEvents::IN | PollEvents::RDNORM);
    }
}

/// A timer that is read as a file.
pub struct TimerFd {
    state: Mutex<State>,
    timers: Arc<dyn Timers>,
    wake: Arc<Wake>,
    realtime: bool,
}

impl TimerFd {
    /// A disarmed timer. `realtime`: of CLOCK_REALTIME (or its alarm).
    #[must_use]
    pub fn create(vfs: &Vfs, realtime: bool, flags: u32, owner: (u32, u32)) -> Arc<File> {
        let ops = Arc::new(Self {
            state: Mutex::default(),
            timers: Arc::clone(&vfs.timers),
            wake: Arc::new(Wake(WaitQueue::new())),
            realtime,
        });
        vfs.anon_file("anon_inode:[timerfd]", 0o600, ops, o::RDWR | flags & o::NONBLOCK, owner)
    }

    /// timerfd_settime(2): first expiry (0 disarms) and interval in nanoseconds; `absolute` on the timer's clock. Returns what
    /// was set before: (time left, interval).
    #[must_use]
    pub fn set(&self, value: u64, interval: u64, absolute: bool) -> (u64, u64) {
        let now = self.timers.now();
        let mut state = self.state.lock();
        let old = Self::left(&mut state, now);
        if let Some(id) = state.timer.take() {
            self.timers.cancel(id);
        }
        state.interval = bevor_abi::mutant!("timerfd/disarm-interval", interval, if value == 0 { 0 } else { interval });
        state.deadline = (value != 0).then(|| {
            if !absolute {
                Instant(now.0.saturating_add(value))
            } else if self.realtime && !bevor_abi::mutated!("timerfd/wrong-clock") {
                let ahead = value.saturating_sub(self.timers.realtime());
                Instant(now.0.saturating_add(bevor_abi::mutant!(
                    "timerfd/realtime-past",
                    ahead,
                    if ahead == 0 { u64::MAX } else { ahead }
                )))
            } else {
                Instant(bevor_abi::mutant!("timerfd/absolute-relative", value, now.0.saturating_add(value)))
            }
        });
        self.arm(&mut state);
        old
    }

    /// timerfd_gettime(2): (time left, interval).
    #[must_use]
    pub fn get(&self) -> (u64, u64) {
        Self::left(&mut self.state.lock(), self.timers.now())
    }

    fn left(state: &mut State, now: Instant) -> (u64, u64) {
        let left = match state.deadline {
            None => 0,
            Some(at) if at > now => at.0 - now.0,
            Some(_) if state.interval == 0 => 0,
            // Expired and not read yet: until the next multiple.
            Some(at) => bevor_abi::mutant!("timerfd/expired-left", state.interval - (now.0 - at.0) % state.interval, 0),
        };
        (left, state.interval)
    }

    fn arm(&self, state: &mut State) {
        if let Some(at) = state.deadline {
            let waiter: Arc<dyn Waiter> = Arc::<Wake>::clone(&self.wake);
            state.timer = Some(self.timers.schedule(at, PollEvents::IN, waiter));
        }
    }

    /// Takes the expirations since the last read.
    fn take(&self) -> u64 {
        let now = self.timers.now();
        let mut state = self.state.lock();
        let Some(at) = state.deadline.filter(|at| *at <= now) else {
            return 0;
        };
        state.timer = None;
        if state.interval == 0 {
            state.deadline = None;
            return 1;
        }
        let count = (now.0 - at.0) / state.interval + 1;
        let shown = bevor_abi::mutant!("timerfd/count", count, 1);
        state.deadline = Some(Instant(at.0.saturating_add(count.saturating_mul(state.interval))));
        if !bevor_abi::mutated!("timerfd/no-rearm") {
            self.arm(&mut state);
        }
        shown
    }
}

impl FileOps for TimerFd {
    fn read_at(&self, _file: &File, _offset: u64, sink: &mut dyn DataSink) -> Result<usize, Errno> {
        if sink.remaining() < 8 {
            return Err(Errno::EINVAL);
        }
        match self.take() {
            0 => Err(Errno::EAGAIN),
            count => sink.put(&count.to_le_bytes()),
        }
    }
    fn write_at(&self, _file: &File, _offset: u64, _source: &mut dyn DataSource) -> Result<usize, Errno> {
        Err(Errno::EINVAL)
    }
    fn poll(&self, _file: &File) -> PollEvents {
        let now = self.timers.now();
        if self.state.lock().deadline.is_some_and(|at| at <= now) { PollEvents::IN } else { PollEvents::empty() }
    }
    fn seek(&self, _file: &File, _offset: i64, whence: u32) -> Option<Result<u64, Errno>> {
        Some(seek_nowhere(whence))
    }
    fn queue(&self) -> Option<&WaitQueue> {
        Some(&self.wake.0)
    }
    fn release(&self, _file: &File) {
        if let Some(id) = self.state.lock().timer.take() {
            self.timers.cancel(id);
        }
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}
