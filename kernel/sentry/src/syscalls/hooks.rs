//! What file handlers need from tasks, in one place.

use std::sync::Arc;

use bevor_abi::Errno;
use bevor_abi::Fd;
use bevor_core::context::SyscallContext;
use bevor_core::creds::Credentials;
use bevor_core::socket::UnixCredentials;
use bevor_core::vfs::{Caller, FsContext, Path};
use bevor_platform::Defence;

/// RLIMIT_NOFILE of the caller.
#[must_use]
pub fn nofile_limit(ctx: &SyscallContext<'_>) -> u64 {
    if !ctx.task.kernel.options.defences.has(Defence::Descriptors) {
        return u64::MAX;
    }
    ctx.task.group.rlimit(bevor_abi::process::RLIMIT_NOFILE).cur
}

/// RLIMIT_FSIZE of the caller.
#[must_use]
pub fn fsize_limit(ctx: &SyscallContext<'_>) -> u64 {
    ctx.task.group.rlimit(bevor_abi::process::RLIMIT_FSIZE).cur
}

/// Thread group id and thread id of the caller in its pid namespace.
#[must_use]
pub fn ids(ctx: &SyscallContext<'_>) -> (i32, i32) {
    (ctx.task.pid(), ctx.task.tid())
}

/// Puts a temporary signal mask in force while the call sleeps (ppoll, pselect6, epoll_pwait); see
/// `SyscallContext::temporary_mask`.
pub fn with_temporary_mask(ctx: &mut SyscallContext<'_>, mask: u64) {
    // SIGKILL and SIGSTOP cannot be blocked.
    ctx.temporary_mask = Some(mask & !(1 << 8 | 1 << 18));
}

/// What path operations need of the caller.
pub struct Env {
    /// Root, working directory, umask.
    pub fs: Arc<FsContext>,
    /// Credentials.
    pub creds: Arc<Credentials>,
    pid: i32,
    tid: i32,
}

impl Env {
    /// The caller's.
    #[must_use]
    pub fn new(ctx: &SyscallContext<'_>) -> Self {
        let (pid, tid) = ids(ctx);
        Self { fs: ctx.fs(), creds: ctx.creds(), pid, tid }
    }

    /// For permission checks and lookups.
    #[must_use]
    pub fn caller(&self) -> Caller<'_> {
        Caller { creds: &self.creds, pid: self.pid, tid: self.tid }
    }

    /// For SO_PEERCRED and SCM_CREDENTIALS.
    #[must_use]
    pub fn ucred(&self) -> UnixCredentials {
        UnixCredentials { pid: self.pid, uid: self.creds.euid, gid: self.creds.egid }
    }

    /// Owner of new anonymous objects.
    #[must_use]
    pub fn owner(&self) -> (u32, u32) {
        (self.creds.fsuid, self.creds.fsgid)
    }
}

/// Where a relative `path` starts: `None` is the working directory, and also the answer for absolute paths, which ignore `dirfd`.
///
/// # Errors
/// EBADF.
pub fn start_of(ctx: &SyscallContext<'_>, dirfd: Fd, path: &[u8]) -> Result<Option<Path>, Errno> {
    if path.is_empty() {
        return Err(Errno::ENOENT);
    }
    if dirfd == Fd::CWD || path.first() == Some(&b'/') {
        return Ok(None);
    }
    Ok(Some(ctx.file_any(dirfd)?.path().clone()))
}
