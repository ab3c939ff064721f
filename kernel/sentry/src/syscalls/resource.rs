//! Resource limits, usage, priorities, scheduling.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use bevor_abi::process::{RLIM_NLIMITS, RLIMIT_AS, RLIMIT_DATA, RLIMIT_NICE, RLIMIT_NOFILE, RLIMIT_RTPRIO, Rlimit};
use bevor_abi::{Errno, UserAddr};
use bevor_core::context::SyscallContext;
use bevor_core::creds::{Capability, Credentials};
use bevor_core::error::SyscallResult;
use bevor_core::num::to_u64;
use bevor_core::task::{SchedAttributes, Task, ThreadGroup};
use bevor_hostcall::host;

use super::process::rusage;

/// Largest RLIMIT_NOFILE (fs.nr_open).
const NR_OPEN: u64 = 1_048_576;

fn resource_index(resource: u32) -> Result<usize, Errno> {
    usize::try_from(resource).ok().filter(|r| *r < RLIM_NLIMITS).ok_or(Errno::EINVAL)
}

fn set_limit(ctx: &SyscallContext<'_>, group: &ThreadGroup, resource: usize, new: Rlimit) -> Result<(), Errno> {
    if new.cur > new.max {
        return Err(Errno::EINVAL);
    }
    if resource == RLIMIT_NOFILE && bevor_abi::mutant!("rlimit/nr-open", new.max > NR_OPEN, new.max >= NR_OPEN) {
        return Err(Errno::EPERM);
    }
    let mut limits = group.rlimits.lock();
    if new.max > limits[resource].max
        && !bevor_abi::mutated!("prlimit/raise-hard")
        && !ctx.task.creds().capable(Capability::SysResource)
    {
        return Err(Errno::EPERM);
    }
    limits[resource] = new;
    drop(limits);
    if resource == RLIMIT_AS && !bevor_abi::mutated!("prlimit/address-space") || resource == RLIMIT_DATA {
        bound_memory(ctx, group);
    }
    Ok(())
}

/// Has the host enforce new limits on memory. A vfork child shares its parent's memory, which the child's limits are not for: they wait
/// for its execve.
fn bound_memory(ctx: &SyscallContext<'_>, group: &ThreadGroup) {
    let Some(space) = group.threads().iter().find_map(|task| task.thread()).map(|thread| thread.space()) else { return };
    let tasks = ctx.task.kernel.tasks();
    let shares = |task: &Task| task.pid() != group.pid && task.thread().is_some_and(|t| t.space().id() == space.id());
    if !tasks.iter().any(|task| shares(task)) {
        group.bound_memory(&*space);
    }
}

/// getrlimit(2).
pub fn getrlimit(ctx: &mut SyscallContext<'_>, resource: u32, out: UserAddr) -> SyscallResult {
    let limit = ctx.task.group.rlimit(resource_index(resource)?);
    ctx.copy_out_value(out, &limit)?;
    Ok(0)
}

/// setrlimit(2).
pub fn setrlimit(ctx: &mut SyscallContext<'_>, resource: u32, new: UserAddr) -> SyscallResult {
    let new: Rlimit = ctx.copy_in_value(new)?;
    set_limit(ctx, &ctx.task.group, resource_index(resource)?, new)?;
    Ok(0)
}

/// prlimit64(2).
pub fn prlimit64(ctx: &mut SyscallContext<'_>, pid: i32, resource: u32, new: UserAddr, old: UserAddr) -> SyscallResult {
    let new: Option<Rlimit> = if new.is_null() { None } else { Some(ctx.copy_in_value(new)?) };
    if bevor_abi::mutated!("prlimit/resource-order") {
        resource_index(resource)?;
    }
    let target = find(ctx, pid)?;
    if target.pid() != ctx.task.pid() {
        let (own, other) = (ctx.task.creds(), target.creds());
        let same = [
            other.uid,
            bevor_abi::mutant!("prlimit/foreign", other.euid, other.uid),
            bevor_abi::mutant!("prlimit/foreign", other.suid, other.uid),
        ]
        .iter()
        .all(|u| *u == own.uid)
            && [other.gid, other.egid, other.sgid].iter().all(|g| *g == own.gid);
        if !same && !own.capable(Capability::SysResource) {
            return Err(Errno::EPERM.into());
        }
    }
    let resource = resource_index(resource)?;
    let before = target.group.rlimit(resource);
    if let Some(new) = new {
        set_limit(ctx, &target.group, resource, new)?;
    }
    if !old.is_null() {
        let before = bevor_abi::mutant!("prlimit/old-is-new", before, target.group.rlimit(resource));
        ctx.copy_out_value(old, &before)?;
    }
    Ok(0)
}

