//! The kernel's root object: everything that the sentry keeps hangs off one [`Kernel`].

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bevor_platform::{Defences, Platform, SyscallRequest};
use parking_lot::{Condvar, Mutex};

use crate::context::SyscallContext;
use crate::error::SyscallResult;
use crate::lock::{Rank, RankedMutex};
use crate::log::KernelLog;
use crate::long::LongCalls;
use crate::memory::MemoryBudget;
use crate::task::tree::TaskTree;
use crate::task::{Task, WaitStatus};
use crate::time::{Instant, Timers};

/// The system call table, as the tasks use it.
pub trait Syscalls: Send + Sync {
    /// Runs the handler of `request`; `first` is false when a blocked call is made again.
    fn call(&self, ctx: &mut SyscallContext<'_>, request: &SyscallRequest, first: bool) -> SyscallResult;
}

/// Something on the ready list. `run` must not block.
pub trait Runnable: Send + Sync {
    /// Does the work; called on any kernel thread.
    fn run(self: Arc<Self>);
}

/// Names of the machine (uname(2)).
#[derive(Clone, Debug)]
pub struct UtsNames {
    /// `nodename`.
    pub nodename: Vec<u8>,
    /// `domainname`.
    pub domainname: Vec<u8>,
}

/// What does not change while the kernel runs.
#[derive(Clone, Debug, Default)]
pub struct KernelOptions {
    /// The stub may answer calls itself.
    pub local_calls: bool,
    /// Seed by which blocked calls are made again, from nothing but their `Progress`, and woken more often than needed.
    pub torture: Option<u64>,
    /// Proves in the kernel log that this sentry made the run.
    pub boot_nonce: Option<String>,
    /// What stands between programs and the rest.
    pub defences: Defences,
    /// So many calls that take long are served at once; one in any case.
    pub long_calls: usize,
}

thread_local! {
    /// The kernel that the thread is inside of, by address: it looks at the ready list before it leaves.
    static INSIDE: Cell<usize> = const { Cell::new(0) };
}

/// A stay inside the kernel; holds what the thread was inside of before.
struct Entry(usize);

impl Drop for Entry {
    fn drop(&mut self) {
        INSIDE.set(self.0);
    }
}

/// The root of all kernel state.
pub struct Kernel {
    /// Runs application code.
    pub platform: Arc<dyn Platform>,
    /// Clocks and timers.
    pub timers: Arc<dyn Timers>,
    /// The system call table.
    pub syscalls: Arc<dyn Syscalls>,
    /// Process relations and the pid table.
    pub tree: RankedMutex<TaskTree>,
    /// The log that syslog(2) reads.
    pub log: KernelLog,
    /// Host and domain name.
    pub uts: Mutex<UtsNames>,
    /// Fixed choices.
    pub options: KernelOptions,
    /// When the kernel started.
    pub boot_time: Instant,
    /// Calls that take long.
    pub(crate) long: LongCalls,
    ready: Mutex<VecDeque<Arc<dyn Runnable>>>,
    ready_len: Arc<AtomicUsize>,
    kick: Condvar,
    halted: AtomicBool,
    exit: Mutex<Option<WaitStatus>>,
    exited: Condvar,
    memory: OnceLock<Arc<MemoryBudget>>,
    extensions: OnceLock<Arc<dyn std::any::Any + Send + Sync>>,
}

impl Kernel {
    /// A kernel without tasks.
    #[must_use]
    pub fn new(
        platform: Arc<dyn Platform>,
        timers: Arc<dyn Timers>,
        syscalls: Arc<dyn Syscalls>,
        options: KernelOptions,
    ) -> Arc<Self> {
        let boot_time = timers.now();
        let log = KernelLog::new(boot_time);
        log.write(boot_time, "Starting Bevor...");
        log.write(boot_time, "Linux version 6.18.0 (Bevor)");
        if let Some(nonce) = &options.boot_nonce {
            log.write(boot_time, &format!("Bevor: boot nonce {nonce}"));
        }
        Arc::new(Self {
            long: LongCalls::new(options.long_calls),
            platform,
            timers,
            syscalls,
            tree: RankedMutex::new(Rank::Tree, TaskTree::default()),
            log,
            uts: Mutex::new(UtsNames { nodename: b"bevor".to_vec(), domainname: b"(none)".to_vec() }),
            options,
            boot_time,
            ready: Mutex::new(VecDeque::new()),
            ready_len: Arc::default(),
            kick: Condvar::new(),
            halted: AtomicBool::new(false),
            exit: Mutex::new(None),
            exited: Condvar::new(),
            memory: OnceLock::new(),
            extensions: OnceLock::new(),
        })
    }

