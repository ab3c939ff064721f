//! Calls that take long have threads of their own.
//!
//! The host hands out calls in the order in which they were made, and few workers take them: a dozen threads whose calls need 100 ms each (a poll
//! of 100,000 files, the list of 60,000 mappings) would let everybody else wait for all of theirs, again and again. So the calls of a
//! thread that was found to make such are not served by the worker that hears them. They queue here, where as many as half of the CPUs
//! serve them one after the other; who makes short calls never waits for them.
//!
//! A call's time is looked at by a coarse clock. Where one seems to have taken long, the next calls of the thread, and of others of its process,
//! are measured by CPU time: waiting for a host file, or for a CPU, is not work. The first of these queues before those of threads whose
//! calls are known to be long. Waiting for a lock that somebody else has over long work (the position of a description whose text is being
//! made) is work, too: a hundred threads that do nothing but ask for it would hold up as many workers. Of processes that make only one, the parent answers for the next ones. See [`Pace`].

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
/// A wait for a lock that counts as such work.
const LONG_WAIT: Duration = Duration::from_millis(10);
/// Short calls after which a thread that made long ones is only watched, and then not even that.
const FORGIVEN: u32 = 64;
/// The pace of one that had to wait for a lock: most of its calls are short, and it is the next one that waits.
const WAITING: u32 = 32 * FORGIVEN;
/// The pace of a thread whose next call is to show whether it makes long ones.
const ON_TRIAL: u32 = FORGIVEN + 1;
/// That of a child of a process whose children made long calls, and the most at which a call goes before those that are known to be long.
const MISTRUSTED: u32 = FORGIVEN + 8;
/// Threads for long calls at most.
const MOST: usize = 64;
/// If none of them gets through with its call for so long, it may wait for something: another one goes on.
const STUCK: Duration = Duration::from_millis(250);

/// What a thread's last calls were like: 0 is nothing special, up to `FORGIVEN` its calls are measured, and above they queue.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    level: AtomicU32,
    /// The last alarm of its process that it knows of.
    heard: AtomicU32,
}

/// What is known of a process.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    /// Counts its long calls that came unexpected.
    count: AtomicU32,
    /// What its last children were like, as [`Pace`] has it: each may make only one call.
    children: AtomicU32,
}

impl Alarm {
    /// A child made a long call; `measured`, not only by the coarse clock.
    pub(crate) fn of_child(&self, measured: bool) {
        let level = if measured { 2 * FORGIVEN } else { FORGIVEN };
        self.children.fetch_max(level, Ordering::Relaxed);
    }

    /// A new child.
    fn for_child(&self) -> u32 {
        let level = self.children.load(Ordering::Relaxed);
        if level > 0 {
            self.children.store(level - 1, Ordering::Relaxed);
        }
        match level {
            0 => 0,
            1..=FORGIVEN => FORGIVEN,
            _ => MISTRUSTED,
        }
    }
}

/// A call that is being watched.
pub(crate) struct Watch {
    level: u32,
    start: u64,
}

impl Watch {
    pub(crate) fn measured(&self) -> bool {
        self.level > 0
    }
}

impl Pace {
    /// That of a new thread: its maker's, or of a new process, whose parent has had such children.
    pub(crate) fn inherit(&self, from: &Self, parent: Option<&Alarm>) {
        let level = from.level.load(Ordering::Relaxed);
        self.level.store(level.max(parent.map_or(0, Alarm::for_child)), Ordering::Relaxed);
    }

    /// Whether the next call queues.
    pub(crate) fn is_long(&self, alarm: &Alarm) -> bool {
        let last = alarm.count.load(Ordering::Relaxed);
        let level = self.level.load(Ordering::Relaxed);
        if last == self.heard.load(Ordering::Relaxed) {
            return level > FORGIVEN;
        }
        self.heard.store(last, Ordering::Relaxed);
        if level == 0 {
            self.level.store(ON_TRIAL, Ordering::Relaxed);
        }
        level == 0 || level > FORGIVEN
    }

    fn is_on_trial(&self) -> bool {
        self.level.load(Ordering::Relaxed) <= MISTRUSTED
    }

    pub(crate) fn begin(&self, timers: &dyn Timers) -> Watch {
        let level = self.level.load(Ordering::Relaxed);
        if level > 0 {
            WAITED.set(false);
        }
        Watch { level, start: if level == 0 { timers.coarse() } else { timers.thread_time() } }
    }

    /// Whether it was long; by a measurement, if the call was `watch.measured()`.
    pub(crate) fn end(&self, watch: &Watch, alarm: &Alarm, timers: &dyn Timers) -> bool {
        let (long, next) = if watch.level == 0 {
            (timers.coarse().saturating_sub(watch.start) >= SUSPICIOUS, ON_TRIAL)
        } else {
            let (worked, waits) = (timers.thread_time().saturating_sub(watch.start), WAITED.take());
            (waits || worked >= LONG, if waits { WAITING } else { 2 * FORGIVEN })
        };
        if long {
            self.level.store(next, Ordering::Relaxed);
            if watch.level <= MISTRUSTED {
                let now = alarm.count.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
                self.heard.store(now, Ordering::Relaxed);
            }
        } else if watch.level > 0 {
            self.level.store(watch.level - 1, Ordering::Relaxed);
        }
        long
    }
}