/// getrusage(2).
pub fn getrusage(ctx: &mut SyscallContext<'_>, who: i32, out: UserAddr) -> SyscallResult {
    let time = match who {
        0 => ctx.task.group.cpu_time(),
        -1 => ctx.task.group.times.lock().children,
        1 => bevor_abi::mutant!("getrusage/thread", ctx.task.cpu_time(), ctx.task.group.cpu_time()),
        _ => return Err(Errno::EINVAL.into()),
    };
    let mut usage = rusage(time);
    if who != -1 {
        let memory = ctx.thread.space().memory_use().unwrap_or_default();
        let mut times = ctx.task.group.times.lock();
        times.peak_resident = times.peak_resident.max(memory.resident);
        let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        usage.maxrss = signed(times.peak_resident.saturating_mul(4));
        (usage.minflt, usage.majflt) = (signed(memory.minor_faults), signed(memory.major_faults));
    }
    ctx.copy_out_value(out, &usage)?;
    Ok(0)
}

/// The task `tid`, 0 for the caller.
fn find(ctx: &SyscallContext<'_>, tid: i32) -> Result<Arc<Task>, Errno> {
    if tid == 0 {
        return Ok(Arc::clone(ctx.task));
    }
    ctx.task.kernel.tree.lock().task(tid).ok_or(Errno::ESRCH)
}

/// The tasks that `which` and `who` of getpriority(2) name.
/// Whether `own` may change how a task with the credentials `other` is scheduled: not one that has more capabilities (Linux's
/// cap_safe_nice).
fn has_no_more(own: &Credentials, other: &Credentials) -> bool {
    other.permitted.is_subset(own.permitted) || own.capable(Capability::SysNice)
}

fn priority_targets(ctx: &SyscallContext<'_>, which: i32, who: i32) -> Result<Vec<Arc<Task>>, Errno> {
    match which {
        0 => Ok(vec![find(ctx, who)?]),
        1 => {
            let tree = ctx.task.kernel.tree.lock();
            let pgid = if who == 0 { tree.process(ctx.task.pid()).map_or(0, |p| p.pgid) } else { who };
            let members = tree.group_members(pgid);
            drop(tree);
            Ok(members
                .iter()
                .flat_map(|g| g.threads())
                .filter(|t| !bevor_abi::mutated!("priority/group") || who == 0 && t.pid() == ctx.task.pid() || t.pid() == who)
                .collect())
        }
        2 => {
            let uid = if who == 0 {
                bevor_abi::mutant!("getpriority/effective", ctx.task.creds().uid, ctx.task.creds().euid)
            } else {
                who.cast_unsigned()
            };
            Ok(ctx.task.kernel.tasks().into_iter().filter(|t| t.creds().uid == uid).collect())
        }
        _ => Err(Errno::EINVAL),
    }
}

/// getpriority(2): 20 minus the nice value.
pub fn getpriority(ctx: &mut SyscallContext<'_>, which: i32, who: i32) -> SyscallResult {
    let targets = priority_targets(ctx, which, who)?;
    let nice = targets
        .iter()
        .map(|t| t.sched.lock().nice)
        .reduce(|a, b| bevor_abi::mutant!("priority/highest", a.min(b), a.max(b)))
        .ok_or(Errno::ESRCH)?;
    Ok(u64::try_from(20 - nice).unwrap_or(0))
}

/// The lowest nice value that RLIMIT_NICE allows.
fn nice_floor(task: &Task) -> i32 {
    bevor_abi::mutant!("priority/floor", 20, 21) - i32::try_from(task.group.rlimit(RLIMIT_NICE).cur.min(40)).unwrap_or(0)
}

