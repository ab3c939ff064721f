//! Host clocks (clock_gettime(2)).

use bevor_abi::Errno;

use crate::fd::check;

const NANOS: u64 = 1_000_000_000;

fn query(call: impl FnOnce(*mut libc::timespec) -> libc::c_int) -> Result<u64, Errno> {
    let mut ts = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    check(i64::from(call(&raw mut ts)))?;
    let sec = u64::try_from(ts.tv_sec).unwrap_or(0);
    let nsec = u64::try_from(ts.tv_nsec).unwrap_or(0);
    Ok(sec.saturating_mul(NANOS).saturating_add(nsec))
}

/// The clock's time in nanoseconds.
///
/// # Errors
/// EINVAL for a clock that the host does not know.
pub fn gettime(clock: i32) -> Result<u64, Errno> {
    // SAFETY: the call writes one timespec to the given place.
    query(|ts| unsafe { libc::clock_gettime(clock, ts) })
}

/// The clock's resolution in nanoseconds.
///
/// # Errors
/// EINVAL for a clock that the host does not know.
pub fn getres(clock: i32) -> Result<u64, Errno> {
    // SAFETY: the call writes one timespec to the given place.
    query(|ts| unsafe { libc::clock_getres(clock, ts) })
}

/// CLOCK_MONOTONIC in nanoseconds.
#[must_use]
pub fn monotonic() -> u64 {
    gettime(libc::CLOCK_MONOTONIC).unwrap_or(0)
}

/// CLOCK_MONOTONIC_COARSE in nanoseconds.
#[must_use]
pub fn coarse() -> u64 {
    gettime(libc::CLOCK_MONOTONIC_COARSE).unwrap_or(0)
}

/// CLOCK_THREAD_CPUTIME_ID in nanoseconds.
#[must_use]
pub fn thread_time() -> u64 {
    gettime(libc::CLOCK_THREAD_CPUTIME_ID).unwrap_or(0)
}

/// CLOCK_REALTIME in nanoseconds.
#[must_use]
pub fn realtime() -> u64 {
    gettime(libc::CLOCK_REALTIME).unwrap_or(0)
}
