//! The benchmark: one microbenchmark program run natively, in Bevor and in any other sandbox, row by
//! row in turn, with the CPU time of all processes beside wall time.
//!
//! `c/microbench.c` (and `go/microbench.go`) time the operations; this crate runs them and compares.
//! See `README.md` beside this crate for how to use it and [`report`] for the JSON it writes.

mod accounting;
pub mod catalogue;
mod cli;
mod launch;
mod programs;
mod protocol;
mod provenance;
mod render;
pub mod report;
mod runtime;
pub mod stats;
mod suite;
mod system;
pub mod tie;
pub mod wait;

pub use accounting::Method;
pub use cli::main;
pub use provenance::Provenance;
