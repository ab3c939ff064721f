//! The end of threads and processes.

use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bevor_abi::signal::{self, SA_NOCLDWAIT, SIG_IGN, SIGCHLD, SIGCONT, SIGHUP, SIGKILL};
use bevor_platform::Defence;
use bevor_platform::{EndWords, Reply, Thread};

use super::run::DEAD;
use super::tree::{TaskTree, Zombie};
use super::{Task, ThreadGroup, WaitStatus};
use crate::kernel::{Kernel, Runnable};
use crate::signal::info::SigInfo;
use crate::time::Instant;
use crate::wait::{PollEvents, Waiter};

/// How long the threads of an exiting process may take before their host process is killed.
const EXIT_DEADLINE: Duration = Duration::from_secs(2);

/// Kills the host process of a process whose threads do not leave by themselves.
struct ExitDeadline {
    me: Weak<Self>,
    kernel: Arc<Kernel>,
    group: Arc<ThreadGroup>,
    threads: Vec<(Weak<Task>, Arc<dyn Thread>)>,
}

impl Waiter for ExitDeadline {
    fn notify(&self, _events: PollEvents) {
        if let Some(me) = self.me.upgrade() {
            self.kernel.push_ready(me);
        }
    }
}

impl Runnable for ExitDeadline {
    fn run(self: Arc<Self>) {
        if !self.kernel.options.defences.has(Defence::Deadline) {
            return;
        }
        let alive = self.group.threads();
        for (task, thread) in &self.threads {
            if let Some(task) = task.upgrade().filter(|t| alive.iter().any(|a| Arc::ptr_eq(a, t))) {
                self.kernel.klog(&format!("pid {}: thread {} does not leave, killed", task.pid(), task.tid()));
                thread.space().kill();
            }
        }
    }
}

impl Task {
    /// Starts the end of the process with `status`, unless it has begun already. The caller's own end follows on its way back to
    /// application code; the other threads are interrupted.
    pub fn begin_group_exit(&self, status: WaitStatus) {
        let others = {
            let mut group = self.group.signals.lock();
            if group.exit.is_some() {
                return;
            }
            group.exit = Some(status);
            group.stop = None;
            group.threads.iter().for_each(|t| t.kick());
            group.threads.len() > 1
        };
        if others {
            self.set_exit_deadline(false);
        }
    }

    /// The other threads of the process (and this one, if `own_too`) must leave soon, or their host process is killed.
    pub(crate) fn set_exit_deadline(&self, own_too: bool) {
        let others = self.group.threads();
        let threads = others
            .iter()
            .filter(|t| own_too || !std::ptr::eq(t.as_ref(), self))
            .filter_map(|t| Some((Arc::downgrade(t), t.thread()?)))
            .collect();
        let timer = Arc::new_cyclic(|me: &Weak<ExitDeadline>| ExitDeadline {
            me: me.clone(),
            kernel: Arc::clone(&self.kernel),
            group: Arc::clone(&self.group),
            threads,
        });
        let wait = u64::try_from(EXIT_DEADLINE.as_nanos()).unwrap_or(u64::MAX);
        let at = Instant(self.kernel.timers.now().0.saturating_add(wait));
        // The timer is left to fire: with no thread left it does nothing.
        let _ = self.kernel.timers.schedule(at, PollEvents::IN, timer);
    }

    /// exit(2): the status counts if no other thread makes one later. The thread ends on its way back.
    pub fn set_exit_code(&self, code: i32) {
        if let Some(process) = self.kernel.tree.lock().process_mut(self.pid()) {
            process.last_status = Some(WaitStatus::exited(code));
        }
    }

