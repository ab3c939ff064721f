//! Messages between the sentry and the gofer, and their encoding (postcard: compact, no allocation beyond the message).
//!
//! A message is one packet of at most [`MAX_MESSAGE`] bytes. Every request but [`Request::Forget`] has exactly one reply, in
//! order. Decoding never panics and never allocates more than a small multiple of the packet.

use bevor_abi::Errno;
use bitflags::bitflags;
use serde::{Deserialize, Serialize};

/// Longest message in bytes, either way.
pub const MAX_MESSAGE: usize = 64 * 1024;
/// Longest file name in bytes (NAME_MAX).
pub const NAME_MAX: usize = 255;
/// Most components in one walk.
pub const MAX_WALK: usize = 128;
/// Longest value of an extended attribute, and longest list of their names, that fits in a message.
pub const XATTR_MAX: usize = 60 * 1024;
/// Most nodes in one forget message.
pub const MAX_FORGET: usize = 4096;

/// A node that the server holds for the client: an index and a generation, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NodeId(pub(crate) u64);

impl NodeId {
    pub(crate) fn new(index: u32, generation: u32) -> Self {
        Self(u64::from(generation) << 32 | u64::from(index))
    }

    pub(crate) fn index(self) -> usize {
        usize::try_from(self.0 & 0xffff_ffff).unwrap_or(usize::MAX)
    }

    pub(crate) fn generation(self) -> u32 {
        u32::try_from(self.0 >> 32).unwrap_or(u32::MAX)
    }
}

/// Seconds and nanoseconds since the epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TimeSpec {
    /// Seconds.
    pub sec: i64,
    /// Nanoseconds, 0..1_000_000_000.
    pub nsec: u32,
}

/// What statx(2) says about a host file. Ids are the host's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attr {
    /// Host device, as `makedev(3)` composes it.
    pub dev: u64,
    /// Host inode number.
    pub ino: u64,
    /// File type and permission bits (`st_mode`).
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
    /// 512-byte blocks.
    pub blocks: u64,
    /// Preferred I/O size in bytes.
    pub blksize: u32,
    /// Last access.
    pub atime: TimeSpec,
    /// Last change of the contents.
    pub mtime: TimeSpec,
    /// Last change of the inode.
    pub ctime: TimeSpec,
    /// Creation, if the file system records it.
    pub btime: Option<TimeSpec>,
    /// `stx_attributes` (STATX_ATTR_*).
    pub attributes: u64,
    /// Whether it has an access control list, which counts beside the mode.
    pub acl: bool,
}

impl Attr {
    /// The type bits of `mode` (`S_IFMT`).
    #[must_use]
    pub fn file_type(&self) -> u32 {
        self.mode & 0o170_000
    }

    /// Whether this is a directory.
    #[must_use]
    pub fn is_dir(&self) -> bool {
        self.file_type() == 0o040_000
    }

    /// Whether this is a regular file.
    #[must_use]
    pub fn is_regular(&self) -> bool {
        self.file_type() == 0o100_000
    }

    /// Whether this is a symbolic link.
    #[must_use]
    pub fn is_symlink(&self) -> bool {
        self.file_type() == 0o120_000
    }
}

bitflags! {
    /// How to open a node; the values are `O_*` of open(2). Others are refused with EINVAL.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct OpenFlags: u32 {
        /// O_WRONLY.
        const WRONLY = 0o1;
        /// O_RDWR.
        const RDWR = 0o2;
        /// O_EXCL, for `create` only: the file must not exist.
        const EXCL = 0o200;
        /// O_TRUNC.
        const TRUNC = 0o1000;
        /// O_APPEND.
        const APPEND = 0o2000;
        /// O_DSYNC.
        const DSYNC = 0o10000;
        /// O_DIRECT.
        const DIRECT = 0o40000;
        /// O_DIRECTORY.
        const DIRECTORY = 0o200_000;
        /// O_NOATIME.
        const NOATIME = 0o1_000_000;
        /// The part of O_SYNC that O_DSYNC lacks.
        const SYNC = 0o4_000_000;
    }

    /// Flags of renameat2(2).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct RenameFlags: u32 {
        /// RENAME_NOREPLACE.
        const NOREPLACE = 1;
        /// RENAME_EXCHANGE.
        const EXCHANGE = 2;
    }
}

