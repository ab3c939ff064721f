//! Tasks: the kernel's side of application threads and processes.
//!
//! A [`Task`] is one thread, a [`ThreadGroup`] one process; [`tree::TaskTree`] knows who is whose child. [`run`] holds the state machine that
//! makes a task go, sleep and stop; [`clone`], [`exec`], [`exit`] and [`wait`] are what their names say.

pub mod clone;
pub mod exec;
pub mod exit;
pub mod run;
pub mod tree;
pub mod wait;

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use bevor_abi::Errno;
use bevor_abi::process::{RLIM_INFINITY, RLIM_NLIMITS, RLIMIT_AS, RLIMIT_DATA, Rlimit};
use bevor_platform::{AddressSpace, Identity, MemoryLimits, Thread};
use parking_lot::Mutex;

use crate::creds::Credentials;
use crate::kernel::Kernel;
use crate::lock::{Rank, RankedMutex};
use crate::long::{Alarm, Pace};
use crate::memory::ObjectCharge;
use crate::signal::action::SignalHandlers;
use crate::signal::itimer::Itimers;
use crate::signal::queue::PendingSignals;
use crate::vfs::{FdTable, FsContext, Path};
use crate::wait::WaitQueue;

/// A status as wait4(2) reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitStatus(pub i32);

impl WaitStatus {
    /// Ended by exit(2) with the low 8 bits of `code`.
    #[must_use]
    pub fn exited(code: i32) -> Self {
        Self((code & 0xff) << 8)
    }

    /// Killed by `signo`.
    #[must_use]
    pub fn killed(signo: i32) -> Self {
        Self(signo & 0x7f)
    }

    /// Stopped by `signo`.
    #[must_use]
    pub fn stopped(signo: i32) -> Self {
        Self((signo << 8) | 0x7f)
    }

    /// Resumed by SIGCONT.
    pub const CONTINUED: WaitStatus = WaitStatus(0xffff);

    /// The signal that killed the process, if one did.
    #[must_use]
    pub fn signal(self) -> Option<i32> {
        match self.0 & 0x7f {
            0 | 0x7f => None,
            signo => Some(signo),
        }
    }

    /// The exit code, if it exited by itself.
    #[must_use]
    pub fn code(self) -> Option<i32> {
        (self.0 & 0x7f == 0).then_some((self.0 >> 8) & 0xff)
    }
}

/// Scheduling attributes (sched(7)); kept and reported, the host schedules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SchedAttributes {
    /// SCHED_*.
    pub policy: i32,
    /// Real-time priority, 0 for normal policies.
    pub priority: i32,
    /// Nice value, -20..=19.
    pub nice: i32,
    /// SCHED_RESET_ON_FORK.
    pub reset_on_fork: bool,
}

impl SchedAttributes {
    /// Whether the policy is SCHED_FIFO or SCHED_RR.
    #[must_use]
    pub fn is_realtime(&self) -> bool {
        matches!(self.policy, 1 | 2)
    }
}

/// CPU time in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct CpuTime {
    /// In application code.
    pub user: u64,
    /// In the kernel.
    pub system: u64,
}

impl CpuTime {
    /// The sum of both, field by field.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { user: self.user.saturating_add(other.user), system: self.system.saturating_add(other.system) }
    }

    /// User and system time in ticks of 10 ms (times(2), `si_utime`).
    #[must_use]
    pub fn ticks(self) -> (i64, i64) {
        let ticks = |ns: u64| i64::try_from(ns / 10_000_000).unwrap_or(i64::MAX);
        (ticks(self.user), ticks(self.system))
    }
}

/// As the platform has it: user, system.
impl From<(u64, u64)> for CpuTime {
    fn from((user, system): (u64, u64)) -> Self {
        Self { user, system }
    }
}

/// A program file that is being executed: it cannot be opened for writing meanwhile (ETXTBSY).
#[derive(Debug)]
pub struct Executable(Path);

impl Executable {
    /// Denies writing to the file at `path` from now on.
    ///
    /// # Errors
    /// ETXTBSY while it is open for writing.
    pub fn new(path: Path) -> Result<Arc<Self>, Errno> {
        if !bevor_abi::mutated!("exec/writer") {
            path.dentry.inode().deny_write_access()?;
        }
        Ok(Arc::new(Self(path)))
    }

    /// Where the file lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Executable {
    fn drop(&mut self) {
        if !bevor_abi::mutated!("exec/writer") {
            self.0.dentry.inode().allow_write_access();
        }
    }
}

