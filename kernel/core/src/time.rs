//! Clocks and timers. Times are nanoseconds; deadlines are absolute on CLOCK_MONOTONIC of the host.

use std::sync::Arc;

use crate::wait::{PollEvents, Waiter};

/// Nanoseconds of CLOCK_MONOTONIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(pub u64);

/// The sentry's timers: data in one heap, served by one thread.
pub trait Timers: Send + Sync {
    /// The current time.
    fn now(&self) -> Instant;
    /// The current time, exact to some milliseconds, for less.
    fn coarse(&self) -> u64 {
        self.now().0
    }
    /// CPU time of the calling host thread, in nanoseconds.
    fn thread_time(&self) -> u64 {
        self.now().0
    }
    /// The current CLOCK_REALTIME in nanoseconds since the epoch.
    fn realtime(&self) -> u64;
    /// Calls `waiter.notify(events)` once at `at`, unless the returned id is cancelled before.
    fn schedule(&self, at: Instant, events: PollEvents, waiter: Arc<dyn Waiter>) -> TimerId;
    /// Cancels; does nothing if it has already fired.
    fn cancel(&self, id: TimerId);
}

/// Names a scheduled timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerId(pub u64);
