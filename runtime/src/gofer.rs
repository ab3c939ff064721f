//! The gofer's process: from the command's fork to a program of its own.
//!
//! It is executed anew so that nothing tells its layout to who has taken over the sentry, which is a fork of the command, or tells the
//! sentry's to who has taken over the gofer.

use std::ffi::CStr;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::panic::catch_unwind;

use bevor_abi::Errno;
use bevor_gofer::confine::{Orders, run};
use bevor_hostcall::process::{close_all_but, execute_anew, exit_now};

use crate::failure::Failure;

/// The program's name where it is executed as a gofer: with its socket as stdin and its orders as stdout.
pub(crate) const NAME: &CStr = c"bevor-gofer";

fn cannot<E: std::fmt::Display>(step: &'static str) -> impl FnOnce(E) -> Failure {
    move |e| Failure::new(format_args!("cannot start the gofer: {step}: {e}"))
}

/// Serves in this process; its exit status.
pub(crate) fn serve(orders: &Orders, socket: OwnedFd) -> i32 {
    status(run(orders, socket).map_err(Failure::new))
}

fn status(done: Result<(), Failure>) -> i32 {
    match done {
        Ok(()) => 0,
        Err(failure) => {
            failure.report();
            1
        }
    }
}

/// Executes the program as a gofer; returns, with an exit status, only if that fails.
pub(crate) fn execute(orders: &Orders, socket: &OwnedFd) -> i32 {
    let failed = || -> Result<Errno, Failure> {
        let bytes = orders.encode().map_err(cannot("write its orders"))?;
        #[cfg(feature = "mutants")]
        let bytes = [bytes, bevor_abi::mutants::chosen().to_le_bytes().to_vec()].concat();
        // The clone is above the standard descriptors, which are closed and would be taken first.
        let memory = bevor_hostcall::fd::memfd(c"orders")
            .and_then(|memory| memory.as_fd().try_clone_to_owned().map_err(|_| Errno::EMFILE))
            .map(File::from)
            .map_err(cannot("write its orders"))?;
        memory.write_all_at(&bytes, 0).map_err(cannot("write its orders"))?;
        rustix::stdio::dup2_stdin(socket).map_err(cannot("pass its socket"))?;
        rustix::stdio::dup2_stdout(&memory).map_err(cannot("pass its orders"))?;
        Ok(execute_anew(NAME))
    };
    status(failed().and_then(|e| Err(cannot("execute it")(e))))
}

/// The program as a gofer. Nothing is cleaned up at its end, which the filter would not let it do.
pub(crate) fn main() -> ! {
    exit_now(catch_unwind(|| status(obey())).unwrap_or(101))
}

fn obey() -> Result<(), Failure> {
    // The name that it has from being executed is "exe".
    rustix::thread::set_name(c"bevor").map_err(cannot("name it"))?;
    let socket = std::io::stdin().as_fd().try_clone_to_owned().map_err(cannot("take its socket"))?;
    let mut bytes = Vec::new();
    File::from(std::io::stdout().as_fd().try_clone_to_owned().map_err(cannot("take its orders"))?)
        .read_to_end(&mut bytes)
        .map_err(cannot("read its orders"))?;
    #[cfg(feature = "mutants")]
    if let Some((_, number)) = bytes.split_last_chunk() {
        bevor_abi::mutants::choose_number(u16::from_le_bytes(*number));
        bytes.truncate(bytes.len() - 2);
    }
    close_all_but(&[2, socket.as_raw_fd()]).map_err(cannot("close descriptors"))?;
    let orders = Orders::decode(&bytes).map_err(cannot("read its orders"))?;
    run(&orders, socket).map_err(Failure::new)
}
