//! stat(2), statx(2), statfs(2), access(2), readlink(2), getcwd(2).

use bevor_abi::fs::{Stat, StatFs, Statx, StatxTime, Timespec, at, major, minor};
use bevor_abi::{Errno, Fd, UserAddr};
use bevor_core::context::SyscallContext;
use bevor_core::creds::{CapSet, Credentials};
use bevor_core::error::SyscallResult;
use bevor_core::num::to_u64;
use bevor_core::vfs::{Attr, Caller, FileKind, Path, WalkFlags, may, mount_flags};

use super::hooks::{Env, ids, start_of};

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn to_stat(a: &Attr) -> Stat {
    Stat {
        st_dev: a.dev,
        st_ino: a.ino,
        st_nlink: u64::from(a.nlink),
        st_mode: a.mode,
        st_uid: a.uid,
        st_gid: a.gid,
        st_rdev: a.rdev,
        st_size: signed(a.size),
        st_blksize: i64::from(a.blksize),
        st_blocks: signed(a.blocks),
        st_atime: a.atime.sec,
        st_atime_nsec: a.atime.nsec,
        st_mtime: a.mtime.sec,
        st_mtime_nsec: bevor_abi::mutant!("stat/mtime-fraction", a.mtime.nsec, a.atime.nsec),
        st_ctime: a.ctime.sec,
        st_ctime_nsec: a.ctime.nsec,
        ..Stat::default()
    }
}

/// The object of an *at call: `path` from `dirfd`, or `dirfd` itself for an empty path under AT_EMPTY_PATH. Does not follow a
/// last symbolic link if `nofollow`.
///
/// # Errors
/// EBADF, and those of path_resolution(7).
pub fn resolve_at(ctx: &SyscallContext<'_>, dirfd: Fd, path: UserAddr, flags: u32, nofollow: bool) -> Result<Path, Errno> {
    let text = if path.is_null() && flags & at::EMPTY_PATH != 0 {
        // Since Linux 6.11 a null path counts as empty.
        Vec::new()
    } else {
        ctx.copy_in_path(path)?
    };
    if text.is_empty() && flags & at::EMPTY_PATH != 0 {
        if dirfd == Fd::CWD && !bevor_abi::mutated!("at/empty-cwd") {
            return Ok(ctx.fs().cwd());
        }
        return Ok(ctx.file_any(dirfd)?.path().clone());
    }
    let start = start_of(ctx, dirfd, &text)?;
    let env = Env::new(ctx);
    let walk = if nofollow { WalkFlags::empty() } else { WalkFlags::FOLLOW };
    env.fs.resolve(start.as_ref(), &text, env.caller(), walk)
}

/// stat(2).
pub fn stat(ctx: &mut SyscallContext<'_>, path: UserAddr, out: UserAddr) -> SyscallResult {
    newfstatat(ctx, Fd::CWD, path, out, 0)
}

/// lstat(2).
pub fn lstat(ctx: &mut SyscallContext<'_>, path: UserAddr, out: UserAddr) -> SyscallResult {
    newfstatat(ctx, Fd::CWD, path, out, at::SYMLINK_NOFOLLOW)
}

/// fstat(2).
pub fn fstat(ctx: &mut SyscallContext<'_>, fd: Fd, out: UserAddr) -> SyscallResult {
    let attr = ctx.file_any(fd)?.inode().attr()?;
    ctx.copy_out_value(out, &to_stat(&attr))?;
    Ok(0)
}

/// newfstatat(2).
pub fn newfstatat(ctx: &mut SyscallContext<'_>, dirfd: Fd, path: UserAddr, out: UserAddr, flags: u32) -> SyscallResult {
    if flags & !(at::SYMLINK_NOFOLLOW | at::NO_AUTOMOUNT | at::EMPTY_PATH | at::STATX_SYNC_TYPE) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let place = resolve_at(ctx, dirfd, path, flags, flags & at::SYMLINK_NOFOLLOW != 0)?;
    let attr = place.dentry.inode().attr()?;
    ctx.copy_out_value(out, &to_stat(&attr))?;
    Ok(0)
}

const STATX_BASIC: u32 = 0x7ff;
/// STATX_MTIME and STATX_CTIME.
const STATX_CHANGES: u32 = 0xc0;
const STATX_BTIME: u32 = 0x800;
const STATX_MNT_ID: u32 = 0x1000;
const STATX_RESERVED: u32 = 0x8000_0000;
const ATTR_MOUNT_ROOT: u64 = 0x2000;

fn time(t: Timespec) -> StatxTime {
    StatxTime { sec: t.sec, nsec: u32::try_from(t.nsec).unwrap_or(0), pad: 0 }
}

