//! The dentry cache: names of a tree in memory, positive and negative.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::inode::Inode;
use crate::names::NameMap;

/// How many negative entries one directory keeps.
const MAX_NEGATIVE: usize = 1024;
/// How many all directories of a file system keep, and how many directories have such.
const ALL_NEGATIVE: usize = 16384;
const NEGATIVE_DIRS: usize = 1024;
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
    map: NameMap<Box<[u8]>, Option<Arc<Dentry>>>,
    negative: usize,
}

/// What a file system's directories keep of names that do not exist: there may be any number of directories, each asked for any number of
/// names. The directory that began first loses what it has when there are too many.
#[derive(Default)]
pub struct Negatives {
    count: AtomicUsize,
    dirs: Mutex<VecDeque<Weak<Dentry>>>,
}

impl Negatives {
    /// `dir` has its first one. What is dropped for it holds no lock.
    fn add_dir(&self, dir: &Arc<Dentry>) {
        let oldest = {
            let mut dirs = self.dirs.lock();
            dirs.push_back(Arc::downgrade(dir));
            if dirs.len() > NEGATIVE_DIRS { dirs.pop_front() } else { None }
        };
        Self::clear(oldest);
    }

    /// Makes room where there are too many.
    fn settle(&self) {
        while self.count.load(Ordering::Relaxed) > ALL_NEGATIVE {
            let Some(oldest) = self.dirs.lock().pop_front() else { return };
            Self::clear(Some(oldest));
        }
    }

    fn clear(dir: Option<Weak<Dentry>>) {
        if let Some(dir) = dir.and_then(|dir| dir.upgrade()) {
            dir.drop_negative(&mut dir.children.lock());
        }
    }
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
            drop(children);
            // No path leads there either, by whatever way it came.
            return child.invalidate();
        }
        if children.map.len() >= MAX_CHILDREN {
            // Unused: only the cache holds it, and it holds no cached children of its own.
            children.map.retain(|_, c| c.as_ref().is_none_or(|d| Arc::strong_count(d) > 1 || d.is_mountpoint()));
            self.drop_negative(&mut children);
        }
        if let Some(None) = children.map.insert(Box::from(name), Some(child)) {
            self.count_negative(&mut children, false);
        }
    }

    /// Enters `name` as known not to exist. The caller holds the directory's lock.
    pub(super) fn insert_negative(self: &Arc<Self>, name: &[u8]) {
        let first = {
            let mut children = self.children.lock();
            if children.negative >= MAX_NEGATIVE {
                self.drop_negative(&mut children);
            }
            let first = children.negative == 0;
            if matches!(children.map.insert(Box::from(name), None), Some(None)) {
                return;
            }
            self.count_negative(&mut children, true);
            first
        };
        let all = &self.inode.sb().negatives;
        if first {
            all.add_dir(self);
        }
        all.settle();
    }

    fn count_negative(&self, children: &mut Children, more: bool) {
        let all = &self.inode.sb().negatives.count;
        if more {
            children.negative += 1;
            all.fetch_add(1, Ordering::Relaxed);
        } else {
            children.negative -= 1;
            all.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Forgets what does not exist.
    fn drop_negative(&self, children: &mut Children) {
        if children.negative > 0 {
            children.map.retain(|_, c| c.is_some());
            children.map.shrink_to_fit();
            self.inode.sb().negatives.count.fetch_sub(std::mem::take(&mut children.negative), Ordering::Relaxed);
        }
    }

    /// Forgets `name`.
    pub(super) fn forget(&self, name: &[u8]) {
        let mut children = self.children.lock();
        if let Some(None) = children.map.remove(name) {
            self.count_negative(&mut children, false);
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
            d.drop_negative(&mut children);
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
        self.inode.sb().negatives.count.fetch_sub(self.children.get_mut().negative, Ordering::Relaxed);
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

#[cfg(test)]
mod tests {
    use super::super::{AnonInode, Vfs};
    use super::*;
    use crate::testing::test_vfs;

    fn directory(vfs: &Vfs) -> Arc<Inode> {
        let ops = Box::new(AnonInode { time: vfs.now() });
        Inode::new(Arc::clone(&vfs.anon_sb), vfs.next_ino(), 0o040_755, 0, 0, ops)
    }

    #[test]
    fn what_moves_where_no_path_leads_is_not_kept_by_what_it_has_cached() {
        let vfs = test_vfs();
        let root = Dentry::new_root(directory(&vfs), b"/");
        let (gone, moved) = (root.insert(b"gone", directory(&vfs)), root.insert(b"moved", directory(&vfs)));
        moved.insert(b"below", directory(&vfs));
        root.forget(b"gone");
        gone.invalidate();
        root.forget(b"moved");
        moved.relink(&gone, b"moved");
        // What is looked up there, too.
        moved.insert(b"later", directory(&vfs)).insert(b"below", directory(&vfs));
        let left = [Arc::downgrade(&gone), Arc::downgrade(&moved)];
        drop((gone, moved));
        assert!(left.iter().all(|dentry| dentry.strong_count() == 0));
    }

    #[test]
    fn names_that_do_not_exist_are_bounded_over_all_directories() {
        let vfs = test_vfs();
        let root = Dentry::new_root(directory(&vfs), b"/");
        let all = &vfs.anon_sb.negatives;
        let count = || all.count.load(Ordering::Relaxed);
        let dirs: Vec<_> = (0..100u32).map(|i| root.insert(&i.to_le_bytes(), directory(&vfs))).collect();
        for dir in &dirs {
            for i in 0..1000u32 {
                dir.insert_negative(&i.to_le_bytes());
            }
        }
        let kept = |dirs: &[Arc<Dentry>]| dirs.iter().map(|d| d.children.lock().negative).sum::<usize>();
        assert_eq!(count(), kept(&dirs));
        assert!((ALL_NEGATIVE - 1000..=ALL_NEGATIVE).contains(&count()), "{}", count());
        assert!(matches!(dirs[99].cached(&999u32.to_le_bytes()), Cached::Negative));
        assert!(matches!(dirs[0].cached(&999u32.to_le_bytes()), Cached::Unknown));
        dirs[99].insert(&999u32.to_le_bytes(), directory(&vfs));
        dirs[99].forget(&998u32.to_le_bytes());
        assert_eq!(count(), kept(&dirs));
        // One in each of many directories.
        let more: Vec<_> = (0..3 * NEGATIVE_DIRS).map(|_| Dentry::new_root(directory(&vfs), b"more")).collect();
        more.iter().for_each(|dir| dir.insert_negative(b"x"));
        assert!(all.dirs.lock().len() <= NEGATIVE_DIRS && kept(&more) <= NEGATIVE_DIRS);
        root.invalidate();
        drop((dirs, more));
        assert_eq!(count(), 0);
    }
}
