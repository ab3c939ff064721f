//! Keeps the forks of an address space apart from whatever else changes it: another fork, the start of a thread (its slab is mapped, and its
//! descriptor open, for a moment), a patch. What the sentry notes down for the child then is what the child has.

use std::collections::VecDeque;
use std::sync::Arc;

use super::thread::SysThread;
use crate::api::{CloneOp, OwnerRef};

/// A clone that waits for its turn.
pub(crate) struct Waiting {
    pub(crate) parent: Arc<SysThread>,
    pub(crate) op: CloneOp,
    pub(crate) owner: OwnerRef,
}

/// What is under way in an address space.
#[derive(Default)]
pub(crate) struct Gate {
    forking: bool,
    /// Threads being started.
    starting: usize,
    /// The slot of the thread that patches.
    patching: Option<u32>,
    waiting: VecDeque<Waiting>,
    /// The process is gone.
    closed: bool,
}

impl Gate {
    fn free_for(&self, share_vm: bool) -> bool {
        !self.forking && (share_vm || (self.starting == 0 && self.patching.is_none()))
    }

    fn start(&mut self, share_vm: bool) {
        if share_vm {
            self.starting += 1;
        } else {
            self.forking = true;
        }
    }

    /// Begins a clone, or queues it (`None`). An error hands it back: the process is gone.
    pub(crate) fn enter(&mut self, clone: Waiting) -> Result<Option<Waiting>, Waiting> {
        if self.closed {
            return Err(clone);
        }
        if self.waiting.is_empty() && self.free_for(clone.op.share_vm) {
            self.start(clone.op.share_vm);
            return Ok(Some(clone));
        }
        self.waiting.push_back(clone);
        Ok(None)
    }

    /// A clone is through or has failed.
    pub(crate) fn leave(&mut self, share_vm: bool) {
        if share_vm {
            self.starting = self.starting.saturating_sub(1);
        } else {
            self.forking = false;
        }
    }

    /// The next clone whose turn it is, begun.
    pub(crate) fn next(&mut self) -> Option<Waiting> {
        let share_vm = self.waiting.front()?.op.share_vm;
        if !self.free_for(share_vm) {
            return None;
        }
        self.start(share_vm);
        self.waiting.pop_front()
    }

    /// Whether nothing is under way.
    pub(crate) fn is_idle(&self) -> bool {
        !self.forking && self.starting == 0 && self.patching.is_none() && self.waiting.is_empty()
    }

    /// Whether the thread in `slot` may begin a patch or go on with its own. If not, its site stays as it is for now.
    pub(crate) fn enter_patch(&mut self, slot: u32) -> bool {
        match self.patching {
            Some(other) => other == slot,
            None if self.forking || !self.waiting.is_empty() => false,
            None => {
                self.patching = Some(slot);
                true
            }
        }
    }

    /// The patch is through.
    pub(crate) fn leave_patch(&mut self) {
        self.patching = None;
    }

    /// The process is gone: what still waits.
    pub(crate) fn close(&mut self) -> VecDeque<Waiting> {
        self.closed = true;
        std::mem::take(&mut self.waiting)
    }
}
