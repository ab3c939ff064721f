//! Host processes: forking (into new namespaces), closing what they inherit, ending.

use std::os::fd::RawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use bevor_abi::Errno;
use bitflags::bitflags;

use crate::fd::check;

bitflags! {
    /// Namespaces that a new process gets of its own (namespaces(7)).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Namespaces: i32 {
        /// User and group ids, capabilities.
        const USER = libc::CLONE_NEWUSER;
        /// Process ids; the new process is number 1.
        const PID = libc::CLONE_NEWPID;
        /// Mounts.
        const MOUNT = libc::CLONE_NEWNS;
        /// Network stack.
        const NET = libc::CLONE_NEWNET;
        /// System V IPC and POSIX message queues.
        const IPC = libc::CLONE_NEWIPC;
        /// Host name.
        const UTS = libc::CLONE_NEWUTS;
        /// View of the cgroup hierarchy.
        const CGROUP = libc::CLONE_NEWCGROUP;
    }
}

/// Forks; the child runs `body` and ends with its result as exit status (101 if it panics). Returns the child's pid.
///
/// Only for a process with one thread: the child has a copy of this thread alone, so a lock that another thread holds would
/// stay locked there.
///
/// # Errors
/// The errno of clone(2): EPERM or ENOSPC where namespaces are refused, EAGAIN at a process limit.
pub fn spawn(namespaces: Namespaces, body: impl FnOnce() -> i32) -> Result<i32, Errno> {
    let flags = i64::from(namespaces.bits()) | i64::from(libc::SIGCHLD);
    // SAFETY: without CLONE_VM and with a null stack this is fork(2) into namespaces: the child goes on, on a copy of this
    // stack, in a copy of this memory. The process has one thread (the caller's duty), so no lock is held by a lost thread.
    // libc's cached thread id of the child's main thread stays the parent's; libc asks the kernel where it matters (raise).
    let pid = check(unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) })?;
    if pid != 0 {
        return i32::try_from(pid).map_err(|_| Errno::EAGAIN);
    }
    let status = catch_unwind(AssertUnwindSafe(body)).unwrap_or(101);
    exit_now(status)
}

/// Executes this process's own program anew, as `name`, without arguments and environment: nothing of its memory or its layout stays.
/// Returns only if that fails, with the errno of execve(2).
#[must_use]
pub fn execute_anew(name: &std::ffi::CStr) -> Errno {
    let (argv, envp) = ([name.as_ptr(), std::ptr::null()], [std::ptr::null()]);
    // SAFETY: strings with a NUL and lists with a null at the end, all alive during the call.
    let failed = unsafe { libc::execve(c"/proc/self/exe".as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    check(i64::from(failed)).err().unwrap_or(Errno::EIO)
}

/// Moves this process into new namespaces (for PID: its children). Only for a process with one thread.
///
/// # Errors
/// The errno of unshare(2).
pub fn unshare(namespaces: Namespaces) -> Result<(), Errno> {
    // SAFETY: only the process's view of the system changes. Descriptors and memory stay as they are.
    check(i64::from(unsafe { libc::unshare(namespaces.bits()) })).map(drop)
}

/// Ends the process at once: no destructors, no atexit handlers (they belong to the process this one was forked from).
pub fn exit_now(status: i32) -> ! {
    // SAFETY: always defined; does not return.
    unsafe { libc::_exit(status) }
}

/// Closes every descriptor but those in `keep`, whoever opened it.
///
/// Only for a process that has just been forked and gives up everything else it inherited: an `OwnedFd` of the parent that
/// is not in `keep` must not be used or dropped any more.
///
/// # Errors
/// The errno of close_range(2).
pub fn close_all_but(keep: &[RawFd]) -> Result<(), Errno> {
    let mut keep: Vec<u32> = keep.iter().filter_map(|&fd| u32::try_from(fd).ok()).collect();
    keep.sort_unstable();
    let mut first = 0;
    let close = |from: u32, to: u32| {
        // SAFETY: closes descriptors only; the caller has given them up.
        check(unsafe { libc::syscall(libc::SYS_close_range, from, to, 0) })
    };
    for fd in keep {
        if fd > first {
            close(first, fd - 1)?;
        }
        first = fd + 1;
    }
    close(first, u32::MAX).map(drop)
}

/// Whether SIGPIPE was ignored when the process started: Rust's runtime ignores it before `main`, so it is noted earlier.
static SIGPIPE_WAS_IGNORED: AtomicBool = AtomicBool::new(false);

extern "C" fn note_sigpipe() {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: a null new action only asks; the old one is written to our own memory, and zeroed memory is a valid sigaction.
    let ignored = unsafe {
        libc::sigaction(libc::SIGPIPE, std::ptr::null(), action.as_mut_ptr()) == 0
            && action.assume_init().sa_sigaction == libc::SIG_IGN
    };
    SIGPIPE_WAS_IGNORED.store(ignored, Ordering::Relaxed);
}

// SAFETY: a function that libc calls with (argc, argv, envp), which it does not look at, before Rust's runtime starts; it only makes one
// system call and stores a word.
#[used]
#[unsafe(link_section = ".init_array")]
static NOTE_SIGPIPE: extern "C" fn() = note_sigpipe;

/// Makes all threads use one heap. The heaps that glibc gives to further threads open a file of /proc when they first shrink, which a
/// confined process must not.
pub fn one_heap() {
    // SAFETY: sets a number in the allocator, which any thread may do at any time.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// The signals that this process was started with as ignored, bit `n - 1` for signal `n`.
#[must_use]
pub fn ignored_signals() -> u64 {
    let mut ignored = 0;
    for signal in 1..=64 {
        let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: a null new action only asks; the old one is written to our own memory.
        let result = unsafe { libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) };
        if signal == libc::SIGPIPE {
            ignored |= u64::from(SIGPIPE_WAS_IGNORED.load(Ordering::Relaxed)) << (signal - 1);
            continue;
        }
        // SAFETY: zeroed memory is a valid sigaction, and the call has filled it if it succeeded.
        if result == 0 && unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN {
            ignored |= 1 << (signal - 1);
        }
    }
    ignored
}

/// Lets this process, and those that it makes, write files as large as the system lets it: a write beyond the limit is EFBIG, and ends no
/// process. The limit of programs is another's to keep. Where the hard limit cannot be raised (not by an ordinary user), it stays.
pub fn lift_file_size_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: SIGXFSZ gets no handler but "ignored"; the limits are structures of our own.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        let none = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
        if libc::setrlimit(libc::RLIMIT_FSIZE, &raw const none) != 0 && libc::getrlimit(libc::RLIMIT_FSIZE, &raw mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit);
        }
    }
}

/// Blocks the signals of `mask` (bit `n - 1` for signal `n`) in this thread, exactly; returns the mask until now.
///
/// # Errors
/// None in practice.
pub fn set_signal_mask(mask: u64) -> Result<u64, Errno> {
    let mut old = 0_u64;
    // SAFETY: both sets are 8 bytes of our own, as the size argument says.
    check(unsafe { libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const mask, &raw mut old, 8) })?;
    Ok(old)
}

/// Waits for one of the signals of `set`, which must be blocked; returns its number.
///
/// # Errors
/// EINTR.
pub fn wait_signal(set: u64) -> Result<i32, Errno> {
    // SAFETY: the set is 8 bytes of our own, as the size argument says; no siginfo or timeout is passed.
    let signal = check(unsafe { libc::syscall(libc::SYS_rt_sigtimedwait, &raw const set, 0, 0, 8) })?;
    i32::try_from(signal).map_err(|_| Errno::EINVAL)
}
