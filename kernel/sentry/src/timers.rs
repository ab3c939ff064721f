//! The timers: one heap, one thread that sleeps until the earliest deadline; nothing runs while nothing is due.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use bevor_core::kernel::Kernel;
use bevor_core::time::{Instant, TimerId, Timers};
use bevor_core::wait::{PollEvents, Waiter};
use bevor_hostcall::clock;
use parking_lot::{Condvar, Mutex};

struct Entry {
    events: PollEvents,
    waiter: Arc<dyn Waiter>,
}

#[derive(Default)]
struct Heap {
    entries: BTreeMap<(Instant, u64), Entry>,
    /// Deadline of each live id, to cancel by id.
    deadlines: BTreeMap<u64, Instant>,
    next_id: u64,
    halted: bool,
    /// When the thread will wake up by itself; `None` while it sleeps for ever or works.
    sleeping_until: Option<Instant>,
}

/// [`Timers`] over the host's clocks.
#[derive(Default)]
pub struct HostTimers {
    heap: Mutex<Heap>,
    changed: Condvar,
    kernel: OnceLock<Weak<Kernel>>,
}

impl HostTimers {
    /// Timers without their thread.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// What fired timers make ready is run by the timer thread itself, in this kernel.
    pub fn attach(&self, kernel: &Arc<Kernel>) {
        let _ = self.kernel.set(Arc::downgrade(kernel));
    }

    /// The timer thread's body; returns after [`HostTimers::halt`].
    pub fn run(&self) {
        let mut heap = self.heap.lock();
        while !heap.halted {
            let Some((at, _)) = heap.entries.keys().next().copied() else {
                heap.sleeping_until = Some(Instant(u64::MAX));
                self.changed.wait(&mut heap);
                heap.sleeping_until = None;
                continue;
            };
            let now = clock::monotonic();
            if at.0 > now {
                heap.sleeping_until = Some(at);
                self.changed.wait_for(&mut heap, Duration::from_nanos(at.0 - now));
                heap.sleeping_until = None;
                continue;
            }
            let mut due = Vec::new();
            while let Some(first) = heap.entries.first_entry().filter(|e| e.key().0.0 <= now) {
                let ((_, id), entry) = first.remove_entry();
                heap.deadlines.remove(&id);
                due.push(entry);
            }
            drop(heap);
            self.fire(due);
            heap = self.heap.lock();
        }
    }

    fn fire(&self, due: Vec<Entry>) {
        let notify = || {
            for entry in due {
                entry.waiter.notify(entry.events);
            }
        };
        match self.kernel.get().and_then(Weak::upgrade) {
            Some(kernel) => kernel.enter(notify),
            None => notify(),
        }
    }

    /// Ends [`HostTimers::run`].
    pub fn halt(&self) {
        self.heap.lock().halted = true;
        self.changed.notify_all();
    }
}

impl Timers for HostTimers {
    fn now(&self) -> Instant {
        Instant(clock::monotonic())
    }

    fn coarse(&self) -> u64 {
        clock::coarse()
    }

    fn thread_time(&self) -> u64 {
        clock::thread_time()
    }

    fn realtime(&self) -> u64 {
        clock::realtime()
    }

    fn schedule(&self, at: Instant, events: PollEvents, waiter: Arc<dyn Waiter>) -> TimerId {
        let mut heap = self.heap.lock();
        let id = heap.next_id;
        heap.next_id += 1;
        heap.entries.insert((at, id), Entry { events, waiter });
        heap.deadlines.insert(id, at);
        if heap.sleeping_until.is_some_and(|until| at < until) {
            self.changed.notify_one();
        }
        TimerId(id)
    }

    fn cancel(&self, id: TimerId) {
        // The entry is dropped after the lock: a waiter's destructor may come back here.
        let entry = {
            let mut heap = self.heap.lock();
            heap.deadlines.remove(&id.0).and_then(|at| heap.entries.remove(&(at, id.0)))
        };
        drop(entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    struct Report(Mutex<mpsc::Sender<u32>>, u32);

    impl Waiter for Report {
        fn notify(&self, _events: PollEvents) {
            let _ = self.0.lock().send(self.1);
        }
    }

    #[test]
    fn timers_fire_in_order_of_deadline_and_cancelled_ones_do_not() {
        let timers = HostTimers::new();
        let (tx, rx) = mpsc::channel();
        let waiter = |n| Arc::new(Report(Mutex::new(tx.clone()), n)) as Arc<dyn Waiter>;
        let now = timers.now().0;
        timers.schedule(Instant(now + 2_000_000), PollEvents::IN, waiter(2));
        let cancelled = timers.schedule(Instant(now + 1_000_000), PollEvents::IN, waiter(9));
        timers.schedule(Instant(now + 1_500_000), PollEvents::IN, waiter(1));
        timers.cancel(cancelled);
        let thread = {
            let timers = Arc::clone(&timers);
            std::thread::spawn(move || timers.run())
        };
        assert_eq!(rx.recv(), Ok(1));
        assert_eq!(rx.recv(), Ok(2));
        // An earlier deadline wakes the sleeping thread.
        timers.schedule(timers.now(), PollEvents::IN, waiter(3));
        assert_eq!(rx.recv(), Ok(3));
        timers.halt();
        assert!(thread.join().is_ok());
    }
}
