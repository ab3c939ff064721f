//! epoll(7).

use std::any::Any;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use bevor_abi::Errno;
use bevor_abi::fs::o;
use parking_lot::{Mutex, MutexGuard};
use rustc_hash::FxHashMap;

use crate::context::SyscallContext;
use crate::error::SyscallResult;
use crate::memory::{Kind, MemoryBudget, ObjectCharge};
use crate::vfs::file::seek_nowhere;
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
/// EPOLLERR and EPOLLHUP are reported, asked for or not.
const ALWAYS: u32 = 0x18;
/// How many epoll instances there may be above one another's lowest (EP_MAX_NESTS).
const MAX_NESTING: usize = 4;
/// How many ways up a file may have, by the number of instances on the way beyond the first; any number of direct ones.
const MAX_PATHS: [u32; MAX_NESTING] = [500, 100, 50, 10];

/// What the entries share with their instance.
struct Ready {
    /// Those that woke since the instance was looked at.
    woken: Mutex<Vec<Weak<Entry>>>,
    /// Whether there are any: set and cleared under the lock, so that a look that finds nothing new takes none.
    any_woken: AtomicBool,
    queue: WaitQueue,
}

struct Entry {
    this: Weak<Entry>,
    file: Weak<File>,
    /// Wanted events and flags, and what is always reported; flags alone after EPOLLONESHOT fired.
    wanted: AtomicU32,
    data: AtomicU64,
    ready: Arc<Ready>,
    /// Is, or is about to be, in one of the lists.
    listed: AtomicBool,
    removed: AtomicBool,
    token: Mutex<Option<WaitToken>>,
    _charge: ObjectCharge,
}

impl Entry {
    fn mask(&self) -> PollEvents {
        PollEvents::from_bits_truncate(self.wanted.load(Ordering::Acquire))
    }

    fn push(&self) {
        if !self.listed.swap(true, Ordering::AcqRel) {
            let mut woken = self.ready.woken.lock();
            let this = Weak::clone(&self.this);
            bevor_abi::mutant!("epoll/newest-first", woken.push(this), woken.insert(0, this));
            self.ready.any_woken.store(true, Ordering::Release);
        }
        self.ready.queue.wake(PollEvents::IN | PollEvents::RDNORM);
    }

    /// What is reported of an entry that has been taken off the list; None if there is nothing. From the start on a wake-up lists it again:
    /// nothing is lost between the look and the end.
    fn look(&self) -> Option<PollEvents> {
        self.listed.store(false, Ordering::Release);
        if self.removed.load(Ordering::Acquire) {
            return None;
        }
        let events = self.file.upgrade()?.poll() & self.mask();
        (!events.is_empty()).then_some(events)
    }
}

impl Waiter for Entry {
    fn notify(&self, events: PollEvents) {
        if !self.removed.load(Ordering::Acquire) && self.mask().intersects(events) {
            self.push();
        }
    }
    fn passes_on(&self) -> Option<&WaitQueue> {
        Some(&self.ready.queue)
    }
}

/// How many instances there are above that of `queue`, one upon the other; more than [`MAX_NESTING`] are not told apart. Level by level, each
/// instance once: the ways up can be as many as one likes.
fn height(queue: &WaitQueue) -> usize {
    let mut level = queue.passing_on();
    for height in 0..=MAX_NESTING {
        if level.is_empty() {
            return height;
        }
        let mut next = FxHashMap::default();
        for waiter in level.iter().filter_map(|w| w.passes_on()).flat_map(WaitQueue::passing_on) {
            let Some(place) = waiter.passes_on().map(WaitQueue::id) else { continue };
            next.insert(place, waiter);
        }
        level = next.into_values().collect();
    }
    MAX_NESTING + 1
}

