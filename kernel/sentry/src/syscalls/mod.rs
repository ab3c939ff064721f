//! System call handlers, by subject. The table in `crate::table` says which number each one has.

pub mod anon;
pub mod attr;
pub mod dir;
pub mod fdctl;
pub mod hooks;
pub mod io;
pub mod open;
pub mod poll;
pub mod socket;
pub mod stat;
pub mod transfer;
pub mod xattr;
