//! Whose turn it is to wait for notifications.
//!
//! Every waiting listener is woken by each notification, so no more of them wait than have work; the others rest. A handler may be held up, by a
//! host file system that does not answer, say. While notifications are served the *attendant* looks now and then whether a listener is
//! still at the same one. That listener then does not count, and another one has its turn; if all are held up, a new one.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// Listeners to begin with.
const AT_FIRST: usize = 8;
/// With those that take the places of others.
const MOST: usize = 64;
/// Notifications that one beyond the first serves without another coming close behind before it rests.
const CALM: u32 = 4;
/// How often the attendant looks. Who is still at the same notification then is held up.
const LOOK: Duration = Duration::from_millis(50);
/// Looks at nothing new after which the attendant sleeps until it is called.
const QUIET: u32 = 4;

/// What a listener is at, on a cache line of its own: twice the time when its last notification came, plus one until it is served.
#[derive(Default)]
#[repr(align(64))]
struct At(AtomicU64);

/// Looks at something new after which there may be much free memory.
const LONG: u32 = 4;

/// What the attendant has seen at its last look.
pub(crate) type Seen = [u64; MOST];

/// What a look at the listeners shows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// Nothing has come since the last one.
    Quiet,
    Busy,
    /// All are held up: this one is to be started.
    Another(usize),
}

/// The listeners' turns.
pub(crate) struct Listeners {
    /// How many there are. Who holds the lock may change whose turn it is.
    count: Mutex<usize>,
    wake: Condvar,
    /// How many beyond the first that is not held up are wanted.
    extra: AtomicUsize,
    /// Those that are held up, a bit for each.
    held_up: AtomicU64,
    at: [At; MOST],
    /// The attendant looks.
    attended: AtomicBool,
    call: Condvar,
}

impl Listeners {
    /// As many as pay off on so many CPUs.
    pub(crate) fn new(cpus: usize) -> Self {
        Self {
            count: Mutex::new(cpus.min(AT_FIRST)),
            wake: Condvar::new(),
            extra: AtomicUsize::new(0),
            held_up: AtomicU64::new(0),
            at: std::array::from_fn(|_| At::default()),
            attended: AtomicBool::new(false),
            call: Condvar::new(),
        }
    }

    pub(crate) fn count(&self) -> usize {
        *self.count.lock()
    }

    /// How many before `index` are not held up.
    fn rank(&self, index: usize) -> usize {
        let before = (1u64 << index) - 1;
        (before & !self.held_up.load(Ordering::Relaxed)).count_ones() as usize
    }

    fn has_turn(&self, index: usize) -> bool {
        self.rank(index) <= self.extra.load(Ordering::Relaxed)
    }

    /// Lets listener `index` wait until it is wanted; `calm` counts what it has served since it last was. True if it rested.
    pub(crate) fn wait_turn(&self, index: usize, calm: &mut u32) -> bool {
        if self.held_up.load(Ordering::Relaxed) & (1 << index) != 0 {
            let _turns = self.count.lock();
            self.held_up.fetch_and(!(1 << index), Ordering::Relaxed);
        }
        let rank = self.rank(index);
        if rank == 0 || (1..CALM).contains(calm) && self.has_turn(index) {
            return false;
        }
        let mut turns = self.count.lock();
        if *calm >= CALM && self.extra.load(Ordering::Relaxed) == rank {
            self.extra.store(rank - 1, Ordering::Relaxed);
        }
        while !self.has_turn(index) {
            self.wake.wait(&mut turns);
        }
        *calm = 1;
        true
    }

    /// A notification had to wait for a long one.
    pub(crate) fn want_more(&self, cpus: usize) {
        let _turns = self.count.lock();
        let extra = self.extra.load(Ordering::Relaxed);
        if extra + 1 < cpus.min(AT_FIRST) {
            self.extra.store(extra + 1, Ordering::Relaxed);
            self.wake.notify_all();
        }
    }

    /// Listener `index` serves a notification that came `now`.
    pub(crate) fn begin(&self, index: usize, now: u64) {
        self.at[index].0.store(now << 1 | 1, Ordering::Relaxed);
        if !self.attended.load(Ordering::Relaxed) {
            self.call_attendant();
        }
    }

    /// It is through with it.
    pub(crate) fn end(&self, index: usize, began: u64) {
        self.at[index].0.store(began << 1, Ordering::Relaxed);
    }

    #[cold]
    fn call_attendant(&self) {
        let _turns = self.count.lock();
        self.attended.store(true, Ordering::Relaxed);
        self.call.notify_one();
    }

