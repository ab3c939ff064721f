//! The conformance harness: runs the same probes natively and in sandboxes, compares what they observed
//! field by field, and keeps the books. See `harness/README.md`.

pub mod bless;
pub mod cli;
pub mod commands;
pub mod compare;
pub mod container;
pub mod discover;
pub mod error;
pub mod expect;
pub mod fixture;
pub mod jail;
pub mod liar;
pub mod lint;
pub mod manifest;
pub mod merge;
pub mod mutants;
pub mod mutate;
pub mod place;
pub mod progress;
pub mod provenance;
pub mod report;
pub mod runner;
pub mod select;
pub mod selfcheck;
pub mod source;
pub mod stream;
pub mod table;
pub mod trace;
pub mod value;
mod work;
