//! epoll(7).

use std::any::Any;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use bevor_abi::Errno;
use bevor_abi::fs::o;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use crate::vfs::{File, FileOps, Vfs};
use crate::wait::{PollEvents, WaitQueue, WaitToken, Waiter};

/// EPOLLEXCLUSIVE.
pub const EXCLUSIVE: u32 = 1 << 28;
/// EPOLLWAKEUP.
pub const WAKEUP: u32 = 1 << 29;
/// EPOLLONESHOT.
pub const ONESHOT: u32 = 1 << 30;
/// EPOLLET.
pub const EDGE: u32 = 1 << 31;
/// How deep epoll instances may watch one another.
const MAX_NESTING: u32 = 4;

/// The ready list, shared with the entries.
struct Ready {
    list: Mutex<VecDeque<Arc<Entry>>>,
    queue: WaitQueue,
}

struct Entry {
    this: Weak<Entry>,
    file: Weak<File>,
    /// Wanted events and flags; 0 after EPOLLONESHOT fired.
    wanted: AtomicU32,
    data: AtomicU64,
    ready: Arc<Ready>,
    listed: AtomicBool,
    removed: AtomicBool,
    token: Mutex<Option<WaitToken>>,
}

impl Entry {
    fn mask(&self) -> PollEvents {
        let wanted = self.wanted.load(Ordering::Acquire);
        if wanted & !(EDGE | ONESHOT | EXCLUSIVE | WAKEUP) == 0 {
            return PollEvents::empty();
        }
        PollEvents::from_bits_truncate(wanted) | PollEvents::ERR | PollEvents::HUP
    }

    fn push(&self) {
        let Some(this) = self.this.upgrade() else { return };
        if !self.listed.swap(true, Ordering::AcqRel) {
            self.ready.list.lock().push_back(this);
        }
        self.ready.queue.wake(PollEvents::IN | PollEvents::RDNORM);
    }
}

impl Waiter for Entry {
    fn notify(&self, events: PollEvents) {
        if !self.removed.load(Ordering::Acquire) && self.mask().intersects(events) {
            self.push();
        }
    }
}

/// One reported event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpollEvent {
    /// Events.
    pub events: u32,
    /// The data given with EPOLL_CTL_ADD or MOD.
    pub data: u64,
}

/// An epoll instance.
pub struct Epoll {
    entries: Mutex<FxHashMap<(i32, usize), Arc<Entry>>>,
    ready: Arc<Ready>,
}

impl Epoll {
    /// epoll_create1(2).
    #[must_use]
    pub fn create(vfs: &Vfs, owner: (u32, u32)) -> Arc<File> {
        vfs.anon_file("anon_inode:[eventpoll]", 0o600, Arc::new(Self::new()), o::RDWR, owner)
    }

    fn new() -> Self {
        Self { entries: Mutex::default(), ready: Arc::new(Ready { list: Mutex::default(), queue: WaitQueue::new() }) }
    }

    /// EPOLL_CTL_ADD.
    ///
    /// # Errors
    /// EEXIST; EPERM if the file cannot be waited for; ELOOP for a circle or too deep a nesting; EINVAL for bad EPOLLEXCLUSIVE use.
    pub fn add(&self, me: &File, fd: i32, file: &Arc<File>, wanted: u32, data: u64) -> Result<(), Errno> {
        let queue = file.queue().ok_or(Errno::EPERM)?;
        if let Some(other) = file.downcast::<Epoll>() {
            if wanted & EXCLUSIVE != 0 {
                return Err(Errno::EINVAL);
            }
            other.check_nesting(me.id(), 1)?;
        }
        let entry = Arc::new_cyclic(|this| Entry {
            this: Weak::clone(this),
            file: Arc::downgrade(file),
            wanted: AtomicU32::new(wanted),
            data: AtomicU64::new(data),
            ready: Arc::clone(&self.ready),
            listed: AtomicBool::new(false),
            removed: AtomicBool::new(false),
            token: Mutex::new(None),
        });
        {
            let mut entries = self.entries.lock();
            entries.retain(|_, e| e.file.strong_count() > 0);
            if entries.contains_key(&(fd, file.id())) {
                return Err(Errno::EEXIST);
            }
            entries.insert((fd, file.id()), Arc::clone(&entry));
        }
        // All events: EPOLL_CTL_MOD changes the mask without a new registration.
        let waiter: Arc<dyn Waiter> = Arc::<Entry>::clone(&entry);
        *entry.token.lock() = Some(queue.register(PollEvents::all(), waiter));
        if file.poll().intersects(entry.mask()) {
            entry.push();
        }
        Ok(())
    }

