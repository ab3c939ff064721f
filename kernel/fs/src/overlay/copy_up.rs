//! Copying a lower file to the upper layer before it changes.

use std::sync::{Arc, Weak};

use bevor_abi::Errno;
use bevor_abi::fs::o;
use bevor_core::creds::Credentials;
use bevor_core::io::{SliceSource, VecSink};
use bevor_core::lock::lock_as_work;
use bevor_core::num::to_u64;
use bevor_core::vfs::{Attr, Caller, Dentry, File, FileKind, FileOps, Inode, NewNode, Path, SetAttr};

use super::{Node, PRIVATE, found, is_whiteout};

/// How much is copied in one step.
const STEP: usize = 1 << 20;

impl Node {
    /// The upper part, made now if there is none. `data`: with contents (not before a truncation to nothing).
    pub(super) fn copy_up(&self, data: bool) -> Result<&Arc<Inode>, Errno> {
        if let Some(upper) = self.upper.get() {
            return Ok(upper);
        }
        // Parents first, the topmost before all.
        let mut parents: Vec<Arc<Inode>> = Vec::new();
        let mut at = self.place.lock().clone();
        while let Some((dir, _)) = at {
            let node = Node::of(&dir)?;
            if node.upper.get().is_some() {
                break;
            }
            at = node.place.lock().clone();
            parents.push(dir);
        }
        while let Some(dir) = parents.pop() {
            Node::of(&dir)?.copy_one_up(true)?;
        }
        self.copy_one_up(data)
    }

    /// As [`Node::copy_up`] where the directory has its upper part. What was removed while it was open gets a copy without a name. The
    /// contents of a file come before its name: where there is no room for them, nothing has changed.
    fn copy_one_up(&self, data: bool) -> Result<&Arc<Inode>, Errno> {
        let place = self.place.lock().clone();
        let lower = self.lower.as_ref().ok_or(Errno::EIO)?;
        let at = match &place {
            Some((dir, name)) => Some((Node::of(dir)?.upper.get().ok_or(Errno::EIO)?, name.as_slice())),
            None => None,
        };
        let _guard = lock_as_work(&self.copying);
        if let Some(upper) = self.upper.get() {
            return Ok(upper);
        }
        if let Some((dir, name)) = at
            && let Some(known) = self.copied_already(dir, name, lower)?
        {
            return Ok(self.upper.get_or_init(|| known));
        }
        let attr = lower.attr()?;
        let (made, named) = match at {
            Some((dir, name)) if lower.kind() == FileKind::Regular => {
                let made = dir.ops().tmpfile(dir, &new_node(lower.kind(), &attr))?;
                if data {
                    self.copy_data(lower, &made, attr.size)?;
                }
                let named = self.enter(dir, name, || dir.ops().link(dir, name, &made))?.is_some();
                (made, named)
            }
            Some((dir, name)) => match self.enter(dir, name, || make(dir, name, lower, &attr))? {
                Some(made) => (made, true),
                None => (self.make_unnamed(&attr)?, false),
            },
            None => {
                let made = self.make_unnamed(&attr)?;
                if data && lower.kind() == FileKind::Regular {
                    self.copy_data(lower, &made, attr.size)?;
                }
                (made, false)
            }
        };
        if !bevor_abi::mutated!("overlay/xattr-lost") {
            copy_xattrs(lower, &made);
        }
        made.ops().setattr(
            &made,
            &SetAttr {
                mode: (lower.kind() != FileKind::Symlink)
                    .then_some(attr.mode & bevor_abi::mutant!("overlay/copy-up-suid", 0o7777, 0o777)),
                atime: bevor_abi::mutant!("overlay/copy-up-atime", Some(attr.atime), None),
                mtime: bevor_abi::mutant!("overlay/copy-up-times", Some(attr.mtime), None),
                ctime: Some(attr.ctime),
                ..SetAttr::default()
            },
        )?;
        // A copy without a name is never looked up, and its number may be that of another file in the upper layer.
        if named {
            if !bevor_abi::mutated!("overlay/inode-changes") {
                self.fs.origins.lock().insert(made.ino(), lower.ino());
            }
            // Who looks it up from now on finds this inode.
            if let Some(this) = self.this.get() {
                self.fs.by_upper.lock().insert(made.ino(), Weak::clone(this));
            }
        }
        Ok(self.upper.get_or_init(|| made))
    }

