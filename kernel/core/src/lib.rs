//! The kernel proper: tasks, signals, virtual file system, descriptors, time. It knows no host calls and no unsafe code.
//!
//! Nothing in here blocks. An operation that cannot go on returns `EAGAIN` and offers a [`wait::WaitQueue`]; only the
//! system call layer turns that into a sleeping task.
#![forbid(unsafe_code)]

pub mod context;
pub mod creds;
pub mod error;
pub mod io;
pub mod kernel;
pub mod loader;
pub mod lock;
pub mod log;
pub mod num;
pub mod signal;
pub mod task;
pub mod time;
pub mod vfs;
pub mod wait;
