//! Signals (signal(7)): sending, forcing, and the state that they share with exits and stops.
//!
//! The mask is the stub's: it changes without the kernel's knowledge. So a sender first announces what is pending, then reads the mask,
//! then decides whether to interrupt; the stub writes its mask first and then reads what is pending.

pub mod action;
pub mod deliver;
pub mod info;
pub mod itimer;
pub mod queue;

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use bevor_abi::Errno;
use bevor_abi::process::RLIMIT_SIGPENDING;
use bevor_abi::signal::{self, SI_USER, SIG_DFL, SIG_IGN, SIGCONT, SIGKILL, SIGRTMIN, SIGSEGV, bit};

use crate::kernel::Kernel;
use crate::memory::{Kind, ObjectCharge};
use crate::task::run::WORK_SIGNAL;
use crate::task::{GroupSignals, Task, ThreadGroup};
use crate::wait::PollEvents;
use info::SigInfo;
use queue::Place;

/// What a sent signal led to, to be finished without the group's lock.
enum Sent {
    Nothing,
    Queued,
    Resumed,
}

/// A signal that was sent and that nobody was woken for yet: [`ThreadGroup::woken_by`], with no lock held.
#[must_use]
pub(crate) struct Queued {
    sent: Result<Sent, Errno>,
    kernel: Option<Arc<Kernel>>,
    doomed: Option<Arc<Task>>,
}

impl ThreadGroup {
    /// Sends a signal to the process.
    ///
    /// # Errors
    /// EAGAIN if a real-time signal's details cannot be queued (RLIMIT_SIGPENDING).
    pub fn send_signal(self: &Arc<Self>, info: SigInfo) -> Result<(), Errno> {
        self.send(info, None, None)
    }

    /// `timer`: the place of the POSIX timer that sends it.
    fn send(self: &Arc<Self>, info: SigInfo, target: Option<&Task>, timer: Option<Arc<ObjectCharge>>) -> Result<(), Errno> {
        let queued = self.queue(info, target, timer);
        self.woken_by(queued)
    }

    /// Sends a signal to the process, which may be done with the tree locked: what it is about is seen together with it.
    pub(crate) fn queue_signal(self: &Arc<Self>, info: SigInfo) -> Queued {
        self.queue(info, None, None)
    }

    fn queue(self: &Arc<Self>, info: SigInfo, target: Option<&Task>, timer: Option<Arc<ObjectCharge>>) -> Queued {
        let mut guard = self.signals.lock();
        let kernel = guard.threads.first().map(|t| Arc::clone(&t.kernel));
        // A host process whose threads mask the host's signals hears of nothing: the first SIGKILL sets it a deadline.
        let doomed = info.signo() == SIGKILL && guard.exit.is_none() && guard.shared.set() & bit(SIGKILL) == 0;
        let doomed = if doomed { guard.threads.first().cloned() } else { None };
        Queued { sent: self.send_locked(&mut guard, info, target, timer), kernel, doomed }
    }

    /// Wakes those whom a signal concerns.
    ///
    /// # Errors
    /// As [`ThreadGroup::send_signal`].
    pub(crate) fn woken_by(self: &Arc<Self>, Queued { sent, kernel, doomed }: Queued) -> Result<(), Errno> {
        if let Some(task) = doomed {
            task.set_exit_deadline(true);
        }
        match (sent?, kernel) {
            (Sent::Nothing, _) | (_, None) => {}
            (Sent::Queued, _) => self.signal_wait.wake(PollEvents::IN),
            (Sent::Resumed, Some(kernel)) => {
                self.signal_wait.wake(PollEvents::IN);
                crate::task::wait::report_continued(&kernel, self);
            }
        }
        Ok(())
    }

