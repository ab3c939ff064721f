//! The `bevor` command: runs programs in a userspace Linux kernel.
#![forbid(unsafe_code)]

mod boot;
mod cli;
mod control;
mod failure;
mod filesystem;
mod filter;
mod gofer;
mod memory;
mod sandbox;
#[cfg(feature = "test-faults")]
mod selftest;
mod sentry;
mod spec;

use std::process::ExitCode;

fn main() -> ExitCode {
    if std::env::args_os().next().is_some_and(|name| name.as_encoded_bytes() == gofer::NAME.to_bytes()) {
        gofer::main();
    }
    match cli::run() {
        Ok(status) => ExitCode::from(status),
        Err(failure) => failure.report(),
    }
}
