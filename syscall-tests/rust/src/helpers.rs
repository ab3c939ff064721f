//! Helpers for the read-back: files, status, children, signals, shared memory.

use std::ffi::CStr;
use std::sync::atomic::AtomicI64;

use crate::observe::broken;
use crate::sys::{Answer, Register, sys};

/// C structures for which all zero bytes are a value.
///
/// # Safety
/// Zero bytes must be a valid value of the type.
pub(crate) unsafe trait Plain: Sized {
    /// All zero.
    fn zero() -> Self {
        // SAFETY: the trait says that zero bytes are a valid value.
        unsafe { std::mem::zeroed() }
    }
}

macro_rules! plain {
    ($($t:ty),* $(,)?) => {$(
        // SAFETY: integers, raw pointers and arrays of them only.
        unsafe impl Plain for $t {}
    )*};
}
plain!(
    libc::stat,
    libc::statx,
    libc::rlimit64,
    libc::rusage,
    libc::siginfo_t,
    libc::sysinfo,
    libc::timespec,
    libc::timeval,
    libc::itimerval,
    libc::itimerspec,
    libc::tms,
    libc::utsname,
    libc::epoll_event,
    libc::pollfd,
    libc::iovec,
    libc::stack_t,
    libc::flock,
    libc::statfs,
    libc::msghdr,
    Sigaction,
    i32,
    u32,
    i64,
    u64,
);

// ---- files ----

/// Creates `path` with `data`; broken on failure.
#[track_caller]
pub(crate) fn put(path: &CStr, data: &[u8]) {
    let flags = libc::O_CREAT | libc::O_TRUNC | libc::O_WRONLY;
    let fd = sys!(openat, libc::AT_FDCWD, path, flags, 0o644).must_i32();
    if sys!(write, fd, data, data.len()).must_usize() != data.len() {
        broken("short write while a file was prepared");
    }
    sys!(close, fd).must();
}

/// Opens `path`; broken on failure.
#[track_caller]
pub(crate) fn open(path: &CStr, flags: i32) -> i32 {
    sys!(openat, libc::AT_FDCWD, path, flags, 0o644).must_i32()
}

/// Up to 64 KiB of `path`, read through a descriptor of its own; empty if it can't be opened.
pub(crate) fn get(path: &CStr) -> Vec<u8> {
    let opened = sys!(openat, libc::AT_FDCWD, path, libc::O_RDONLY | libc::O_CLOEXEC);
    if opened.errno() != 0 {
        return Vec::new();
    }
    let mut data = vec![0; 65536];
    let mut len = 0;
    while len < data.len() {
        let rest = &mut data[len..];
        let n = sys!(read, opened.as_i32(), &mut *rest, rest.len()).count();
        if n == 0 {
            break;
        }
        len += n;
    }
    let _ = sys!(close, opened.as_i32());
    data.truncate(len);
    data
}

/// The file at `path` by lstat; all zero if it isn't there.
pub(crate) fn lstat(path: &CStr) -> libc::stat {
    let mut st = libc::stat::zero();
    let _ = sys!(newfstatat, libc::AT_FDCWD, path, &mut st, libc::AT_SYMLINK_NOFOLLOW);
    st
}

/// lstat's error number for `path`, 0 if it is there.
pub(crate) fn lstat_errno(path: &CStr) -> i64 {
    let mut st = libc::stat::zero();
    sys!(newfstatat, libc::AT_FDCWD, path, &mut st, libc::AT_SYMLINK_NOFOLLOW).errno()
}

/// fstat; broken on failure.
#[track_caller]
pub(crate) fn fstat(fd: i32) -> libc::stat {
    let mut st = libc::stat::zero();
    sys!(fstat, fd, &mut st).must();
    st
}

/// The descriptor's offset.
pub(crate) fn tell(fd: i32) -> i64 {
    sys!(lseek, fd, 0, libc::SEEK_CUR).raw
}

/// F_GETFL.
pub(crate) fn status_flags(fd: i32) -> i64 {
    sys!(fcntl, fd, libc::F_GETFL).raw
}

