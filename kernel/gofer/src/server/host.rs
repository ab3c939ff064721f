//! Host file operations on `O_PATH` descriptors. Everything that must follow a descriptor to its inode goes through the
//! server's own /proc/self/fd ([`OwnFds`]): the name "7" there is descriptor 7. No path begins in the current directory but those of
//! extended attributes, for which there is no other way; it is the same directory.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use bevor_abi::Errno;
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, RawDir, ResolveFlags, SeekFrom, StatxFlags, Timespec, Timestamps, Uid, XattrFlags,
};

use crate::protocol::{Attr, DirEntry, OpenFlags, Owner, SetAttr, SetTime, StatFs, TimeSpec, XATTR_MAX};
use crate::transport::errno;

/// Room for names in one reply to a directory read. An entry takes at most 20 bytes more than its name.
const DIR_BYTES: usize = 32 * 1024;

const S_IFMT: u32 = 0o170_000;
/// S_ISUID and S_ISGID.
const S_ISID: u32 = 0o6000;
const S_IFDIR: u32 = 0o040_000;
const S_IFREG: u32 = 0o100_000;
const S_IFLNK: u32 = 0o120_000;

/// The process's own /proc/self/fd.
pub(crate) type OwnFds<'a> = BorrowedFd<'a>;

/// A descriptor's name in [`OwnFds`].
fn own(fd: BorrowedFd<'_>) -> String {
    fd.as_raw_fd().to_string()
}

/// One component beneath `parent`, not followed, as an `O_PATH` descriptor.
pub(crate) fn child(parent: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    loop {
        match rustix::fs::openat2(parent, name, flags, Mode::empty(), resolve) {
            // A rename or mount elsewhere raced with the lookup.
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            other => return other.map_err(errno),
        }
    }
}

/// That `name` is no mount point. The host looks after those of the caller's own mount namespace only; beneath a detached tree, the
/// directory would go from under what others have mounted there.
///
/// # Errors
/// EBUSY if it is one.
pub(crate) fn not_mounted_on(parent: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    /// STATX_ATTR_MOUNT_ROOT.
    const MOUNT_ROOT: u64 = 0x2000;
    match child(parent, name) {
        Ok(fd) if attr(fd.as_fd())?.attributes & MOUNT_ROOT != 0 => Err(Errno::EBUSY),
        Ok(_) | Err(Errno::ENOENT) => Ok(()),
        Err(e) => Err(e),
    }
}

/// Attributes of what `fd` refers to.
pub(crate) fn attr(fd: BorrowedFd<'_>) -> Result<Attr, Errno> {
    let x = rustix::fs::statx(
        fd,
        "",
        AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT,
        StatxFlags::BASIC_STATS | StatxFlags::BTIME,
    )
    .map_err(errno)?;
    let time = |t: rustix::fs::StatxTimestamp| TimeSpec { sec: t.tv_sec, nsec: t.tv_nsec };
    Ok(Attr {
        dev: rustix::fs::makedev(x.stx_dev_major, x.stx_dev_minor),
        ino: x.stx_ino,
        mode: u32::from(x.stx_mode),
        nlink: x.stx_nlink,
        uid: x.stx_uid,
        gid: x.stx_gid,
        rdev: rustix::fs::makedev(x.stx_rdev_major, x.stx_rdev_minor),
        size: x.stx_size,
        blocks: x.stx_blocks,
        blksize: x.stx_blksize,
        atime: time(x.stx_atime),
        mtime: time(x.stx_mtime),
        ctime: time(x.stx_ctime),
        btime: (x.stx_mask & StatxFlags::BTIME.bits() != 0).then(|| time(x.stx_btime)),
        attributes: x.stx_attributes.bits(),
        acl: false,
    })
}

