//! The sentry: dispatches system calls to the kernel.
#![forbid(unsafe_code)]

pub mod syscalls;
pub mod user_io;
