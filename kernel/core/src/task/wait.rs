//! wait4(2), waitid(2): what a parent learns of its children.

use std::sync::Arc;

use bevor_abi::Errno;
use bevor_abi::process::{WALL, WCLONE, WCONTINUED, WEXITED, WNOTHREAD, WNOWAIT, WSTOPPED};
use bevor_abi::signal::{self, SA_NOCLDSTOP, SIGCHLD};

use super::tree::{Process, TaskTree};
use super::{CpuTime, Task, ThreadGroup, WaitStatus};
use crate::kernel::Kernel;
use crate::signal::info::SigInfo;
use crate::wait::PollEvents;

/// Which children are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitTarget {
    /// Any.
    Any,
    /// The child with this pid.
    Pid(i32),
    /// The members of a process group.
    Group(i32),
}

/// A child's change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitReport {
    /// The child.
    pub pid: i32,
    /// Its user id.
    pub uid: u32,
    /// For wait4(2).
    pub status: WaitStatus,
    /// `si_code` for waitid(2).
    pub code: i32,
    /// `si_status` for waitid(2).
    pub value: i32,
    /// CPU time, with the child's own children.
    pub time: CpuTime,
}

fn matches(process: &Process, target: WaitTarget, options: i32, tid: i32) -> bool {
    let pid = process.group.pid;
    let wanted = match target {
        WaitTarget::Any => true,
        WaitTarget::Pid(want) => pid == want,
        WaitTarget::Group(want) => process.pgid == want,
    };
    let cloned = process.exit_signal != SIGCHLD;
    wanted
        && (options & WALL != 0
            || bevor_abi::mutated!("wait/clone-all") && options & WCLONE != 0
            || cloned == (options & WCLONE != 0))
        && (options & WNOTHREAD == 0 || bevor_abi::mutated!("wait/nothread") || process.creator == tid)
}

fn report(process: &Process, options: i32) -> Option<WaitReport> {
    let (code, value, status, time) = if let Some(zombie) =
        process.zombie.filter(|zombie| zombie.reported && options & WEXITED != 0)
    {
        let (code, value) = match zombie.status.signal() {
            Some(signo) => (signal::CLD_KILLED, signo),
            None => {
                (signal::CLD_EXITED, bevor_abi::mutant!("waitid/raw-status", zombie.status.code().unwrap_or(0), zombie.status.0))
            }
        };
        (code, value, zombie.status, bevor_abi::mutant!("wait/grandchildren", zombie.own.plus(zombie.children), zombie.own))
    } else if let Some(signo) = process.stopped.filter(|_| options & WSTOPPED != 0) {
        (signal::CLD_STOPPED, signo, WaitStatus::stopped(signo), CpuTime::default())
    } else if process.continued && options & WCONTINUED != 0 {
        (signal::CLD_CONTINUED, signal::SIGCONT, WaitStatus::CONTINUED, CpuTime::default())
    } else {
        return None;
    };
    Some(WaitReport { pid: process.group.pid, uid: process.uid, status, code, value, time })
}

/// Takes the report out of the tree; returns the process if it is gone with that.
fn consume(tree: &mut TaskTree, pid: i32, code: i32) -> Option<Process> {
    match code {
        signal::CLD_STOPPED => {
            if let Some(process) = tree.process_mut(pid) {
                process.stopped = None;
            }
            None
        }
        signal::CLD_CONTINUED => {
            if let Some(process) = tree.process_mut(pid) {
                process.continued = false;
            }
            None
        }
        _ => tree.remove_process(pid),
    }
}

impl Task {
    /// Looks for a child of `target` in a state that `options` asks for, and takes the report unless WNOWAIT is set. `None`: there are
    /// such children, but none has anything to report; wait on `group.child_wait`.
    ///
    /// # Errors
    /// ECHILD if there is no such child.
    pub fn wait_for_child(&self, target: WaitTarget, options: i32) -> Result<Option<WaitReport>, Errno> {
        let mut tree = self.kernel.tree.lock();
        let me = tree.process(self.pid()).ok_or(Errno::ECHILD)?;
        let (mut any, mut found) = (false, None);
        let mut order = me.children.iter();
        while let Some(pid) = bevor_abi::mutant!("wait/newest", order.next(), order.next_back()) {
            let Some(child) = tree.process(*pid).filter(|p| matches(p, target, options, self.tid())) else {
                continue;
            };
            any = true;
            found = report(child, options);
            if found.is_some() {
                break;
            }
        }
        let Some(mut report) = found else {
            return if any { Ok(None) } else { Err(Errno::ECHILD) };
        };
        let alive = tree.process(report.pid).filter(|p| p.zombie.is_none()).map(|p| Arc::clone(&p.group));
        let gone = if options & WNOWAIT == 0 || bevor_abi::mutated!("wait/nowait-stop") && report.code == signal::CLD_STOPPED {
            consume(&mut tree, report.pid, report.code)
        } else {
            None
        };
        drop(tree);
        if let Some(group) = alive {
            let children = group.times.lock().children;
            report.time = group.cpu_time().plus(children);
        }
        if gone.is_some() {
            let mut times = self.group.times.lock();
            times.children = times.children.plus(report.time);
        }
        Ok(Some(report))
    }
}

/// A process has stopped or gone on: its parent hears of it.
fn report_change(kernel: &Arc<Kernel>, group: &Arc<ThreadGroup>, code: i32, value: i32) {
    let time = group.cpu_time();
    // Who hears of it by the signal finds it, and who finds it has got the signal.
    let (parent, queued) = {
        let mut tree = kernel.tree.lock();
        let Some(process) = tree.process_mut(group.pid) else { return };
        process.stopped =
            (code == signal::CLD_STOPPED).then_some(value).or(bevor_abi::mutant!("wait/stop-stale", None, process.stopped));
        process.continued = code == signal::CLD_CONTINUED || bevor_abi::mutated!("wait/cont-stale") && process.continued;
        let (parent, uid) = (process.parent, process.uid);
        let Some(parent) = tree.process(parent).map(|parent| Arc::clone(&parent.group)) else { return };
        let action = parent.handlers().get(SIGCHLD);
        if bevor_abi::mutated!("chld/nocldstop-wait") && action.flags & SA_NOCLDSTOP != 0 {
            let _ = consume(&mut tree, group.pid, signal::CLD_STOPPED);
        }
        let wanted = action.flags & SA_NOCLDSTOP == 0 || bevor_abi::mutated!("chld/nocldstop");
        let (utime, stime) = time.ticks();
        let queued = wanted.then(|| parent.queue_signal(SigInfo::child(code, group.pid, uid, value, utime, stime)));
        (parent, queued)
    };
    if let Some(queued) = queued {
        let _ = parent.woken_by(queued);
    }
    parent.child_wait.wake(PollEvents::IN);
}

/// All threads have stopped.
pub(crate) fn report_stopped(kernel: &Arc<Kernel>, group: &Arc<ThreadGroup>, signo: i32) {
    report_change(kernel, group, signal::CLD_STOPPED, signo);
}

/// A stopped process goes on.
pub(crate) fn report_continued(kernel: &Arc<Kernel>, group: &Arc<ThreadGroup>) {
    report_change(kernel, group, signal::CLD_CONTINUED, signal::SIGCONT);
}
