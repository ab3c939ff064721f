//! Systrap: application code runs in stub processes; its system calls arrive through shared memory channels.
//!
//! - [`zygote`] starts the process that all stubs are forked from; `filter` is what they may ask of the host.
//! - `channel` is the shared memory of one thread, `space` a host process, `thread` the events and replies of one host thread.
//! - `patch` turns call sites into jumps, `text` keeps copies of libraries in which that is done already.
//! - `replies` are those that are more than a result, `clone` threads and forks, `gate` what keeps them apart in one address space, `claims`
//!   how a fork's child comes to its channel.
//! - `worker` polls channels and serves notifications, `listeners` says who waits for them; `pool` runs what may block.

mod channel;
mod claims;
mod clone;
mod cpuid;
pub mod filter;
mod gate;
mod host_stat;
mod listeners;
mod patch;
mod place;
mod pool;
mod replies;
mod space;
mod sys;
mod text;
mod thread;
mod worker;
pub mod zygote;

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use bevor_abi::Errno;
use bevor_hostcall::HostFd;
use bevor_stub::layout as l;
use parking_lot::Mutex;
use smallvec::SmallVec;

use crate::api::{AddressSpace as _, Event, ExecImage, Identity, MmapOp, OwnerRef, Platform, SpaceLayout, Thread};
use crate::defence::{Defence, Defences};
use channel::Channel;
use claims::{Claim, Claims, Nonce};
use clone::Prepared;
pub use patch::ProcFiles;
use space::{SlabPool, Space};
use thread::SysThread;
use worker::Hot;
pub use zygote::{Zygote, ZygoteOptions};

struct ZygoteState {
    thread: Arc<SysThread>,
    /// Waits for a command.
    ready: bool,
    /// Nonces of the forks asked for.
    queue: VecDeque<Nonce>,
    /// The fork under way.
    current: Option<Nonce>,
}

/// A hook that runs what became ready while an event was handled.
pub type ReadyHook = Arc<dyn Fn() + Send + Sync>;

pub(crate) struct Inner {
    me: Weak<Inner>,
    listener: HostFd,
    pub(crate) ground: place::Ground,
    zygote: Mutex<Option<ZygoteState>>,
    zygote_pid: i32,
    next_space: AtomicU64,
    spaces: Mutex<Spaces>,
    threads: Mutex<HashMap<i32, Arc<SysThread>>>,
    claims: Claims,
    /// For claims to come.
    nonces: Mutex<Vec<Nonce>>,
    strangers: Mutex<Strangers>,
    spares: Mutex<VecDeque<Arc<SysThread>>>,
    slabs: Arc<SlabPool>,
    hot: Hot,
    listeners: listeners::Listeners,
    undertaker: worker::Undertaker,
    watchdog: worker::Watchdog,
    cpus: usize,
    pool: pool::Pool,
    ready: OnceLock<ReadyHook>,
    files: space::Files,
    texts: Arc<text::TextCache>,
    defences: Defences,
}

/// Host processes that have claimed no channel.
#[derive(Default)]
struct Strangers {
    /// The zygote's forks that have returned, by process, with their nonces.
    waiting: HashMap<i32, Nonce>,
    /// Processes that died, the latest last: their forks may not have returned yet.
    dead: VecDeque<i32>,
    /// Ticks of the watchdog for which forks that have not been claimed are held against the dead.
    unsure: u32,
    /// Children whose parents died meanwhile, with the watchdog's ticks since.
    orphans: Vec<(Arc<SysThread>, u32)>,
}

/// How long the dead are asked for children that have not come.
const UNSURE_TICKS: u32 = 3;
/// Dead strangers that are remembered.
const STRANGERS: usize = 1024;

#[derive(Default)]
struct Spaces {
    by_id: HashMap<u64, Arc<Space>>,
    by_pid: HashMap<i32, Arc<Space>>,
}

/// Spares kept ready: one for the next exec, one for the exec right after it.
const SPARES: usize = 2;

