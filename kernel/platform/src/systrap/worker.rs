//! The sentry's worker threads.
//!
//! *Listeners* sleep in the seccomp notification listener, which wakes them on the CPU of the stub that goes to sleep: a hand-off
//! without a cross-CPU wake-up. One *spinner* polls the channels of threads that call in quick succession (the hot set) from another CPU, so
//! that a stub's short spin meets its reply. A stub looks at its channel's `watched` word to know which way to call; the spinner
//! clears the word, and looks once more, before it goes. Spinning is for threads whose calls are answered at once: one whose call parks, or
//! whose own spin ran out because no CPU was free for the spinner, is taken out and comes back after a longer streak.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bevor_abi::Errno;
use parking_lot::{Condvar, Mutex};

use super::thread::SysThread;
use super::{Inner, sys};

/// Polls of the hot set without a request before the spinner gives up: about 40 us.
const SPIN_POLLS: u32 = 700;
/// Polls without a pause in between.
const TIGHT_POLLS: u32 = 64;
/// More threads than this are not polled.
const HOT_MAX: usize = 16;
/// A thread that calls again sooner than this after its last reply is worth spinning for.
const HOT_GAP_NS: u64 = 50_000;
/// Quick calls in a row that make a thread hot, and after a spin that failed.
const STREAK: i32 = 3;
const STREAK_AFTER_FAILURE: i32 = 200;

/// What must happen within a time: counted in ticks of a second, so that time in which the whole sandbox is frozen does not count.
#[derive(Default)]
pub(crate) struct Watchdog {
    interrupted: Mutex<Vec<Weak<SysThread>>>,
    wake: Condvar,
}

const TICK: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(crate) struct Hot {
    set: Mutex<HotSet>,
    wake: Condvar,
}

#[derive(Default)]
struct HotSet {
    /// The spinner is polling (or has been told to).
    active: bool,
    threads: Vec<Arc<SysThread>>,
    generation: u64,
}

static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();

fn now_ns() -> u64 {
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX)
}

pub(crate) fn start(inner: &Arc<Inner>) -> Result<(), Errno> {
    sys::limit_arenas();
    for i in 0..inner.cpus.clamp(2, 8) {
        let inner = Arc::clone(inner);
        spawn(format!("listener-{i}"), move || inner.listen())?;
    }
    if inner.cpus > 1 {
        let inner = Arc::clone(inner);
        spawn("spinner".into(), move || inner.spinner())?;
    }
    let slabs = Arc::clone(&inner.slabs);
    spawn("slabs".into(), move || slabs.refill())?;
    {
        let inner = Arc::clone(inner);
        spawn("watchdog".into(), move || inner.watch())?;
    }
    let inner = Arc::clone(inner);
    spawn("reaper".into(), move || inner.reap_children())
}

fn spawn(name: String, f: impl FnOnce() + Send + 'static) -> Result<(), Errno> {
    std::thread::Builder::new().name(name).stack_size(512 << 10).spawn(f).map(drop).map_err(|_| Errno::EAGAIN)
}

impl Inner {
    fn listen(&self) {
        loop {
            match sys::notif_recv(&self.listener) {
                Ok(Some(n)) => {
                    self.notification(&n);
                    self.run_ready();
                }
                Ok(None) => {}
                // No stub is left that could notify.
                Err(_) => return,
            }
        }
    }

    /// Kills what does not stop in time.
    fn watch(&self) {
        let none = Mutex::new(());
        let pause = Condvar::new();
        loop {
            {
                let mut interrupted = self.watchdog.interrupted.lock();
                while interrupted.is_empty() {
                    self.watchdog.wake.wait(&mut interrupted);
                }
            }
            pause.wait_for(&mut none.lock(), TICK);
            let threads = std::mem::take(&mut *self.watchdog.interrupted.lock());
            let late = threads.into_iter().filter(|t| t.upgrade().is_some_and(|t| t.interrupt_tick()));
            let late: Vec<_> = late.collect();
            self.watchdog.interrupted.lock().extend(late);
        }
    }

    /// `thread` has been told to stop.
    pub(crate) fn watch_interrupt(&self, thread: Weak<SysThread>) {
        self.watchdog.interrupted.lock().push(thread);
        self.watchdog.wake.notify_one();
    }

    fn reap_children(&self) {
        loop {
            match sys::wait_any() {
                Ok((pid, status)) => self.process_gone(pid, status),
                Err(Errno::EINTR) => {}
                Err(_) => return,
            }
        }
    }

    /// Notes when a sleeping stub's call arrived.
    pub(crate) fn note_arrival(&self, at: &AtomicU64) {
        at.store(now_ns(), Ordering::Relaxed);
    }

