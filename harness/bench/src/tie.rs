//! Children that do not outlive this process, however it ends.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Has the child that `command` starts killed when this process ends, also by SIGKILL. To be started by a thread that outlives the
/// child or ends it: the host takes that thread's end for the parent's (PR_SET_PDEATHSIG(2const)).
///
/// # Errors
/// The host's, if it gives no descriptor for this process.
pub fn tie(command: &mut Command) -> io::Result<()> {
    // SAFETY: no memory is involved.
    let parent = unsafe { libc::syscall(libc::SYS_pidfd_open, libc::getpid(), 0) };
    let parent = RawFd::try_from(parent).ok().filter(|&fd| fd >= 0).ok_or_else(io::Error::last_os_error)?;
    // SAFETY: just opened, owned by nobody else.
    let parent = unsafe { OwnedFd::from_raw_fd(parent) };
    let prepare = move || {
        // SAFETY: takes plain integers.
        if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // The parent may have ended before; from inside a new pid namespace getppid(2) would not show it.
        let mut ended = libc::pollfd { fd: parent.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one structure of our own, as the count says.
        match unsafe { libc::poll(&raw mut ended, 1, 0) } {
            0 => Ok(()),
            _ => Err(io::Error::from_raw_os_error(libc::ESRCH)),
        }
    };
    // SAFETY: the closure makes two system calls and allocates nothing, which is allowed between fork and exec.
    unsafe { command.pre_exec(prepare) };
    Ok(())
}