/// The systrap platform.
#[derive(Clone)]
pub struct Systrap(Arc<Inner>);

impl Systrap {
    /// Takes over a zygote and starts the worker threads.
    ///
    /// # Errors
    /// EAGAIN if the host refuses threads.
    pub fn start(zygote: Zygote) -> Result<Self, Errno> {
        let slabs = Arc::new(SlabPool::new(&zygote.defences));
        let inner = Arc::new_cyclic(|me: &Weak<Inner>| Inner {
            me: me.clone(),
            listener: zygote.listener,
            ground: zygote.ground,
            zygote: Mutex::new(None),
            zygote_pid: zygote.pid,
            next_space: AtomicU64::new(1),
            spaces: Mutex::default(),
            threads: Mutex::default(),
            claims: Claims::default(),
            nonces: Mutex::default(),
            strangers: Mutex::default(),
            spares: Mutex::default(),
            slabs,
            hot: Hot::default(),
            listeners: listeners::Listeners::new(sys::allowed_cpus()),
            undertaker: worker::Undertaker::default(),
            watchdog: worker::Watchdog::default(),
            cpus: sys::allowed_cpus(),
            pool: pool::Pool::default(),
            ready: OnceLock::new(),
            files: space::Files::default(),
            texts: Arc::new(text::TextCache::new(&zygote.defences)),
            defences: zygote.defences,
        });
        let space =
            Space::with_slab(0, &inner.slabs, &inner.files, space::Slab { fd: zygote.fd, memory: Arc::clone(&zygote.memory) });
        space.pid.store(zygote.pid, Ordering::Release);
        let channel = Channel::new(zygote.memory, 0);
        let thread = SysThread::new(&inner, &space, channel, 0, None, true);
        thread.tid.store(zygote.pid, Ordering::Release);
        {
            let mut spaces = inner.spaces.lock();
            spaces.by_id.insert(0, Arc::clone(&space));
            spaces.by_pid.insert(zygote.pid, space);
        }
        inner.threads.lock().insert(zygote.pid, Arc::clone(&thread));
        *inner.zygote.lock() =
            Some(ZygoteState { thread: Arc::clone(&thread), ready: false, queue: VecDeque::new(), current: None });
        worker::start(&inner)?;
        thread.poll();
        for _ in 0..SPARES {
            inner.add_spare()?;
        }
        Ok(Self(inner))
    }

    /// Lets call sites be patched: `files` opens stubs' `/proc` files. Only the first call counts.
    pub fn set_proc_files(&self, files: Arc<dyn ProcFiles>) {
        let _ = self.0.files.set(files);
    }

    /// Sets the hook that workers call after each event. Only the first call counts.
    pub fn set_ready_hook(&self, hook: ReadyHook) {
        let _ = self.0.ready.set(hook);
    }
}

impl Inner {
    fn run_ready(&self) {
        if let Some(hook) = self.ready.get() {
            // The hook runs many programs' work: whose panic it was is its business.
            let _ = catch_unwind(AssertUnwindSafe(|| hook()));
        }
    }

    /// One that nobody can guess, for a claim.
    fn nonce(&self) -> Nonce {
        let mut ready = self.nonces.lock();
        loop {
            match ready.pop() {
                Some(nonce) => return nonce,
                None => *ready = sys::nonces(),
            }
        }
    }

    fn new_child(
        &self,
        slot: u32,
        mapped: &[bool],
        owner: Option<OwnerRef>,
        parent: Option<Weak<SysThread>>,
    ) -> Result<(Arc<SysThread>, Nonce), Errno> {
        let id = self.next_space.fetch_add(1, Ordering::Relaxed);
        let me = self.me.upgrade().ok_or(Errno::EAGAIN)?;
        let space = Space::new(id, &self.slabs, &self.files, slot, mapped)?;
        let child = {
            let mut tables = space.tables.lock();
            let channel = Space::channel(&tables, slot).ok_or(Errno::EAGAIN)?;
            let child = SysThread::new(&me, &space, channel, slot, owner, false);
            tables.threads.push(Arc::clone(&child));
            child
        };
        let nonce = self.nonce();
        self.spaces.lock().by_id.insert(id, space);
        self.claims.insert(nonce, Claim { child: Arc::clone(&child), parent });
        Ok((child, nonce))
    }

