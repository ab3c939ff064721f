//! A writable layer over a read-only tree, as Linux's overlayfs: copy-up, whiteouts (character device 0:0), opaque directories,
//! merged listings. Directories of the lower tree can be renamed: the upper one remembers its lower part.

mod copy_up;
mod dir;

use std::any::Any;
use std::sync::{Arc, OnceLock, Weak};

use bevor_abi::Errno;
use bevor_abi::fs::o;
use bevor_core::creds::Credentials;
use bevor_core::vfs::{Acl, Attr, Caller, FileKind, FileOps, Inode, InodeOps, NewNode, Rename, SetAttr, SuperBlock, Vfs};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

/// Marks a directory that hides everything below it.
const OPAQUE: &[u8] = b"trusted.overlay.opaque";
/// Names that the overlay keeps to itself.
const PRIVATE: &[u8] = b"trusted.overlay.";
/// Keeps inode numbers of the upper layer apart from those of the lower one.
const UPPER_INO: u64 = 1 << 40;
/// Where an entry of the upper layer stands for a moment: no program can name it.
const ASIDE: &[u8] = b"/aside";

/// An overlay file system.
pub struct OverlayFs {
    sb: Arc<SuperBlock>,
    vfs: Arc<Vfs>,
    /// Overlay inodes by upper inode number, so that hard links share one.
    by_upper: Mutex<FxHashMap<u64, Weak<Inode>>>,
    /// Inode numbers of copied-up files, which keep those of the lower layer.
    origins: Mutex<FxHashMap<u64, u64>>,
    /// Lower parts of renamed directories by upper inode number.
    redirects: Mutex<FxHashMap<u64, Arc<Inode>>>,
}

impl OverlayFs {
    /// The root directory of an overlay of `upper` (writable) over `lower`.
    #[must_use]
    #[expect(clippy::new_ret_no_self, reason = "a file system is reached by its root")]
    pub fn new(vfs: &Arc<Vfs>, upper: Arc<Inode>, lower: Arc<Inode>) -> Arc<Inode> {
        let mut sb = SuperBlock::new(vfs.next_dev(), "overlay", 0x794c_7630);
        let stats_of = Arc::clone(upper.sb());
        sb.stats = Box::new(move || (stats_of.stats)());
        let fs = Arc::new(Self {
            sb: Arc::new(sb),
            vfs: Arc::clone(vfs),
            by_upper: Mutex::default(),
            origins: Mutex::default(),
            redirects: Mutex::default(),
        });
        fs.inode(Some(upper), Some(lower), None)
    }

    fn inode(
        self: &Arc<Self>,
        upper: Option<Arc<Inode>>,
        lower: Option<Arc<Inode>>,
        place: Option<(Arc<Inode>, Vec<u8>)>,
    ) -> Arc<Inode> {
        if let Some(u) = &upper
            && let Some(known) = self.by_upper.lock().get(&u.ino()).and_then(Weak::upgrade)
            && !(bevor_abi::mutated!("overlay/links-apart") && known.kind() == FileKind::Regular)
        {
            return known;
        }
        let (mode, uid, gid, ino);
        match (&upper, &lower) {
            (Some(real), _) => {
                (mode, uid, gid) = (real.kind().to_mode() | real.mode(), real.uid(), real.gid());
                let origin = self.origins.lock().get(&real.ino()).copied();
                ino = match (&lower, origin) {
                    (_, Some(origin)) => origin,
                    (Some(lower), None) => lower.ino(),
                    (None, None) => real.ino() | UPPER_INO,
                };
            }
            (None, Some(real)) => {
                (mode, uid, gid) = (real.kind().to_mode() | real.mode(), real.uid(), real.gid());
                ino = real.ino();
            }
            (None, None) => (mode, uid, gid, ino) = (0, 0, 0, 0),
        }
        let upper_ino = upper.as_ref().map(|u| u.ino());
        let cell = OnceLock::new();
        if let Some(u) = upper {
            cell.set(u).ok();
        }
        let (place, copying, this) = (Mutex::new(place), Mutex::new(()), OnceLock::new());
        let node = Node { fs: Arc::clone(self), this, upper: cell, lower, place, copying };
        let inode = Inode::new(Arc::clone(&self.sb), ino, mode, uid, gid, Box::new(node));
        if let Ok(node) = Node::of(&inode) {
            node.this.set(Arc::downgrade(&inode)).ok();
        }
        if let Some(at) = upper_ino {
            self.by_upper.lock().insert(at, Arc::downgrade(&inode));
        }
        inode
    }
}