    /// Sets what bounds the objects of guests: the file system's budget. Only the first call counts, and it must precede the first task.
    pub fn set_memory(&self, memory: &Arc<MemoryBudget>) {
        let _ = self.memory.set(Arc::clone(memory));
    }

    /// What bounds the objects of guests.
    #[must_use]
    pub fn memory(&self) -> &Arc<MemoryBudget> {
        self.memory.get_or_init(MemoryBudget::unlimited)
    }

    /// Stores the sentry's own state for handlers that need more than the core offers; only the first call counts.
    pub fn set_extension(&self, extension: Arc<dyn std::any::Any + Send + Sync>) {
        let _ = self.extensions.set(extension);
    }

    /// What [`Kernel::set_extension`] stored.
    #[must_use]
    pub fn extension(&self) -> Option<&Arc<dyn std::any::Any + Send + Sync>> {
        self.extensions.get()
    }

    /// Writes a line to the kernel log.
    pub fn klog(&self, line: &str) {
        self.log.write(self.timers.now(), line);
    }

    /// Puts work on the ready list. Takes no lock but the list's, so that a waiter may call it from anywhere.
    pub fn push_ready(&self, work: Arc<dyn Runnable>) {
        {
            let mut list = self.ready.lock();
            list.push_back(work);
            self.ready_len.store(list.len(), Ordering::SeqCst);
        }
        // A thread inside the kernel runs what it has made ready itself.
        if INSIDE.get() != self.address() || crate::long::is_serving() {
            self.kick.notify_one();
        }
    }

    fn pop_ready(&self) -> Option<Arc<dyn Runnable>> {
        let mut list = self.ready.lock();
        let work = list.pop_front();
        self.ready_len.store(list.len(), Ordering::SeqCst);
        work
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Runs `f` and then whatever is ready. Every thread that enters the kernel does so through here.
    pub fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
        let _entry = Entry(INSIDE.replace(self.address()));
        let result = f();
        while self.ready_len.load(Ordering::SeqCst) != 0 {
            let Some(work) = self.pop_ready() else { break };
            work.run();
        }
        result
    }

    /// How much is ready to be run, for who wants to know without holding the kernel.
    #[must_use]
    pub fn ready_len(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.ready_len)
    }

    /// Runs what is ready, on any kernel thread.
    pub fn run_ready(&self) {
        if self.ready_len.load(Ordering::SeqCst) != 0 {
            self.enter(|| ());
        }
    }

    /// The executor thread: runs work that was made ready outside of the kernel. Returns after [`Kernel::halt`].
    pub fn executor(&self) {
        let mut list = self.ready.lock();
        while !self.halted.load(Ordering::SeqCst) {
            if list.is_empty() {
                // A wake-up between the look and the wait is not lost: pushing takes the list's lock before it kicks.
                self.kick.wait(&mut list);
                continue;
            }
            drop(list);
            self.enter(|| ());
            list = self.ready.lock();
        }
    }

    /// Ends [`Kernel::executor`].
    pub fn halt(&self) {
        self.halted.store(true, Ordering::SeqCst);
        self.long.halt();
        drop(self.ready.lock());
        self.kick.notify_all();
    }

    /// Reports the main process's end to whoever waits in [`Kernel::wait_exit`].
    pub fn report_exit(&self, status: WaitStatus) {
        let mut exit = self.exit.lock();
        exit.get_or_insert(status);
        self.exited.notify_all();
    }

    /// The main process's status, once it has ended. Blocks the calling host thread: not for workers.
    #[must_use]
    pub fn wait_exit(&self) -> WaitStatus {
        let mut exit = self.exit.lock();
        loop {
            if let Some(status) = *exit {
                return status;
            }
            self.exited.wait(&mut exit);
        }
    }

    /// A task has ended; whoever waits in [`Kernel::wait_drained`] looks again.
    pub(crate) fn task_gone(&self) {
        if self.exit.lock().is_some() {
            self.exited.notify_all();
        }
    }

    /// Waits until no task is left, at most for `limit`; says whether that is so. Blocks the calling host thread.
    #[must_use]
    pub fn wait_drained(&self, limit: Duration) -> bool {
        let deadline = std::time::Instant::now() + limit;
        let mut exit = self.exit.lock();
        while !self.tasks().is_empty() {
            if self.exited.wait_until(&mut exit, deadline).timed_out() {
                return self.tasks().is_empty();
            }
        }
        true
    }

    /// Every live task.
    #[must_use]
    pub fn tasks(&self) -> Vec<Arc<Task>> {
        self.tree.lock().tasks()
    }
}