    /// The child's side of an application fork.
    pub(crate) fn prepare_fork(&self, parent: &Arc<SysThread>, owner: OwnerRef) -> Result<Prepared, Errno> {
        let mapped: Vec<bool> = parent.space.tables.lock().slots.iter().map(|s| s.mapped).collect();
        let (child, nonce) = self.new_child(parent.slot, &mapped, Some(owner), Some(Arc::downgrade(parent)))?;
        *child.space.patches.lock() = parent.space.patches.lock().fork();
        child.space.inherit_limits(&parent.space);
        child.space.set_layout(parent.space.layout());
        child.space.brk.store(parent.space.brk.load(Ordering::Relaxed), Ordering::Relaxed);
        Ok(Prepared { child, flags: 0, words: [nonce.0, nonce.1] })
    }

    fn add_spare(&self) -> Result<(), Errno> {
        let (child, nonce) = self.new_child(0, &[], None, None)?;
        child.make_spare();
        child.space.set_layout(self.ground.plain);
        self.spares.lock().push_back(child);
        let mut guard = self.zygote.lock();
        if let Some(z) = guard.as_mut() {
            z.queue.push_back(nonce);
            Self::next_fork(z);
        }
        Ok(())
    }

    fn next_fork(z: &mut ZygoteState) {
        if !z.ready {
            return;
        }
        if let Some(nonce) = z.queue.pop_front() {
            z.ready = false;
            z.current = Some(nonce);
            z.thread.reply_fork(nonce);
        }
    }

    /// The zygote waits for a command; `result` is what its last fork returned.
    pub(crate) fn zygote_ready(&self, _thread: &Arc<SysThread>, result: i64) {
        let mut failed = None;
        {
            let mut guard = self.zygote.lock();
            if let Some(z) = guard.as_mut() {
                match z.current.take() {
                    Some(nonce) if result < 0 => failed = Some(nonce),
                    Some(nonce) if result > 0 && self.claims.contains(nonce) => {
                        self.await_claim(i32::try_from(result).unwrap_or(0), nonce);
                    }
                    _ => {}
                }
                z.ready = true;
                Self::next_fork(z);
            }
        }
        if let Some(nonce) = failed {
            self.spare_failed(nonce);
        }
    }

    fn spare_failed(&self, nonce: Nonce) {
        if let Some(claim) = self.claims.remove(nonce) {
            self.clone_failed(&claim.child, Event::Gone { status: 0 });
        }
    }

    /// The zygote's fork has returned process `pid`, which has claimed nothing so far.
    fn await_claim(&self, pid: i32, nonce: Nonce) {
        if pid <= 0 {
            return;
        }
        {
            let mut strangers = self.strangers.lock();
            let dead = strangers.dead.iter().position(|p| *p == pid);
            if let Some(at) = dead {
                strangers.dead.remove(at);
            }
            if dead.is_none() || sys::tgkill(pid, pid, 0).is_ok() {
                strangers.waiting.insert(pid, nonce);
                return;
            }
        }
        self.spare_died(nonce);
    }

    fn spare_died(&self, nonce: Nonce) {
        // On another thread: the zygote's state may be locked here.
        if let Some(me) = self.me.upgrade() {
            self.pool.spawn(Box::new(move || me.spare_failed(nonce)));
        }
    }

    /// Gives up the forks whose host processes, as their parents' stubs tell, died without claiming a channel. True if others are unclaimed.
    fn settle_claims(&self) -> bool {
        let dead: Vec<i32> = self.strangers.lock().dead.iter().copied().collect();
        let died = |claim: &Claim| {
            let forked = claim.parent.as_ref().and_then(Weak::upgrade).map_or(0, |p| p.channel.forked_pid());
            // The number may be a later process's by now.
            forked > 0 && dead.contains(&forked) && sys::tgkill(forked, forked, 0).is_err()
        };
        let (lost, left) = self.claims.remove_where(died, |claim| claim.parent.is_some());
        // The dead stay on the list: it is the stub that names its fork, and another one's may be meant.
        for claim in lost {
            self.claim_lost(&claim.child, claim.parent.as_ref());
        }
        left
    }

