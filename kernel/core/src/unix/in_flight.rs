//! Files on their way through sockets (SCM_RIGHTS).

use std::cell::RefCell;
use std::sync::Arc;

use bevor_abi::Errno;

use crate::memory::{Kind, MemoryBudget, ObjectCharge, PerUser};
use crate::socket::Control;
use crate::vfs::File;

thread_local! {
    /// While files in flight are dropped: those that their drop leads to. A chain of sockets, each in the queue of the next, is as long as
    /// a guest likes, so one drop must not lead into another.
    static DROPPING: RefCell<Option<Vec<Arc<File>>>> = const { RefCell::new(None) };
}

/// The files of one message, each charged to its sender.
#[derive(Default)]
pub(super) struct InFlight {
    files: Vec<Arc<File>>,
    charges: Vec<ObjectCharge>,
}

impl InFlight {
    /// Takes the files of `control` along.
    ///
    /// # Errors
    /// ETOOMANYREFS if the sender has more in flight than it may have files open, or all together have too many.
    pub(super) fn new(memory: &Arc<MemoryBudget>, control: &Control) -> Result<Self, Errno> {
        if control.files.is_empty() {
            return Ok(Self::default());
        }
        // As on Linux, the last message may go beyond.
        if memory.user_count(control.user, PerUser::FilesInFlight) > control.max_in_flight {
            return Err(Errno::ETOOMANYREFS);
        }
        let charge = |_: &Arc<File>| memory.object_for(Kind::FileInFlight, control.user, u64::MAX);
        let charges = control.files.iter().map(charge).collect::<Result<_, _>>()?;
        Ok(Self { files: control.files.clone(), charges })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The files, which go on their way as well (MSG_PEEK).
    pub(super) fn peek(&self) -> &[Arc<File>] {
        &self.files
    }

    /// The files, which have arrived.
    pub(super) fn take(&mut self) -> Vec<Arc<File>> {
        self.charges.clear();
        std::mem::take(&mut self.files)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.files.is_empty() {
            return;
        }
        let mut files = std::mem::take(&mut self.files);
        let nested = DROPPING.with_borrow_mut(|list| match list {
            Some(list) => {
                list.append(&mut files);
                true
            }
            None => {
                *list = Some(Vec::new());
                false
            }
        });
        if nested {
            return;
        }
        while let Some(file) = files.pop().or_else(|| DROPPING.with_borrow_mut(|list| list.as_mut().and_then(Vec::pop))) {
            drop(file);
        }
        DROPPING.set(None);
    }
}
