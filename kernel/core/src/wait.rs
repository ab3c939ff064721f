//! Wait queues: how a blocked operation learns that trying again is worth while.
//!
//! **Register first, then look.** A waiter is registered before the condition is examined (again), so no wake-up is lost.

use std::sync::Arc;

use bitflags::bitflags;
use parking_lot::Mutex;

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

/// Something that can be woken. `notify` may be called with the locks of the notifying object held: it must take no lock but
/// its own innermost one, and must not call back.
pub trait Waiter: Send + Sync {
    /// One of the events that the waiter registered for may have come true.
    fn notify(&self, events: PollEvents);
}

struct Entry {
    id: u64,
    mask: PollEvents,
    waiter: Arc<dyn Waiter>,
}

#[derive(Default)]
struct Entries {
    next_id: u64,
    list: Vec<Entry>,
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
        entries.list.push(Entry { id, mask: mask | PollEvents::ERR | PollEvents::HUP, waiter });
        WaitToken { queue: self.clone(), id }
    }

    /// Notifies every waiter whose mask meets `events`.
    pub fn wake(&self, events: PollEvents) {
        for entry in &self.0.lock().list {
            let hit = entry.mask & events;
            if !hit.is_empty() {
                entry.waiter.notify(hit);
            }
        }
    }

    /// Whether both are the same queue.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether nobody waits: lets hot paths skip work.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.lock().list.is_empty()
    }
}

/// A registration; dropping it removes the waiter.
#[must_use]
pub struct WaitToken {
    queue: WaitQueue,
    id: u64,
}

impl Drop for WaitToken {
    fn drop(&mut self) {
        let mut entries = self.queue.0.lock();
        if let Some(at) = entries.list.iter().position(|e| e.id == self.id) {
            entries.list.remove(at);
        }
    }
}
