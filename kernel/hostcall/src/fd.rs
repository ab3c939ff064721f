//! Owned host descriptors and plain calls on them.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::{Arc, Weak};

use bevor_abi::Errno;

/// A host descriptor, shared by reference count and closed with its last owner.
#[derive(Clone, Debug)]
pub struct HostFd(Arc<OwnedFd>);

impl HostFd {
    /// Takes ownership of `fd`.
    #[must_use]
    pub fn new(fd: OwnedFd) -> Self {
        Self(Arc::new(fd))
    }

    /// The descriptor's number, for host calls made while `self` is alive.
    #[must_use]
    pub fn raw(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Tells later whether anybody still has it.
    #[must_use]
    pub fn watch(&self) -> FdWatch {
        FdWatch(Arc::downgrade(&self.0))
    }
}

/// Whether a descriptor is open still; does not keep it so.
#[derive(Clone, Debug)]
pub struct FdWatch(Weak<OwnedFd>);

impl FdWatch {
    /// Whether an owner is left.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.0.strong_count() > 0
    }
}

impl AsFd for HostFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<OwnedFd> for HostFd {
    fn from(fd: OwnedFd) -> Self {
        Self::new(fd)
    }
}

/// Turns a libc-style result into `Result`, reading `errno` on -1.
///
/// # Errors
/// The host's errno.
pub fn check(result: i64) -> Result<i64, Errno> {
    if result == -1 {
        let code = std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
        Err(Errno::from_code(code).unwrap_or(Errno::EIO))
    } else {
        Ok(result)
    }
}

/// Seals a memory file against writing (F_SEAL_WRITE): by calls, by descriptors that others have, and by mappings to come.
///
/// # Errors
/// EBUSY while it is mapped shared by a descriptor that can write, here or elsewhere.
pub fn seal_write(fd: &HostFd) -> Result<(), Errno> {
    // SAFETY: no memory is involved.
    check(i64::from(unsafe { libc::fcntl(fd.raw(), libc::F_ADD_SEALS, libc::F_SEAL_WRITE) })).map(drop)
}

/// Creates an anonymous memory file (memfd_create(2)), close-on-exec, sealable.
///
/// # Errors
/// The host's errno (EMFILE, ENFILE, ENOMEM).
pub fn memfd(name: &std::ffi::CStr) -> Result<HostFd, Errno> {
    // SAFETY: `name` is a NUL-terminated string; the call touches no other memory.
    let fd = check(i64::from(unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING) }))?;
    let fd = RawFd::try_from(fd).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel has just returned this descriptor and nobody else owns it.
    Ok(HostFd::new(unsafe { OwnedFd::from_raw_fd(fd) }))
}