    /// Gives a copy its name, unless the file has been removed meanwhile: whoever removes it says so last, and before that has put a
    /// whiteout there.
    fn enter<T>(&self, dir: &Arc<Inode>, name: &[u8], enter: impl FnOnce() -> Result<T, Errno>) -> Result<Option<T>, Errno> {
        let place = self.place.lock();
        if place.is_none() {
            return Ok(None);
        }
        match keeping_times(dir, enter) {
            Err(Errno::EEXIST) if found(dir, name)?.map_or(Ok(false), |there| is_whiteout(&there))? => Ok(None),
            entered => entered.map(Some),
        }
    }

    /// The copy that another inode of the same file has made: there are two where a program holds what no name in the cache leads to.
    fn copied_already(&self, dir: &Arc<Inode>, name: &[u8], lower: &Arc<Inode>) -> Result<Option<Arc<Inode>>, Errno> {
        let Some(there) = found(dir, name)? else { return Ok(None) };
        let same = there.kind() == lower.kind() && self.fs.origins.lock().get(&there.ino()) == Some(&lower.ino());
        Ok(same.then_some(there))
    }

    fn make_unnamed(&self, attr: &Attr) -> Result<Arc<Inode>, Errno> {
        let root = super::super::tmpfs::TmpFs::new(&self.fs.vfs, 0o700);
        root.ops().tmpfile(&root, &new_node(FileKind::Regular, attr))
    }

    fn copy_data(&self, lower: &Arc<Inode>, upper: &Arc<Inode>, size: u64) -> Result<(), Errno> {
        let from = self.open_real(lower, o::RDONLY)?;
        let to = self.open_real(upper, o::WRONLY)?;
        let mut at = 0;
        while at < size {
            let mut data = Vec::new();
            let n = from.ops().read_at(&from, at, &mut VecSink { data: &mut data, room: STEP })?;
            if n == 0 {
                break;
            }
            let mut source = SliceSource(&data);
            let mut done = 0;
            while done < n {
                let written = to.ops().write_at(&to, at + to_u64(done), &mut source)?;
                if written == 0 {
                    return Err(Errno::EIO);
                }
                done += written;
            }
            at += to_u64(n);
            if bevor_abi::mutated!("overlay/copy-short") {
                break;
            }
        }
        Ok(())
    }

    /// A description of a layer's file for the kernel's own use.
    fn open_real(&self, inode: &Arc<Inode>, flags: u32) -> Result<Arc<File>, Errno> {
        let ops: Arc<dyn FileOps> = inode.ops().open(inode, flags)?;
        let path = Path {
            mount: self.fs.vfs.new_mount(Arc::clone(inode), "overlay", 0),
            dentry: Dentry::new_root(Arc::clone(inode), b""),
        };
        Ok(File::new(path, ops, flags))
    }
}

/// An entry of the upper layer for what the lower one has, if it is no regular file.
fn make(dir: &Arc<Inode>, name: &[u8], lower: &Arc<Inode>, attr: &Attr) -> Result<Arc<Inode>, Errno> {
    let new = new_node(lower.kind(), attr);
    if lower.is_symlink() {
        let creds = Credentials::default();
        let nobody = Caller { creds: &creds, pid: 0, tid: 0 };
        let target = lower.ops().readlink(lower, &nobody)?;
        dir.ops().symlink(dir, name, &target, &new)
    } else {
        dir.ops().create(dir, name, &new)
    }
}

/// Enters something in a directory that has not changed for those who see the overlay.
fn keeping_times<T>(dir: &Arc<Inode>, enter: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
    let times = dir.attr()?;
    let made = enter()?;
    dir.ops().setattr(
        dir,
        &SetAttr {
            mtime: bevor_abi::mutant!("overlay/copy-up-parent", Some(times.mtime), None),
            ctime: Some(times.ctime),
            ..SetAttr::default()
        },
    )?;
    Ok(made)
}

fn new_node(kind: FileKind, attr: &Attr) -> NewNode {
    let (uid, gid) = bevor_abi::mutant!("overlay/copy-owner", (attr.uid, attr.gid), (0, 0));
    NewNode { kind, mode: attr.mode & 0o7777, uid, gid, rdev: attr.rdev }
}

/// Extended attributes that can be read come along; a layer without any is no error.
fn copy_xattrs(lower: &Arc<Inode>, upper: &Arc<Inode>) {
    let Ok(list) = lower.ops().listxattr(lower) else { return };
    for name in list.split(|b| *b == 0).filter(|n| !n.is_empty() && !n.starts_with(PRIVATE)) {
        if let Ok(value) = lower.ops().getxattr(lower, name) {
            upper.ops().setxattr(upper, name, &value, 0).ok();
        }
    }
}
