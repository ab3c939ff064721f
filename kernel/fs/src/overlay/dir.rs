//! Listings of merged directories.

use std::any::Any;
use std::sync::Arc;

use bevor_abi::Errno;
use bevor_abi::fs::o;
use bevor_core::io::DataSink;
use bevor_core::memory::{Kind, ObjectCharge, Owner};
use bevor_core::names::NameSet;
use bevor_core::num::to_u64;
use bevor_core::vfs::{DirEntry, File, FileKind, FileOps, Inode};
use parking_lot::Mutex;

use super::{Node, UPPER_INO, is_whiteout};
use crate::util::emit_dots;

struct Entry {
    name: Vec<u8>,
    ino: u64,
    kind: FileKind,
}

/// An open merged directory: listed when reading starts (again) at the front.
struct MergedDir {
    inode: Arc<Inode>,
    entries: Mutex<Option<(Arc<Vec<Entry>>, ObjectCharge)>>,
}

/// Opens a directory of the overlay.
pub(super) fn open(inode: &Arc<Inode>) -> Result<Arc<dyn FileOps>, Errno> {
    Ok(Arc::new(MergedDir { inode: Arc::clone(inode), entries: Mutex::default() }))
}

/// All entries of one layer's directory.
fn layer(dir: &Arc<Inode>, file: &File) -> Result<Vec<Entry>, Errno> {
    let ops = dir.ops().open(dir, o::RDONLY | o::DIRECTORY)?;
    let mut all = Vec::new();
    ops.readdir(file, 2, &mut |e| {
        all.push(Entry { name: e.name.to_vec(), ino: e.ino, kind: e.kind });
        true
    })?;
    all.retain(|e| e.name != b"." && e.name != b"..");
    Ok(all)
}

impl Node {
    fn merged(&self, file: &File) -> Result<Vec<Entry>, Errno> {
        let mut out = Vec::new();
        let mut seen: NameSet<Vec<u8>> = NameSet::default();
        if let Some(upper) = self.upper.get() {
            for mut e in layer(upper, file)? {
                seen.insert(e.name.clone());
                if e.kind == FileKind::CharDevice
                    && let Some(inode) = self.upper_child(&e.name)?
                    && is_whiteout(&inode)?
                    && !bevor_abi::mutated!("overlay/whiteout-listed")
                {
                    continue;
                }
                e.ino = self.fs.origins.lock().get(&e.ino).copied().unwrap_or(e.ino | UPPER_INO);
                out.push(e);
            }
        }
        if let Some(lower) = &self.lower {
            for e in layer(lower, file)? {
                if !seen.contains(&e.name) || bevor_abi::mutated!("overlay/twice") {
                    out.push(e);
                }
            }
        }
        Ok(out)
    }

    /// Makes an empty merged directory truly empty: its whiteouts go.
    ///
    /// # Errors
    /// ENOTEMPTY.
    pub(super) fn clear_if_empty(&self) -> Result<(), Errno> {
        let Some(any) = self.upper.get().or(self.lower.as_ref()) else {
            return Err(Errno::EIO);
        };
        // Layers need a description only to tell "." and "..", which are left out.
        let ops = any.ops().open(any, o::RDONLY | o::DIRECTORY)?;
        let path = bevor_core::vfs::Path {
            mount: self.fs.vfs.new_mount(Arc::clone(any), "overlay", 0),
            dentry: bevor_core::vfs::Dentry::new_root(Arc::clone(any), b""),
        };
        let file = File::new(path, ops, o::RDONLY | o::NOATIME);
        if !self.merged(&file)?.is_empty() {
            return Err(Errno::ENOTEMPTY);
        }
        if let Some(upper) = self.upper.get() {
            for e in layer(upper, &file)? {
                self.clear_whiteout(&e.name)?;
            }
            debug_assert!(layer(upper, &file).is_ok_and(|l| l.is_empty()));
        }
        Ok(())
    }
}

impl FileOps for MergedDir {
    fn read_at(&self, _file: &File, _offset: u64, _sink: &mut dyn DataSink) -> Result<usize, Errno> {
        Err(Errno::EISDIR)
    }
    fn seekable(&self) -> bool {
        true
    }
    fn readdir(&self, file: &File, pos: u64, emit: &mut dyn FnMut(&DirEntry<'_>) -> bool) -> Result<(), Errno> {
        if !emit_dots(file, pos, emit) {
            return Ok(());
        }
        let list = {
            let mut entries = self.entries.lock();
            match &*entries {
                Some((list, _)) if pos > 0 || bevor_abi::mutated!("overlay/rewind") => Arc::clone(list),
                _ => {
                    let node = Node::of(&self.inode)?;
                    let list = Arc::new(node.merged(file)?);
                    let bytes = list.iter().map(|e| to_u64(e.name.len()) + 64).sum();
                    let charge = node.fs.vfs.memory().object_of(Kind::DirSnapshot, bytes, Owner::default())?;
                    *entries = Some((Arc::clone(&list), charge));
                    list
                }
            }
        };
        for (at, e) in (2u64..).zip(list.iter()).skip_while(|(at, _)| *at < pos) {
            let entry = DirEntry { name: &e.name, ino: e.ino, kind: e.kind, next: at + 1 };
            if !emit(&entry) {
                break;
            }
        }
        Ok(())
    }
    fn fsync(&self, _file: &File, _data_only: bool) -> Result<(), Errno> {
        Ok(())
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}
