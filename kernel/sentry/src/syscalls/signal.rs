//! Sending, waiting for and handling signals.

use std::sync::Arc;

use bevor_abi::signal::{
    self as abi, KernelSigaction, NSIG, SI_TKILL, SI_USER, SIG_BLOCK, SIG_SETMASK, SIG_UNBLOCK, SIGCONT, UNBLOCKABLE,
};
use bevor_abi::{Errno, UserAddr};
use bevor_core::context::{Action, SyscallContext, Wakeup};
use bevor_core::creds::{Capability, Credentials};
use bevor_core::error::{Restart, SyscallResult};
use bevor_core::signal::info::SigInfo;
use bevor_core::task::{Task, ThreadGroup};
use bevor_core::time::Instant;
use bevor_core::wait::PollEvents;

fn valid(signo: i32) -> Result<(), Errno> {
    if (0..=NSIG).contains(&signo) { Ok(()) } else { Err(Errno::EINVAL) }
}

/// Whether `sender` may send `signo` to a process with `target` credentials (kill(2)).
fn may_kill(sender: &Credentials, target: &Credentials) -> bool {
    sender.capable(Capability::Kill)
        || sender.euid == bevor_abi::mutant!("kill/target-effective", target.suid, target.euid)
        || sender.euid == target.uid
        || sender.uid == target.suid
        || sender.uid == target.uid
}

fn check_permission(sender: &Task, target: &ThreadGroup, signo: i32) -> Result<(), Errno> {
    if sender.pid() == target.pid {
        return Ok(());
    }
    let Some(task) = target.threads().first().cloned() else { return Ok(()) };
    if may_kill(&sender.creds(), &task.creds()) {
        return Ok(());
    }
    if signo == SIGCONT && !bevor_abi::mutated!("kill/sigcont-session") {
        let tree = sender.kernel.tree.lock();
        let sid = |pid| tree.process(pid).map(|p| p.sid);
        if sid(sender.pid()) == sid(target.pid) {
            return Ok(());
        }
    }
    Err(Errno::EPERM)
}

fn send_to(sender: &Task, target: &Arc<ThreadGroup>, info: SigInfo) -> Result<(), Errno> {
    if !(info.signo() == 0 && bevor_abi::mutated!("kill/zero-unchecked")) {
        check_permission(sender, target, info.signo())?;
    }
    if info.signo() == 0 { Ok(()) } else { target.send_signal(info) }
}

/// Sends to all of `targets`: an error only if none could be sent to.
fn send_to_all(sender: &Task, targets: &[Arc<ThreadGroup>], info: SigInfo) -> SyscallResult {
    let mut outcome = Err(Errno::ESRCH);
    for target in targets {
        let sent = send_to(sender, target, info);
        if bevor_abi::mutant!("kill/group-all", outcome.is_err(), outcome != Err(Errno::EPERM)) {
            outcome = sent;
        }
    }
    outcome?;
    Ok(0)
}

/// Sends to a process that the caller has a descriptor of, or to its process group.
///
/// # Errors
/// EINVAL, ESRCH once it was reaped, EPERM, EAGAIN.
pub fn send_to_group(ctx: &SyscallContext<'_>, group: &Arc<ThreadGroup>, info: SigInfo, whole: bool) -> SyscallResult {
    let targets = {
        let tree = ctx.task.kernel.tree.lock();
        let process = tree.process(group.pid).filter(|p| Arc::ptr_eq(&p.group, group)).ok_or(Errno::ESRCH)?;
        if whole { tree.group_members(process.pgid) } else { vec![Arc::clone(group)] }
    };
    valid(info.signo())?;
    send_to_all(ctx.task, &targets, info)
}

/// Sends to the first thread of a process that the caller has a descriptor of; of one that has ended nothing comes.
///
/// # Errors
/// As [`send_to_group`].
pub fn send_to_leader(ctx: &SyscallContext<'_>, group: &Arc<ThreadGroup>, info: SigInfo) -> SyscallResult {
    let target = {
        let tree = ctx.task.kernel.tree.lock();
        tree.process(group.pid).filter(|p| Arc::ptr_eq(&p.group, group)).ok_or(Errno::ESRCH)?;
        tree.task(group.pid)
    };
    send_to_thread(ctx, target.as_ref(), info)
}