/// statx(2).
pub fn statx(ctx: &mut SyscallContext<'_>, dirfd: Fd, path: UserAddr, flags: u32, mask: u32, out: UserAddr) -> SyscallResult {
    if mask & STATX_RESERVED != 0 || flags & at::STATX_SYNC_TYPE == at::STATX_SYNC_TYPE {
        return Err(Errno::EINVAL.into());
    }
    if flags & !(at::SYMLINK_NOFOLLOW | at::NO_AUTOMOUNT | at::EMPTY_PATH | at::STATX_SYNC_TYPE) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let place = resolve_at(ctx, dirfd, path, flags, flags & at::SYMLINK_NOFOLLOW != 0)?;
    let a = place.dentry.inode().attr()?;
    let is_root = std::sync::Arc::ptr_eq(&place.dentry, &place.mount.root);
    let btime = if mask & STATX_BTIME != 0 || bevor_abi::mutated!("statx/btime-unasked") { a.btime } else { None };
    // Linux's file systems with fine time stamps do not look at the times of change when nobody asks.
    let fine = matches!(place.dentry.inode().sb().fs_type, "tmpfs" | "overlay" | "bevor-host");
    let untold = fine && mask & STATX_CHANGES == 0;
    let (mtime, ctime) = if untold { (StatxTime::default(), StatxTime::default()) } else { (time(a.mtime), time(a.ctime)) };
    let value = Statx {
        mask: STATX_BASIC & if untold { !STATX_CHANGES } else { u32::MAX }
            | STATX_MNT_ID & mask
            | if btime.is_some() { STATX_BTIME } else { 0 },
        blksize: a.blksize,
        attributes: if is_root { ATTR_MOUNT_ROOT } else { 0 },
        nlink: a.nlink,
        uid: a.uid,
        gid: a.gid,
        mode: u16::try_from(a.mode).unwrap_or(0),
        ino: a.ino,
        size: a.size,
        blocks: a.blocks,
        attributes_mask: ATTR_MOUNT_ROOT,
        atime: time(bevor_abi::mutant!("statx/atime-mtime", a.atime, a.mtime)),
        btime: btime.map(time).unwrap_or_default(),
        ctime,
        mtime,
        rdev_major: bevor_abi::mutant!("statx/dev-swapped", major(a.rdev), minor(a.rdev)),
        rdev_minor: minor(a.rdev),
        dev_major: major(a.dev),
        dev_minor: minor(a.dev),
        mnt_id: bevor_abi::mutant!("statx/mount-id", place.mount.id, 0),
        ..Statx::default()
    };
    ctx.copy_out_value(out, &value)?;
    Ok(0)
}

fn statfs_of(ctx: &SyscallContext<'_>, place: &Path, out: UserAddr) -> SyscallResult {
    let sb = place.dentry.inode().sb();
    let s = (sb.stats)();
    let value = StatFs {
        f_type: signed(sb.magic),
        f_bsize: signed(s.bsize),
        f_blocks: s.blocks,
        f_bfree: s.bfree,
        f_bavail: s.bavail,
        f_files: s.files,
        f_ffree: s.ffree,
        f_fsid: [i32::try_from(sb.dev & 0x7fff_ffff).unwrap_or(0), 0],
        f_namelen: signed(s.namelen),
        f_frsize: bevor_abi::mutant!("statfs/fragment", signed(s.bsize), 0),
        f_flags: i64::from(bevor_abi::mutant!("statfs/flags", place.mount.flags() | mount_flags::VALID, 0)),
        ..StatFs::default()
    };
    ctx.copy_out_value(out, &value)?;
    Ok(0)
}

/// statfs(2).
pub fn statfs(ctx: &mut SyscallContext<'_>, path: UserAddr, out: UserAddr) -> SyscallResult {
    let place = resolve_at(ctx, Fd::CWD, path, 0, false)?;
    statfs_of(ctx, &place, out)
}

/// fstatfs(2).
pub fn fstatfs(ctx: &mut SyscallContext<'_>, fd: Fd, out: UserAddr) -> SyscallResult {
    let file = ctx.file_any(fd)?;
    statfs_of(ctx, file.path(), out)
}

/// access(2).
pub fn access(ctx: &mut SyscallContext<'_>, path: UserAddr, mode: u32) -> SyscallResult {
    faccessat2(ctx, Fd::CWD, path, mode, 0)
}

/// faccessat(2).
pub fn faccessat(ctx: &mut SyscallContext<'_>, dirfd: Fd, path: UserAddr, mode: u32) -> SyscallResult {
    faccessat2(ctx, dirfd, path, mode, 0)
}

