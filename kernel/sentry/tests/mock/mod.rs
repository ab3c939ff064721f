//! A platform without processes: threads are driven by the test, memory is a byte vector.

#![allow(dead_code, reason = "each test file uses a part")]

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Weak};

use bevor_abi::{Errno, sysno};
use bevor_core::creds::Credentials;
use bevor_core::kernel::{Kernel, KernelOptions};
use bevor_core::loader::Loaded;
use bevor_core::task::clone::{MainTask, make_main};
use bevor_core::time::{Instant, TimerId, Timers};
use bevor_core::vfs::{FdTable, FsContext, MountNamespace, Vfs};
use bevor_core::wait::{PollEvents, Waiter};
use bevor_platform::{
    AddressSpace, AltStack, EndWords, Event, ExecImage, Identity, OwnerRef, Platform, Reply, SpaceLayout, SyscallRequest, Thread,
};
use bevor_sentry::dispatch::Dispatcher;
use parking_lot::Mutex;

/// Where the memory of every space starts, and how much there is.
pub(crate) const BASE: u64 = 0x10_0000;
pub(crate) const SIZE: usize = 1 << 16;

/// A clock that the test moves.
#[derive(Default)]
pub(crate) struct ManualTimers {
    now: AtomicU64,
    queue: Mutex<BTreeMap<(u64, u64), Arc<dyn Waiter>>>,
    next: AtomicU64,
}

impl ManualTimers {
    /// Moves the clock and fires what is due.
    pub(crate) fn advance(&self, kernel: &Kernel, nanos: u64) {
        let now = self.now.fetch_add(nanos, SeqCst) + nanos;
        loop {
            let due = {
                let mut queue = self.queue.lock();
                let Some(first) = queue.keys().next().copied().filter(|k| k.0 <= now) else { break };
                queue.remove(&first)
            };
            if let Some(waiter) = due {
                kernel.enter(|| waiter.notify(PollEvents::IN));
            }
        }
    }
}

impl Timers for ManualTimers {
    fn now(&self) -> Instant {
        Instant(self.now.load(SeqCst))
    }
    fn realtime(&self) -> u64 {
        self.now.load(SeqCst)
    }
    fn schedule(&self, at: Instant, _events: PollEvents, waiter: Arc<dyn Waiter>) -> TimerId {
        let id = self.next.fetch_add(1, SeqCst);
        self.queue.lock().insert((at.0, id), waiter);
        TimerId(id)
    }
    fn cancel(&self, id: TimerId) {
        self.queue.lock().retain(|(_, i), _| *i != id.0);
    }
}

pub(crate) struct MockSpace {
    id: u64,
    memory: Mutex<Vec<u8>>,
    pub(crate) killed: AtomicBool,
}

impl AddressSpace for MockSpace {
    fn kill(&self) {
        self.killed.store(true, SeqCst);
    }
    fn host_pid(&self) -> i32 {
        1
    }
    fn id(&self) -> u64 {
        self.id
    }
    fn read_memory(&self, addr: u64, dst: &mut [u8]) -> usize {
        let memory = self.memory.lock();
        let Some(at) = addr.checked_sub(BASE).and_then(|a| usize::try_from(a).ok()) else { return 0 };
        let n = memory.len().saturating_sub(at).min(dst.len());
        if n > 0 {
            dst[..n].copy_from_slice(&memory[at..at + n]);
        }
        n
    }
    fn mappings(&self) -> Result<Vec<bevor_platform::Mapping>, Errno> {
        Ok(Vec::new())
    }
    fn memory_use(&self) -> Result<bevor_platform::MemoryUse, Errno> {
        Ok(bevor_platform::MemoryUse::default())
    }
    fn cpu_time(&self) -> (u64, u64) {
        (0, 0)
    }
    fn brk_range(&self) -> (u64, u64) {
        (0, 0)
    }
    fn set_memory_limits(&self, _limits: bevor_platform::MemoryLimits) {}
}

pub(crate) struct MockThread {
    me: Weak<MockThread>,
    owner: OwnerRef,
    space: Arc<MockSpace>,
    replies: Mutex<VecDeque<Reply>>,
    mask: AtomicU64,
    pub(crate) pending: AtomicU64,
    /// The thread runs application code.
    running: AtomicBool,
    pub(crate) interrupted: AtomicBool,
    pub(crate) identity: Mutex<Identity>,
    end_words: Mutex<EndWords>,
    pub(crate) parked: AtomicBool,
}