impl OpenFlags {
    /// Read only: no bit set.
    pub const RDONLY: Self = Self::empty();

    /// Whether the flags ask for anything that changes the file.
    #[must_use]
    pub fn writes(self) -> bool {
        self.intersects(Self::WRONLY | Self::RDWR | Self::TRUNC)
    }
}

/// Owner of a new file, as host ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// A timestamp to set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SetTime {
    /// The host's present time (UTIME_NOW).
    Now,
    /// This time.
    At(TimeSpec),
}

/// What to change in an inode. Changes are made in the order size, owner, mode, times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetAttr {
    /// Permission bits (no type).
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Length in bytes (regular files).
    pub size: Option<u64>,
    /// Last access.
    pub atime: Option<SetTime>,
    /// Last change of the contents.
    pub mtime: Option<SetTime>,
}

/// What mknod may create: device nodes are the sentry's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SpecialKind {
    /// S_IFREG.
    Regular,
    /// S_IFIFO.
    Fifo,
    /// S_IFSOCK.
    Socket,
}

/// A file of /proc/PID of a stub process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProcFile {
    /// /proc/PID/mem, for reading and writing.
    Mem,
    /// /proc/PID/maps.
    Maps,
    /// /proc/PID/smaps.
    Smaps,
    /// /proc/PID/stat.
    Stat,
    /// /proc/TID/schedstat.
    SchedStat,
}

/// What statfs(2) says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatFs {
    /// `f_type`.
    pub kind: u64,
    /// `f_bsize` in bytes.
    pub block_size: u64,
    /// Blocks in all.
    pub blocks: u64,
    /// Free blocks.
    pub free: u64,
    /// Free blocks for an ordinary user.
    pub available: u64,
    /// Inodes in all.
    pub files: u64,
    /// Free inodes.
    pub files_free: u64,
    /// Longest name in bytes.
    pub name_max: u64,
    /// Fragment size in bytes.
    pub fragment_size: u64,
    /// `f_flags` (ST_*).
    pub flags: u64,
}

/// One name in a directory; "." and ".." are left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirEntry {
    /// The name.
    #[serde(with = "bytes")]
    pub name: Vec<u8>,
    /// Host inode number.
    pub ino: u64,
    /// DT_* of getdents64(2); 0 is unknown.
    pub kind: u8,
}

