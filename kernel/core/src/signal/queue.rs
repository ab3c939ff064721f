//! Pending signals: at most one of each standard signal, real-time ones queued in order.

use std::collections::VecDeque;

use bevor_abi::signal::{self, SIGRTMIN, bit};

use super::info::SigInfo;

/// The pending signals of a task or of a thread group.
#[derive(Debug, Default)]
pub struct PendingSignals {
    bits: u64,
    queue: VecDeque<SigInfo>,
}

impl PendingSignals {
    /// The set of pending signals.
    #[must_use]
    pub fn set(&self) -> u64 {
        self.bits
    }

    /// How many entries are queued (RLIMIT_SIGPENDING).
    #[must_use]
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether nothing is pending.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bits == 0
    }

    /// Adds a signal. A standard signal that is pending already is dropped, as Linux does. Returns whether it was added.
    pub fn push(&mut self, info: SigInfo) -> bool {
        let signo = info.signo();
        if signo < SIGRTMIN && self.bits & bit(signo) != 0 {
            return false;
        }
        self.bits |= bit(signo);
        self.queue.push_back(info);
        true
    }

    /// Marks a real-time signal pending without its details (the queue's limit is reached).
    pub fn mark(&mut self, signo: i32) {
        self.bits |= bit(signo);
    }

    /// Removes all signals of `set`.
    pub fn remove(&mut self, set: u64) {
        if self.bits & set != 0 {
            self.bits &= !set;
            self.queue.retain(|info| bit(info.signo()) & set == 0);
        }
    }

    /// Takes the next signal among `allowed`: those of processor exceptions first, then the lowest number.
    pub fn take(&mut self, allowed: u64) -> Option<SigInfo> {
        let ready = self.bits & allowed;
        if ready == 0 {
            return None;
        }
        let first = if ready & signal::SYNCHRONOUS_SET != 0 { ready & signal::SYNCHRONOUS_SET } else { ready };
        let signo = i32::try_from(first.trailing_zeros()).map_or(0, |n| n + 1);
        let Some(at) = self.queue.iter().position(|info| info.signo() == signo) else {
            self.bits &= !bit(signo);
            return Some(SigInfo::user(signo, signal::SI_USER, 0, 0));
        };
        let info = self.queue.remove(at);
        if !self.queue.iter().any(|info| info.signo() == signo) {
            self.bits &= !bit(signo);
        }
        info
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
        assert!(pending.push(info(SIGUSR1, 1)));
        assert!(!pending.push(info(SIGUSR1, 2)));
        assert_eq!(pending.take(u64::MAX).map(|i| i.pid()), Some(1));
        assert_eq!(pending.take(u64::MAX), None);
    }

    #[test]
    fn real_time_signals_queue_in_order_and_low_numbers_go_first() {
        let mut pending = PendingSignals::default();
        for (signo, pid) in [(40, 1), (40, 2), (34, 3), (SIGTERM, 4)] {
            assert!(pending.push(info(signo, pid)));
        }
        let order: Vec<i32> = std::iter::from_fn(|| pending.take(u64::MAX)).map(|i| i.pid()).collect();
        assert_eq!(order, [4, 3, 1, 2]);
        assert!(pending.is_empty());
    }

    #[test]
    fn exceptions_go_before_lower_numbers_and_blocked_ones_stay() {
        let mut pending = PendingSignals::default();
        pending.push(info(SIGUSR1, 1));
        pending.push(info(SIGSEGV, 2));
        assert_eq!(pending.take(u64::MAX).map(|i| i.signo()), Some(SIGSEGV));
        assert_eq!(pending.take(!bit(SIGUSR1)), None);
        assert_eq!(pending.set(), bit(SIGUSR1));
    }
}
