//! Descriptors of processes (pidfd_open(2)).

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bevor_abi::fs::o;

use crate::task::ThreadGroup;
use crate::vfs::{File, FileOps, Vfs};
use crate::wait::{PollEvents, WaitQueue};

/// A process as a file: readable once it has ended.
pub struct PidFd(Arc<ThreadGroup>);

impl PidFd {
    /// A description of `group`. `flags`: open(2)'s O_NONBLOCK.
    #[must_use]
    pub fn create(vfs: &Vfs, group: &Arc<ThreadGroup>, flags: u32, owner: (u32, u32)) -> Arc<File> {
        let ops = Arc::new(Self(Arc::clone(group)));
        vfs.anon_file("anon_inode:[pidfd]", 0o700, ops, o::RDWR | flags & o::NONBLOCK, owner)
    }

    /// The process.
    #[must_use]
    pub fn group(&self) -> &Arc<ThreadGroup> {
        &self.0
    }
}

impl FileOps for PidFd {
    fn poll(&self, _file: &File) -> PollEvents {
        if self.0.dead.load(Ordering::SeqCst) { PollEvents::IN | PollEvents::RDNORM } else { PollEvents::empty() }
    }
    fn queue(&self) -> Option<&WaitQueue> {
        Some(&self.0.exit_wait)
    }
    fn fdinfo(&self, _file: &File) -> String {
        format!("Pid:\t{0}\nNSpid:\t{0}\n", self.0.pid)
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}