/// A byte string that postcard copies in one go.
mod bytes {
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(v: &[u8], s: S) -> Result<S::Ok, S::Error> {
        s.serialize_bytes(v)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<u8>, D::Error> {
        <&[u8]>::deserialize(d).map(<[u8]>::to_vec)
    }
}

/// A request. Names are single components.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request<'a> {
    /// The root of a configured mount.
    Attach(u32),
    /// Resolve components from a directory.
    Walk(NodeId, #[serde(borrow)] Vec<&'a [u8]>),
    /// Open a node; replies `Fd`.
    Open(NodeId, u32),
    /// Target of a symbolic link.
    ReadLink(NodeId),
    /// Part of a directory from `cookie` (0 at first).
    ReadDir(NodeId, u64),
    /// statx.
    GetAttr(NodeId),
    /// Change attributes; replies `Attr`.
    SetAttr(NodeId, SetAttr),
    /// Create (or, without EXCL, open) a regular file; replies `Node` with a descriptor.
    Create(NodeId, &'a [u8], u32, u32, Owner),
    /// Make a directory; replies `Node`.
    MkDir(NodeId, &'a [u8], u32, Owner),
    /// Remove a name; `true` for a directory.
    Unlink(NodeId, &'a [u8], bool),
    /// renameat2.
    Rename(NodeId, &'a [u8], NodeId, &'a [u8], u32),
    /// A further hard link to a node; replies `Attr`.
    Link(NodeId, NodeId, &'a [u8]),
    /// A symbolic link with this target (parent, name, target); replies `Node`.
    SymLink(NodeId, &'a [u8], &'a [u8], Owner),
    /// A file without opening it; replies `Node`.
    MkNod(NodeId, &'a [u8], SpecialKind, u32, Owner),
    /// statfs.
    StatFs(NodeId),
    /// One extended attribute; replies `Bytes`.
    GetXattr(NodeId, &'a [u8]),
    /// Names of extended attributes, NUL-terminated each; replies `Bytes`.
    ListXattr(NodeId),
    /// Nodes that the client will not name again. No reply.
    Forget(Vec<NodeId>),
    /// The memory file whose descriptor comes with the request, opened again for reading only; replies `Fd`.
    ReadOnly,
    /// A /proc file of a stub.
    ProcOpen(i32, ProcFile),
    /// The stubs' process ids; replies `List` (with zeros beside them).
    ProcPids,
    /// Device and inode of every file that a stub has a descriptor of; replies `List`.
    ProcFiles(i32),
    /// An unnamed regular file of a directory's file system (O_TMPFILE); replies `Node`.
    TmpFile(NodeId, u32, Owner),
    /// Sets an extended attribute `user.*`; flags are XATTR_CREATE and XATTR_REPLACE.
    SetXattr(NodeId, &'a [u8], &'a [u8], u32),
    /// Removes an extended attribute `user.*`.
    RemoveXattr(NodeId, &'a [u8]),
}

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply<'a> {
    /// The request failed with this errno.
    Err(u16),
    /// Done; nothing to say.
    Done,
    /// Done; the descriptor is in the message's control data.
    Fd,
    /// A new node. A created file's descriptor is in the control data.
    Node(NodeId, Attr),
    /// The nodes that were resolved, and the errno (or 0) that stopped the walk.
    Walk(Vec<(NodeId, Attr)>, u16),
    /// Attributes.
    Attr(Attr),
    /// Link target or extended attribute.
    Bytes(&'a [u8]),
    /// A part of a directory and the cookie of the next part (0: this was the last).
    Dir(Vec<DirEntry>, u64),
    /// File system figures.
    StatFs(StatFs),
    /// Pairs of numbers.
    List(Vec<(u64, u64)>),
}

/// Encodes `message` into `buf` and returns the packet.
///
/// # Errors
/// EMSGSIZE if it does not fit.
pub fn encode<'b, T: Serialize>(message: &T, buf: &'b mut [u8]) -> Result<&'b [u8], Errno> {
    postcard::to_slice(message, buf).map(|used| &*used).map_err(|_| Errno::EMSGSIZE)
}

/// Decodes one packet; trailing bytes are refused.
///
/// # Errors
/// EPROTO if it is not one well-formed message.
pub fn decode<'a, T: Deserialize<'a>>(packet: &'a [u8]) -> Result<T, Errno> {
    match postcard::take_from_bytes(packet) {
        Ok((message, [])) => Ok(message),
        _ => Err(Errno::EPROTO),
    }
}

/// Whether `name` is one component that names an entry: not empty, ".", "..", and without '/' or NUL.
///
/// # Errors
/// EINVAL, or ENAMETOOLONG beyond [`NAME_MAX`] bytes.
pub fn check_name(name: &[u8]) -> Result<(), Errno> {
    if name.len() > NAME_MAX {
        return Err(Errno::ENAMETOOLONG);
    }
    if name.is_empty() || name == b"." || name == b".." || name.iter().any(|&b| b == b'/' || b == 0) {
        return Err(Errno::EINVAL);
    }
    Ok(())
}
