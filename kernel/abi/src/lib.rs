//! Facts of the Linux/x86-64 ABI: error numbers, system call numbers, structures and constants.
//!
//! Nothing here does anything: the crate has no state (but in builds with mutants), no I/O and no unsafe code.
#![forbid(unsafe_code)]

pub mod errno;
pub mod fs;
pub mod mutants;
pub mod process;
pub mod signal;
pub mod sysno;
pub mod user;

pub use errno::Errno;
pub use user::{Fd, FromArg, UserAddr};
