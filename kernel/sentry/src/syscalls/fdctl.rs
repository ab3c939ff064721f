//! dup(2), fcntl(2), flock(2), ioctl(2).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bevor_abi::fs::o;
use bevor_abi::{Errno, Fd, UserAddr};
use bevor_core::context::SyscallContext;
use bevor_core::creds::Capability;
use bevor_core::error::{Restart, SyscallResult};
use bevor_core::num::{to_u64, to_usize};
use bevor_core::pipe::PipeEnd;
use bevor_core::vfs::file::fd_result;
use bevor_core::vfs::locks::{LockOwner, RangeLock};
use bevor_core::vfs::{File, FileKind};
use bevor_core::wait::PollEvents;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::hooks;

/// dup(2).
pub fn dup(ctx: &mut SyscallContext<'_>, fd: Fd) -> SyscallResult {
    let file = ctx.file_any(fd)?;
    super::open::install(ctx, file, bevor_abi::mutant!("dup/cloexec-kept", false, ctx.files().cloexec(fd)?))
}

fn dup_checked(ctx: &SyscallContext<'_>, old: Fd, new: Fd, cloexec: bool) -> SyscallResult {
    ctx.files().dup_to(old, new, cloexec, hooks::nofile_limit(ctx))?;
    Ok(fd_result(new))
}

/// dup2(2).
pub fn dup2(ctx: &mut SyscallContext<'_>, old: Fd, new: Fd) -> SyscallResult {
    if old == new {
        bevor_abi::mutant!("dup2/same-unchecked", ctx.file_any(old).map(|_| ()), Ok(()))?;
        return Ok(fd_result(new));
    }
    dup_checked(ctx, old, new, false)
}

/// dup3(2).
pub fn dup3(ctx: &mut SyscallContext<'_>, old: Fd, new: Fd, flags: u32) -> SyscallResult {
    if flags & !o::CLOEXEC != 0 || old == new && !bevor_abi::mutated!("dup3/same") {
        return Err(Errno::EINVAL.into());
    }
    dup_checked(ctx, old, new, bevor_abi::mutant!("dup3/cloexec-lost", flags != 0, false))
}

#[allow(missing_docs)]
mod f {
    pub(super) const DUPFD: u32 = 0;
    pub(super) const GETFD: u32 = 1;
    pub(super) const SETFD: u32 = 2;
    pub(super) const GETFL: u32 = 3;
    pub(super) const SETFL: u32 = 4;
    pub(super) const GETLK: u32 = 5;
    pub(super) const SETLK: u32 = 6;
    pub(super) const SETLKW: u32 = 7;
    pub(super) const SETOWN: u32 = 8;
    pub(super) const GETOWN: u32 = 9;
    pub(super) const SETSIG: u32 = 10;
    pub(super) const GETSIG: u32 = 11;
    pub(super) const SETOWN_EX: u32 = 15;
    pub(super) const GETOWN_EX: u32 = 16;
    pub(super) const OFD_GETLK: u32 = 36;
    pub(super) const OFD_SETLK: u32 = 37;
    pub(super) const OFD_SETLKW: u32 = 38;
    pub(super) const SETLEASE: u32 = 1024;
    pub(super) const GETLEASE: u32 = 1025;
    pub(super) const DUPFD_QUERY: u32 = 1027;
    pub(super) const DUPFD_CLOEXEC: u32 = 1030;
    pub(super) const SETPIPE_SZ: u32 = 1031;
    pub(super) const GETPIPE_SZ: u32 = 1032;
    pub(super) const ADD_SEALS: u32 = 1033;
    pub(super) const GET_SEALS: u32 = 1034;
}

fn low(arg: u64) -> u32 {
    <u32 as bevor_abi::FromArg>::from_arg(arg)
}

