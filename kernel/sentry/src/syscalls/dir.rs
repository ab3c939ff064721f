//! Directories and names: getdents(2), chdir(2), mkdir(2), unlink(2), rename(2), link(2), mknod(2).

use bevor_abi::fs::{at, mode};
use bevor_abi::{Errno, Fd, UserAddr};
use bevor_core::context::SyscallContext;
use bevor_core::creds::Capability;
use bevor_core::error::SyscallResult;
use bevor_core::num::to_u64;
use bevor_core::vfs::{DirEntry, FileKind, Path, WalkFlags, may};

use super::hooks::{Env, start_of};
use super::stat::resolve_at;

/// Room that entries are collected in before they are copied out.
const DIR_CHUNK: usize = 64 * 1024;

fn entry64(out: &mut Vec<u8>, e: &DirEntry<'_>, limit: usize) -> bool {
    let len = (19 + e.name.len() + 1).next_multiple_of(8);
    if out.len() + len > limit {
        return false;
    }
    let start = out.len();
    out.extend_from_slice(&e.ino.to_le_bytes());
    out.extend_from_slice(&bevor_abi::mutant!("getdents/offset", e.next, e.next - 1).to_le_bytes());
    out.extend_from_slice(&u16::try_from(len).unwrap_or(u16::MAX).to_le_bytes());
    out.push(e.kind.to_dirent_type());
    out.extend_from_slice(e.name);
    out.resize(start + len, 0);
    true
}

fn entry_old(out: &mut Vec<u8>, e: &DirEntry<'_>, limit: usize) -> bool {
    // The type sits in the record's last byte.
    let len = (18 + e.name.len() + 2).next_multiple_of(8);
    if out.len() + len > limit {
        return false;
    }
    let start = out.len();
    out.extend_from_slice(&e.ino.to_le_bytes());
    out.extend_from_slice(&e.next.to_le_bytes());
    out.extend_from_slice(&u16::try_from(len).unwrap_or(u16::MAX).to_le_bytes());
    out.extend_from_slice(e.name);
    out.resize(start + len - 1, 0);
    out.push(bevor_abi::mutant!("getdents/old-type", e.kind.to_dirent_type(), 0));
    true
}

/// How many of the first `stored` bytes are whole entries, and the position behind them, if there is one. The padding need not be there.
fn arrived(entries: &[u8], stored: usize) -> Option<(usize, u64)> {
    const FIXED: usize = 18;
    let (mut at, mut behind) = (0, None);
    while let Some((head, rest)) = entries.get(at..).and_then(|entry| entry.split_at_checked(FIXED)) {
        let next = head.get(8..16).and_then(|b| b.first_chunk()).map(|b| u64::from_le_bytes(*b))?;
        let len = head.get(16..).and_then(|b| b.first_chunk()).map(|b| usize::from(u16::from_le_bytes(*b)))?;
        // The new entries have a byte for the type before the name.
        let name = rest.get(1..)?.iter().position(|b| *b == 0)?;
        if at + FIXED + 1 + name + 1 > stored {
            break;
        }
        at += len;
        behind = Some((at, next));
    }
    behind
}

