//! Inodes: the wrapper that all files share and the trait that a file system implements.

use std::any::Any;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use bevor_abi::Errno;
use bevor_abi::fs::mode;
use parking_lot::Mutex;

use super::acl::Acl;
use super::attr::{Attr, FileKind, FsStats, NewNode, SetAttr};
use super::dentry::Negatives;
use super::file::FileOps;
use super::locks::InodeLocks;
use super::lookup::Caller;
use super::mount::Path;
use crate::creds::{Capability, Credentials};
use crate::memory::MemoryBudget;
use crate::pipe::Pipe;

/// Access that is asked for (the bits of access(2)).
#[allow(missing_docs)]
pub mod may {
    pub const EXEC: u32 = 1;
    pub const WRITE: u32 = 2;
    pub const READ: u32 = 4;
}

/// A mounted file system's common part.
pub struct SuperBlock {
    /// `st_dev`.
    pub dev: u64,
    /// Name in /proc/filesystems.
    pub fs_type: &'static str,
    /// `f_type` of statfs(2).
    pub magic: u64,
    /// Whether any cached dentry must be checked with [`InodeOps::revalidate`] before use.
    pub revalidate: bool,
    /// Whether lookups may be cached at all.
    pub cache: bool,
    /// Statistics.
    pub stats: Box<dyn Fn() -> FsStats + Send + Sync>,
    /// Names that are known not to exist.
    pub negatives: Negatives,
}

impl SuperBlock {
    /// A file system with a cache that never goes stale and no statistics.
    #[must_use]
    pub fn new(dev: u64, fs_type: &'static str, magic: u64) -> Self {
        Self {
            dev,
            fs_type,
            magic,
            revalidate: false,
            cache: true,
            stats: Box::new(|| FsStats { bsize: 4096, namelen: 255, ..FsStats::default() }),
            negatives: Negatives::default(),
        }
    }
}

/// What following a symbolic link leads to.
pub enum LinkTarget {
    /// A path to be walked.
    Text(Vec<u8>),
    /// An object itself (/proc/PID/fd/N).
    Magic(Path),
}

/// A rename within one file system, permissions and types already checked.
pub struct Rename<'a> {
    /// Directory that holds the source.
    pub old_dir: &'a Arc<Inode>,
    /// Its name there.
    pub old_name: &'a [u8],
    /// The source.
    pub source: &'a Arc<Inode>,
    /// Directory that will hold it.
    pub new_dir: &'a Arc<Inode>,
    /// Its new name.
    pub new_name: &'a [u8],
    /// What is there now (replaced, or exchanged).
    pub target: Option<&'a Arc<Inode>>,
    /// RENAME_EXCHANGE.
    pub exchange: bool,
}

