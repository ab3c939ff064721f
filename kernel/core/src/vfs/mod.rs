//! The virtual file system: inodes, dentries, mounts, path lookup, open files, descriptor tables.

pub mod attr;
pub mod dentry;
pub mod fdtable;
pub mod file;
pub mod fs_context;
pub mod inode;
pub mod locks;
pub mod lookup;
pub mod mount;
pub mod namei;

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use bevor_abi::Errno;
use bevor_abi::fs::{Timespec, makedev};
use parking_lot::{Mutex, RwLock};
use rustc_hash::FxHashMap;

pub use attr::{Attr, FileKind, FsStats, NewNode, SetAttr};
pub use dentry::Dentry;
pub use fdtable::FdTable;
pub use file::{DirEntry, File, FileOps};
pub use fs_context::{FsContext, display_from};
pub use inode::{Inode, InodeOps, LinkTarget, Rename, SuperBlock, may};
pub use lookup::{Caller, WalkFlags};
pub use mount::{Mount, MountNamespace, Path, mount_flags};
pub use namei::{OpenRequest, Opened};

use crate::time::Timers;

/// Opens a device node. The argument is open(2)'s flags.
pub type DeviceOpen = Box<dyn Fn(u32) -> Result<Arc<dyn FileOps>, Errno> + Send + Sync>;

/// What all mount namespaces share: clocks, numbers, devices, anonymous objects.
pub struct Vfs {
    /// Clocks and timers.
    pub timers: Arc<dyn Timers>,
    pub(crate) rename_lock: Mutex<()>,
    next_ino: AtomicU64,
    next_dev: AtomicU32,
    next_mount: AtomicU64,
    devices: RwLock<FxHashMap<(FileKind, u64), DeviceOpen>>,
    anon: Arc<Mount>,
    anon_sb: Arc<SuperBlock>,
    /// Abstract AF_UNIX names.
    pub(crate) abstract_names: Mutex<FxHashMap<Vec<u8>, std::sync::Weak<dyn Any + Send + Sync>>>,
}

impl Vfs {
    /// An empty VFS.
    #[must_use]
    pub fn new(timers: Arc<dyn Timers>) -> Arc<Self> {
        let anon_sb = Arc::new(SuperBlock::new(makedev(0, 15), "anon_inodefs", 0x0904_1934));
        let root = Inode::new(Arc::clone(&anon_sb), 1, 0, 0, 0, Box::new(AnonInode { time: Timespec::default() }));
        Arc::new(Self {
            timers,
            rename_lock: Mutex::new(()),
            next_ino: AtomicU64::new(1000),
            next_dev: AtomicU32::new(20),
            next_mount: AtomicU64::new(20),
            devices: RwLock::default(),
            anon: Mount::detached(0, Dentry::new_root(root, b""), "none", 0),
            anon_sb,
            abstract_names: Mutex::default(),
        })
    }

    /// The current time for timestamps.
    #[must_use]
    pub fn now(&self) -> Timespec {
        Timespec::from_nanos(self.timers.realtime())
    }

    /// A fresh inode number for an anonymous object.
    #[must_use]
    pub fn next_ino(&self) -> u64 {
        self.next_ino.fetch_add(1, Ordering::Relaxed)
    }

    /// A fresh anonymous device number for a file system.
    #[must_use]
    pub fn next_dev(&self) -> u64 {
        makedev(0, self.next_dev.fetch_add(1, Ordering::Relaxed))
    }

    /// A mount of `root`, not attached anywhere yet.
    #[must_use]
    pub fn new_mount(&self, root: Arc<Inode>, source: &str, flags: u32) -> Arc<Mount> {
        let id = self.next_mount.fetch_add(1, Ordering::Relaxed);
        Mount::detached(id, Dentry::new_root(root, b"/"), source, flags)
    }

    /// Enters a driver for device nodes of this number.
    pub fn register_device(&self, kind: FileKind, rdev: u64, open: DeviceOpen) {
        self.devices.write().insert((kind, rdev), open);
    }

    /// Opens a device.
    ///
    /// # Errors
    /// ENXIO if there is none of that number.
    pub fn open_device(&self, kind: FileKind, rdev: u64, flags: u32) -> Result<Arc<dyn FileOps>, Errno> {
        self.devices.read().get(&(kind, rdev)).ok_or(Errno::ENXIO)?(flags)
    }

    /// A file that has no name in any tree. `name`: what /proc/PID/fd shows, with `{}` standing for the inode number.
    /// `mode`: type and permission bits for fstat(2).
    #[must_use]
    pub fn anon_file(&self, name: &str, mode: u32, ops: Arc<dyn FileOps>, flags: u32, owner: (u32, u32)) -> Arc<File> {
        let ino = self.next_ino();
        let inode = Inode::new(Arc::clone(&self.anon_sb), ino, mode, owner.0, owner.1, Box::new(AnonInode { time: self.now() }));
        self.anon_file_of(&name.replace("{}", &ino.to_string()), inode, ops, flags)
    }

    /// As [`Vfs::anon_file`] for an inode that exists (the two ends of a pipe, a memfd).
    #[must_use]
    pub fn anon_file_of(&self, name: &str, inode: Arc<Inode>, ops: Arc<dyn FileOps>, flags: u32) -> Arc<File> {
        let path = Path { mount: Arc::clone(&self.anon), dentry: Dentry::new_root(inode, name.as_bytes()) };
        File::new(path, ops, flags)
    }
}

impl std::fmt::Debug for Vfs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vfs")
    }
}

/// The inode of an object without a file system.
struct AnonInode {
    time: Timespec,
}

impl InodeOps for AnonInode {
    fn getattr(&self, inode: &Inode) -> Result<Attr, Errno> {
        Ok(Attr {
            dev: inode.sb().dev,
            ino: inode.ino(),
            mode: inode.kind().to_mode() | inode.mode(),
            nlink: 1,
            uid: inode.uid(),
            gid: inode.gid(),
            blksize: 4096,
            atime: self.time,
            mtime: self.time,
            ctime: self.time,
            ..Attr::default()
        })
    }
    fn setattr(&self, inode: &Inode, set: &SetAttr) -> Result<(), Errno> {
        inode.set_perm(
            set.mode.unwrap_or_else(|| inode.mode()),
            set.uid.unwrap_or_else(|| inode.uid()),
            set.gid.unwrap_or_else(|| inode.gid()),
        );
        Ok(())
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}
