//! Attributes: chmod(2), chown(2), umask(2), utimensat(2), truncate(2), fallocate(2), fsync(2).

use bevor_abi::fs::{Timespec, at, mode};
use bevor_abi::{Errno, Fd, UserAddr};
use bevor_core::context::SyscallContext;
use bevor_core::creds::Capability;
use bevor_core::error::SyscallResult;
use bevor_core::vfs::{FileKind, Path, SetAttr, may};

use super::hooks::{self, Env};
use super::io::drop_privileges;
use super::stat::resolve_at;

fn check_writable(place: &Path) -> Result<(), Errno> {
    if place.mount.is_read_only() { Err(Errno::EROFS) } else { Ok(()) }
}

fn apply(place: &Path, set: &SetAttr) -> SyscallResult {
    let inode = place.dentry.inode();
    inode.ops().setattr(inode, set)?;
    Ok(0)
}

fn chmod_path(place: &Path, env: &Env, new: u32) -> SyscallResult {
    check_writable(place)?;
    let inode = place.dentry.inode();
    if inode.is_symlink() {
        return Err(Errno::EOPNOTSUPP.into());
    }
    if !inode.owner_or_capable(&env.creds) {
        return Err(Errno::EPERM.into());
    }
    let mut new = new & mode::ALL;
    if !bevor_abi::mutated!("chmod/foreign-sgid") && !env.creds.in_group(inode.gid()) && !env.creds.capable(Capability::Fsetid) {
        new &= !mode::ISGID;
    }
    apply(
        place,
        &SetAttr {
            mode: Some(new),
            ctime: bevor_abi::mutant!("chmod/ctime", Some(env.fs.ns.vfs.now()), None),
            ..SetAttr::default()
        },
    )
}

