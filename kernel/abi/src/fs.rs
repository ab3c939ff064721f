//! File-system constants and structures (include/uapi/asm-generic/fcntl.h, linux/stat.h, asm/stat.h).

use zerocopy::{FromBytes, Immutable, IntoBytes};

/// open(2) flags.
#[allow(missing_docs)]
pub mod o {
    pub const ACCMODE: u32 = 3;
    pub const RDONLY: u32 = 0;
    pub const WRONLY: u32 = 1;
    pub const RDWR: u32 = 2;
    pub const CREAT: u32 = 0o100;
    pub const EXCL: u32 = 0o200;
    pub const NOCTTY: u32 = 0o400;
    pub const TRUNC: u32 = 0o1000;
    pub const APPEND: u32 = 0o2000;
    pub const NONBLOCK: u32 = 0o4000;
    pub const DSYNC: u32 = 0o10000;
    pub const ASYNC: u32 = 0o20000;
    pub const DIRECT: u32 = 0o40000;
    pub const LARGEFILE: u32 = 0o100_000;
    pub const DIRECTORY: u32 = 0o200_000;
    pub const NOFOLLOW: u32 = 0o400_000;
    pub const NOATIME: u32 = 0o1_000_000;
    pub const CLOEXEC: u32 = 0o2_000_000;
    /// Without the O_DSYNC bit.
    pub const SYNC_BIT: u32 = 0o4_000_000;
    pub const SYNC: u32 = SYNC_BIT | DSYNC;
    pub const PATH: u32 = 0o10_000_000;
    /// Without the O_DIRECTORY bit.
    pub const TMPFILE_BIT: u32 = 0o20_000_000;
    pub const TMPFILE: u32 = TMPFILE_BIT | DIRECTORY;
    /// Every flag that open(2) knows.
    pub const VALID: u32 = ACCMODE
        | CREAT
        | EXCL
        | NOCTTY
        | TRUNC
        | APPEND
        | NONBLOCK
        | SYNC
        | ASYNC
        | DIRECT
        | LARGEFILE
        | DIRECTORY
        | NOFOLLOW
        | NOATIME
        | CLOEXEC
        | PATH
        | TMPFILE;
    /// What F_SETFL changes.
    pub const SETFL: u32 = APPEND | NONBLOCK | ASYNC | DIRECT | NOATIME;
}

/// `st_mode` bits.
#[allow(missing_docs)]
pub mod mode {
    pub const IFMT: u32 = 0o170_000;
    pub const IFSOCK: u32 = 0o140_000;
    pub const IFLNK: u32 = 0o120_000;
    pub const IFREG: u32 = 0o100_000;
    pub const IFBLK: u32 = 0o060_000;
    pub const IFDIR: u32 = 0o040_000;
    pub const IFCHR: u32 = 0o020_000;
    pub const IFIFO: u32 = 0o010_000;
    pub const ISUID: u32 = 0o4000;
    pub const ISGID: u32 = 0o2000;
    pub const ISVTX: u32 = 0o1000;
    /// Permission bits with set-id and sticky bits.
    pub const ALL: u32 = 0o7777;
}

/// AT_* flags.
#[allow(missing_docs)]
pub mod at {
    pub const SYMLINK_NOFOLLOW: u32 = 0x100;
    pub const EACCESS: u32 = 0x200;
    pub const REMOVEDIR: u32 = 0x200;
    pub const SYMLINK_FOLLOW: u32 = 0x400;
    pub const NO_AUTOMOUNT: u32 = 0x800;
    pub const EMPTY_PATH: u32 = 0x1000;
    pub const STATX_SYNC_TYPE: u32 = 0x6000;
}

/// openat2(2) RESOLVE_* flags.
#[allow(missing_docs)]
pub mod resolve {
    pub const NO_XDEV: u64 = 0x01;
    pub const NO_MAGICLINKS: u64 = 0x02;
    pub const NO_SYMLINKS: u64 = 0x04;
    pub const BENEATH: u64 = 0x08;
    pub const IN_ROOT: u64 = 0x10;
    pub const CACHED: u64 = 0x20;
    pub const VALID: u64 = 0x3f;
}

