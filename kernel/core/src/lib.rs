//! The kernel proper: tasks, signals, virtual file system, descriptors, time. It knows no host calls and no unsafe code.
//!
//! Nothing in here blocks. An operation that cannot go on returns `EAGAIN` and offers a [`wait::WaitQueue`]; only the
//! system call layer turns that into a sleeping task.
#![forbid(unsafe_code)]

pub mod context;
pub mod creds;
pub mod epoll;
pub mod error;
pub mod eventfd;
pub mod io;
pub mod kernel;
pub mod loader;
pub mod lock;
pub mod log;
pub(crate) mod long;
pub mod memory;
pub mod names;
pub mod num;
pub mod pidfd;
pub mod pipe;
pub mod signal;
pub mod signalfd;
pub mod socket;
pub mod task;
#[cfg(test)]
mod testing;
pub mod time;
pub mod timerfd;
pub mod unix;
pub mod vfs;
pub mod wait;
