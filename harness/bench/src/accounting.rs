//! CPU time and members of everything that one run starts.
//!
//! A sandbox does its work in several processes, some of them no descendants of the one that was
//! started. A control group of its own per run counts them all. Where none can be made, the process
//! tree below this process is summed through `/proc`; this process then becomes the reaper of orphans
//! (`PR_SET_CHILD_SUBREAPER`), so that daemonised parts are seen, too.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use nix::sys::time::TimeValLike;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use procfs::process::{MountInfo, Process, all_processes};
use serde::{Deserialize, Serialize};

/// How CPU time is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// `cpuacct.usage` of a control group of version 1.
    CgroupV1,
    /// `usage_usec` in `cpu.stat` of a control group of version 2.
    CgroupV2,
    /// Sum over the process tree, from `/proc/PID/stat` and getrusage(2), in clock ticks.
    ProcTree,
}

impl Method {
    /// One line for people.
    pub fn describe(self) -> &'static str {
        match self {
            Self::CgroupV1 => "a cpuacct control group for each run",
            Self::CgroupV2 => "a version 2 control group for each run",
            Self::ProcTree => "the process tree through /proc, orphans included (in clock ticks)",
        }
    }
}

/// Makes a group for each run.
#[derive(Debug)]
pub(crate) struct Accounting {
    method: Method,
    parent: PathBuf,
}

impl Accounting {
    /// Finds the best method that works here.
    pub(crate) fn detect() -> Result<Self> {
        for (method, parent) in candidates() {
            let accounting = Self { method, parent };
            let works = accounting.group().is_ok_and(|group| group.cpu_ns().is_ok() && group.accepts_a_process());
            if works {
                return Ok(accounting);
            }
        }
        Self::proc_tree()
    }

    /// Accounting that works everywhere.
    fn proc_tree() -> Result<Self> {
        nix::sys::prctl::set_child_subreaper(true).context("PR_SET_CHILD_SUBREAPER")?;
        Ok(Self { method: Method::ProcTree, parent: PathBuf::new() })
    }

    /// The method in use.
    pub(crate) fn method(&self) -> Method {
        self.method
    }

    /// A fresh group without members.
    pub(crate) fn group(&self) -> Result<Group> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let only = only_children();
        let inner = match self.method {
            Method::ProcTree => Inner::Tree { ignored: descendants()?, reaped_before_ns: reaped_ns()? },
            Method::CgroupV1 | Method::CgroupV2 => {
                let number = NEXT.fetch_add(1, Ordering::Relaxed);
                let dir = self.parent.join(format!("bevor-bench.{}.{number}", std::process::id()));
                fs::create_dir(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
                Inner::Cgroup { dir, version_1: self.method == Method::CgroupV1 }
            }
        };
        Ok(Group { inner, _only: only })
    }
}

/// Held by each group and by whoever else starts processes: a [`Method::ProcTree`] group takes every
/// new process below this one for its own.
pub(crate) fn only_children() -> MutexGuard<'static, ()> {
    static ONLY: Mutex<()> = Mutex::new(());
    ONLY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Directories in which control groups might be made, best first: this process's own groups.
fn candidates() -> Vec<(Method, PathBuf)> {
    let Ok(me) = Process::myself() else {
        return Vec::new();
    };
    let (Ok(mounts), Ok(groups)) = (me.mountinfo(), me.cgroups()) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for mount in mounts {
        let version_1 = mount.fs_type == "cgroup" && mount.super_options.contains_key("cpuacct");
        let version_2 = mount.fs_type == "cgroup2";
        let own = groups.0.iter().find(|group| {
            (version_1 && group.controllers.iter().any(|name| name == "cpuacct")) || (version_2 && group.hierarchy == 0)
        });
        if let Some(own) = own {
            let method = if version_1 { Method::CgroupV1 } else { Method::CgroupV2 };
            found.push((method, directory_of(&mount, &own.pathname)));
        }
    }
    found.sort_by_key(|(method, _)| *method != Method::CgroupV1);
    found
}

/// Where the control group `path` is below `mount`, which may show only a part of the hierarchy.
fn directory_of(mount: &MountInfo, path: &str) -> PathBuf {
    let below = Path::new(path).strip_prefix(&mount.root).unwrap_or(Path::new(""));
    let below = below.strip_prefix("/").unwrap_or(below);
    mount.mount_point.join(below)
}

/// The processes of one run. Dropping it kills those that are left.
#[derive(Debug)]
pub(crate) struct Group {
    inner: Inner,
    _only: MutexGuard<'static, ()>,
}