    /// `parent` goes on after a fork that has not been claimed so far: its stub has named the process, which may have died before that.
    pub(crate) fn fork_returned(&self, parent: &SysThread) {
        let forked = parent.channel.forked_pid();
        if self.strangers.lock().dead.contains(&forked) {
            self.settle_claims();
        }
    }

    /// `child`'s parent died before it was claimed.
    pub(crate) fn orphan(&self, child: Arc<SysThread>) {
        self.strangers.lock().orphans.push((child, 0));
        self.watchdog_wake();
    }

    fn has_strangers(&self) -> bool {
        let strangers = self.strangers.lock();
        !strangers.orphans.is_empty() || strangers.unsure > 0
    }

    /// A tick of the watchdog: children that have not come are given up.
    fn strangers_tick(&self) {
        let mut late = Vec::new();
        self.settle_claims();
        {
            let mut strangers = self.strangers.lock();
            strangers.unsure = strangers.unsure.saturating_sub(1);
            strangers.orphans.retain_mut(|(child, ticks)| {
                *ticks += 1;
                let unclaimed = child.space.pid() == 0;
                if unclaimed && *ticks > 2 {
                    late.push(Arc::clone(child));
                }
                unclaimed && *ticks <= 2
            });
        }
        for child in late {
            self.clone_failed(&child, Event::Gone { status: 0 });
        }
    }

    /// `child` has never come to run: its owner hears `event`.
    pub(crate) fn clone_failed(&self, child: &Arc<SysThread>, event: Event) {
        self.claims.remove_where(|c| Arc::ptr_eq(&c.child, child), |_| false);
        self.spares.lock().retain(|s| !Arc::ptr_eq(s, child));
        let whole_space = child.space.pid() == 0;
        child.mark_dead();
        // A stub that says that it has made no thread, after the thread has called: its owner may be in the middle of that.
        let event = match event {
            Event::NotStarted if child.state.lock().heard => {
                child.space.kill();
                Event::Gone { status: 0 }
            }
            event => event,
        };
        child.leave_gate();
        if whole_space {
            self.spaces.lock().by_id.remove(&child.space.id);
            child.space.retire();
        } else {
            self.forget_thread(child, false);
        }
        Self::report(child, event);
    }

    pub(crate) fn report_gone(&self, thread: &Arc<SysThread>, status: i32) {
        Self::report(thread, Event::Gone { status });
    }

    /// Tells the owner of the thread's end, after which it hears of nothing more.
    fn report(thread: &Arc<SysThread>, event: Event) {
        let owner = thread.owner.write().take();
        if let Some(owner) = owner {
            let t: Arc<dyn Thread> = Arc::<SysThread>::clone(thread) as Arc<dyn Thread>;
            let _ = catch_unwind(AssertUnwindSafe(|| owner.0.handle(&t, event)));
        }
    }

    /// Frees the thread's slot. `lent`: a buffer in its channel may still be written to.
    fn forget_thread(&self, thread: &Arc<SysThread>, lent: bool) {
        let tid = thread.known_tid();
        self.cool(thread);
        let failed = tid <= 0;
        self.threads.lock().retain(|_, t| !Arc::ptr_eq(t, thread));
        let mut tables = thread.space.tables.lock();
        tables.threads.retain(|t| !Arc::ptr_eq(t, thread));
        if let Some(slot) = usize::try_from(thread.slot).ok().and_then(|s| tables.slots.get_mut(s)) {
            slot.taken = false;
            slot.last_tid = tid;
            slot.lent = lent;
            if failed {
                slot.mapped = false; // mapped again by the next thread, which does no harm
            }
        }
    }

