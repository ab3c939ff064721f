//! Who is whose child: pids, parents, process groups, sessions.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bevor_abi::Errno;
use bevor_abi::signal::SIGCHLD;

use super::{CpuTime, Task, ThreadGroup, WaitStatus};

/// One past the highest pid (the default kernel.pid_max of 64-bit Linux).
pub const PID_MAX: i32 = 4_194_304;
/// Pids below are not reused.
const RESERVED_PIDS: i32 = 300;

/// A process that has ended and was not waited for.
#[derive(Clone, Copy, Debug)]
pub struct Zombie {
    /// What wait4(2) reports.
    pub status: WaitStatus,
    /// CPU time of the process.
    pub own: CpuTime,
    /// CPU time of its waited-for children.
    pub children: CpuTime,
    /// Its parent can have heard of it: before that there is nothing to wait for.
    pub reported: bool,
}

/// A process and its relations.
pub struct Process {
    /// The process.
    pub group: Arc<ThreadGroup>,
    /// Parent's pid; 0 for init.
    pub parent: i32,
    /// The thread of the parent that made it (__WNOTHREAD, PR_SET_PDEATHSIG).
    pub creator: i32,
    /// Children, oldest first.
    pub children: Vec<i32>,
    /// Process group.
    pub pgid: i32,
    /// Session.
    pub sid: i32,
    /// Sent to the parent at the end; 0 for none.
    pub exit_signal: i32,
    /// Of the thread that has made an exit(2) last.
    pub last_status: Option<WaitStatus>,
    /// Set at the end.
    pub zombie: Option<Zombie>,
    /// A stop not yet reported to a waiter.
    pub stopped: Option<i32>,
    /// A continuation not yet reported to a waiter.
    pub continued: bool,
    /// PR_SET_CHILD_SUBREAPER.
    pub subreaper: bool,
    /// It has made an execve since its fork (setpgid(2) EACCES).
    pub execed: bool,
    /// The user id for `si_uid`.
    pub uid: u32,
}

/// All processes and threads.
#[derive(Default)]
pub struct TaskTree {
    tids: HashMap<i32, Arc<Task>>,
    procs: BTreeMap<i32, Process>,
    /// Process groups and members.
    groups: BTreeSet<(i32, i32)>,
    /// Sessions and members.
    sessions: BTreeSet<(i32, i32)>,
    last_pid: i32,
    wrapped: bool,
    /// Pid of the process that inherits orphans, 0 before there is one.
    pub init: i32,
    /// Pid of the process whose end is the end of the kernel.
    pub main: i32,
}

impl TaskTree {
    /// A free pid.
    ///
    /// # Errors
    /// EAGAIN if all are taken.
    pub fn allocate_pid(&mut self) -> Result<i32, Errno> {
        for _ in 0..PID_MAX {
            self.last_pid += 1;
            if self.last_pid >= PID_MAX {
                self.last_pid = RESERVED_PIDS;
                self.wrapped = true;
            }
            let pid = self.last_pid;
            // Names of process groups and sessions outlive their leaders, but only old numbers can be such names.
            let named = self.wrapped && (self.has_group(pid) || self.has_session(pid));
            if !named && !self.tids.contains_key(&pid) && !self.procs.contains_key(&pid) {
                return Ok(pid);
            }
        }
        Err(Errno::EAGAIN)
    }

    /// Adds a process; a child of `process.parent`.
    pub fn add_process(&mut self, process: Process) {
        let pid = process.group.pid;
        if let Some(parent) = self.procs.get_mut(&process.parent) {
            parent.children.push(pid);
        }
        self.groups.insert((process.pgid, pid));
        self.sessions.insert((process.sid, pid));
        self.procs.insert(pid, process);
    }

    /// Removes a process that was waited for.
    pub fn remove_process(&mut self, pid: i32) -> Option<Process> {
        let process = self.procs.remove(&pid)?;
        self.groups.remove(&(process.pgid, pid));
        self.sessions.remove(&(process.sid, pid));
        if let Some(parent) = self.procs.get_mut(&process.parent) {
            parent.children.retain(|c| *c != pid);
        }
        Some(process)
    }

    /// Makes a task findable by its tid.
    pub fn add_task(&mut self, task: &Arc<Task>) {
        self.tids.insert(task.tid(), Arc::clone(task));
    }

    /// Forgets a tid, if it is still this task's.
    pub fn remove_task(&mut self, task: &Arc<Task>) {
        if self.tids.get(&task.tid()).is_some_and(|t| Arc::ptr_eq(t, task)) {
            self.tids.remove(&task.tid());
        }
    }

    /// The live task `tid`.
    #[must_use]
    pub fn task(&self, tid: i32) -> Option<Arc<Task>> {
        self.tids.get(&tid).cloned()
    }

