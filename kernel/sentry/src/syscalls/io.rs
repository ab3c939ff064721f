//! read(2), write(2) and their relatives; lseek(2).

use std::sync::Arc;

use bevor_abi::fs::{IoVec, mode, o};
use bevor_abi::{Errno, Fd, UserAddr};
use bevor_core::context::{SyscallContext, Wakeup};
use bevor_core::error::{Restart, SyscallError, SyscallResult};
use bevor_core::io::DataSource;
use bevor_core::num::{to_u64, to_usize};
use bevor_core::socket::ROOM_FOR_OTHERS;
use bevor_core::time::Instant;
use bevor_core::vfs::{File, FileKind, SetAttr};
use bevor_core::wait::{PollEvents, WaitQueue};
use smallvec::SmallVec;

use super::hooks;
use crate::user_io::{CHUNK, Unreadable, UserSink, UserSource, copy_in_iovecs, single, total};

/// RWF_* flags of preadv2(2) and pwritev2(2).
mod rwf {
    pub(super) const HIPRI: u32 = 1;
    pub(super) const DSYNC: u32 = 2;
    pub(super) const SYNC: u32 = 4;
    pub(super) const NOWAIT: u32 = 8;
    pub(super) const APPEND: u32 = 0x10;
    pub(super) const NOAPPEND: u32 = 0x20;
    pub(super) const VALID: u32 = HIPRI | DSYNC | SYNC | NOWAIT | APPEND | NOAPPEND;
}

/// Where a transfer happens.
#[derive(Clone, Copy)]
struct Place {
    /// `None`: the file position.
    offset: Option<u64>,
    /// RWF_*.
    flags: u32,
}

const HERE: Place = Place { offset: None, flags: 0 };

fn at(offset: i64) -> Result<Place, Errno> {
    Ok(Place { offset: Some(u64::try_from(offset).map_err(|_| Errno::EINVAL)?), flags: 0 })
}

/// Sleeps until `file` reports one of `events`, unless the call may not block. `timeout`: in nanoseconds, 0 is none.
///
/// # Errors
/// Always: EAGAIN, or what makes the task sleep.
pub fn wait_for(ctx: &mut SyscallContext<'_>, file: &File, events: PollEvents, nonblocking: bool, timeout: u64) -> SyscallError {
    wait_for_either(ctx, file, None, events, nonblocking, timeout)
}

/// As [`wait_for`], on another queue besides.
pub fn wait_for_either(
    ctx: &mut SyscallContext<'_>,
    file: &File,
    other: Option<&WaitQueue>,
    events: PollEvents,
    nonblocking: bool,
    timeout: u64,
) -> SyscallError {
    if nonblocking || file.is_nonblocking() || (ctx.wakeup == Wakeup::TimedOut && timeout != 0) {
        return Errno::EAGAIN.into();
    }
    let Some(queue) = file.queue() else {
        return Errno::EAGAIN.into();
    };
    if timeout != 0 && ctx.progress.deadline.is_none() {
        ctx.progress.deadline = Some(Instant(ctx.timers.now().0.saturating_add(timeout)));
    }
    let deadline = ctx.progress.deadline;
    let queues: SmallVec<[_; 2]> = std::iter::once((queue, events)).chain(other.map(|queue| (queue, ROOM_FOR_OTHERS))).collect();
    match ctx.block_on(&queues, deadline, Restart::IfSaRestart) {
        // signal(7): a socket's time limit would start anew.
        SyscallError::Restart(_) if timeout != 0 && !bevor_abi::mutated!("unix/limit-restarts") => Errno::EINTR.into(),
        e => e,
    }
}

/// A transfer may not reach beyond what an offset can say.
pub(super) fn within_range(offset: u64, len: usize) -> Result<(), Errno> {
    if bevor_abi::mutated!("transfer/range") {
        return Ok(());
    }
    let end = offset.checked_add(to_u64(len));
    end.and_then(|end| i64::try_from(end).ok()).map(|_| ()).ok_or(Errno::EINVAL)
}

fn socket_timeout(file: &File, send: bool) -> u64 {
    file.ops().as_socket().map_or(0, |s| s.timeout(send))
}

