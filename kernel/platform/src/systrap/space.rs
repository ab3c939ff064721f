//! Address spaces (host processes) and their slabs.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bevor_abi::Errno;
use bevor_hostcall::{HostFd, SharedMemory};
use bevor_stub::layout as l;
use bevor_stub::layout::{SLAB_CHANNELS, SLAB_SIZE};
use parking_lot::{Condvar, Mutex};

use super::channel::Channel;
use super::gate::Gate;
use super::host_stat::HostStat;
use super::patch::{Patches, ProcFiles};
use super::sys;
use super::thread::SysThread;
use crate::api::{AddressSpace, Mapping, MemoryLimits, MemoryUse, SpaceLayout};
use crate::defence::{Defence, Defences};

/// Bytes of a slab.
const SLAB_BYTES: u64 = l::SLAB_SIZE as u64;
/// What a limited process may map beyond its limit, so that a thread's region finds room (vfork).
const ROOM: u64 = l::REGION_SIZE;

/// Channels in a slab, as an index.
const CHANNELS: usize = 16;

/// A memory file with channels, mapped in the sentry for as long as it lives. It serves one host process and no other: whoever once had its
/// descriptor may have kept it.
#[derive(Clone)]
pub(crate) struct Slab {
    pub(crate) fd: HostFd,
    pub(crate) memory: Arc<SharedMemory>,
}

impl Slab {
    fn create(defences: &Defences) -> Result<Self, Errno> {
        let fd = bevor_hostcall::fd::memfd(c"bevor-slab")?;
        sys::size_and_seal(&fd, SLAB_SIZE, defences)?;
        let memory = SharedMemory::map(&fd, 0, SLAB_SIZE, true)?;
        // The first channel's first page is wanted soon, by one who is in a hurry.
        memory.zero(0, 8);
        Ok(Self { fd, memory })
    }
}

/// A small stock of fresh slabs, so that a fork need not wait for one to be made.
pub(crate) struct SlabPool {
    pub(crate) defences: Defences,
    stock: Mutex<Vec<Slab>>,
    low: Condvar,
}

impl SlabPool {
    const STOCK: usize = 16;

    pub(crate) fn new(defences: &Defences) -> Self {
        Self { defences: defences.clone(), stock: Mutex::default(), low: Condvar::new() }
    }

    /// A slab that no process has seen.
    pub(crate) fn take(&self) -> Result<Slab, Errno> {
        let slab = {
            let mut stock = self.stock.lock();
            let slab = stock.pop();
            if stock.len() < Self::STOCK / 4 {
                self.low.notify_one();
            }
            slab
        };
        match slab {
            Some(slab) => Ok(slab),
            None => Slab::create(&self.defences),
        }
    }

    /// Adds one, when a process has ended: where processes come and go, this keeps the stock by itself.
    pub(crate) fn top_up(&self) {
        if self.stock.lock().len() < Self::STOCK
            && let Ok(slab) = Slab::create(&self.defences)
        {
            self.stock.lock().push(slab);
        }
    }

    /// Keeps the stock from running out, on a thread of its own.
    pub(crate) fn refill(&self) {
        loop {
            {
                let mut stock = self.stock.lock();
                while stock.len() >= Self::STOCK / 4 {
                    self.low.wait(&mut stock);
                }
            }
            for _ in 0..Self::STOCK / 4 {
                match Slab::create(&self.defences) {
                    Ok(slab) => self.stock.lock().push(slab),
                    // Out of descriptors or memory: the next fork reports it.
                    Err(_) => self.low.wait(&mut self.stock.lock()),
                }
            }
        }
    }
}

#[derive(Default)]
pub(crate) struct Tables {
    /// Slab `i` holds the channels of slots `16 i..16 i + 16`.
    pub(crate) slabs: Vec<Option<Slab>>,
    /// Slabs from which a thread has called, so that they are mapped. (The first one always is.)
    confirmed: Vec<bool>,
    pub(crate) slots: Vec<Slot>,
    pub(crate) threads: Vec<Arc<SysThread>>,
}

