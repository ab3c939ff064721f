//! Plain calls on host files: positioned I/O, size, status, readiness, terminals. None of them opens anything.

use bevor_abi::Errno;

use crate::fd::{HostFd, check};
use crate::shared::SharedSlice;

fn off(offset: u64) -> Result<libc::off_t, Errno> {
    libc::off_t::try_from(offset).map_err(|_| Errno::EINVAL)
}

fn count(n: i64) -> Result<usize, Errno> {
    usize::try_from(n).map_err(|_| Errno::EIO)
}

/// A host file's status, reduced to what the kernel uses.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostStat {
    pub dev: u64,
    pub ino: u64,
    pub mode: u32,
    pub nlink: u64,
    pub uid: u32,
    pub gid: u32,
    pub rdev: u64,
    pub size: u64,
    pub blksize: u64,
    pub blocks: u64,
    /// Seconds and nanoseconds.
    pub atime: (i64, i64),
    pub mtime: (i64, i64),
    pub ctime: (i64, i64),
}

/// fstat(2).
///
/// # Errors
/// The host's errno.
pub fn fstat(fd: &HostFd) -> Result<HostStat, Errno> {
    // SAFETY: all-zero is a valid `stat`, and the kernel fills it.
    let mut st: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: `st` is live and of the right type.
    // The call by its number: libc's fstat() is newfstatat(2), which the sentry may not make.
    check(unsafe { libc::syscall(libc::SYS_fstat, fd.raw(), &raw mut st) })?;
    Ok(HostStat {
        dev: st.st_dev,
        ino: st.st_ino,
        mode: st.st_mode,
        nlink: st.st_nlink,
        uid: st.st_uid,
        gid: st.st_gid,
        rdev: st.st_rdev,
        size: u64::try_from(st.st_size).unwrap_or(0),
        blksize: u64::try_from(st.st_blksize).unwrap_or(4096),
        blocks: u64::try_from(st.st_blocks).unwrap_or(0),
        atime: (st.st_atime, st.st_atime_nsec),
        mtime: (st.st_mtime, st.st_mtime_nsec),
        ctime: (st.st_ctime, st.st_ctime_nsec),
    })
}

/// pread(2), by preadv2, which the sentry has to have for more than that.
///
/// # Errors
/// The host's errno.
pub fn pread(fd: &HostFd, dst: &mut [u8], offset: u64) -> Result<usize, Errno> {
    let at = off(offset)?;
    let iov = libc::iovec { iov_base: dst.as_mut_ptr().cast(), iov_len: dst.len() };
    // SAFETY: one iovec over an exclusive slice.
    count(check(i64::try_from(unsafe { libc::preadv2(fd.raw(), &raw const iov, 1, at, 0) }).unwrap_or(-1))?)
}

/// As [`pread`] into shared memory.
///
/// # Errors
/// The host's errno; EFAULT if the range is not inside `dst`.
pub fn pread_shared(fd: &HostFd, dst: &SharedSlice, dst_offset: usize, len: usize, offset: u64) -> Result<usize, Errno> {
    let at = off(offset)?;
    let to = dst.range_ptr(dst_offset, len).ok_or(Errno::EFAULT)?;
    let iov = libc::iovec { iov_base: to.cast(), iov_len: len };
    // SAFETY: one iovec over `len` bytes of a live shared mapping, which no Rust reference covers.
    count(check(i64::try_from(unsafe { libc::preadv2(fd.raw(), &raw const iov, 1, at, 0) }).unwrap_or(-1))?)
}

/// pwrite(2), by the one call for writing at a place that the sentry may make (pwritev2).
///
/// # Errors
/// The host's errno.
pub fn pwrite(fd: &HostFd, src: &[u8], offset: u64) -> Result<usize, Errno> {
    write_vector(fd, src, off(offset)?, 0)
}

/// Writes at the end, wherever that is by then (RWF_APPEND), and moves the descriptor's position there; the count and that position.
/// Appends by one descriptor come one at a time, or the position may be a later one's.
///
/// # Errors
/// The host's errno.
pub fn append(fd: &HostFd, src: &[u8]) -> Result<(usize, u64), Errno> {
    const SEEK_CUR: i32 = 1;
    let n = write_vector(fd, src, -1, libc::RWF_APPEND)?;
    Ok((n, lseek(fd, 0, SEEK_CUR)?))
}

fn write_vector(fd: &HostFd, src: &[u8], at: i64, flags: i32) -> Result<usize, Errno> {
    let iov = libc::iovec { iov_base: src.as_ptr().cast_mut().cast(), iov_len: src.len() };
    // SAFETY: one iovec over a live slice, which the call only reads.
    count(check(i64::try_from(unsafe { libc::pwritev2(fd.raw(), &raw const iov, 1, at, flags) }).unwrap_or(-1))?)
}

/// read(2).
///
/// # Errors
/// The host's errno.
pub fn read(fd: &HostFd, dst: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: `dst` is an exclusive slice of the given length.
    count(check(i64::try_from(unsafe { libc::read(fd.raw(), dst.as_mut_ptr().cast(), dst.len()) }).unwrap_or(-1))?)
}

/// write(2).
///
/// # Errors
/// The host's errno.
pub fn write(fd: &HostFd, src: &[u8]) -> Result<usize, Errno> {
    // SAFETY: `src` is a live slice of the given length.
    count(check(i64::try_from(unsafe { libc::write(fd.raw(), src.as_ptr().cast(), src.len()) }).unwrap_or(-1))?)
}