fn do_read(ctx: &mut SyscallContext<'_>, file: &Arc<File>, iov: &[IoVec], place: Place) -> SyscallResult {
    let want = total(iov);
    let regular = file.inode().kind() == FileKind::Regular;
    if want == 0 && file.inode().kind() == FileKind::Socket {
        return Ok(0);
    }
    within_range(place.offset.unwrap_or(0), want)?;
    let mut done = 0;
    loop {
        let chunk = CHUNK.min(want - done);
        let thread = &**ctx.thread;
        let mut sink = UserSink::new(thread, iov, done, chunk);
        let result = match place.offset {
            None => file.read(&mut sink),
            Some(offset) => file.pread(offset + to_u64(done), &mut sink),
        };
        match result {
            Ok(n) => {
                let arrived = sink.finish();
                if place.offset.is_none() && !bevor_abi::mutated!("read/efault-moves") {
                    file.give_back(n - arrived.as_ref().unwrap_or(&0).min(&n));
                }
                let arrived = match arrived {
                    Ok(arrived) => arrived,
                    Err(_) if done > 0 => return Ok(to_u64(done)),
                    Err(e) => return Err(e.into()),
                };
                done += arrived;
                if !regular || bevor_abi::mutated!("read/one-chunk") || arrived < n || n < chunk || done == want {
                    return Ok(to_u64(done));
                }
            }
            Err(_) if done > 0 => return Ok(to_u64(done)),
            Err(Errno::EAGAIN) => {
                let timeout = socket_timeout(file, false);
                let nowait = place.flags & rwf::NOWAIT != 0 && !bevor_abi::mutated!("preadv2/nowait");
                return Err(wait_for(ctx, file, PollEvents::IN, nowait, timeout));
            }
            Err(e) => return Err(e.into()),
        }
    }
}

/// How much of a write to a regular file RLIMIT_FSIZE lets through; raises SIGXFSZ if nothing.
pub(super) fn limit_size(ctx: &mut SyscallContext<'_>, file: &File, offset: Option<u64>, len: usize) -> Result<usize, Errno> {
    limit_size_as(ctx, file, file.flags() & o::APPEND != 0, offset, len)
}

/// As [`limit_size`] of a write at the end if `append`, whatever the file's flags say.
fn limit_size_as(
    ctx: &mut SyscallContext<'_>,
    file: &File,
    append: bool,
    offset: Option<u64>,
    len: usize,
) -> Result<usize, Errno> {
    let limit = hooks::fsize_limit(ctx);
    if limit == u64::MAX {
        return Ok(len);
    }
    let start = match offset {
        _ if append && !bevor_abi::mutated!("write/fsize-append") => file.ops().size(file)?,
        Some(offset) => offset,
        None => *file.position(),
    };
    if bevor_abi::mutant!("write/fsize-boundary", start >= limit, start > limit) && len > 0 {
        ctx.raise = bevor_abi::mutant!("write/fsize-signal", Some(25), None);
        return Err(Errno::EFBIG);
    }
    if bevor_abi::mutated!("writev/fsize-part") && to_u64(len) > limit - start {
        return Err(Errno::EFBIG);
    }
    Ok(len.min(to_usize(limit - start)))
}

/// A change of contents takes set-user-ID and set-group-ID away (unless CAP_FSETID).
pub(super) fn drop_privileges(ctx: &SyscallContext<'_>, file: &File) {
    let inode = file.inode();
    // Mostly there are none, and credentials are behind a lock.
    if inode.mode() & (mode::ISUID | mode::ISGID) == 0 {
        return;
    }
    if let Some(kept) = inode.without_privileges(&ctx.creds()) {
        let set = SetAttr { mode: Some(kept), ..SetAttr::default() };
        // The write has happened; a file system without modes keeps them.
        inode.ops().setattr(inode, &set).ok();
    }
}

/// What is left of the buffer that byte `done` lies in: an event file takes one buffer after the other.
fn segment(iov: &[IoVec], done: usize) -> usize {
    let mut before = 0;
    for part in iov {
        before += to_usize(part.len);
        if before > done {
            return before - done;
        }
    }
    0
}

