//! clone(2), exit(2), wait4(2), waitid(2), process groups, sessions.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use bevor_abi::process::{self as abi, CloneArgs, Rusage, Timeval};
use bevor_abi::signal::{NSIG, SIGCHLD};
use bevor_abi::{Errno, Fd, UserAddr};
use bevor_core::context::{Action, SyscallContext, Wakeup};
use bevor_core::error::{Restart, SyscallError, SyscallResult};
use bevor_core::signal::info::SigInfo;
use bevor_core::task::clone::CloneRequest;
use bevor_core::task::wait::{WaitReport, WaitTarget};
use bevor_core::task::{CpuTime, Task, WaitStatus};
use bevor_core::wait::PollEvents;
use bevor_platform::EndWords;

fn number(n: i32) -> SyscallResult {
    Ok(u64::try_from(n).unwrap_or(0))
}

fn do_clone(ctx: &mut SyscallContext<'_>, request: &CloneRequest) -> SyscallResult {
    if ctx.task.is_dying() {
        return Err(SyscallError::Restart(Restart::Always));
    }
    let (op, child) = ctx.task.clone_task(ctx.thread, request)?;
    Err(ctx.act(Action::Clone(op, child)))
}

/// clone(2).
pub fn clone(ctx: &mut SyscallContext<'_>, flags: u64, stack: u64, ptid: UserAddr, ctid: UserAddr, tls: u64) -> SyscallResult {
    let pidfd = flags & abi::CLONE_PIDFD != 0;
    if pidfd && flags & (abi::CLONE_PARENT_SETTID | abi::CLONE_DETACHED) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let request = CloneRequest {
        flags: flags & 0xffff_ffff & !abi::CSIGNAL,
        exit_signal: i32::try_from(flags & abi::CSIGNAL).unwrap_or(0),
        stack,
        tls,
        parent_tid: ptid.0,
        child_tid: ctid.0,
    };
    do_clone(ctx, &request)
}

/// fork(2).
pub fn fork(ctx: &mut SyscallContext<'_>) -> SyscallResult {
    let request = CloneRequest { exit_signal: SIGCHLD, ..CloneRequest::default() };
    do_clone(ctx, &request)
}

/// vfork(2).
pub fn vfork(ctx: &mut SyscallContext<'_>) -> SyscallResult {
    let request = CloneRequest { flags: abi::CLONE_VM | abi::CLONE_VFORK, exit_signal: SIGCHLD, ..CloneRequest::default() };
    do_clone(ctx, &request)
}

/// The part of `struct clone_args` that the caller knows; the rest is zero.
fn copy_in_clone_args(ctx: &SyscallContext<'_>, addr: UserAddr, size: usize) -> Result<CloneArgs, Errno> {
    use zerocopy::IntoBytes;
    const KNOWN: usize = size_of::<CloneArgs>();
    if size > 4096 {
        return Err(Errno::E2BIG);
    }
    if bevor_abi::mutant!("clone3/size-boundary", size < 64, size <= 64) {
        return Err(Errno::EINVAL);
    }
    let mut args = CloneArgs::default();
    ctx.copy_in(addr, &mut args.as_mut_bytes()[..size.min(KNOWN)])?;
    if size > KNOWN {
        let mut rest = vec![0; size - KNOWN];
        ctx.copy_in(addr.add(88)?, &mut rest)?;
        if rest.iter().any(|b| *b != 0) && !bevor_abi::mutated!("clone3/trailing") {
            return Err(Errno::E2BIG);
        }
    }
    Ok(args)
}