    /// All live tasks.
    #[must_use]
    pub fn tasks(&self) -> Vec<Arc<Task>> {
        self.tids.values().cloned().collect()
    }

    /// How many tasks and zombies there are, or a few more.
    #[must_use]
    pub fn count_at_most(&self) -> usize {
        self.tids.len() + self.procs.len()
    }

    /// How many tasks and zombies the user `uid` has (RLIMIT_NPROC).
    #[must_use]
    pub fn count_of(&self, uid: u32) -> usize {
        let dead = self.procs.values().filter(|p| p.zombie.is_some() && p.uid == uid && !self.tids.contains_key(&p.group.pid));
        self.tids.values().filter(|t| t.creds().uid == uid).count() + dead.count()
    }

    /// The process `pid`, zombies too.
    #[must_use]
    pub fn process(&self, pid: i32) -> Option<&Process> {
        self.procs.get(&pid)
    }

    /// The process `pid`, to change it.
    pub fn process_mut(&mut self, pid: i32) -> Option<&mut Process> {
        self.procs.get_mut(&pid)
    }

    /// All processes, by pid.
    pub fn processes(&self) -> impl Iterator<Item = &Process> {
        self.procs.values()
    }

    /// The ids of processes from `first` on, ascending, at most `most`.
    #[must_use]
    pub fn pids(&self, first: i32, most: usize) -> Vec<i32> {
        self.procs.range(first..).take(most).map(|(pid, _)| *pid).collect()
    }

    /// The highest id of a process.
    #[must_use]
    pub fn last_pid(&self) -> i32 {
        self.procs.last_key_value().map_or(0, |(pid, _)| *pid)
    }

    /// How many tasks are alive.
    #[must_use]
    pub fn task_count(&self) -> usize {
        self.tids.len()
    }

    /// The parent's pid as getppid(2) gives it, 0 for init.
    #[must_use]
    pub fn parent_of(&self, pid: i32) -> i32 {
        self.procs.get(&pid).map_or(0, |p| p.parent)
    }

    /// The members of a process group, by pid, zombies too.
    fn members(&self, pgid: i32) -> impl Iterator<Item = &Process> {
        self.groups.range((pgid, i32::MIN)..=(pgid, i32::MAX)).filter_map(|(_, pid)| self.procs.get(pid))
    }

    fn has_group(&self, pgid: i32) -> bool {
        self.groups.range((pgid, i32::MIN)..=(pgid, i32::MAX)).next().is_some()
    }

    fn has_session(&self, sid: i32) -> bool {
        self.sessions.range((sid, i32::MIN)..=(sid, i32::MAX)).next().is_some()
    }

    /// Puts a process into a group.
    fn join(&mut self, pid: i32, pgid: i32) -> Option<&mut Process> {
        let process = self.procs.get_mut(&pid)?;
        self.groups.remove(&(process.pgid, pid));
        self.groups.insert((pgid, pid));
        process.pgid = pgid;
        Some(process)
    }

    /// The members of a process group.
    #[must_use]
    pub fn group_members(&self, pgid: i32) -> Vec<Arc<ThreadGroup>> {
        self.members(pgid).map(|p| Arc::clone(&p.group)).collect()
    }

    /// Whether nobody outside the process group of `pid`, but in its session, is parent of a member (POSIX "orphaned").
    #[must_use]
    pub fn is_orphaned_group_of(&self, pid: i32) -> bool {
        let Some(process) = self.procs.get(&pid) else { return true };
        self.is_orphaned(process.pgid, None)
    }

    /// Whether the group `pgid` is orphaned, not counting `except`.
    #[must_use]
    pub fn is_orphaned(&self, pgid: i32, except: Option<i32>) -> bool {
        !self.members(pgid).any(|p| {
            let dead = p.zombie.is_some() || Some(p.group.pid) == except;
            let parent = self.procs.get(&p.parent);
            !dead && p.parent != self.init && parent.is_some_and(|q| q.pgid != pgid && q.sid == p.sid)
        })
    }

    /// Whether the group has a member that is stopped.
    fn has_stopped(&self, pgid: i32) -> bool {
        self.members(pgid).any(|p| p.zombie.is_none() && p.group.signals.lock().stop.is_some())
    }