/// `struct stat` of x86-64.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct Stat {
    pub st_dev: u64,
    pub st_ino: u64,
    pub st_nlink: u64,
    pub st_mode: u32,
    pub st_uid: u32,
    pub st_gid: u32,
    pub pad0: u32,
    pub st_rdev: u64,
    pub st_size: i64,
    pub st_blksize: i64,
    pub st_blocks: i64,
    pub st_atime: i64,
    pub st_atime_nsec: i64,
    pub st_mtime: i64,
    pub st_mtime_nsec: i64,
    pub st_ctime: i64,
    pub st_ctime_nsec: i64,
    pub unused: [i64; 3],
}

/// `struct statx_timestamp`.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct StatxTime {
    pub sec: i64,
    pub nsec: u32,
    pub pad: i32,
}

/// `struct statx`.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct Statx {
    pub mask: u32,
    pub blksize: u32,
    pub attributes: u64,
    pub nlink: u32,
    pub uid: u32,
    pub gid: u32,
    pub mode: u16,
    pub pad: u16,
    pub ino: u64,
    pub size: u64,
    pub blocks: u64,
    pub attributes_mask: u64,
    pub atime: StatxTime,
    pub btime: StatxTime,
    pub ctime: StatxTime,
    pub mtime: StatxTime,
    pub rdev_major: u32,
    pub rdev_minor: u32,
    pub dev_major: u32,
    pub dev_minor: u32,
    pub mnt_id: u64,
    pub dio_mem_align: u32,
    pub dio_offset_align: u32,
    pub spare: [u64; 12],
}

/// `struct statfs` of x86-64.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct StatFs {
    pub f_type: i64,
    pub f_bsize: i64,
    pub f_blocks: u64,
    pub f_bfree: u64,
    pub f_bavail: u64,
    pub f_files: u64,
    pub f_ffree: u64,
    pub f_fsid: [i32; 2],
    pub f_namelen: i64,
    pub f_frsize: i64,
    pub f_flags: i64,
    pub f_spare: [i64; 4],
}

/// `struct timespec`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct Timespec {
    /// Seconds.
    pub sec: i64,
    /// Nanoseconds, 0..1e9 in valid values.
    pub nsec: i64,
}

impl Timespec {
    /// From nanoseconds since the epoch.
    #[must_use]
    pub fn from_nanos(ns: u64) -> Self {
        Self { sec: i64::try_from(ns / 1_000_000_000).unwrap_or(i64::MAX), nsec: i64::try_from(ns % 1_000_000_000).unwrap_or(0) }
    }

    /// As nanoseconds; `None` if negative or not normalised. Saturates.
    #[must_use]
    pub fn to_nanos(self) -> Option<u64> {
        let sec = u64::try_from(self.sec).ok()?;
        let nsec = u64::try_from(self.nsec).ok().filter(|n| *n < 1_000_000_000)?;
        Some(sec.saturating_mul(1_000_000_000).saturating_add(nsec))
    }
}

/// `struct iovec`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct IoVec {
    /// Start address.
    pub base: u64,
    /// Bytes.
    pub len: u64,
}

/// `dev_t` as user space sees it, from major and minor.
#[must_use]
pub const fn makedev(major: u32, minor: u32) -> u64 {
    let (major, minor) = (major as u64, minor as u64);
    (minor & 0xff) | ((major & 0xfff) << 8) | ((minor & !0xff) << 12) | ((major & !0xfff) << 32)
}

/// Major number of a `dev_t`.
#[must_use]
pub fn major(dev: u64) -> u32 {
    u32::try_from(((dev >> 8) & 0xfff) | ((dev >> 32) & 0xffff_f000)).unwrap_or(0)
}

/// Minor number of a `dev_t`.
#[must_use]
pub fn minor(dev: u64) -> u32 {
    u32::try_from((dev & 0xff) | ((dev >> 12) & 0xffff_ff00)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_have_linux_sizes() {
        assert_eq!(size_of::<Stat>(), 144);
        assert_eq!(size_of::<Statx>(), 256);
        assert_eq!(size_of::<StatFs>(), 120);
    }

    #[test]
    fn device_numbers_round_trip() {
        let dev = makedev(0x12345, 0xabcde);
        assert_eq!((major(dev), minor(dev)), (0x12345, 0xabcde));
    }
}
