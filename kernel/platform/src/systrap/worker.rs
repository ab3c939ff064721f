//! The sentry's worker threads.
//!
//! At most one thread at a time is the *spinner*: it polls the channels of threads that have called lately (the hot set). All
//! others sleep in the notification listener, which wakes them on the CPU of the stub that goes to sleep. A stub looks at its
//! channel's `watched` word to know which way to call, so the spinner clears that word, and looks once more, before it goes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bevor_abi::Errno;

use super::thread::SysThread;
use super::{Inner, sys};

/// Polls of the hot set without a request before the spinner gives up: about 50 us.
const SPIN_POLLS: u32 = 700;
/// More threads than this are not polled.
const HOT_MAX: usize = 16;
/// A thread that calls again sooner than this after its last reply is worth spinning for.
const HOT_GAP_NS: u64 = 60_000;

#[derive(Default)]
pub(crate) struct Hot {
    spinner: bool,
    threads: Vec<Arc<SysThread>>,
    generation: u64,
}

static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();

fn now_ns() -> u64 {
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX)
}

pub(crate) fn start(inner: &Arc<Inner>) -> Result<(), Errno> {
    let workers = if inner.cpus > 1 { 2 } else { 1 };
    for i in 0..workers {
        let inner = Arc::clone(inner);
        spawn(format!("worker-{i}"), move || inner.work())?;
    }
    let inner = Arc::clone(inner);
    spawn("reaper".into(), move || inner.reap_children())
}

fn spawn(name: String, f: impl FnOnce() + Send + 'static) -> Result<(), Errno> {
    std::thread::Builder::new().name(name).stack_size(512 << 10).spawn(f).map(drop).map_err(|_| Errno::EAGAIN)
}

impl Inner {
    fn work(&self) {
        loop {
            match sys::notif_recv(&self.listener) {
                Ok(Some(n)) => {
                    self.notification(&n);
                    self.run_ready();
                    self.spin();
                }
                Ok(None) => {}
                // No stub is left that could notify.
                Err(_) => return,
            }
        }
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

    /// Adds a thread to the hot set if somebody polls it.
    pub(crate) fn watch(&self, thread: &Arc<SysThread>) {
        let mut hot = self.hot.lock();
        if hot.spinner {
            Self::add_hot(&mut hot, thread);
        }
    }

    fn add_hot(hot: &mut Hot, thread: &Arc<SysThread>) {
        thread.idle_polls.store(0, Ordering::Relaxed);
        if hot.threads.len() >= HOT_MAX || thread.watched.swap(true, Ordering::Relaxed) {
            return;
        }
        thread.channel.set_watched(true);
        hot.threads.push(Arc::clone(thread));
        hot.generation += 1;
    }

    /// Called before each reply is published; `sleeping`: the stub sleeps in a notification.
    pub(crate) fn before_reply(&self, thread: &SysThread, sleeping: bool) {
        if self.cpus < 2 || thread.zygote {
            return;
        }
        if !sleeping {
            return;
        }
        let now = now_ns();
        let last = thread.last_reply.swap(now, Ordering::Relaxed);
        let quick = thread.stopped_at.load(Ordering::Relaxed).saturating_sub(last) < HOT_GAP_NS;
        if quick {
            if let Some(me) = thread.me.upgrade() {
                let mut hot = self.hot.lock();
                Self::add_hot(&mut hot, &me);
            }
        }
    }

    /// Notes when a sleeping stub's call arrived.
    pub(crate) fn note_arrival(&self, at: &AtomicU64) {
        at.store(now_ns(), Ordering::Relaxed);
    }

    /// Polls the hot set for as long as that pays.
    fn spin(&self) {
        let mut local: Vec<Arc<SysThread>>;
        let mut generation;
        {
            let mut hot = self.hot.lock();
            if hot.spinner || hot.threads.is_empty() {
                return;
            }
            hot.spinner = true;
            local = hot.threads.clone();
            generation = hot.generation;
        }
        let mut idle = 0;
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
                std::hint::spin_loop();
            }
            if cold || idle % 16 == 0 {
                let mut hot = self.hot.lock();
                let dropped = if cold { Self::drop_cold(&mut hot) } else { Vec::new() };
                if hot.generation != generation {
                    local.clone_from(&hot.threads);
                    generation = hot.generation;
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
        thread.watched.store(false, Ordering::Relaxed);
    }

    /// Takes threads out of the hot set that have not called for long; the caller polls them once more.
    fn drop_cold(hot: &mut Hot) -> Vec<Arc<SysThread>> {
        let cold: Vec<_> = hot.threads.iter().filter(|t| t.idle_polls.load(Ordering::Relaxed) > SPIN_POLLS).cloned().collect();
        hot.threads.retain(|t| t.idle_polls.load(Ordering::Relaxed) <= SPIN_POLLS);
        hot.generation += 1;
        for thread in &cold {
            Self::unwatch(thread);
        }
        cold
    }

    fn stop_spinning(&self) {
        let threads = {
            let mut hot = self.hot.lock();
            let threads = std::mem::take(&mut hot.threads);
            for thread in &threads {
                Self::unwatch(thread);
            }
            hot.spinner = false;
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