/// Attributes of what `fd` refers to, with whether there is an access control list.
pub(crate) fn described(fd: BorrowedFd<'_>) -> Result<Attr, Errno> {
    let attr = attr(fd)?;
    // Without bits for the group nobody looks at it: they are its mask.
    let acl = attr.mode & 0o070 != 0
        && !attr.is_symlink()
        && match rustix::fs::getxattr(own(fd), "system.posix_acl_access", &mut [0_u8; 0][..]) {
            Ok(_) => true,
            Err(rustix::io::Errno::NODATA | rustix::io::Errno::OPNOTSUPP) => false,
            Err(e) => return Err(errno(e)),
        };
    Ok(Attr { acl, ..attr })
}

/// Opens the inode behind an `O_PATH` descriptor. `file_type` is its type: only regular files and directories are opened.
pub(crate) fn reopen(fds: OwnFds<'_>, fd: BorrowedFd<'_>, file_type: u32, flags: OpenFlags) -> Result<OwnedFd, Errno> {
    match file_type {
        S_IFREG if flags.contains(OpenFlags::DIRECTORY) => return Err(Errno::ENOTDIR),
        S_IFREG => {}
        S_IFDIR if flags.writes() => return Err(Errno::EISDIR),
        S_IFDIR => {}
        S_IFLNK => return Err(Errno::ELOOP),
        _ => return Err(Errno::ENXIO),
    }
    if flags.contains(OpenFlags::WRONLY | OpenFlags::RDWR) {
        return Err(Errno::EINVAL);
    }
    let flags = OFlags::from_bits_retain(flags.bits()) | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    rustix::fs::openat(fds, own(fd), flags, Mode::empty()).map_err(errno)
}

