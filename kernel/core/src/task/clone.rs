//! clone(2), clone3(2), fork(2), vfork(2).

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use bevor_abi::Errno;
use bevor_abi::process::{self as abi, RLIMIT_NPROC};
use bevor_abi::signal::{KernelSigaction, NSIG, SIG_IGN, SIGCHLD, bit};
use bevor_platform::{CloneOp, Defence, Thread};

use super::tree::{Process, TaskTree};
use super::{SchedAttributes, Task, TaskInit, ThreadGroup};
use crate::creds::Capability;
use crate::memory::{Kind, ObjectCharge};
use crate::signal::action::SignalHandlers;

/// What clone(2) and clone3(2) ask for, in one form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CloneRequest {
    /// CLONE_* without the signal.
    pub flags: u64,
    /// Sent to the parent at the child's end, 0 for none.
    pub exit_signal: i32,
    /// New stack pointer, 0 to inherit.
    pub stack: u64,
    /// CLONE_SETTLS.
    pub tls: u64,
    /// CLONE_PARENT_SETTID.
    pub parent_tid: u64,
    /// CLONE_CHILD_SETTID, CLONE_CHILD_CLEARTID.
    pub child_tid: u64,
}

/// Checks combinations of flags as Linux's `copy_process` does.
///
/// # Errors
/// EINVAL; EPERM for namespaces without CAP_SYS_ADMIN.
pub fn check_flags(flags: u64, parent_is_init: bool, may_unshare: bool) -> Result<(), Errno> {
    let has = |bits: u64| flags & bits == bits;
    let bad = has(abi::CLONE_NEWNS | abi::CLONE_FS)
        || has(abi::CLONE_NEWUSER | abi::CLONE_FS)
        || has(abi::CLONE_THREAD) && !has(abi::CLONE_SIGHAND)
        || has(abi::CLONE_SIGHAND) && !has(abi::CLONE_VM)
        || has(abi::CLONE_PARENT) && parent_is_init
        || has(abi::CLONE_THREAD) && flags & (abi::CLONE_NEWUSER | abi::CLONE_NEWPID) != 0
        || has(abi::CLONE_CLEAR_SIGHAND | abi::CLONE_SIGHAND) && !bevor_abi::mutated!("clone/clear-sighand-both");
    if bad {
        return Err(Errno::EINVAL);
    }
    let namespaces = flags & abi::CLONE_NEW_ANY;
    if namespaces & !abi::CLONE_NEWUSER != 0 && !may_unshare && namespaces & abi::CLONE_NEWUSER == 0 {
        return Err(Errno::EPERM);
    }
    // Like a kernel without namespaces; pidfds and cgroups come with their file types.
    if namespaces != 0 || flags & (abi::CLONE_PIDFD | abi::CLONE_INTO_CGROUP) != 0 {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

impl Task {
    /// Makes the child of a clone, in all tables but not yet running, and what the platform needs to start it.
    ///
    /// # Errors
    /// EINVAL, EPERM, EAGAIN as in clone(2).
    pub fn clone_task(self: &Arc<Self>, thread: &Arc<dyn Thread>, request: &CloneRequest) -> Result<(CloneOp, Arc<Task>), Errno> {
        let flags = request.flags;
        let has = |bit: u64| flags & bit != 0;
        let creds = self.creds();
        let is_init = self.group.signals.lock().unkillable;
        check_flags(flags, is_init, creds.capable(Capability::SysAdmin))?;
        let mask = thread.sigmask();
        let mut tree = self.kernel.tree.lock();
        self.check_process_limit(&tree)?;
        let charge = self.kernel.memory().object(Kind::Task)?;
        let tid = tree.allocate_pid()?;
        // A process counts until it is waited for, so that its group keeps the charge.
        let (group, charge) = if has(abi::CLONE_THREAD) {
            (Arc::clone(&self.group), Some(charge))
        } else {
            (self.fork_group(tid, flags, charge), None)
        };
        let files = if has(abi::CLONE_FILES) { Arc::clone(&self.files.lock()) } else { self.files.lock().fork()? };
        let fs = if has(abi::CLONE_FS) && !bevor_abi::mutated!("fork/umask-shared") {
            Arc::clone(&self.fs.lock())
        } else {
            self.fs.lock().fork()
        };
        let child = Task::new(
            &self.kernel,
            TaskInit {
                tid,
                group: Arc::clone(&group),
                files,
                fs,
                creds: Arc::clone(&creds),
                mask,
                name: bevor_abi::mutant!("fork/name", *self.name.lock(), [0; 16]),
                charge,
            },
        );
        self.inherit(&child, request);
        {
            let mut signals = group.signals.lock();
            if has(abi::CLONE_THREAD) && (signals.exit.is_some() || signals.exec.is_some()) {
                return Err(Errno::EAGAIN);
            }
            signals.threads.push(Arc::clone(&child));
        }
        tree.add_task(&child);
        if !has(abi::CLONE_THREAD) {
            let process = self.child_process(&tree, group, request, creds.uid);
            tree.add_process(process);
        }
        let op = CloneOp {
            share_vm: has(abi::CLONE_VM),
            stack: request.stack,
            tls: has(abi::CLONE_SETTLS).then_some(request.tls),
            parent_tid: has(abi::CLONE_PARENT_SETTID).then_some(request.parent_tid),
            child_tid: has(abi::CLONE_CHILD_SETTID).then_some(request.child_tid),
            tid,
            hold_parent: has(abi::CLONE_VFORK) && !bevor_abi::mutated!("vfork/parent-runs"),
        };
        Ok((op, child))
    }

    fn check_process_limit(&self, tree: &TaskTree) -> Result<(), Errno> {
        let creds = self.creds();
        let limit = self.group.rlimit(RLIMIT_NPROC).cur;
        let privileged = creds.uid == 0 || creds.capable(Capability::SysResource) || creds.capable(Capability::SysAdmin);
        let enforced = self.kernel.options.defences.has(Defence::Processes);
        if privileged || limit == abi::RLIM_INFINITY || !enforced {
            return Ok(());
        }
        if crate::num::to_u64(tree.count_at_most()) < limit {
            // Whosever they are.
            return Ok(());
        }
        let count = tree.count_of(creds.uid);
        if bevor_abi::mutant!("fork/nproc-boundary", crate::num::to_u64(count) >= limit, crate::num::to_u64(count) > limit) {
            Err(Errno::EAGAIN)
        } else {
            Ok(())
        }
    }

    fn fork_group(&self, pid: i32, flags: u64, charge: ObjectCharge) -> Arc<ThreadGroup> {
        let own = self.group.handlers();
        let handlers = if flags & abi::CLONE_SIGHAND != 0 && !bevor_abi::mutated!("clone/sighand-copied") {
            own
        } else {
            let copy = own.copy();
            if flags & abi::CLONE_CLEAR_SIGHAND != 0 {
                copy.reset_caught();
                for signo in (1..=NSIG).filter(|_| bevor_abi::mutated!("action/clear-sighand")) {
                    copy.set(signo, KernelSigaction::default());
                }
            }
            Arc::new(copy)
        };
        let group = ThreadGroup::new(pid, handlers, *self.group.rlimits.lock(), Some(charge));
        *group.image.lock() = Arc::clone(&self.group.image.lock());
        *group.image_creds.lock() = self.group.image_creds.lock().clone();
        group.dumpable.store(bevor_abi::mutant!("fork/dumpable", self.group.dumpable.load(SeqCst), 1), SeqCst);
        group.borrows_memory.store(flags & abi::CLONE_VM != 0, SeqCst);
        group
    }

    fn inherit(&self, child: &Arc<Task>, request: &CloneRequest) {
        if request.flags & abi::CLONE_CHILD_CLEARTID != 0 {
            child.clear_tid.store(request.child_tid, SeqCst);
        }
        child.pace.inherit(&self.pace, (request.flags & abi::CLONE_THREAD == 0).then_some(&self.group.alarm));
        child.personality.store(bevor_abi::mutant!("fork/personality", self.personality.load(SeqCst), 0), SeqCst);
        if bevor_abi::mutated!("fork/pdeath") {
            child.pdeath_signal.store(self.pdeath_signal.load(SeqCst), SeqCst);
        }
        let slack = bevor_abi::mutant!("fork/timer-slack", self.timer_slack.load(SeqCst), 50_000);
        child.timer_slack.store(slack, SeqCst);
        child.default_slack.store(slack, SeqCst);
        let sched = *self.sched.lock();
        *child.sched.lock() = match sched {
            sched if !sched.reset_on_fork => SchedAttributes { nice: bevor_abi::mutant!("clone/nice", sched.nice, 0), ..sched },
            sched if sched.is_realtime() => {
                SchedAttributes { reset_on_fork: bevor_abi::mutated!("fork/reset-flag"), ..Default::default() }
            }
            sched => SchedAttributes {
                nice: bevor_abi::mutant!("fork/reset-nice", sched.nice.max(0), 0),
                reset_on_fork: bevor_abi::mutated!("fork/reset-flag"),
                ..sched
            },
        };
    }

    fn child_process(&self, tree: &TaskTree, group: Arc<ThreadGroup>, request: &CloneRequest, uid: u32) -> Process {
        let me = tree.process(self.pid());
        let (pgid, sid) = me.map_or((0, 0), |p| (p.pgid, p.sid));
        let sibling = request.flags & abi::CLONE_PARENT != 0;
        let (parent, creator, exit_signal) = match me {
            Some(p) if sibling => {
                (p.parent, p.creator, bevor_abi::mutant!("clone/parent-signal", p.exit_signal, request.exit_signal))
            }
            _ => (self.pid(), self.tid(), request.exit_signal),
        };
        Process {
            group,
            parent,
            creator,
            children: Vec::new(),
            pgid,
            sid,
            exit_signal,
            last_status: None,
            zombie: None,
            stopped: None,
            continued: false,
            subreaper: bevor_abi::mutated!("prctl/subreaper-inherited") && me.is_some_and(|p| p.subreaper),
            execed: false,
            uid,
        }
    }
}

/// The kernel's own process 1: it has no threads, inherits orphans, and forgets them when they end.
///
/// # Errors
/// EAGAIN if there is no pid.
fn make_reaper(tree: &mut TaskTree, limits: [abi::Rlimit; abi::RLIM_NLIMITS]) -> Result<i32, Errno> {
    let pid = tree.allocate_pid()?;
    let handlers = SignalHandlers::default();
    handlers.set(SIGCHLD, KernelSigaction { handler: SIG_IGN, ..KernelSigaction::default() });
    let group = ThreadGroup::new(pid, Arc::new(handlers), limits, None);
    tree.add_process(plain_process(group, 0, pid, 0));
    tree.init = pid;
    Ok(pid)
}

fn plain_process(group: Arc<ThreadGroup>, parent: i32, pgid: i32, uid: u32) -> Process {
    Process {
        group,
        parent,
        creator: parent,
        children: Vec::new(),
        pgid,
        sid: pgid,
        exit_signal: SIGCHLD,
        last_status: None,
        zombie: None,
        stopped: None,
        continued: false,
        subreaper: false,
        execed: true,
        uid,
    }
}

/// The first process that runs application code, in a session of its own; the kernel ends with it. Its parent is process 1, which is
/// the kernel's own. It is not running yet.
///
/// # Errors
/// EAGAIN if there is no pid.
pub fn make_main(kernel: &Arc<crate::kernel::Kernel>, init: MainTask) -> Result<Arc<Task>, Errno> {
    let mut tree = kernel.tree.lock();
    let reaper = make_reaper(&mut tree, init.rlimits)?;
    let pid = tree.allocate_pid()?;
    let handlers = SignalHandlers::default();
    for signo in (1..=NSIG).filter(|s| bit(*s) & init.ignored != 0) {
        handlers.set(signo, KernelSigaction { handler: SIG_IGN, ..KernelSigaction::default() });
    }
    let group = ThreadGroup::new(pid, Arc::new(handlers), init.rlimits, None);
    let uid = init.creds.uid;
    let task = Task::new(
        kernel,
        TaskInit {
            tid: pid,
            group: Arc::clone(&group),
            files: init.files,
            fs: init.fs,
            creds: init.creds,
            mask: init.mask,
            name: [0; 16],
            charge: None,
        },
    );
    {
        let mut signals = group.signals.lock();
        signals.threads.push(Arc::clone(&task));
        signals.unkillable = init.unkillable;
    }
    tree.add_task(&task);
    tree.add_process(plain_process(group, reaper, pid, uid));
    tree.main = pid;
    Ok(task)
}

/// What the first process starts with.
pub struct MainTask {
    /// Descriptors.
    pub files: Arc<crate::vfs::FdTable>,
    /// Root and working directory.
    pub fs: Arc<crate::vfs::FsContext>,
    /// Credentials.
    pub creds: Arc<crate::creds::Credentials>,
    /// Limits.
    pub rlimits: [abi::Rlimit; abi::RLIM_NLIMITS],
    /// Blocked signals.
    pub mask: u64,
    /// Ignored signals.
    pub ignored: u64,
    /// Signals without a handler do not touch it, as pid 1 of a pid namespace.
    pub unkillable: bool,
}