fn do_write(ctx: &mut SyscallContext<'_>, file: &Arc<File>, iov: &[IoVec], place: Place) -> SyscallResult {
    let kind = file.inode().kind();
    if kind == FileKind::Socket && place.offset.is_none() {
        return super::socket::write(ctx, file, iov, place.flags & rwf::NOWAIT != 0);
    }
    let regular = kind == FileKind::Regular;
    let append = file.flags() & o::APPEND != 0 && place.flags & rwf::NOAPPEND == 0;
    let mut want = total(iov);
    within_range(place.offset.unwrap_or(0), want)?;
    if regular && file.is_writable() {
        want = limit_size_as(ctx, file, append, place.offset, want)?;
    }
    let mut done = ctx.progress.done.min(want);
    loop {
        let most = if kind == FileKind::Anonymous { segment(iov, done) } else { want - done };
        let step = CHUNK.min(most);
        let write = |source: &mut dyn DataSource| match place.offset {
            None => file.write_as(source, append),
            Some(offset) => file.pwrite_as(offset + to_u64(done), source, append),
        };
        let result = match UserSource::gather(&**ctx.thread, iov, done, step) {
            Ok(mut source) => write(&mut source),
            Err(errno) if regular => Err(errno),
            // Who takes nothing, or does not look at it, says so first.
            Err(errno) => write(&mut Unreadable { len: step, errno }),
        };
        match result {
            Ok(n) => {
                done += n;
                if n == 0 || done >= want {
                    break;
                }
            }
            Err(Errno::EAGAIN) => {
                ctx.progress.done = bevor_abi::mutant!("write/progress-lost", done, 0);
                let timeout = socket_timeout(file, true);
                let e = wait_for(ctx, file, PollEvents::OUT, place.flags & rwf::NOWAIT != 0, timeout);
                if done > 0 && !matches!(e, SyscallError::Block) {
                    break;
                }
                return Err(e);
            }
            Err(e) => {
                if e == Errno::EPIPE
                    && !bevor_abi::mutated!("write/no-sigpipe")
                    && matches!(file.inode().kind(), FileKind::Fifo | FileKind::Socket)
                {
                    ctx.raise_sigpipe();
                }
                if done > 0 {
                    break;
                }
                return Err(e.into());
            }
        }
    }
    if regular && done > 0 {
        drop_privileges(ctx, file);
        if file.flags() & o::DSYNC != 0 || place.flags & (rwf::DSYNC | rwf::SYNC) != 0 {
            file.ops().fsync(file, file.flags() & o::SYNC_BIT == 0)?;
        }
    }
    Ok(to_u64(done))
}

/// read(2).
pub fn read(ctx: &mut SyscallContext<'_>, fd: Fd, buf: UserAddr, len: usize) -> SyscallResult {
    let file = ctx.file(fd)?;
    if !file.is_readable() {
        return Err(Errno::EBADF.into());
    }
    do_read(ctx, &file, &single(buf, len)?, HERE)
}

/// write(2).
pub fn write(ctx: &mut SyscallContext<'_>, fd: Fd, buf: UserAddr, len: usize) -> SyscallResult {
    let file = ctx.file(fd)?;
    if !file.is_writable() {
        return Err(Errno::EBADF.into());
    }
    do_write(ctx, &file, &single(buf, len)?, HERE)
}

/// pread64(2).
pub fn pread64(ctx: &mut SyscallContext<'_>, fd: Fd, buf: UserAddr, len: usize, offset: i64) -> SyscallResult {
    let place = at(offset)?;
    let file = ctx.file(fd)?;
    if !file.ops().seekable() && (!bevor_abi::mutated!("pread64/order") || file.is_readable()) {
        return Err(Errno::ESPIPE.into());
    }
    if !file.is_readable() {
        return Err(Errno::EBADF.into());
    }
    do_read(ctx, &file, &single(buf, len)?, place)
}

/// pwrite64(2).
pub fn pwrite64(ctx: &mut SyscallContext<'_>, fd: Fd, buf: UserAddr, len: usize, offset: i64) -> SyscallResult {
    let place = at(offset)?;
    let file = ctx.file(fd)?;
    if !file.ops().seekable() {
        return Err(Errno::ESPIPE.into());
    }
    if !file.is_writable() {
        return Err(Errno::EBADF.into());
    }
    do_write(ctx, &file, &single(buf, len)?, place)
}

/// readv(2).
pub fn readv(ctx: &mut SyscallContext<'_>, fd: Fd, iov: UserAddr, count: usize) -> SyscallResult {
    vectored(ctx, fd, iov, count, HERE, false)
}