/// Opens the memory file behind `fd` again, for reading only. `memory_dev` is the device of such files. `fd` must be able to read:
/// what comes back can do less than what was sent, whoever sent it.
pub(crate) fn read_only(fds: OwnFds<'_>, fd: BorrowedFd<'_>, memory_dev: u64) -> Result<OwnedFd, Errno> {
    let flags = rustix::fs::fcntl_getfl(fd).map_err(errno)?;
    if flags.contains(OFlags::PATH) || ![OFlags::RDONLY, OFlags::RDWR].contains(&(flags & OFlags::RWMODE)) {
        return Err(Errno::EINVAL);
    }
    let attr = attr(fd)?;
    if !attr.is_regular() || attr.dev != memory_dev {
        return Err(Errno::EINVAL);
    }
    rustix::fs::openat(fds, own(fd), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(errno)
}

/// The target of a symbolic link.
pub(crate) fn readlink(fd: BorrowedFd<'_>) -> Result<Vec<u8>, Errno> {
    // An empty path on anything but a link is ENOENT; readlink(2) on such a name is EINVAL.
    match rustix::fs::readlinkat(fd, "", Vec::new()) {
        Ok(target) => Ok(target.into_bytes()),
        Err(rustix::io::Errno::NOENT) => Err(Errno::EINVAL),
        Err(e) => Err(errno(e)),
    }
}

/// Entries of a directory from `cookie`, as many as fit in a reply, and the cookie to go on from (0 at the end).
pub(crate) fn readdir(fds: OwnFds<'_>, fd: BorrowedFd<'_>, cookie: u64) -> Result<(Vec<DirEntry>, u64), Errno> {
    let dir = reopen(fds, fd, S_IFDIR, OpenFlags::DIRECTORY)?;
    if cookie != 0 {
        rustix::fs::seek(&dir, SeekFrom::Start(cookie)).map_err(errno)?;
    }
    let mut buffer = [MaybeUninit::uninit(); DIR_BYTES];
    let mut iter = RawDir::new(dir.as_fd(), &mut buffer);
    let mut entries = Vec::new();
    let mut used = 0;
    let mut last = cookie;
    while let Some(entry) = iter.next() {
        let entry = entry.map_err(errno)?;
        let name = entry.file_name().to_bytes();
        used += name.len() + 20;
        if used > DIR_BYTES {
            return Ok((entries, bevor_abi::mutant!("gofer/readdir-cut", last, 0)));
        }
        last = entry.next_entry_cookie();
        if name != b"." && name != b".." {
            entries.push(DirEntry { name: name.to_vec(), ino: entry.ino(), kind: dirent_kind(entry.file_type()) });
        }
    }
    Ok((entries, 0))
}

/// DT_* of getdents64(2).
fn dirent_kind(kind: FileType) -> u8 {
    match kind {
        FileType::Fifo => 1,
        FileType::CharacterDevice => 2,
        FileType::Directory => 4,
        FileType::BlockDevice => 6,
        FileType::RegularFile => 8,
        FileType::Symlink => 10,
        FileType::Socket => 12,
        FileType::Unknown => 0,
    }
}

/// Changes attributes: size, owner, mode, times, in this order (a change of owner clears set-id bits).
pub(crate) fn setattr(fds: OwnFds<'_>, fd: BorrowedFd<'_>, file_type: u32, set: &SetAttr) -> Result<(), Errno> {
    if let Some(size) = set.size {
        let file = reopen(fds, fd, file_type, OpenFlags::WRONLY)?;
        rustix::fs::ftruncate(&file, size).map_err(errno)?;
    }
    // A change of nothing is a change of owner to itself, which sets the time of change.
    let nothing = *set == SetAttr::default();
    if set.uid.is_some() || set.gid.is_some() || nothing {
        chown(fd, set.uid, bevor_abi::mutant!("gofer/chown-both", set.gid, None))?;
    }
    if let Some(mode) = set.mode {
        if file_type == S_IFLNK {
            return Err(Errno::EOPNOTSUPP);
        }
        chmod(fds, fd, mode)?;
    }
    if set.atime.is_some() || set.mtime.is_some() {
        let times = Timestamps { last_access: timespec(set.atime)?, last_modification: timespec(set.mtime)? };
        rustix::fs::utimensat(fd, "", &times, AtFlags::EMPTY_PATH).map_err(errno)?;
    }
    Ok(())
}

fn chmod(fds: OwnFds<'_>, fd: BorrowedFd<'_>, mode: u32) -> Result<(), Errno> {
    rustix::fs::chmodat(fds, own(fd), Mode::from_raw_mode(mode & 0o7777), AtFlags::empty()).map_err(errno)
}

/// What of `mode` a file may have where set-id bits are not to reach the host. A directory's say nothing about programs.
pub(crate) fn without_set_ids(file_type: u32, mode: u32) -> u32 {
    if file_type == S_IFDIR { mode } else { mode & !S_ISID }
}

/// Takes set-id bits and capabilities from a file that is about to be written. The host does so at each write(2), but not at a store
/// through a mapping, nor for truncation by who may keep them.
///
/// # Errors
/// Those of chown(2), which has the same effect where it changes no owner.
pub(crate) fn drop_privileges(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    let mode = attr(fd)?.mode;
    let privileged = |fd: BorrowedFd<'_>| {
        // ENODATA, mostly.
        rustix::fs::getxattr(own(fd), "security.capability", &mut [0_u8; 0][..]).is_ok()
    };
    if mode & S_IFMT == S_IFREG && (mode & S_ISID != 0 || privileged(fd)) {
        rustix::fs::chownat(fd, "", None, None, AtFlags::EMPTY_PATH).map_err(errno)?;
    }
    Ok(())
}

fn timespec(time: Option<SetTime>) -> Result<Timespec, Errno> {
    let (tv_sec, tv_nsec) = match time {
        None => (0, bevor_abi::mutant!("gofer/omit-now", rustix::fs::UTIME_OMIT, rustix::fs::UTIME_NOW)),
        Some(SetTime::Now) => (0, rustix::fs::UTIME_NOW),
        Some(SetTime::At(t)) if t.nsec < 1_000_000_000 => (t.sec, i64::from(t.nsec)),
        Some(SetTime::At(_)) => return Err(Errno::EINVAL),
    };
    Ok(Timespec { tv_sec, tv_nsec })
}