    /// Called before each reply is published; `sleeping`: the stub sleeps in a notification.
    pub(crate) fn before_reply(&self, thread: &SysThread, sleeping: bool, parked: bool) {
        if self.cpus < 2 || thread.zygote || !sleeping {
            return;
        }
        if thread.watched.load(Ordering::Relaxed) && !thread.polled.load(Ordering::Relaxed) {
            return; // the spinner is still on its way
        }
        if thread.watched.load(Ordering::Relaxed) {
            // Its spin ran out, or its call was parked.
            let mut hot = self.hot.set.lock();
            hot.threads.retain(|t| !std::ptr::eq(Arc::as_ptr(t), thread));
            hot.generation += 1;
            thread.channel.set_watched(false);
            thread.polled.store(false, Ordering::Relaxed);
            thread.watched.store(false, Ordering::Relaxed);
            thread.streak.store(if parked { 0 } else { -STREAK_AFTER_FAILURE }, Ordering::Relaxed);
            return;
        }
        let now = now_ns();
        let last = thread.last_reply.swap(now, Ordering::Relaxed);
        let quick = !parked && thread.stopped_at.load(Ordering::Relaxed).saturating_sub(last) < HOT_GAP_NS;
        if !quick {
            thread.streak.store(thread.streak.load(Ordering::Relaxed).min(0), Ordering::Relaxed);
            return;
        }
        if thread.streak.fetch_add(1, Ordering::Relaxed) >= STREAK
            && let Some(me) = thread.me.upgrade()
        {
            self.make_hot(&me);
        }
    }

    /// Takes a thread that is gone out of the hot set: its channel's words may soon be another's.
    pub(crate) fn cool(&self, thread: &Arc<SysThread>) {
        if thread.watched.load(Ordering::Relaxed) {
            let mut hot = self.hot.set.lock();
            hot.threads.retain(|t| !Arc::ptr_eq(t, thread));
            hot.generation += 1;
            Self::unwatch(thread);
        }
    }

    fn make_hot(&self, thread: &Arc<SysThread>) {
        let mut hot = self.hot.set.lock();
        if hot.threads.len() >= HOT_MAX || thread.watched.swap(true, Ordering::Relaxed) {
            return;
        }
        thread.idle_polls.store(0, Ordering::Relaxed);
        hot.threads.push(Arc::clone(thread));
        hot.generation += 1;
        if !hot.active {
            hot.active = true;
            self.hot.wake.notify_one();
        }
    }

    fn spinner(&self) {
        loop {
            {
                let mut hot = self.hot.set.lock();
                while !hot.active {
                    self.hot.wake.wait(&mut hot);
                }
            }
            self.spin();
        }
    }

    /// Polls the hot set for as long as that pays.
    fn spin(&self) {
        let mut local: Vec<Arc<SysThread>> = Vec::new();
        let mut generation = u64::MAX;
        let mut idle = 0;
        let mut rounds = 0u32;
        while idle < SPIN_POLLS {
            let mut hit = false;
            let mut cold = false;
            for thread in &local {
                if thread.poll() {
                    hit = true;
                    thread.idle_polls.store(0, Ordering::Relaxed);
                } else if thread.idle_polls.fetch_add(1, Ordering::Relaxed) > SPIN_POLLS {
                    cold = true;
                }
            }
            if hit {
                idle = 0;
                self.run_ready();
            } else {
                idle += 1;
                // A pause costs as much as a cache line's way between two CPUs: the next call of a busy thread is met without.
                if idle > TIGHT_POLLS {
                    std::hint::spin_loop();
                }
            }
            // Now and then even if there is always something to do: others may have become hot.
            rounds = rounds.wrapping_add(1);
            if cold || idle % 16 == 1 || rounds.is_multiple_of(64) || local.is_empty() {
                let mut hot = self.hot.set.lock();
                let dropped = if cold { Self::drop_cold(&mut hot) } else { Vec::new() };
                if hot.generation != generation {
                    local.clone_from(&hot.threads);
                    generation = hot.generation;
                    // Only now can a stub count on being seen.
                    for thread in &local {
                        if !thread.polled.swap(true, Ordering::Relaxed) {
                            thread.channel.set_watched(true);
                        }
                    }
                }
                drop(hot);
                for thread in &dropped {
                    thread.poll();
                }
                if local.is_empty() {
                    break;
                }
            }
        }
        self.stop_spinning();
    }

    fn unwatch(thread: &Arc<SysThread>) {
        thread.channel.set_watched(false);
        thread.polled.store(false, Ordering::Relaxed);
        thread.watched.store(false, Ordering::Relaxed);
    }

    /// Takes threads out of the hot set that have not called for long; the caller polls them once more.
    fn drop_cold(hot: &mut HotSet) -> Vec<Arc<SysThread>> {
        let is_cold = |t: &Arc<SysThread>| t.idle_polls.load(Ordering::Relaxed) > SPIN_POLLS;
        let cold: Vec<_> = hot.threads.iter().filter(|t| is_cold(t)).cloned().collect();
        hot.threads.retain(|t| !is_cold(t));
        hot.generation += 1;
        for thread in &cold {
            Self::unwatch(thread);
        }
        cold
    }

    fn stop_spinning(&self) {
        let threads = {
            let mut hot = self.hot.set.lock();
            let threads = std::mem::take(&mut hot.threads);
            for thread in &threads {
                Self::unwatch(thread);
            }
            hot.active = false;
            hot.generation += 1;
            threads
        };
        // A request that was published before its stub could see the cleared word has not been notified.
        for thread in &threads {
            thread.poll();
        }
        self.run_ready();
    }
}
