//! The dentry cache: names of a tree in memory, positive and negative.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use super::inode::Inode;

/// How many negative entries one directory keeps.
const MAX_NEGATIVE: usize = 1024;
/// How many entries one directory keeps before unused ones are dropped.
const MAX_CHILDREN: usize = 16384;

/// What the cache knows of a name.
#[derive(Clone)]
pub enum Cached {
    /// It is there.
    Positive(Arc<Dentry>),
    /// It is known not to be there.
    Negative,
    /// Nothing.
    Unknown,
}

#[derive(Default)]
struct Children {
    /// `None` is a negative entry.
    map: FxHashMap<Box<[u8]>, Option<Arc<Dentry>>>,
    negative: usize,
}

struct Link {
    parent: Option<Arc<Dentry>>,
    name: Arc<[u8]>,
}

/// A name in a directory that leads to an inode.
pub struct Dentry {
    inode: Arc<Inode>,
    link: Mutex<Link>,
    children: Mutex<Children>,
    /// How many mounts cover this dentry, in any namespace.
    mounted: AtomicU32,
    unlinked: AtomicBool,
    /// No path leads here any more, and nothing below is cached: what is cached holds its directory, and the cache it.
    detached: AtomicBool,
    /// Found in the cache since `take_unused` looked here last.
    used: AtomicBool,
}

impl Dentry {
    /// The root of a tree, or an anonymous object (then `name` is what /proc/PID/fd shows).
    #[must_use]
    pub fn new_root(inode: Arc<Inode>, name: &[u8]) -> Arc<Self> {
        Arc::new(Self::make(inode, None, name))
    }

    fn make(inode: Arc<Inode>, parent: Option<Arc<Dentry>>, name: &[u8]) -> Self {
        Self {
            inode,
            link: Mutex::new(Link { parent, name: Arc::from(name) }),
            children: Mutex::default(),
            mounted: AtomicU32::new(0),
            unlinked: AtomicBool::new(false),
            detached: AtomicBool::new(false),
            used: AtomicBool::new(false),
        }
    }

    /// A child that is not (or no longer) in its parent's cache: O_TMPFILE, uncached file systems.
    #[must_use]
    pub fn new_child(self: &Arc<Self>, name: &[u8], inode: Arc<Inode>) -> Arc<Self> {
        let mut child = Self::make(inode, Some(Arc::clone(self)), name);
        *child.detached.get_mut() = self.is_detached();
        Arc::new(child)
    }

    /// The inode.
    #[must_use]
    pub fn inode(&self) -> &Arc<Inode> {
        &self.inode
    }

    /// The parent; `None` for a root.
    #[must_use]
    pub fn parent(&self) -> Option<Arc<Dentry>> {
        self.link.lock().parent.clone()
    }

    /// The name in the parent.
    #[must_use]
    pub fn name(&self) -> Arc<[u8]> {
        Arc::clone(&self.link.lock().name)
    }

    /// Parent and name at one moment.
    #[must_use]
    pub fn link(&self) -> (Option<Arc<Dentry>>, Arc<[u8]>) {
        let link = self.link.lock();
        (link.parent.clone(), Arc::clone(&link.name))
    }

    /// Whether the name has been removed.
    #[must_use]
    pub fn is_unlinked(&self) -> bool {
        self.unlinked.load(Ordering::Acquire)
    }

    pub(super) fn set_unlinked(&self) {
        self.unlinked.store(true, Ordering::Release);
    }

    /// A linkat(2) of an O_TMPFILE file gives it a name.
    pub(super) fn clear_unlinked(&self) {
        self.unlinked.store(false, Ordering::Release);
    }

    fn is_detached(&self) -> bool {
        self.detached.load(Ordering::Acquire)
    }

    /// Whether something may be mounted here.
    #[must_use]
    pub fn is_mountpoint(&self) -> bool {
        self.mounted.load(Ordering::Acquire) != 0
    }