/// Ids for chown; the all-ones value would mean "leave alone".
fn ids(uid: Option<u32>, gid: Option<u32>) -> Result<(Option<Uid>, Option<Gid>), Errno> {
    if uid == Some(u32::MAX) || gid == Some(u32::MAX) {
        return Err(Errno::EINVAL);
    }
    Ok((uid.map(Uid::from_raw), gid.map(Gid::from_raw)))
}

fn chown(fd: BorrowedFd<'_>, uid: Option<u32>, gid: Option<u32>) -> Result<(), Errno> {
    let (uid, gid) = ids(uid, gid)?;
    rustix::fs::chownat(fd, "", uid, gid, AtFlags::EMPTY_PATH).map_err(errno)
}

/// Whether this can be what was just made under its name: of its type, with one name, and empty. Somebody else may have put another
/// file in its place, which is not to be given away.
pub(crate) fn is_new(attr: &Attr, kind: FileType) -> bool {
    FileType::from_raw_mode(attr.mode) == kind
        && match kind {
            FileType::Directory => attr.nlink <= 2,
            FileType::Symlink => attr.nlink == 1,
            _ => attr.nlink == 1 && attr.size == 0,
        }
}

/// Gives a new file to `owner`. An ordinary user's gofer cannot: what it makes stays that user's, for whom the sandbox's root stands.
///
/// # Errors
/// EPERM where even root cannot: the file would be root's with the sandbox's contents.
pub(crate) fn own_new(fds: OwnFds<'_>, fd: BorrowedFd<'_>, owner: Owner, mode: Option<u32>) -> Result<Attr, Errno> {
    let now = attr(fd)?;
    let wanted_mode = mode.map(|m| m & 0o7777);
    if now.uid == owner.uid && now.gid == owner.gid && wanted_mode.is_none_or(|m| m == now.mode & 0o7777) {
        return described(fd);
    }
    if now.uid != owner.uid || now.gid != owner.gid {
        match chown(fd, Some(owner.uid), bevor_abi::mutant!("gofer/new-group", Some(owner.gid), None)) {
            Err(Errno::EPERM) if now.uid != 0 => {}
            changed => changed?,
        }
    }
    if let Some(mode) = wanted_mode {
        chmod(fds, fd, mode)?;
    }
    described(fd)
}

/// A regular file without a name in the file system of `dir`, as an `O_PATH` descriptor.
pub(crate) fn tmpfile(fds: OwnFds<'_>, dir: BorrowedFd<'_>, mode: u32) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = rustix::fs::openat2(dir, ".", flags, Mode::from_raw_mode(mode & 0o7777), resolve).map_err(errno)?;
    rustix::fs::openat(fds, own(file.as_fd()), OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(errno)
}

/// A new hard link.
pub(crate) fn link(fds: OwnFds<'_>, fd: BorrowedFd<'_>, parent: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    rustix::fs::linkat(fds, own(fd), parent, name, AtFlags::SYMLINK_FOLLOW).map_err(errno)
}

/// The value of an extended attribute.
pub(crate) fn getxattr(fd: BorrowedFd<'_>, name: &[u8]) -> Result<Vec<u8>, Errno> {
    let mut value = vec![0; XATTR_MAX];
    let len = rustix::fs::getxattr(own(fd), name, value.as_mut_slice()).map_err(xattr_errno)?;
    value.truncate(len);
    Ok(value)
}

/// Sets an extended attribute.
pub(crate) fn setxattr(fd: BorrowedFd<'_>, name: &[u8], value: &[u8], flags: u32) -> Result<(), Errno> {
    let flags = XattrFlags::from_bits(bevor_abi::mutant!("gofer/xattr-flags", flags, 0)).ok_or(Errno::EINVAL)?;
    rustix::fs::setxattr(own(fd), name, value, flags).map_err(errno)
}