    fn send_locked(
        self: &Arc<Self>,
        group: &mut GroupSignals,
        info: SigInfo,
        target: Option<&Task>,
        timer: Option<Arc<ObjectCharge>>,
    ) -> Result<Sent, Errno> {
        let signo = info.signo();
        let Some(main) = group.threads.first().cloned() else {
            return Ok(Sent::Nothing);
        };
        if group.exit.is_some() {
            return Ok(Sent::Nothing);
        }
        let deaf = bevor_abi::mutated!("send/blocked-cont") && signo == SIGCONT && main.sigmask() & bit(signo) != 0;
        let resumed = !deaf && cancel_opposites(group, signo);
        let none = if resumed { Sent::Resumed } else { Sent::Nothing };
        let mask = target.map_or_else(|| main.sigmask(), Task::sigmask);
        let handlers = self.handlers();
        let shielded = group.unkillable && handlers.get(signo).handler == SIG_DFL;
        if (mask & bit(signo) == 0 || bevor_abi::mutated!("send/blocked-ignored")) && (handlers.ignores(signo) || shielded) {
            return Ok(none);
        }
        self.enqueue(group, info, target, timer)?;
        for thread in &group.threads {
            thread.publish_pending_with(group.shared.set());
        }
        let wants = |task: &Task| task.sigmask() & bit(signo) == 0;
        match target {
            Some(task) if wants(task) => task.kick(),
            Some(_) => {}
            None => {
                if let Some(task) = group.threads.iter().find(|t| wants(t)) {
                    task.kick();
                }
            }
        }
        if signo == SIGKILL {
            group.threads.iter().for_each(|t| t.kick());
        }
        Ok(if resumed { Sent::Resumed } else { Sent::Queued })
    }

    fn enqueue(
        &self,
        group: &mut GroupSignals,
        info: SigInfo,
        target: Option<&Task>,
        timer: Option<Arc<ObjectCharge>>,
    ) -> Result<(), Errno> {
        let signo = info.signo();
        let Some(main) = group.threads.first().cloned() else { return Ok(()) };
        let mut own = target.map(|t| t.pending.lock());
        let queue = own.as_deref_mut().unwrap_or(&mut group.shared);
        if queue.drops(signo) {
            return Ok(());
        }
        let place = match timer {
            Some(place) => Ok(Place::Timer(place)),
            None => self.place(&info, &main, target.unwrap_or(&main)),
        };
        match place {
            Ok(place) => {
                queue.push(info, place);
            }
            Err(errno) if signo >= SIGRTMIN && (info.code() != SI_USER || bevor_abi::mutated!("queue/limit-kill")) => {
                return Err(errno);
            }
            Err(_) => queue.mark(signo),
        }
        Ok(())
    }

    /// A place in the queues for a signal: its receiver's real user has RLIMIT_SIGPENDING of them.
    fn place(&self, info: &SigInfo, main: &Task, target: &Task) -> Result<Place, Errno> {
        let memory = main.kernel.memory();
        let uid = target.creds().uid;
        // A standard signal that no program has made up goes beyond the limit: each is pending only once.
        if info.signo() < SIGRTMIN && info.code() >= 0 {
            return Ok(memory.object_for(Kind::QueuedSignal, uid, u64::MAX).map_or(Place::Free, Place::Own));
        }
        memory
            .object_for(
                Kind::QueuedSignal,
                uid,
                bevor_abi::mutant!("queue/limit-ignored", self.rlimit(RLIMIT_SIGPENDING).cur, u64::MAX),
            )
            .map(Place::Own)
    }

    /// Whether the process is exiting or has ended.
    #[must_use]
    pub fn is_exiting(&self) -> bool {
        let group = self.signals.lock();
        group.exit.is_some() || group.threads.is_empty()
    }
}

/// A stop signal takes back SIGCONT and the other way round; SIGCONT resumes. Returns whether a reported stop has ended.
fn cancel_opposites(group: &mut GroupSignals, signo: i32) -> bool {
    let opposite = if signo == SIGCONT {
        signal::STOP_SET
    } else if bit(signo) & signal::STOP_SET != 0 && !bevor_abi::mutated!("send/stop-keeps-cont") {
        bit(SIGCONT)
    } else {
        return false;
    };
    group.shared.remove(opposite);
    for thread in group.threads.iter().filter(|_| !bevor_abi::mutated!("send/cont-of-threads")) {
        thread.pending.lock().remove(opposite);
    }
    if signo != SIGCONT {
        return false;
    }
    let Some(stop) = group.stop.take() else { return false };
    group.threads.iter().for_each(|t| t.kick());
    stop.reported
}

impl Task {
    /// Sends a signal to this thread.
    ///
    /// # Errors
    /// EAGAIN if a real-time signal's details cannot be queued.
    pub fn send_signal(&self, info: SigInfo) -> Result<(), Errno> {
        self.group.send(info, Some(self), None)
    }

    /// Sends a signal that the kernel itself raises on the calling thread, such as SIGPIPE.
    pub fn raise(&self, signo: i32) {
        // Standard signals are never refused.
        let _ = self.send_signal(SigInfo::user(signo, SI_USER, self.pid(), self.creds().uid));
    }

