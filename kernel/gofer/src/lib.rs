//! The gofer: a process apart that opens host files for the sentry and donates the descriptors.
//!
//! [`Gofer`] is the client in the sentry, [`Server`] the other end. They speak [`protocol`] over one `SOCK_SEQPACKET` socket
//! pair. The server is written against a sentry that a guest has taken over: it resolves one component at a time beneath the
//! mounts it was configured with, follows no symbolic link, refuses writes on read-only mounts and opens only regular files
//! and directories.
#![forbid(unsafe_code)]

pub mod client;
pub mod confine;
pub mod protocol;
mod pseudo;
pub mod server;
mod transport;

pub use client::{Gofer, Walked};
pub use protocol::{
    Attr, DirEntry, NodeId, OpenFlags, Owner, ProcFile, RenameFlags, SetAttr, SetTime, SpecialKind, StatFs, TimeSpec,
};
pub use server::{Mask, MountSource, Server};