/// setpriority(2).
pub fn setpriority(ctx: &mut SyscallContext<'_>, which: i32, who: i32, nice: i32) -> SyscallResult {
    let targets = priority_targets(ctx, which, who)?;
    let nice = nice.clamp(-20, bevor_abi::mutant!("priority/clamp", 19, 20));
    let creds = ctx.task.creds();
    let mut outcome = Err(Errno::ESRCH);
    for task in targets {
        let other = task.creds();
        let floor = nice_floor(&task);
        let one = if creds.euid != other.uid && creds.euid != other.euid && !creds.capable(Capability::SysNice) {
            Err(Errno::EPERM)
        } else if nice < task.sched.lock().nice && nice < floor && !creds.capable(Capability::SysNice) {
            Err(bevor_abi::mutant!("priority/denied", Errno::EACCES, Errno::EPERM))
        } else if !has_no_more(&creds, &other) {
            Err(Errno::EPERM)
        } else {
            task.sched.lock().nice = nice;
            Ok(())
        };
        if one.is_err() || outcome == Err(Errno::ESRCH) {
            outcome = one;
        }
    }
    outcome?;
    Ok(0)
}

const SCHED_OTHER: i32 = 0;
const SCHED_FIFO: i32 = 1;
const SCHED_RR: i32 = 2;
const SCHED_BATCH: i32 = 3;
const SCHED_IDLE: i32 = 5;
const SCHED_RESET_ON_FORK: i32 = 0x4000_0000;

fn find_sched(ctx: &SyscallContext<'_>, tid: i32) -> Result<Arc<Task>, Errno> {
    if tid < 0 { Err(Errno::EINVAL) } else { find(ctx, tid) }
}

fn set_scheduler(ctx: &SyscallContext<'_>, tid: i32, policy: Option<i32>, param: UserAddr) -> SyscallResult {
    if param.is_null() || tid < 0 {
        return Err(Errno::EINVAL.into());
    }
    let priority: i32 = ctx.copy_in_value(param)?;
    let task = find(ctx, tid)?;
    let old = *task.sched.lock();
    let reset_on_fork = policy.map_or(old.reset_on_fork, |p| p & SCHED_RESET_ON_FORK != 0);
    let policy =
        policy.map_or(bevor_abi::mutant!("sched/setparam-policy", old.policy, SCHED_OTHER), |p| p & !SCHED_RESET_ON_FORK);
    let valid = match policy {
        SCHED_OTHER | SCHED_BATCH | SCHED_IDLE => priority == 0,
        SCHED_FIFO | SCHED_RR => {
            bevor_abi::mutant!("sched/fifo-zero", (1..=99).contains(&priority), (0..=99).contains(&priority))
        }
        _ => false,
    };
    if !valid {
        return Err(Errno::EINVAL.into());
    }
    let creds = ctx.task.creds();
    if !creds.capable(Capability::SysNice) {
        let other = task.creds();
        let limit = i32::try_from(task.group.rlimit(RLIMIT_RTPRIO).cur.min(99)).unwrap_or(0);
        let raises = matches!(policy, SCHED_FIFO | SCHED_RR)
            && (limit == 0 && policy != old.policy
                || bevor_abi::mutant!("sched/rtprio-boundary", priority > limit, priority >= limit) && priority > old.priority);
        // Leaving SCHED_IDLE raises the priority to what the nice value says.
        let wakes = old.policy == SCHED_IDLE && policy != SCHED_IDLE && old.nice < nice_floor(&task);
        let foreign = creds.euid != other.euid && creds.euid != other.uid || !has_no_more(&creds, &other);
        if raises && !bevor_abi::mutated!("sched/rtprio")
            || wakes
            || foreign
            || old.reset_on_fork && !reset_on_fork && !bevor_abi::mutated!("sched/clear-reset")
        {
            return Err(Errno::EPERM.into());
        }
    }
    let new = SchedAttributes { policy, priority, reset_on_fork, ..old };
    *task.sched.lock() = new;
    // The timers of real-time threads are on time.
    if new.is_realtime() && !bevor_abi::mutated!("sched/slack") {
        task.timer_slack.store(0, SeqCst);
    } else if task.timer_slack.load(SeqCst) == 0 {
        task.timer_slack.store(task.default_slack.load(SeqCst), SeqCst);
    }
    Ok(0)
}

/// sched_setscheduler(2): recorded and reported; the host schedules.
pub fn sched_setscheduler(ctx: &mut SyscallContext<'_>, tid: i32, policy: i32, param: UserAddr) -> SyscallResult {
    if policy < 0 {
        return Err(Errno::EINVAL.into());
    }
    set_scheduler(ctx, tid, Some(policy), param)
}

