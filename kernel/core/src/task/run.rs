//! The state machine of a task: events in, exactly one reply out, sleep in between.
//!
//! One worker at a time processes a task. A sleeping task is data ([`Resume`]): the call, its progress and its registrations. A wake-up
//! that comes while a worker processes the task is remembered (`NOTIFIED`) and makes it look again before it sleeps.
//!
//! Signals and the platform: whoever makes work for a task sets `work` first and then looks at `state`; a worker sets `state` to
//! `GUEST`, replies, and then looks at `work`. One of both sees the other, so the thread is interrupted.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use bevor_abi::Errno;
use bevor_platform::{CloneOp, Event, Fault, OwnerRef, Reply, SyscallRequest, Thread, ThreadOwner};
use smallvec::SmallVec;

use super::Task;
use crate::context::{Action, Progress, Sleep, SyscallContext, Wakeup};
use crate::error::{Restart, SyscallError};
use crate::kernel::Runnable;
use crate::signal::info::SigInfo;
use crate::time::TimerId;
use crate::wait::{PollEvents, WaitToken, Waiter};

pub(crate) const GUEST: u8 = 0;
pub(crate) const RUNNING: u8 = 1;
pub(crate) const NOTIFIED: u8 = 2;
pub(crate) const SLEEPING: u8 = 3;
pub(crate) const READY: u8 = 4;
pub(crate) const DEAD: u8 = 5;

/// Work bit: a signal may be deliverable, or a stop or an exit is under way.
pub(crate) const WORK_SIGNAL: u32 = 1;
/// Work bit: the host thread is gone.
pub(crate) const WORK_GONE: u32 = 2;

/// How often torture mode repeats a call that is about to sleep.
const TORTURE_RUNS: u32 = 3;

/// A call that sleeps.
pub struct Call {
    request: SyscallRequest,
    progress: Progress,
    first: bool,
    sleep: Sleep,
    tokens: SmallVec<[WaitToken; 2]>,
    timer: Option<TimerId>,
}

impl Call {
    fn new(request: SyscallRequest, progress: Progress) -> Self {
        Self { request, progress, first: true, sleep: Sleep::default(), tokens: SmallVec::new(), timer: None }
    }
}

/// How a stopped thread goes on.
pub enum Finish {
    /// Where it stopped.
    Continue,
    /// After an exception: as `Continue`, but a frame carries the exception's details.
    Fault,
    /// With the result of its call.
    Value(i64),
    /// Its call was interrupted.
    Restart(Restart, SyscallRequest, Progress),
    /// With a host operation whose result is the call's.
    Operation(Reply),
}

/// What a sleeping task does when it is woken.
#[derive(Default)]
pub enum Resume {
    /// Nothing: it does not sleep.
    #[default]
    None,
    /// Makes its call again.
    Call(Box<Call>),
    /// Goes on after a job control stop.
    Stopped(Finish),
    /// Returns from vfork once the child has let go.
    Vfork(Arc<Task>, SmallVec<[WaitToken; 1]>),
}

/// A platform thread's owner: the task.
pub struct TaskOwner(pub Arc<Task>);

impl ThreadOwner for TaskOwner {
    fn handle(&self, thread: &Arc<dyn Thread>, event: Event) {
        let task = &self.0;
        task.kernel.enter(|| task.handle(thread, event));
    }
}

impl Waiter for Task {
    fn notify(&self, _events: PollEvents) {
        let mut state = self.state.load(SeqCst);
        loop {
            let next = match state {
                SLEEPING => READY,
                RUNNING => NOTIFIED,
                _ => return,
            };
            match self.state.compare_exchange_weak(state, next, SeqCst, SeqCst) {
                Ok(_) => {
                    if next == READY
                        && let Some(me) = self.me.upgrade()
                    {
                        self.kernel.push_ready(me);
                    }
                    return;
                }
                Err(now) => state = now,
            }
        }
    }
}

impl Runnable for Task {
    fn run(self: Arc<Self>) {
        // A held parent whose clone failed has gone on without being asked: nothing is left to do for it here.
        if self.state.compare_exchange(READY, RUNNING, SeqCst, SeqCst).is_err() {
            return;
        }
        let Some(thread) = self.thread() else { return };
        let resume = std::mem::take(&mut *self.resume.lock());
        self.wake_up(&thread, resume);
    }
}