impl Thread for MockThread {
    fn space(&self) -> Arc<dyn AddressSpace> {
        Arc::clone(&self.space) as Arc<dyn AddressSpace>
    }
    fn reply(&self, reply: Reply) {
        if let Reply::Signal(frame) = &reply {
            self.mask.store(frame.new_mask, SeqCst);
        }
        let exits = matches!(reply, Reply::Exit { .. });
        self.replies.lock().push_back(reply);
        self.running.store(!exits, SeqCst);
    }
    fn park(&self) {
        self.parked.store(true, SeqCst);
    }
    fn interrupt(&self) {
        if self.running.load(SeqCst) {
            self.interrupted.store(true, SeqCst);
        }
    }
    fn may_replace_image(&self, _image: &ExecImage) -> bool {
        false
    }
    fn reset_altstack(&self) {}
    fn end_words(&self) -> EndWords {
        *self.end_words.lock()
    }
    fn set_end_words(&self, words: EndWords) {
        *self.end_words.lock() = words;
    }
    fn sigmask(&self) -> u64 {
        self.mask.load(SeqCst)
    }
    fn set_sigmask(&self, mask: u64) {
        self.mask.store(mask, SeqCst);
    }
    fn set_pending(&self, pending: u64) {
        self.pending.store(pending, SeqCst);
    }
    fn altstack(&self) -> AltStack {
        AltStack::default()
    }
    fn set_identity(&self, identity: Identity) {
        *self.identity.lock() = identity;
    }
    fn set_local_calls(&self, _on: bool) {}
    fn read_memory(&self, addr: u64, dst: &mut [u8]) -> usize {
        self.space.read_memory(addr, dst)
    }
    fn write_memory(&self, addr: u64, src: &[u8]) -> usize {
        let mut memory = self.space.memory.lock();
        let Some(at) = addr.checked_sub(BASE).and_then(|a| usize::try_from(a).ok()) else { return 0 };
        let n = memory.len().saturating_sub(at).min(src.len());
        if n > 0 {
            memory[at..at + n].copy_from_slice(&src[..n]);
        }
        n
    }
    fn shrink_reply(&self, _len: usize) {}
    fn store_reply(&self) {}
    fn reply_buffer(&self, _addr: u64, _len: usize) -> Option<bevor_hostcall::SharedSlice> {
        None
    }
    fn host_tid(&self) -> Option<i32> {
        Some(0)
    }
    fn cpu_time(&self) -> (u64, u64) {
        (0, 0)
    }
    fn waits(&self) -> bool {
        false
    }
}

impl MockThread {
    fn event(&self, event: Event) {
        self.running.store(false, SeqCst);
        let Some(me) = self.me.upgrade() else { return };
        let thread = me as Arc<dyn Thread>;
        self.owner.0.handle(&thread, event);
    }

    /// Makes a call without taking the reply.
    pub(crate) fn start(&self, nr: u32, args: &[u64]) {
        let mut all = [0; 6];
        all[..args.len()].copy_from_slice(args);
        self.event(Event::Syscall(SyscallRequest { nr: u64::from(nr), args: all }));
    }

    /// The next reply, if there is one.
    pub(crate) fn reply_now(&self) -> Option<Reply> {
        self.replies.lock().pop_front()
    }

    /// Makes a call that returns at once.
    pub(crate) fn call(&self, nr: u32, args: &[u64]) -> i64 {
        self.start(nr, args);
        self.result()
    }

    /// The result that a call has come to.
    pub(crate) fn result(&self) -> i64 {
        match self.reply_now() {
            Some(Reply::Return(value)) => value,
            other => panic!("{:?} in place of a result", other.map(|r| format!("{r:?}"))),
        }
    }

    pub(crate) fn is_blocked(&self) -> bool {
        self.replies.lock().is_empty() && !self.running.load(SeqCst)
    }

    /// Raises a processor exception.
    pub(crate) fn fault(&self, signo: i32) {
        self.event(Event::Fault(bevor_platform::Fault { signo, code: 1, addr: 0xdead }));
    }

