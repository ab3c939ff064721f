//! Extended attributes (xattr(7)).

use bevor_abi::{Errno, Fd, UserAddr};
use bevor_core::context::SyscallContext;
use bevor_core::creds::Capability;
use bevor_core::error::SyscallResult;
use bevor_core::num::to_u64;
use bevor_core::vfs::{FileKind, Path, may};

use super::hooks::Env;
use super::stat::resolve_at;

/// Longest value.
const MAX_VALUE: usize = 65536;

/// What a call works on.
#[derive(Clone, Copy)]
enum Object {
    Path(UserAddr, bool),
    Fd(Fd),
}

impl Object {
    fn get(self, ctx: &SyscallContext<'_>) -> Result<Path, Errno> {
        match self {
            Self::Path(path, nofollow) => resolve_at(ctx, Fd::CWD, path, 0, nofollow),
            Self::Fd(fd) => Ok(ctx.file(fd)?.path().clone()),
        }
    }
}

fn copy_in_name(ctx: &SyscallContext<'_>, addr: UserAddr) -> Result<Vec<u8>, Errno> {
    let name = ctx.copy_in_string(addr, bevor_abi::mutant!("xattr/name-boundary", 256, 255), Errno::ERANGE)?;
    if name.is_empty() { Err(Errno::ERANGE) } else { Ok(name) }
}

/// The rules of the attribute's namespace, which is no name alone.
fn check(place: &Path, env: &Env, name: &[u8], write: bool) -> Result<(), Errno> {
    check_namespace(place, env, name, write)?;
    if name.ends_with(b".") && name.iter().filter(|b| **b == b'.').count() == 1 { Err(Errno::EINVAL) } else { Ok(()) }
}

fn check_namespace(place: &Path, env: &Env, name: &[u8], write: bool) -> Result<(), Errno> {
    let inode = place.dentry.inode();
    if write && place.mount.is_read_only() {
        return Err(Errno::EROFS);
    }
    let capable = env.creds.capable(Capability::SysAdmin);
    if name.starts_with(b"trusted.") {
        if !capable {
            return Err(if write || bevor_abi::mutated!("xattr/trusted-read") { Errno::EPERM } else { Errno::ENODATA });
        }
        return Ok(());
    }
    if name.starts_with(b"security.") {
        let may_write = if name == b"security.capability" { env.creds.capable(Capability::Setfcap) } else { capable };
        if write && !may_write {
            return Err(Errno::EPERM);
        }
        return Ok(());
    }
    if name.starts_with(b"user.") {
        if !matches!(inode.kind(), FileKind::Regular | FileKind::Directory) && !bevor_abi::mutated!("xattr/user-anywhere") {
            return Err(if write { Errno::EPERM } else { Errno::ENODATA });
        }
        if inode.is_dir()
            && inode.mode() & bevor_abi::fs::mode::ISVTX != 0
            && write
            && !bevor_abi::mutated!("xattr/sticky-directory")
            && !inode.owner_or_capable(&env.creds)
        {
            return Err(Errno::EPERM);
        }
        return inode
            .permission(&env.caller(), if write { may::WRITE } else { bevor_abi::mutant!("getxattr/unreadable", may::READ, 0) });
    }
    Err(Errno::EOPNOTSUPP)
}

fn set(ctx: &mut SyscallContext<'_>, object: Object, name: UserAddr, value: UserAddr, size: usize, flags: u32) -> SyscallResult {
    if flags & !3 != 0 {
        return Err(Errno::EINVAL.into());
    }
    let name = copy_in_name(ctx, name)?;
    if bevor_abi::mutant!("xattr/value-boundary", size > MAX_VALUE, size >= MAX_VALUE) {
        return Err(Errno::E2BIG.into());
    }
    let mut data = vec![0; size];
    if size > 0 {
        ctx.copy_in(value, &mut data)?;
    }
    let place = object.get(ctx)?;
    check(&place, &Env::new(ctx), &name, true)?;
    let inode = place.dentry.inode();
    inode.ops().setxattr(inode, &name, &data, flags)?;
    Ok(0)
}

fn get(ctx: &mut SyscallContext<'_>, object: Object, name: UserAddr, out: UserAddr, size: usize) -> SyscallResult {
    let name = copy_in_name(ctx, name)?;
    let place = object.get(ctx)?;
    check(&place, &Env::new(ctx), &name, false)?;
    let inode = place.dentry.inode();
    let value = inode.ops().getxattr(inode, &name)?;
    give(ctx, out, size, &value)
}

