//! Safe wrappers over the host system calls that the sentry and the gofer make, and over memory shared with untrusted processes.
//!
//! Unsafe code is allowed here, in `bevor-stub` and in `bevor-platform`, and nowhere else under `kernel/`.
#![allow(unsafe_code)]

pub mod clock;
pub mod confine;
pub mod fd;
pub mod file;
pub mod host;
pub mod process;
pub mod seccomp;
pub mod shared;
pub mod window;

pub use fd::{FdWatch, HostFd};
pub use shared::{SharedMemory, SharedSlice};
pub use window::FileWindow;
