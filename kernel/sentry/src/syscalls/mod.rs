//! System call handlers, by area. Each takes typed arguments and returns the value for rax.

pub mod exec;
pub mod ids;
pub mod prctl;
pub mod process;
pub mod resource;
pub mod signal;
pub mod system;
pub mod time;