/// writev(2).
pub fn writev(ctx: &mut SyscallContext<'_>, fd: Fd, iov: UserAddr, count: usize) -> SyscallResult {
    vectored(ctx, fd, iov, count, HERE, true)
}

/// preadv(2).
pub fn preadv(ctx: &mut SyscallContext<'_>, fd: Fd, iov: UserAddr, count: usize, offset: i64, _high: u64) -> SyscallResult {
    vectored(ctx, fd, iov, count, at(offset)?, false)
}

/// pwritev(2).
pub fn pwritev(ctx: &mut SyscallContext<'_>, fd: Fd, iov: UserAddr, count: usize, offset: i64, _high: u64) -> SyscallResult {
    vectored(ctx, fd, iov, count, at(offset)?, true)
}

/// preadv2(2). Offset -1 is the file position.
pub fn preadv2(
    ctx: &mut SyscallContext<'_>,
    fd: Fd,
    iov: UserAddr,
    count: usize,
    offset: i64,
    _high: u64,
    flags: u32,
) -> SyscallResult {
    vectored2(ctx, fd, (iov, count), offset, flags, false)
}

/// pwritev2(2). Offset -1 is the file position.
pub fn pwritev2(
    ctx: &mut SyscallContext<'_>,
    fd: Fd,
    iov: UserAddr,
    count: usize,
    offset: i64,
    _high: u64,
    flags: u32,
) -> SyscallResult {
    vectored2(ctx, fd, (iov, count), offset, flags, true)
}

fn vectored2(
    ctx: &mut SyscallContext<'_>,
    fd: Fd,
    (iov, count): (UserAddr, usize),
    offset: i64,
    flags: u32,
    writes: bool,
) -> SyscallResult {
    let mut place = if offset == -1 { HERE } else { at(offset)? };
    place.flags = flags;
    vectored(ctx, fd, iov, count, place, writes)
}

fn vectored(ctx: &mut SyscallContext<'_>, fd: Fd, iov: UserAddr, count: usize, place: Place, writes: bool) -> SyscallResult {
    let file = ctx.file(fd)?;
    if place.offset.is_some() && !file.ops().seekable() {
        return Err(Errno::ESPIPE.into());
    }
    if !(if writes { file.is_writable() } else { file.is_readable() }) {
        return Err(Errno::EBADF.into());
    }
    let iov = copy_in_iovecs(ctx, iov, count)?;
    if total(&iov) == 0 && place.flags & !rwf::VALID == 0 {
        return Ok(0);
    }
    if place.flags & !rwf::VALID != 0 {
        return Err(Errno::EOPNOTSUPP.into());
    }
    if place.flags & (rwf::APPEND | rwf::NOAPPEND) == rwf::APPEND | rwf::NOAPPEND && !bevor_abi::mutated!("pwritev2/both") {
        return Err(Errno::EINVAL.into());
    }
    if !writes {
        return do_read(ctx, &file, &iov, place);
    }
    if place.flags & rwf::APPEND != 0 && !bevor_abi::mutated!("pwritev2/append-ignored") && file.flags() & o::APPEND == 0 {
        return append_once(ctx, &file, &iov, place.offset.is_none());
    }
    do_write(ctx, &file, &iov, place)
}

/// RWF_APPEND: at the end, and the position stays (pwritev2 with an offset) or moves there.
fn append_once(ctx: &mut SyscallContext<'_>, file: &Arc<File>, iov: &[IoVec], moves: bool) -> SyscallResult {
    let end = file.ops().size(file)?;
    let len = limit_size(ctx, file, Some(end), total(iov).min(CHUNK))?;
    let mut source = UserSource::gather(&**ctx.thread, iov, 0, len)?;
    let (n, end) = file.ops().append(file, &mut source)?;
    if moves || bevor_abi::mutated!("pwritev2/append-moves") {
        *file.position() = end;
    }
    drop_privileges(ctx, file);
    Ok(to_u64(n))
}

/// lseek(2).
pub fn lseek(ctx: &mut SyscallContext<'_>, fd: Fd, offset: i64, whence: u32) -> SyscallResult {
    let file = ctx.file(fd)?;
    Ok(file.seek(offset, whence)?)
}
