//! Facts about the host: limits, processors, memory, random bytes.

use bevor_abi::Errno;

use crate::fd::check;

/// The sentry's own resource limits: soft and hard, by resource number.
#[must_use]
pub fn rlimits() -> [(u64, u64); 16] {
    let mut out = [(u64::MAX, u64::MAX); 16];
    for (resource, slot) in (0u32..).zip(&mut out) {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: the call writes one rlimit to the given place.
        if unsafe { libc::getrlimit(resource, &raw mut limit) } == 0 {
            *slot = (limit.rlim_cur, limit.rlim_max);
        }
    }
    out
}

/// An entry of the sentry's auxiliary vector, 0 if absent (getauxval(3)).
#[must_use]
pub fn auxv(tag: u64) -> u64 {
    // SAFETY: reads the process's own auxiliary vector.
    unsafe { libc::getauxval(tag) }
}

/// sched_setaffinity(2) on a host thread.
///
/// # Errors
/// EINVAL, ESRCH, EPERM.
pub fn set_affinity(tid: i32, mask: &[u8]) -> Result<(), Errno> {
    // SAFETY: the mask is a live slice of the given length.
    let result = unsafe { libc::syscall(libc::SYS_sched_setaffinity, tid, mask.len(), mask.as_ptr()) };
    check(result).map(|_| ())
}

/// sched_getaffinity(2) on a host thread: bytes written to `mask`.
///
/// # Errors
/// EINVAL, ESRCH.
pub fn get_affinity(tid: i32, mask: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: the mask is a live exclusive slice of the given length.
    let result = unsafe { libc::syscall(libc::SYS_sched_getaffinity, tid, mask.len(), mask.as_mut_ptr()) };
    check(result).map(|n| usize::try_from(n).unwrap_or(0))
}

/// Fills `out` with random bytes.
///
/// # Errors
/// The host's errno.
pub fn random(out: &mut [u8]) -> Result<(), Errno> {
    let mut done = 0;
    while done < out.len() {
        let rest = &mut out[done..];
        // SAFETY: the buffer is a live exclusive slice of the given length.
        let got = check(i64::try_from(unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) }).unwrap_or(0));
        match got {
            Ok(n) => done += usize::try_from(n).unwrap_or(0),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Memory and load of the host (sysinfo(2)).
#[derive(Clone, Copy, Debug, Default)]
pub struct SysInfo {
    /// Seconds since the host started.
    pub uptime: u64,
    /// Load averages, scaled by 65536.
    pub loads: [u64; 3],
    /// Bytes of memory.
    pub total: u64,
    /// Bytes of free memory.
    pub free: u64,
    /// Bytes of memory in buffers.
    pub buffer: u64,
}

/// The host's memory and load.
#[must_use]
pub fn sysinfo() -> SysInfo {
    // SAFETY: all-zero bytes are a valid sysinfo.
    let mut info: libc::sysinfo = unsafe { std::mem::zeroed() };
    // SAFETY: the call writes one sysinfo to the given place.
    unsafe { libc::sysinfo(&raw mut info) };
    let unit = u64::from(info.mem_unit.max(1));
    SysInfo {
        uptime: u64::try_from(info.uptime).unwrap_or(0),
        loads: info.loads,
        total: info.totalram * unit,
        free: info.freeram * unit,
        buffer: info.bufferram * unit,
    }
}
