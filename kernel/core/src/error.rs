//! What a system call handler can end with besides success.

use std::panic::Location;

use bevor_abi::Errno;

/// How a call that a signal interrupted is continued (signal(7), "Interruption of system calls").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// ERESTARTSYS: made again if the handler has SA_RESTART (or there is no handler), else EINTR.
    IfSaRestart,
    /// ERESTARTNOHAND: made again only if no handler runs, else EINTR.
    IfNoHandler,
    /// ERESTARTNOINTR: always made again.
    Always,
    /// ERESTART_RESTARTBLOCK: continued by restart_syscall(2) from the task's restart block, EINTR after a handler.
    Block,
}

/// The error type of system call handlers.
#[derive(Clone, Copy, Debug)]
pub enum SyscallError {
    /// Reported to the application.
    Errno(Errno, ErrnoLocation),
    /// Interrupted by a signal.
    Restart(Restart),
    /// The task sleeps on what it registered with the context; the handler runs again from its start when woken.
    Block,
    /// The handler has replied itself (clone, execve, exit, mmap): no result is to be sent.
    Replied,
}

/// Where an errno was first turned into a `SyscallError`: "who said EINVAL" for the debug log.
#[derive(Clone, Copy, Debug)]
pub struct ErrnoLocation(#[cfg(debug_assertions)] &'static Location<'static>);

impl ErrnoLocation {
    #[track_caller]
    fn here() -> Self {
        Self(
            #[cfg(debug_assertions)]
            Location::caller(),
        )
    }

    /// File and line, in debug builds.
    #[must_use]
    pub fn get(self) -> Option<&'static Location<'static>> {
        #[cfg(debug_assertions)]
        {
            Some(self.0)
        }
        #[cfg(not(debug_assertions))]
        {
            None
        }
    }
}

impl From<Errno> for SyscallError {
    #[track_caller]
    fn from(errno: Errno) -> Self {
        Self::Errno(errno, ErrnoLocation::here())
    }
}

/// What handlers return: the value for rax.
pub type SyscallResult = Result<u64, SyscallError>;