    pub(super) fn add_mount(&self) {
        self.mounted.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn remove_mount(&self) {
        self.mounted.fetch_sub(1, Ordering::AcqRel);
    }

    /// What the cache says about `name`.
    #[must_use]
    pub fn cached(&self, name: &[u8]) -> Cached {
        match self.children.lock().map.get(name) {
            Some(Some(d)) => {
                if !d.used.load(Ordering::Relaxed) {
                    d.used.store(true, Ordering::Relaxed);
                }
                Cached::Positive(Arc::clone(d))
            }
            Some(None) => Cached::Negative,
            None => Cached::Unknown,
        }
    }

    /// Enters `name` → `inode`. The caller holds the directory's lock.
    pub(super) fn insert(self: &Arc<Self>, name: &[u8], inode: Arc<Inode>) -> Arc<Self> {
        let child = self.new_child(name, inode);
        self.insert_dentry(name, Arc::clone(&child));
        child
    }

    pub(super) fn insert_dentry(&self, name: &[u8], child: Arc<Dentry>) {
        let mut children = self.children.lock();
        if self.is_detached() {
            return;
        }
        if children.map.len() >= MAX_CHILDREN {
            // Unused: only the cache holds it, and it holds no cached children of its own.
            children.map.retain(|_, c| c.as_ref().is_some_and(|d| Arc::strong_count(d) > 1 || d.is_mountpoint()));
            children.negative = 0;
        }
        if let Some(None) = children.map.insert(Box::from(name), Some(child)) {
            children.negative -= 1;
        }
    }

    /// Enters `name` as known not to exist. The caller holds the directory's lock.
    pub(super) fn insert_negative(&self, name: &[u8]) {
        let mut children = self.children.lock();
        if children.negative >= MAX_NEGATIVE {
            children.map.retain(|_, c| c.is_some());
            children.negative = 0;
        }
        if !matches!(children.map.insert(Box::from(name), None), Some(None)) {
            children.negative += 1;
        }
    }

    /// Forgets `name`.
    pub(super) fn forget(&self, name: &[u8]) {
        let mut children = self.children.lock();
        if let Some(None) = children.map.remove(name) {
            children.negative -= 1;
        }
    }

    /// Moves `self` to `parent`/`name` (after a rename). The caller holds both directories' locks.
    pub(super) fn relink(self: &Arc<Self>, parent: &Arc<Dentry>, name: &[u8]) {
        {
            let mut link = self.link.lock();
            link.parent = Some(Arc::clone(parent));
            link.name = Arc::from(name);
        }
        parent.insert_dentry(name, Arc::clone(self));
    }

    /// Whether `self` is `other` or lies below it.
    #[must_use]
    pub fn is_below(self: &Arc<Self>, other: &Arc<Dentry>) -> bool {
        let mut at = Arc::clone(self);
        loop {
            if Arc::ptr_eq(&at, other) {
                return true;
            }
            match at.parent() {
                Some(parent) => at = parent,
                None => return false,
            }
        }
    }

    /// Children below which something is cached.
    pub(super) fn cached_directories(&self) -> Vec<Arc<Dentry>> {
        let Some(children) = self.children.try_lock() else { return Vec::new() };
        let has_children = |d: &Arc<Dentry>| d.children.try_lock().is_none_or(|c| !c.map.is_empty());
        children.map.values().flatten().filter(|d| has_children(d)).cloned().collect()
    }

    /// Takes the children out of the cache that it alone holds and that were not found there since the last time.
    pub(super) fn take_unused(&self) -> Vec<Arc<Dentry>> {
        let Some(mut children) = self.children.try_lock() else { return Vec::new() };
        let unused = |d: &Arc<Dentry>| Arc::strong_count(d) == 1 && !d.is_mountpoint() && !d.used.swap(false, Ordering::Relaxed);
        let taken = children.map.extract_if(|_, c| c.as_ref().is_some_and(&unused)).filter_map(|(_, c)| c).collect();
        children.map.shrink_to_fit();
        taken
    }

    /// Drops the cache below `self`, to which no path leads any more, for good (Linux's `d_invalidate`). Whoever uses a directory of it
    /// still finds what is there, uncached.
    pub fn invalidate(&self) {
        let mut work: Vec<Arc<Dentry>> = Vec::new();
        let take = |d: &Dentry| -> Vec<Arc<Dentry>> {
            let mut children = d.children.lock();
            d.detached.store(true, Ordering::Release);
            children.negative = 0;
            children.map.drain().filter_map(|(_, c)| c).collect()
        };
        work.extend(take(self));
        while let Some(d) = work.pop() {
            work.extend(take(&d));
        }
    }
}

/// However long the chain of parents is that nothing else holds any more: one after the other, never one inside the other.
impl Drop for Dentry {
    fn drop(&mut self) {
        let mut parent = self.link.get_mut().parent.take();
        while let Some(mut dentry) = parent.and_then(Arc::into_inner) {
            parent = dentry.link.get_mut().parent.take();
        }
    }
}

impl std::fmt::Debug for Dentry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Dentry({:?})", String::from_utf8_lossy(&self.name()))
    }
}