impl Task {
    fn handle(self: &Arc<Self>, thread: &Arc<dyn Thread>, event: Event) {
        match event {
            Event::Gone { .. } => return self.handle_gone(),
            Event::NotMade => return self.handle_not_made(),
            _ => {}
        }
        if self.state.swap(RUNNING, SeqCst) != GUEST {
            // Only a parent held by a clone that failed gets here: it no longer waits for its child.
            drop(std::mem::take(&mut *self.resume.lock()));
        }
        match event {
            Event::Syscall(request) => self.call(thread, Call::new(request, Progress::default()), Wakeup::Run),
            Event::Interrupted => self.finish(thread, Finish::Continue),
            Event::Started => self.handle_started(thread),
            Event::Fault(fault) => self.handle_fault(thread, fault),
            Event::Broken(errno) => self.handle_broken(thread, errno),
            Event::Gone { .. } | Event::NotMade => {}
        }
    }

    fn handle_started(self: &Arc<Self>, thread: &Arc<dyn Thread>) {
        *self.thread.lock() = Some(Arc::clone(thread));
        thread.set_sigmask(self.initial_mask.load(SeqCst));
        thread.set_local_calls(self.kernel.options.local_calls);
        thread.set_identity(self.identity());
        self.group.bound_memory(&*thread.space());
        self.started.store(true, SeqCst);
        self.publish_pending();
        // Signals that came before the thread could be interrupted.
        self.work.fetch_or(WORK_SIGNAL, SeqCst);
        self.finish(thread, Finish::Continue);
    }

    fn handle_fault(self: &Arc<Self>, thread: &Arc<dyn Thread>, fault: Fault) {
        self.force_signal(SigInfo::fault(fault.signo, fault.code, fault.addr));
        self.finish(thread, Finish::Fault);
    }

    fn handle_broken(self: &Arc<Self>, thread: &Arc<dyn Thread>, errno: Errno) {
        use bevor_abi::signal::SIGSEGV;
        if self.started.load(SeqCst) {
            // A signal frame could not be written. If that was SIGSEGV's own, the handler cannot help.
            self.force_sigsegv();
        } else {
            self.kernel.klog(&format!("pid {}: exec failed after the point of no return: {errno}", self.pid()));
            *self.thread.lock() = Some(Arc::clone(thread));
            self.begin_group_exit(super::WaitStatus::killed(SIGSEGV));
        }
        self.finish(thread, Finish::Continue);
    }

    /// The parent's call has failed: nobody has heard of this task.
    fn handle_not_made(self: &Arc<Self>) {
        self.work.fetch_or(WORK_GONE, SeqCst);
        self.state.store(DEAD, SeqCst);
        self.clone_failed();
    }

    /// The host thread died, maybe before its first instruction. The parent has its number and may wait for it in any case.
    fn handle_gone(self: &Arc<Self>) {
        self.work.fetch_or(WORK_GONE, SeqCst);
        self.begin_group_exit(super::WaitStatus::killed(bevor_abi::signal::SIGKILL));
        if self.state.compare_exchange(GUEST, RUNNING, SeqCst, SeqCst).is_ok() {
            self.exit_thread(None);
        } else {
            self.notify(PollEvents::HUP);
        }
    }

    /// Goes on after a wake-up.
    fn wake_up(self: &Arc<Self>, thread: &Arc<dyn Thread>, resume: Resume) {
        match resume {
            Resume::None => {}
            Resume::Stopped(finish) => self.exit_to_user(thread, finish),
            Resume::Vfork(child, tokens) => self.vfork_wait(thread, child, tokens),
            Resume::Call(mut call) => {
                if let Some(timer) = call.timer.take() {
                    self.kernel.timers.cancel(timer);
                }
                call.tokens.clear();
                let wakeup = self.wakeup(&call.sleep);
                call.sleep = Sleep::default();
                self.call(thread, *call, wakeup);
            }
        }
    }

    fn wakeup(&self, sleep: &Sleep) -> Wakeup {
        if self.is_interrupted(sleep) {
            Wakeup::Interrupted
        } else if sleep.deadline.is_some_and(|at| at <= self.kernel.timers.now()) {
            Wakeup::TimedOut
        } else {
            Wakeup::Run
        }
    }

    fn is_interrupted(&self, sleep: &Sleep) -> bool {
        if sleep.killable { self.work.load(SeqCst) & WORK_GONE != 0 || self.is_dying() } else { self.has_work() }
    }