/// fcntl(2).
pub fn fcntl(ctx: &mut SyscallContext<'_>, fd: Fd, cmd: u32, arg: u64) -> SyscallResult {
    let file = ctx.file_any(fd)?;
    if file.is_path()
        && !bevor_abi::mutated!("fcntl/path-only")
        && !matches!(cmd, f::DUPFD | f::DUPFD_CLOEXEC | f::DUPFD_QUERY | f::GETFD | f::SETFD | f::GETFL)
    {
        return Err(Errno::EBADF.into());
    }
    match cmd {
        f::DUPFD | f::DUPFD_CLOEXEC => {
            let limit = hooks::nofile_limit(ctx);
            if bevor_abi::mutant!("fcntl/dupfd-boundary", u64::from(low(arg)) >= limit, u64::from(low(arg)) > limit) {
                return Err(Errno::EINVAL.into());
            }
            let fd = ctx.files().alloc(
                file,
                cmd == f::DUPFD_CLOEXEC && !bevor_abi::mutated!("fcntl/dupfd-cloexec"),
                low(arg),
                limit,
            )?;
            Ok(fd_result(fd))
        }
        f::DUPFD_QUERY => {
            let other = ctx.file_any(<Fd as bevor_abi::FromArg>::from_arg(arg))?;
            Ok(u64::from(
                Arc::ptr_eq(&file, &other)
                    || bevor_abi::mutated!("fcntl/dupfd-query") && Arc::ptr_eq(file.inode(), other.inode()),
            ))
        }
        f::GETFD => Ok(u64::from(ctx.files().cloexec(fd)?)),
        f::SETFD => {
            ctx.files().set_cloexec(fd, bevor_abi::mutant!("fcntl/setfd-any-bit", arg & 1 != 0, arg != 0))?;
            Ok(0)
        }
        // O_LARGEFILE is always on for a 64-bit kernel's open(2), but not for anonymous files.
        f::GETFL => Ok(u64::from(file.flags())),
        f::SETFL => {
            set_flags(ctx, &file, low(arg))?;
            Ok(0)
        }
        f::GETLK | f::OFD_GETLK => get_lock(ctx, &file, UserAddr(arg), cmd == f::OFD_GETLK),
        f::SETLK | f::SETLKW | f::OFD_SETLK | f::OFD_SETLKW => set_lock(ctx, fd, &file, UserAddr(arg), cmd),
        f::SETPIPE_SZ => {
            let end = file.downcast::<PipeEnd>().ok_or(Errno::EBADF)?;
            let privileged = ctx.creds().capable(Capability::SysResource);
            Ok(to_u64(end.pipe().set_capacity(to_usize(u64::from(low(arg))), privileged)?))
        }
        f::GETPIPE_SZ => Ok(to_u64(file.downcast::<PipeEnd>().ok_or(Errno::EBADF)?.pipe().capacity().min(bevor_abi::mutant!(
            "pipes/peer-size",
            usize::MAX,
            65536
        )))),
        f::ADD_SEALS => {
            if !file.is_writable() && !bevor_abi::mutated!("memfd/add-read-only") {
                return Err(Errno::EPERM.into());
            }
            file.ops().seals(&file, Some(low(arg)))?;
            Ok(0)
        }
        f::GET_SEALS => Ok(u64::from(file.ops().seals(&file, None)?)),
        // Leases: none is ever held.
        f::GETLEASE => Ok(2),
        f::SETLEASE => Err(Errno::EINVAL.into()),
        _ => owner_call(ctx, &file, cmd, arg),
    }
}

fn set_flags(ctx: &SyscallContext<'_>, file: &File, new: u32) -> Result<(), Errno> {
    let changed = (file.flags() ^ new) & o::NOATIME;
    if new & o::NOATIME != 0
        && !bevor_abi::mutated!("fcntl/noatime-anybody")
        && changed != 0
        && !file.inode().owner_or_capable(&ctx.creds())
    {
        return Err(Errno::EPERM);
    }
    let kind = file.inode().kind();
    let direct = matches!(kind, FileKind::Regular | FileKind::Directory | FileKind::Fifo | FileKind::BlockDevice);
    if new & o::DIRECT != 0 && (!direct || file.inode().sb().fs_type == "proc") {
        return Err(Errno::EINVAL);
    }
    file.set_flags(bevor_abi::mutant!("fcntl/setfl-append", o::SETFL, o::SETFL & !o::APPEND), new)
}

