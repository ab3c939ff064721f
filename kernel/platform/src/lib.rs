//! Platforms: how application code is run and how its system calls, faults and interruptions reach the kernel.
//!
//! [`api`] is the contract between the kernel and any platform; [`systrap`] (seccomp traps, patched call sites, shared
//! memory channels) is the first one. Everything a stub can write is read through `Untrusted`-style raw copies and validated.
#![allow(unsafe_code)]

pub mod api;
pub mod defence;
pub mod systrap;

pub use api::*;
pub use defence::{Defence, Defences};