    /// Whether the task runs, as /proc shows it. One in application code may wait for a host futex: it counts as running if its
    /// process has used CPU time since the last question.
    #[must_use]
    pub fn is_running(&self) -> bool {
        match self.state.load(SeqCst) {
            RUNNING | NOTIFIED | READY => true,
            GUEST => {
                let time = self.cpu_time();
                let now = time.user.saturating_add(time.system);
                self.seen_cpu_time.swap(now, SeqCst) != now
            }
            _ => false,
        }
    }

    /// Whether something must be done before application code runs on: a signal, a stop, an exit.
    #[must_use]
    pub fn has_work(&self) -> bool {
        if self.work.load(SeqCst) == 0 {
            return false;
        }
        self.work.load(SeqCst) & WORK_GONE != 0 || self.signal_work()
    }

    /// Runs a call until it is done or sleeps.
    fn call(self: &Arc<Self>, thread: &Arc<dyn Thread>, mut call: Call, mut wakeup: Wakeup) {
        let mut torture = if self.kernel.options.torture { TORTURE_RUNS } else { 0 };
        loop {
            let mut ctx = SyscallContext::new(self, thread, &self.kernel.timers, &mut call.progress, wakeup);
            let result = self.kernel.syscalls.call(&mut ctx, &call.request, call.first);
            let (sleep, action) = (std::mem::take(&mut ctx.sleep), ctx.action.take());
            if let (Some(mask), Err(SyscallError::Block)) = (ctx.temporary_mask, &result) {
                ctx.set_temporary_mask(mask);
            }
            if let Some(signo) = ctx.raise {
                self.raise(signo);
            }
            call.first = false;
            match result {
                Ok(value) => return self.finish(thread, Finish::Value(value.cast_signed())),
                Err(SyscallError::Errno(errno, _)) => return self.finish(thread, Finish::Value(errno.to_result())),
                Err(SyscallError::Restart(kind)) => {
                    call.tokens.clear();
                    return self.finish(thread, Finish::Restart(kind, call.request, call.progress));
                }
                Err(SyscallError::Replied) => {
                    call.tokens.clear();
                    return self.act(thread, action);
                }
                Err(SyscallError::Block) => {}
            }
            if torture > 0 {
                torture -= 1;
                call.tokens.clear();
                call.sleep = Sleep::default();
                wakeup = self.wakeup(&sleep);
                continue;
            }
            if !call.tokens.is_empty() && call.sleep.same_as(&sleep) || sleep.queues.is_empty() && wakeup == self.wakeup(&sleep) {
                call.sleep = sleep;
                match self.sleep_in_call(thread, call) {
                    None => return,
                    Some((again, why)) => (call, wakeup) = (again, why),
                }
                continue;
            }
            // Register first, then look: the handler runs once more with the registrations in place.
            call.tokens.clear();
            for (queue, events) in &sleep.queues {
                call.tokens.push(queue.register(*events, self.waiter()));
            }
            // Wake-ups before this point concern registrations that are gone.
            self.state.store(RUNNING, SeqCst);
            wakeup = self.wakeup(&sleep);
            call.sleep = sleep;
        }
    }

    /// The task as a waiter.
    #[must_use]
    pub fn waiter(self: &Arc<Self>) -> Arc<dyn Waiter> {
        Arc::clone(self) as Arc<dyn Waiter>
    }

    /// Lets the task sleep in `call`; gives the call back if something happened meanwhile.
    fn sleep_in_call(self: &Arc<Self>, thread: &Arc<dyn Thread>, mut call: Call) -> Option<(Call, Wakeup)> {
        thread.park();
        call.timer = call.sleep.deadline.map(|at| self.kernel.timers.schedule(at, PollEvents::IN, self.waiter()));
        match self.sleep(Resume::Call(Box::new(call))) {
            Some(Resume::Call(mut call)) => {
                if let Some(timer) = call.timer.take() {
                    self.kernel.timers.cancel(timer);
                }
                let wakeup = self.wakeup(&call.sleep);
                Some((*call, wakeup))
            }
            _ => None,
        }
    }

    /// Stores how to go on and sleeps; gives it back if a wake-up came meanwhile.
    pub(crate) fn sleep(&self, resume: Resume) -> Option<Resume> {
        *self.resume.lock() = resume;
        // Work that came before the state below could not wake the task.
        let interrupted = match &*self.resume.lock() {
            Resume::Call(call) => self.is_interrupted(&call.sleep),
            _ => false,
        };
        if !interrupted && self.state.compare_exchange(RUNNING, SLEEPING, SeqCst, SeqCst).is_ok() {
            return None;
        }
        self.state.store(RUNNING, SeqCst);
        Some(std::mem::take(&mut *self.resume.lock()))
    }

