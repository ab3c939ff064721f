//! What a system call handler sees: its task, application memory, and how to sleep.
//!
//! # Blocking
//! Handlers are plain functions. One that cannot go on calls [`SyscallContext::block_on`] and returns its error; the task then
//! sleeps, and **the handler runs again from its start** when a queue wakes it, the deadline passes or a signal comes. State that
//! must survive (bytes already written, an absolute deadline) lives in the call's [`Progress`], which is data: no future, closure or stack
//! holds kernel state, so a sleeping call can be dropped and made again at any time.

use std::sync::Arc;

use bevor_abi::{Errno, Fd, UserAddr};
use bevor_platform::{CloneOp, Reply, Thread};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes};

use crate::creds::Credentials;
use crate::error::{Restart, SyscallError};
use crate::memory::{Kind, MemoryBudget, ObjectCharge, Owner};
use crate::num::to_u64;
use crate::task::Task;
use crate::time::{Instant, Timers};
use crate::vfs::{FdTable, File, FsContext};
use crate::wait::{PollEvents, WaitQueue};

/// What survives while a call sleeps and is made again.
#[derive(Clone, Default)]
pub struct Progress {
    /// Bytes (or items) already done.
    pub done: usize,
    /// Absolute deadline, once computed from a relative timeout.
    pub deadline: Option<Instant>,
    /// For handlers with phases (FIFO open, connect).
    pub phase: u32,
    /// Free for the handler.
    pub value: u64,
    /// A FIFO's half-open description: it goes with the call, also where the opener is killed.
    pub half_open: Option<Arc<File>>,
}

/// Why a handler is (again) running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wakeup {
    /// The first run, or a queue woke the task.
    Run,
    /// The deadline given to `block_on` has passed.
    TimedOut,
    /// A signal is to be delivered: `block_on` will refuse to sleep and return the restart error instead.
    Interrupted,
}

/// A request to sleep, collected by `block_on` and carried out by the task after the handler has returned `Block`.
#[derive(Default)]
pub struct Sleep {
    /// Queues with the events waited for.
    pub queues: SmallVec<[(WaitQueue, PollEvents); 2]>,
    /// Absolute deadline.
    pub deadline: Option<Instant>,
    /// Only the death of the process ends the sleep early.
    pub killable: bool,
    /// What a wait for many queues is counted by.
    charge: Option<ObjectCharge>,
}

/// So many queues need not be counted.
const FEW_QUEUES: usize = 64;
/// What waiting for one more queue takes: here, in the task's registrations and in the queue.
const QUEUE_COST: usize = 96;

impl Sleep {
    /// One that only the death of the process ends early.
    #[must_use]
    pub fn killable() -> Self {
        Self { killable: true, ..Self::default() }
    }

    /// Adds many queues, each once: poll(2) may name a file any number of times.
    fn add_many(&mut self, queues: &[(&WaitQueue, PollEvents)], memory: &Arc<MemoryBudget>) -> Result<(), Errno> {
        let mut merged: FxHashMap<usize, (&WaitQueue, PollEvents)> = FxHashMap::default();
        for (queue, events) in queues {
            merged.entry(queue.id()).or_insert((queue, PollEvents::empty())).1 |= *events;
        }
        if merged.len() > FEW_QUEUES {
            self.charge = Some(memory.object_of(Kind::Waiter, to_u64(merged.len() * QUEUE_COST), Owner::default())?);
        }
        let mut merged: Vec<_> = merged.into_values().collect();
        // In the same order each time.
        merged.sort_unstable_by_key(|(queue, _)| queue.id());
        self.queues.extend(merged.into_iter().map(|(queue, events)| (queue.clone(), events)));
        Ok(())
    }

    /// Whether both wait for the same.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        self.deadline == other.deadline
            && self.killable == other.killable
            && self.queues.len() == other.queues.len()
            && self.queues.iter().zip(&other.queues).all(|((a, x), (b, y))| x == y && a.same_as(b))
    }
}

/// What a handler asks for in place of a result; it then returns [`SyscallError::Replied`].
pub enum Action {
    /// A reply of its own (mmap).
    Reply(Reply),
    /// A clone; the task is the child.
    Clone(CloneOp, Arc<Task>),
    /// The end of the calling thread.
    Exit,
    /// The prepared image takes over.
    Exec,
    /// The result, after a look at signals because the mask has changed.
    Unmask(i64),
}