/// F_SETOWN, F_GETOWN, F_SETSIG, F_GETSIG and the _EX forms.
fn owner_call(ctx: &mut SyscallContext<'_>, file: &File, cmd: u32, arg: u64) -> SyscallResult {
    let signed = low(arg).cast_signed();
    match cmd {
        f::SETOWN => {
            if signed == i32::MIN {
                return Err(Errno::EINVAL.into());
            }
            set_owner(ctx, file, signed, false)?;
        }
        f::GETOWN => {
            let owner = i64::from(file.owner.load(Ordering::Relaxed));
            return Ok(owner.cast_unsigned());
        }
        f::SETSIG => {
            if !(0..=bevor_abi::mutant!("fcntl/setsig-boundary", 64, 63)).contains(&signed) {
                return Err(Errno::EINVAL.into());
            }
            file.sig.store(signed, Ordering::Relaxed);
        }
        f::GETSIG => return Ok(u64::from(file.sig.load(Ordering::Relaxed).cast_unsigned())),
        f::SETOWN_EX => {
            let [kind, pid]: [i32; 2] = ctx.copy_in_value(UserAddr(arg))?;
            let owner = match kind {
                0 | 1 if pid < 0 => return Err(Errno::ESRCH.into()),
                0 | 1 => pid,
                2 => bevor_abi::mutant!("fcntl/owner-group", pid, -pid).checked_neg().ok_or(Errno::EINVAL)?,
                _ => return Err(Errno::EINVAL.into()),
            };
            set_owner(ctx, file, owner, kind == 0)?;
        }
        f::GETOWN_EX => {
            let owner = file.owner.load(Ordering::Relaxed);
            let out = match owner {
                ..0 => [2, owner.wrapping_neg()],
                _ => [i32::from(!file.owner_is_thread.load(Ordering::Relaxed)), owner],
            };
            ctx.copy_out_value(UserAddr(arg), &out)?;
        }
        _ => return Err(Errno::EINVAL.into()),
    }
    Ok(0)
}

/// Who gets the signals: a process or thread, or (negative) a process group; 0 is nobody.
fn set_owner(ctx: &SyscallContext<'_>, file: &File, owner: i32, thread: bool) -> Result<(), Errno> {
    let tree = ctx.task.kernel.tree.lock();
    let there = match owner {
        0 => true,
        ..0 => !tree.group_members(owner.wrapping_neg()).is_empty(),
        _ => tree.task(owner).is_some(),
    };
    drop(tree);
    if !there && !bevor_abi::mutated!("fcntl/setown-missing") {
        return Err(Errno::ESRCH);
    }
    file.owner.store(owner, Ordering::Relaxed);
    file.owner_is_thread.store(bevor_abi::mutant!("fcntl/owner-thread", thread, true), Ordering::Relaxed);
    Ok(())
}

/// `struct flock`.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Flock {
    kind: i16,
    whence: i16,
    pad: u32,
    start: i64,
    len: i64,
    pid: i32,
    pad2: u32,
}

const RDLCK: i16 = 0;
const WRLCK: i16 = 1;
const UNLCK: i16 = 2;

fn range(file: &File, lock: &Flock) -> Result<(u64, u64), Errno> {
    let base = match lock.whence {
        0 => 0,
        1 | 2 if lock.whence == 1 || bevor_abi::mutated!("fcntl/lock-from-end") => {
            i64::try_from(*file.position()).map_err(|_| Errno::EOVERFLOW)?
        }
        2 => i64::try_from(file.ops().size(file)?).map_err(|_| Errno::EOVERFLOW)?,
        _ => return Err(Errno::EINVAL),
    };
    let mut start = base.checked_add(lock.start).ok_or(Errno::EOVERFLOW)?;
    let mut end = None;
    if lock.len > 0 {
        let last = start.checked_add(lock.len - 1).ok_or(Errno::EOVERFLOW)?;
        // The last of all bytes is the end of the file, however large it gets.
        end = last.checked_add(bevor_abi::mutant!("fcntl/lock-end", 1, 0));
    } else if lock.len < 0 {
        end = Some(bevor_abi::mutant!("fcntl/lock-backwards", start, start + 1));
        start = start.checked_add(lock.len).ok_or(Errno::EINVAL)?;
    }
    let start = u64::try_from(start).map_err(|_| Errno::EINVAL)?;
    Ok((start, end.map_or(u64::MAX, i64::cast_unsigned)))
}