/// What /proc shows of the running image.
#[derive(Clone, Debug, Default)]
pub struct ImageInfo {
    /// The program.
    pub exe: Option<Arc<Executable>>,
    /// First byte and length of the argument strings on the stack.
    pub args: (u64, u64),
    /// First byte and length of the environment strings.
    pub env: (u64, u64),
    /// The auxiliary vector, as stored.
    pub auxv: Vec<u8>,
}

/// A stop by job control that is under way or complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The signal that asked for it.
    pub signo: i32,
    /// All threads have stopped and the parent has been told.
    pub reported: bool,
}

/// The state of a process that signals and exits change, under one lock.
#[derive(Default)]
pub struct GroupSignals {
    /// Signals sent to the process as a whole.
    pub shared: PendingSignals,
    /// Live threads, oldest first.
    pub threads: Vec<Arc<Task>>,
    /// The process is ending with this status.
    pub exit: Option<WaitStatus>,
    /// The tid of the thread that makes an execve and waits for the others to end.
    pub exec: Option<i32>,
    /// Stopped or stopping.
    pub stop: Option<Stop>,
    /// Init: signals without a handler do not touch it.
    pub unkillable: bool,
}

/// CPU times of a process.
#[derive(Clone, Copy, Debug, Default)]
pub struct GroupTimes {
    /// In host processes that it has no more.
    pub dead: CpuTime,
    /// Of children that were waited for.
    pub children: CpuTime,
    /// The most pages of memory that anybody who asked has seen in use.
    pub peak_resident: u64,
}

/// One process.
pub struct ThreadGroup {
    /// Its process id.
    pub pid: i32,
    /// Signal actions.
    pub handlers: Mutex<Arc<SignalHandlers>>,
    /// Shared signals, threads, exit and stop state.
    pub signals: RankedMutex<GroupSignals>,
    /// Woken when a child changes state.
    pub child_wait: WaitQueue,
    /// Woken when a signal becomes pending (rt_sigtimedwait(2), signalfd(2)).
    pub signal_wait: WaitQueue,
    /// Woken when a thread of the process ends, and when the process ends (pidfd).
    pub exit_wait: WaitQueue,
    /// Resource limits.
    pub rlimits: Mutex<[Rlimit; RLIM_NLIMITS]>,
    /// CPU times of former host processes and of children.
    pub times: Mutex<GroupTimes>,
    /// Interval timers and POSIX timers.
    pub itimers: Mutex<Itimers>,
    /// What /proc shows.
    pub image: Mutex<Arc<ImageInfo>>,
    /// The credentials with which the image started, unless a thread has had others since.
    pub image_creds: Mutex<Option<Arc<Credentials>>>,
    /// PR_SET_DUMPABLE.
    pub dumpable: AtomicU8,
    /// The status is available (pidfd readiness).
    pub dead: AtomicBool,
    /// Its host process is another's, whose CPU time includes what is used there: it has been cloned with CLONE_VM and has not made an
    /// execve yet.
    pub borrows_memory: AtomicBool,
    /// Long calls of its threads.
    pub(crate) alarm: Alarm,
    /// What it and its first thread are counted by, as zombie too.
    _charge: Option<ObjectCharge>,
}

impl ThreadGroup {
    /// A process without threads.
    #[must_use]
    pub fn new(
        pid: i32,
        handlers: Arc<SignalHandlers>,
        rlimits: [Rlimit; RLIM_NLIMITS],
        charge: Option<ObjectCharge>,
    ) -> Arc<Self> {
        Arc::new(Self {
            pid,
            handlers: Mutex::new(handlers),
            signals: RankedMutex::new(Rank::Group, GroupSignals::default()),
            child_wait: WaitQueue::new(),
            signal_wait: WaitQueue::new(),
            exit_wait: WaitQueue::new(),
            rlimits: Mutex::new(rlimits),
            times: Mutex::default(),
            itimers: Mutex::default(),
            image: Mutex::default(),
            image_creds: Mutex::default(),
            dumpable: AtomicU8::new(1),
            dead: AtomicBool::new(false),
            borrows_memory: AtomicBool::new(false),
            alarm: Alarm::default(),
            _charge: charge,
        })
    }

    /// The signal actions.
    #[must_use]
    pub fn handlers(&self) -> Arc<SignalHandlers> {
        Arc::clone(&self.handlers.lock())
    }

    /// The live threads.
    #[must_use]
    pub fn threads(&self) -> Vec<Arc<Task>> {
        self.signals.lock().threads.clone()
    }

