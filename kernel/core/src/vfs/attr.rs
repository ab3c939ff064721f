//! Attributes of inodes.

use bevor_abi::fs::{Timespec, mode};

/// What an inode is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A named (or anonymous) pipe.
    Fifo,
    /// A socket.
    Socket,
    /// An anonymous object without a type in `st_mode` (eventfd, epoll ...).
    Anonymous,
}

impl FileKind {
    /// The S_IFMT bits.
    #[must_use]
    pub const fn to_mode(self) -> u32 {
        match self {
            Self::Regular => mode::IFREG,
            Self::Directory => mode::IFDIR,
            Self::Symlink => mode::IFLNK,
            Self::CharDevice => mode::IFCHR,
            Self::BlockDevice => mode::IFBLK,
            Self::Fifo => mode::IFIFO,
            Self::Socket => mode::IFSOCK,
            Self::Anonymous => 0,
        }
    }

    /// The kind of these mode bits (0 is `Anonymous`).
    #[must_use]
    pub const fn from_mode(m: u32) -> Option<Self> {
        Some(match m & mode::IFMT {
            mode::IFREG => Self::Regular,
            mode::IFDIR => Self::Directory,
            mode::IFLNK => Self::Symlink,
            mode::IFCHR => Self::CharDevice,
            mode::IFBLK => Self::BlockDevice,
            mode::IFIFO => Self::Fifo,
            mode::IFSOCK => Self::Socket,
            0 => Self::Anonymous,
            _ => return None,
        })
    }

    /// `d_type` of getdents64(2).
    #[must_use]
    pub const fn to_dirent_type(self) -> u8 {
        match self {
            Self::Fifo => 1,
            Self::CharDevice => 2,
            Self::Directory => 4,
            Self::BlockDevice => 6,
            Self::Regular => 8,
            Self::Symlink => 10,
            Self::Socket => 12,
            Self::Anonymous => 0,
        }
    }
}

/// Attributes as stat(2) and statx(2) report them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attr {
    /// Device of the file system.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
    /// Type and permission bits.
    pub mode: u32,
    /// Hard links.
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Device number of a device node.
    pub rdev: u64,
    /// Bytes.
    pub size: u64,
    /// Preferred I/O size.
    pub blksize: u32,
    /// Allocated 512-byte blocks.
    pub blocks: u64,
    /// Last access.
    pub atime: Timespec,
    /// Last change of data.
    pub mtime: Timespec,
    /// Last change of status.
    pub ctime: Timespec,
    /// Creation, if known.
    pub btime: Option<Timespec>,
}

/// A change of attributes. Fields that are `None` stay. The caller has checked permissions and knows the time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetAttr {
    /// Permission bits (without type).
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Truncate or extend to this many bytes.
    pub size: Option<u64>,
    /// Last access.
    pub atime: Option<Timespec>,
    /// Last data change.
    pub mtime: Option<Timespec>,
    /// Status change: set with every change.
    pub ctime: Option<Timespec>,
}

/// A new inode's properties, umask and set-gid inheritance already applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewNode {
    /// Type.
    pub kind: FileKind,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Device number of device nodes.
    pub rdev: u64,
}

/// File-system statistics (statfs(2)); flags come from the mount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FsStats {
    /// Block size.
    pub bsize: u64,
    /// Blocks in all.
    pub blocks: u64,
    /// Free blocks.
    pub bfree: u64,
    /// Blocks free for unprivileged users.
    pub bavail: u64,
    /// Inodes in all.
    pub files: u64,
    /// Free inodes.
    pub ffree: u64,
    /// Longest name.
    pub namelen: u64,
}