    /// `thread` was told to exit.
    pub(crate) fn thread_exits(&self, thread: &Arc<SysThread>, lent: bool) {
        thread.mark_dead();
        self.forget_thread(thread, lent);
    }

    /// A host process has ended and is about to be reaped.
    fn process_gone(&self, pid: i32, status: i32) {
        if !self.defences.has(Defence::Reaper) {
            sys::reap(pid);
            return;
        }
        let space = {
            let mut spaces = self.spaces.lock();
            let space = spaces.by_pid.remove(&pid);
            if let Some(space) = &space {
                spaces.by_id.remove(&space.id);
            }
            space
        };
        let Some(space) = space else {
            let waiter = {
                let mut strangers = self.strangers.lock();
                let waiter = strangers.waiting.remove(&pid);
                if waiter.is_none() {
                    if strangers.dead.len() == STRANGERS {
                        strangers.dead.pop_front();
                    }
                    strangers.dead.push_back(pid);
                }
                waiter
            };
            sys::reap(pid);
            match waiter {
                Some(nonce) => self.spare_died(nonce),
                // Its fork may not have returned yet.
                None if self.settle_claims() => {
                    self.strangers.lock().unsure = UNSURE_TICKS;
                    self.watchdog_wake();
                }
                None => {}
            }
            self.run_ready();
            return;
        };
        let threads = space.tables.lock().threads.clone();
        let unexpected: Vec<_> = threads.iter().filter(|t| t.mark_dead()).cloned().collect();
        self.threads.lock().retain(|_, t| !Arc::ptr_eq(&t.space, &space));
        self.spares.lock().retain(|t| !Arc::ptr_eq(&t.space, &space));
        self.strangers.lock().waiting.remove(&pid);
        space.retire();
        sys::reap(pid);
        let waiting = space.gate.lock().close();
        for thread in unexpected {
            self.report_gone(&thread, status);
        }
        for clone in waiting {
            clone.refuse();
        }
        self.run_ready();
        self.slabs.top_up();
    }

    /// Finds the thread that a notification speaks of. The host kernel vouches for `pid`; `slot` and `space` are the stub's words.
    fn notifier(&self, pid: i32, slot: u64, space: u64) -> Option<Arc<SysThread>> {
        if let Some(t) = self.threads.lock().get(&pid)
            && u64::from(t.slot) == slot
            && t.space.id == space
        {
            return Some(Arc::clone(t));
        }
        let space = Arc::clone(self.spaces.lock().by_id.get(&space)?);
        if !self.defences.has(Defence::Caller) {
            return space.tables.lock().threads.iter().find(|t| u64::from(t.slot) == slot).cloned();
        }
        // Only a thread of that very process speaks for it.
        sys::tgkill(space.pid(), pid, 0).ok()?;
        let thread = space.tables.lock().threads.iter().find(|t| u64::from(t.slot) == slot).cloned()?;
        let mut threads = self.threads.lock();
        // One entry per thread: a process's raw threads must not fill the map with their tids.
        let old = thread.tid.swap(pid, Ordering::AcqRel);
        if old != pid && threads.get(&old).is_some_and(|t| Arc::ptr_eq(t, &thread)) {
            threads.remove(&old);
        }
        threads.insert(pid, Arc::clone(&thread));
        drop(threads);
        Some(thread)
    }

    /// Whether `pid` is a process of its own that has no channel. Entries of threads that are gone give way.
    fn may_claim(&self, pid: i32) -> bool {
        if sys::tgkill(pid, pid, 0).is_err() || self.spaces.lock().by_pid.contains_key(&pid) {
            return false;
        }
        let mut threads = self.threads.lock();
        if let Some(t) = threads.get(&pid) {
            if sys::tgkill(t.space.pid(), pid, 0).is_ok() {
                return false;
            }
            threads.remove(&pid);
        }
        true
    }