/// A pipe's ends, reading first; broken on failure.
#[track_caller]
pub(crate) fn pipe(flags: i32) -> [i32; 2] {
    let mut ends = [-1; 2];
    sys!(pipe2, &mut ends, flags).must();
    ends
}

// ---- time ----

/// `clock` in ns; broken on failure.
#[track_caller]
pub(crate) fn clock_ns(clock: i32) -> i64 {
    let mut t = libc::timespec::zero();
    sys!(clock_gettime, clock, &mut t).must();
    t.tv_sec * 1_000_000_000 + t.tv_nsec
}

/// CLOCK_MONOTONIC in ns.
#[track_caller]
pub(crate) fn now() -> i64 {
    clock_ns(libc::CLOCK_MONOTONIC)
}

/// `ns` as a timespec.
pub(crate) fn timespec(ns: i64) -> libc::timespec {
    libc::timespec { tv_sec: ns.div_euclid(1_000_000_000), tv_nsec: ns.rem_euclid(1_000_000_000) }
}

/// One millisecond in ns.
pub(crate) const MS: i64 = 1_000_000;

// ---- processes ----

/// Runs `body` in a child that exits with its value; the child's id.
#[track_caller]
pub(crate) fn fork(body: impl FnOnce() -> i32) -> i32 {
    let pid = sys!(fork).must_i32();
    if pid == 0 {
        let status = body();
        loop {
            let _ = sys!(exit_group, status);
        }
    }
    pid
}

/// Waits for child `pid`; its wait status. Broken on failure.
#[track_caller]
pub(crate) fn reap(pid: i32) -> i32 {
    let mut status = 0;
    while sys!(wait4, pid, &mut status, 0, 0).errno() == i64::from(libc::EINTR) {}
    status
}

/// [`fork`] and [`reap`]: the exit status, or 1000 + the signal.
#[track_caller]
pub(crate) fn in_child(body: impl FnOnce() -> i32) -> i32 {
    let status = reap(fork(body));
    if libc::WIFSIGNALED(status) { 1000 + libc::WTERMSIG(status) } else { libc::WEXITSTATUS(status) }
}

/// Waits until thread `tid` of process `pid` sleeps interruptibly, as /proc shows.
#[track_caller]
pub(crate) fn await_sleep(pid: i32, tid: i32) {
    let path = std::ffi::CString::new(format!("/proc/{pid}/task/{tid}/stat")).unwrap_or_default();
    // Less than a probe's time limit, more than any busy machine needs.
    let end = now() + 8000 * MS;
    while now() < end {
        let stat = get(&path);
        if stat.is_empty() {
            // A kernel without this file: long enough for any thread to have come to its blocking call.
            sys!(nanosleep, &timespec(30 * MS), 0).must();
            return;
        }
        let after = stat.iter().rposition(|b| *b == b')').map_or(0, |i| i + 2);
        if stat.get(after) == Some(&b'S') {
            return;
        }
        let _ = sys!(sched_yield);
    }
    broken("/proc never showed the thread asleep");
}

/// The value of `key` in /proc/self/status; empty if absent.
pub(crate) fn status_of_self(key: &str) -> String {
    String::from_utf8_lossy(&get(c"/proc/self/status"))
        .lines()
        .find_map(|l| l.strip_prefix(key)?.strip_prefix(':'))
        .map(|v| v.trim().to_owned())
        .unwrap_or_default()
}

// ---- memory ----

/// Fresh zeroed pages that children share with the parent, as words.
#[track_caller]
pub(crate) fn shared() -> &'static [AtomicI64; 512] {
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    let at = sys!(mmap, 0, 4096, prot, flags, -1, 0).must_usize();
    // SAFETY: a fresh page-aligned page of zeroes that is never unmapped; it is only accessed atomically.
    unsafe { &*std::ptr::with_exposed_provenance::<[AtomicI64; 512]>(at) }
}

/// Address of a fresh private mapping of `pages` pages; broken on failure.
#[track_caller]
pub(crate) fn map_pages(pages: usize) -> usize {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    sys!(mmap, 0, pages * 4096, prot, flags, -1, 0).must_usize()
}

