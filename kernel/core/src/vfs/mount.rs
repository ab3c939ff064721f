//! Mounts, the mount namespace, and paths in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use bevor_abi::Errno;
use parking_lot::RwLock;
use rustc_hash::FxHashMap;

use super::Vfs;
use super::dentry::Dentry;

/// Mount flags (the ST_* bits of statfs(2), which equal MS_* for the low ones).
#[allow(missing_docs)]
pub mod mount_flags {
    pub const RDONLY: u32 = 0x0001;
    pub const NOSUID: u32 = 0x0002;
    pub const NODEV: u32 = 0x0004;
    pub const NOEXEC: u32 = 0x0008;
    pub const NOATIME: u32 = 0x0400;
    pub const NODIRATIME: u32 = 0x0800;
    pub const RELATIME: u32 = 0x1000;
    pub const NOSYMFOLLOW: u32 = 0x2000;
    /// ST_VALID: always set in statfs(2).
    pub const VALID: u32 = 0x0020;
}

/// A tree that is attached somewhere.
pub struct Mount {
    /// Mount id (/proc/PID/mountinfo, statx).
    pub id: u64,
    /// Root of the tree.
    pub root: Arc<Dentry>,
    /// What /proc/PID/mounts names as source.
    pub source: String,
    /// Further options in /proc/PID/mounts.
    pub options: String,
    flags: AtomicU32,
    /// Where it is attached: mount and dentry; `None` for the namespace's root or a detached mount.
    parent: RwLock<Option<Path>>,
}

impl Mount {
    /// A mount that is not attached anywhere.
    #[must_use]
    pub fn detached(id: u64, root: Arc<Dentry>, source: &str, flags: u32) -> Arc<Self> {
        Arc::new(Self {
            id,
            root,
            source: source.to_owned(),
            options: String::new(),
            flags: AtomicU32::new(flags),
            parent: RwLock::new(None),
        })
    }

    /// [`mount_flags`].
    #[must_use]
    pub fn flags(&self) -> u32 {
        self.flags.load(Ordering::Relaxed)
    }

    /// Replaces the flags (remount).
    pub fn set_flags(&self, flags: u32) {
        self.flags.store(flags, Ordering::Relaxed);
    }

    /// Whether writing is refused.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.flags() & mount_flags::RDONLY != 0
    }

    /// Where it is attached.
    #[must_use]
    pub fn parent(&self) -> Option<Path> {
        self.parent.read().clone()
    }
}

impl std::fmt::Debug for Mount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mount({} {})", self.id, self.source)
    }
}

/// A place: a dentry seen through a mount.
#[derive(Clone, Debug)]
pub struct Path {
    /// The mount.
    pub mount: Arc<Mount>,
    /// The dentry.
    pub dentry: Arc<Dentry>,
}

impl PartialEq for Path {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.dentry, &other.dentry) && Arc::ptr_eq(&self.mount, &other.mount)
    }
}

impl Eq for Path {}

type MountMap = FxHashMap<(u64, usize), Vec<Arc<Mount>>>;

/// The mounts that a set of tasks sees.
pub struct MountNamespace {
    /// The virtual file system that it belongs to.
    pub vfs: Arc<Vfs>,
    root: Arc<Mount>,
    /// Child mounts by (parent mount id, address of the mountpoint dentry), bottom to top.
    mounts: RwLock<MountMap>,
    generation: AtomicU64,
}

fn key(path: &Path) -> (u64, usize) {
    (path.mount.id, Arc::as_ptr(&path.dentry).addr())
}

impl MountNamespace {
    /// A namespace whose root is `root`.
    #[must_use]
    pub fn new(vfs: Arc<Vfs>, root: Arc<Mount>) -> Arc<Self> {
        Arc::new(Self { vfs, root, mounts: RwLock::default(), generation: AtomicU64::new(0) })
    }

    /// The topmost root.
    #[must_use]
    pub fn root(&self) -> Path {
        self.follow_down(Path { mount: Arc::clone(&self.root), dentry: Arc::clone(&self.root.root) })
    }

    /// Counts changes, for pollers of /proc/PID/mounts.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Attaches `mount` at `at`, on top of what is there.
    ///
    /// # Errors
    /// ENOTDIR if one is a directory and the other not.
    pub fn attach(&self, mount: &Arc<Mount>, at: &Path) -> Result<(), Errno> {
        if mount.root.inode().is_dir() != at.dentry.inode().is_dir() {
            return Err(Errno::ENOTDIR);
        }
        let mut mounts = self.mounts.write();
        *mount.parent.write() = Some(at.clone());
        at.dentry.add_mount();
        mounts.entry(key(at)).or_default().push(Arc::clone(mount));
        self.generation.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    /// Takes `mount` off.
    ///
    /// # Errors
    /// EINVAL if it is not attached in this namespace or is the root; EBUSY if other mounts are attached below and `lazy` is false.
    pub fn detach(&self, mount: &Arc<Mount>, lazy: bool) -> Result<(), Errno> {
        let mut mounts = self.mounts.write();
        let parent = mount.parent().ok_or(Errno::EINVAL)?;
        if !lazy && mounts.keys().any(|(id, _)| *id == mount.id) {
            return Err(Errno::EBUSY);
        }
        let at = key(&parent);
        let stack = mounts.get_mut(&at).ok_or(Errno::EINVAL)?;
        let index = stack.iter().position(|m| Arc::ptr_eq(m, mount)).ok_or(Errno::EINVAL)?;
        stack.remove(index);
        if stack.is_empty() {
            mounts.remove(&at);
        }
        parent.dentry.remove_mount();
        *mount.parent.write() = None;
        self.generation.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    /// The mount on top of `path`, or `path` itself.
    #[must_use]
    pub fn follow_down(&self, mut path: Path) -> Path {
        while path.dentry.is_mountpoint() {
            let Some(mount) = self.mounts.read().get(&key(&path)).and_then(|s| s.last().cloned()) else {
                break;
            };
            path = Path { dentry: Arc::clone(&mount.root), mount };
        }
        path
    }

    /// Whether something is mounted exactly here in this namespace.
    #[must_use]
    pub fn is_mountpoint(&self, path: &Path) -> bool {
        path.dentry.is_mountpoint() && self.mounts.read().contains_key(&key(path))
    }

    /// All mounts, root first, in order of their ids.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<Mount>> {
        let mut all: Vec<_> = self.mounts.read().values().flatten().cloned().collect();
        all.sort_by_key(|m| m.id);
        all.insert(0, Arc::clone(&self.root));
        all
    }
}

impl std::fmt::Debug for MountNamespace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MountNamespace({})", self.mounts.read().len())
    }
}
