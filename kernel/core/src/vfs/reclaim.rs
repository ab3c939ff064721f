//! Keeping the dentry cache within bounds: a cached name of a host file keeps a descriptor of the gofer's, of which there are not many.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use bevor_abi::Errno;
use parking_lot::Mutex;

use super::dentry::Dentry;

/// How often, in nanoseconds, names are dropped to let a file be opened.
const PRUNE_EVERY: u64 = 50_000_000;

/// How many host files are known, and from when on unused names of such are dropped.
pub struct Reclaim {
    held: AtomicUsize,
    limit: AtomicUsize,
    /// Unused names are dropped next when so many are held.
    next: AtomicUsize,
    busy: AtomicBool,
    trees: Mutex<Vec<Weak<Dentry>>>,
    /// When names were last dropped to let a file be opened.
    pruned: AtomicU64,
    /// The last time many could be dropped: it need not be long ago then.
    eased: AtomicBool,
}

impl Default for Reclaim {
    fn default() -> Self {
        let most = AtomicUsize::new(usize::MAX);
        Self {
            held: AtomicUsize::default(),
            limit: most,
            next: AtomicUsize::new(usize::MAX),
            busy: AtomicBool::default(),
            trees: Mutex::default(),
            pruned: AtomicU64::new(0),
            eased: AtomicBool::default(),
        }
    }
}

impl Reclaim {
    /// From `limit` host files on, names that nobody uses are dropped.
    pub fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
        self.next.store(limit, Ordering::Relaxed);
    }

    /// Whether names are being dropped right now.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed)
    }

    /// A tree whose names may be dropped.
    pub(super) fn add_tree(&self, root: &Arc<Dentry>) {
        let mut trees = self.trees.lock();
        trees.retain(|t| t.strong_count() > 0);
        trees.push(Arc::downgrade(root));
    }

    /// A host file is not known any more.
    pub fn released(&self) {
        self.held.fetch_sub(1, Ordering::Relaxed);
    }

    /// One more host file is known. True if that led to names being dropped. The caller may hold locks of directories and what is
    /// below them, but none of a dentry.
    pub fn hold(&self) -> bool {
        let held = self.held.fetch_add(1, Ordering::Relaxed) + 1;
        if held <= self.next.load(Ordering::Relaxed) || self.busy.swap(true, Ordering::Acquire) {
            return false;
        }
        self.prune_all();
        self.busy.store(false, Ordering::Release);
        true
    }

    fn prune_all(&self) {
        let limit = self.limit.load(Ordering::Relaxed);
        let trees: Vec<Arc<Dentry>> = self.trees.lock().iter().filter_map(Weak::upgrade).collect();
        // What has been looked up since the last time is spared at first.
        for _ in 0..2 {
            trees.iter().for_each(prune);
            if self.held.load(Ordering::Relaxed) <= limit - limit / 4 {
                break;
            }
        }
        // What is left may be in use: not tried again until there are many more.
        let left = self.held.load(Ordering::Relaxed);
        self.next.store(limit.max(left.saturating_add(limit / 8)), Ordering::Relaxed);
        self.eased.store(left <= limit - limit / 4, Ordering::Relaxed);
    }

    /// Whether a host file may be opened: more than the limit are known only while programs use as many. A sixth of it is kept for
    /// those that have few files open, and what comes on top is never given to open files, so that programs can still be executed.
    ///
    /// # Errors
    /// ENFILE.
    pub fn admit(&self, now: u64, hoards: bool) -> Result<(), Errno> {
        let limit = self.limit.load(Ordering::Relaxed);
        let most = if hoards { limit - limit / 6 } else { limit };
        let fits = || self.held.load(Ordering::Relaxed) <= most;
        if fits() {
            return Ok(());
        }
        // They may have ended meanwhile. Looking takes long, so it is not done for every call that it may not help.
        let last = self.pruned.load(Ordering::Relaxed);
        if (self.eased.load(Ordering::Relaxed) || now.saturating_sub(last) > PRUNE_EVERY)
            && self.pruned.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
            && !self.busy.swap(true, Ordering::Acquire)
        {
            self.prune_all();
            self.busy.store(false, Ordering::Release);
        }
        if fits() { Ok(()) } else { Err(Errno::ENFILE) }
    }
}

/// Drops the names below `root` that nobody uses and that were not looked up since the last time.
pub(super) fn prune(root: &Arc<Dentry>) {
    let mut directories = vec![Arc::clone(root)];
    let mut at = 0;
    while let Some(dir) = directories.get(at) {
        let below = dir.cached_directories();
        directories.extend(below);
        at += 1;
    }
    // The deepest first: a directory is unused once nothing below it is cached, and this list does not hold it any more.
    while let Some(dir) = directories.pop() {
        drop(dir.take_unused());
    }
}

#[cfg(test)]
mod tests {
    use super::super::dentry::Cached;
    use super::super::{AnonInode, Inode, Vfs};
    use super::*;
    use crate::testing::test_vfs;

    fn directory(vfs: &Vfs) -> Arc<Inode> {
        let ops = Box::new(AnonInode { time: vfs.now() });
        Inode::new(Arc::clone(&vfs.anon_sb), vfs.next_ino(), 0o040_755, 0, 0, ops)
    }

    #[test]
    fn what_is_unused_goes_and_the_rest_stays() {
        let vfs = test_vfs();
        let root = Dentry::new_root(directory(&vfs), b"/");
        let sub = root.insert(b"sub", directory(&vfs));
        let deep = sub.insert(b"deep", directory(&vfs));
        deep.insert(b"leaf", directory(&vfs));
        root.insert(b"often", directory(&vfs));
        let _ = root.cached(b"often");
        let open = root.insert(b"open", directory(&vfs));
        let below = open.insert(b"below", directory(&vfs));
        let weak = Arc::downgrade(&deep);
        drop((sub, deep, open));

        prune(&root);
        assert!(weak.upgrade().is_none() && matches!(root.cached(b"sub"), Cached::Unknown), "a whole unused branch goes");
        assert!(matches!(root.cached(b"often"), Cached::Positive(_)), "it was looked up since");
        let Cached::Positive(open) = root.cached(b"open") else { panic!("it holds what is in use") };
        assert!(matches!(open.cached(b"below"), Cached::Positive(d) if Arc::ptr_eq(&d, &below)));
    }

    #[test]
    fn the_last_files_are_for_those_that_have_few() {
        let reclaim = Reclaim::default();
        reclaim.set_limit(60);
        for _ in 0..50 {
            reclaim.hold();
        }
        assert_eq!((reclaim.admit(0, true), reclaim.admit(0, false)), (Ok(()), Ok(())));
        reclaim.hold();
        assert_eq!((reclaim.admit(0, true), reclaim.admit(0, false)), (Err(Errno::ENFILE), Ok(())));
        for _ in 0..10 {
            reclaim.hold();
        }
        assert_eq!(reclaim.admit(0, false), Err(Errno::ENFILE));
        (0..11).for_each(|_| reclaim.released());
        assert_eq!(reclaim.admit(0, true), Ok(()));
    }

    #[test]
    fn holding_many_starts_it_and_what_is_in_use_does_not_start_it_again() {
        let reclaim = Reclaim::default();
        reclaim.set_limit(8);
        assert!(!(0..8).any(|_| reclaim.hold()));
        assert!(reclaim.hold());
        assert!(!reclaim.hold(), "nothing could be dropped just now");
        (0..10).for_each(|_| reclaim.released());
        assert!(!reclaim.hold());
    }
}