/// An overlay inode's parts.
struct Node {
    fs: Arc<OverlayFs>,
    /// The inode that this is.
    this: OnceLock<Weak<Inode>>,
    upper: OnceLock<Arc<Inode>>,
    lower: Option<Arc<Inode>>,
    /// Directory and name while only the lower part exists; `None` for the root and for what has been removed.
    place: Mutex<Option<(Arc<Inode>, Vec<u8>)>>,
    copying: Mutex<()>,
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(upper) = self.upper.get() {
            let mut known = self.fs.by_upper.lock();
            // Another may have taken its place meanwhile.
            if known.get(&upper.ino()).is_some_and(|inode| inode.strong_count() == 0) {
                known.remove(&upper.ino());
            }
            drop(known);
            if upper.attr().is_ok_and(|attr| attr.nlink == 0) {
                self.fs.origins.lock().remove(&upper.ino());
                let lower = self.fs.redirects.lock().remove(&upper.ino());
                drop(lower);
            }
        }
        // However long the chain of directories is that nothing else holds any more: one after the other.
        let mut place = self.place.get_mut().take();
        while let Some(inode) = place.and_then(|(dir, _)| Arc::into_inner(dir)) {
            place = Self::of(&inode).ok().and_then(|node| node.place.lock().take());
        }
    }
}

impl Node {
    fn of(inode: &Inode) -> Result<&Node, Errno> {
        inode.ops().as_any().downcast_ref().ok_or(Errno::EXDEV)
    }

    /// The inode that has the contents now.
    fn real(&self) -> Result<&Arc<Inode>, Errno> {
        self.upper.get().or(self.lower.as_ref()).ok_or(Errno::EIO)
    }

    /// The entry `name` of the lower part.
    fn lower_child(&self, name: &[u8]) -> Result<Option<Arc<Inode>>, Errno> {
        match &self.lower {
            Some(lower) if lower.is_dir() => found(lower, name),
            _ => Ok(None),
        }
    }

    /// The entry `name` of the upper part, whiteouts included.
    fn upper_child(&self, name: &[u8]) -> Result<Option<Arc<Inode>>, Errno> {
        self.upper.get().map_or(Ok(None), |upper| found(upper, name))
    }

    /// The whiteout that `name` is in the upper part.
    fn whiteout(&self, name: &[u8]) -> Result<Option<Arc<Inode>>, Errno> {
        Ok(match self.upper_child(name)? {
            Some(entry) if is_whiteout(&entry)? => Some(entry),
            _ => None,
        })
    }

    /// Takes a whiteout away.
    fn clear_whiteout(&self, name: &[u8]) -> Result<(), Errno> {
        let Some(upper) = self.upper.get() else { return Ok(()) };
        self.whiteout(name)?.map_or(Ok(()), |entry| upper.ops().unlink(upper, name, &entry))
    }

    /// Makes an upper entry where there may be a whiteout, which is back if that fails; `make` hears whether there was one.
    fn over_whiteout<T>(&self, name: &[u8], make: impl FnOnce(&Arc<Inode>, bool) -> Result<T, Errno>) -> Result<T, Errno> {
        let upper = self.copy_up(true)?;
        let Some(whiteout) = self.whiteout(name)? else { return make(upper, false) };
        move_entry(upper, &whiteout, name, ASIDE, None)?;
        let made = make(upper, true);
        if made.is_ok() {
            upper.ops().unlink(upper, ASIDE, &whiteout)?;
        } else {
            move_entry(upper, &whiteout, ASIDE, name, None)?;
        }
        made
    }