/// Credentials for access(2): the real ids, with the capabilities that the real user would have.
fn real(creds: &Credentials) -> Credentials {
    let mut c = creds.clone();
    c.fsuid = c.uid;
    c.fsgid = c.gid;
    // SECBIT_NO_SETUID_FIXUP
    if c.securebits & 4 == 0 {
        c.effective = if c.uid == 0 || bevor_abi::mutated!("access/caps-kept") { c.permitted } else { CapSet::default() };
    }
    c
}

/// faccessat2(2).
pub fn faccessat2(ctx: &mut SyscallContext<'_>, dirfd: Fd, path: UserAddr, mode: u32, flags: u32) -> SyscallResult {
    if mode & !7 != 0 && !bevor_abi::mutated!("access/unknown-mode")
        || flags & !(at::EACCESS | at::SYMLINK_NOFOLLOW | at::EMPTY_PATH) != 0
    {
        return Err(Errno::EINVAL.into());
    }
    let text = ctx.copy_in_path(path)?;
    let env = Env::new(ctx);
    let creds = if flags & at::EACCESS != 0 && !bevor_abi::mutated!("faccessat2/eaccess-ignored") {
        (*env.creds).clone()
    } else {
        bevor_abi::mutant!("access/effective-ids", real(&env.creds), (*env.creds).clone())
    };
    let (pid, tid) = ids(ctx);
    let caller = Caller { creds: &creds, pid, tid };
    let place = if text.is_empty() && flags & at::EMPTY_PATH != 0 {
        if dirfd == Fd::CWD { env.fs.cwd() } else { ctx.file_any(dirfd)?.path().clone() }
    } else {
        let start = start_of(ctx, dirfd, &text)?;
        let walk = if flags & at::SYMLINK_NOFOLLOW != 0 { WalkFlags::empty() } else { WalkFlags::FOLLOW };
        env.fs.resolve(start.as_ref(), &text, caller, walk)?
    };
    let inode = place.dentry.inode();
    if mode & may::EXEC != 0 && inode.kind() == FileKind::Regular && place.mount.flags() & mount_flags::NOEXEC != 0 {
        return Err(Errno::EACCES.into());
    }
    inode.permission(&caller, mode)?;
    let special = matches!(inode.kind(), FileKind::CharDevice | FileKind::BlockDevice | FileKind::Fifo | FileKind::Socket);
    if mode & may::WRITE != 0 && place.mount.is_read_only() && !special {
        return Err(Errno::EROFS.into());
    }
    Ok(0)
}

/// readlink(2).
pub fn readlink(ctx: &mut SyscallContext<'_>, path: UserAddr, buf: UserAddr, size: i32) -> SyscallResult {
    readlinkat(ctx, Fd::CWD, path, buf, size)
}

/// readlinkat(2).
pub fn readlinkat(ctx: &mut SyscallContext<'_>, dirfd: Fd, path: UserAddr, buf: UserAddr, size: i32) -> SyscallResult {
    let size = usize::try_from(size).ok().filter(|n| *n > 0 || bevor_abi::mutated!("readlink/size-zero")).ok_or(Errno::EINVAL)?;
    let text = ctx.copy_in_path(path)?;
    let empty = text.is_empty();
    let env = Env::new(ctx);
    let place = if empty && dirfd != Fd::CWD {
        ctx.file_any(dirfd)?.path().clone()
    } else {
        let start = start_of(ctx, dirfd, &text)?;
        env.fs.resolve(start.as_ref(), &text, env.caller(), WalkFlags::empty())?
    };
    let mut target = env
        .fs
        .readlink(&place, env.caller())
        .map_err(|e| if empty && !bevor_abi::mutated!("readlinkat/empty") && e == Errno::EINVAL { Errno::ENOENT } else { e })?;
    target.truncate(bevor_abi::mutant!("readlink/cut", size, (size - 1).max(1)));
    ctx.copy_out(buf, &target)?;
    Ok(to_u64(target.len()))
}

/// getcwd(2).
pub fn getcwd(ctx: &mut SyscallContext<'_>, buf: UserAddr, size: usize) -> SyscallResult {
    let mut text = ctx.fs().getcwd()?;
    text.push(0);
    if text.len() > 4096 {
        return Err(Errno::ENAMETOOLONG.into());
    }
    if bevor_abi::mutant!("getcwd/boundary", text.len() > size, text.len() >= size) {
        return Err(Errno::ERANGE.into());
    }
    ctx.copy_out(buf, &text)?;
    Ok(to_u64(text.len()))
}