    /// Groups that the end of `pid` leaves orphaned with stopped members: they get SIGHUP and SIGCONT.
    #[must_use]
    pub fn newly_orphaned(&self, pid: i32) -> Vec<Arc<ThreadGroup>> {
        let heir = self.heir_of(pid);
        let Some(process) = self.procs.get(&pid) else {
            return Vec::new();
        };
        let mut pgids: Vec<i32> = process
            .children
            .iter()
            .filter_map(|c| self.procs.get(c))
            .filter(|c| c.sid == process.sid && c.pgid != process.pgid)
            .map(|c| c.pgid)
            .collect();
        let parent = self.procs.get(&process.parent);
        if parent.is_some_and(|q| q.sid == process.sid && q.pgid != process.pgid) {
            pgids.push(process.pgid);
        }
        pgids.sort_unstable();
        pgids.dedup();
        pgids
            .into_iter()
            .filter(|pgid| self.orphaned_without(*pgid, pid, heir) && self.has_stopped(*pgid))
            .flat_map(|pgid| self.group_members(pgid))
            .filter(|g| g.pid != pid)
            .collect()
    }

    /// As `is_orphaned`, with `pid` not counted as a member, and its children as those of `heir`.
    fn orphaned_without(&self, pgid: i32, pid: i32, heir: i32) -> bool {
        !self.members(pgid).filter(|p| p.group.pid != pid && p.zombie.is_none()).any(|p| {
            let parent = if p.parent == pid { heir } else { p.parent };
            parent != self.init && self.procs.get(&parent).is_some_and(|q| q.pgid != pgid && q.sid == p.sid)
        })
    }

    /// Who gets the children of `pid`: its nearest subreaper, or init.
    fn heir_of(&self, pid: i32) -> i32 {
        let mut at = self.parent_of(pid);
        while let Some(process) = self.procs.get(&at) {
            if process.subreaper && process.zombie.is_none() {
                return at;
            }
            if bevor_abi::mutated!("exit/near-subreaper") {
                break;
            }
            at = process.parent;
        }
        self.init
    }

    /// Gives the children of `pid` to its nearest subreaper or to init. Returns the new parent and the children.
    pub fn reparent_children(&mut self, pid: i32) -> (i32, Vec<i32>) {
        let heir = self.heir_of(pid);
        let children = self.procs.get_mut(&pid).map(|p| std::mem::take(&mut p.children)).unwrap_or_default();
        let creator = heir;
        for child in &children {
            if let Some(process) = self.procs.get_mut(child) {
                process.parent = heir;
                process.creator = creator;
                // A child made with another exit signal becomes an ordinary one.
                process.exit_signal = bevor_abi::mutant!("exit/orphan-signal", SIGCHLD, process.exit_signal);
            }
        }
        if let Some(process) = self.procs.get_mut(&heir) {
            process.children.extend(&children);
        }
        (heir, children)
    }

    /// setsid(2).
    ///
    /// # Errors
    /// EPERM if the process leads a group, or a group of its id exists.
    pub fn set_session(&mut self, pid: i32) -> Result<i32, Errno> {
        if self.has_group(pid) && !bevor_abi::mutated!("setsid/leader-of-group") {
            return Err(Errno::EPERM);
        }
        let process = self.join(pid, pid).ok_or(Errno::ESRCH)?;
        let former = std::mem::replace(&mut process.sid, pid);
        self.sessions.remove(&(former, pid));
        self.sessions.insert((pid, pid));
        Ok(pid)
    }

    /// setpgid(2) by process `caller`; zero arguments stand for it.
    ///
    /// # Errors
    /// EINVAL, ESRCH, EPERM, EACCES as in setpgid(2).
    pub fn set_group(&mut self, caller: i32, pid: i32, pgid: i32) -> Result<(), Errno> {
        let pid = if pid == 0 { caller } else { pid };
        let pgid = if pgid == 0 { pid } else { pgid };
        if pgid < 0 {
            return Err(bevor_abi::mutant!("setpgid/negative", Errno::EINVAL, Errno::EPERM));
        }
        let caller_sid = self.procs.get(&caller).ok_or(Errno::ESRCH)?.sid;
        // Of a process's threads only the leader can be named.
        let missing = if self.tids.contains_key(&pid) { Errno::EINVAL } else { Errno::ESRCH };
        let process = self.procs.get(&pid).ok_or(missing)?;
        if process.parent == caller {
            if process.sid != caller_sid && !bevor_abi::mutated!("setpgid/child-session") {
                return Err(Errno::EPERM);
            }
            if process.execed {
                return Err(Errno::EACCES);
            }
        } else if pid != caller {
            return Err(Errno::ESRCH);
        }
        if process.sid == pid && !bevor_abi::mutated!("setpgid/leader") {
            return Err(Errno::EPERM);
        }
        if pgid != pid && !self.members(pgid).any(|p| p.sid == caller_sid || bevor_abi::mutated!("setpgid/other-session")) {
            return Err(Errno::EPERM);
        }
        self.join(pid, pgid);
        Ok(())
    }
}