    /// Does what takes `name` away; a whiteout stands there afterwards if the lower part has it. The whiteout is made before and only put
    /// in place then, so that there is no want of anything once something has changed.
    fn leaving_whiteout(
        &self,
        name: &[u8],
        wanted: bool,
        take: impl FnOnce(&Arc<Inode>) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let upper = self.copy_up(true)?;
        if !wanted || self.lower_child(name)?.is_none() {
            return take(upper);
        }
        let node = NewNode { kind: FileKind::CharDevice, mode: 0, uid: 0, gid: 0, rdev: 0 };
        let whiteout = upper.ops().create(upper, ASIDE, &node)?;
        let taken = take(upper);
        if taken.is_ok() {
            let rest = self.upper_child(name)?;
            move_entry(upper, &whiteout, ASIDE, name, rest.as_ref())?;
        } else {
            upper.ops().unlink(upper, ASIDE, &whiteout)?;
        }
        taken
    }

    /// A new upper entry becomes an overlay inode.
    fn adopt(&self, made: Arc<Inode>) -> Arc<Inode> {
        self.fs.inode(Some(made), None, None)
    }
}

/// Moves `entry` within the upper directory `dir`, in place of `target`.
fn move_entry(dir: &Arc<Inode>, entry: &Arc<Inode>, from: &[u8], to: &[u8], target: Option<&Arc<Inode>>) -> Result<(), Errno> {
    let exchange = false;
    dir.ops().rename(&Rename { old_dir: dir, old_name: from, source: entry, new_dir: dir, new_name: to, target, exchange })
}

fn set_opaque(upper: &Arc<Inode>) -> Result<(), Errno> {
    upper.ops().setxattr(upper, OPAQUE, b"y", 0)
}

fn is_opaque(upper: &Arc<Inode>) -> bool {
    upper.ops().getxattr(upper, OPAQUE).is_ok_and(|v| v == b"y")
}

fn is_whiteout(inode: &Arc<Inode>) -> Result<bool, Errno> {
    Ok(inode.kind() == FileKind::CharDevice && inode.attr()?.rdev == 0)
}

fn found(dir: &Arc<Inode>, name: &[u8]) -> Result<Option<Arc<Inode>>, Errno> {
    let creds = Credentials::default();
    let nobody = Caller { creds: &creds, pid: 0, tid: 0 };
    match dir.ops().lookup(dir, name, &nobody) {
        Ok(inode) => Ok(Some(inode)),
        Err(Errno::ENOENT) => Ok(None),
        Err(e) => Err(e),
    }
}

impl InodeOps for Node {
    fn is_host_file(&self) -> bool {
        self.lower.as_ref().is_some_and(|lower| lower.ops().is_host_file())
    }

    fn getattr(&self, inode: &Inode) -> Result<Attr, Errno> {
        let mut attr = self.real()?.attr()?;
        attr.dev = inode.sb().dev;
        attr.ino = inode.ino();
        if self.upper.get().is_none() && self.place.lock().is_none() && !inode.is_dir() {
            // Removed without a copy-up: the lower file does not know.
            attr.nlink = bevor_abi::mutant!("overlay/removed-nlink", 0, attr.nlink);
        }
        Ok(attr)
    }

    fn acl(&self, _inode: &Inode) -> Result<Option<Arc<Acl>>, Errno> {
        let real = self.real()?;
        real.ops().acl(real)
    }

    fn setattr(&self, inode: &Inode, set: &SetAttr) -> Result<(), Errno> {
        let upper = self.copy_up(bevor_abi::mutant!("overlay/truncate-data", set.size != Some(0), set.size.is_none()))?;
        upper.ops().setattr(upper, set)?;
        if !bevor_abi::mutated!("overlay/permission-stale") {
            inode.set_perm(upper.mode(), upper.uid(), upper.gid());
        }
        Ok(())
    }

