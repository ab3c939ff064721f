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
use bevor_platform::{CloneOp, Defence, EndWords, Event, Fault, OwnerRef, Reply, SyscallRequest, Thread, ThreadOwner};
use smallvec::SmallVec;

use super::Task;
use crate::context::{Action, Progress, Sleep, SyscallContext, Wakeup};
use crate::error::{Restart, SyscallError};
use crate::kernel::Runnable;
use crate::long;
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

/// What torture mode does with a call that is about to sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Torment {
    /// Lets it sleep, from now on.
    None,
    /// Drops its registrations and makes it again.
    Again,
    /// Lets it sleep and wakes it at once, for nothing.
    Wake,
}

/// What is in store for one call: two bits a time that it is about to sleep, so that none is kept awake for ever.
#[derive(Clone, Copy, Debug)]
struct Fate(u64);

impl Fate {
    /// Of the `n`th sleeping call of thread `tid`: the same for the same seed, whatever other threads do.
    fn new(seed: u64, tid: i32, n: u32) -> Self {
        // SplitMix64 (Steele, Lea, Flood 2014).
        let word = (u64::from(tid.cast_unsigned()) << 32 | u64::from(n)).wrapping_add(1);
        let mut z = seed.wrapping_add(word.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self(z ^ (z >> 31))
    }

    fn next(&mut self) -> Torment {
        let bits = self.0 & 3;
        self.0 = if bits == 0 { 0 } else { self.0 >> 2 };
        match bits {
            0 => Torment::None,
            1 => Torment::Again,
            _ => Torment::Wake,
        }
    }
}

/// A call that sleeps.
pub struct Call {
    request: SyscallRequest,
    progress: Progress,
    first: bool,
    sleep: Sleep,
    tokens: SmallVec<[WaitToken; 2]>,
    timer: Option<TimerId>,
    /// Torture mode's plan for it, once it has been about to sleep.
    fate: Option<Fate>,
    /// It is woken as soon as it sleeps.
    wake: bool,
    /// It has to wait for others that take long, too, and why it runs then.
    later: Option<Wakeup>,
}

impl Call {
    fn new(request: SyscallRequest, progress: Progress) -> Self {
        let (sleep, tokens) = (Sleep::default(), SmallVec::new());
        Self { request, progress, first: true, sleep, tokens, timer: None, fate: None, wake: false, later: None }
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
        if let Event::Started = event {
            // In the middle of what its parent, or its own execve, is at.
            return task.handle_started(thread);
        }
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
            Event::NotStarted => return self.handle_not_started(),
            _ => {}
        }
        if self.state.swap(RUNNING, SeqCst) != GUEST {
            // Only a parent held by a clone that failed gets here: it no longer waits for its child.
            drop(std::mem::take(&mut *self.resume.lock()));
        }
        match event {
            Event::Syscall(request) => self.call(thread, Call::new(request, Progress::default()), Wakeup::Run),
            Event::Interrupted => self.finish(thread, Finish::Continue),
            Event::Fault(fault) => self.handle_fault(thread, fault),
            Event::Broken(_) => self.handle_broken(thread),
            Event::ImageFailed(errno) => self.handle_image_failed(thread, errno),
            Event::Started | Event::NotStarted | Event::Gone { .. } => {}
        }
    }

    fn handle_started(self: &Arc<Self>, thread: &Arc<dyn Thread>) {
        {
            let mut own = self.thread.lock();
            if self.state.load(SeqCst) == DEAD {
                // It was taken for one that never comes: the two would hold each other for ever.
                return;
            }
            *own = Some(Arc::clone(thread));
        }
        thread.set_sigmask(self.initial_mask.load(SeqCst));
        thread.set_local_calls(self.kernel.options.local_calls);
        thread.set_identity(self.identity());
        thread.set_end_words(EndWords { clear_tid: self.clear_tid.load(SeqCst), robust_list: 0 });
        self.group.bound_memory(&*thread.space());
        self.started.store(true, SeqCst);
        self.publish_pending();
        // Signals that came before the thread could be interrupted.
        if self.work.load(SeqCst) != 0 || self.signal_work() {
            self.work.fetch_or(WORK_SIGNAL, SeqCst);
            thread.interrupt();
        }
    }

    /// The parent's call has failed: nobody has heard of this task.
    fn handle_not_started(self: &Arc<Self>) {
        self.work.fetch_or(WORK_GONE, SeqCst);
        self.started.store(false, SeqCst);
        self.state.store(DEAD, SeqCst);
        self.clone_failed();
    }

    fn handle_fault(self: &Arc<Self>, thread: &Arc<dyn Thread>, fault: Fault) {
        self.force_signal(SigInfo::fault(fault.signo, fault.code, fault.addr));
        self.finish(thread, Finish::Fault);
    }

    /// A signal frame could not be written. If that was SIGSEGV's own, the handler cannot help.
    fn handle_broken(self: &Arc<Self>, thread: &Arc<dyn Thread>) {
        self.force_sigsegv();
        self.finish(thread, Finish::Continue);
    }