/// What a file system does with an inode. Directory operations run under the directory's lock. Every default is Linux's answer
/// for an inode without that operation.
#[allow(unused_variables, clippy::missing_errors_doc)]
pub trait InodeOps: Send + Sync {
    /// Attributes.
    fn getattr(&self, inode: &Inode) -> Result<Attr, Errno>;
    /// Changes attributes; must also call [`Inode::set_perm`] when mode or owners change.
    fn setattr(&self, inode: &Inode, set: &SetAttr) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }
    /// The entry `name`; ENOENT if there is none.
    fn lookup(&self, dir: &Arc<Inode>, name: &[u8], caller: &Caller<'_>) -> Result<Arc<Inode>, Errno> {
        Err(Errno::ENOTDIR)
    }
    /// Whether a cached child is still what `name` means. Asked only if the super block says so.
    fn revalidate(&self, dir: &Inode, name: &[u8], child: &Inode) -> bool {
        true
    }
    /// Makes a regular file, directory, FIFO, socket or device node.
    fn create(&self, dir: &Arc<Inode>, name: &[u8], node: &NewNode) -> Result<Arc<Inode>, Errno> {
        Err(Errno::EPERM)
    }
    /// Makes an unnamed regular file (O_TMPFILE).
    fn tmpfile(&self, dir: &Arc<Inode>, node: &NewNode) -> Result<Arc<Inode>, Errno> {
        Err(Errno::EOPNOTSUPP)
    }
    /// Makes a symbolic link.
    fn symlink(&self, dir: &Arc<Inode>, name: &[u8], target: &[u8], node: &NewNode) -> Result<Arc<Inode>, Errno> {
        Err(Errno::EPERM)
    }
    /// Makes a hard link to `inode`.
    fn link(&self, dir: &Arc<Inode>, name: &[u8], inode: &Arc<Inode>) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }
    /// Removes a name that is not a directory.
    fn unlink(&self, dir: &Arc<Inode>, name: &[u8], victim: &Arc<Inode>) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }
    /// Removes an empty directory; ENOTEMPTY.
    fn rmdir(&self, dir: &Arc<Inode>, name: &[u8], victim: &Arc<Inode>) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }
    /// Renames; called on the old directory.
    fn rename(&self, rename: &Rename<'_>) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }
    /// Text of a symbolic link.
    fn readlink(&self, inode: &Inode, caller: &Caller<'_>) -> Result<Vec<u8>, Errno> {
        Err(Errno::EINVAL)
    }
    /// Where a symbolic link leads.
    fn follow(&self, inode: &Inode, caller: &Caller<'_>) -> Result<LinkTarget, Errno> {
        self.readlink(inode, caller).map(LinkTarget::Text)
    }
    /// Opens a regular file or directory (`flags`: open(2)). Other kinds are opened by the VFS.
    fn open(&self, inode: &Arc<Inode>, flags: u32) -> Result<Arc<dyn FileOps>, Errno> {
        Err(Errno::ENXIO)
    }
    /// The same, where it matters who opens (/proc). What is bound to the file here was checked here.
    fn open_as(&self, inode: &Arc<Inode>, flags: u32, caller: &Caller<'_>) -> Result<Arc<dyn FileOps>, Errno> {
        self.open(inode, flags)
    }
    /// Opens a FIFO, socket or device node in the file system's own way (/proc/PID/fd of a host descriptor). `None`: the VFS's way.
    fn open_special(&self, inode: &Arc<Inode>, flags: u32) -> Option<Result<Arc<dyn FileOps>, Errno>> {
        None
    }
    /// A file-system specific permission rule on top of the mode bits.
    fn permission(&self, inode: &Inode, caller: &Caller<'_>, mask: u32) -> Result<(), Errno> {
        Ok(())
    }
    /// Whether the caller may do what the mode bits refuse (a process with its own /proc/self/fd).
    fn grants(&self, inode: &Inode, caller: &Caller<'_>, mask: u32) -> bool {
        false
    }
    /// The access control list, which counts for whoever is neither the owner nor may pass over permissions.
    fn acl(&self, inode: &Inode) -> Result<Option<Arc<Acl>>, Errno> {
        Ok(None)
    }
    /// An extended attribute's value; ENODATA.
    fn getxattr(&self, inode: &Inode, name: &[u8]) -> Result<Vec<u8>, Errno> {
        Err(Errno::EOPNOTSUPP)
    }
    /// Sets an extended attribute (`flags`: XATTR_CREATE 1, XATTR_REPLACE 2).
    fn setxattr(&self, inode: &Inode, name: &[u8], value: &[u8], flags: u32) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }
    /// Names, each followed by a NUL.
    fn listxattr(&self, inode: &Inode) -> Result<Vec<u8>, Errno> {
        Err(Errno::EOPNOTSUPP)
    }
    /// Removes an extended attribute; ENODATA.
    fn removexattr(&self, inode: &Inode, name: &[u8]) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }
    /// Whether it keeps a descriptor of a host file.
    fn is_host_file(&self) -> bool {
        false
    }
    /// For a file system to find its own type again.
    fn as_any(&self) -> &dyn Any;
}

/// An object of a file system.
pub struct Inode {
    ino: u64,
    kind: FileKind,
    mode: AtomicU32,
    uid: AtomicU32,
    gid: AtomicU32,
    sb: Arc<SuperBlock>,
    ops: Box<dyn InodeOps>,
    /// Serialises changes of a directory and cache fills (Linux's `i_rwsem`).
    pub(super) dir_lock: Mutex<()>,
    /// > 0: opened for writing that often; < 0: being executed, writing denied.
    writers: AtomicI32,
    /// O_TMPFILE without O_EXCL made it: it may get its first name.
    nameable: AtomicBool,
    locks: OnceLock<Box<InodeLocks>>,
    fifo: OnceLock<Arc<Pipe>>,
    /// The socket bound to a socket inode.
    pub socket: OnceLock<Arc<dyn Any + Send + Sync>>,
}