/// A place for a thread: one number names its channel and its region.
#[derive(Clone, Copy, Default)]
pub(crate) struct Slot {
    pub(crate) taken: bool,
    /// The region is mapped in the host process.
    pub(crate) mapped: bool,
    /// Host thread that used it last; it is free once that thread is gone.
    pub(crate) last_tid: i32,
    /// Its last thread ended while it may still have been written to (a reply buffer was lent): not used again.
    pub(crate) lent: bool,
}

/// Where the opener of stubs' `/proc` files will be, once it is set.
pub(crate) type Files = Arc<OnceLock<Arc<dyn ProcFiles>>>;

/// Bounds of a host process.
#[derive(Clone, Copy)]
struct Limits {
    now: MemoryLimits,
    /// Places for threads, whose memory is the platform's, when they were set.
    slots: usize,
    later: Option<MemoryLimits>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { now: MemoryLimits::NONE, slots: 0, later: None }
    }
}

/// One host process.
pub(crate) struct Space {
    pub(crate) id: u64,
    pub(crate) pid: AtomicI32,
    pub(crate) alive: AtomicBool,
    pub(crate) tables: Mutex<Tables>,
    pub(crate) patches: Mutex<Patches>,
    pub(crate) gate: Mutex<Gate>,
    pub(crate) brk: AtomicU64,
    /// It has had a second thread.
    pub(crate) threaded: AtomicBool,
    /// What the host enforces on the process, and what it is to enforce once there is one.
    limits: Mutex<Limits>,
    /// Where the image has its stack, its vDSO and its mappings.
    layout: Mutex<SpaceLayout>,
    pool: Arc<SlabPool>,
    pub(crate) files: Arc<OnceLock<Arc<dyn ProcFiles>>>,
}

impl Space {
    /// A space whose first thread sits in `slot`; `mapped` tells which regions it has from its parent.
    pub(crate) fn new(id: u64, pool: &Arc<SlabPool>, files: &Files, slot: u32, mapped: &[bool]) -> Result<Arc<Self>, Errno> {
        let slab = pool.take()?;
        let at = usize::try_from(slot).map_err(|_| Errno::EAGAIN)?;
        let slab_at = at / CHANNELS;
        let mut slabs = vec![None; slab_at];
        slabs.push(Some(slab));
        let mut slots: Vec<Slot> = mapped.iter().map(|m| Slot { mapped: *m, ..Slot::default() }).collect();
        slots.resize(slots.len().max(at + 1), Slot::default());
        slots[at].taken = true;
        slots[at].mapped = true;
        let confirmed = slabs.iter().map(Option::is_some).collect();
        let tables = Tables { slabs, confirmed, slots, threads: Vec::new() };
        Ok(Arc::new(Self {
            id,
            pid: AtomicI32::new(0),
            alive: AtomicBool::new(true),
            tables: Mutex::new(tables),
            patches: Mutex::default(),
            gate: Mutex::default(),
            brk: AtomicU64::new(0),
            threaded: AtomicBool::new(false),
            limits: Mutex::default(),
            layout: Mutex::default(),
            pool: Arc::clone(pool),
            files: Arc::clone(files),
        }))
    }

    /// The zygote's space, around the slab that it was started with.
    pub(crate) fn with_slab(id: u64, pool: &Arc<SlabPool>, files: &Files, slab: Slab) -> Arc<Self> {
        let slots = vec![Slot { taken: true, mapped: true, ..Slot::default() }];
        Arc::new(Self {
            id,
            pid: AtomicI32::new(0),
            alive: AtomicBool::new(true),
            tables: Mutex::new(Tables { slabs: vec![Some(slab)], confirmed: vec![true], slots, threads: Vec::new() }),
            patches: Mutex::default(),
            gate: Mutex::default(),
            brk: AtomicU64::new(0),
            threaded: AtomicBool::new(false),
            limits: Mutex::default(),
            layout: Mutex::default(),
            pool: Arc::clone(pool),
            files: Arc::clone(files),
        })
    }