    /// Carries out what a handler asked for instead of a result.
    fn act(self: &Arc<Self>, thread: &Arc<dyn Thread>, action: Option<Action>) {
        match action {
            Some(Action::Reply(reply)) => self.finish(thread, Finish::Operation(reply)),
            Some(Action::Clone(op, child)) => self.reply_clone(thread, op, child),
            Some(Action::Exit) => self.exit_thread(Some(thread)),
            Some(Action::Exec) => self.commit_exec(thread),
            Some(Action::Unmask(value)) => self.finish(thread, Finish::Value(value)),
            None => self.finish(thread, Finish::Value(Errno::ENOSYS.to_result())),
        }
    }

    fn reply_clone(self: &Arc<Self>, thread: &Arc<dyn Thread>, op: CloneOp, child: Arc<Task>) {
        let owner = OwnerRef(Arc::new(TaskOwner(Arc::clone(&child))));
        if !op.hold_parent {
            self.send_reply(thread, Reply::Clone(op, owner));
            return;
        }
        thread.reply(Reply::Clone(op, owner));
        let mut tokens = SmallVec::new();
        tokens.push(child.release_wait.register(PollEvents::IN, self.waiter()));
        self.vfork_wait(thread, child, tokens);
    }

    /// Sleeps until `child` has let go of the address space, or the process dies.
    fn vfork_wait(self: &Arc<Self>, thread: &Arc<dyn Thread>, mut child: Arc<Task>, mut tokens: SmallVec<[WaitToken; 1]>) {
        loop {
            if child.released.load(SeqCst) || self.is_dying() {
                tokens.clear();
                if child.state.load(SeqCst) == DEAD && !child.started.load(SeqCst) {
                    // The clone failed; the platform has answered for it.
                    self.state.store(GUEST, SeqCst);
                    if self.work.load(SeqCst) != 0 {
                        thread.interrupt();
                    }
                    return;
                }
                let value = i64::from(child.tid());
                return self.finish(thread, Finish::Value(value));
            }
            match self.sleep(Resume::Vfork(child, tokens)) {
                Some(Resume::Vfork(same, kept)) => (child, tokens) = (same, kept),
                _ => return,
            }
        }
    }

    /// Answers the event, by way of pending signals.
    pub(crate) fn finish(self: &Arc<Self>, thread: &Arc<dyn Thread>, finish: Finish) {
        // A temporary mask to be taken back counts as work: whoever puts one in force says so.
        if self.work.load(SeqCst) != 0 || matches!(finish, Finish::Restart(..)) {
            return self.exit_to_user(thread, finish);
        }
        match finish {
            Finish::Value(value) => self.send_reply(thread, Reply::Return(value)),
            Finish::Operation(reply) => self.send_reply(thread, reply),
            // A stop without known work: the stub has seen an unblocked signal.
            Finish::Continue | Finish::Fault | Finish::Restart(..) => self.exit_to_user(thread, finish),
        }
    }

    /// Replies without a further look at signals; an interruption follows if work has come meanwhile.
    pub(crate) fn send_reply(&self, thread: &Arc<dyn Thread>, reply: Reply) {
        self.state.store(GUEST, SeqCst);
        thread.reply(reply);
        if self.work.load(SeqCst) != 0 {
            thread.interrupt();
        }
    }

    /// Makes a call again inside the kernel, after an interruption without a handler.
    pub(crate) fn call_again(
        self: &Arc<Self>,
        thread: &Arc<dyn Thread>,
        kind: Restart,
        request: SyscallRequest,
        progress: Progress,
    ) {
        let progress = match kind {
            Restart::Block | Restart::IfNoHandler => progress,
            Restart::IfSaRestart | Restart::Always => Progress::default(),
        };
        self.call(thread, Call::new(request, progress), Wakeup::Run);
    }

    /// Makes the task look at its signals soon.
    pub(crate) fn kick(&self) {
        self.work.fetch_or(WORK_SIGNAL, SeqCst);
        match self.state.load(SeqCst) {
            GUEST => {
                if let Some(thread) = self.thread() {
                    thread.interrupt();
                }
            }
            RUNNING | SLEEPING => self.notify(PollEvents::IN),
            _ => {}
        }
    }
}
