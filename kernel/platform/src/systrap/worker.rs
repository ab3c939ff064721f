//! The sentry's worker threads.
//!
//! *Listeners* sleep in the seccomp notification listener, which wakes them on the CPU of the stub that goes to sleep: a hand-off
//! without a cross-CPU wake-up (`listeners`: whose turn it is). One *spinner* polls the channels of threads that call in quick succession (the hot set) from another CPU, so
//! that a stub's short spin meets its reply. A stub looks at its channel's `watched` word to know which way to call; the spinner
//! clears the word, and looks once more, before it goes. A thread whose spins are often in vain, because
//! no CPU is free for the spinner, is taken out and comes back after a longer streak; one that does not call is dropped after a while. The
//! *undertaker* gives processes their last reply on another CPU.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bevor_abi::Errno;
use parking_lot::{Condvar, Mutex};
use smallvec::SmallVec;

use super::thread::SysThread;
use super::{Inner, sys};

/// Polls of the hot set without a request before the spinner gives up: about 40 us.
const SPIN_POLLS: u32 = 700;
/// As long as a thread's image is new it is waited for longer, about 250 us: a program that starts calls often, with page faults in between.
const SPIN_POLLS_NEW: u32 = 5000;
/// Calls after which an image is no longer new.
pub(crate) const NEW_CALLS: u32 = 64;
/// Polls without a pause in between.
const TIGHT_POLLS: u32 = 64;
/// More threads than this are not polled.
const HOT_MAX: usize = 16;
/// A thread that calls again sooner than this after its last reply is worth spinning for.
const HOT_GAP_NS: u64 = 50_000;
/// Quick calls in a row that make a thread hot, and after spins that failed.
const STREAK: i32 = 3;
const STREAK_AFTER_FAILURE: i32 = 200;
/// What a spin in vain weighs against spins that were not, and how much of it sends a thread away.
const IN_VAIN: i32 = 16;
const IN_VAIN_MAX: i32 = 64;

/// Keeps a worker away from the CPU of the stub that it works for: a host does not look for an idle CPU for it beyond those that share a
/// cache.
#[derive(Default)]
struct Place {
    tid: AtomicI32,
    /// The CPU that it avoids, plus one.
    avoided: AtomicU32,
}

impl Place {
    fn avoid(&self, cpu: u32) {
        let tid = self.tid.load(Ordering::Relaxed);
        if tid != 0 && self.avoided.swap(cpu + 1, Ordering::Relaxed) != cpu + 1 {
            sys::avoid_cpus(tid, &[cpu]);
        }
    }
}

/// Stubs whose last wake-up is left to another thread, which the host puts on an idle CPU if there is one.
#[derive(Default)]
pub(crate) struct Undertaker {
    place: Place,
    notifications: Mutex<Vec<(u64, Arc<SysThread>)>>,
    wake: Condvar,
}

/// What must happen within a time: counted in ticks of a second, so that time in which the whole sandbox is frozen does not count.
#[derive(Default)]
pub(crate) struct Watchdog {
    interrupted: Mutex<Vec<Weak<SysThread>>>,
    wake: Condvar,
}

/// A notification that arrives sooner than this after the answer to another was waiting for it.
const BACK_TO_BACK_NS: u64 = 1_500;
/// So many in a row that had to wait are worth another listener, and one that waited for longer than this.
const BACKLOG: u32 = 8;
const SLOW_NS: u64 = 1_000_000;