/// Counts the ways from `queue` up to instances that nobody watches; false if there are too many.
fn count_paths(queue: &WaitQueue, depth: usize, counts: &mut [u32; MAX_NESTING]) -> bool {
    if depth > MAX_NESTING {
        return false;
    }
    for waiter in queue.passing_on() {
        let Some(above) = waiter.passes_on() else { continue };
        if above.has_passing_on() {
            if !count_paths(above, depth + 1, counts) {
                return false;
            }
        } else if let Some((count, most)) = depth.checked_sub(1).and_then(|i| counts.get_mut(i).zip(MAX_PATHS.get(i))) {
            *count += 1;
            if *count > *most {
                return false;
            }
        }
    }
    true
}

/// What is watched below an instance. It keeps the files: they are dropped when no lock is held any more.
#[derive(Default)]
struct Below {
    /// By instance, how many there are below it, one upon the other.
    seen: FxHashMap<usize, usize>,
    leaves: Vec<Arc<File>>,
    instances: Vec<Arc<File>>,
}

impl Below {
    /// How many instances are below `file`.
    ///
    /// # Errors
    /// ELOOP if `top` is, or too many are.
    fn walk(&mut self, file: &Arc<File>, top: usize, depth: usize) -> Result<usize, Errno> {
        let Some(epoll) = file.downcast::<Epoll>() else { return Ok(0) };
        if file.id() == top || depth > MAX_NESTING {
            return Err(Errno::ELOOP);
        }
        if let Some(known) = self.seen.get(&file.id()) {
            return Ok(*known);
        }
        let watched: Vec<_> = epoll.entries.lock().map.values().filter_map(|e| e.file.upgrade()).collect();
        let mut deepest = 0;
        let mut result = Ok(());
        for inner in watched {
            if inner.downcast::<Epoll>().is_none() {
                self.leaves.push(inner);
                continue;
            }
            if result.is_ok() {
                match self.walk(&inner, top, depth + 1) {
                    Ok(below) => deepest = deepest.max(below + 1),
                    Err(e) => result = Err(e),
                }
            }
            self.instances.push(inner);
        }
        result?;
        self.seen.insert(file.id(), deepest);
        Ok(deepest)
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

/// One for all instances.
#[derive(Default)]
pub(crate) struct Nesting {
    /// Held while they are made to watch one another.
    lock: Mutex<()>,
    /// Attacks only: as many upon one another as one likes.
    pub(crate) without_end: AtomicBool,
}

/// An epoll instance.
pub struct Epoll {
    entries: Mutex<Entries>,
    /// The ready list, without those that woke since. Held while its entries are looked at: nobody else sees the list without them. Instances
    /// that watch others take theirs first.
    listed: Mutex<VecDeque<Arc<Entry>>>,
    ready: Arc<Ready>,
    /// See [`Epoll::add`].
    nesting: Arc<Nesting>,
    memory: Arc<MemoryBudget>,
    user: u32,
    _charge: ObjectCharge,
}

/// What an instance watches.
#[derive(Default)]
struct Entries {
    map: FxHashMap<(i32, usize), Arc<Entry>>,
    /// With so many, those of closed files are looked for.
    prune_at: usize,
}

impl Entries {
    /// Takes those of closed files out; the caller drops them when the lock is released.
    fn closed(&mut self) -> Vec<Arc<Entry>> {
        let closed = self.map.extract_if(|_, e| e.file.strong_count() == 0).map(|(_, e)| e).collect();
        self.prune_at = (self.map.len() * 2).max(16);
        closed
    }
}

impl Epoll {
    /// epoll_create1(2). `user`: the real user id, whose watches are counted.
    ///
    /// # Errors
    /// ENOMEM if there are too many.
    pub fn create(vfs: &Vfs, owner: (u32, u32), user: u32) -> Result<Arc<File>, Errno> {
        let instance = Self {
            entries: Mutex::default(),
            listed: Mutex::default(),
            ready: Arc::new(Ready { woken: Mutex::default(), any_woken: AtomicBool::new(false), queue: WaitQueue::new() }),
            nesting: Arc::clone(&vfs.epoll_nesting),
            memory: Arc::clone(vfs.memory()),
            user,
            _charge: vfs.memory().object(Kind::EpollInstance)?,
        };
        Ok(vfs.anon_file("anon_inode:[eventpoll]", 0o600, Arc::new(instance), o::RDWR, owner))
    }

    /// Charges one more watched file. A user may have three quarters of all (max_user_watches).
    fn charge(&self) -> Result<ObjectCharge, Errno> {
        let most = self.memory.objects_ceiling(Kind::EpollWatch) / Kind::EpollWatch.cost();
        self.memory.object_for(Kind::EpollWatch, self.user, most - most / 4)
    }

    /// EPOLL_CTL_ADD.
    ///
    /// **Check and insertion are one step** where instances watch one another: then the one lock for all instances is held. An instance that
    /// nobody watches gets other files without it; whether somebody watches it since is looked at after the insertion.
    ///
    /// # Errors
    /// EEXIST; EPERM if the file cannot be waited for; ELOOP for a circle or too deep a nesting; EINVAL for bad EPOLLEXCLUSIVE use, for
    /// itself, and for too many ways up from a file; ENOSPC if too many files are watched.
    pub fn add(&self, me: &File, fd: i32, file: &Arc<File>, wanted: u32, data: u64) -> Result<(), Errno> {
        let queue = file.queue().ok_or(Errno::EPERM)?;
        let nested = file.downcast::<Epoll>().is_some();
        if file.id() == me.id() || nested && wanted & EXCLUSIVE != 0 && !bevor_abi::mutated!("epoll/exclusive-nested") {
            return Err(Errno::EINVAL);
        }
        // Dropped last.
        let mut below = Below::default();
        let mut guard = (nested || self.ready.queue.has_passing_on()).then(|| self.nesting.lock.lock());
        if nested && !self.nesting.without_end.load(Ordering::Relaxed) {
            let down = below.walk(file, me.id(), 0)?;
            let deep = down + 1 + height(&self.ready.queue);
            if bevor_abi::mutant!("epoll/nesting-boundary", deep > MAX_NESTING, deep >= MAX_NESTING) {
                return Err(Errno::ELOOP);
            }
        } else if !nested {
            below.leaves.push(Arc::clone(file));
        }
        let entry = self.insert(fd, file, queue, wanted, data)?;
        if guard.is_none() && self.ready.queue.has_passing_on() {
            guard = Some(self.nesting.lock.lock());
        }
        let fits = guard.is_none()
            || self.nesting.without_end.load(Ordering::Relaxed)
            || below.leaves.iter().filter_map(|leaf| leaf.queue()).all(|q| count_paths(q, 0, &mut [0; MAX_NESTING]));
        drop(guard);
        if !fits {
            // Somebody else may have been quicker.
            self.remove(fd, file).ok();
            return Err(Errno::EINVAL);
        }
        if file.poll().intersects(entry.mask()) && !bevor_abi::mutated!("epoll/add-unseen") {
            entry.push();
        }
        Ok(())
    }

    fn insert(&self, fd: i32, file: &Arc<File>, queue: &WaitQueue, wanted: u32, data: u64) -> Result<Arc<Entry>, Errno> {
        let key = (fd, file.id());
        let mut closed = Vec::new();
        {
            let mut entries = self.entries.lock();
            match entries.map.get(&key) {
                Some(e) if e.file.strong_count() > 0 => return Err(Errno::EEXIST),
                Some(_) => closed.extend(entries.map.remove(&key)),
                None => {}
            }
            if entries.map.len() >= entries.prune_at {
                closed.extend(entries.closed());
            }
        }
        self.forget(closed);
        let charge = self.charge().or_else(|_| {
            let closed = self.entries.lock().closed();
            self.forget(closed);
            self.charge()
        })?;
        let entry = Arc::new_cyclic(|this| Entry {
            this: Weak::clone(this),
            file: Arc::downgrade(file),
            wanted: AtomicU32::new(wanted | bevor_abi::mutant!("epoll/hangup-unasked", ALWAYS, ALWAYS & !0x10)),
            data: AtomicU64::new(data),
            ready: Arc::clone(&self.ready),
            listed: AtomicBool::new(false),
            removed: AtomicBool::new(false),
            token: Mutex::new(None),
            _charge: charge,
        });
        // All events: EPOLL_CTL_MOD changes the mask without a new registration.
        let waiter: Arc<dyn Waiter> = Arc::<Entry>::clone(&entry);
        let mut entries = self.entries.lock();
        if entries.map.contains_key(&key) {
            return Err(Errno::EEXIST);
        }
        *entry.token.lock() = Some(queue.register(PollEvents::all(), waiter));
        entries.map.insert(key, Arc::clone(&entry));
        Ok(entry)
    }

    /// Drops what watched closed files.
    fn forget(&self, closed: Vec<Arc<Entry>>) {
        if !closed.is_empty() {
            self.listed.lock().retain(|e| e.file.strong_count() > 0);
            drop(closed);
            self.ready.woken.lock().retain(|e| e.strong_count() > 0);
        }
    }

    fn find(&self, fd: i32, file: &File) -> Result<Arc<Entry>, Errno> {
        self.entries.lock().map.get(&(fd, file.id())).cloned().ok_or(Errno::ENOENT)
    }

    /// EPOLL_CTL_MOD.
    ///
    /// # Errors
    /// ENOENT; EINVAL if EPOLLEXCLUSIVE is or was set.
    pub fn modify(&self, fd: i32, file: &Arc<File>, wanted: u32, data: u64) -> Result<(), Errno> {
        let entry = self.find(fd, file)?;
        if (wanted | bevor_abi::mutant!("epoll/exclusive-mod", entry.wanted.load(Ordering::Acquire), 0)) & EXCLUSIVE != 0 {
            return Err(Errno::EINVAL);
        }
        if !bevor_abi::mutated!("epoll/data-stale") {
            entry.data.store(data, Ordering::Release);
        }
        entry.wanted.store(wanted | bevor_abi::mutant!("epoll/mod-hangup", ALWAYS, 0), Ordering::Release);
        if file.poll().intersects(entry.mask()) && !bevor_abi::mutated!("epoll/mod-unseen") {
            entry.push();
        }
        Ok(())
    }

    /// EPOLL_CTL_DEL.
    ///
    /// # Errors
    /// ENOENT.
    pub fn remove(&self, fd: i32, file: &File) -> Result<(), Errno> {
        let entry = self.entries.lock().map.remove(&(fd, file.id())).ok_or(Errno::ENOENT)?;
        entry.removed.store(true, Ordering::Release);
        let token = entry.token.lock().take();
        drop(token);
        // Nobody looks at it now, so that it is on the list or will not be.
        let mut listed = self.listed.lock();
        if entry.listed.load(Ordering::Acquire) {
            listed.retain(|e| !Arc::ptr_eq(e, &entry));
            self.ready.woken.lock().retain(|e| !e.ptr_eq(&entry.this));
        }
        Ok(())
    }

    /// The ready list, with those that woke.
    fn ready_list(&self) -> MutexGuard<'_, VecDeque<Arc<Entry>>> {
        let mut listed = self.listed.lock();
        if self.ready.any_woken.load(Ordering::Acquire) {
            let mut woken = self.ready.woken.lock();
            self.ready.any_woken.store(false, Ordering::Relaxed);
            listed.extend(woken.drain(..).filter_map(|entry| entry.upgrade()));
        }
        listed
    }

    /// Up to `max` ready events, handed to `report`. Level-triggered entries go to the end of the list and stay.
    pub fn collect(&self, max: usize, report: &mut dyn FnMut(EpollEvent)) -> usize {
        let mut listed = self.ready_list();
        let mut count = 0;
        for _ in 0..listed.len() {
            if count == max {
                break;
            }
            let Some(entry) = listed.pop_front() else { break };
            let Some(events) = entry.look() else { continue };
            let wanted = entry.wanted.load(Ordering::Acquire);
            report(EpollEvent { events: events.bits(), data: entry.data.load(Ordering::Acquire) });
            count += 1;
            if wanted & ONESHOT != 0 {
                let kept = bevor_abi::mutant!("epoll/oneshot-hangup", 0, ALWAYS);
                entry.wanted.fetch_and(EDGE | ONESHOT | EXCLUSIVE | WAKEUP | kept, Ordering::AcqRel);
            } else if (wanted & EDGE == 0 || bevor_abi::mutated!("epoll/edge-level"))
                && !entry.listed.swap(true, Ordering::AcqRel)
            {
                bevor_abi::mutant!("epoll/level-first", listed.push_back(entry), listed.push_front(entry));
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
        let mut listed = self.ready_list();
        // What is not ready leaves the list, so that nobody pays for it again.
        while let Some(entry) = listed.pop_front() {
            if entry.look().is_some() || bevor_abi::mutated!("epoll/nested-stale") {
                if !entry.listed.swap(true, Ordering::AcqRel) {
                    listed.push_front(entry);
                }
                return PollEvents::IN | PollEvents::RDNORM;
            }
        }
        PollEvents::empty()
    }
    fn seek(&self, _file: &File, _offset: i64, whence: u32) -> Option<Result<u64, Errno>> {
        Some(seek_nowhere(whence))
    }
    fn queue(&self) -> Option<&WaitQueue> {
        Some(&self.ready.queue)
    }
    fn release(&self, _file: &File) {
        let entries: Vec<_> = self.entries.lock().map.drain().map(|(_, e)| e).collect();
        for entry in entries {
            entry.removed.store(true, Ordering::Release);
            let token = entry.token.lock().take();
            drop(token);
        }
        self.listed.lock().clear();
        self.ready.woken.lock().clear();
    }
    fn ioctl(&self, _file: &File, _ctx: &mut SyscallContext<'_>, _request: u32, _arg: u64) -> SyscallResult {
        Err(Errno::EINVAL.into())
    }
    fn fdinfo(&self, _file: &File) -> String {
        let mut text = String::new();
        for ((fd, _), e) in self.entries.lock().map.iter() {
            text.push_str(&format!(
                "tfd: {fd:8} events: {:8x} data: {:16x}\n",
                e.wanted.load(Ordering::Relaxed),
                bevor_abi::mutant!("epoll/fdinfo-data", e.data.load(Ordering::Relaxed), 0)
            ));
        }
        text
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eventfd::EventFd;
    use crate::testing::test_vfs;

    fn epoll(file: &File) -> &Epoll {
        file.downcast().unwrap()
    }

    fn watch(outer: &Arc<File>, inner: &Arc<File>) -> Result<(), Errno> {
        epoll(outer).add(outer, 1, inner, 1, 0)
    }

    #[test]
    fn nesting_has_a_limit_from_below_and_from_above() {
        let vfs = test_vfs();
        let made: Vec<_> = (0..6).map(|_| Epoll::create(&vfs, (0, 0), 0).unwrap()).collect();
        for i in 0..4 {
            assert_eq!(watch(&made[i], &made[i + 1]), Ok(()), "{i}");
        }
        assert_eq!(watch(&made[4], &made[5]), Err(Errno::ELOOP), "below");
        assert_eq!(watch(&made[5], &made[0]), Err(Errno::ELOOP), "above");
        assert_eq!(watch(&made[4], &made[0]), Err(Errno::ELOOP), "a circle");
        assert_eq!(watch(&made[5], &made[5]), Err(Errno::EINVAL));
        let event = EventFd::create(&vfs, 1, false, 0, (0, 0));
        assert_eq!(watch(&made[4], &event), Ok(()));
        assert_eq!(epoll(&made[0]).collect(1, &mut |_| {}), 1);
    }

    #[test]
    fn ways_up_are_not_walked_one_by_one() {
        let vfs = test_vfs();
        // 40 * 40 * 40 * 40 ways up from the lowest.
        let levels: Vec<Vec<_>> =
            (0..5).map(|n| (0..if n == 0 { 1 } else { 40 }).map(|_| Epoll::create(&vfs, (0, 0), 0).unwrap()).collect()).collect();
        for pair in levels.windows(2) {
            pair[1].iter().for_each(|outer| pair[0].iter().for_each(|inner| watch(outer, inner).unwrap()));
        }
        let inner = Epoll::create(&vfs, (0, 0), 0).unwrap();
        for _ in 0..100 {
            assert_eq!(watch(&levels[0][0], &inner), Err(Errno::ELOOP));
        }
    }

    #[test]
    fn what_is_not_ready_any_more_is_looked_at_once() {
        let vfs = test_vfs();
        let inner = Epoll::create(&vfs, (0, 0), 0).unwrap();
        let events: Vec<_> = (0..100).map(|_| EventFd::create(&vfs, 1, false, 0, (0, 0))).collect();
        events.iter().for_each(|event| watch(&inner, event).unwrap());
        for event in &events[..99] {
            event.read(&mut crate::io::VecSink { data: &mut Vec::new(), room: 8 }).unwrap();
        }
        assert!(inner.poll().contains(PollEvents::IN));
        assert_eq!(epoll(&inner).listed.lock().len(), 1, "the last one stays");
        events[0].write(&mut crate::io::SliceSource(&1u64.to_le_bytes())).unwrap();
        assert_eq!(epoll(&inner).collect(100, &mut |_| {}), 2);
    }

    #[test]
    fn ways_up_from_a_file_have_a_limit() {
        let vfs = test_vfs();
        let event = EventFd::create(&vfs, 0, false, 0, (0, 0));
        let inner = Epoll::create(&vfs, (0, 0), 0).unwrap();
        watch(&inner, &event).unwrap();
        let outer: Vec<_> = (0..501).map(|_| Epoll::create(&vfs, (0, 0), 0).unwrap()).collect();
        let refused: Vec<_> = outer.iter().map(|o| watch(o, &inner)).filter(Result::is_err).collect();
        assert_eq!(refused, [Err(Errno::EINVAL)]);
        assert_eq!(epoll(&inner).ready.queue.passing_on().len(), 500, "what was refused is taken back");
    }

    #[test]
    fn closed_files_and_instances_leave_nothing_behind() {
        let vfs = test_vfs();
        let outer = Epoll::create(&vfs, (0, 0), 0).unwrap();
        for _ in 0..1000 {
            let inner = Epoll::create(&vfs, (0, 0), 0).unwrap();
            let event = EventFd::create(&vfs, 1, false, 0, (0, 0));
            watch(&inner, &event).unwrap();
            watch(&outer, &inner).unwrap();
        }
        assert!(vfs.memory().objects_used(Kind::EpollWatch) < 100 * Kind::EpollWatch.cost());
        drop(outer);
        assert_eq!(vfs.memory().objects_used(Kind::EpollWatch), 0);
        assert_eq!(vfs.memory().objects_used(Kind::EpollInstance), 0);
    }

    /// Ready, and holds whoever looks at it until it has been told twice to go on.
    struct Slow(WaitQueue, std::sync::Barrier, AtomicBool);

    impl FileOps for Slow {
        fn poll(&self, _file: &File) -> PollEvents {
            if self.2.load(Ordering::Acquire) {
                self.1.wait();
                self.1.wait();
            }
            PollEvents::IN
        }
        fn queue(&self) -> Option<&WaitQueue> {
            Some(&self.0)
        }
        fn as_any(&self) -> &dyn Any {
            self
        }
    }

    /// An instance that watches a file for `wanted`. Once it has been looked at, with `meanwhile` done during the look.
    fn looked_at(vfs: &Vfs, wanted: u32, meanwhile: impl FnOnce(&Arc<File>, &Arc<File>)) -> (Arc<File>, Arc<File>) {
        let outer = Epoll::create(vfs, (0, 0), 0).unwrap();
        let ops = Arc::new(Slow(WaitQueue::new(), std::sync::Barrier::new(2), AtomicBool::new(false)));
        let file = vfs.anon_file("slow", 0o600, Arc::<Slow>::clone(&ops), o::RDWR, (0, 0));
        epoll(&outer).add(&outer, 1, &file, wanted, 0).unwrap();
        ops.2.store(true, Ordering::Release);
        std::thread::scope(|scope| {
            scope.spawn(|| assert_eq!(epoll(&outer).collect(1, &mut |_| {}), 1));
            ops.1.wait();
            meanwhile(&outer, &file);
            ops.1.wait();
        });
        ops.2.store(false, Ordering::Release);
        (outer, file)
    }

    #[test]
    fn what_wakes_while_it_is_looked_at_is_looked_at_again() {
        let vfs = test_vfs();
        let (outer, _file) = looked_at(&vfs, 1 | EDGE, |_, file| file.queue().unwrap().wake(PollEvents::IN));
        assert_eq!(epoll(&outer).collect(2, &mut |_| {}), 1);
        assert_eq!(epoll(&outer).collect(2, &mut |_| {}), 0);
        let (outer, _file) = looked_at(&vfs, 1, |_, file| file.queue().unwrap().wake(PollEvents::IN));
        assert_eq!(epoll(&outer).collect(2, &mut |_| {}), 1, "it is listed once");
    }

    #[test]
    fn what_is_removed_while_it_is_looked_at_is_not_put_back() {
        let vfs = test_vfs();
        let mut remover = None;
        let (outer, file) = looked_at(&vfs, 1, |outer, file| {
            let both = (Arc::clone(outer), Arc::clone(file));
            remover = Some(std::thread::spawn(move || epoll(&both.0).remove(1, &both.1)));
            // The watch has ended, though what is left of it goes when nobody looks at it.
            while epoll(outer).find(1, file).is_ok() {
                std::thread::yield_now();
            }
        });
        assert_eq!(remover.unwrap().join().unwrap(), Ok(()));
        assert_eq!(vfs.memory().objects_used(Kind::EpollWatch), 0);
        drop((outer, file));
    }

    #[test]
    fn no_wake_up_is_lost_between_looks() {
        const EVENTS: u64 = 20_000;
        let vfs = test_vfs();
        let outer = Epoll::create(&vfs, (0, 0), 0).unwrap();
        let events: Vec<_> = (0..4).map(|_| EventFd::create(&vfs, 0, false, 0, (0, 0))).collect();
        for (i, event) in (0..).zip(&events) {
            // Two by level, two by edge.
            epoll(&outer).add(&outer, i, event, if i < 2 { 1 } else { 1 | EDGE }, i.unsigned_abs().into()).unwrap();
        }
        let mut left = [EVENTS; 4];
        std::thread::scope(|scope| {
            for event in &events {
                scope.spawn(|| {
                    for _ in 0..EVENTS {
                        event.write(&mut crate::io::SliceSource(&1u64.to_le_bytes())).unwrap();
                    }
                });
            }
            let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
            while left != [0; 4] {
                assert!(std::time::Instant::now() < until, "events were lost: {left:?} are left");
                let mut ready = Vec::new();
                epoll(&outer).collect(3, &mut |e| ready.push(usize::try_from(e.data).unwrap()));
                for i in ready {
                    let mut count = Vec::new();
                    if events[i].read(&mut crate::io::VecSink { data: &mut count, room: 8 }).is_ok() {
                        left[i] -= u64::from_le_bytes(count.try_into().unwrap());
                    }
                }
            }
        });
        assert_eq!(epoll(&outer).collect(4, &mut |_| {}), 0);
    }
}