/// sched_setparam(2).
pub fn sched_setparam(ctx: &mut SyscallContext<'_>, tid: i32, param: UserAddr) -> SyscallResult {
    set_scheduler(ctx, tid, None, param)
}

/// sched_getscheduler(2).
pub fn sched_getscheduler(ctx: &mut SyscallContext<'_>, tid: i32) -> SyscallResult {
    let sched = *find_sched(ctx, tid)?.sched.lock();
    let flag = if sched.reset_on_fork && !bevor_abi::mutated!("sched/reset-hidden") { SCHED_RESET_ON_FORK } else { 0 };
    Ok(u64::try_from(sched.policy | flag).unwrap_or(0))
}

/// sched_getparam(2).
pub fn sched_getparam(ctx: &mut SyscallContext<'_>, tid: i32, param: UserAddr) -> SyscallResult {
    if param.is_null() {
        return Err(Errno::EINVAL.into());
    }
    let priority = find_sched(ctx, tid)?.sched.lock().priority;
    ctx.copy_out_value(param, &priority)?;
    Ok(0)
}

fn priority_range(policy: i32) -> Result<(u64, u64), Errno> {
    match policy {
        SCHED_FIFO | SCHED_RR => Ok((1, 99)),
        SCHED_OTHER | SCHED_BATCH | SCHED_IDLE | 6 | 7 => Ok((0, 0)),
        _ => Err(Errno::EINVAL),
    }
}

/// sched_get_priority_max(2).
pub fn sched_get_priority_max(_ctx: &mut SyscallContext<'_>, policy: i32) -> SyscallResult {
    Ok(priority_range(policy)?.1)
}

/// sched_get_priority_min(2).
pub fn sched_get_priority_min(_ctx: &mut SyscallContext<'_>, policy: i32) -> SyscallResult {
    Ok(priority_range(policy)?.0)
}

/// sched_rr_get_interval(2).
pub fn sched_rr_get_interval(ctx: &mut SyscallContext<'_>, tid: i32, interval: UserAddr) -> SyscallResult {
    let policy = find_sched(ctx, tid)?.sched.lock().policy;
    let nanos: i64 = match policy {
        SCHED_RR => 100_000_000,
        SCHED_FIFO => bevor_abi::mutant!("sched/interval", 0, 100_000_000),
        _ => 2_800_000,
    };
    ctx.copy_out_value(interval, &[0i64, nanos])?;
    Ok(0)
}

/// sched_setaffinity(2): applied to the host thread.
pub fn sched_setaffinity(ctx: &mut SyscallContext<'_>, tid: i32, len: usize, mask: UserAddr) -> SyscallResult {
    let mut bytes = vec![0; len.min(128)];
    ctx.copy_in(mask, &mut bytes)?;
    let task = find(ctx, tid)?;
    let (own, other) = (ctx.task.creds(), task.creds());
    let foreign = own.euid != other.euid && own.euid != other.uid && !own.capable(Capability::SysNice);
    if (foreign || !has_no_more(&own, &other)) && !bevor_abi::mutated!("sched/affinity-foreign") {
        return Err(Errno::EPERM.into());
    }
    let thread = task.thread().ok_or(Errno::ESRCH)?;
    host::set_affinity(thread.host_tid().ok_or(Errno::ESRCH)?, &bytes)?;
    Ok(0)
}

/// sched_getaffinity(2): the host thread's.
pub fn sched_getaffinity(ctx: &mut SyscallContext<'_>, tid: i32, len: usize, mask: UserAddr) -> SyscallResult {
    if !len.is_multiple_of(8) {
        return Err(Errno::EINVAL.into());
    }
    let thread = find(ctx, tid)?.thread().ok_or(Errno::ESRCH)?;
    let mut bytes = vec![0; len.min(1024)];
    // A child that has not begun has its parent's.
    let host_tid = thread.host_tid().or_else(|| ctx.thread.host_tid()).ok_or(Errno::ESRCH)?;
    let got = host::get_affinity(host_tid, &mut bytes)?;
    ctx.copy_out(mask, &bytes[..got])?;
    Ok(to_u64(got))
}