/// clone3(2).
pub fn clone3(ctx: &mut SyscallContext<'_>, addr: UserAddr, size: usize) -> SyscallResult {
    let args = copy_in_clone_args(ctx, addr, size)?;
    let parent_or_thread = args.flags & (abi::CLONE_THREAD | abi::CLONE_PARENT) != 0;
    let signal = i32::try_from(args.exit_signal).ok().filter(|s| (0..=NSIG).contains(s));
    let unknown = !(0x3_ffff_ffff & !(abi::CSIGNAL & !abi::CLONE_NEWTIME) & !abi::CLONE_DETACHED);
    let stack_top = args.stack.checked_add(args.stack_size);
    let (Some(exit_signal), Some(stack)) = (signal, stack_top) else { return Err(Errno::EINVAL.into()) };
    if args.flags & unknown != 0
        || parent_or_thread && exit_signal != 0 && !bevor_abi::mutated!("clone3/thread-signal")
        || (args.stack == 0) != (args.stack_size == 0) && !bevor_abi::mutated!("clone3/stack-halves")
        || stack > bevor_abi::user::USER_TOP
        || args.set_tid_size > 32
        || (args.set_tid == 0) != (args.set_tid_size == 0)
    {
        return Err(Errno::EINVAL.into());
    }
    if args.set_tid_size != 0 {
        // Choosing pids needs CAP_CHECKPOINT_RESTORE and is not offered.
        return Err(Errno::EPERM.into());
    }
    let request = CloneRequest {
        flags: args.flags,
        exit_signal,
        stack,
        tls: args.tls,
        parent_tid: args.parent_tid,
        child_tid: args.child_tid,
    };
    do_clone(ctx, &request)
}

/// _exit(2): ends the calling thread.
pub fn exit(ctx: &mut SyscallContext<'_>, code: i32) -> SyscallResult {
    ctx.task.set_exit_code(code);
    Err(ctx.act(Action::Exit))
}

/// exit_group(2).
pub fn exit_group(ctx: &mut SyscallContext<'_>, code: i32) -> SyscallResult {
    ctx.task.begin_group_exit(WaitStatus::exited(code));
    Err(ctx.act(Action::Exit))
}

/// `struct rusage` of CPU times; the counters that the host keeps are not split by process and stay zero.
#[must_use]
pub fn rusage(time: CpuTime) -> Rusage {
    let timeval = |ns: u64| Timeval {
        sec: i64::try_from(ns / 1_000_000_000).unwrap_or(i64::MAX),
        usec: i64::try_from(ns % 1_000_000_000 / 1000).unwrap_or(0),
    };
    Rusage { utime: timeval(time.user), stime: timeval(time.system), ..Rusage::default() }
}

/// Waits until a child has something to report; `None` with WNOHANG.
fn wait(ctx: &mut SyscallContext<'_>, target: WaitTarget, options: i32) -> Result<Option<WaitReport>, SyscallError> {
    if let Some(report) = ctx.task.wait_for_child(target, options)? {
        return Ok(Some(report));
    }
    if options & abi::WNOHANG != 0 {
        return Ok(None);
    }
    let task = Arc::clone(ctx.task);
    Err(ctx.block_on(
        &[(&task.group.child_wait, PollEvents::IN)],
        None,
        bevor_abi::mutant!("wait/restart", Restart::IfSaRestart, Restart::IfNoHandler),
    ))
}

fn own_group(task: &Task) -> i32 {
    task.kernel.tree.lock().process(task.pid()).map_or(0, |p| p.pgid)
}

/// wait4(2).
pub fn wait4(ctx: &mut SyscallContext<'_>, pid: i32, status: UserAddr, options: i32, usage: UserAddr) -> SyscallResult {
    let allowed = abi::WNOHANG | abi::WUNTRACED | abi::WCONTINUED | abi::WNOTHREAD | abi::WCLONE | abi::WALL;
    let allowed = bevor_abi::mutant!("wait4/nowait", allowed, allowed | abi::WNOWAIT);
    if options & !allowed != 0 {
        return Err(Errno::EINVAL.into());
    }
    let target = match pid {
        i32::MIN => return Err(bevor_abi::mutant!("wait4/least-pid", Errno::ESRCH, Errno::ECHILD).into()),
        -1 => WaitTarget::Any,
        0 if bevor_abi::mutated!("wait4/own-group") => WaitTarget::Any,
        0 => WaitTarget::Group(own_group(ctx.task)),
        p if p > 0 => WaitTarget::Pid(p),
        p => WaitTarget::Group(-p),
    };
    let Some(report) = wait(ctx, target, options | abi::WEXITED)? else { return Ok(0) };
    if !usage.is_null() && !bevor_abi::mutated!("wait4/usage-lost") {
        ctx.copy_out_value(usage, &rusage(report.time))?;
    }
    if !status.is_null() {
        ctx.copy_out_value(status, &report.status.0)?;
    }
    number(report.pid)
}