    fn claim(&self, id: u64, pid: i32, mut nonce: Nonce) {
        self.claims.await_earlier(nonce, pid);
        let weak = !self.defences.has(Defence::Nonce);
        // A nonce that is right counts all the same: forks must not get each other's channels by chance.
        if weak && !self.claims.contains(nonce) {
            nonce = self.claims.any().unwrap_or(nonce);
        }
        let claim = if weak || self.may_claim(pid) { self.claims.take(nonce, pid) } else { None };
        let Some(claim) = claim else {
            let _ = sys::notif_send(&self.listener, id, Errno::EPERM.to_result());
            return;
        };
        let child = Arc::clone(&claim.child);
        let slab = child.space.tables.lock().slabs.iter().flatten().next().map(|s| s.fd.clone());
        child.space.pid.store(pid, Ordering::Release);
        child.tid.store(pid, Ordering::Release);
        child.channel.set_host_tid(pid);
        child.space.apply_limits(pid);
        // Before the answer, after which the process may do and suffer anything.
        self.spaces.lock().by_pid.insert(pid, Arc::clone(&child.space));
        self.threads.lock().insert(pid, Arc::clone(&child));
        let answered = match slab {
            Some(fd) => sys::notif_addfd(&self.listener, id, &fd),
            None => Err(Errno::EPERM),
        };
        if let Err(errno) = answered {
            // Interrupted, and it asks again; or killed, and the reaper may have missed the entry.
            self.spaces.lock().by_pid.remove(&pid);
            self.threads.lock().remove(&pid);
            child.space.pid.store(0, Ordering::Release);
            child.tid.store(0, Ordering::Release);
            let _ = sys::notif_send(&self.listener, id, errno.to_result());
            if sys::tgkill(pid, pid, 0).is_ok() {
                self.claims.put_back(nonce, claim);
            } else {
                self.claims.settle(nonce);
                self.strangers.lock().waiting.remove(&pid);
                self.claim_lost(&child, claim.parent.as_ref());
            }
            return;
        }
        self.claims.settle(nonce);
        {
            let mut strangers = self.strangers.lock();
            strangers.waiting.remove(&pid);
            strangers.dead.retain(|p| *p != pid);
        }
        if let Some(parent) = claim.parent.and_then(|p| p.upgrade()) {
            parent.child_claimed();
        }
        child.leave_gate();
        if sys::tgkill(pid, pid, 0).is_err() {
            self.process_gone(pid, libc::SIGKILL);
        }
    }

    /// The process that was to become `child` is gone.
    fn claim_lost(&self, child: &Arc<SysThread>, parent: Option<&Weak<SysThread>>) {
        if let Some(parent) = parent.and_then(Weak::upgrade) {
            parent.child_claimed();
        }
        self.clone_failed(child, Event::Gone { status: 0 });
    }

    /// Serves one notification.
    fn notification(&self, n: &sys::SeccompNotif) {
        let pid = i32::try_from(n.pid).unwrap_or(0);
        let [kind, a, b, space, spun, cpu] = n.data.args;
        let refuse = |errno: Errno| {
            let _ = sys::notif_send(&self.listener, n.id, errno.to_result());
        };
        match u32::try_from(kind) {
            Ok(l::NOTIF_CLAIM) => self.claim(n.id, pid, (a, b)),
            Ok(l::NOTIF_WAIT) => match self.notifier(pid, a, space) {
                Some(thread) => thread.notified(n.id, spun != 0, u32::try_from(cpu).unwrap_or(0)),
                None => refuse(Errno::EPERM),
            },
            Ok(l::NOTIF_FD) => {
                let donated = self.notifier(pid, a, space).ok_or(Errno::EBADF).and_then(|t| self.donate(n.id, &t, b));
                if let Err(errno) = donated {
                    refuse(errno);
                }
            }
            Ok(l::NOTIF_SLAB) => {
                let slab = self.notifier(pid, a, space).and_then(|t| {
                    let tables = t.space.tables.lock();
                    usize::try_from(b).ok().and_then(|i| tables.slabs.get(i).cloned().flatten())
                });
                match slab {
                    Some(slab) => {
                        let _ = sys::notif_addfd(&self.listener, n.id, &slab.fd);
                    }
                    None => refuse(Errno::EBADF),
                }
            }
            _ => refuse(Errno::ENOSYS),
        }
    }