/// The handler's view of its call.
pub struct SyscallContext<'a> {
    /// The calling task.
    pub task: &'a Arc<Task>,
    /// Its platform thread.
    pub thread: &'a Arc<dyn Thread>,
    /// Clocks and timers.
    pub timers: &'a Arc<dyn Timers>,
    /// The call's surviving state.
    pub progress: &'a mut Progress,
    /// Why this run happens.
    pub wakeup: Wakeup,
    /// Filled by `block_on`.
    pub sleep: Sleep,
    /// Filled by [`SyscallContext::act`].
    pub action: Option<Action>,
    /// A signal for the calling thread that the dispatcher raises when the handler has returned (SIGPIPE 13, SIGXFSZ 25).
    pub raise: Option<i32>,
    /// The signal mask while the call sleeps (ppoll, pselect6, epoll_pwait): put in force by the task when the handler returns
    /// `Block`, taken back when the call ends unless a signal handler is to run (then after it).
    pub temporary_mask: Option<u64>,
}

impl<'a> SyscallContext<'a> {
    /// The view of a call about to run.
    #[must_use]
    pub fn new(
        task: &'a Arc<Task>,
        thread: &'a Arc<dyn Thread>,
        timers: &'a Arc<dyn Timers>,
        progress: &'a mut Progress,
        wakeup: Wakeup,
    ) -> Self {
        Self { task, thread, timers, progress, wakeup, sleep: Sleep::default(), action: None, raise: None, temporary_mask: None }
    }
}