    /// A resource limit.
    #[must_use]
    pub fn rlimit(&self, resource: usize) -> Rlimit {
        self.rlimits.lock().get(resource).copied().unwrap_or(Rlimit { cur: RLIM_INFINITY, max: RLIM_INFINITY })
    }

    /// Has `space` bounded by RLIMIT_AS and RLIMIT_DATA.
    pub fn bound_memory(&self, space: &dyn AddressSpace) {
        let limits = {
            let limits = self.rlimits.lock();
            MemoryLimits { all: limits[RLIMIT_AS].cur, data: limits[RLIMIT_DATA].cur }
        };
        space.set_memory_limits(limits);
    }

    /// CPU time of all threads, ended ones too.
    #[must_use]
    pub fn cpu_time(&self) -> CpuTime {
        let dead = self.times.lock().dead;
        let threads = self.threads();
        if self.borrows_memory.load(Ordering::Acquire) {
            return threads.iter().fold(dead, |sum, task| sum.plus(task.cpu_time()));
        }
        threads.iter().find_map(|task| task.thread()).map_or(dead, |thread| dead.plus(thread.space().cpu_time().into()))
    }

    /// The host process of `thread`, the last one, goes: its time is kept, if it is this process's.
    pub(crate) fn keep_cpu_time(&self, thread: Option<Arc<dyn Thread>>) {
        if let Some(thread) = thread.filter(|_| !self.borrows_memory.load(Ordering::Acquire)) {
            let time = thread.space().cpu_time().into();
            let mut times = self.times.lock();
            times.dead = times.dead.plus(time);
        }
    }
}

/// One application thread.
pub struct Task {
    me: Weak<Task>,
    /// The kernel that it runs on.
    pub kernel: Arc<Kernel>,
    tid: AtomicI32,
    /// Its process.
    pub group: Arc<ThreadGroup>,
    /// Descriptors.
    pub files: Mutex<Arc<FdTable>>,
    /// Root, working directory, umask.
    pub fs: Mutex<Arc<FsContext>>,
    /// Credentials.
    pub creds: Mutex<Arc<Credentials>>,
    /// Signals sent to this thread only.
    pub pending: RankedMutex<PendingSignals>,
    pub(crate) state: AtomicU8,
    pub(crate) work: AtomicU32,
    pub(crate) stopped: AtomicBool,
    pub(crate) started: AtomicBool,
    pub(crate) last_frame: AtomicI32,
    /// Calls that were about to sleep, as torture mode counts them.
    pub(crate) slept: AtomicU32,
    pub(crate) resume: Mutex<run::Resume>,
    /// Whether its calls take long.
    pub(crate) pace: Pace,
    /// It is in the queue of those whose calls do.
    pub(crate) queued: AtomicBool,
    pub(crate) thread: Mutex<Option<Arc<dyn Thread>>>,
    /// The mask to go back to after sigsuspend(2) and its kin.
    pub(crate) saved_mask: Mutex<Option<u64>>,
    pub(crate) initial_mask: AtomicU64,
    /// The child of a vfork has let go of the parent's memory.
    pub(crate) released: AtomicBool,
    pub(crate) release_wait: WaitQueue,
    pub(crate) exec: Mutex<Option<Box<exec::PendingExec>>>,
    /// CPU time as a thread of former host processes.
    pub(crate) earlier: Mutex<CpuTime>,
    /// set_tid_address(2), CLONE_CHILD_CLEARTID.
    pub clear_tid: AtomicU64,
    /// PR_SET_NAME: 16 bytes with at least one NUL.
    pub name: Mutex<[u8; 16]>,
    /// PR_SET_PDEATHSIG.
    pub pdeath_signal: AtomicI32,
    /// personality(2).
    pub personality: AtomicU32,
    /// PR_SET_TIMERSLACK, in nanoseconds.
    pub timer_slack: AtomicU64,
    /// What PR_SET_TIMERSLACK of 0 goes back to: what its parent had when it was made.
    pub default_slack: AtomicU64,
    /// Scheduling attributes.
    pub sched: Mutex<SchedAttributes>,
    /// When it was made, CLOCK_MONOTONIC.
    pub start_time: crate::time::Instant,
    _charge: Option<ObjectCharge>,
}

/// What a new task starts with.
pub struct TaskInit {
    /// Thread id.
    pub tid: i32,
    /// Its process.
    pub group: Arc<ThreadGroup>,
    /// Descriptors.
    pub files: Arc<FdTable>,
    /// Root, working directory, umask.
    pub fs: Arc<FsContext>,
    /// Credentials.
    pub creds: Arc<Credentials>,
    /// Blocked signals.
    pub mask: u64,
    /// PR_SET_NAME.
    pub name: [u8; 16],
    /// What it is counted by, unless it is the first of its process.
    pub charge: Option<ObjectCharge>,
}

