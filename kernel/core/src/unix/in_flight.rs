//! Files on their way through sockets (SCM_RIGHTS).

use std::cell::RefCell;
use std::sync::Arc;

use bevor_abi::Errno;

use super::UnixSocket;
use super::collect::Flight;
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
    /// Where they are entered, if sockets are among them.
    flight: Option<Arc<Flight>>,
}

impl InFlight {
    /// Takes the files of `control` along. Call it with no lock held.
    ///
    /// # Errors
    /// ETOOMANYREFS if the sender has more in flight than it may have files open, or all together have too many.
    pub(super) fn new(memory: &Arc<MemoryBudget>, flight: &Arc<Flight>, control: &Control) -> Result<Self, Errno> {
        if control.files.is_empty() {
            return Ok(Self::default());
        }
        let charges =
            Self::charge(memory, control).or_else(|e| if flight.collect() { Self::charge(memory, control) } else { Err(e) })?;
        let files = control.files.clone();
        let flight = files.iter().any(|file| file.downcast::<UnixSocket>().is_some()).then(|| Arc::clone(flight));
        if let Some(flight) = &flight {
            flight.register(&files);
        }
        Ok(Self { files, charges, flight })
    }

    fn charge(memory: &Arc<MemoryBudget>, control: &Control) -> Result<Vec<ObjectCharge>, Errno> {
        // As on Linux, the last message may go beyond.
        if memory.user_count(control.user, PerUser::FilesInFlight) > control.max_in_flight {
            return Err(Errno::ETOOMANYREFS);
        }
        control.files.iter().map(|_| memory.object_for(Kind::FileInFlight, control.user, u64::MAX)).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The files, which go on their way as well (MSG_PEEK): whoever copies them passes [`Flight::pass`].
    pub(super) fn peek(&self) -> &[Arc<File>] {
        &self.files
    }

    /// The files, which have arrived. Call it with no lock held, and with the queue's file at hand.
    pub(super) fn arrive(mut self) -> Vec<Arc<File>> {
        self.leave();
        std::mem::take(&mut self.files)
    }

    fn leave(&mut self) {
        self.charges.clear();
        if let Some(flight) = self.flight.take() {
            flight.unregister(&self.files);
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.files.is_empty() {
            return;
        }
        let flight = self.flight.clone();
        let recursive = flight.as_ref().is_some_and(|flight| flight.is_recursive());
        self.leave();
        let mut files = std::mem::take(&mut self.files);
        if recursive {
            return;
        }
        let later = DROPPING.with_borrow_mut(|list| list.as_mut().map(|list| list.append(&mut files)));
        if later.is_none() {
            drop_together(files);
            // What they were the last way to can be looked at only now.
            flight.iter().for_each(|flight| _ = flight.collect());
        }
    }
}

/// Whether this thread is dropping files in flight.
pub(super) fn is_dropping() -> bool {
    DROPPING.with_borrow(Option::is_some)
}

/// Drops `what`, and then, one after the other, the files in flight that this leads to.
pub(super) fn drop_together<T>(what: T) {
    DROPPING.set(Some(Vec::new()));
    drop(what);
    while let Some(file) = DROPPING.with_borrow_mut(|list| list.as_mut().and_then(Vec::pop)) {
        drop(file);
    }
    DROPPING.set(None);
}
