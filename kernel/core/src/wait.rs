//! Wait queues: how a blocked operation learns that trying again is worth while.
//!
//! **Register first, then look.** A waiter is registered before the condition is examined (again), so no wake-up is lost.

use std::sync::{Arc, Weak};

use bitflags::bitflags;
use parking_lot::Mutex;
use smallvec::SmallVec;

bitflags! {
    /// Readiness events; the bits of poll(2) and epoll(7).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
    pub struct PollEvents: u32 {
        /// POLLIN.
        const IN = 0x001;
        /// POLLPRI.
        const PRI = 0x002;
        /// POLLOUT.
        const OUT = 0x004;
        /// POLLERR: always reported.
        const ERR = 0x008;
        /// POLLHUP: always reported.
        const HUP = 0x010;
        /// POLLNVAL.
        const NVAL = 0x020;
        /// POLLRDNORM.
        const RDNORM = 0x040;
        /// POLLRDBAND.
        const RDBAND = 0x080;
        /// POLLWRNORM.
        const WRNORM = 0x100;
        /// POLLWRBAND.
        const WRBAND = 0x200;
        /// POLLMSG.
        const MSG = 0x400;
        /// POLLRDHUP.
        const RDHUP = 0x2000;
    }
}

/// Something that can be woken. `notify` may be called with the locks of the notifying object held (never with the queue's): it must take
/// no lock but its own innermost one, and must not call back. It may come a moment after the registration has ended.
pub trait Waiter: Send + Sync {
    /// One of the events that the waiter registered for may have come true.
    fn notify(&self, events: PollEvents);

    /// The queue whose waiters are woken in turn, if there is one.
    fn passes_on(&self) -> Option<&WaitQueue> {
        None
    }
}

struct Entry {
    id: u64,
    mask: PollEvents,
    /// `None` once its registration has ended.
    waiter: Option<Arc<dyn Waiter>>,
}

#[derive(Default)]
struct Entries {
    next_id: u64,
    /// Numbers ascend. What has ended stays until it is half of all: a call may have any number of registrations, which end one by one.
    list: Vec<Entry>,
    ended: usize,
}

impl Entries {
    fn waiters(&self) -> impl Iterator<Item = (PollEvents, &Arc<dyn Waiter>)> {
        self.list.iter().filter_map(|e| Some((e.mask, e.waiter.as_ref()?)))
    }

    fn remove(&mut self, id: u64) -> Option<Arc<dyn Waiter>> {
        let at = self.list.binary_search_by_key(&id, |e| e.id).ok()?;
        let waiter = self.list.get_mut(at)?.waiter.take();
        self.ended += 1;
        while self.list.pop_if(|e| e.waiter.is_none()).is_some() {
            self.ended -= 1;
        }
        if self.ended > self.list.len() / 2 {
            self.list.retain(|e| e.waiter.is_some());
            self.ended = 0;
        }
        if self.list.capacity() > 64 && self.list.len() < self.list.capacity() / 4 {
            self.list.shrink_to(self.list.len() * 2);
        }
        waiter
    }
}

/// A set of waiters. Cheap to clone: clones are the same queue.
#[derive(Clone, Default)]
pub struct WaitQueue(Arc<Mutex<Entries>>);

impl std::fmt::Debug for WaitQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WaitQueue({})", self.0.lock().list.len())
    }
}

impl WaitQueue {
    /// An empty queue.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `waiter` for `mask` (ERR and HUP are always included) until the token is dropped.
    pub fn register(&self, mask: PollEvents, waiter: Arc<dyn Waiter>) -> WaitToken {
        let mut entries = self.0.lock();
        let id = entries.next_id;
        entries.next_id += 1;
        entries.list.push(Entry { id, mask: mask | PollEvents::ERR | PollEvents::HUP, waiter: Some(waiter) });
        WaitToken { queue: Arc::downgrade(&self.0), id }
    }

    /// Notifies every waiter whose mask meets `events`.
    pub fn wake(&self, events: PollEvents) {
        // Notified after the lock is released: a waiter may wake queues of its own.
        let hit: SmallVec<[(PollEvents, Arc<dyn Waiter>); 4]> = {
            let entries = self.0.lock();
            let hit = entries.waiters().map(|(mask, waiter)| (mask & events, waiter));
            hit.filter(|(hit, _)| !hit.is_empty()).map(|(hit, waiter)| (hit, Arc::clone(waiter))).collect()
        };
        for (events, waiter) in hit.iter().take(bevor_abi::mutant!("wait/first-only", hit.len(), 1)) {
            waiter.notify(*events);
        }
    }

    /// Waiters that wake others in turn.
    pub(crate) fn passing_on(&self) -> Vec<Arc<dyn Waiter>> {
        let entries = self.0.lock();
        entries.waiters().filter(|(_, w)| w.passes_on().is_some()).map(|(_, w)| Arc::clone(w)).collect()
    }

    /// Whether a waiter wakes others in turn.
    pub(crate) fn has_passing_on(&self) -> bool {
        self.0.lock().waiters().any(|(_, w)| w.passes_on().is_some())
    }

    /// Which queue it is.
    pub(crate) fn id(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    /// Whether both are the same queue.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether nobody waits: lets hot paths skip work.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let entries = self.0.lock();
        entries.list.len() == entries.ended
    }
}

/// A registration; dropping it removes the waiter. It does not keep the queue: waiters may keep their tokens.
#[must_use]
pub struct WaitToken {
    queue: Weak<Mutex<Entries>>,
    id: u64,
}

impl Drop for WaitToken {
    fn drop(&mut self) {
        let Some(queue) = self.queue.upgrade() else { return };
        let ended = queue.lock().remove(self.id);
        drop(ended);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Wakes the queue that it waits in, once.
    struct Echo(WaitQueue, std::sync::atomic::AtomicU32);

    impl Waiter for Echo {
        fn notify(&self, events: PollEvents) {
            if self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0 {
                self.0.wake(events);
            }
        }
    }

    #[test]
    fn registrations_end_in_any_order() {
        let queue = WaitQueue::new();
        let echo = Arc::new(Echo(WaitQueue::new(), 0.into()));
        let count = 100_000;
        let mut tokens: Vec<_> =
            (0..count).map(|_| Some(queue.register(PollEvents::IN, Arc::<Echo>::clone(&echo) as Arc<dyn Waiter>))).collect();
        let mut left = count;
        for step in [3, 7, 2, 1] {
            for token in tokens.iter_mut().step_by(step) {
                left -= usize::from(token.take().is_some());
            }
            assert_eq!(queue.is_empty(), left == 0);
            assert_eq!(queue.0.lock().waiters().count(), left);
            assert!(queue.0.lock().list.len() <= 2 * left + 1);
        }
    }

    #[test]
    fn a_waiter_may_wake_the_queue_that_it_waits_in() {
        let queue = WaitQueue::new();
        let echo = Arc::new(Echo(queue.clone(), 0.into()));
        let waiter: Arc<dyn Waiter> = Arc::<Echo>::clone(&echo);
        let token = queue.register(PollEvents::IN, waiter);
        queue.wake(PollEvents::IN);
        assert_eq!(echo.1.load(std::sync::atomic::Ordering::Relaxed), 2);
        drop(token);
        queue.wake(PollEvents::IN);
        assert_eq!(echo.1.load(std::sync::atomic::Ordering::Relaxed), 2);
    }
}
