//! mmap(2) of files. Anonymous memory and everything else about mappings is the stub's.

use bevor_abi::{Errno, Fd};
use bevor_core::context::{Action, SyscallContext};
use bevor_core::error::SyscallResult;
use bevor_core::vfs::FileKind;
use bevor_core::vfs::mount::mount_flags;
use bevor_platform::{MmapOp, Reply};

const PROT_WRITE: i32 = 2;
const PROT_EXEC: i32 = 4;
const MAP_SHARED: i32 = 1;
const MAP_SHARED_VALIDATE: i32 = 3;
const MAP_TYPE: i32 = 0xf;
const MAP_ANONYMOUS: i32 = 0x20;
const MAP_DENYWRITE: i32 = 0x800;
const MAP_EXECUTABLE: i32 = 0x1000;
const MAP_GROWSDOWN: i32 = 0x100;
const MAP_HUGETLB: i32 = 0x4_0000;
const MAP_LOCKED: i32 = 0x2000;
const MAP_SYNC: i32 = 0x8_0000;
/// Flags that MAP_SHARED_VALIDATE accepts (LEGACY_MAP_MASK).
const LEGACY: i32 = 0x7c07_f9f3;
/// Flags that mean something to the host; without MAP_SHARED_VALIDATE others are ignored.
const MEANT: i32 = 0x13_cfff;

/// mmap(2).
pub fn mmap(ctx: &mut SyscallContext<'_>, addr: u64, len: u64, prot: i32, flags: i32, fd: Fd, offset: u64) -> SyscallResult {
    let apart = !offset.is_multiple_of(4096);
    if bevor_abi::mutant!("mmap/offset-order", apart, apart && flags & MAP_ANONYMOUS != 0)
        || (len == 0 && flags & MAP_ANONYMOUS != 0)
    {
        return Err(Errno::EINVAL.into());
    }
    if flags & MAP_ANONYMOUS != 0 {
        // The stub has asked because local answers are off, or because it knows no such flags.
        if ctx.task.kernel.options.local_calls {
            return Err(Errno::EINVAL.into());
        }
        return Err(ctx.act(Action::Reply(Reply::Local(Errno::EINVAL))));
    }
    let file = ctx.file(fd)?;
    if !offset.is_multiple_of(4096) {
        return Err(Errno::EINVAL.into());
    }
    if len == 0 {
        return Err(Errno::EINVAL.into());
    }
    let shared = match flags & MAP_TYPE {
        MAP_SHARED => true,
        MAP_SHARED_VALIDATE => {
            if flags & !(LEGACY | MAP_SYNC) != 0 && !bevor_abi::mutated!("mmap/validate-ignored") || flags & MAP_SYNC != 0 {
                return Err(Errno::EOPNOTSUPP.into());
            }
            true
        }
        2 => false,
        0 if bevor_abi::mutated!("mmap/no-type") => false,
        _ => return Err(Errno::EINVAL.into()),
    };
    if !file.is_readable() && !bevor_abi::mutated!("mmap/write-only")
        || (shared || bevor_abi::mutated!("mmap/private-write")) && prot & PROT_WRITE != 0 && !file.is_writable()
    {
        return Err(Errno::EACCES.into());
    }
    // What has no name is on a mount of its own, from which nothing is executed but memory.
    let nameless = file.path().mount.id == 0 && file.inode().kind() != FileKind::Regular;
    if prot & PROT_EXEC != 0 && (nameless || file.path().mount.flags() & mount_flags::NOEXEC != 0) {
        return Err(Errno::EPERM.into());
    }
    if len.checked_add(offset).is_none_or(|end| i64::try_from(end).is_err()) {
        return Err(bevor_abi::mutant!("mmap/overflow", Errno::EOVERFLOW, Errno::EINVAL).into());
    }
    // A shared mapping of a writable file can be made writable later: its descriptor must allow it, unless the file is sealed.
    let mapping = match file.mapping(shared && bevor_abi::mutant!("mmap/shared-upgrade", file.is_writable(), true)) {
        Err(Errno::EPERM) if prot & PROT_WRITE == 0 => file.mapping(false)?,
        result => result?,
    };
    let fs = ctx.fs();
    fs.ns.vfs.note_mapping(&mapping, file.path(), &fs.root());
    let op = MmapOp {
        addr,
        len,
        prot,
        flags: host_flags(if shared {
            flags & !MAP_TYPE
                | bevor_abi::mutant!(
                    "mmap/validate-private",
                    MAP_SHARED,
                    if flags & MAP_TYPE == MAP_SHARED { MAP_SHARED } else { 2 }
                )
        } else {
            flags | bevor_abi::mutant!("mmap/no-type", 0, 2)
        })?,
        file: Some(mapping),
        offset,
    };
    Err(ctx.act(Action::Reply(Reply::Mmap(Box::new(op)))))
}

/// The flags that the host is given: those without meaning are dropped, those that the stub's filter refuses are errors.
fn host_flags(flags: i32) -> Result<i32, Errno> {
    if flags & MAP_HUGETLB != 0 {
        // As on a machine without reserved huge pages.
        return Err(Errno::ENOMEM);
    }
    if flags & MAP_GROWSDOWN != 0 && flags & MAP_TYPE != 2 {
        return Err(Errno::EINVAL);
    }
    Ok(flags & MEANT & !(MAP_DENYWRITE | MAP_EXECUTABLE | MAP_LOCKED))
}