    /// Gives `thread`'s process descriptors of its current reply: as `NOTIF_FD` says.
    fn donate(&self, id: u64, thread: &SysThread, wanted: u64) -> Result<(), Errno> {
        let mut fds: SmallVec<[(u32, HostFd); 4]> = SmallVec::new();
        {
            let state = thread.state.lock();
            for [at, index] in wanted.to_le_bytes().as_chunks::<2>().0 {
                if *at == 0 {
                    break;
                }
                let at = Some(u32::from(*at)).filter(|at| (l::DONATED_FD..l::DONATED_FD + l::DONATED).contains(at));
                let file = state.donations.get(usize::from(*index));
                fds.push((at.ok_or(Errno::EBADF)?, file.ok_or(Errno::EBADF)?.fd.clone()));
            }
        }
        let ((last_at, last), others) = fds.split_last().ok_or(Errno::EBADF)?;
        for (at, fd) in others {
            sys::notif_addfd_at(&self.listener, id, fd, *at, false)?;
        }
        sys::notif_addfd_at(&self.listener, id, last, *last_at, true)
    }

    /// The patched copy of the text that `op` maps, if there is one by now.
    pub(crate) fn patched_text(&self, op: &MmapOp) -> Option<Arc<text::Text>> {
        self.texts.find(op, &self.pool)
    }

    /// One step of patching the call site that ends at `site` in `thread`'s address space.
    pub(crate) fn patch_step(&self, thread: &SysThread, site: u64, nr: u64, result: i64) -> patch::Step {
        let Some(files) = self.files.get() else {
            return patch::Step::Done;
        };
        let single = thread.space.tables.lock().threads.len() == 1;
        let target = patch::Target { pid: thread.space.pid(), single, files };
        thread.space.patches.lock().step(&target, site, nr, result)
    }

    /// Lets a stub that sleeps in a notification go on. False if it does not any more: a signal has ended the wait, and it looks at its
    /// channel by itself.
    pub(crate) fn wake_notified(&self, id: u64) -> bool {
        sys::notif_send(&self.listener, id, 0).is_ok()
    }
}

impl Platform for Systrap {
    fn layout(&self, random: Option<[u64; 2]>, stack_limit: u64) -> SpaceLayout {
        self.0.ground.layout(random, stack_limit)
    }

    fn exec(&self, owner: OwnerRef, image: ExecImage, identity: Identity) -> Result<Arc<dyn Thread>, Errno> {
        let inner = &self.0;
        if !SysThread::image_fits(&image) {
            return Err(Errno::ENOEXEC);
        }
        let spare = inner.spares.lock().pop_front();
        let spare = match spare {
            Some(s) => s,
            None => {
                inner.add_spare()?;
                inner.spares.lock().pop_front().ok_or(Errno::EAGAIN)?
            }
        };
        *spare.owner.write() = Some(owner.clone());
        spare.channel.set_identity(identity);
        let started: Arc<dyn Thread> = Arc::<SysThread>::clone(&spare) as Arc<dyn Thread>;
        owner.0.handle(&started, Event::Started);
        inner.warm(&spare);
        spare.give_image(image);
        // The next spare is made while the new program starts.
        let _ = inner.add_spare();
        Ok(spare as Arc<dyn Thread>)
    }

    fn spawn_blocking(&self, f: Box<dyn FnOnce() + Send>) {
        self.0.pool.spawn(f);
    }

    fn set_ready_hook(&self, hook: ReadyHook) {
        Systrap::set_ready_hook(self, hook);
    }

    fn shutdown(&self) {
        let pids: Vec<i32> = self.0.spaces.lock().by_pid.keys().copied().collect();
        for pid in pids {
            if pid != self.0.zygote_pid {
                let _ = sys::kill(pid);
            }
        }
        let _ = sys::kill(self.0.zygote_pid);
    }
}