/// The byte at `at`, which must be mapped readable.
pub(crate) fn peek(at: usize) -> u8 {
    // SAFETY: the probe says that the byte is mapped; if not, the probe dies, which the harness reports.
    unsafe { std::ptr::with_exposed_provenance::<u8>(at).read_volatile() }
}

/// Writes the byte at `at`, which must be mapped writable.
pub(crate) fn poke(at: usize, byte: u8) {
    // SAFETY: as for `peek`; the mapping is the probe's own and nothing else refers to it.
    unsafe { std::ptr::with_exposed_provenance_mut::<u8>(at).write_volatile(byte) }
}

/// An address at which nothing is ever mapped.
pub(crate) const NOWHERE: usize = 8;

// ---- signals ----

/// The kernel's struct sigaction, which differs from libc's.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sigaction {
    /// Handler's address, or 0 for SIG_DFL, 1 for SIG_IGN.
    pub(crate) handler: usize,
    /// SA_* flags.
    pub(crate) flags: u64,
    /// Address of code that calls rt_sigreturn.
    pub(crate) restorer: usize,
    /// Signals blocked while the handler runs.
    pub(crate) mask: u64,
}

/// SA_RESTORER, which libc hides.
pub(crate) const SA_RESTORER: u64 = 0x0400_0000;

/// A signal handler of the SA_SIGINFO form.
pub(crate) type Handler = extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::ucontext_t);

/// Calls rt_sigreturn.
#[unsafe(naked)]
extern "C" fn restorer() {
    core::arch::naked_asm!("mov eax, 15", "syscall")
}

/// The sigaction for `handler`.
pub(crate) fn sigaction(handler: Handler, flags: i32, mask: u64) -> Sigaction {
    Sigaction {
        handler: (handler as *const ()).expose_provenance(),
        flags: crate::value::Bits::bits(flags | libc::SA_SIGINFO) | SA_RESTORER,
        restorer: (restorer as *const ()).expose_provenance(),
        mask,
    }
}

/// Sets `handler` for `signal`; broken on failure.
#[track_caller]
pub(crate) fn on_signal(signal: i32, handler: Handler, flags: i32, mask: u64) {
    sys!(rt_sigaction, signal, &sigaction(handler, flags, mask), 0, 8).must();
}

/// The disposition of `signal`; broken on failure.
#[track_caller]
pub(crate) fn disposition(signal: i32) -> Sigaction {
    let mut old = Sigaction::zero();
    sys!(rt_sigaction, signal, 0, &mut old, 8).must();
    old
}

/// The bit of `signal` in a mask.
pub(crate) fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

/// Changes the mask; the old one. Broken on failure.
#[track_caller]
pub(crate) fn mask(how: i32, set: u64) -> u64 {
    let mut old = 0_u64;
    sys!(rt_sigprocmask, how, &set, &mut old, 8).must();
    old
}

/// The mask.
#[track_caller]
pub(crate) fn masked() -> u64 {
    let mut old = 0_u64;
    sys!(rt_sigprocmask, 0, 0, &mut old, 8).must();
    old
}

/// The pending signals.
#[track_caller]
pub(crate) fn pending() -> u64 {
    let mut set = 0_u64;
    sys!(rt_sigpending, &mut set, 8).must();
    set
}

/// This process's id.
pub(crate) fn getpid() -> i32 {
    sys!(getpid).as_i32()
}

/// A call's answer made elsewhere (in a child, through shared memory).
pub(crate) fn answer(call: &'static str, raw: impl Register) -> Answer {
    Answer { call, raw: raw.register() }
}

/// Sets word `i` of a shared page.
pub(crate) fn store(page: &[AtomicI64; 512], i: usize, value: i64) {
    page[i].store(value, std::sync::atomic::Ordering::SeqCst);
}

/// Word `i` of a shared page.
pub(crate) fn load(page: &[AtomicI64; 512], i: usize) -> i64 {
    page[i].load(std::sync::atomic::Ordering::SeqCst)
}

/// What poll with time limit 0 shows for `fd`.
#[track_caller]
pub(crate) fn ready(fd: i32, events: i16) -> i16 {
    let mut p = libc::pollfd { fd, events, revents: 0 };
    sys!(poll, &mut p, 1, 0).must();
    p.revents
}