#[derive(Debug)]
enum Inner {
    Cgroup {
        dir: PathBuf,
        version_1: bool,
    },
    Tree {
        /// Processes that were below this one before.
        ignored: HashSet<i32>,
        /// CPU time of earlier children.
        reaped_before_ns: u64,
    },
}

impl Group {
    /// The file into which a process writes "0" to become a member, if membership needs that.
    pub(crate) fn entrance(&self) -> io::Result<Option<File>> {
        match &self.inner {
            Inner::Cgroup { dir, .. } => File::options().write(true).open(dir.join("cgroup.procs")).map(Some),
            Inner::Tree { .. } => Ok(None),
        }
    }

    /// CPU time that the run's processes have used so far, in nanoseconds.
    pub(crate) fn cpu_ns(&self) -> Result<u64> {
        match &self.inner {
            Inner::Cgroup { dir, version_1: true } => {
                let text = fs::read_to_string(dir.join("cpuacct.usage"))?;
                text.trim().parse().context("bad cpuacct.usage")
            }
            Inner::Cgroup { dir, version_1: false } => parse_cpu_stat(&fs::read_to_string(dir.join("cpu.stat"))?),
            Inner::Tree { reaped_before_ns, .. } => {
                let ticks: u64 = self
                    .pids()?
                    .into_iter()
                    .filter_map(|pid| Process::new(pid).ok()?.stat().ok())
                    .map(|stat| stat.utime + stat.stime + reaped_ticks(stat.cutime) + reaped_ticks(stat.cstime))
                    .sum();
                let live_ns = ticks.saturating_mul(1_000_000_000 / procfs::ticks_per_second().max(1));
                Ok(live_ns + reaped_ns()?.saturating_sub(*reaped_before_ns))
            }
        }
    }

    /// The run's live processes.
    pub(crate) fn pids(&self) -> Result<Vec<i32>> {
        match &self.inner {
            Inner::Cgroup { dir, .. } => {
                let mut pids = Vec::new();
                collect_members(dir, &mut pids)?;
                Ok(pids)
            }
            Inner::Tree { ignored, .. } => Ok(descendants()?.difference(ignored).copied().collect()),
        }
    }

    /// How many processes below the run's first one are not counted because they left the group.
    pub(crate) fn escaped(&self, first: u32) -> Result<usize> {
        let members: HashSet<i32> = self.pids()?.into_iter().collect();
        let below = descendants_of(i32::try_from(first)?, &parents()?);
        Ok(below.difference(&members).count())
    }

    /// Kills every live process of the run.
    pub(crate) fn kill_all(&self) {
        for pid in self.pids().unwrap_or_default() {
            // A process that is gone already is what we want.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            if matches!(self.inner, Inner::Tree { .. }) {
                // Reaps an orphan that was given to us. The caller's own child has been waited for.
                let _ = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG));
            }
        }
    }

    /// Whether a process can be moved into the group (delegation and namespaces may forbid it).
    fn accepts_a_process(&self) -> bool {
        let Ok(Some(entrance)) = self.entrance() else {
            return false;
        };
        let mut command = std::process::Command::new("/bin/true");
        crate::launch::on_exec(&mut command, Some(entrance), None);
        command.status().is_ok_and(|status| status.success())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A killed process leaves its group a moment after the signal.
        for _ in 0..100 {
            self.kill_all();
            let gone = match &self.inner {
                Inner::Cgroup { dir, .. } => remove_tree(dir).is_ok(),
                Inner::Tree { .. } => self.pids().is_ok_and(|pids| pids.is_empty()),
            };
            if gone {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// `cutime` and `cstime` are signed in `/proc` although they never are negative.
fn reaped_ticks(ticks: i64) -> u64 {
    u64::try_from(ticks).unwrap_or(0)
}

/// CPU time of the children that this process has waited for.
fn reaped_ns() -> Result<u64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(u64::try_from(micros)?.saturating_mul(1000))
}

/// All live or zombie processes below this one.
fn descendants() -> Result<HashSet<i32>> {
    Ok(descendants_of(i32::try_from(std::process::id())?, &parents()?))
}

/// (process, parent) for all processes.
fn parents() -> Result<Vec<(i32, i32)>> {
    let stats = all_processes()?.filter_map(|process| process.ok()?.stat().ok());
    Ok(stats.map(|stat| (stat.pid, stat.ppid)).collect())
}

/// The transitive children of `root` among (process, parent) pairs.
fn descendants_of(root: i32, parents: &[(i32, i32)]) -> HashSet<i32> {
    let mut found = HashSet::new();
    let mut open = vec![root];
    while let Some(parent) = open.pop() {
        for &(pid, _) in parents.iter().filter(|&&(_, its_parent)| its_parent == parent) {
            if found.insert(pid) {
                open.push(pid);
            }
        }
    }
    found
}

fn parse_cpu_stat(text: &str) -> Result<u64> {
    let usec = text.lines().find_map(|line| line.strip_prefix("usage_usec ")).context("no usage_usec in cpu.stat")?;
    Ok(usec.trim().parse::<u64>()?.saturating_mul(1000))
}

/// The members of a control group and of those below it.
fn collect_members(dir: &Path, pids: &mut Vec<i32>) -> io::Result<()> {
    let text = fs::read_to_string(dir.join("cgroup.procs"))?;
    pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
    for entry in fs::read_dir(dir)?.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            // A group may vanish between the listing and the look into it.
            let _ = collect_members(&entry.path(), pids);
        }
    }
    Ok(())
}