const TICK: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(crate) struct Hot {
    place: Place,
    /// The spinner polls.
    spinning: AtomicBool,
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
    for i in 0..inner.listeners.count() {
        inner.start_listener(i)?;
    }
    {
        let inner = Arc::clone(inner);
        spawn("attendant".into(), move || inner.listeners.attend(|i| inner.start_listener(i).is_ok()))?;
    }
    if inner.cpus > 1 {
        let inner = Arc::clone(inner);
        spawn("spinner".into(), move || inner.spinner())?;
    }
    if inner.cpus > 1 {
        let inner = Arc::clone(inner);
        spawn("undertaker".into(), move || inner.bury())?;
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
    fn start_listener(&self, index: usize) -> Result<(), Errno> {
        let inner = self.me.upgrade().ok_or(Errno::EAGAIN)?;
        spawn(format!("listener-{index}"), move || inner.listen(index))
    }

    fn listen(&self, index: usize) {
        let mut calm = 0u32;
        let (mut replied, mut backlog) = (0, 0);
        loop {
            if self.listeners.wait_turn(index, &mut calm) {
                replied = 0;
            }
            match sys::notif_recv(&self.listener) {
                Ok(Some(n)) => {
                    let began = now_ns();
                    self.listeners.begin(index, began);
                    backlog = if began.saturating_sub(replied) < BACK_TO_BACK_NS { backlog + 1 } else { 0 };
                    if backlog > BACKLOG {
                        (calm, backlog) = (0, 0);
                        self.listeners.want_more(self.cpus);
                    }
                    let served = catch_unwind(AssertUnwindSafe(|| self.notification(&n)));
                    if served.is_err() {
                        let _ = sys::notif_send(&self.listener, n.id, Errno::EPERM.to_result());
                    }
                    self.run_ready();
                    replied = now_ns();
                    self.listeners.end(index, began);
                    if replied.saturating_sub(began) > SLOW_NS {
                        backlog = BACKLOG;
                    }
                    calm = calm.saturating_add(1);
                }
                // No stub is left that could notify: the host would say so at once and for ever.
                Ok(None) if sys::notif_hung_up(&self.listener) => return,
                Ok(None) => {}
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
                while interrupted.is_empty() && !self.has_strangers() {
                    self.watchdog.wake.wait(&mut interrupted);
                }
            }
            pause.wait_for(&mut none.lock(), TICK);
            self.strangers_tick();
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

    pub(crate) fn watchdog_wake(&self) {
        let _order = self.watchdog.interrupted.lock();
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

    /// Lets a stub that sleeps in a notification go on, and end, on another CPU than the calling thread's.
    pub(crate) fn wake_elsewhere(&self, id: u64, thread: Arc<SysThread>) {
        if self.cpus == 1 {
            return self.wake_for_good(id, &thread);
        }
        self.undertaker.place.avoid(sys::current_cpu());
        self.undertaker.notifications.lock().push((id, thread));
        self.undertaker.wake.notify_one();
    }

    /// A signal may have ended the notification, and the stub sleeps in the channel since then.
    fn wake_for_good(&self, id: u64, thread: &SysThread) {
        if !self.wake_notified(id) {
            thread.channel.wake_parked();
        }
    }

    fn bury(&self) {
        self.undertaker.place.tid.store(sys::current_tid(), Ordering::Relaxed);
        loop {
            let threads = {
                let mut queue = self.undertaker.notifications.lock();
                while queue.is_empty() {
                    self.undertaker.wake.wait(&mut queue);
                }
                std::mem::take(&mut *queue)
            };
            for (id, thread) in threads {
                self.wake_for_good(id, &thread);
            }
        }
    }

    /// Notes when a sleeping stub's call arrived.
    pub(crate) fn note_arrival(&self, at: &AtomicU64) {
        at.store(now_ns(), Ordering::Relaxed);
    }

    /// Called before each reply is published. `sleeping`: the stub sleeps in a notification, after a spin in vain or without one.
    pub(crate) fn before_reply(&self, thread: &SysThread, sleeping: Option<bool>, parked: bool) {
        if self.cpus < 2 || thread.zygote {
            return;
        }
        let watched = thread.watched.load(Ordering::Relaxed);
        let Some(spun) = sleeping else {
            let in_vain = thread.in_vain.load(Ordering::Relaxed);
            if in_vain > 0 {
                thread.in_vain.store(in_vain - 1, Ordering::Relaxed);
            }
            return;
        };
        if watched {
            // One that did not spin did not know yet that somebody polls, or its call was parked.
            if spun && thread.in_vain.fetch_add(IN_VAIN, Ordering::Relaxed) + IN_VAIN > IN_VAIN_MAX {
                let mut hot = self.hot.set.lock();
                hot.threads.retain(|t| !std::ptr::eq(Arc::as_ptr(t), thread));
                hot.generation += 1;
                thread.channel.set_watched(false);
                thread.polled.store(false, Ordering::Relaxed);
                thread.watched.store(false, Ordering::Relaxed);
                thread.in_vain.store(0, Ordering::Relaxed);
                thread.streak.store(-STREAK_AFTER_FAILURE, Ordering::Relaxed);
            }
            return;
        }
        let now = now_ns();
        let last = thread.last_reply.swap(now, Ordering::Relaxed);
        let quick = thread.stopped_at.load(Ordering::Relaxed).saturating_sub(last) < HOT_GAP_NS;
        if !quick {
            thread.streak.store(thread.streak.load(Ordering::Relaxed).min(0), Ordering::Relaxed);
            return;
        }
        // A spinner that is at it anyway costs nothing more.
        let wanted = if parked {
            STREAK
        } else if self.hot.spinning.load(Ordering::Relaxed) {
            0
        } else {
            STREAK
        };
        if thread.streak.fetch_add(1, Ordering::Relaxed) >= wanted
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

    /// A new thread calls soon: a spinner that is at it anyway polls it from the start.
    pub(crate) fn warm(&self, thread: &Arc<SysThread>) {
        if self.hot.spinning.load(Ordering::Relaxed) {
            self.make_hot(thread);
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
            self.hot.place.avoid(thread.cpu.load(Ordering::Relaxed));
            self.hot.wake.notify_one();
        }
    }

    fn spinner(&self) {
        self.hot.place.tid.store(sys::current_tid(), Ordering::Relaxed);
        loop {
            {
                let mut hot = self.hot.set.lock();
                while !hot.active {
                    self.hot.wake.wait(&mut hot);
                }
            }
            self.hot.spinning.store(true, Ordering::Relaxed);
            self.spin();
            self.hot.spinning.store(false, Ordering::Relaxed);
        }
    }

    /// Polls the hot set for as long as that pays.
    fn spin(&self) {
        let mut local: Vec<Arc<SysThread>> = Vec::new();
        let mut generation = u64::MAX;
        let mut idle = 0;
        let mut rounds = 0u32;
        let mut limit = SPIN_POLLS;
        while idle < limit {
            let mut hit = false;
            let mut cold = false;
            for thread in &local {
                if thread.poll() {
                    hit = true;
                    thread.idle_polls.store(0, Ordering::Relaxed);
                } else {
                    // Only this thread counts.
                    let polls = thread.idle_polls.load(Ordering::Relaxed) + 1;
                    thread.idle_polls.store(polls, Ordering::Relaxed);
                    cold |= polls > Self::patience(thread);
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
                    limit = local.iter().map(Self::patience).max().unwrap_or(0);
                    // Only now can a stub count on being seen.
                    for thread in &local {
                        if !thread.polled.swap(true, Ordering::Relaxed) {
                            thread.channel.set_watched(true);
                        }
                    }
                }
                drop(hot);
                self.keep_apart(&local);
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

    /// Leaves the CPU of a thread that has gone to sleep on the spinner's: one of them would wait for the other for ever.
    fn keep_apart(&self, threads: &[Arc<SysThread>]) {
        let news =
            threads.iter().filter(|t| t.cpu_news.load(Ordering::Relaxed) && t.cpu_news.swap(false, Ordering::Relaxed)).count();
        if news == 0 {
            return;
        }
        let here = sys::current_cpu();
        if threads.iter().any(|t| t.cpu.load(Ordering::Relaxed) == here) {
            let taken: SmallVec<[u32; HOT_MAX]> = threads.iter().map(|t| t.cpu.load(Ordering::Relaxed)).collect();
            sys::avoid_cpus(0, &taken);
            self.hot.place.avoided.store(if let [cpu] = *taken { cpu + 1 } else { 0 }, Ordering::Relaxed);
        }
    }

    /// Polls in vain after which a thread is not worth more of them.
    fn patience(thread: &Arc<SysThread>) -> u32 {
        if thread.seq.load(Ordering::Relaxed) < thread.new_until.load(Ordering::Relaxed) { SPIN_POLLS_NEW } else { SPIN_POLLS }
    }

    fn unwatch(thread: &Arc<SysThread>) {
        thread.channel.set_watched(false);
        thread.polled.store(false, Ordering::Relaxed);
        thread.watched.store(false, Ordering::Relaxed);
    }

    /// Takes threads out of the hot set that have not called for long; the caller polls them once more.
    fn drop_cold(hot: &mut HotSet) -> Vec<Arc<SysThread>> {
        let is_cold = |t: &Arc<SysThread>| t.idle_polls.load(Ordering::Relaxed) > Self::patience(t);
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
