//! System call handlers, by subject: typed arguments in, the value for rax out. The table in [`crate::table`] says which number each
//! one has.

pub mod anon;
pub mod attr;
pub mod dir;
pub mod exec;
pub mod fdctl;
pub mod hooks;
pub mod ids;
pub mod io;
pub mod local;
pub mod mm;
pub mod open;
pub mod pidfd;
pub mod poll;
pub mod prctl;
pub mod process;
pub mod resource;
pub mod signal;
pub mod socket;
pub mod stat;
pub mod system;
pub mod time;
pub mod transfer;
pub mod xattr;