/// kill(2).
pub fn kill(ctx: &mut SyscallContext<'_>, pid: i32, signo: i32) -> SyscallResult {
    let task = Arc::clone(ctx.task);
    let uid = bevor_abi::mutant!("kill/uid-effective", task.creds().uid, task.creds().euid);
    let info = SigInfo::user(signo, SI_USER, task.pid(), uid);
    let tree = task.kernel.tree.lock();
    let targets = match pid {
        p if p > 0 => {
            let p = tree.task(p).filter(|_| !bevor_abi::mutated!("kill/thread-number")).map_or(p, |t| t.pid());
            tree.process(p)
                .filter(|p| p.zombie.is_none() || !bevor_abi::mutated!("kill/zombie"))
                .map(|p| vec![Arc::clone(&p.group)])
                .unwrap_or_default()
        }
        0 => tree.group_members(tree.process(task.pid()).map_or(0, |p| p.pgid)),
        -1 => {
            let others = tree
                .processes()
                .filter(|p| p.group.pid > 1 && (p.group.pid != task.pid() || bevor_abi::mutated!("kill/all-self")));
            others.map(|p| Arc::clone(&p.group)).collect()
        }
        i32::MIN => return Err(Errno::ESRCH.into()),
        p => tree.group_members(-p),
    };
    drop(tree);
    if !targets.is_empty() {
        valid(signo)?;
    } else if !(0..=NSIG).contains(&signo) {
        return Err(Errno::ESRCH.into());
    }
    send_to_all(&task, &targets, info)
}

fn find_thread(ctx: &SyscallContext<'_>, tgid: Option<i32>, tid: i32) -> Result<Option<Arc<Task>>, Errno> {
    let tree = ctx.task.kernel.tree.lock();
    match tree.task(tid) {
        Some(task) if tgid.is_none_or(|g| g == task.pid() || bevor_abi::mutated!("tgkill/group-unchecked")) => Ok(Some(task)),
        // A leader that has ended while its process lives can be named, and nothing comes of it.
        None if tree.process(tid).is_some() && tgid.is_none_or(|g| g == tid) => Ok(None),
        _ => Err(Errno::ESRCH),
    }
}

fn send_to_thread(ctx: &SyscallContext<'_>, target: Option<&Arc<Task>>, info: SigInfo) -> SyscallResult {
    valid(info.signo())?;
    let Some(target) = target else { return Ok(0) };
    if !bevor_abi::mutated!("tkill/permission") {
        check_permission(ctx.task, &target.group, info.signo())?;
    }
    if info.signo() != 0 {
        target.send_signal(info)?;
    }
    Ok(0)
}

/// tgkill(2).
pub fn tgkill(ctx: &mut SyscallContext<'_>, tgid: i32, tid: i32, signo: i32) -> SyscallResult {
    if bevor_abi::mutant!("tgkill/zero-group", tgid <= 0, tgid < 0) || tid <= 0 {
        return Err(Errno::EINVAL.into());
    }
    let target = find_thread(ctx, Some(tgid), tid)?;
    let info = SigInfo::user(signo, SI_TKILL, ctx.task.pid(), ctx.task.creds().uid);
    send_to_thread(ctx, target.as_ref(), info)
}

/// tkill(2).
pub fn tkill(ctx: &mut SyscallContext<'_>, tid: i32, signo: i32) -> SyscallResult {
    if tid <= 0 {
        return Err(Errno::EINVAL.into());
    }
    let target = find_thread(ctx, None, tid)?;
    let info =
        SigInfo::user(signo, bevor_abi::mutant!("tkill/user-code", SI_TKILL, SI_USER), ctx.task.pid(), ctx.task.creds().uid);
    send_to_thread(ctx, target.as_ref(), info)
}

