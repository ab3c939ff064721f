//! Pending signals: at most one of each standard signal, real-time ones queued in order.

use std::collections::VecDeque;
use std::sync::Arc;

use bevor_abi::signal::{self, SIGRTMIN, bit};

use super::info::SigInfo;
use crate::memory::ObjectCharge;

/// What a queued signal is counted by.
#[derive(Debug)]
pub enum Place {
    /// Nothing: there can be only one of it.
    Free,
    /// A place of its own.
    Own(ObjectCharge),
    /// The place of its POSIX timer, which outlasts the timer while the signal is queued.
    Timer(Arc<ObjectCharge>),
}

/// The pending signals of a task or of a thread group.
#[derive(Debug, Default)]
pub struct PendingSignals {
    bits: u64,
    queue: VecDeque<(SigInfo, Place)>,
}

impl PendingSignals {
    /// The set of pending signals.
    #[must_use]
    pub fn set(&self) -> u64 {
        self.bits
    }

    /// Whether nothing is pending.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bits == 0
    }

    /// Adds a signal. A standard signal that is pending already is dropped, as Linux does. Returns whether it was added.
    pub fn push(&mut self, info: SigInfo, place: Place) -> bool {
        let signo = info.signo();
        if self.drops(signo) {
            return false;
        }
        self.bits |= bit(signo);
        if bevor_abi::mutated!("queue/newest-first") {
            self.queue.push_front((info, place));
            return true;
        }
        self.queue.push_back((info, place));
        true
    }

    /// Whether another signal of this number would be dropped.
    #[must_use]
    pub fn drops(&self, signo: i32) -> bool {
        bevor_abi::mutant!("queue/first-realtime", signo < SIGRTMIN, signo <= SIGRTMIN) && self.bits & bit(signo) != 0
    }

    /// Marks a signal pending without its details (the queue's limit is reached).
    pub fn mark(&mut self, signo: i32) {
        self.bits |= bit(signo);
    }

    /// Removes all signals of `set`.
    pub fn remove(&mut self, set: u64) {
        if self.bits & set != 0 {
            self.bits &= !set;
            self.queue.retain(|(info, _)| bit(info.signo()) & set == 0);
            self.shrink();
        }
    }

    /// Takes the next signal among `allowed`: those of processor exceptions first, then the lowest number.
    pub fn take(&mut self, allowed: u64) -> Option<SigInfo> {
        let ready = self.bits & allowed;
        if ready == 0 {
            return None;
        }
        let first = if ready & signal::SYNCHRONOUS_SET != 0 && !bevor_abi::mutated!("queue/exceptions-first") {
            ready & signal::SYNCHRONOUS_SET
        } else {
            ready
        };
        let signo = i32::try_from(first.trailing_zeros()).map_or(0, |n| n + 1);
        let Some(at) = self.queue.iter().position(|(info, _)| info.signo() == signo) else {
            self.bits &= !bit(signo);
            return Some(SigInfo::user(signo, signal::SI_USER, 0, 0));
        };
        let info = self.queue.remove(at).map(|(info, _)| info);
        if !self.queue.range(at..).any(|(info, _)| info.signo() == signo) {
            self.bits &= !bit(signo);
        }
        self.shrink();
        info
    }

    /// A queue that was long does not keep its memory.
    fn shrink(&mut self) {
        if self.queue.capacity() > 64 && self.queue.len() < self.queue.capacity() / 4 {
            self.queue.shrink_to(self.queue.len() * 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bevor_abi::signal::{SI_QUEUE, SIGSEGV, SIGTERM, SIGUSR1};

    fn info(signo: i32, pid: i32) -> SigInfo {
        SigInfo::user(signo, SI_QUEUE, pid, 0)
    }

    #[test]
    fn a_standard_signal_is_pending_once() {
        let mut pending = PendingSignals::default();
        assert!(pending.push(info(SIGUSR1, 1), Place::Free));
        assert!(!pending.push(info(SIGUSR1, 2), Place::Free));
        assert_eq!(pending.take(u64::MAX).map(|i| i.pid()), Some(1));
        assert_eq!(pending.take(u64::MAX), None);
    }

    #[test]
    fn real_time_signals_queue_in_order_and_low_numbers_go_first() {
        let mut pending = PendingSignals::default();
        for (signo, pid) in [(40, 1), (40, 2), (34, 3), (SIGTERM, 4)] {
            assert!(pending.push(info(signo, pid), Place::Free));
        }
        let order: Vec<i32> = std::iter::from_fn(|| pending.take(u64::MAX)).map(|i| i.pid()).collect();
        assert_eq!(order, [4, 3, 1, 2]);
        assert!(pending.is_empty());
    }

    #[test]
    fn exceptions_go_before_lower_numbers_and_blocked_ones_stay() {
        let mut pending = PendingSignals::default();
        pending.push(info(SIGUSR1, 1), Place::Free);
        pending.push(info(SIGSEGV, 2), Place::Free);
        assert_eq!(pending.take(u64::MAX).map(|i| i.signo()), Some(SIGSEGV));
        assert_eq!(pending.take(!bit(SIGUSR1)), None);
        assert_eq!(pending.set(), bit(SIGUSR1));
    }
}