impl Inode {
    /// Makes the common part around `ops`.
    #[must_use]
    pub fn new(sb: Arc<SuperBlock>, ino: u64, mode: u32, uid: u32, gid: u32, ops: Box<dyn InodeOps>) -> Arc<Self> {
        Arc::new(Self {
            ino,
            kind: FileKind::from_mode(mode).unwrap_or(FileKind::Anonymous),
            mode: AtomicU32::new(mode & mode::ALL),
            uid: AtomicU32::new(uid),
            gid: AtomicU32::new(gid),
            sb,
            ops,
            dir_lock: Mutex::new(()),
            writers: AtomicI32::new(0),
            nameable: AtomicBool::new(false),
            locks: OnceLock::new(),
            fifo: OnceLock::new(),
            socket: OnceLock::new(),
        })
    }

    pub(super) fn set_nameable(&self) {
        self.nameable.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_nameable(&self) -> bool {
        self.nameable.load(Ordering::Relaxed)
    }

    /// Inode number.
    #[must_use]
    pub fn ino(&self) -> u64 {
        self.ino
    }

    /// Type.
    #[must_use]
    pub fn kind(&self) -> FileKind {
        self.kind
    }

    /// Whether it is a directory.
    #[must_use]
    pub fn is_dir(&self) -> bool {
        self.kind == FileKind::Directory
    }

    /// Whether it is a symbolic link.
    #[must_use]
    pub fn is_symlink(&self) -> bool {
        self.kind == FileKind::Symlink
    }

    /// Its file system.
    #[must_use]
    pub fn sb(&self) -> &Arc<SuperBlock> {
        &self.sb
    }

    /// The file system's operations.
    #[must_use]
    pub fn ops(&self) -> &dyn InodeOps {
        &*self.ops
    }

    /// Attributes.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn attr(&self) -> Result<Attr, Errno> {
        self.ops.getattr(self)
    }

    /// Permission bits without type, as cached for permission checks.
    #[must_use]
    pub fn mode(&self) -> u32 {
        self.mode.load(Ordering::Relaxed)
    }

    /// Owner, as cached for permission checks.
    #[must_use]
    pub fn uid(&self) -> u32 {
        self.uid.load(Ordering::Relaxed)
    }

    /// Group, as cached for permission checks.
    #[must_use]
    pub fn gid(&self) -> u32 {
        self.gid.load(Ordering::Relaxed)
    }

    /// Updates what permission checks look at. Called by file systems.
    pub fn set_perm(&self, mode: u32, uid: u32, gid: u32) {
        self.mode.store(mode & mode::ALL, Ordering::Relaxed);
        self.uid.store(uid, Ordering::Relaxed);
        self.gid.store(gid, Ordering::Relaxed);
    }

    /// Checks access by mode bits and capabilities (path_resolution(7)). `mask` is made of [`may`] bits.
    ///
    /// # Errors
    /// EACCES, or what the file system says.
    pub fn permission(&self, caller: &Caller<'_>, mask: u32) -> Result<(), Errno> {
        let creds = caller.creds;
        if !(self.is_dir() && creds.capable(Capability::DacOverride)) {
            self.mode_permission(creds, mask).or_else(|e| if self.ops.grants(self, caller, mask) { Ok(()) } else { Err(e) })?;
        }
        self.ops.permission(self, caller, mask)
    }