    /// Finds those that are held up.
    pub(crate) fn look(&self, seen: &mut Seen) -> Look {
        let mut count = self.count.lock();
        let before = self.held_up.load(Ordering::Relaxed);
        let mut news = false;
        for (index, (at, seen)) in self.at.iter().zip(seen).enumerate().take(*count) {
            let now = at.0.load(Ordering::Relaxed);
            let same = std::mem::replace(seen, now) == now;
            news |= !same;
            // Should it be through at this very moment, it takes the bit back before it waits the next time.
            if same && now & 1 != 0 {
                self.held_up.fetch_or(1 << index, Ordering::Relaxed);
            }
        }
        let held_up = self.held_up.load(Ordering::Relaxed);
        if held_up != before {
            self.wake.notify_all();
        }
        if held_up.count_ones() as usize == *count && *count < MOST {
            *count += 1;
            return Look::Another(*count - 1);
        }
        if news { Look::Busy } else { Look::Quiet }
    }

    /// Looks for as long as there is something to see. `start` starts a listener; false if it cannot.
    pub(crate) fn attend(&self, start: impl Fn(usize) -> bool) {
        let mut seen = [0; MOST];
        let mut quiet = 0;
        let mut busy = 0;
        let nobody = Condvar::new();
        loop {
            {
                let mut turns = self.count.lock();
                // A listener that did not see the word change is seen by one more look.
                if quiet > QUIET && !self.attended.swap(false, Ordering::Relaxed) {
                    while !self.attended.load(Ordering::Relaxed) {
                        self.call.wait(&mut turns);
                    }
                    quiet = 0;
                }
                nobody.wait_for(&mut turns, LOOK);
            }
            match self.look(&mut seen) {
                Look::Quiet => quiet += 1,
                Look::Another(index) if !start(index) => *self.count.lock() = index,
                Look::Busy | Look::Another(_) => {
                    quiet = 0;
                    busy += 1;
                }
            }
            // What much work has left behind, when there is time for it.
            if quiet > QUIET && std::mem::take(&mut busy) > LONG {
                super::sys::trim_heap();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks until it has seen everything twice.
    fn look_twice(listeners: &Listeners) -> Look {
        let mut seen = [0; MOST];
        listeners.look(&mut seen);
        listeners.look(&mut seen)
    }

    #[test]
    fn another_one_serves_for_one_that_is_held_up() {
        let listeners = Listeners::new(2);
        listeners.begin(0, 10);
        std::thread::scope(|scope| {
            let second = scope.spawn(|| listeners.wait_turn(1, &mut 0));
            assert_eq!(look_twice(&listeners), Look::Quiet);
            second.join().unwrap();
        });
        // It goes on for as long as it takes.
        assert!(!listeners.wait_turn(1, &mut (CALM + 1)));
        listeners.end(0, 10);
        assert!(!listeners.wait_turn(0, &mut 1));
        assert_eq!(listeners.rank(1), 1, "the first one is back");
    }

    #[test]
    fn a_new_one_comes_when_all_are_held_up() {
        let listeners = Listeners::new(1);
        listeners.begin(0, 10);
        assert_eq!(look_twice(&listeners), Look::Another(1));
        assert!(!listeners.wait_turn(1, &mut 0));
        listeners.begin(1, 20);
        assert_eq!(look_twice(&listeners), Look::Another(2));
        listeners.end(1, 20);
        assert!(!listeners.wait_turn(1, &mut 1));
        assert_eq!(listeners.rank(2), 1, "the second one serves again, the third may rest");
        assert_eq!(look_twice(&listeners), Look::Quiet);
    }

    #[test]
    fn one_that_gets_on_is_not_held_up() {
        let listeners = Listeners::new(2);
        let mut seen = [0; MOST];
        for now in 10..20 {
            listeners.begin(0, now);
            assert_eq!(listeners.look(&mut seen), Look::Busy);
            listeners.end(0, now);
        }
        assert_eq!(listeners.look(&mut seen), Look::Busy);
        assert_eq!(listeners.look(&mut seen), Look::Quiet);
        assert_eq!(listeners.rank(1), 1);
    }

    #[test]
    fn there_is_an_end_to_new_ones() {
        let listeners = Listeners::new(1);
        let started: Vec<Look> = (0..MOST)
            .map(|index| {
                listeners.begin(index, 10);
                look_twice(&listeners)
            })
            .collect();
        assert_eq!(started.iter().filter(|l| matches!(l, Look::Another(_))).count(), MOST - 1);
        assert_eq!(listeners.count(), MOST);
    }
}
