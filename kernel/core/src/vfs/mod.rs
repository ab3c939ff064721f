//! The virtual file system: inodes, dentries, mounts, path lookup, open files, descriptor tables.

pub mod acl;
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
pub mod reclaim;

use std::any::Any;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bevor_abi::Errno;
use bevor_abi::fs::{Timespec, makedev};
use bevor_hostcall::HostFd;
use bevor_platform::FileMapping;
use parking_lot::{Mutex, RwLock};
use rustc_hash::FxHashMap;

pub use acl::Acl;
pub use attr::{Attr, FileKind, FsStats, NewNode, SetAttr};
pub use dentry::{Dentry, Negatives};
pub use fdtable::FdTable;
pub use file::{DirEntry, File, FileOps};
pub use fs_context::{FsContext, display_from};
pub use inode::{Inode, InodeOps, LinkTarget, Rename, SuperBlock, may};
pub use lookup::{Caller, WalkFlags};
pub use mount::{Mount, MountNamespace, Path, mount_flags};
pub use namei::{OpenRequest, Opened};

use crate::memory::MemoryBudget;
use crate::names::NameMap;
use crate::time::Timers;
use crate::unix::Flight;

/// Opens a device node. The argument is open(2)'s flags.
pub type DeviceOpen = Box<dyn Fn(u32) -> Result<Arc<dyn FileOps>, Errno> + Send + Sync>;

/// Opens a memory file of the kernel's again, for reading only.
pub type ReadOnly = Box<dyn Fn(&HostFd) -> Result<HostFd, Errno> + Send + Sync>;

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
    pipe_sb: Arc<SuperBlock>,
    socket_sb: Arc<SuperBlock>,
    /// What mapped host files are in the sandbox, by host device and inode.
    mapped: Mutex<FxHashMap<HostInode, MappedFile>>,
    /// Held while epoll instances are made to watch one another.
    pub(crate) epoll_nesting: Arc<crate::epoll::Nesting>,
    /// AF_UNIX sockets on their way through others.
    pub(crate) flight: Arc<Flight>,
    /// Abstract AF_UNIX names.
    pub(crate) abstract_names: Mutex<NameMap<Vec<u8>, std::sync::Weak<dyn Any + Send + Sync>>>,
    memory: Arc<MemoryBudget>,
    read_only: OnceLock<ReadOnly>,
    reclaim: reclaim::Reclaim,
}

/// From so many files on, those whose names are gone are not remembered for /proc/PID/maps.
const MAX_MAPPED: usize = 1024;

/// A host device (major, minor) and inode, as /proc/PID/maps of the host shows them.
pub type HostInode = ((u32, u32), u64);

/// A file that was mapped, as /proc/PID/maps is to show it.
#[derive(Clone, Debug)]
pub struct MappedFile {
    mount: std::sync::Weak<Mount>,
    dentry: std::sync::Weak<Dentry>,
    text: Vec<u8>,
    /// `st_dev` in the sandbox.
    pub dev: u64,
    /// `st_ino` in the sandbox.
    pub ino: u64,
}

impl MappedFile {
    /// Its path as seen from `root`; the one that it had when it was mapped if nothing else knows it any more.
    #[must_use]
    pub fn text(&self, root: &Path) -> Vec<u8> {
        match (self.mount.upgrade(), self.dentry.upgrade()) {
            (Some(mount), Some(dentry)) => display_from(&Path { mount, dentry }, root),
            _ => self.text.clone(),
        }
    }
}

impl Vfs {
    /// An empty VFS without a bound on its memory.
    #[must_use]
    pub fn new(timers: Arc<dyn Timers>) -> Arc<Self> {
        Self::bounded(timers, MemoryBudget::unlimited())
    }

    /// An empty VFS whose objects keep no more than `memory` allows.
    #[must_use]
    pub fn bounded(timers: Arc<dyn Timers>, memory: Arc<MemoryBudget>) -> Arc<Self> {
        let anon_sb = Arc::new(SuperBlock::new(makedev(0, 15), "anon_inodefs", 0x0904_1934));
        let root = Inode::new(Arc::clone(&anon_sb), 1, 0, 0, 0, Box::new(AnonInode { time: Timespec::default() }));
        let flight = Flight::new(&timers);
        Arc::new(Self {
            timers,
            rename_lock: Mutex::new(()),
            next_ino: AtomicU64::new(1000),
            next_dev: AtomicU32::new(20),
            next_mount: AtomicU64::new(20),
            devices: RwLock::default(),
            anon: Mount::detached(0, Dentry::new_root(root, b""), "none", 0),
            anon_sb,
            pipe_sb: Arc::new(SuperBlock::new(makedev(0, 14), "pipefs", 0x5049_5045)),
            socket_sb: Arc::new(SuperBlock::new(makedev(0, 8), "sockfs", 0x534f_434b)),
            mapped: Mutex::default(),
            epoll_nesting: Arc::default(),
            flight,
            abstract_names: Mutex::default(),
            memory,
            read_only: OnceLock::new(),
            reclaim: reclaim::Reclaim::default(),
        })
    }

