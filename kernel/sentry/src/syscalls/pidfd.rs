//! pidfd_open(2), pidfd_send_signal(2), pidfd_getfd(2), signalfd(2).

use std::sync::Arc;

use bevor_abi::fs::o;
use bevor_abi::signal::{self as abi, SI_TKILL, SI_USER};
use bevor_abi::{Errno, Fd, UserAddr};
use bevor_core::context::SyscallContext;
use bevor_core::error::SyscallResult;
use bevor_core::pidfd::PidFd;
use bevor_core::signal::info::SigInfo;
use bevor_core::signalfd::SignalFd;
use bevor_core::task::ThreadGroup;

use super::hooks::Env;
use super::open::install;

/// The process behind a descriptor.
///
/// # Errors
/// EBADF if it is none.
pub fn group_of(ctx: &SyscallContext<'_>, fd: Fd) -> Result<(Arc<ThreadGroup>, bool), Errno> {
    let file = ctx.file(fd)?;
    let group = file.downcast::<PidFd>().map(|p| Arc::clone(p.group())).ok_or(Errno::EBADF)?;
    Ok((group, file.is_nonblocking()))
}

/// pidfd_open(2): of processes; threads have no descriptors (PIDFD_THREAD is refused).
pub fn pidfd_open(ctx: &mut SyscallContext<'_>, pid: i32, flags: u32) -> SyscallResult {
    const THREAD: u32 = o::EXCL;
    if flags & !(o::NONBLOCK | THREAD) != 0 || pid <= 0 {
        return Err(Errno::EINVAL.into());
    }
    let group = {
        let tree = ctx.task.kernel.tree.lock();
        match tree.process(pid) {
            Some(process) => Arc::clone(&process.group),
            None if tree.task(pid).is_some() && flags & THREAD == 0 => {
                return Err(bevor_abi::mutant!("pidfd/thread-errno", Errno::ENOENT, Errno::EINVAL).into());
            }
            None if tree.task(pid).is_some() => return Err(Errno::EINVAL.into()),
            None => return Err(Errno::ESRCH.into()),
        }
    };
    let env = Env::new(ctx);
    let file = PidFd::create(&env.fs.ns.vfs, &group, bevor_abi::mutant!("pidfd/nonblock", flags, 0), env.owner());
    if flags & THREAD != 0 {
        file.set_flags(THREAD, THREAD)?;
    }
    install(ctx, file, bevor_abi::mutant!("pidfd/open-cloexec", true, false))
}

/// pidfd_send_signal(2).
pub fn pidfd_send_signal(ctx: &mut SyscallContext<'_>, fd: Fd, signo: i32, info: UserAddr, flags: u32) -> SyscallResult {
    const THREAD: u32 = 1;
    const GROUP: u32 = 2;
    const PROCESS_GROUP: u32 = 4;
    if flags & !(THREAD | GROUP | PROCESS_GROUP) != 0 || flags.count_ones() > 1 && !bevor_abi::mutated!("pidfd/flags-together") {
        return Err(Errno::EINVAL.into());
    }
    let (group, _) = group_of(ctx, fd)?;
    let own = group.pid == ctx.task.pid();
    let info = if info.is_null() {
        let code = if flags & THREAD != 0 { SI_TKILL } else { SI_USER };
        SigInfo::user(signo, code, ctx.task.pid(), ctx.task.creds().uid)
    } else {
        let mut raw = [0; 128];
        ctx.copy_in(info, &mut raw)?;
        let info = SigInfo(raw);
        if info.signo() != signo && !bevor_abi::mutated!("pidfd/other-number") {
            return Err(Errno::EINVAL.into());
        }
        if !own && !bevor_abi::mutated!("pidfd/forged") && (info.code() >= 0 || info.code() == SI_TKILL) {
            return Err(Errno::EPERM.into());
        }
        info
    };
    if flags & THREAD != 0 {
        return super::signal::send_to_leader(ctx, &group, info);
    }
    super::signal::send_to_group(ctx, &group, info, flags & PROCESS_GROUP != 0 && !bevor_abi::mutated!("pidfd/process-group"))
}

/// pidfd_getfd(2).
pub fn pidfd_getfd(ctx: &mut SyscallContext<'_>, pidfd: Fd, target: Fd, flags: u32) -> SyscallResult {
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let (group, _) = group_of(ctx, pidfd)?;
    let task = group.threads().first().cloned().ok_or(Errno::ESRCH)?;
    if !bevor_abi::mutated!("pidfd/getfd-access") {
        super::ids::check_ptrace_access(ctx.task, &task)?;
    }
    let files = Arc::clone(&task.files.lock());
    let file = files.get_any(target)?;
    install(ctx, file, bevor_abi::mutant!("pidfd/copy-cloexec", true, false))
}

/// signalfd4(2).
pub fn signalfd4(ctx: &mut SyscallContext<'_>, fd: Fd, mask: UserAddr, size: usize, flags: u32) -> SyscallResult {
    if size != 8 {
        return Err(Errno::EINVAL.into());
    }
    let mask: u64 = ctx.copy_in_value(mask)?;
    let mask = mask & !bevor_abi::mutant!("signalfd/kill-kept", abi::UNBLOCKABLE, 0);
    if flags & !(o::CLOEXEC | o::NONBLOCK) != 0 {
        return Err(Errno::EINVAL.into());
    }
    if fd.0 != -1 {
        let file = ctx.file(fd)?;
        file.downcast::<SignalFd>().ok_or(bevor_abi::mutant!("signalfd/not-one", Errno::EINVAL, Errno::EBADF))?.set_mask(mask);
        return Ok(bevor_core::vfs::file::fd_result(fd));
    }
    let env = Env::new(ctx);
    let file = SignalFd::create(&env.fs.ns.vfs, ctx.task, mask, flags, env.owner());
    install(ctx, file, flags & o::CLOEXEC != 0)
}

/// signalfd(2).
pub fn signalfd(ctx: &mut SyscallContext<'_>, fd: Fd, mask: UserAddr, size: usize) -> SyscallResult {
    signalfd4(ctx, fd, mask, size, 0)
}
