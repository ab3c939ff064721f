//! The server's table of nodes.

use std::os::fd::OwnedFd;

use bevor_abi::Errno;

use crate::protocol::{Attr, NodeId};

/// A file that the client has resolved.
#[derive(Debug)]
pub(crate) struct Node {
    /// `O_PATH` descriptor.
    pub(crate) fd: OwnedFd,
    /// Number of the mount it was reached through.
    pub(crate) mount: usize,
    /// `S_IFMT` bits; an inode's never change.
    pub(crate) file_type: u32,
    /// Host device of the inode.
    pub(crate) dev: u64,
    /// Number of the inode there.
    pub(crate) ino: u64,
    /// On a pseudo file system (proc, sysfs, …), or masked: shown as an empty directory.
    pub(crate) hidden: bool,
    /// Asked to be hidden: shown as an empty directory or file with attributes that tell nothing.
    pub(crate) masked: bool,
}

impl Node {
    pub(crate) fn new(fd: OwnedFd, mount: usize, attr: &Attr, hidden: bool) -> Self {
        Self { fd, mount, file_type: attr.file_type(), dev: attr.dev, ino: attr.ino, hidden, masked: false }
    }

    /// Device and inode number.
    pub(crate) fn identity(&self) -> (u64, u64) {
        (self.dev, self.ino)
    }
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    node: Option<Node>,
}

/// Nodes by index and generation: a forgotten id never names another node.
#[derive(Debug, Default)]
pub(crate) struct Nodes {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

impl Nodes {
    pub(crate) fn insert(&mut self, node: Node) -> Result<NodeId, Errno> {
        if let Some(index) = self.free.pop() {
            let slot = usize::try_from(index).ok().and_then(|i| self.slots.get_mut(i)).ok_or(Errno::ENFILE)?;
            slot.node = Some(node);
            return Ok(NodeId::new(index, slot.generation));
        }
        let index = u32::try_from(self.slots.len()).map_err(|_| Errno::ENFILE)?;
        self.slots.push(Slot { generation: 1, node: Some(node) });
        Ok(NodeId::new(index, 1))
    }

    pub(crate) fn get(&self, id: NodeId) -> Result<&Node, Errno> {
        self.slots
            .get(id.index())
            .filter(|slot| slot.generation == id.generation())
            .and_then(|slot| slot.node.as_ref())
            .ok_or(Errno::EBADF)
    }

    pub(crate) fn remove(&mut self, id: NodeId) {
        let Some(slot) = self.slots.get_mut(id.index()).filter(|slot| slot.generation == id.generation()) else {
            return;
        };
        if slot.node.take().is_some() {
            // A slot whose generations are used up is never used again.
            if let Some(next) = slot.generation.checked_add(1) {
                slot.generation = next;
                if let Ok(index) = u32::try_from(id.index()) {
                    self.free.push(index);
                }
            }
        }
    }
}