/// preadv2(2) at the current position with RWF_NOWAIT.
///
/// # Errors
/// EAGAIN if it would block, EOPNOTSUPP if the file cannot tell; else the host's errno.
pub fn read_nowait(fd: &HostFd, dst: &mut [u8]) -> Result<usize, Errno> {
    let iov = libc::iovec { iov_base: dst.as_mut_ptr().cast(), iov_len: dst.len() };
    // SAFETY: one iovec over an exclusive slice.
    count(check(i64::try_from(unsafe { libc::preadv2(fd.raw(), &raw const iov, 1, -1, libc::RWF_NOWAIT) }).unwrap_or(-1))?)
}

/// pwritev2(2) at the current position with RWF_NOWAIT.
///
/// # Errors
/// EAGAIN if it would block, EOPNOTSUPP if the file cannot tell; else the host's errno.
pub fn write_nowait(fd: &HostFd, src: &[u8]) -> Result<usize, Errno> {
    write_vector(fd, src, -1, libc::RWF_NOWAIT)
}

/// poll(2) of one descriptor; returns `revents`. `timeout_ms` < 0 waits for ever.
///
/// # Errors
/// The host's errno.
pub fn poll_one(fd: &HostFd, events: i16, timeout_ms: i32) -> Result<i16, Errno> {
    let mut p = libc::pollfd { fd: fd.raw(), events, revents: 0 };
    // SAFETY: one live pollfd.
    check(i64::from(unsafe { libc::poll(&raw mut p, 1, timeout_ms) }))?;
    Ok(p.revents)
}

/// ftruncate(2).
///
/// # Errors
/// The host's errno.
pub fn ftruncate(fd: &HostFd, size: u64) -> Result<(), Errno> {
    let size = off(size)?;
    // SAFETY: touches no memory of ours.
    check(i64::from(unsafe { libc::ftruncate(fd.raw(), size) })).map(|_| ())
}

/// fallocate(2).
///
/// # Errors
/// The host's errno.
pub fn fallocate(fd: &HostFd, mode: i32, offset: u64, len: u64) -> Result<(), Errno> {
    let (offset, len) = (off(offset)?, off(len)?);
    // SAFETY: touches no memory of ours.
    check(i64::from(unsafe { libc::fallocate(fd.raw(), mode, offset, len) })).map(|_| ())
}

/// lseek(2); used for SEEK_DATA and SEEK_HOLE, and SEEK_CUR on donated descriptors.
///
/// # Errors
/// The host's errno.
pub fn lseek(fd: &HostFd, offset: i64, whence: i32) -> Result<u64, Errno> {
    // SAFETY: touches no memory.
    let at = check(unsafe { libc::lseek(fd.raw(), offset, whence) })?;
    u64::try_from(at).map_err(|_| Errno::EIO)
}

/// fsync(2). It serves fdatasync(2) as well, which the sentry's filter leaves out.
///
/// # Errors
/// The host's errno.
pub fn fsync(fd: &HostFd, _data_only: bool) -> Result<(), Errno> {
    // SAFETY: touches no memory.
    check(i64::from(unsafe { libc::fsync(fd.raw()) })).map(|_| ())
}

/// File status flags (fcntl F_GETFL).
///
/// # Errors
/// The host's errno.
pub fn status_flags(fd: &HostFd) -> Result<u32, Errno> {
    // SAFETY: touches no memory.
    let flags = check(i64::from(unsafe { libc::fcntl(fd.raw(), libc::F_GETFL) }))?;
    u32::try_from(flags).map_err(|_| Errno::EIO)
}

/// An ioctl(2) whose argument is a buffer that the host reads, writes or both.
///
/// Only for requests whose argument is at most `arg.len()` bytes and holds no pointers; terminal requests here.
///
/// # Errors
/// The host's errno; EINVAL for any request that is not in the list of known terminal requests.
pub fn tty_ioctl(fd: &HostFd, request: u32, arg: &mut [u8; 64]) -> Result<i64, Errno> {
    const KNOWN: [u32; 16] = [
        0x5401,
        0x5402,
        0x5403,
        0x5404, // TCGETS, TCSETS, TCSETSW, TCSETSF
        0x540f,
        0x5410, // TIOCGPGRP, TIOCSPGRP
        0x5413,
        0x5414, // TIOCGWINSZ, TIOCSWINSZ
        0x541b,
        0x5411, // FIONREAD, TIOCOUTQ
        0x802c_542a,
        0x402c_542b,
        0x402c_542c,
        0x402c_542d, // TCGETS2, TCSETS2, TCSETSW2, TCSETSF2
        0x5429,
        0x5424, // TIOCGSID, TIOCGETD
    ];
    if !KNOWN.contains(&request) {
        return Err(Errno::EINVAL);
    }
    // SAFETY: every listed request takes a pointer to at most 44 bytes without pointers inside; the buffer has 64.
    check(i64::from(unsafe { libc::ioctl(fd.raw(), libc::c_ulong::from(request), arg.as_mut_ptr()) }))
}

/// An ioctl(2) of a terminal with an integer argument: TCSBRK, TCXONC, TCFLSH.
///
/// # Errors
/// The host's errno; EINVAL for other requests.
pub fn tty_ioctl_int(fd: &HostFd, request: u32, arg: i32) -> Result<i64, Errno> {
    if !matches!(request, 0x5409..=0x540b) {
        return Err(Errno::EINVAL);
    }
    // SAFETY: the argument is an integer.
    check(i64::from(unsafe { libc::ioctl(fd.raw(), libc::c_ulong::from(request), libc::c_long::from(arg)) }))
}

/// Random bytes (getrandom(2)).
///
/// # Errors
/// The host's errno.
pub fn random(dst: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: `dst` is an exclusive slice.
    count(check(i64::try_from(unsafe { libc::getrandom(dst.as_mut_ptr().cast(), dst.len(), 0) }).unwrap_or(-1))?)
}