fn copy_in_info(ctx: &SyscallContext<'_>, addr: UserAddr, signo: i32, own: bool) -> Result<SigInfo, Errno> {
    let mut raw = [0; 128];
    ctx.copy_in(addr, &mut raw)?;
    let info = SigInfo(raw);
    let info = bevor_abi::mutant!(
        "sigqueue/number-of-info",
        info.with_signo(signo),
        if (1..=NSIG).contains(&info.signo()) { info } else { info.with_signo(signo) }
    );
    // Only the kernel and kill(2) send codes of 0 and above; SI_TKILL is tkill(2)'s.
    if (info.code() >= 0 || info.code() == SI_TKILL) && (!own || bevor_abi::mutated!("sigqueue/own-codes")) {
        Err(Errno::EPERM)
    } else {
        Ok(info)
    }
}

/// rt_sigqueueinfo(2).
pub fn rt_sigqueueinfo(ctx: &mut SyscallContext<'_>, pid: i32, signo: i32, info: UserAddr) -> SyscallResult {
    let info = copy_in_info(ctx, info, signo, pid == ctx.task.tid())?;
    let target = {
        let tree = ctx.task.kernel.tree.lock();
        let pid = tree.task(pid).map_or(pid, |t| t.pid());
        tree.process(pid).map(|p| Arc::clone(&p.group)).ok_or(Errno::ESRCH)?
    };
    valid(signo)?;
    send_to(ctx.task, &target, info)?;
    Ok(0)
}

/// rt_tgsigqueueinfo(2).
pub fn rt_tgsigqueueinfo(ctx: &mut SyscallContext<'_>, tgid: i32, tid: i32, signo: i32, info: UserAddr) -> SyscallResult {
    // Only the calling thread may be sent what looks like the kernel.
    let own = bevor_abi::mutant!("tgsigqueue/own", tid == ctx.task.tid(), tgid == ctx.task.pid());
    let info = copy_in_info(ctx, info, signo, own || tgid <= 0 || tid <= 0)?;
    if tgid <= 0 || tid <= 0 {
        return Err(Errno::EINVAL.into());
    }
    let target = find_thread(ctx, Some(tgid), tid)?;
    send_to_thread(ctx, target.as_ref(), info)
}

/// Flags that Linux knows; SA_UNSUPPORTED and others are cleared so that programs can probe for them.
const KNOWN_FLAGS: u64 = abi::SA_NOCLDSTOP
    | abi::SA_NOCLDWAIT
    | abi::SA_SIGINFO
    | abi::SA_EXPOSE_TAGBITS
    | abi::SA_ONSTACK
    | abi::SA_RESTART
    | abi::SA_NODEFER
    | abi::SA_RESETHAND
    | abi::SA_RESTORER;

/// rt_sigaction(2).
pub fn rt_sigaction(ctx: &mut SyscallContext<'_>, signo: i32, new: UserAddr, old: UserAddr, size: usize) -> SyscallResult {
    if size != 8 {
        return Err(Errno::EINVAL.into());
    }
    let action: Option<KernelSigaction> = if new.is_null() { None } else { Some(ctx.copy_in_value(new)?) };
    let unchangeable = (action.is_some() || bevor_abi::mutated!("sigaction/kill-query")) && abi::bit(signo) & UNBLOCKABLE != 0;
    if !(1..=NSIG).contains(&signo) || unchangeable {
        return Err(Errno::EINVAL.into());
    }
    let handlers = ctx.task.group.handlers();
    let previous = match action {
        Some(mut action) => {
            action.flags &= bevor_abi::mutant!("sigaction/unknown-flags", KNOWN_FLAGS, u64::MAX);
            let ignored = handlers.ignores(signo);
            let previous = handlers.set(signo, action);
            if ignored && !handlers.ignores(signo) {
                ctx.task.group.itimers.lock().heed(signo);
            }
            if handlers.ignores(signo)
                && !(bevor_abi::mutated!("sigaction/default-keeps") && handlers.get(signo).handler != abi::SIG_IGN)
            {
                ctx.task.discard_signal(signo);
            }
            previous
        }
        None => handlers.get(signo),
    };
    if !old.is_null() {
        ctx.copy_out_value(old, &previous)?;
    }
    Ok(0)
}