    /// Delivers a wanted interruption; gives the reply to it.
    pub(crate) fn interruption(&self) -> Option<Reply> {
        if !self.interrupted.swap(false, SeqCst) {
            return None;
        }
        self.event(Event::Interrupted);
        self.reply_now()
    }

    /// The local unmask of the stub: stops if something pending is unblocked by it.
    pub(crate) fn set_mask(&self, mask: u64) {
        self.mask.store(mask, SeqCst);
        if self.pending.load(SeqCst) & !mask != 0 {
            self.interrupted.store(true, SeqCst);
        }
    }

    pub(crate) fn poke(&self, addr: u64, bytes: &[u8]) {
        assert_eq!(self.write_memory(addr, bytes), bytes.len());
    }

    pub(crate) fn poke64(&self, addr: u64, values: &[u64]) {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.poke(addr, &bytes);
    }

    pub(crate) fn peek<const N: usize>(&self, addr: u64) -> [u8; N] {
        let mut out = [0; N];
        assert_eq!(self.read_memory(addr, &mut out), N);
        out
    }

    pub(crate) fn peek32(&self, addr: u64) -> i32 {
        i32::from_le_bytes(self.peek(addr))
    }
}

#[derive(Default)]
pub(crate) struct MockPlatform {
    next_space: AtomicU64,
    /// Threads that `exec` has made, the latest last.
    pub(crate) started: Mutex<Vec<Arc<MockThread>>>,
}

impl MockPlatform {
    fn space(&self, memory: Vec<u8>) -> Arc<MockSpace> {
        Arc::new(MockSpace {
            id: self.next_space.fetch_add(1, SeqCst),
            memory: Mutex::new(memory),
            killed: AtomicBool::new(false),
        })
    }

    fn thread(&self, owner: OwnerRef, space: Arc<MockSpace>, mask: u64) -> Arc<MockThread> {
        Arc::new_cyclic(|me| MockThread {
            me: me.clone(),
            owner,
            space,
            replies: Mutex::default(),
            mask: AtomicU64::new(mask),
            pending: AtomicU64::new(0),
            running: AtomicBool::new(false),
            interrupted: AtomicBool::new(false),
            identity: Mutex::default(),
            end_words: Mutex::default(),
            parked: AtomicBool::new(false),
        })
    }

    fn start(&self, thread: &Arc<MockThread>) {
        thread.running.store(true, SeqCst);
        let me: Arc<dyn Thread> = Arc::<MockThread>::clone(thread);
        thread.owner.0.handle(&me, Event::Started);
    }
}

impl Platform for MockPlatform {
    fn layout(&self, _random: Option<[u64; 2]>, _stack_limit: u64) -> SpaceLayout {
        SpaceLayout { stack_top: 0x7fff_ffff_0000, stack_bottom: 0x7fff_ff7f_0000, vdso: 0, reserved: (0, 0) }
    }
    fn exec(&self, owner: OwnerRef, _image: ExecImage, identity: Identity) -> Result<Arc<dyn Thread>, Errno> {
        let thread = self.thread(owner, self.space(vec![0; SIZE]), 0);
        *thread.identity.lock() = identity;
        self.started.lock().push(Arc::clone(&thread));
        Ok(thread)
    }
    fn spawn_blocking(&self, f: Box<dyn FnOnce() + Send>) {
        f();
    }
    fn set_ready_hook(&self, _hook: Arc<dyn Fn() + Send + Sync>) {}
    fn shutdown(&self) {}
}