    /// Ends the thread: everything that it holds is let go, then the host thread is told to go (unless it is gone).
    pub(crate) fn exit_thread(self: &Arc<Self>, thread: Option<&Arc<dyn Thread>>) {
        // Closing has effects on others: not under the lock.
        let files = std::mem::replace(&mut *self.files.lock(), crate::vfs::FdTable::bounded(self.kernel.memory()));
        drop(files);
        // What a call has half opened, too.
        let resume = std::mem::take(&mut *self.resume.lock());
        drop(resume);
        *self.exec.lock() = None;
        let fs = Arc::clone(&self.fs.lock());
        fs.ns.vfs.flight().let_go();
        self.kill_children_on_death();
        self.release_memory();
        // What is pending counts for its user, and others hold the group longer; dropped without the lock.
        let (last, _pending) = {
            let mut group = self.group.signals.lock();
            group.threads.retain(|t| !Arc::ptr_eq(t, self));
            let last = group.threads.is_empty();
            (last, last.then(|| std::mem::take(&mut group.shared)))
        };
        if last {
            self.group.keep_cpu_time(self.thread());
        }
        self.state.store(DEAD, SeqCst);
        self.kernel.tree.lock().remove_task(self);
        if last {
            self.end_process();
        } else {
            self.pass_on_signals();
        }
        self.group.exit_wait.wake(PollEvents::IN);
        *self.thread.lock() = None;
        if let Some(thread) = thread {
            let EndWords { clear_tid, robust_list } = thread.end_words();
            thread.reply(Reply::Exit { clear_tid, robust_list });
        }
        self.kernel.task_gone();
    }

    /// A vfork parent goes on.
    pub(crate) fn release_memory(&self) {
        self.released.store(true, SeqCst);
        self.release_wait.wake(PollEvents::IN);
    }

    /// Shared signals that woke this thread are for another one now; a stop may be complete without it.
    fn pass_on_signals(&self) {
        let group = self.group.signals.lock();
        if !group.shared.is_empty() || group.stop.is_some() || group.exec.is_some() {
            group.threads.iter().for_each(|t| t.kick());
        }
    }

    /// PR_SET_PDEATHSIG of children that this thread made.
    fn kill_children_on_death(&self) {
        let mut targets = Vec::new();
        {
            let tree = self.kernel.tree.lock();
            let children = tree.process(self.pid()).map_or(&[][..], |p| &p.children);
            for child in children
                .iter()
                .filter_map(|c| tree.process(*c))
                .filter(|c| c.creator == self.tid() && !(bevor_abi::mutated!("exit/pdeath-process") && self.tid() != self.pid()))
            {
                targets.push(Arc::clone(&child.group));
            }
        }
        for group in targets {
            for task in group.threads() {
                let signo = task.pdeath_signal.load(SeqCst);
                if signo != 0 {
                    let _ = group.send_signal(SigInfo::user(
                        signo,
                        signal::SI_USER,
                        bevor_abi::mutant!("exit/pdeath-sender", self.pid(), 0),
                        self.creds().uid,
                    ));
                    break;
                }
            }
        }
    }

    /// The last thread has ended: the process becomes a zombie.
    fn end_process(self: &Arc<Self>) {
        let pid = self.pid();
        self.group.itimers.lock().clear(true);
        let exit = self.group.signals.lock().exit;
        let times = *self.group.times.lock();
        let (orphans, heir, is_main) = {
            let mut tree = self.kernel.tree.lock();
            let orphans = tree.newly_orphaned(pid);
            let is_main = tree.main == pid;
            let heir = tree.reparent_children(pid);
            if let Some(process) = tree.process_mut(pid) {
                let status =
                    exit.or(bevor_abi::mutant!("exit/thread-code", process.last_status, None)).unwrap_or(WaitStatus::exited(0));
                process.stopped = None;
                process.continued = false;
                process.zombie = Some(Zombie { status, own: times.dead, children: times.children, reported: false });
            }
            (orphans, heir, is_main)
        };
        // A zombie has no strings, and its program may be written again. What goes is dropped after the lock.
        let image = std::mem::take(&mut *self.group.image.lock());
        drop(image);
        for group in orphans {
            if !bevor_abi::mutated!("exit/orphan-hup") {
                let _ = group.send_signal(SigInfo::kernel(SIGHUP));
            }
            if !bevor_abi::mutated!("exit/orphan-cont") {
                let _ = group.send_signal(SigInfo::kernel(SIGCONT));
            }
        }
        self.adopt(heir);
        if is_main {
            self.end_kernel();
        } else {
            notify_parent_of_exit(&self.kernel, pid);
        }
        // Who sees it so can wait for it.
        self.group.dead.store(true, SeqCst);
    }