    fn lookup(&self, dir: &Arc<Inode>, name: &[u8], _caller: &Caller<'_>) -> Result<Arc<Inode>, Errno> {
        let upper = self.upper_child(name)?;
        let place = Some((Arc::clone(dir), name.to_vec()));
        if let Some(upper) = upper {
            if is_whiteout(&upper)? {
                return Err(Errno::ENOENT);
            }
            let redirect = self.fs.redirects.lock().get(&upper.ino()).cloned();
            let lower = if !upper.is_dir() {
                None
            } else if redirect.is_some() {
                redirect
            } else if is_opaque(&upper) {
                None
            } else {
                self.lower_child(name)?.filter(|l| l.is_dir())
            };
            return Ok(self.fs.inode(Some(upper), lower, place));
        }
        let lower = self.lower_child(name)?.ok_or(Errno::ENOENT)?;
        Ok(self.fs.inode(None, Some(lower), place))
    }

    fn create(&self, _dir: &Arc<Inode>, name: &[u8], node: &NewNode) -> Result<Arc<Inode>, Errno> {
        let made = self.over_whiteout(name, |upper, hides| {
            let made = upper.ops().create(upper, name, node)?;
            if hides
                && made.is_dir()
                && !bevor_abi::mutated!("overlay/not-opaque")
                && let Err(e) = set_opaque(&made)
            {
                upper.ops().rmdir(upper, name, &made)?;
                return Err(e);
            }
            Ok(made)
        })?;
        Ok(self.adopt(made))
    }

    fn tmpfile(&self, _dir: &Arc<Inode>, node: &NewNode) -> Result<Arc<Inode>, Errno> {
        let upper = self.copy_up(true)?;
        let made = upper.ops().tmpfile(upper, node)?;
        Ok(self.adopt(made))
    }

    fn symlink(&self, _dir: &Arc<Inode>, name: &[u8], target: &[u8], node: &NewNode) -> Result<Arc<Inode>, Errno> {
        let make = |upper: &Arc<Inode>| upper.ops().symlink(upper, name, target, node);
        let made = if bevor_abi::mutated!("overlay/symlink-whiteout") {
            make(self.copy_up(true)?)
        } else {
            self.over_whiteout(name, |upper, _| make(upper))
        }?;
        Ok(self.adopt(made))
    }

    fn link(&self, _dir: &Arc<Inode>, name: &[u8], inode: &Arc<Inode>) -> Result<(), Errno> {
        let source = Node::of(inode)?.copy_up(true)?;
        let make = |upper: &Arc<Inode>| upper.ops().link(upper, name, source);
        if bevor_abi::mutated!("overlay/link-whiteout") {
            make(self.copy_up(true)?)
        } else {
            self.over_whiteout(name, |upper, _| make(upper))
        }
    }

    fn unlink(&self, _dir: &Arc<Inode>, name: &[u8], victim: &Arc<Inode>) -> Result<(), Errno> {
        self.leaving_whiteout(name, !bevor_abi::mutated!("overlay/unlink-whiteout"), |upper| match self.upper_child(name)? {
            Some(entry) => upper.ops().unlink(upper, name, &entry),
            None => Ok(()),
        })?;
        *Node::of(victim)?.place.lock() = None;
        Ok(())
    }

    fn rmdir(&self, _dir: &Arc<Inode>, name: &[u8], victim: &Arc<Inode>) -> Result<(), Errno> {
        self.leaving_whiteout(name, !bevor_abi::mutated!("overlay/rmdir-whiteout"), |upper| {
            if !(bevor_abi::mutated!("overlay/rmdir-full") && Node::of(victim)?.upper.get().is_none()) {
                Node::of(victim)?.clear_if_empty()?;
            }
            if let Some(entry) = self.upper_child(name)? {
                upper.ops().rmdir(upper, name, &entry)?;
                self.fs.redirects.lock().remove(&entry.ino());
            }
            Ok(())
        })?;
        *Node::of(victim)?.place.lock() = None;
        Ok(())
    }

    fn rename(&self, r: &Rename<'_>) -> Result<(), Errno> {
        self.rename_in_upper(r)
    }

