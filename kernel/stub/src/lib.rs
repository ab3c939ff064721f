//! The stub: the freestanding program that runs the application inside its own host process.
//!
//! Its C and assembly sources are in `c/`. This crate holds the linked program and the Rust view of the shared layout.
#![allow(unsafe_code)]

pub mod layout;

/// The linked stub, an ELF executable at a fixed address.
pub static STUB_ELF: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/stub.elf"));