impl SyscallContext<'_> {
    /// Asks for something else than a result; return the value from the handler.
    pub fn act(&mut self, action: Action) -> SyscallError {
        self.action = Some(action);
        SyscallError::Replied
    }

    /// Replaces the signal mask until the call is over (ppoll(2), pselect(2), epoll_pwait(2), rt_sigsuspend(2)): a handler that runs because
    /// of it returns to the old mask. May be called again when the handler runs again.
    pub fn set_temporary_mask(&self, mask: u64) {
        let mut saved = self.task.saved_mask.lock();
        if saved.is_none() {
            *saved = Some(self.thread.sigmask());
        }
        drop(saved);
        self.thread.set_sigmask(mask & !bevor_abi::signal::UNBLOCKABLE);
        self.task.mask_changed();
    }

    /// Copies a signal mask argument in and installs it for the call: `sigsetsize` must be 8; a null pointer changes nothing.
    ///
    /// # Errors
    /// EINVAL for another size, EFAULT.
    pub fn copy_in_temporary_mask(&self, addr: UserAddr, sigsetsize: usize) -> Result<(), Errno> {
        if addr.is_null() {
            return Ok(());
        }
        if sigsetsize != 8 {
            return Err(Errno::EINVAL);
        }
        let mask: u64 = self.copy_in_value(addr)?;
        self.set_temporary_mask(mask);
        Ok(())
    }

    /// The descriptor table.
    #[must_use]
    pub fn files(&self) -> Arc<FdTable> {
        Arc::clone(&self.task.files.lock())
    }

    /// Root, working directory, umask.
    #[must_use]
    pub fn fs(&self) -> Arc<FsContext> {
        Arc::clone(&self.task.fs.lock())
    }

    /// The credentials.
    #[must_use]
    pub fn creds(&self) -> Arc<Credentials> {
        Arc::clone(&self.task.creds.lock())
    }

    /// The open file behind `fd`.
    ///
    /// # Errors
    /// EBADF, also for O_PATH descriptors.
    pub fn file(&self, fd: Fd) -> Result<Arc<File>, Errno> {
        self.task.files.lock().get(fd)
    }

    /// The open file behind `fd`, O_PATH descriptors included.
    ///
    /// # Errors
    /// EBADF.
    pub fn file_any(&self, fd: Fd) -> Result<Arc<File>, Errno> {
        self.task.files.lock().get_any(fd)
    }

    /// The call has failed with EPIPE in a way that raises SIGPIPE: the dispatcher sends it to the calling thread.
    pub fn raise_sigpipe(&mut self) {
        self.raise = Some(13);
    }

    /// Asks to sleep until one of `queues` reports one of its events, `deadline` passes, or a signal comes; return the result from the
    /// handler. After a deadline the handler runs with `wakeup == TimedOut` and must not block again on it. On a signal this
    /// returns `restart` right away.
    pub fn block_on(&mut self, queues: &[(&WaitQueue, PollEvents)], deadline: Option<Instant>, restart: Restart) -> SyscallError {
        if self.wakeup == Wakeup::Interrupted {
            return SyscallError::Restart(restart);
        }
        if queues.len() > FEW_QUEUES {
            if let Err(errno) = self.sleep.add_many(queues, self.task.kernel.memory()) {
                return errno.into();
            }
        } else {
            self.sleep.queues.extend(queues.iter().map(|(q, e)| ((*q).clone(), *e)));
        }
        self.sleep.deadline = deadline;
        SyscallError::Block
    }

    /// As [`SyscallContext::block_on`], but no signal other than one that kills ends the sleep.
    pub fn block_killable(&mut self, queue: &WaitQueue) -> SyscallError {
        self.sleep.killable = true;
        self.block_on(&[(queue, PollEvents::IN)], None, Restart::Always)
    }

    /// Copies exactly `dst.len()` bytes in.
    ///
    /// # Errors
    /// EFAULT.
    pub fn copy_in(&self, addr: UserAddr, dst: &mut [u8]) -> Result<(), Errno> {
        if self.thread.read_memory(addr.0, dst) == dst.len() { Ok(()) } else { Err(Errno::EFAULT) }
    }

    /// Copies a structure in.
    ///
    /// # Errors
    /// EFAULT.
    pub fn copy_in_value<T: FromBytes + IntoBytes + FromZeros>(&self, addr: UserAddr) -> Result<T, Errno> {
        let mut value = T::new_zeroed();
        self.copy_in(addr, value.as_mut_bytes())?;
        Ok(value)
    }

    /// Copies a NUL-terminated string in, without the NUL.
    ///
    /// # Errors
    /// EFAULT; `too_long` if there is no NUL among the first `limit` bytes (ENAMETOOLONG for paths with limit 4096).
    pub fn copy_in_string(&self, addr: UserAddr, limit: usize, too_long: Errno) -> Result<Vec<u8>, Errno> {
        // Most strings are short: little is copied in beyond their end at first.
        let mut chunk: SmallVec<[u8; 256]> = SmallVec::from_elem(0, 256);
        let sent = self.thread.read_sent(addr.0, &mut chunk);
        if let Some(nul) = chunk[..sent].iter().position(|b| *b == 0).filter(|nul| *nul < limit) {
            return Ok(chunk[..nul].to_vec());
        }
        let mut out = Vec::new();
        let mut at = addr;
        while out.len() < limit {
            // Not beyond the end of a page, so that a string at the end of a mapping costs one copy.
            let in_page = 4096 - usize::try_from(at.0 & 4095).map_err(|_| Errno::EFAULT)?;
            let want = in_page.min(limit - out.len()).min(chunk.len());
            let got = self.thread.read_memory(at.0, &mut chunk[..want]);
            let part = &chunk[..got];
            if let Some(nul) = part.iter().position(|b| *b == 0) {
                out.extend_from_slice(&part[..nul]);
                return Ok(out);
            }
            out.extend_from_slice(part);
            if got < want {
                return Err(Errno::EFAULT);
            }
            at = at.add(u64::try_from(want).map_err(|_| Errno::EFAULT)?)?;
            chunk.resize(4096, 0);
        }
        Err(too_long)
    }

    /// Copies a path in (PATH_MAX 4096 including the NUL).
    ///
    /// # Errors
    /// EFAULT, ENAMETOOLONG.
    pub fn copy_in_path(&self, addr: UserAddr) -> Result<Vec<u8>, Errno> {
        self.copy_in_string(addr, 4096, Errno::ENAMETOOLONG)
    }

    /// Copies all of `src` out, with the reply if it fits there (a fault then turns the result into EFAULT), else at once.
    ///
    /// # Errors
    /// EFAULT.
    pub fn copy_out(&self, addr: UserAddr, src: &[u8]) -> Result<(), Errno> {
        if let Some(buffer) = self.thread.reply_buffer(addr.0, src.len()) {
            buffer.write(0, src);
            return Ok(());
        }
        self.copy_out_now(addr, src)
    }

    /// Copies all of `src` out at once, for a handler that takes something back if that fails.
    ///
    /// # Errors
    /// EFAULT.
    pub fn copy_out_now(&self, addr: UserAddr, src: &[u8]) -> Result<(), Errno> {
        if self.thread.write_memory(addr.0, src) == src.len() { Ok(()) } else { Err(Errno::EFAULT) }
    }

    /// Copies a structure out.
    ///
    /// # Errors
    /// EFAULT.
    pub fn copy_out_value<T: IntoBytes + Immutable>(&self, addr: UserAddr, value: &T) -> Result<(), Errno> {
        self.copy_out(addr, value.as_bytes())
    }
}