    fn readlink(&self, _inode: &Inode, caller: &Caller<'_>) -> Result<Vec<u8>, Errno> {
        let real = self.real()?;
        real.ops().readlink(real, caller)
    }

    fn open(&self, inode: &Arc<Inode>, flags: u32) -> Result<Arc<dyn FileOps>, Errno> {
        if inode.is_dir() {
            return dir::open(inode);
        }
        let writes = flags & o::ACCMODE != o::RDONLY || flags & o::TRUNC != 0;
        let real = if writes { self.copy_up(flags & o::TRUNC == 0)? } else { self.real()? };
        real.ops().open(real, flags)
    }

    fn getxattr(&self, _inode: &Inode, name: &[u8]) -> Result<Vec<u8>, Errno> {
        if name.starts_with(PRIVATE) {
            return Err(Errno::ENODATA);
        }
        let real = self.real()?;
        real.ops().getxattr(real, name)
    }

    fn setxattr(&self, _inode: &Inode, name: &[u8], value: &[u8], flags: u32) -> Result<(), Errno> {
        if name.starts_with(PRIVATE) {
            return Err(Errno::EPERM);
        }
        let upper = self.copy_up(true)?;
        upper.ops().setxattr(upper, name, value, flags)
    }

    fn listxattr(&self, _inode: &Inode) -> Result<Vec<u8>, Errno> {
        let real = self.real()?;
        let list = real.ops().listxattr(real)?;
        let mut out = Vec::new();
        for name in list
            .split(|b| *b == 0)
            .filter(|n| !n.is_empty() && (!n.starts_with(PRIVATE) || bevor_abi::mutated!("overlay/private-listed")))
        {
            out.extend_from_slice(name);
            out.push(0);
        }
        Ok(out)
    }

    fn removexattr(&self, _inode: &Inode, name: &[u8]) -> Result<(), Errno> {
        let real = self.real()?;
        // ENODATA before anything is copied.
        real.ops().getxattr(real, name)?;
        let upper = self.copy_up(true)?;
        upper.ops().removexattr(upper, name)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Node {
    /// Gives a directory that moves its lower part along, or hides what lies below its new name.
    fn prepare_move(&self) -> Result<(), Errno> {
        let upper = self.copy_up(true)?;
        if !upper.is_dir() {
            return Ok(());
        }
        match &self.lower {
            Some(lower) => {
                if !bevor_abi::mutated!("overlay/moved-empty") {
                    self.fs.redirects.lock().insert(upper.ino(), Arc::clone(lower));
                }
                Ok(())
            }
            None => set_opaque(upper),
        }
    }

    fn rename_in_upper(&self, r: &Rename<'_>) -> Result<(), Errno> {
        let new_dir = Node::of(r.new_dir)?;
        let source = Node::of(r.source)?;
        let new_upper = new_dir.copy_up(true)?;
        let source_upper = source.copy_up(true)?;
        let replaced = match r.target {
            Some(target) => {
                if r.exchange {
                    Node::of(target)?.prepare_move()?;
                }
                new_dir.upper_child(r.new_name)?
            }
            None if bevor_abi::mutated!("overlay/rename-onto-whiteout") => None,
            None => new_dir.whiteout(r.new_name)?,
        };
        let leaves = !r.exchange && !bevor_abi::mutated!("overlay/rename-whiteout");
        self.leaving_whiteout(r.old_name, leaves, |old_upper| {
            if let (Some(target), false) = (r.target, r.exchange)
                && target.is_dir()
            {
                Node::of(target)?.clear_if_empty()?;
            }
            // Not before it is known that the target can go: a rename that is refused changes nothing.
            source.prepare_move()?;
            old_upper.ops().rename(&Rename {
                old_dir: old_upper,
                old_name: r.old_name,
                source: source_upper,
                new_dir: new_upper,
                new_name: r.new_name,
                target: replaced.as_ref(),
                exchange: r.exchange,
            })
        })?;
        if let (Some(target), false) = (r.target, r.exchange) {
            *Node::of(target)?.place.lock() = None;
        }
        Ok(())
    }
}