impl Task {
    /// A task that has not run yet; it is in no table.
    #[must_use]
    pub fn new(kernel: &Arc<Kernel>, init: TaskInit) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            kernel: Arc::clone(kernel),
            tid: AtomicI32::new(init.tid),
            group: init.group,
            files: Mutex::new(init.files),
            fs: Mutex::new(init.fs),
            creds: Mutex::new(init.creds),
            pending: RankedMutex::new(Rank::Pending, PendingSignals::default()),
            state: AtomicU8::new(run::GUEST),
            work: AtomicU32::new(0),
            stopped: AtomicBool::new(false),
            started: AtomicBool::new(false),
            last_frame: AtomicI32::new(0),
            slept: AtomicU32::new(0),
            resume: Mutex::new(run::Resume::None),
            pace: Pace::default(),
            queued: AtomicBool::new(false),
            thread: Mutex::new(None),
            saved_mask: Mutex::new(None),
            initial_mask: AtomicU64::new(init.mask),
            released: AtomicBool::new(false),
            release_wait: WaitQueue::new(),
            exec: Mutex::new(None),
            earlier: Mutex::default(),
            clear_tid: AtomicU64::new(0),
            name: Mutex::new(init.name),
            pdeath_signal: AtomicI32::new(0),
            personality: AtomicU32::new(0),
            timer_slack: AtomicU64::new(50_000),
            default_slack: AtomicU64::new(50_000),
            sched: Mutex::default(),
            start_time: kernel.timers.now(),
            _charge: init.charge,
        })
    }

    /// Thread id in the initial pid namespace. Changes when a thread that is not the leader makes an execve.
    #[must_use]
    pub fn tid(&self) -> i32 {
        self.tid.load(Ordering::Acquire)
    }

    pub(crate) fn set_tid(&self, tid: i32) {
        self.tid.store(tid, Ordering::Release);
    }

    /// Process id.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.group.pid
    }

    /// The platform's thread, if the task has one.
    #[must_use]
    pub fn thread(&self) -> Option<Arc<dyn Thread>> {
        self.thread.lock().clone()
    }

    /// The credentials.
    #[must_use]
    pub fn creds(&self) -> Arc<Credentials> {
        Arc::clone(&self.creds.lock())
    }

    /// CPU time used so far.
    #[must_use]
    pub fn cpu_time(&self) -> CpuTime {
        let earlier = *self.earlier.lock();
        self.thread().map_or(earlier, |thread| earlier.plus(thread.cpu_time().into()))
    }

    /// Replaces the credentials and what the stub answers from them.
    pub fn set_creds(&self, creds: Credentials) {
        {
            let mut image = self.group.image_creds.lock();
            *image = image.take().filter(|image| **image == creds);
        }
        *self.creds.lock() = Arc::new(creds);
        self.publish_identity();
    }

    /// Blocked signals, without those that cannot be blocked.
    #[must_use]
    pub fn sigmask(&self) -> u64 {
        let mask = match self.thread() {
            Some(thread) if self.started.load(Ordering::Acquire) => thread.sigmask(),
            _ => self.initial_mask.load(Ordering::Acquire),
        };
        mask & !bevor_abi::signal::UNBLOCKABLE
    }

    /// What the stub answers locally.
    #[must_use]
    pub fn identity(&self) -> Identity {
        let ppid = self.kernel.tree.lock().parent_of(self.pid());
        let creds = self.creds();
        Identity { pid: self.pid(), tid: self.tid(), ppid, uid: creds.uid, euid: creds.euid, gid: creds.gid, egid: creds.egid }
    }

    /// Tells the stub what to answer locally.
    pub fn publish_identity(&self) {
        if let Some(thread) = self.thread() {
            thread.set_identity(self.identity());
        }
    }

    /// The name without its padding.
    #[must_use]
    pub fn comm(&self) -> Vec<u8> {
        self.name.lock().iter().copied().take_while(|b| *b != 0).collect()
    }
}

/// A name cut to the 15 bytes that PR_SET_NAME keeps.
#[must_use]
pub fn task_name(name: &[u8]) -> [u8; 16] {
    let mut out = [0; 16];
    let len = name.iter().position(|b| *b == 0).unwrap_or(name.len()).min(bevor_abi::mutant!("exec/name-boundary", 15, 14));
    out[..len].copy_from_slice(&name[..len]);
    out
}
