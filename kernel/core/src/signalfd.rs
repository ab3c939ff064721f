//! signalfd(2).

use std::any::Any;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use bevor_abi::Errno;
use bevor_abi::fs::o;

use crate::io::DataSink;
use crate::signal::info::SigInfo;
use crate::task::Task;
use crate::vfs::file::seek_nowhere;
use crate::vfs::{File, FileOps, Vfs};
use crate::wait::{PollEvents, WaitQueue};

/// Size of `struct signalfd_siginfo`.
const INFO: usize = 128;

/// Pending signals that are read as a file. It serves the task that made it (Linux: whichever task reads).
pub struct SignalFd {
    mask: AtomicU64,
    task: Weak<Task>,
    queue: WaitQueue,
}

impl SignalFd {
    /// signalfd4(2) for a new descriptor.
    #[must_use]
    pub fn create(vfs: &Vfs, task: &Arc<Task>, mask: u64, flags: u32, owner: (u32, u32)) -> Arc<File> {
        let queue = task.group.signal_wait.clone();
        let ops = Arc::new(Self { mask: AtomicU64::new(mask), task: Arc::downgrade(task), queue });
        vfs.anon_file("anon_inode:[signalfd]", 0o600, ops, o::RDWR | flags & o::NONBLOCK, owner)
    }

    /// Replaces the set of signals.
    pub fn set_mask(&self, mask: u64) {
        self.mask.store(mask, Ordering::Release);
        if !bevor_abi::mutated!("signalfd/mask-no-wake") {
            self.queue.wake(PollEvents::IN | PollEvents::RDNORM);
        }
    }

    fn mask(&self) -> u64 {
        self.mask.load(Ordering::Acquire)
    }
}

/// `struct signalfd_siginfo` of a `siginfo_t`.
fn render(info: &SigInfo) -> [u8; INFO] {
    use bevor_abi::signal::{SI_TIMER, SI_USER, SIGCHLD, SIGSEGV};
    const SIGILL: i32 = 4;
    const SIGTRAP: i32 = 5;
    const SIGBUS: i32 = 7;
    const SIGFPE: i32 = 8;
    const SI_KERNEL: i32 = 0x80;
    let mut out = [0; INFO];
    // Target offset, source offset, length.
    let mut copy = |to: usize, from: usize, len: usize| out[to..to + len].copy_from_slice(&info.0[from..from + len]);
    copy(0, 0, 12);
    let (signo, code) = (info.signo(), info.code());
    if code > 0 && code != SI_KERNEL && signo == SIGCHLD {
        copy(12, 16, 8);
        copy(40, 24, bevor_abi::mutant!("signalfd/child-status", 4, 0));
        copy(56, 32, 16);
    } else if code > 0 && code != SI_KERNEL && matches!(signo, SIGILL | SIGTRAP | SIGBUS | SIGFPE | SIGSEGV) {
        copy(72, 16, 8);
    } else if code == SI_TIMER {
        copy(24, 16, 4);
        copy(32, 20, bevor_abi::mutant!("signalfd/overrun", 4, 0));
        if !bevor_abi::mutated!("signalfd/timer-value") {
            copy(48, 24, 8);
            copy(44, 24, 4);
        }
    } else if code == SI_USER || code == SI_KERNEL {
        copy(12, 16, bevor_abi::mutant!("signalfd/sender", 8, 0));
    } else {
        copy(12, 16, 8);
        if !bevor_abi::mutated!("signalfd/value-lost") {
            copy(48, 24, 8);
            copy(44, 24, 4);
        }
    }
    out
}

impl FileOps for SignalFd {
    fn read_at(&self, _file: &File, _offset: u64, sink: &mut dyn DataSink) -> Result<usize, Errno> {
        if sink.remaining() < INFO {
            return Err(Errno::EINVAL);
        }
        let task = self.task.upgrade().ok_or(Errno::EAGAIN)?;
        let mut done = 0;
        while sink.remaining() >= INFO && (done == 0 || !bevor_abi::mutated!("signalfd/one-record")) {
            let Some(info) = task.take_signal(self.mask()) else { break };
            done += sink.put(&render(&info))?;
        }
        if done == 0 { Err(Errno::EAGAIN) } else { Ok(done) }
    }
    fn poll(&self, _file: &File) -> PollEvents {
        let ready = self.task.upgrade().is_some_and(|t| t.pending_set() & self.mask() != 0);
        if ready { PollEvents::IN } else { PollEvents::empty() }
    }
    fn seek(&self, _file: &File, _offset: i64, whence: u32) -> Option<Result<u64, Errno>> {
        Some(seek_nowhere(whence))
    }
    fn queue(&self) -> Option<&WaitQueue> {
        Some(&self.queue)
    }
    fn fdinfo(&self, _file: &File) -> String {
        format!("sigmask:\t{:016x}\n", self.mask())
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}