    /// Signals pending for the thread, its own and the process's.
    #[must_use]
    pub fn pending_set(&self) -> u64 {
        let group = self.group.signals.lock();
        let own = self.pending.lock().set();
        own | group.shared.set()
    }

    /// Tells the stub what is pending.
    pub fn publish_pending(&self) {
        let shared = self.group.signals.lock().shared.set();
        self.publish_pending_with(shared);
    }

    fn publish_pending_with(&self, shared: u64) {
        let own = self.pending.lock().set();
        if let Some(thread) = self.thread() {
            thread.set_pending(own | shared);
        }
    }

    /// The mask was changed by the kernel: pending signals must be looked at before application code runs on.
    pub fn mask_changed(&self) {
        self.work.fetch_or(WORK_SIGNAL, SeqCst);
    }

    /// Whether an exit, an exec of another thread, a stop or a deliverable signal waits.
    pub(crate) fn signal_work(&self) -> bool {
        let mask = self.sigmask();
        let group = self.group.signals.lock();
        let own = self.pending.lock().set();
        group.exit.is_some()
            || group.exec.is_some_and(|tid| tid != self.tid())
            || group.stop.is_some()
            || (own | group.shared.set()) & !mask != 0
    }

    /// Whether the thread must end: its process exits, another thread makes an execve, or SIGKILL is pending.
    #[must_use]
    pub fn is_dying(&self) -> bool {
        let group = self.group.signals.lock();
        let own = self.pending.lock().set();
        group.exit.is_some() || group.exec.is_some_and(|tid| tid != self.tid()) || (own | group.shared.set()) & bit(SIGKILL) != 0
    }

    /// Takes a pending signal of `set` out of the queues (rt_sigtimedwait(2), signalfd(2)).
    #[must_use]
    pub fn take_signal(&self, set: u64) -> Option<SigInfo> {
        let info = {
            let mut group = self.group.signals.lock();
            let first = if bevor_abi::mutated!("sigtimedwait/process-first") { group.shared.take(set) } else { None };
            let own = first.or_else(|| self.pending.lock().take(set));
            own.or_else(|| group.shared.take(set))
        };
        if info.is_some() {
            self.publish_pending_all();
        }
        info.map(|info| self.with_overrun(info))
    }

    /// Signals pending for the process as a whole.
    #[must_use]
    pub fn shared_pending_set(&self) -> u64 {
        self.group.signals.lock().shared.set()
    }

    fn publish_pending_all(&self) {
        let group = self.group.signals.lock();
        for thread in &group.threads {
            thread.publish_pending_with(group.shared.set());
        }
    }

    /// A signal that cannot be refused (a processor exception): if blocked or ignored, it kills.
    pub fn force_signal(&self, info: SigInfo) {
        let signo = info.signo();
        let handlers = self.group.handlers();
        let action = handlers.get(signo);
        let mask = self.sigmask();
        let mut group = self.group.signals.lock();
        if mask & bit(signo) != 0 || action.handler == SIG_IGN {
            handlers.set(signo, bevor_abi::signal::KernelSigaction::default());
            if let Some(thread) = self.thread() {
                thread.set_sigmask(mask & !bit(signo));
            }
        }
        if handlers.get(signo).handler == SIG_DFL {
            group.unkillable = false;
        }
        self.pending.lock().push(info, Place::Free);
        drop(group);
        self.work.fetch_or(WORK_SIGNAL, SeqCst);
    }

    /// A signal frame could not be stored: SIGSEGV, which kills if SIGSEGV's own frame failed.
    pub(crate) fn force_sigsegv(&self) {
        if self.last_frame.load(SeqCst) == SIGSEGV {
            self.group.handlers().set(SIGSEGV, bevor_abi::signal::KernelSigaction::default());
        }
        self.force_signal(SigInfo::kernel(SIGSEGV));
    }
}

impl Task {
    /// A signal is ignored from now on: what is pending of it is dropped.
    pub fn discard_signal(&self, signo: i32) {
        {
            let mut group = self.group.signals.lock();
            group.shared.remove(bit(signo));
            for thread in group.threads.iter().filter(|_| !bevor_abi::mutated!("sigaction/thread-keeps")) {
                thread.pending.lock().remove(bit(signo));
            }
        }
        self.publish_pending_all();
    }
}