thread_local! {
    static SERVING: Cell<bool> = const { Cell::new(false) };
    /// Whether the present call had to wait for a lock that somebody held for long.
    static WAITED: Cell<bool> = const { Cell::new(false) };
}

/// The present call had to wait for a lock.
pub(crate) fn waited(time: Duration) {
    if time >= LONG_WAIT {
        WAITED.set(true);
    }
}

/// Whether the thread serves a long call right now.
pub(crate) fn is_serving() -> bool {
    SERVING.get()
}

#[derive(Default)]
struct State {
    queue: VecDeque<Arc<Task>>,
    /// Before them: tasks that may have been suspected for nothing.
    trials: VecDeque<Arc<Task>>,
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
        if task.pace.is_on_trial() {
            state.trials.push_back(task);
        } else {
            state.queue.push_back(task);
        }
        Self::start_another(&kernel, &mut state);
        drop(state);
        self.wake.notify_one();
    }

    pub(crate) fn halt(&self) {
        let mut state = self.state.lock();
        state.halted = true;
        let rest = (std::mem::take(&mut state.queue), std::mem::take(&mut state.trials));
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
            if state.queue.is_empty() && state.trials.is_empty() {
                self.wake.wait(&mut state);
                continue;
            }
            if state.running >= self.least + state.more {
                let before = state.finished;
                let nothing = self.wake.wait_for(&mut state, STUCK).timed_out() && state.finished == before;
                if nothing && state.running >= self.least + state.more {
                    state.more += 1;
                }
                continue;
            }
            let Some(task) = state.trials.pop_front().or_else(|| state.queue.pop_front()) else { continue };
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

    /// A call that takes `ns` by both clocks; whether it queued.
    fn call(pace: &Pace, alarm: &Alarm, timers: &TestTimers, ns: u64) -> bool {
        let queues = pace.is_long(alarm);
        let watch = pace.begin(timers);
        timers.0.fetch_add(ns, Ordering::Relaxed);
        pace.end(&watch, alarm, timers);
        queues
    }

    #[test]
    fn long_calls_queue_until_many_short_ones_have_come() {
        let (pace, alarm, timers) = (Pace::default(), Alarm::default(), TestTimers::default());
        let call = |ns| call(&pace, &alarm, &timers, ns);
        assert!(!call(1000) && !call(20_000_000) && call(20_000_000));
        let child = Pace::default();
        child.inherit(&pace, None);
        assert!(child.is_long(&Alarm::default()));
        assert!((0..FORGIVEN).all(|_| call(1000)));
        assert!(!call(1000) && !call(20_000_000), "it is only watched now");
        assert!(call(1000));
        for _ in 0..2 * FORGIVEN {
            call(1000);
        }
        assert_eq!(pace.level.load(Ordering::Relaxed), 0);
        // One that had to wait for a file is let go after a short call.
        assert!(!call(20_000_000) && call(1000) && !call(1000));
    }

    #[test]
    fn children_that_make_one_long_call_each_are_waited_for() {
        let (parent, timers, calm) = (Alarm::default(), TestTimers::default(), Pace::default());
        let child = |ns: u64| {
            let (pace, alarm) = (Pace::default(), Alarm::default());
            pace.inherit(&calm, Some(&parent));
            let queues = pace.is_long(&alarm);
            let watch = pace.begin(&timers);
            timers.0.fetch_add(ns, Ordering::Relaxed);
            if pace.end(&watch, &alarm, &timers) {
                parent.of_child(watch.measured());
            }
            queues
        };
        assert!(!child(1000) && !child(20_000_000) && !child(20_000_000));
        assert!((0..1000).all(|_| child(20_000_000)));
        assert!((0..FORGIVEN).all(|_| child(1000)));
        assert!((0..FORGIVEN + 1).all(|_| !child(1000)) && parent.children.load(Ordering::Relaxed) == 0);
    }

    #[test]
    fn the_other_threads_of_the_process_are_tried_once() {
        let (alarm, timers) = (Alarm::default(), TestTimers::default());
        let [long, short] = [Pace::default(), Pace::default()];
        assert!(!call(&short, &alarm, &timers, 1000));
        assert!(!call(&long, &alarm, &timers, 20_000_000));
        assert!(call(&short, &alarm, &timers, 1000) && !call(&short, &alarm, &timers, 1000));
        for _ in 0..10 {
            assert!(call(&long, &alarm, &timers, 20_000_000));
            assert!(!call(&short, &alarm, &timers, 1000));
        }
    }

    #[test]
    fn waiting_for_those_who_work_long_is_work() {
        let (pace, alarm, timers) = (Pace::default(), Alarm::default(), TestTimers::default());
        // The clock is that of the thread's work, which stands still while it waits.
        let call = |wait| {
            let queues = pace.is_long(&alarm);
            let watch = pace.begin(&timers);
            waited(wait);
            pace.end(&watch, &alarm, &timers);
            queues
        };
        pace.level.store(ON_TRIAL, Ordering::Relaxed);
        assert!(call(LONG_WAIT) && call(LONG_WAIT));
        assert!((0..WAITING - FORGIVEN).all(|_| call(Duration::ZERO)) && !call(Duration::ZERO), "for long");
        // A short wait is nothing special.
        pace.level.store(1, Ordering::Relaxed);
        assert!(!call(LONG_WAIT / 2) && !call(Duration::ZERO));
        assert_eq!(pace.level.load(Ordering::Relaxed), 0);
    }
}