    fn check_nesting(&self, outer: usize, depth: u32) -> Result<(), Errno> {
        let watched: Vec<_> = self.entries.lock().values().filter_map(|e| e.file.upgrade()).collect();
        for file in watched {
            if let Some(inner) = file.downcast::<Epoll>() {
                if file.id() == outer || depth >= MAX_NESTING {
                    return Err(Errno::ELOOP);
                }
                inner.check_nesting(outer, depth + 1)?;
            }
        }
        Ok(())
    }

    fn find(&self, fd: i32, file: &File) -> Result<Arc<Entry>, Errno> {
        self.entries.lock().get(&(fd, file.id())).cloned().ok_or(Errno::ENOENT)
    }

    /// EPOLL_CTL_MOD.
    ///
    /// # Errors
    /// ENOENT; EINVAL if EPOLLEXCLUSIVE is or was set.
    pub fn modify(&self, fd: i32, file: &Arc<File>, wanted: u32, data: u64) -> Result<(), Errno> {
        let entry = self.find(fd, file)?;
        if (wanted | entry.wanted.load(Ordering::Acquire)) & EXCLUSIVE != 0 {
            return Err(Errno::EINVAL);
        }
        entry.data.store(data, Ordering::Release);
        entry.wanted.store(wanted, Ordering::Release);
        if file.poll().intersects(entry.mask()) {
            entry.push();
        }
        Ok(())
    }

    /// EPOLL_CTL_DEL.
    ///
    /// # Errors
    /// ENOENT.
    pub fn remove(&self, fd: i32, file: &File) -> Result<(), Errno> {
        let entry = self.entries.lock().remove(&(fd, file.id())).ok_or(Errno::ENOENT)?;
        entry.removed.store(true, Ordering::Release);
        let token = entry.token.lock().take();
        drop(token);
        Ok(())
    }

    /// Up to `max` ready events, handed to `report`. Level-triggered entries go to the end of the list and stay.
    pub fn collect(&self, max: usize, report: &mut dyn FnMut(EpollEvent)) -> usize {
        let rounds = self.ready.list.lock().len();
        let mut count = 0;
        for _ in 0..rounds {
            if count == max {
                break;
            }
            let Some(entry) = self.ready.list.lock().pop_front() else { break };
            // From here on a wake-up lists the entry again: nothing is lost between the look and the end.
            entry.listed.store(false, Ordering::Release);
            if entry.removed.load(Ordering::Acquire) {
                continue;
            }
            let Some(file) = entry.file.upgrade() else { continue };
            let events = file.poll() & entry.mask();
            if events.is_empty() {
                continue;
            }
            let wanted = entry.wanted.load(Ordering::Acquire);
            report(EpollEvent { events: events.bits(), data: entry.data.load(Ordering::Acquire) });
            count += 1;
            if wanted & ONESHOT != 0 {
                entry.wanted.fetch_and(EDGE | ONESHOT | EXCLUSIVE | WAKEUP, Ordering::AcqRel);
            } else if wanted & EDGE == 0 && !entry.listed.swap(true, Ordering::AcqRel) {
                self.ready.list.lock().push_back(entry);
            }
        }
        count
    }

    /// Woken when the ready list grows.
    #[must_use]
    pub fn ready_queue(&self) -> &WaitQueue {
        &self.ready.queue
    }
}

impl FileOps for Epoll {
    fn poll(&self, _file: &File) -> PollEvents {
        let listed: Vec<_> = self.ready.list.lock().iter().cloned().collect();
        let ready = listed
            .iter()
            .any(|e| !e.removed.load(Ordering::Acquire) && e.file.upgrade().is_some_and(|f| f.poll().intersects(e.mask())));
        if ready { PollEvents::IN | PollEvents::RDNORM } else { PollEvents::empty() }
    }
    fn queue(&self) -> Option<&WaitQueue> {
        Some(&self.ready.queue)
    }
    fn release(&self, _file: &File) {
        let entries: Vec<_> = self.entries.lock().drain().map(|(_, e)| e).collect();
        for entry in entries {
            entry.removed.store(true, Ordering::Release);
            let token = entry.token.lock().take();
            drop(token);
        }
        self.ready.list.lock().clear();
    }
    fn fdinfo(&self, _file: &File) -> String {
        let mut text = String::new();
        for ((fd, _), e) in self.entries.lock().iter() {
            text.push_str(&format!(
                "tfd: {fd:8} events: {:8x} data: {:16x}\n",
                e.wanted.load(Ordering::Relaxed),
                e.data.load(Ordering::Relaxed)
            ));
        }
        text
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}