/// waitid(2). `info` is stored whatever the answer: all zero without a report.
pub fn waitid(ctx: &mut SyscallContext<'_>, which: i32, id: i32, info: UserAddr, options: i32, usage: UserAddr) -> SyscallResult {
    let report = match wait_by_id(ctx, which, id, options) {
        Err(error @ (SyscallError::Errno(..) | SyscallError::Restart(_))) => {
            store_report(ctx, info, None)?;
            return Err(error);
        }
        other => other?,
    };
    if let Some(report) = &report
        && !(usage.is_null() || bevor_abi::mutated!("waitid/no-usage"))
    {
        ctx.copy_out_value(usage, &rusage(report.time))?;
    }
    if report.is_some() || !bevor_abi::mutated!("waitid/nothing-stored") {
        store_report(ctx, info, report)?;
    }
    Ok(0)
}

/// Linux stores these six fields only.
fn store_report(ctx: &SyscallContext<'_>, info: UserAddr, report: Option<WaitReport>) -> Result<(), Errno> {
    if info.is_null() {
        return Ok(());
    }
    let siginfo = report
        .map_or(SigInfo([0; 128]), |r| SigInfo::child(r.code, r.pid, bevor_abi::mutant!("waitid/uid", r.uid, 0), r.value, 0, 0));
    ctx.copy_out(info, &siginfo.0[..12])?;
    ctx.copy_out(info.add(16)?, &siginfo.0[16..28])
}

fn wait_by_id(ctx: &mut SyscallContext<'_>, which: i32, id: i32, options: i32) -> Result<Option<WaitReport>, SyscallError> {
    let allowed =
        abi::WNOHANG | abi::WNOWAIT | abi::WEXITED | abi::WSTOPPED | abi::WCONTINUED | abi::WNOTHREAD | abi::WCLONE | abi::WALL;
    if options & !allowed != 0 || options & (abi::WEXITED | abi::WSTOPPED | abi::WCONTINUED) == 0 {
        return Err(Errno::EINVAL.into());
    }
    let mut nowait = false;
    let target = match which {
        abi::P_ALL => WaitTarget::Any,
        abi::P_PID if id > 0 => WaitTarget::Pid(id),
        abi::P_PGID if id == 0 && bevor_abi::mutated!("waitid/own-group") => WaitTarget::Any,
        abi::P_PGID if id >= 0 => WaitTarget::Group(if id == 0 { own_group(ctx.task) } else { id }),
        abi::P_PIDFD if id >= 0 => {
            let (group, nonblocking) = super::pidfd::group_of(ctx, Fd(id))?;
            nowait = nonblocking && options & abi::WNOHANG == 0;
            WaitTarget::Pid(group.pid)
        }
        _ => return Err(Errno::EINVAL.into()),
    };
    let report = wait(ctx, target, if nowait { options | abi::WNOHANG } else { options })?;
    if nowait && report.is_none() {
        return Err(Errno::EAGAIN.into());
    }
    Ok(report)
}

/// getpid(2).
pub fn getpid(ctx: &mut SyscallContext<'_>) -> SyscallResult {
    number(ctx.task.pid())
}

/// gettid(2).
pub fn gettid(ctx: &mut SyscallContext<'_>) -> SyscallResult {
    number(ctx.task.tid())
}

/// getppid(2).
pub fn getppid(ctx: &mut SyscallContext<'_>) -> SyscallResult {
    number(ctx.task.kernel.tree.lock().parent_of(ctx.task.pid()))
}

