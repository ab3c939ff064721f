//! Host files that are mapped here to be read from, and what becomes of them under our hands.
//!
//! A file can be cut off or fail at any time, and the mapping's pages behind that are SIGBUS. One routine reads from such
//! mappings; a SIGBUS in it ends it early, one anywhere else ends the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bevor_abi::Errno;

use crate::fd::{HostFd, check};
use crate::shared::{SharedMemory, SharedSlice};

/// Whether the handler is in place.
static HANDLED: AtomicBool = AtomicBool::new(false);

// rdi: destination, rsi: source, rdx: bytes; returns the bytes that are left.
std::arch::global_asm!(
    ".globl bevor_window_copy, bevor_window_start, bevor_window_end",
    "bevor_window_copy:",
    "mov rcx, rdx",
    "bevor_window_start:",
    "rep movsb",
    "bevor_window_end:",
    "mov rax, rcx",
    "ret",
);

unsafe extern "C" {
    fn bevor_window_copy(to: *mut u8, from: *const u8, len: usize) -> usize;
    static bevor_window_start: u8;
    static bevor_window_end: u8;
}

extern "C" fn on_bus_error(_signal: i32, _info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let context = context.cast::<libc::ucontext_t>();
    // SAFETY: the kernel passes the interrupted thread's context, which nobody else uses meanwhile.
    let ip = unsafe { &mut (*context).uc_mcontext.gregs[libc::REG_RIP as usize] };
    // The copy is one instruction, which stays where it is until it is done.
    if *ip == (&raw const bevor_window_start).addr().cast_signed() as i64 {
        *ip = (&raw const bevor_window_end).addr().cast_signed() as i64;
    } else {
        // SAFETY: ends the process, whatever state it is in.
        unsafe { libc::_exit(128 + libc::SIGBUS) }
    }
}

/// Handles SIGBUS from now on; without that no window can be made. For the start of a process, before its filter.
///
/// # Errors
/// The host's errno.
pub fn handle_bus_errors() -> Result<(), Errno> {
    // SAFETY: all-zero is a valid `sigaction`.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = on_bus_error as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_ONSTACK;
    // SAFETY: the action is live, and the handler touches nothing but the context.
    check(i64::from(unsafe { libc::sigaction(libc::SIGBUS, &raw const action, std::ptr::null_mut()) }))?;
    HANDLED.store(true, Ordering::Release);
    Ok(())
}

/// The start of a host file, mapped for reading.
#[derive(Debug)]
pub struct FileWindow(Arc<SharedMemory>);

impl FileWindow {
    /// Maps the first `len` bytes of `fd`.
    ///
    /// # Errors
    /// The host's errno from mmap(2); ENOSYS before [`handle_bus_errors`].
    pub fn map(fd: &HostFd, len: usize) -> Result<Self, Errno> {
        if !HANDLED.load(Ordering::Acquire) {
            return Err(Errno::ENOSYS);
        }
        SharedMemory::map(fd, 0, len, false).map(Self)
    }

    /// Copies `len` bytes from `offset` of the file to `to_offset` of `to`. False if they are not all in the window, or not in the
    /// file any more; then some of them may have been copied.
    #[must_use]
    pub fn copy_to(&self, offset: u64, len: usize, to: &SharedSlice, to_offset: usize) -> bool {
        let Ok(from) = usize::try_from(offset).map_err(|_| Errno::EINVAL).and_then(|at| self.0.slice(at, len)) else {
            return false;
        };
        let (Some(from), Some(to)) = (from.range_ptr(0, len), to.range_ptr(to_offset, len)) else { return false };
        // SAFETY: both ranges are inside of live mappings, which no Rust reference covers; missing pages end the copy.
        unsafe { bevor_window_copy(to, from, len) == 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fd, file};

    const PAGE: usize = 4096;

    #[test]
    fn what_is_gone_from_the_file_is_not_copied_and_kills_nobody() {
        let source = fd::memfd(c"source").unwrap();
        file::pwrite(&source, &[7; 3 * PAGE], 0).unwrap();
        let memory = fd::memfd(c"destination").unwrap();
        file::ftruncate(&memory, 4 * 4096).unwrap();
        let to = SharedMemory::map(&memory, 0, 4 * PAGE, true).unwrap().slice(0, 4 * PAGE).unwrap();
        assert_eq!(FileWindow::map(&source, 3 * PAGE).unwrap_err(), Errno::ENOSYS);
        handle_bus_errors().unwrap();
        let window = FileWindow::map(&source, 3 * PAGE).unwrap();

        assert!(window.copy_to(10, 2 * PAGE, &to, 1));
        let mut got = [0; 2 * PAGE + 2];
        to.read(0, &mut got);
        assert_eq!((got[0], got[1], got[2 * PAGE], got[2 * PAGE + 1]), (0, 7, 7, 0));
        for (offset, len) in [(2 * 4096, PAGE + 1), (3 * 4096, 1), (u64::MAX, 1)] {
            assert!(!window.copy_to(offset, len, &to, 0), "outside of the window");
        }
        assert!(!window.copy_to(0, 2, &to, 4 * PAGE - 1), "outside of the destination");

        file::ftruncate(&source, 4096).unwrap();
        assert!(!window.copy_to(0, 3 * PAGE, &to, 0));
        assert!(!window.copy_to(2 * 4096, 1, &to, 0));
        assert!(window.copy_to(0, PAGE, &to, 0));
    }
}