    /// What the host says of its thread `tid`.
    pub(crate) fn host_stat(&self, tid: i32) -> Result<HostStat, Errno> {
        let files = self.files.get().ok_or(Errno::ENOSYS)?;
        if !self.alive.load(Ordering::Acquire) {
            return Err(Errno::ESRCH);
        }
        HostStat::read(files.as_ref(), tid)
    }

    pub(crate) fn pid(&self) -> i32 {
        self.pid.load(Ordering::Acquire)
    }

    /// The channel of `slot`, whose slab must exist.
    pub(crate) fn channel(tables: &Tables, slot: u32) -> Option<Channel> {
        let slab = tables.slabs.get(usize::try_from(slot / SLAB_CHANNELS).ok()?)?.as_ref()?;
        Some(Channel::new(Arc::clone(&slab.memory), slot % SLAB_CHANNELS))
    }

    /// Finds a free slot. Returns it, whether its region is to be mapped, and whether its slab is.
    pub(crate) fn take_slot(&self, tables: &mut Tables) -> Result<(u32, bool, bool), Errno> {
        let pid = self.pid();
        let gone = |s: &Slot| !s.lent && (s.last_tid <= 0 || sys::tgkill(pid, s.last_tid, 0).is_err());
        let at = match tables.slots.iter().position(|s| !s.taken && gone(s)) {
            Some(at) => at,
            None if tables.slots.len() < 8192 => {
                tables.slots.push(Slot::default());
                tables.slots.len() - 1
            }
            None => return Err(Errno::EAGAIN),
        };
        let slab_at = at / CHANNELS;
        if tables.slabs.len() <= slab_at {
            tables.slabs.resize(slab_at + 1, None);
            tables.confirmed.resize(slab_at + 1, false);
        }
        // Two clones may both be told to map it: the second mapping replaces the first by the same memory.
        let map_slab = !tables.confirmed[slab_at];
        if tables.slabs[slab_at].is_none() {
            tables.slabs[slab_at] = Some(self.pool.take()?);
        }
        let slot = &mut tables.slots[at];
        let map_region = !slot.mapped;
        slot.taken = true;
        slot.mapped = true;
        slot.last_tid = 0;
        Ok((u32::try_from(at).map_err(|_| Errno::EAGAIN)?, map_region, map_slab))
    }

    /// Whether `slot`'s thread is alone: no other one is there, and none that has ended may still be on its way out.
    pub(crate) fn is_alone(&self, slot: u32) -> bool {
        let gate = self.gate.lock().is_idle();
        let tables = self.tables.lock();
        let pid = self.pid();
        let gone = |s: &Slot| !s.taken && !s.lent && (s.last_tid <= 0 || sys::tgkill(pid, s.last_tid, 0).is_err());
        gate && tables.threads.len() == 1 && tables.slots.iter().zip(0..).all(|(s, at)| at == slot || gone(s))
    }

    /// A thread in `slot` has called: its slab is mapped.
    pub(crate) fn slab_confirmed(&self, slot: u32) {
        let at = usize::try_from(slot).unwrap_or(0);
        if at >= CHANNELS
            && let Some(confirmed) = self.tables.lock().confirmed.get_mut(at / CHANNELS)
        {
            *confirmed = true;
        }
    }

    /// The parent's bounds, which the host process inherits. There is room for the child's slab: it has none of its parent's.
    pub(crate) fn inherit_limits(&self, parent: &Self) {
        *self.limits.lock() = *parent.limits.lock();
    }

    /// Process `pid` is about to become this one's: the bounds that were set before it was there.
    pub(crate) fn apply_limits(&self, pid: i32) {
        let mut limits = self.limits.lock();
        if let Some(later) = limits.later.take() {
            // Its slab is not mapped yet.
            self.bound(&mut limits, pid, later, SLAB_BYTES);
        }
    }

    /// Where the image has what it does not place itself.
    pub(crate) fn layout(&self) -> SpaceLayout {
        *self.layout.lock()
    }

