//! System call handlers, by area. Each takes typed arguments and returns the value for rax.

pub mod exec;
pub mod ids;
pub mod prctl;
pub mod process;
pub mod resource;
pub mod signal;
pub mod system;
pub mod time;
//! System call handlers, by subject. The table in `crate::table` says which number each one has.

pub mod fdctl;
pub mod hooks;
pub mod io;
pub mod open;
pub mod stat;