/// setpgid(2).
pub fn setpgid(ctx: &mut SyscallContext<'_>, pid: i32, pgid: i32) -> SyscallResult {
    ctx.task.kernel.tree.lock().set_group(ctx.task.pid(), pid, pgid)?;
    Ok(0)
}

/// The process that `pid` (0: the caller's) names, as a thread id too.
fn relation(ctx: &SyscallContext<'_>, pid: i32, pick: fn(&bevor_core::task::tree::Process) -> i32) -> SyscallResult {
    let tree = ctx.task.kernel.tree.lock();
    let pid = if pid == 0 {
        ctx.task.pid()
    } else {
        tree.task(pid).filter(|_| !bevor_abi::mutated!("getpgid/thread")).map_or(pid, |t| t.pid())
    };
    number(tree.process(pid).map(pick).ok_or(Errno::ESRCH)?)
}

/// getpgid(2).
pub fn getpgid(ctx: &mut SyscallContext<'_>, pid: i32) -> SyscallResult {
    relation(ctx, pid, |p| p.pgid)
}

/// getpgrp(2).
pub fn getpgrp(ctx: &mut SyscallContext<'_>) -> SyscallResult {
    relation(ctx, 0, |p| p.pgid)
}

/// getsid(2).
pub fn getsid(ctx: &mut SyscallContext<'_>, pid: i32) -> SyscallResult {
    relation(ctx, pid, |p| p.sid)
}

/// setsid(2).
pub fn setsid(ctx: &mut SyscallContext<'_>) -> SyscallResult {
    number(ctx.task.kernel.tree.lock().set_session(ctx.task.pid())?)
}

/// set_tid_address(2).
pub fn set_tid_address(ctx: &mut SyscallContext<'_>, addr: UserAddr) -> SyscallResult {
    ctx.thread.set_end_words(EndWords { clear_tid: addr.0, ..ctx.thread.end_words() });
    number(bevor_abi::mutant!("set_tid_address/result", ctx.task.tid(), ctx.task.pid()))
}

/// Size of `struct robust_list_head`.
const ROBUST_HEAD: usize = 24;

/// set_robust_list(2).
pub fn set_robust_list(ctx: &mut SyscallContext<'_>, head: UserAddr, len: usize) -> SyscallResult {
    if len != ROBUST_HEAD && !bevor_abi::mutated!("robust/length") {
        return Err(Errno::EINVAL.into());
    }
    ctx.thread.set_end_words(EndWords { robust_list: head.0, ..ctx.thread.end_words() });
    Ok(0)
}

/// get_robust_list(2).
pub fn get_robust_list(ctx: &mut SyscallContext<'_>, pid: i32, head: UserAddr, len: UserAddr) -> SyscallResult {
    let task = if pid == 0 || bevor_abi::mutated!("robust/other") {
        Arc::clone(ctx.task)
    } else {
        ctx.task.kernel.tree.lock().task(pid).ok_or(Errno::ESRCH)?
    };
    super::ids::check_ptrace_access(ctx.task, &task)?;
    ctx.copy_out_value(len, &24u64)?;
    let list = task.thread().map_or(0, |t| t.end_words().robust_list);
    ctx.copy_out_value(head, &list)?;
    Ok(0)
}

/// personality(2).
pub fn personality(ctx: &mut SyscallContext<'_>, persona: u32) -> SyscallResult {
    let old = ctx.task.personality.load(SeqCst);
    if persona != u32::MAX || bevor_abi::mutated!("personality/query") {
        ctx.task.personality.store(persona, SeqCst);
    }
    Ok(u64::from(old))
}

/// pause(2).
pub fn pause(ctx: &mut SyscallContext<'_>) -> SyscallResult {
    debug_assert_ne!(ctx.wakeup, Wakeup::TimedOut);
    Err(ctx.block_on(&[], None, Restart::IfNoHandler))
}