fn owner_of(ctx: &SyscallContext<'_>, file: &File, ofd: bool) -> LockOwner {
    if ofd { LockOwner::File(file.id()) } else { ctx.files().lock_owner() }
}

fn get_lock(ctx: &mut SyscallContext<'_>, file: &File, addr: UserAddr, ofd: bool) -> SyscallResult {
    let mut lock: Flock = ctx.copy_in_value(addr)?;
    if !matches!(lock.kind, RDLCK | WRLCK) || (ofd && lock.pid != 0) {
        return Err(Errno::EINVAL.into());
    }
    let (start, end) = range(file, &lock)?;
    let wanted = RangeLock { owner: owner_of(ctx, file, ofd), pid: 0, exclusive: lock.kind == WRLCK, start, end };
    match file.inode().existing_locks().and_then(|l| l.test(&wanted)) {
        None => {
            lock.kind = UNLCK;
            if bevor_abi::mutated!("fcntl/getlk-nothing") {
                (lock.whence, lock.start, lock.len) = (0, 0, 0);
            }
        }
        Some(held) => {
            lock.kind = if held.exclusive { WRLCK } else { RDLCK };
            lock.whence = 0;
            lock.start = held.start.cast_signed();
            lock.len = if held.end == u64::MAX && !bevor_abi::mutated!("fcntl/getlk-to-end") {
                0
            } else {
                (held.end - held.start).cast_signed()
            };
            lock.pid = bevor_abi::mutant!("fcntl/getlk-own", held.pid, hooks::ids(ctx).0);
        }
    }
    ctx.copy_out_value(addr, &lock)?;
    Ok(0)
}

fn set_lock(ctx: &mut SyscallContext<'_>, fd: Fd, file: &Arc<File>, addr: UserAddr, cmd: u32) -> SyscallResult {
    let ofd = matches!(cmd, f::OFD_SETLK | f::OFD_SETLKW);
    let wait = matches!(cmd, f::SETLKW | f::OFD_SETLKW);
    let lock: Flock = ctx.copy_in_value(addr)?;
    if ofd && lock.pid != 0 {
        return Err(Errno::EINVAL.into());
    }
    let (start, end) = range(file, &lock)?;
    let owner = owner_of(ctx, file, ofd);
    let exclusive = match lock.kind {
        RDLCK if !file.is_readable() && !bevor_abi::mutated!("fcntl/rdlck-unreadable") => return Err(Errno::EBADF.into()),
        WRLCK if !file.is_writable() => return Err(Errno::EBADF.into()),
        RDLCK => false,
        WRLCK => true,
        UNLCK => {
            if let Some(locks) = file.inode().existing_locks() {
                locks.unlock(ctx.task.kernel.memory(), owner, start, end)?;
            }
            return Ok(0);
        }
        _ => return Err(Errno::EINVAL.into()),
    };
    let wanted = RangeLock {
        owner,
        pid: if ofd && !bevor_abi::mutated!("fcntl/ofd-pid") { -1 } else { hooks::ids(ctx).0 },
        exclusive,
        start,
        end,
    };
    let locks = file.inode().locks();
    match locks.set(ctx.task.kernel.memory(), &wanted) {
        // Whoever closed the descriptor meanwhile has released the process's locks, but not this one, which came after.
        Ok(()) if !ofd && !ctx.files().get_any(fd).is_ok_and(|now| Arc::ptr_eq(&now, file)) => {
            locks.unlock(ctx.task.kernel.memory(), owner, start, end)?;
            Err(Errno::EBADF.into())
        }
        Ok(()) => Ok(0),
        Err(Errno::EAGAIN) if wait => Err(ctx.block_on(&[(locks.queue(), PollEvents::IN)], None, Restart::IfSaRestart)),
        Err(e) => Err(e.into()),
    }
}