/// fchmodat2(2).
pub fn fchmodat2(ctx: &mut SyscallContext<'_>, dirfd: Fd, path: UserAddr, new: u32, flags: u32) -> SyscallResult {
    if flags & !(at::SYMLINK_NOFOLLOW | at::EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let place =
        resolve_at(ctx, dirfd, path, flags, flags & bevor_abi::mutant!("fchmodat2/nofollow", at::SYMLINK_NOFOLLOW, 0) != 0)?;
    chmod_path(&place, &Env::new(ctx), new)
}

/// fchmodat(2).
pub fn fchmodat(ctx: &mut SyscallContext<'_>, dirfd: Fd, path: UserAddr, new: u32) -> SyscallResult {
    fchmodat2(ctx, dirfd, path, new, 0)
}

/// chmod(2).
pub fn chmod(ctx: &mut SyscallContext<'_>, path: UserAddr, new: u32) -> SyscallResult {
    fchmodat2(ctx, Fd::CWD, path, new, 0)
}

/// fchmod(2).
pub fn fchmod(ctx: &mut SyscallContext<'_>, fd: Fd, new: u32) -> SyscallResult {
    let file = bevor_abi::mutant!("fchmod/path-only", ctx.file(fd)?, ctx.file_any(fd)?);
    chmod_path(file.path(), &Env::new(ctx), new)
}

fn chown_path(place: &Path, env: &Env, uid: u32, gid: u32) -> SyscallResult {
    check_writable(place)?;
    let inode = place.dentry.inode();
    let creds = &env.creds;
    let (uid, gid) = (Some(uid).filter(|u| *u != u32::MAX), Some(gid).filter(|g| *g != u32::MAX));
    let capable = creds.capable(Capability::Chown);
    let owner = inode.uid() == creds.fsuid;
    if !capable
        && (uid.is_some_and(|u| !owner || u != inode.uid() && !bevor_abi::mutated!("chown/give-away"))
            || gid
                .is_some_and(|g| !owner || !(bevor_abi::mutant!("chown/any-group", creds.in_group(g), true) || g == inode.gid())))
    {
        return Err(Errno::EPERM.into());
    }
    let mut set =
        SetAttr { uid, gid, ctime: bevor_abi::mutant!("chown/ctime", Some(env.fs.ns.vfs.now()), None), ..SetAttr::default() };
    let bits = inode.mode();
    if (!inode.is_dir() || bevor_abi::mutated!("chown/dir-suid"))
        && !bevor_abi::mutated!("chown/keeps-suid")
        && bits & (mode::ISUID | mode::ISGID) != 0
    {
        // A change of owner takes the set-id bits away, also from root's files.
        let mut kept = bits & !mode::ISUID;
        if bits & 0o010 != 0 || (!creds.in_group(inode.gid()) && !creds.capable(Capability::Fsetid)) {
            kept &= !mode::ISGID;
        }
        set.mode = Some(kept);
    }
    apply(place, &set)
}

/// fchownat(2).
pub fn fchownat(ctx: &mut SyscallContext<'_>, dirfd: Fd, path: UserAddr, uid: u32, gid: u32, flags: u32) -> SyscallResult {
    if flags & !(at::SYMLINK_NOFOLLOW | at::EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let place = resolve_at(ctx, dirfd, path, flags, flags & at::SYMLINK_NOFOLLOW != 0)?;
    chown_path(&place, &Env::new(ctx), uid, gid)
}

/// chown(2).
pub fn chown(ctx: &mut SyscallContext<'_>, path: UserAddr, uid: u32, gid: u32) -> SyscallResult {
    fchownat(ctx, Fd::CWD, path, uid, gid, 0)
}

/// lchown(2).
pub fn lchown(ctx: &mut SyscallContext<'_>, path: UserAddr, uid: u32, gid: u32) -> SyscallResult {
    fchownat(ctx, Fd::CWD, path, uid, gid, bevor_abi::mutant!("lchown/follows", at::SYMLINK_NOFOLLOW, 0))
}

/// fchown(2).
pub fn fchown(ctx: &mut SyscallContext<'_>, fd: Fd, uid: u32, gid: u32) -> SyscallResult {
    let file = ctx.file(fd)?;
    chown_path(file.path(), &Env::new(ctx), uid, gid)
}

/// umask(2).
pub fn umask(ctx: &mut SyscallContext<'_>, mask: u32) -> SyscallResult {
    Ok(u64::from(ctx.fs().set_umask(mask)))
}

/// A wanted timestamp: `None` leaves it.
#[derive(Clone, Copy)]
enum Stamp {
    Now,
    Omit,
    At(Timespec),
}

const UTIME_NOW: i64 = 0x3fff_ffff;
const UTIME_OMIT: i64 = 0x3fff_fffe;

fn stamp(t: Timespec) -> Result<Stamp, Errno> {
    match t.nsec {
        UTIME_NOW => Ok(Stamp::Now),
        UTIME_OMIT => Ok(Stamp::Omit),
        1_000_000_000 if bevor_abi::mutated!("utimensat/nsec-boundary") => Ok(Stamp::At(t)),
        0..1_000_000_000 => Ok(Stamp::At(t)),
        _ => Err(Errno::EINVAL),
    }
}

fn set_times(place: &Path, env: &Env, times: [Stamp; 2]) -> SyscallResult {
    if times.iter().all(|t| matches!(t, Stamp::Omit)) {
        return Ok(0);
    }
    check_writable(place)?;
    let inode = place.dentry.inode();
    if !inode.owner_or_capable(&env.creds) {
        let both_now = times.iter().all(|t| matches!(t, Stamp::Now));
        if !both_now {
            return Err(Errno::EPERM.into());
        }
        inode.permission(&env.caller(), bevor_abi::mutant!("utimensat/now-unchecked", may::WRITE, 0))?;
    }
    let now = env.fs.ns.vfs.now();
    let pick = |t: Stamp| match t {
        Stamp::Now => Some(now),
        Stamp::Omit => bevor_abi::mutant!("utimensat/omit-now", None, Some(now)),
        Stamp::At(t) => Some(t),
    };
    apply(
        place,
        &SetAttr {
            atime: pick(times[0]),
            mtime: pick(times[1]),
            ctime: bevor_abi::mutant!("utimensat/ctime", Some(now), None),
            ..SetAttr::default()
        },
    )
}

fn read_times(ctx: &SyscallContext<'_>, addr: UserAddr) -> Result<[Stamp; 2], Errno> {
    if addr.is_null() {
        return Ok([Stamp::Now; 2]);
    }
    let raw: [i64; 4] = ctx.copy_in_value(addr)?;
    let [a, an, m, mn] = raw;
    Ok([stamp(Timespec { sec: a, nsec: an })?, stamp(Timespec { sec: m, nsec: mn })?])
}

/// utimensat(2).
pub fn utimensat(ctx: &mut SyscallContext<'_>, dirfd: Fd, path: UserAddr, times: UserAddr, flags: u32) -> SyscallResult {
    // A fraction that is none is told after the path.
    let times = match read_times(ctx, times) {
        Err(Errno::EFAULT) => return Err(Errno::EFAULT.into()),
        times => times,
    };
    if times.as_ref().is_ok_and(|t| t.iter().all(|t| matches!(t, Stamp::Omit))) && !bevor_abi::mutated!("utimensat/omit-flags") {
        return Ok(0);
    }
    if flags & !(at::SYMLINK_NOFOLLOW | at::EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let place = if path.is_null() && dirfd != Fd::CWD {
        if flags != 0 {
            return Err(Errno::EINVAL.into());
        }
        ctx.file(dirfd)?.path().clone()
    } else {
        resolve_at(ctx, dirfd, path, flags, flags & at::SYMLINK_NOFOLLOW != 0)?
    };
    set_times(&place, &Env::new(ctx), times?)
}

fn micro_times(ctx: &SyscallContext<'_>, addr: UserAddr) -> Result<[Stamp; 2], Errno> {
    if addr.is_null() {
        return Ok([Stamp::Now; 2]);
    }
    let [a, au, m, mu]: [i64; 4] = ctx.copy_in_value(addr)?;
    let convert = |sec, usec: i64| {
        if (0..1_000_000).contains(&usec) {
            Ok(Stamp::At(Timespec { sec, nsec: bevor_abi::mutant!("utimes/nanoseconds", usec * 1000, usec) }))
        } else {
            Err(Errno::EINVAL)
        }
    };
    Ok([convert(a, au)?, convert(m, mu)?])
}

/// futimesat(2).
pub fn futimesat(ctx: &mut SyscallContext<'_>, dirfd: Fd, path: UserAddr, times: UserAddr) -> SyscallResult {
    let times = micro_times(ctx, times)?;
    let place = if path.is_null() {
        ctx.file(dirfd)?.path().clone()
    } else {
        resolve_at(ctx, bevor_abi::mutant!("futimesat/cwd", dirfd, Fd::CWD), path, 0, false)?
    };
    set_times(&place, &Env::new(ctx), times)
}

/// utimes(2).
pub fn utimes(ctx: &mut SyscallContext<'_>, path: UserAddr, times: UserAddr) -> SyscallResult {
    let times = micro_times(ctx, times)?;
    let place = resolve_at(ctx, Fd::CWD, path, 0, false)?;
    set_times(&place, &Env::new(ctx), times)
}

/// utime(2).
pub fn utime(ctx: &mut SyscallContext<'_>, path: UserAddr, times: UserAddr) -> SyscallResult {
    let times = if times.is_null() && !bevor_abi::mutated!("utime/null") {
        [Stamp::Now; 2]
    } else {
        let raw: [i64; 2] = ctx.copy_in_value(times)?;
        raw.map(|sec| Stamp::At(Timespec { sec, nsec: 0 }))
    };
    let place = resolve_at(ctx, Fd::CWD, path, 0, false)?;
    set_times(&place, &Env::new(ctx), times)
}

fn size_limit(ctx: &mut SyscallContext<'_>, size: u64) -> Result<(), Errno> {
    if bevor_abi::mutant!("truncate/fsize-boundary", size > hooks::fsize_limit(ctx), size >= hooks::fsize_limit(ctx)) {
        ctx.raise = bevor_abi::mutant!("truncate/no-signal", Some(25), None);
        return Err(Errno::EFBIG);
    }
    Ok(())
}

/// truncate(2).
pub fn truncate(ctx: &mut SyscallContext<'_>, path: UserAddr, size: i64) -> SyscallResult {
    let size = u64::try_from(size).map_err(|_| Errno::EINVAL)?;
    let place = resolve_at(ctx, Fd::CWD, path, 0, false)?;
    let env = Env::new(ctx);
    let inode = place.dentry.inode();
    match inode.kind() {
        FileKind::Regular => {}
        FileKind::Directory => return Err(Errno::EISDIR.into()),
        _ => return Err(Errno::EINVAL.into()),
    }
    check_writable(&place)?;
    inode.permission(&env.caller(), bevor_abi::mutant!("truncate/permission", may::WRITE, 0))?;
    size_limit(ctx, size)?;
    if !bevor_abi::mutated!("truncate/running") {
        inode.get_write_access()?;
    }
    let now = Some(env.fs.ns.vfs.now());
    let result = inode.ops().setattr(
        inode,
        &SetAttr {
            size: Some(size),
            mode: bevor_abi::mutant!("truncate/keeps-suid", inode.without_privileges(&env.creds), None),
            mtime: now,
            ctime: now,
            ..SetAttr::default()
        },
    );
    inode.put_write_access();
    result?;
    Ok(0)
}

/// ftruncate(2).
pub fn ftruncate(ctx: &mut SyscallContext<'_>, fd: Fd, size: i64) -> SyscallResult {
    let size = u64::try_from(size).map_err(|_| Errno::EINVAL)?;
    let file = ctx.file(fd)?;
    if file.inode().kind() != FileKind::Regular || !file.is_writable() && !bevor_abi::mutated!("ftruncate/read-only") {
        return Err(Errno::EINVAL.into());
    }
    size_limit(ctx, size)?;
    file.ops().truncate(&file, size)?;
    if !bevor_abi::mutated!("ftruncate/keeps-suid") {
        drop_privileges(ctx, &file);
    }
    Ok(0)
}

/// fallocate(2).
pub fn fallocate(ctx: &mut SyscallContext<'_>, fd: Fd, mode: u32, offset: i64, len: i64) -> SyscallResult {
    let file = ctx.file(fd)?;
    let (Ok(offset), Ok(len @ 1..)) = (u64::try_from(offset), u64::try_from(len)) else {
        return Err(Errno::EINVAL.into());
    };
    // COLLAPSE_RANGE, ZERO_RANGE, INSERT_RANGE, UNSHARE_RANGE and WRITE_ZEROES exist too.
    let (kind, keep_size) = (mode & !1, mode & 1 != 0);
    let unknown = match kind {
        0 | 0x10 | 0x40 => false,
        2 => !keep_size && !bevor_abi::mutated!("fallocate/punch-mode"),
        8 | 0x20 | 0x80 => keep_size,
        _ => true,
    };
    if bevor_abi::mutant!("fallocate/read-order", unknown, unknown && file.is_writable()) {
        return Err(Errno::EOPNOTSUPP.into());
    }
    if !file.is_writable() {
        return Err(Errno::EBADF.into());
    }
    match file.inode().kind() {
        FileKind::Regular => {}
        FileKind::Fifo => return Err(Errno::ESPIPE.into()),
        FileKind::Directory => return Err(Errno::EISDIR.into()),
        _ => return Err(Errno::ENODEV.into()),
    }
    let end = offset.checked_add(len).filter(|e| *e <= i64::MAX.cast_unsigned()).ok_or(Errno::EFBIG)?;
    if !bevor_abi::mutated!("fallocate/fsize") {
        size_limit(ctx, end)?;
    }
    file.ops().fallocate(&file, mode, offset, len)?;
    drop_privileges(ctx, &file);
    Ok(0)
}

/// fsync(2).
pub fn fsync(ctx: &mut SyscallContext<'_>, fd: Fd) -> SyscallResult {
    let file = ctx.file(fd)?;
    file.ops().fsync(&file, false)?;
    Ok(0)
}

/// fdatasync(2).
pub fn fdatasync(ctx: &mut SyscallContext<'_>, fd: Fd) -> SyscallResult {
    let file = ctx.file(fd)?;
    file.ops().fsync(&file, true)?;
    Ok(0)
}

/// sync(2). The sentry buffers nothing: data is in memory for good, or was handed to the host.
pub fn sync(_ctx: &mut SyscallContext<'_>) -> SyscallResult {
    Ok(0)
}

/// syncfs(2): as fsync(2) for what the descriptor leads to; nothing else is buffered.
pub fn syncfs(ctx: &mut SyscallContext<'_>, fd: Fd) -> SyscallResult {
    let file = ctx.file(fd)?;
    match file.ops().fsync(&file, false) {
        Err(Errno::EINVAL) | Ok(()) => Ok(0),
        Err(e) => Err(e.into()),
    }
}

/// sync_file_range(2).
pub fn sync_file_range(ctx: &mut SyscallContext<'_>, fd: Fd, offset: i64, len: i64, flags: u32) -> SyscallResult {
    if flags & !7 != 0 || offset < 0 || len < 0 || offset.checked_add(len).is_none() {
        return Err(Errno::EINVAL.into());
    }
    let file = ctx.file(fd)?;
    match file.inode().kind() {
        FileKind::Regular | FileKind::Directory | FileKind::BlockDevice => {}
        _ => return Err(Errno::ESPIPE.into()),
    }
    match file.ops().fsync(&file, true) {
        Err(Errno::EINVAL) | Ok(()) => Ok(0),
        Err(e) => Err(e.into()),
    }
}

/// fadvise64(2): advice is checked, and there is nothing to advise.
pub fn fadvise64(ctx: &mut SyscallContext<'_>, fd: Fd, _offset: i64, len: i64, advice: u32) -> SyscallResult {
    let file = ctx.file(fd)?;
    if file.inode().kind() == FileKind::Fifo && !bevor_abi::mutated!("fadvise64/pipe") {
        return Err(Errno::ESPIPE.into());
    }
    if advice > 5 || len < 0 {
        return Err(Errno::EINVAL.into());
    }
    Ok(0)
}
