//! Helpers for the crate's own tests.
#![cfg(test)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::time::{Instant, TimerId, Timers};
use crate::vfs::Vfs;
use crate::wait::{PollEvents, Waiter};

/// A clock that stands still unless moved; its timers never fire by themselves.
#[derive(Default)]
pub(crate) struct TestTimers(pub(crate) AtomicU64);

impl Timers for TestTimers {
    fn now(&self) -> Instant {
        Instant(self.0.load(Ordering::Relaxed))
    }
    fn realtime(&self) -> u64 {
        1_000_000_000 + self.0.load(Ordering::Relaxed)
    }
    fn schedule(&self, _at: Instant, _events: PollEvents, _waiter: Arc<dyn Waiter>) -> TimerId {
        TimerId(1)
    }
    fn cancel(&self, _id: TimerId) {}
}

/// An empty VFS on a standing clock.
pub(crate) fn test_vfs() -> Arc<Vfs> {
    Vfs::new(Arc::new(TestTimers::default()))
}
