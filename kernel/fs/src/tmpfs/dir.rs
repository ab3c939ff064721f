//! Directories of a tmpfs.

use std::collections::BTreeMap;
use std::sync::Arc;

use bevor_abi::Errno;
use bevor_core::memory::MemoryBudget;
use bevor_core::names::NameMap;
use bevor_core::num::to_u64;
use bevor_core::vfs::{DirEntry, File, Inode};

use super::{NODE_COST, Node};
use crate::util::emit_dots;

/// What one entry adds to a directory's size.
const ENTRY_SIZE: u64 = 20;

/// Entries by name, and in the order of their making so that reading goes on where it stopped.
pub(super) struct Directory {
    memory: Arc<MemoryBudget>,
    names: NameMap<Arc<[u8]>, u64>,
    entries: BTreeMap<u64, (Arc<[u8]>, Arc<Inode>)>,
    next: u64,
}

impl Directory {
    pub(super) fn new(memory: &Arc<MemoryBudget>) -> Self {
        Self { memory: Arc::clone(memory), names: NameMap::default(), entries: BTreeMap::new(), next: 0 }
    }

    pub(super) fn get(&self, name: &[u8]) -> Option<Arc<Inode>> {
        let at = self.names.get(name)?;
        self.entries.get(at).map(|(_, inode)| Arc::clone(inode))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn size(&self) -> u64 {
        (to_u64(self.entries.len()) + 2) * ENTRY_SIZE
    }

    /// `back`: the name was taken out a moment ago, so that putting it back (elsewhere) must not fail for want of memory.
    fn insert(&mut self, name: &[u8], inode: Arc<Inode>, back: bool) -> Result<(), Errno> {
        if self.names.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        if back {
            self.memory.charge_anyway(NODE_COST);
        } else {
            self.memory.charge(NODE_COST)?;
        }
        let name: Arc<[u8]> = Arc::from(name);
        // 0 and 1 are "." and "..".
        let at = self.next + 2;
        self.next += 1;
        self.names.insert(Arc::clone(&name), at);
        self.entries.insert(at, (name, inode));
        Ok(())
    }

    /// Takes all entries out.
    fn take_all(&mut self) -> Vec<Arc<Inode>> {
        self.memory.release(to_u64(self.entries.len()) * NODE_COST);
        self.names.clear();
        std::mem::take(&mut self.entries).into_values().map(|(_, inode)| inode).collect()
    }

    fn remove(&mut self, name: &[u8]) -> Result<(), Errno> {
        let at = self.names.remove(name).ok_or(Errno::ENOENT)?;
        self.entries.remove(&at);
        self.memory.release(NODE_COST);
        Ok(())
    }
}

impl Drop for Directory {
    /// A whole tree may go with it, of any depth: one directory after the other, never one inside the other.
    fn drop(&mut self) {
        let mut entries = self.take_all();
        while let Some(inode) = entries.pop() {
            let Some(inode) = Arc::into_inner(inode) else { continue };
            if let Some(node) = Node::of(&inode)
                && let Ok(dir) = node.state.lock().dir()
            {
                entries.extend(dir.take_all());
            }
        }
    }
}

impl Node {
    /// Adds a name. A directory's ".." counts as a link here.
    pub(super) fn insert(&self, name: &[u8], inode: &Arc<Inode>) -> Result<(), Errno> {
        self.insert_entry(name, inode, false)
    }

    /// As [`Node::insert`] for a name that was just taken out.
    pub(super) fn insert_back(&self, name: &[u8], inode: &Arc<Inode>) -> Result<(), Errno> {
        self.insert_entry(name, inode, true)
    }

    fn insert_entry(&self, name: &[u8], inode: &Arc<Inode>, back: bool) -> Result<(), Errno> {
        let now = self.now();
        let mut state = self.state.lock();
        state.dir()?.insert(name, Arc::clone(inode), back)?;
        let before = (state.mtime, state.ctime);
        state.nlink += u32::from(inode.is_dir() && !(back && bevor_abi::mutated!("tmpfs/move-nlink")));
        state.touch(now);
        if bevor_abi::mutated!("tmpfs/insert-times") {
            (state.mtime, state.ctime) = before;
        }
        Ok(())
    }

    /// Takes a name out; `unlink`: the inode loses a link by it.
    pub(super) fn remove_entry(&self, name: &[u8], victim: &Arc<Inode>, unlink: bool) -> Result<(), Errno> {
        let now = self.now();
        {
            let mut state = self.state.lock();
            state.dir()?.remove(name)?;
            state.nlink -= bevor_abi::mutant!("tmpfs/rmdir-nlink", u32::from(victim.is_dir()), 0);
            if !bevor_abi::mutated!("tmpfs/remove-times") {
                state.touch(now);
            }
        }
        if unlink {
            let mut state = Node::required(victim)?.state.lock();
            state.nlink = if victim.is_dir() { 0 } else { state.nlink.saturating_sub(1) };
            state.ctime = bevor_abi::mutant!("tmpfs/unlink-ctime", now, state.ctime);
        }
        Ok(())
    }

    pub(super) fn remove(&self, name: &[u8], victim: &Arc<Inode>) -> Result<(), Errno> {
        self.remove_entry(name, victim, true)
    }

    pub(super) fn read_entries(&self, file: &File, pos: u64, emit: &mut dyn FnMut(&DirEntry<'_>) -> bool) -> Result<(), Errno> {
        if !emit_dots(file, pos, emit) {
            return Ok(());
        }
        let mut state = self.state.lock();
        for (at, (name, inode)) in state.dir()?.entries.range(pos.max(2)..) {
            let entry = DirEntry { name, ino: inode.ino(), kind: inode.kind(), next: at + 1 };
            if !emit(&entry) {
                break;
            }
        }
        Ok(())
    }
}
