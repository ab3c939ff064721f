//! The sentry: dispatches system calls to the kernel, and boots it.
#![forbid(unsafe_code)]

pub mod boot;
pub mod dispatch;
pub mod handler;
pub mod hints;
pub mod proc_data;
pub mod strace;
pub mod syscalls;
pub mod table;
pub mod timers;
pub mod user_io;