fn remove_tree(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)?.flatten() {
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_stat_usage_is_in_microseconds() {
        let text = "usage_usec 1234\nuser_usec 1000\nsystem_usec 234\n";
        assert_eq!(parse_cpu_stat(text).unwrap(), 1_234_000);
        assert!(parse_cpu_stat("user_usec 1000\n").is_err());
    }

    #[test]
    fn descendants_are_transitive_and_exclude_strangers() {
        let parents = [(10, 1), (11, 10), (12, 11), (13, 1), (14, 13), (10, 1)];
        assert_eq!(descendants_of(10, &parents), HashSet::from([11, 12]));
    }

    /// The inner shell burns CPU as an orphan after the outer one has ended.
    fn time_of_an_orphan(accounting: &Accounting) {
        let group = accounting.group().unwrap();
        let script = "(sh -c 'i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; echo end spun' &)";
        let launch = crate::launch::Launch {
            argv: ["/bin/sh", "-c", script].map(Into::into).to_vec(),
            pin: None,
            timeout: Duration::from_secs(60),
        };
        let mut used = None;
        crate::launch::run(&launch, &group, &mut |line, _| {
            assert_eq!(line, "end spun");
            used = Some(group.cpu_ns()?);
            Ok(())
        })
        .unwrap();
        let used = used.unwrap();
        assert!(used >= 10_000_000, "only {used} ns were counted");
    }

    #[test]
    fn the_detected_method_counts_orphans() {
        time_of_an_orphan(&Accounting::detect().unwrap());
    }

    #[test]
    fn the_process_tree_counts_orphans() {
        time_of_an_orphan(&Accounting::proc_tree().unwrap());
    }

    #[test]
    fn a_process_that_leaves_its_control_group_is_noticed() {
        let accounting = Accounting::detect().unwrap();
        if accounting.method() == Method::ProcTree {
            return; // There is nothing to leave.
        }
        let outside = accounting.parent.join("cgroup.procs");
        let stay = "sleep 1000 & echo up; wait";
        let leave = format!("sh -c 'echo $$ > {} && echo up && exec sleep 1000' & wait", outside.display());
        for (script, expected) in [(stay, 0), (leave.as_str(), 1)] {
            let group = accounting.group().unwrap();
            let launch = crate::launch::Launch {
                argv: ["/bin/sh", "-c", script].map(Into::into).to_vec(),
                pin: None,
                timeout: Duration::from_secs(60),
            };
            let mut escaped = None;
            // The error ends the run.
            crate::launch::run(&launch, &group, &mut |_, first| {
                escaped = Some(group.escaped(first)?);
                for pid in descendants_of(i32::try_from(first)?, &parents()?) {
                    kill(Pid::from_raw(pid), Signal::SIGKILL)?;
                }
                anyhow::bail!("seen")
            })
            .unwrap_err();
            assert_eq!(escaped, Some(expected), "{script}");
        }
    }

    #[test]
    fn dropping_a_group_kills_what_is_left_of_it() {
        for accounting in [Accounting::detect().unwrap(), Accounting::proc_tree().unwrap()] {
            let group = accounting.group().unwrap();
            let launch = crate::launch::Launch {
                argv: ["/bin/sh", "-c", "sleep 1000 >/dev/null 2>&1 & echo $!"].map(Into::into).to_vec(),
                pin: None,
                timeout: Duration::from_secs(60),
            };
            let mut orphan = String::new();
            crate::launch::run(&launch, &group, &mut |line, _| {
                orphan = line.to_owned();
                Ok(())
            })
            .unwrap();
            let alive = || Process::new(orphan.parse().unwrap()).is_ok_and(|process| process.is_alive());
            assert!(alive(), "the positive control died early");
            drop(group);
            assert!(!alive(), "process {orphan} lives on");
        }
    }
}
