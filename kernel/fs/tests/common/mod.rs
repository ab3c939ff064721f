//! What tests of file systems share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bevor_core::time::{Instant, TimerId, Timers};
use bevor_core::wait::{PollEvents, Waiter};

/// A clock that goes on by a nanosecond whenever it is looked at; its timers never fire.
#[derive(Default)]
pub(crate) struct Clock(AtomicU64);

impl Timers for Clock {
    fn now(&self) -> Instant {
        Instant(self.0.fetch_add(1, Ordering::Relaxed))
    }
    fn realtime(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
    fn schedule(&self, _at: Instant, _events: PollEvents, _waiter: Arc<dyn Waiter>) -> TimerId {
        TimerId(0)
    }
    fn cancel(&self, _id: TimerId) {}
}