    /// Tells the new parent of children about them: identities change, zombies are reported.
    fn adopt(&self, (heir, children): (i32, Vec<i32>)) {
        for child in children {
            let (group, dead) = {
                let tree = self.kernel.tree.lock();
                let Some(process) = tree.process(child) else { continue };
                // Who is ending right now will tell the new parent.
                (Arc::clone(&process.group), process.zombie.is_some_and(|zombie| zombie.reported))
            };
            debug_assert_ne!(heir, child);
            if dead && !bevor_abi::mutated!("exit/heir-untold") {
                notify_parent_of_exit(&self.kernel, child);
            }
            for task in group.threads() {
                task.publish_identity();
            }
        }
    }

    /// The main process has ended: everything else is killed, and the kernel's user hears of it once all are gone.
    fn end_kernel(&self) {
        let status = self.kernel.tree.lock().process(self.pid()).and_then(|p| p.zombie).map(|z| z.status);
        let rest = self.kernel.tree.lock().tasks();
        for task in &rest {
            task.begin_group_exit(WaitStatus::killed(SIGKILL));
            task.set_exit_deadline(true);
        }
        self.kernel.report_exit(status.unwrap_or(WaitStatus::exited(0)));
    }

    /// The platform could not make this new task's thread: it never was.
    pub(crate) fn clone_failed(self: &Arc<Self>) {
        let mut tree = self.kernel.tree.lock();
        tree.remove_task(self);
        let last = {
            let mut group = self.group.signals.lock();
            group.threads.retain(|t| !Arc::ptr_eq(t, self));
            group.threads.is_empty()
        };
        if last {
            tree.remove_process(self.pid());
        }
        drop(tree);
        *self.files.lock() = crate::vfs::FdTable::bounded(self.kernel.memory());
        self.release_memory();
        // It may have been heard of all the same.
        *self.thread.lock() = None;
    }
}

/// Whether the parent takes no notice of ended children: SIGCHLD ignored, or SA_NOCLDWAIT.
fn parent_ignores(parent: &ThreadGroup) -> bool {
    let action = parent.handlers().get(SIGCHLD);
    action.handler == SIG_IGN || action.flags & SA_NOCLDWAIT != 0
}

/// Sends the exit signal and wakes waiters; reaps at once if the parent does not care. Who finds the zombie has got the signal, and who
/// has got the signal finds the zombie.
pub(crate) fn notify_parent_of_exit(kernel: &Arc<Kernel>, pid: i32) {
    // What is removed is dropped after the lock.
    let (parent, queued, _removed) = {
        let mut tree = kernel.tree.lock();
        let Some(facts) = exit_facts(&tree, pid) else { return };
        let (parent, exit_signal, info) = facts;
        let reap = (exit_signal == SIGCHLD || bevor_abi::mutated!("exit/other-signal-reaped")) && parent_ignores(&parent);
        if let Some(zombie) = tree.process_mut(pid).and_then(|process| process.zombie.as_mut()) {
            zombie.reported = true;
        }
        let removed = if reap { tree.remove_process(pid) } else { None };
        debug_assert_eq!(removed.is_some(), reap);
        let ignored = reap && (bevor_abi::mutated!("chld/nocldwait-signal") || parent.handlers().get(SIGCHLD).handler == SIG_IGN);
        let quiet = exit_signal == 0 && !bevor_abi::mutated!("clone/quiet-exit");
        let info = if exit_signal == 0 { info.with_signo(SIGCHLD) } else { info };
        let queued = (!quiet && !ignored).then(|| parent.queue_signal(info));
        (parent, queued, removed)
    };
    if let Some(queued) = queued {
        let _ = parent.woken_by(queued);
    }
    parent.child_wait.wake(PollEvents::IN);
}

type ExitFacts = (Arc<ThreadGroup>, i32, SigInfo);

fn exit_facts(tree: &TaskTree, pid: i32) -> Option<ExitFacts> {
    let process = tree.process(pid)?;
    let zombie = process.zombie?;
    let parent = tree.process(process.parent)?;
    let (code, status) = match (zombie.status.signal(), zombie.status.code()) {
        (Some(signo), _) => (bevor_abi::mutant!("chld/killed-code", signal::CLD_KILLED, signal::CLD_EXITED), signo),
        (None, code) => (signal::CLD_EXITED, code.unwrap_or(0)),
    };
    let (utime, stime) = bevor_abi::mutant!("chld/no-times", zombie.own.ticks(), (0, 0));
    let info = SigInfo::child(code, pid, process.uid, status, utime, stime).with_signo(process.exit_signal);
    Some((Arc::clone(&parent.group), process.exit_signal, info))
}
