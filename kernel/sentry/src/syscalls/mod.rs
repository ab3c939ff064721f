//! System call handlers, by subject. The table in `crate::table` says which number each one has.

pub mod fdctl;
pub mod hooks;
pub mod io;
pub mod open;
pub mod stat;
