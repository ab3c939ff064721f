//! The way back to application code: exits, stops, signal delivery, restarts.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use bevor_abi::Errno;
use bevor_abi::signal::{self, KernelSigaction, SA_RESTART, SIG_DFL, SIG_IGN, SIGSTOP};
use bevor_platform::{CallOutcome, Reply, SignalFrame, Thread};

use super::action::{DefaultAction, default_action};
use super::info::SigInfo;
use crate::error::Restart;
use crate::task::run::{Finish, Resume, WORK_GONE, WORK_SIGNAL};
use crate::task::{Stop, Task, WaitStatus};

enum Next {
    /// Look again.
    Again,
    /// Nothing to deliver.
    Nothing,
    /// Run a handler.
    Handler(SigInfo, KernelSigaction, u64),
}

impl Task {
    /// Answers the thread's event after everything that must come before application code.
    pub(crate) fn exit_to_user(self: &Arc<Self>, thread: &Arc<dyn Thread>, mut finish: Finish) {
        // A temporary mask outlives its call only for the sake of a handler that interrupted it.
        let interrupted = match &finish {
            Finish::Restart(..) => true,
            Finish::Value(value) => *value == Errno::EINTR.to_result(),
            _ => false,
        };
        if !interrupted && let Some(saved) = self.saved_mask.lock().take() {
            thread.set_sigmask(saved);
        }
        loop {
            self.work.fetch_and(!WORK_SIGNAL, SeqCst);
            if self.work.load(SeqCst) & WORK_GONE != 0 {
                return self.exit_thread(None);
            }
            if self.is_dying() {
                self.take_kill();
                return self.exit_thread(Some(thread));
            }
            if let Finish::Operation(reply) = finish {
                // The operation first; what is pending interrupts it right after.
                if self.signal_work() {
                    self.work.fetch_or(WORK_SIGNAL, SeqCst);
                }
                return self.send_reply(thread, reply);
            }
            if self.enter_stop() {
                match self.sleep(Resume::Stopped(finish)) {
                    Some(Resume::Stopped(same)) => finish = same,
                    _ => return,
                }
                continue;
            }
            let mask = self.sigmask();
            match self.next_signal(mask) {
                Next::Again => continue,
                Next::Handler(info, action, add) => return self.run_handler(thread, finish, mask, &info, (action, add)),
                Next::Nothing => {}
            }
            if let Some(saved) = self.saved_mask.lock().take() {
                thread.set_sigmask(saved);
                continue;
            }
            return self.answer(thread, finish);
        }
    }

    fn answer(self: &Arc<Self>, thread: &Arc<dyn Thread>, finish: Finish) {
        match finish {
            Finish::Continue | Finish::Fault => self.send_reply(thread, Reply::Continue),
            Finish::Value(value) => self.send_reply(thread, Reply::Return(value)),
            Finish::Operation(reply) => self.send_reply(thread, reply),
            Finish::Restart(kind, request, progress) => self.call_again(thread, kind, request, progress),
        }
    }

    /// SIGKILL is acted on as soon as it is pending, whatever else is.
    fn take_kill(&self) {
        let kill = signal::bit(signal::SIGKILL);
        let pending = {
            let group = self.group.signals.lock();
            group.exit.is_none() && (group.shared.set() | self.pending.lock().set()) & kill != 0
        };
        if pending {
            self.begin_group_exit(WaitStatus::killed(signal::SIGKILL));
        }
    }

    fn next_signal(self: &Arc<Self>, mask: u64) -> Next {
        let Some(info) = self.take_signal(!mask) else {
            return Next::Nothing;
        };
        let signo = info.signo();
        let (action, add) = self.group.handlers().consume(signo);
        match action.handler {
            SIG_IGN => return Next::Again,
            SIG_DFL => {}
            _ => return Next::Handler(info, action, add),
        }
        let default = default_action(signo);
        if default == DefaultAction::Ignore || self.group.signals.lock().unkillable {
            return Next::Again;
        }
        match default {
            DefaultAction::Ignore => {}
            DefaultAction::Stop => self.begin_stop(signo),
            // RLIMIT_CORE is 0 in a sandbox: no core is dumped, and the status says so.
            DefaultAction::Terminate | DefaultAction::Core => self.begin_group_exit(WaitStatus::killed(signo)),
        }
        Next::Again
    }

    fn begin_stop(&self, signo: i32) {
        // Terminal stops do not touch a process group that nobody could resume.
        if signo != bevor_abi::mutant!("stop/orphaned", SIGSTOP, signo)
            && self.kernel.tree.lock().is_orphaned_group_of(self.pid())
        {
            return;
        }
        let mut group = self.group.signals.lock();
        if group.exit.is_none() && group.stop.is_none() {
            group.stop = Some(Stop { signo: bevor_abi::mutant!("stop/signal", signo, SIGSTOP), reported: false });
            group.threads.iter().filter(|_| !bevor_abi::mutated!("stop/thread-runs")).for_each(|t| t.kick());
        }
    }

    /// Whether the thread must stop now; the last one to do so tells the parent.
    fn enter_stop(&self) -> bool {
        let (stopping, report) = {
            let mut group = self.group.signals.lock();
            let stop = group.stop;
            self.stopped.store(stop.is_some(), SeqCst);
            let complete = group.threads.iter().all(|t| t.stopped.load(SeqCst));
            let mut report = None;
            if let Some(stop) = &mut group.stop
                && complete
                && !stop.reported
            {
                stop.reported = true;
                report = Some(stop.signo);
            }
            (stop.is_some(), report)
        };
        if let Some(signo) = report {
            crate::task::wait::report_stopped(&self.kernel, &self.group, signo);
        }
        stopping
    }

    fn run_handler(
        self: &Arc<Self>,
        thread: &Arc<dyn Thread>,
        finish: Finish,
        mask: u64,
        info: &SigInfo,
        (action, add): (KernelSigaction, u64),
    ) {
        let fault = matches!(finish, Finish::Fault);
        let outcome = match finish {
            Finish::Continue | Finish::Fault | Finish::Operation(_) => CallOutcome::None,
            Finish::Value(value) => CallOutcome::Return(value),
            Finish::Restart(Restart::Always, ..) => CallOutcome::Restart,
            Finish::Restart(Restart::IfSaRestart, ..) if action.flags & SA_RESTART != 0 => CallOutcome::Restart,
            Finish::Restart(..) => CallOutcome::Return(Errno::EINTR.to_result()),
        };
        let saved = self.saved_mask.lock().take();
        let old_mask = saved.filter(|_| !bevor_abi::mutated!("sigsuspend/mask-stays")).unwrap_or(mask);
        let new_mask = mask | add;
        self.last_frame.store(info.signo(), SeqCst);
        if self.pending_set() & !new_mask != 0 {
            // The next frame is stacked onto this one before its handler's first instruction.
            self.work.fetch_or(WORK_SIGNAL, SeqCst);
        }
        self.send_reply(
            thread,
            Reply::Signal(Box::new(SignalFrame {
                signo: info.signo(),
                info: info.0,
                handler: action.handler,
                flags: action.flags,
                restorer: action.restorer,
                old_mask,
                new_mask,
                outcome,
                fault,
            })),
        );
    }
}