    /// What bounds the names of host files that are kept.
    #[must_use]
    pub fn reclaim(&self) -> &reclaim::Reclaim {
        &self.reclaim
    }

    /// What its objects may keep.
    #[must_use]
    pub fn memory(&self) -> &Arc<MemoryBudget> {
        &self.memory
    }

    /// AF_UNIX sockets on their way through others.
    #[must_use]
    pub fn flight(&self) -> &Flight {
        &self.flight
    }

    /// Attacks only: nothing bounds how deep guests nest.
    pub fn nest_without_end(&self) {
        self.flight.nest_without_end();
        self.epoll_nesting.without_end.store(true, Ordering::Relaxed);
    }

    /// Sets how descriptors for reading only are made, which the kernel cannot open itself. Only the first call counts.
    pub fn set_read_only(&self, open: ReadOnly) {
        let _ = self.read_only.set(open);
    }

    /// A descriptor for reading only of the memory file `fd`, to be handed to applications that may not write it.
    ///
    /// # Errors
    /// EACCES if nothing was set that makes such, else what that says. A descriptor that can write is no substitute.
    pub fn read_only(&self, fd: &HostFd) -> Result<HostFd, Errno> {
        self.read_only.get().ok_or(Errno::EACCES)?(fd)
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

    /// Remembers that the host file behind `mapping` is `path` in the sandbox.
    pub fn note_mapping(&self, mapping: &FileMapping, path: &Path, root: &Path) {
        let Ok(host) = bevor_hostcall::file::fstat(&mapping.fd) else { return };
        let key = (device_numbers(host.dev), host.ino);
        let dentry = Arc::downgrade(&path.dentry);
        if self.mapped.lock().get(&key).is_some_and(|m| m.dentry.ptr_eq(&dentry)) {
            return;
        }
        let attr = path.dentry.inode().attr().unwrap_or_default();
        let mount = Arc::downgrade(&path.mount);
        let file = MappedFile { mount, dentry, text: display_from(path, root), dev: attr.dev, ino: attr.ino };
        let mut mapped = self.mapped.lock();
        if mapped.len() >= MAX_MAPPED && mapped.len() == mapped.capacity() {
            // What no name leads to any more: it is shown as the host shows it.
            mapped.retain(|_, file| file.dentry.strong_count() > 0);
        }
        mapped.insert(key, file);
    }

    /// What [`Vfs::note_mapping`] remembers of a host file.
    #[must_use]
    pub fn mapped_file(&self, key: HostInode) -> Option<MappedFile> {
        self.mapped.lock().get(&key).cloned()
    }

    /// Host files that nobody maps any more.
    pub fn forget_mappings<'a>(&self, gone: impl Iterator<Item = &'a HostInode>) {
        let mut mapped = self.mapped.lock();
        for file in gone {
            mapped.remove(file);
        }
    }

    /// A mount of `root`, not attached anywhere yet.
    #[must_use]
    pub fn new_mount(&self, root: Arc<Inode>, source: &str, flags: u32) -> Arc<Mount> {
        let id = self.next_mount.fetch_add(1, Ordering::Relaxed);
        let root = Dentry::new_root(root, b"/");
        self.reclaim.add_tree(&root);
        Mount::detached(id, root, source, flags)
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
        let sb = match FileKind::from_mode(mode) {
            Some(FileKind::Fifo) => &self.pipe_sb,
            Some(FileKind::Socket) => &self.socket_sb,
            _ => &self.anon_sb,
        };
        let inode = Inode::new(Arc::clone(sb), ino, mode, owner.0, owner.1, Box::new(AnonInode { time: self.now() }));
        self.anon_file_of(&name.replace("{}", &ino.to_string()), inode, ops, flags)
    }

    /// As [`Vfs::anon_file`] for an inode that exists (the two ends of a pipe, a memfd).
    #[must_use]
    pub fn anon_file_of(&self, name: &str, inode: Arc<Inode>, ops: Arc<dyn FileOps>, flags: u32) -> Arc<File> {
        let path = Path { mount: Arc::clone(&self.anon), dentry: Dentry::new_root(inode, name.as_bytes()) };
        File::new(path, ops, flags)
    }
}

/// Major and minor number of a device (makedev(3)).
#[must_use]
pub fn device_numbers(dev: u64) -> (u32, u32) {
    let low = |n: u64| <u32 as bevor_abi::FromArg>::from_arg(n);
    (low(dev >> 8) & 0xfff | low(dev >> 32) & !0xfff, low(dev) & 0xff | low(dev >> 12) & !0xff)
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
        if inode.kind() == FileKind::Anonymous {
            return Err(Errno::EOPNOTSUPP);
        }
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