/// Removes an extended attribute.
pub(crate) fn removexattr(fd: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    rustix::fs::removexattr(own(fd), name).map_err(errno)
}

/// The names of the extended attributes, NUL-terminated each.
pub(crate) fn listxattr(fd: BorrowedFd<'_>) -> Result<Vec<u8>, Errno> {
    let mut list = vec![0; XATTR_MAX];
    let len = rustix::fs::listxattr(own(fd), list.as_mut_slice()).map_err(xattr_errno)?;
    list.truncate(len);
    Ok(list)
}

fn xattr_errno(e: rustix::io::Errno) -> Errno {
    match errno(e) {
        // The buffer is the protocol's limit, not the caller's.
        Errno::ERANGE => Errno::E2BIG,
        other => other,
    }
}

/// Figures of a file system.
pub(crate) fn statfs(fd: BorrowedFd<'_>) -> Result<StatFs, Errno> {
    let s = rustix::fs::fstatfs(fd).map_err(errno)?;
    let int = |v: i64| u64::try_from(v).unwrap_or(0);
    Ok(StatFs {
        kind: int(s.f_type),
        block_size: int(s.f_bsize),
        blocks: s.f_blocks,
        free: s.f_bfree,
        available: s.f_bavail,
        files: s.f_files,
        files_free: s.f_ffree,
        name_max: int(s.f_namelen),
        fragment_size: int(s.f_frsize),
        flags: int(s.f_flags),
    })
}

/// Whether `fd` is on a file system whose files are the kernel's knobs and views rather than data. The sandbox has its own of
/// these, so the host's are never shown.
pub(crate) fn is_pseudo(fd: BorrowedFd<'_>) -> Result<bool, Errno> {
    /// linux/magic.h: proc, sysfs, cgroup, cgroup2, debugfs, tracefs, securityfs, bpf, pstore, efivarfs, devpts, configfs,
    /// selinuxfs, smackfs, binfmt_misc, mqueue, nsfs, fusectl, autofs, nfsd, rpc_pipefs, xenfs, resctrl.
    const PSEUDO: [u64; 23] = [
        0x9fa0,
        0x6265_6572,
        0x27_e0eb,
        0x6367_7270,
        0x6462_6720,
        0x7472_6163,
        0x7363_6673,
        0xcafe_4a11,
        0x6165_676c,
        0xde5e_81e4,
        0x1cd1,
        0x6265_6570,
        0xf97c_ff8c,
        0x4341_5d53,
        0x4249_4e4d,
        0x1980_0202,
        0x6e73_6673,
        0x6573_5543,
        0x187,
        0x6e66_7364,
        0x6759_6969,
        0xabba_1974,
        0x0765_5821,
    ];
    Ok(PSEUDO.contains(&(statfs(fd)?.kind & 0xffff_ffff)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_have_been_made_just_now_is_given_away() {
        let new = Attr { mode: S_IFREG | 0o644, nlink: 1, ..Attr::default() };
        assert!(is_new(&new, FileType::RegularFile) && !is_new(&new, FileType::Fifo));
        assert!(!is_new(&Attr { size: 1, ..new }, FileType::RegularFile), "somebody's file");
        assert!(!is_new(&Attr { nlink: 2, ..new }, FileType::RegularFile), "a link to one");
        let dir = Attr { mode: S_IFDIR | 0o755, nlink: 2, size: 4096, ..Attr::default() };
        assert!(is_new(&dir, FileType::Directory) && !is_new(&Attr { nlink: 3, ..dir }, FileType::Directory));
        assert!(!is_new(&dir, FileType::Symlink));
        assert!(is_new(&Attr { mode: S_IFLNK | 0o777, nlink: 1, size: 5, ..Attr::default() }, FileType::Symlink));
    }
}