type Format = fn(&mut Vec<u8>, &DirEntry<'_>, usize) -> bool;

fn read_entries(ctx: &mut SyscallContext<'_>, fd: Fd, buf: UserAddr, len: u32, format: Format) -> SyscallResult {
    let file = ctx.file(fd)?;
    if !file.inode().is_dir() {
        return Err(Errno::ENOTDIR.into());
    }
    let limit = usize::try_from(len).unwrap_or(usize::MAX).min(DIR_CHUNK);
    let mut out = Vec::new();
    let mut refused = false;
    let next = {
        let position = file.position();
        if file.path().dentry.is_unlinked() && !bevor_abi::mutated!("getdents/removed") {
            return Err(Errno::ENOENT.into());
        }
        let mut next = *position;
        file.ops().readdir(&file, next, &mut |e| {
            let fits = format(&mut out, e, limit);
            refused |= !fits;
            if fits || bevor_abi::mutated!("getdents/entry-lost") {
                next = e.next;
            }
            fits
        })?;
        drop(position);
        next
    };
    if out.is_empty() && refused && !bevor_abi::mutated!("getdents/small-buffer") {
        return Err(Errno::EINVAL.into());
    }
    let stored = if out.is_empty() { 0 } else { ctx.thread.write_memory(buf.0, &out) };
    if stored < out.len() {
        // What does not arrive is read again: entry by entry.
        let (whole, behind) = arrived(&out, stored).ok_or(Errno::EFAULT)?;
        *file.position() = behind;
        return Ok(to_u64(whole));
    }
    *file.position() = next;
    Ok(to_u64(out.len()))
}

/// getdents64(2).
pub fn getdents64(ctx: &mut SyscallContext<'_>, fd: Fd, buf: UserAddr, len: u32) -> SyscallResult {
    read_entries(ctx, fd, buf, len, entry64)
}

/// getdents(2).
pub fn getdents(ctx: &mut SyscallContext<'_>, fd: Fd, buf: UserAddr, len: u32) -> SyscallResult {
    read_entries(ctx, fd, buf, len, entry_old)
}

fn directory(ctx: &SyscallContext<'_>, path: UserAddr, env: &Env) -> Result<Path, Errno> {
    let text = ctx.copy_in_path(path)?;
    let place = env.fs.resolve(None, &text, env.caller(), WalkFlags::FOLLOW | WalkFlags::DIRECTORY)?;
    place.dentry.inode().permission(&env.caller(), bevor_abi::mutant!("chdir/permission", may::EXEC, 0))?;
    Ok(place)
}

/// chdir(2).
pub fn chdir(ctx: &mut SyscallContext<'_>, path: UserAddr) -> SyscallResult {
    let env = Env::new(ctx);
    let place = directory(ctx, path, &env)?;
    env.fs.set_cwd(place);
    Ok(0)
}

/// fchdir(2).
pub fn fchdir(ctx: &mut SyscallContext<'_>, fd: Fd) -> SyscallResult {
    let env = Env::new(ctx);
    let file = ctx.file_any(fd)?;
    if !file.inode().is_dir() {
        return Err(Errno::ENOTDIR.into());
    }
    file.inode().permission(&env.caller(), bevor_abi::mutant!("fchdir/permission", may::EXEC, 0))?;
    env.fs.set_cwd(file.path().clone());
    Ok(0)
}

/// chroot(2).
pub fn chroot(ctx: &mut SyscallContext<'_>, path: UserAddr) -> SyscallResult {
    let env = Env::new(ctx);
    let place = directory(ctx, path, &env)?;
    if !env.creds.capable(Capability::SysChroot) {
        return Err(Errno::EPERM.into());
    }
    if bevor_abi::mutated!("chroot/moves") {
        env.fs.set_cwd(place.clone());
    }
    env.fs.set_root(place);
    Ok(0)
}

/// mkdirat(2).
pub fn mkdirat(ctx: &mut SyscallContext<'_>, dirfd: Fd, path: UserAddr, mode: u32) -> SyscallResult {
    let text = ctx.copy_in_path(path)?;
    let start = start_of(ctx, bevor_abi::mutant!("mkdirat/cwd", dirfd, Fd::CWD), &text)?;
    let env = Env::new(ctx);
    let mode = mode & (bevor_abi::mutant!("mkdir/sticky", mode::ISVTX, 0) | 0o777);
    env.fs.make_node(start.as_ref(), &text, env.caller(), FileKind::Directory, mode, 0)?;
    Ok(0)
}

/// mkdir(2).
pub fn mkdir(ctx: &mut SyscallContext<'_>, path: UserAddr, mode: u32) -> SyscallResult {
    mkdirat(ctx, Fd::CWD, path, mode)
}

/// mknodat(2).
pub fn mknodat(ctx: &mut SyscallContext<'_>, dirfd: Fd, path: UserAddr, mode: u32, dev: u32) -> SyscallResult {
    let kind = match FileKind::from_mode(mode) {
        Some(FileKind::Anonymous) => FileKind::Regular,
        Some(FileKind::Directory) => return Err(bevor_abi::mutant!("mknod/directory", Errno::EPERM, Errno::EINVAL).into()),
        Some(FileKind::Symlink) | None => return Err(Errno::EINVAL.into()),
        Some(kind) => kind,
    };
    let text = ctx.copy_in_path(path)?;
    let start = start_of(ctx, dirfd, &text)?;
    let env = Env::new(ctx);
    let device = matches!(kind, FileKind::CharDevice | FileKind::BlockDevice);
    // A character device 0:0 is a whiteout: anybody may make one.
    if device
        && !(kind == FileKind::CharDevice && dev == 0)
        && !bevor_abi::mutant!("mknod/unprivileged", env.creds.capable(Capability::Mknod), true)
    {
        return Err(Errno::EPERM.into());
    }
    let rdev = if device { u64::from(dev) } else { 0 };
    env.fs.make_node(start.as_ref(), &text, env.caller(), kind, mode & mode::ALL, rdev)?;
    Ok(0)
}

/// mknod(2).
pub fn mknod(ctx: &mut SyscallContext<'_>, path: UserAddr, mode: u32, dev: u32) -> SyscallResult {
    mknodat(ctx, Fd::CWD, path, mode, dev)
}

/// unlinkat(2).
pub fn unlinkat(ctx: &mut SyscallContext<'_>, dirfd: Fd, path: UserAddr, flags: u32) -> SyscallResult {
    if flags & !at::REMOVEDIR != 0 {
        return Err(Errno::EINVAL.into());
    }
    let text = ctx.copy_in_path(path)?;
    let start = start_of(ctx, dirfd, &text)?;
    let env = Env::new(ctx);
    if flags & at::REMOVEDIR != 0 {
        env.fs.rmdir(start.as_ref(), &text, env.caller())?;
    } else {
        env.fs.unlink(start.as_ref(), &text, env.caller())?;
    }
    Ok(0)
}

/// unlink(2).
pub fn unlink(ctx: &mut SyscallContext<'_>, path: UserAddr) -> SyscallResult {
    unlinkat(ctx, Fd::CWD, path, 0)
}

/// rmdir(2).
pub fn rmdir(ctx: &mut SyscallContext<'_>, path: UserAddr) -> SyscallResult {
    unlinkat(ctx, Fd::CWD, path, at::REMOVEDIR)
}

/// renameat2(2).
pub fn renameat2(
    ctx: &mut SyscallContext<'_>,
    old_fd: Fd,
    old: UserAddr,
    new_fd: Fd,
    new: UserAddr,
    flags: u32,
) -> SyscallResult {
    const NOREPLACE: u32 = 1;
    const EXCHANGE: u32 = 2;
    if flags & !(NOREPLACE | EXCHANGE) != 0 || flags == NOREPLACE | EXCHANGE && !bevor_abi::mutated!("renameat2/both-flags") {
        return Err(Errno::EINVAL.into());
    }
    let old = ctx.copy_in_path(old)?;
    let new = ctx.copy_in_path(new)?;
    let from = start_of(ctx, old_fd, &old)?;
    let to = start_of(ctx, new_fd, &new)?;
    let env = Env::new(ctx);
    env.fs.rename((from.as_ref(), &old), (to.as_ref(), &new), env.caller(), flags)?;
    Ok(0)
}

/// renameat(2).
pub fn renameat(ctx: &mut SyscallContext<'_>, old_fd: Fd, old: UserAddr, new_fd: Fd, new: UserAddr) -> SyscallResult {
    renameat2(ctx, old_fd, old, new_fd, new, 0)
}

/// rename(2).
pub fn rename(ctx: &mut SyscallContext<'_>, old: UserAddr, new: UserAddr) -> SyscallResult {
    renameat2(ctx, Fd::CWD, old, Fd::CWD, new, 0)
}

/// linkat(2).
pub fn linkat(ctx: &mut SyscallContext<'_>, old_fd: Fd, old: UserAddr, new_fd: Fd, new: UserAddr, flags: u32) -> SyscallResult {
    if flags & !(at::SYMLINK_FOLLOW | at::EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let source = resolve_at(ctx, old_fd, old, flags, flags & at::SYMLINK_FOLLOW == 0 || bevor_abi::mutated!("linkat/follow"))?;
    let text = ctx.copy_in_path(new)?;
    let start = start_of(ctx, new_fd, &text)?;
    let env = Env::new(ctx);
    env.fs.link(&source, start.as_ref(), &text, env.caller())?;
    Ok(0)
}

/// link(2).
pub fn link(ctx: &mut SyscallContext<'_>, old: UserAddr, new: UserAddr) -> SyscallResult {
    linkat(ctx, Fd::CWD, old, Fd::CWD, new, 0)
}

/// symlinkat(2).
pub fn symlinkat(ctx: &mut SyscallContext<'_>, target: UserAddr, dirfd: Fd, path: UserAddr) -> SyscallResult {
    let target = ctx.copy_in_path(target)?;
    if target.is_empty() && !bevor_abi::mutated!("symlink/empty") {
        return Err(Errno::ENOENT.into());
    }
    let text = ctx.copy_in_path(path)?;
    let start = start_of(ctx, dirfd, &text)?;
    let env = Env::new(ctx);
    env.fs.symlink(&target, start.as_ref(), &text, env.caller())?;
    Ok(0)
}

/// symlink(2).
pub fn symlink(ctx: &mut SyscallContext<'_>, target: UserAddr, path: UserAddr) -> SyscallResult {
    symlinkat(ctx, target, Fd::CWD, path)
}