    fn mode_permission(&self, creds: &Credentials, mask: u32) -> Result<(), Errno> {
        if self.passed_over(creds, mask) {
            return Ok(());
        }
        let mode = self.mode();
        let bits = if self.uid() == creds.fsuid {
            mode >> 6 | bevor_abi::mutant!("permission/owner-others", 0, mode)
        } else if mode & 0o070 != 0
            && !self.is_symlink()
            && let Some(acl) = self.ops.acl(self)?
        {
            return if acl.permits(creds, mode, self.gid(), mask) { Ok(()) } else { Err(Errno::EACCES) };
        } else if (mode >> 3) & 7 != mode & 7
            && bevor_abi::mutant!("permission/supplementary", creds.in_group(self.gid()), creds.fsgid == self.gid())
        {
            mode >> 3
        } else {
            mode
        };
        if mask & !bits & 7 == 0 { Ok(()) } else { Err(Errno::EACCES) }
    }

    /// Whether a capability grants what permissions may not.
    fn passed_over(&self, creds: &Credentials, mask: u32) -> bool {
        if self.is_dir() {
            return mask & may::WRITE == 0 && creds.capable(Capability::DacReadSearch);
        }
        mask == may::READ && creds.capable(Capability::DacReadSearch)
            || (mask & may::EXEC == 0 || self.mode() & 0o111 != 0 || bevor_abi::mutated!("permission/root-exec"))
                && creds.capable(Capability::DacOverride)
    }

    /// The mode without the set-id bits that a change of contents by `creds` takes away; `None` if it stays as it is.
    #[must_use]
    pub fn without_privileges(&self, creds: &Credentials) -> Option<u32> {
        let bits = self.mode();
        if bits & (mode::ISUID | mode::ISGID) == 0 || self.kind() != FileKind::Regular || creds.capable(Capability::Fsetid) {
            return None;
        }
        let mut kept = bevor_abi::mutant!("write/keeps-suid", bits & !mode::ISUID, bits);
        // Without the right to execute it means mandatory locking, which the file's group may keep.
        if bits & 0o010 != 0 || !creds.in_group(self.gid()) || bevor_abi::mutated!("write/sgid-always") {
            kept &= !mode::ISGID;
        }
        (kept != bits).then_some(kept)
    }

    /// Whether `creds` own the inode or may act as owner.
    #[must_use]
    pub fn owner_or_capable(&self, creds: &Credentials) -> bool {
        self.uid() == creds.fsuid || creds.capable(Capability::Fowner)
    }

    /// Counts an opening for writing.
    ///
    /// # Errors
    /// ETXTBSY while the file is being executed.
    pub fn get_write_access(&self) -> Result<(), Errno> {
        self.writers
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| (n >= 0).then_some(n + 1))
            .map(|_| ())
            .map_err(|_| Errno::ETXTBSY)
    }

    /// Undoes [`Inode::get_write_access`].
    pub fn put_write_access(&self) {
        self.writers.fetch_sub(1, Ordering::AcqRel);
    }

    /// Denies writing while the file is executed.
    ///
    /// # Errors
    /// ETXTBSY while the file is open for writing.
    pub fn deny_write_access(&self) -> Result<(), Errno> {
        self.writers
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| (n <= 0).then_some(n - 1))
            .map(|_| ())
            .map_err(|_| Errno::ETXTBSY)
    }

    /// Undoes [`Inode::deny_write_access`].
    pub fn allow_write_access(&self) {
        self.writers.fetch_add(1, Ordering::AcqRel);
    }

    /// The file locks, made on first use.
    #[must_use]
    pub fn locks(&self) -> &InodeLocks {
        self.locks.get_or_init(Box::default)
    }

    /// The file locks, if any was ever taken.
    #[must_use]
    pub fn existing_locks(&self) -> Option<&InodeLocks> {
        self.locks.get().map(|b| &**b)
    }

    /// Makes `pipe` the one behind this inode (an anonymous pipe, so that /proc/PID/fd/N opens it again).
    pub fn set_fifo(&self, pipe: Arc<Pipe>) {
        // A fresh inode has none yet.
        self.fifo.set(pipe).ok();
    }

    /// The pipe behind a FIFO; its buffer is counted in `memory`.
    #[must_use]
    pub fn fifo(&self, memory: &Arc<MemoryBudget>) -> &Arc<Pipe> {
        self.fifo.get_or_init(|| Pipe::new(memory))
    }
}

impl std::fmt::Debug for Inode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Inode({} {} {:?})", self.sb.fs_type, self.ino, self.kind)
    }
}