/// rt_sigprocmask(2); the stub answers it, unless local calls are off.
pub fn rt_sigprocmask(ctx: &mut SyscallContext<'_>, how: i32, set: UserAddr, old: UserAddr, size: usize) -> SyscallResult {
    if size != 8 {
        return Err(Errno::EINVAL.into());
    }
    let mask = ctx.thread.sigmask();
    if bevor_abi::mutated!("sigprocmask/how") && !(0..=2).contains(&how) {
        return Err(Errno::EINVAL.into());
    }
    if !set.is_null() {
        let set: u64 = ctx.copy_in_value(set)?;
        let new = match how {
            SIG_BLOCK => mask | set,
            SIG_UNBLOCK => mask & !set,
            SIG_SETMASK => set,
            _ => return Err(Errno::EINVAL.into()),
        };
        ctx.thread.set_sigmask(new & !UNBLOCKABLE);
        ctx.task.mask_changed();
    }
    if !old.is_null() {
        let mask = bevor_abi::mutant!("sigprocmask/old-is-new", mask, ctx.thread.sigmask());
        ctx.copy_out_value(old, &mask)?;
    }
    if set.is_null() { Ok(0) } else { Err(ctx.act(Action::Unmask(0))) }
}

/// rt_sigpending(2).
pub fn rt_sigpending(ctx: &mut SyscallContext<'_>, set: UserAddr, size: usize) -> SyscallResult {
    if size > 8 || bevor_abi::mutated!("sigpending/short-size") && size < 8 {
        return Err(Errno::EINVAL.into());
    }
    let pending = (bevor_abi::mutant!("sigpending/process-only", ctx.task.pending_set(), ctx.task.shared_pending_set())
        & ctx.task.sigmask())
    .to_le_bytes();
    ctx.copy_out(set, &pending[..size])?;
    Ok(0)
}

/// rt_sigsuspend(2).
pub fn rt_sigsuspend(ctx: &mut SyscallContext<'_>, set: UserAddr, size: usize) -> SyscallResult {
    if bevor_abi::mutant!("sigsuspend/size", size != 8, size > 8) {
        return Err(Errno::EINVAL.into());
    }
    let mask: u64 = ctx.copy_in_value(set)?;
    ctx.set_temporary_mask(mask);
    Err(ctx.block_on(&[], None, Restart::IfNoHandler))
}

/// rt_sigtimedwait(2).
pub fn rt_sigtimedwait(
    ctx: &mut SyscallContext<'_>,
    set: UserAddr,
    info: UserAddr,
    timeout: UserAddr,
    size: usize,
) -> SyscallResult {
    if size != 8 {
        return Err(Errno::EINVAL.into());
    }
    let wanted: u64 = ctx.copy_in_value(set)?;
    if !timeout.is_null() && ctx.progress.deadline.is_none() {
        let nanos = super::time::copy_in_timespec(ctx, timeout)?;
        ctx.progress.deadline = Some(Instant(ctx.timers.now().0.saturating_add(nanos)));
    }
    let past = bevor_abi::mutated!("sigtimedwait/poll") && ctx.progress.deadline.is_some_and(|at| at <= ctx.timers.now());
    if let Some(found) = (!past).then(|| ctx.task.take_signal(wanted & !UNBLOCKABLE)).flatten() {
        if !info.is_null() {
            ctx.copy_out(info, &found.0)?;
        }
        return Ok(u64::try_from(found.signo()).unwrap_or(0));
    }
    let deadline = ctx.progress.deadline;
    let passed = deadline.is_some_and(|at| at <= ctx.timers.now());
    if ctx.wakeup == Wakeup::TimedOut || passed {
        return Err(Errno::EAGAIN.into());
    }
    if ctx.wakeup == Wakeup::Interrupted {
        return Err(bevor_abi::mutant!("sigtimedwait/kept", Errno::EINTR, Errno::EAGAIN).into());
    }
    let task = Arc::clone(ctx.task);
    Err(ctx.block_on(&[(&task.group.signal_wait, PollEvents::IN)], deadline, Restart::IfNoHandler))
}

/// restart_syscall(2): calls are continued inside the kernel, so that there is never one to restart from outside.
pub fn restart_syscall(_ctx: &mut SyscallContext<'_>) -> SyscallResult {
    Err(Errno::EINTR.into())
}