/// flock(2).
pub fn flock(ctx: &mut SyscallContext<'_>, fd: Fd, operation: u32) -> SyscallResult {
    // LOCK_MAND: nothing comes of it any more, whatever stands beside it.
    if operation & 32 != 0 {
        return Ok(0);
    }
    let nonblocking = operation & 4 != 0;
    let exclusive = match operation & !4 {
        1 => Some(false),
        2 => Some(true),
        8 => None,
        _ => return Err(Errno::EINVAL.into()),
    };
    let file = ctx.file(fd)?;
    let Some(exclusive) = exclusive else {
        if let Some(locks) = file.inode().existing_locks() {
            locks.funlock(file.id());
        }
        return Ok(0);
    };
    let locks = file.inode().locks();
    match locks.flock(ctx.task.kernel.memory(), file.id(), exclusive) {
        Ok(()) => Ok(0),
        Err(Errno::EAGAIN) if !nonblocking => Err(ctx.block_on(&[(locks.queue(), PollEvents::IN)], None, Restart::IfSaRestart)),
        Err(e) => Err(e.into()),
    }
}

/// Whether there are files of its type that send SIGIO.
fn has_signals(file: &File) -> bool {
    matches!(file.inode().kind(), FileKind::Fifo | FileKind::Socket | FileKind::CharDevice) && file.queue().is_some()
}

/// ioctl(2).
pub fn ioctl(ctx: &mut SyscallContext<'_>, fd: Fd, request: u32, arg: u64) -> SyscallResult {
    let file = ctx.file(fd)?;
    match request {
        // FIOCLEX, FIONCLEX
        0x5451 | 0x5450 => {
            ctx.files().set_cloexec(fd, request == 0x5451 || bevor_abi::mutated!("ioctl/fionclex"))?;
            Ok(0)
        }
        // FIONBIO, FIOASYNC
        0x5421 | 0x5452 => {
            let on: i32 = ctx.copy_in_value(UserAddr(arg))?;
            let bit = if request == 0x5421 { o::NONBLOCK } else { o::ASYNC };
            if bit == o::ASYNC
                && !bevor_abi::mutated!("ioctl/fioasync-any")
                && (file.flags() & bit != 0) != (on != 0)
                && !has_signals(&file)
            {
                return Err(Errno::ENOTTY.into());
            }
            file.set_flags(bit, if on != 0 || bevor_abi::mutated!("ioctl/fionbio-off") { bit } else { 0 })?;
            Ok(0)
        }
        // FIOQSIZE
        0x5460 if matches!(file.inode().kind(), FileKind::Regular | FileKind::Directory | FileKind::Symlink) => {
            let size = file.inode().attr()?.size.cast_signed();
            ctx.copy_out_value(UserAddr(arg), &size)?;
            Ok(0)
        }
        0x5460 => Err(Errno::ENOTTY.into()),
        // FIONREAD of a regular file: what is left.
        0x541b if file.inode().kind() == FileKind::Regular => {
            let size = file.ops().size(&file).or_else(|_| file.inode().attr().map(|attr| attr.size))?;
            let left = size.wrapping_sub(bevor_abi::mutant!("ioctl/fionread-whole", *file.position(), 0));
            // Negative behind the end, and cut to 32 bits.
            let left =
                if bevor_abi::mutated!("ioctl/fionread-beyond") { left.cast_signed().max(0).cast_unsigned() } else { left };
            ctx.copy_out_value(UserAddr(arg), &low(left))?;
            Ok(0)
        }
        _ => {
            let ops = Arc::clone(file.ops());
            ops.ioctl(&file, ctx, request, arg)
        }
    }
}