    fn handle_image_failed(self: &Arc<Self>, thread: &Arc<dyn Thread>, errno: Errno) {
        self.kernel.klog(&format!("pid {}: exec failed after the point of no return: {errno}", self.pid()));
        self.begin_group_exit(super::WaitStatus::killed(bevor_abi::signal::SIGSEGV));
        self.finish(thread, Finish::Continue);
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
                let wakeup = call.later.take().unwrap_or_else(|| self.wakeup(&call.sleep));
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

    /// Whether the task runs, as /proc shows it. One in application code may wait for a host futex, which only the host knows.
    #[must_use]
    pub fn is_running(&self) -> bool {
        match self.state.load(SeqCst) {
            RUNNING | NOTIFIED | READY => true,
            GUEST => !self.thread().is_some_and(|thread| thread.waits()),
            SLEEPING => self.queued.load(SeqCst),
            _ => false,
        }
    }

    /// Whether the thread has stopped (job control) and not been resumed.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(SeqCst) && self.group.signals.lock().stop.is_some()
    }

    /// Whether something must be done before application code runs on: a signal, a stop, an exit.
    #[must_use]
    pub fn has_work(&self) -> bool {
        if self.work.load(SeqCst) == 0 {
            return false;
        }
        self.work.load(SeqCst) & WORK_GONE != 0 || self.signal_work()
    }

    /// Runs a call until it is done or sleeps, at once or when its turn comes.
    fn call(self: &Arc<Self>, thread: &Arc<dyn Thread>, call: Call, wakeup: Wakeup) {
        if self.pace.is_long(&self.group.alarm) && !long::is_serving() && self.kernel.options.defences.has(Defence::Turns) {
            return self.call_later(thread, call, wakeup);
        }
        self.call_now(thread, call, wakeup);
    }

    /// Lets the task sleep until a thread for long calls has time for it.
    #[cold]
    fn call_later(self: &Arc<Self>, thread: &Arc<dyn Thread>, mut call: Call, wakeup: Wakeup) {
        thread.park();
        loop {
            call.later = Some(wakeup);
            call.sleep = Sleep::killable();
            if self.is_interrupted(&call.sleep) {
                // It is not worth its while any more.
                return self.finish(thread, Finish::Value(Errno::EINTR.to_result()));
            }
            match self.sleep(Resume::Call(Box::new(call))) {
                Some(Resume::Call(same)) => call = *same,
                Some(_) => return,
                None => break,
            }
        }
        // Whoever wakes it before lets it sleep again, and it keeps its place.
        if !self.queued.swap(true, SeqCst) {
            self.kernel.long.push(Arc::clone(self));
        }
    }

    /// It is the turn of the task's call; of any that it sleeps in.
    pub(crate) fn serve_long(self: &Arc<Self>) {
        self.queued.store(false, SeqCst);
        if self.state.compare_exchange(SLEEPING, RUNNING, SeqCst, SeqCst).is_err() {
            return;
        }
        let Some(thread) = self.thread() else { return };
        let resume = std::mem::take(&mut *self.resume.lock());
        self.wake_up(&thread, resume);
    }

    #[cold]
    fn tell_parent_of_long_call(&self, measured: bool) {
        let parent = {
            let tree = self.kernel.tree.lock();
            tree.process(tree.parent_of(self.pid())).map(|p| Arc::clone(&p.group))
        };
        if let Some(parent) = parent {
            parent.alarm.of_child(measured);
        }
    }

    fn call_now(self: &Arc<Self>, thread: &Arc<dyn Thread>, mut call: Call, mut wakeup: Wakeup) {
        let timers = &*self.kernel.timers;
        loop {
            let watch = self.pace.begin(timers);
            let mut ctx = SyscallContext::new(self, thread, &self.kernel.timers, &mut call.progress, wakeup);
            let result = self.kernel.syscalls.call(&mut ctx, &call.request, call.first);
            if self.pace.end(&watch, &self.group.alarm, timers) {
                self.tell_parent_of_long_call(watch.measured());
            }
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
            if self.torment(&mut call) == Torment::Again {
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

    fn torment(&self, call: &mut Call) -> Torment {
        let Some(seed) = self.kernel.options.torture else { return Torment::None };
        if call.wake {
            return Torment::Wake;
        }
        let fate = call.fate.get_or_insert_with(|| Fate::new(seed, self.tid(), self.slept.fetch_add(1, SeqCst)));
        let torment = fate.next();
        call.wake = torment == Torment::Wake;
        torment
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
        let wake = std::mem::take(&mut call.wake);
        let kept = self.sleep(Resume::Call(Box::new(call)));
        if wake && kept.is_none() {
            self.notify(PollEvents::IN);
        }
        match kept {
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
        thread.store_reply();
        let progress = match kind {
            Restart::Block | Restart::IfNoHandler => bevor_abi::mutant!("nanosleep/starts-over", progress, Progress::default()),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn fates(seed: u64, tid: i32) -> Vec<Vec<Torment>> {
        (0..1000)
            .map(|n| {
                let mut fate = Fate::new(seed, tid, n);
                std::iter::from_fn(|| Some(fate.next()).filter(|t| *t != Torment::None)).collect()
            })
            .collect()
    }

    #[test]
    fn torture_repeats_by_its_seed_and_lets_every_call_sleep_in_the_end() {
        let first = fates(1, 7);
        assert_eq!(first, fates(1, 7));
        assert_ne!(first, fates(2, 7));
        assert_ne!(first, fates(1, 8));
        assert!(first.iter().all(|f| f.len() <= 32));
        let count = |wanted: Torment| first.iter().flatten().filter(|t| **t == wanted).count();
        assert!(first.iter().any(Vec::is_empty) && count(Torment::Again) > 500 && count(Torment::Wake) > 500);
    }
}
