//! Helpers for the crate's own tests.
#![cfg(test)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::time::{Instant, TimerId, Timers};
use crate::vfs::Vfs;
use crate::wait::{PollEvents, Waiter};

/// A clock that stands still unless moved; its timers fire when they are told to.
#[derive(Default)]
pub(crate) struct TestTimers(pub(crate) AtomicU64, Mutex<Vec<Arc<dyn Waiter>>>);

impl TestTimers {
    /// All that were scheduled fire.
    pub(crate) fn fire(&self) {
        let all = std::mem::take(&mut *self.1.lock());
        all.iter().for_each(|waiter| waiter.notify(PollEvents::IN));
    }
}

impl Timers for TestTimers {
    fn now(&self) -> Instant {
        Instant(self.0.load(Ordering::Relaxed))
    }
    fn realtime(&self) -> u64 {
        1_000_000_000 + self.0.load(Ordering::Relaxed)
    }
    fn schedule(&self, _at: Instant, _events: PollEvents, waiter: Arc<dyn Waiter>) -> TimerId {
        self.1.lock().push(waiter);
        TimerId(1)
    }
    fn cancel(&self, _id: TimerId) {}
}

/// An empty VFS on a standing clock.
pub(crate) fn test_vfs() -> Arc<Vfs> {
    Vfs::new(Arc::new(TestTimers::default()))
}