/// A kernel on the mock platform with a main process that has started.
pub(crate) struct World {
    pub(crate) kernel: Arc<Kernel>,
    pub(crate) platform: Arc<MockPlatform>,
    pub(crate) timers: Arc<ManualTimers>,
    pub(crate) main: Arc<MockThread>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Credentials::root(), false)
    }

    pub(crate) fn with(creds: Credentials, torture: bool) -> Self {
        let platform = Arc::new(MockPlatform::default());
        let timers = Arc::new(ManualTimers::default());
        let dyn_timers = Arc::clone(&timers) as Arc<dyn Timers>;
        let options = KernelOptions {
            local_calls: true,
            torture: torture.then_some(1),
            boot_nonce: Some("42".into()),
            ..KernelOptions::default()
        };
        let kernel = Kernel::new(
            Arc::clone(&platform) as Arc<dyn Platform>,
            Arc::clone(&dyn_timers),
            Dispatcher::new(None, None, None),
            options,
        );
        let vfs = Vfs::new(dyn_timers);
        let root = bevor_fs::tmpfs::TmpFs::new(&vfs, 0o755);
        let mount = vfs.new_mount(root, "tmpfs", 0);
        let fs = FsContext::new(MountNamespace::new(vfs, mount));
        let main = make_main(
            &kernel,
            MainTask {
                files: FdTable::new(),
                fs,
                creds: Arc::new(creds),
                rlimits: [bevor_abi::process::Rlimit { cur: 1 << 20, max: 1 << 20 }; 16],
                mask: 0,
                ignored: 0,
                unkillable: false,
            },
        )
        .expect("a fresh kernel has pids");
        let loaded = Loaded {
            image: ExecImage::default(),
            info: Default::default(),
            attributes: Default::default(),
            name: b"main".to_vec(),
        };
        main.start(loaded).expect("the mock starts anything");
        let thread = Arc::clone(&platform.started.lock()[0]);
        platform.start(&thread);
        Self { kernel, platform, timers, main: thread }
    }

    /// Carries out the clone that `parent` is told to make; the child has started.
    pub(crate) fn accept_clone(&self, parent: &MockThread) -> Arc<MockThread> {
        let Some(Reply::Clone(op, owner)) = parent.reply_now() else { panic!("no clone") };
        let space = if op.share_vm { Arc::clone(&parent.space) } else { self.platform.space(parent.space.memory.lock().clone()) };
        let child = self.platform.thread(owner, space, parent.sigmask());
        if !op.hold_parent {
            parent.replies.lock().push_back(Reply::Return(i64::from(op.tid)));
        } else {
            parent.running.store(false, SeqCst);
        }
        self.platform.start(&child);
        child
    }

    /// fork(2): the child and its pid.
    pub(crate) fn fork(&self, parent: &MockThread) -> (Arc<MockThread>, u64) {
        parent.start(sysno::fork, &[]);
        let child = self.accept_clone(parent);
        let pid = u64::try_from(parent.result()).expect("fork succeeds");
        (child, pid)
    }

    /// fork(2) whose child does not get to its first instruction: what the child's owner hears in turn, and what the parent's call returns.
    pub(crate) fn fork_without_child(&self, parent: &MockThread, events: impl IntoIterator<Item = Event>) -> i64 {
        parent.start(sysno::fork, &[]);
        let Some(Reply::Clone(op, owner)) = parent.reply_now() else { panic!("no clone") };
        let events: Vec<_> = events.into_iter().collect();
        let failed = events.iter().any(|event| matches!(event, Event::NotStarted));
        let result = if failed { Errno::EAGAIN.to_result() } else { i64::from(op.tid) };
        parent.replies.lock().push_back(Reply::Return(result));
        let thread: Arc<dyn Thread> = self.platform.thread(owner.clone(), Arc::clone(&parent.space), 0);
        events.into_iter().for_each(|event| owner.0.handle(&thread, event));
        parent.result()
    }

    /// A thread of the same process.
    pub(crate) fn spawn(&self, parent: &MockThread) -> (Arc<MockThread>, u64) {
        parent.start(sysno::clone, &[0x50f00, BASE + 0x8000]);
        let child = self.accept_clone(parent);
        let tid = u64::try_from(parent.result()).expect("clone succeeds");
        (child, tid)
    }

    /// The image that the latest execve has started.
    pub(crate) fn accept_exec(&self, old: &MockThread) -> Arc<MockThread> {
        assert!(matches!(old.reply_now(), Some(Reply::Exit { .. })));
        let thread = self.platform.started.lock().last().cloned().expect("exec was called");
        self.platform.start(&thread);
        thread
    }
}

/// Installs a handler.
pub(crate) fn handle(thread: &MockThread, signo: i32, flags: u64) {
    thread.poke64(BASE, &[0x40_0000, flags | 0x0400_0000, 0x40_1000, 0]);
    assert_eq!(thread.call(sysno::rt_sigaction, &[signo as u64, BASE, 0, 8]), 0);
}

/// Ignores a signal.
pub(crate) fn ignore(thread: &MockThread, signo: i32) {
    thread.poke64(BASE, &[1, 0, 0, 0]);
    assert_eq!(thread.call(sysno::rt_sigaction, &[signo as u64, BASE, 0, 8]), 0);
}
