//! File systems: tmpfs, overlay, host files through a gofer, devices, /proc, host stdio.
//!
//! Every file system depends on `bevor-core` and none on another, except that the overlay stacks any two.
#![forbid(unsafe_code)]

pub mod dev;
pub mod gofer;
pub mod overlay;
pub mod proc;
pub mod stdio;
pub mod tmpfs;
mod util;