    /// It gets an image with `layout`. What keeps mappings away does not count as the program's memory.
    pub(crate) fn set_layout(&self, layout: SpaceLayout) {
        *self.layout.lock() = layout;
        let mut limits = self.limits.lock();
        let pid = self.pid();
        if pid > 0 && limits.now != MemoryLimits::NONE {
            let now = limits.now;
            self.bound(&mut limits, pid, now, 0);
        }
    }

    /// Whether the process has bounds, or will have.
    pub(crate) fn is_limited(&self) -> bool {
        let limits = self.limits.lock();
        limits.now != MemoryLimits::NONE || limits.later.is_some_and(|later| later != MemoryLimits::NONE)
    }

    fn bound(&self, limits: &mut Limits, pid: i32, to: MemoryLimits, room: u64) {
        *limits = Limits { now: to, slots: self.tables.lock().slots.len(), later: None };
        let layout = self.layout();
        let own = match self.files.get() {
            Some(files) => self.patches.lock().own_memory(pid, files, &layout),
            None => None,
        };
        let own = own.unwrap_or(MemoryLimits { all: SLAB_BYTES, data: 0 });
        let room = room + layout.reserved.1.saturating_sub(layout.reserved.0);
        // The process may be gone by now, or belong to somebody whose limits the host does not let us change: then there is none.
        let _ = sys::set_soft_limit(pid, libc::RLIMIT_AS, to.all.saturating_add(own.all + room + ROOM));
        let _ = sys::set_soft_limit(pid, libc::RLIMIT_DATA, to.data.saturating_add(own.data + ROOM));
    }

    /// Lets go of everything once the host process is gone.
    pub(crate) fn retire(&self) {
        self.alive.store(false, Ordering::Release);
        if !self.pool.defences.has(Defence::Release) {
            std::mem::forget(std::mem::take(&mut *self.tables.lock()));
            return;
        }
        *self.patches.lock() = Patches::default();
        let tables = std::mem::take(&mut *self.tables.lock());
        drop(tables);
    }
}

impl AddressSpace for Space {
    fn kill(&self) {
        let pid = self.pid();
        // A pid is reaped (and so reusable) only after `retire`, which waits for this.
        let _tables = self.tables.lock();
        if pid > 0 && self.alive.load(Ordering::Acquire) {
            let _ = sys::kill(pid);
        }
    }

    fn host_pid(&self) -> i32 {
        self.pid()
    }

    fn id(&self) -> u64 {
        self.id
    }

    fn read_memory(&self, addr: u64, dst: &mut [u8]) -> usize {
        if self.alive.load(Ordering::Acquire) { sys::vm_read(self.pid(), addr, dst) } else { 0 }
    }

    fn mappings(&self) -> Result<Vec<Mapping>, Errno> {
        let files = self.files.get().ok_or(Errno::ENOSYS)?;
        if !self.alive.load(Ordering::Acquire) {
            return Err(Errno::ESRCH);
        }
        self.patches.lock().mappings(self.pid(), files, &self.layout())
    }

    fn memory_use(&self) -> Result<MemoryUse, Errno> {
        let (start, end) = self.layout().reserved;
        let memory = self.host_stat(self.pid())?.memory;
        Ok(MemoryUse { size: memory.size.saturating_sub(end.saturating_sub(start)), ..memory })
    }

    fn cpu_time(&self) -> (u64, u64) {
        if self.pid() <= 0 || !self.alive.load(Ordering::Acquire) {
            return (0, 0);
        }
        let (user, total) = sys::process_cpu_time(self.pid());
        (user, total.saturating_sub(user))
    }

    fn brk_range(&self) -> (u64, u64) {
        let start = self.brk.load(Ordering::Relaxed);
        (start, start)
    }

    fn set_memory_limits(&self, to: MemoryLimits) {
        let mut limits = self.limits.lock();
        if !self.alive.load(Ordering::Acquire) {
            return;
        }
        match self.pid() {
            pid if pid > 0 => {
                let grown = to != MemoryLimits::NONE && limits.slots != self.tables.lock().slots.len();
                if limits.now != to || grown {
                    self.bound(&mut limits, pid, to, 0);
                }
            }
            _ => limits.later = Some(to).filter(|to| *to != limits.now),
        }
    }
}
