//! Calls that take long have threads of their own.
//!
//! The host hands out calls in the order in which they were made, and few workers take them: a dozen threads whose calls need 100 ms each (a poll
//! of 100,000 files, the list of 60,000 mappings) would let everybody else wait for all of theirs, again and again. So the calls of a
//! thread that was found to make such are not served by the worker that hears them. They queue here, where as many as half of the CPUs
//! serve them one after the other; who makes short calls never waits for them.
//!
//! A call's time is looked at by a coarse clock. Once one took long, the CPU time of the thread's next calls is measured: waiting for
//! a host file, or for a CPU, is not work. See [`Pace`].

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::kernel::Kernel;
use crate::task::Task;
use crate::time::Timers;

/// By the coarse clock, so much is worth a measurement of what comes next.
const SUSPICIOUS: u64 = 5_000_000;
/// CPU time that makes a call a long one.
const LONG: u64 = 2_000_000;
/// Short calls after which a thread that made long ones is only watched, and then not even that.
const FORGIVEN: u32 = 64;
/// Threads for long calls at most.
const MOST: usize = 64;
/// If none of them gets through with its call for so long, it may wait for something: another one goes on.
const STUCK: Duration = Duration::from_millis(250);

/// What a thread's last calls were like: 0 is nothing special, up to `FORGIVEN` its calls are measured, and above they queue.
#[derive(Debug, Default)]
pub(crate) struct Pace(AtomicU32);

/// A call that is being watched.
pub(crate) struct Watch {
    pace: u32,
    start: u64,
}

impl Pace {
    /// That of a new thread: its maker's.
    pub(crate) fn inherit(&self, from: &Self) {
        self.0.store(from.0.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Whether calls queue.
    pub(crate) fn is_long(&self) -> bool {
        self.0.load(Ordering::Relaxed) > FORGIVEN
    }

    pub(crate) fn begin(&self, timers: &dyn Timers) -> Watch {
        let pace = self.0.load(Ordering::Relaxed);
        Watch { pace, start: if pace == 0 { timers.coarse() } else { timers.thread_time() } }
    }

    pub(crate) fn end(&self, watch: Watch, timers: &dyn Timers) {
        if watch.pace == 0 {
            if timers.coarse().saturating_sub(watch.start) >= SUSPICIOUS {
                self.0.store(FORGIVEN, Ordering::Relaxed);
            }
            return;
        }
        let long = timers.thread_time().saturating_sub(watch.start) >= LONG;
        self.0.store(if long { 2 * FORGIVEN } else { watch.pace - 1 }, Ordering::Relaxed);
    }
}

thread_local! {
    static SERVING: Cell<bool> = const { Cell::new(false) };
}

/// Whether the thread serves a long call right now.
pub(crate) fn is_serving() -> bool {
    SERVING.get()
}

#[derive(Default)]
struct State {
    queue: VecDeque<Arc<Task>>,
    threads: usize,
    /// Threads without a call.
    idle: usize,
    running: usize,
    /// How many may run beyond `LongCalls::least`, since others are stuck.
    more: usize,
    finished: u64,
    halted: bool,
}

/// The queue of long calls.
pub(crate) struct LongCalls {
    /// So many run at once in any case.
    least: usize,
    state: Mutex<State>,
    wake: Condvar,
}

impl LongCalls {
    pub(crate) fn new(least: usize) -> Self {
        Self { least: least.max(1), state: Mutex::default(), wake: Condvar::new() }
    }

    /// `task` sleeps, and is to be woken by a thread that has time for its call.
    pub(crate) fn push(&self, task: Arc<Task>) {
        let kernel = Arc::clone(&task.kernel);
        let mut state = self.state.lock();
        state.queue.push_back(task);
        Self::start_another(&kernel, &mut state);
        drop(state);
        self.wake.notify_one();
    }

    pub(crate) fn halt(&self) {
        let mut state = self.state.lock();
        state.halted = true;
        let rest = std::mem::take(&mut state.queue);
        drop(state);
        drop(rest);
        self.wake.notify_all();
    }

    /// Sees to it that there is a thread without a call: for the next, or to notice that nothing goes on.
    fn start_another(kernel: &Arc<Kernel>, state: &mut State) {
        if state.idle == 0 && state.threads < MOST {
            let kernel = Arc::clone(kernel);
            let name = format!("long-{}", state.threads);
            let body = move || kernel.long.serve(&kernel);
            // Where the host has no thread for it, those that there are go on.
            if std::thread::Builder::new().name(name).stack_size(512 << 10).spawn(body).is_ok() {
                state.threads += 1;
                state.idle += 1;
            }
        }
    }

    fn serve(&self, kernel: &Arc<Kernel>) {
        let mut state = self.state.lock();
        while !state.halted {
            if state.queue.is_empty() {
                self.wake.wait(&mut state);
                continue;
            }
            if state.running >= self.least + state.more {
                let before = state.finished;
                let nothing = self.wake.wait_for(&mut state, STUCK).timed_out() && state.finished == before;
                if nothing && !state.queue.is_empty() && state.running >= self.least + state.more {
                    state.more += 1;
                }
                continue;
            }
            let Some(task) = state.queue.pop_front() else { continue };
            state.running += 1;
            state.idle -= 1;
            Self::start_another(kernel, &mut state);
            drop(state);
            kernel.enter(|| {
                SERVING.set(true);
                task.serve_long();
                SERVING.set(false);
            });
            drop(task);
            state = self.state.lock();
            state.running -= 1;
            state.idle += 1;
            state.more = state.more.saturating_sub(1);
            state.finished += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestTimers;

    /// A call that takes `ns` by both clocks.
    fn call(pace: &Pace, timers: &TestTimers, ns: u64) {
        let watch = pace.begin(timers);
        timers.0.fetch_add(ns, Ordering::Relaxed);
        pace.end(watch, timers);
    }

    #[test]
    fn long_calls_queue_until_many_short_ones_have_come() {
        let (pace, timers) = (Pace::default(), TestTimers::default());
        call(&pace, &timers, 1000);
        assert_eq!(pace.0.load(Ordering::Relaxed), 0);
        call(&pace, &timers, 20_000_000);
        assert!(!pace.is_long(), "it may have waited for a file");
        call(&pace, &timers, 1000);
        call(&pace, &timers, 20_000_000);
        assert!(pace.is_long());
        let child = Pace::default();
        child.inherit(&pace);
        assert!(child.is_long());
        (0..FORGIVEN).for_each(|_| call(&pace, &timers, 1000));
        assert!(!pace.is_long(), "it is only watched now");
        call(&pace, &timers, 20_000_000);
        assert!(pace.is_long());
        (0..2 * FORGIVEN).for_each(|_| call(&pace, &timers, 1000));
        assert_eq!(pace.0.load(Ordering::Relaxed), 0);
    }
}