/// Size 0 asks for the size.
fn give(ctx: &SyscallContext<'_>, out: UserAddr, size: usize, value: &[u8]) -> SyscallResult {
    if size > 0 {
        if bevor_abi::mutant!("xattr/exact-size", value.len() > size, value.len() >= size) {
            return Err(Errno::ERANGE.into());
        }
        if !value.is_empty() {
            ctx.copy_out(out, value)?;
        }
    }
    Ok(to_u64(value.len()))
}

fn list(ctx: &mut SyscallContext<'_>, object: Object, out: UserAddr, size: usize) -> SyscallResult {
    let place = object.get(ctx)?;
    let inode = place.dentry.inode();
    if bevor_abi::mutated!("xattr/list-permission") {
        inode.permission(&Env::new(ctx).caller(), may::READ)?;
    }
    let mut names = match inode.ops().listxattr(inode) {
        Err(Errno::EOPNOTSUPP) => Vec::new(),
        other => other?,
    };
    if !ctx.creds().capable(Capability::SysAdmin) && !bevor_abi::mutated!("listxattr/trusted") {
        let shown: Vec<&[u8]> = names.split_inclusive(|b| *b == 0).filter(|n| !n.starts_with(b"trusted.")).collect();
        names = shown.concat();
    }
    give(ctx, out, size, &names)
}

fn remove(ctx: &mut SyscallContext<'_>, object: Object, name: UserAddr) -> SyscallResult {
    let name = copy_in_name(ctx, name)?;
    let place = object.get(ctx)?;
    check(&place, &Env::new(ctx), &name, bevor_abi::mutant!("removexattr/permission", true, false))?;
    let inode = place.dentry.inode();
    inode.ops().removexattr(inode, &name)?;
    Ok(0)
}

/// setxattr(2).
pub fn setxattr(
    ctx: &mut SyscallContext<'_>,
    path: UserAddr,
    name: UserAddr,
    value: UserAddr,
    size: usize,
    flags: u32,
) -> SyscallResult {
    set(ctx, Object::Path(path, false), name, value, size, flags)
}

/// lsetxattr(2).
pub fn lsetxattr(
    ctx: &mut SyscallContext<'_>,
    path: UserAddr,
    name: UserAddr,
    value: UserAddr,
    size: usize,
    flags: u32,
) -> SyscallResult {
    set(ctx, Object::Path(path, true), name, value, size, flags)
}

/// fsetxattr(2).
pub fn fsetxattr(
    ctx: &mut SyscallContext<'_>,
    fd: Fd,
    name: UserAddr,
    value: UserAddr,
    size: usize,
    flags: u32,
) -> SyscallResult {
    set(ctx, Object::Fd(fd), name, value, size, flags)
}

/// getxattr(2).
pub fn getxattr(ctx: &mut SyscallContext<'_>, path: UserAddr, name: UserAddr, out: UserAddr, size: usize) -> SyscallResult {
    get(ctx, Object::Path(path, false), name, out, size)
}

/// lgetxattr(2).
pub fn lgetxattr(ctx: &mut SyscallContext<'_>, path: UserAddr, name: UserAddr, out: UserAddr, size: usize) -> SyscallResult {
    get(ctx, Object::Path(path, true), name, out, size)
}

/// fgetxattr(2).
pub fn fgetxattr(ctx: &mut SyscallContext<'_>, fd: Fd, name: UserAddr, out: UserAddr, size: usize) -> SyscallResult {
    get(ctx, Object::Fd(fd), name, out, size)
}

/// listxattr(2).
pub fn listxattr(ctx: &mut SyscallContext<'_>, path: UserAddr, out: UserAddr, size: usize) -> SyscallResult {
    list(ctx, Object::Path(path, false), out, size)
}

/// llistxattr(2).
pub fn llistxattr(ctx: &mut SyscallContext<'_>, path: UserAddr, out: UserAddr, size: usize) -> SyscallResult {
    list(ctx, Object::Path(path, true), out, size)
}

/// flistxattr(2).
pub fn flistxattr(ctx: &mut SyscallContext<'_>, fd: Fd, out: UserAddr, size: usize) -> SyscallResult {
    list(ctx, Object::Fd(fd), out, size)
}

/// removexattr(2).
pub fn removexattr(ctx: &mut SyscallContext<'_>, path: UserAddr, name: UserAddr) -> SyscallResult {
    remove(ctx, Object::Path(path, false), name)
}

/// lremovexattr(2).
pub fn lremovexattr(ctx: &mut SyscallContext<'_>, path: UserAddr, name: UserAddr) -> SyscallResult {
    remove(ctx, Object::Path(path, true), name)
}

/// fremovexattr(2).
pub fn fremovexattr(ctx: &mut SyscallContext<'_>, fd: Fd, name: UserAddr) -> SyscallResult {
    remove(ctx, Object::Fd(fd), name)
}
