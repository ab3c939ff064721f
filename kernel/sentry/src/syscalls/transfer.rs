//! Data between descriptors: sendfile(2), copy_file_range(2), splice(2).

use std::sync::Arc;

use bevor_abi::fs::o;
use bevor_abi::{Errno, Fd, UserAddr};
use bevor_core::context::SyscallContext;
use bevor_core::error::{SyscallError, SyscallResult};
use bevor_core::io::{SliceSource, VecSink};
use bevor_core::num::to_u64;
use bevor_core::pipe::PipeEnd;
use bevor_core::vfs::{File, FileKind};
use bevor_core::wait::PollEvents;

use super::io::{drop_privileges, limit_size, wait_for};
use crate::user_io::MAX_RW;

/// How much is moved in one step: no more than a pipe takes, so that little is ever held between two files.
const STEP: usize = 64 * 1024;

/// One side of a transfer.
struct Side {
    file: Arc<File>,
    /// `None`: the position, or no positions.
    offset: Option<u64>,
}

impl Side {
    fn read(&self, done: usize, room: usize) -> Result<Vec<u8>, Errno> {
        let mut data = Vec::new();
        let mut sink = VecSink { data: &mut data, room };
        match self.offset {
            None => self.file.read(&mut sink)?,
            Some(at) => self.file.pread(at + to_u64(done), &mut sink)?,
        };
        if bevor_abi::mutated!("sendfile/moves") && self.offset.is_some() {
            *self.file.position() += to_u64(data.len());
        }
        Ok(data)
    }

    fn write(&self, done: usize, data: &[u8]) -> Result<usize, Errno> {
        let mut source = SliceSource(data);
        match self.offset {
            None => self.file.write(&mut source),
            Some(at) => self.file.pwrite(at + to_u64(done), &mut source),
        }
    }

    /// Takes back bytes that were read but found no taker.
    fn unread(&self, tail: &[u8]) {
        if let Some(end) = self.file.downcast::<PipeEnd>() {
            end.pipe().unread(tail);
        } else if self.offset.is_none() && self.file.ops().seekable() {
            let mut position = self.file.position();
            *position = position.saturating_sub(to_u64(tail.len()));
        }
    }
}

fn copy_in_offset(ctx: &SyscallContext<'_>, at: UserAddr) -> Result<Option<u64>, Errno> {
    if at.is_null() {
        return Ok(None);
    }
    let offset: i64 = ctx.copy_in_value(at)?;
    u64::try_from(offset).map(Some).map_err(|_| Errno::EINVAL)
}

/// As [`copy_in_offset`]; a negative one with which the range reaches across 0 is EOVERFLOW.
fn copy_in_start(ctx: &SyscallContext<'_>, at: UserAddr, len: usize) -> Result<Option<u64>, Errno> {
    if at.is_null() {
        return Ok(None);
    }
    let offset: i64 = ctx.copy_in_value(at)?;
    let error = if to_u64(len) >= offset.unsigned_abs() { Errno::EOVERFLOW } else { Errno::EINVAL };
    u64::try_from(offset).map(Some).map_err(|_| error)
}

fn copy_out_offset(ctx: &SyscallContext<'_>, at: UserAddr, start: Option<u64>, done: usize) -> Result<(), Errno> {
    match start {
        Some(start) => ctx.copy_out_value(at, &(start + to_u64(done))),
        None => Ok(()),
    }
}

/// Whether the taker has room now: data must not be taken from a pipe for a taker that refuses it.
fn is_writable_now(file: &File) -> bool {
    file.queue().is_none() || file.poll().intersects(PollEvents::OUT | PollEvents::ERR)
}

/// Moves up to `len` bytes. Waits for the first byte on either side unless `nonblocking`; never after something moved.
fn transfer(ctx: &mut SyscallContext<'_>, from: &Side, to: &Side, len: usize, nonblocking: bool) -> Result<usize, SyscallError> {
    // Event files and their like are neither filled nor emptied so.
    if [from, to].iter().any(|side| side.file.inode().kind() == FileKind::Anonymous) {
        return Err(Errno::EINVAL.into());
    }
    let done = move_data(ctx, from, to, len.min(MAX_RW), nonblocking)?;
    if done > 0 && !bevor_abi::mutated!("sendfile/keeps-suid") {
        drop_privileges(ctx, &to.file);
    }
    Ok(done)
}

fn move_data(ctx: &mut SyscallContext<'_>, from: &Side, to: &Side, len: usize, nonblocking: bool) -> Result<usize, SyscallError> {
    let regular = to.file.inode().kind() == FileKind::Regular;
    let mut done = 0;
    while done < len && !(done > 0 && ctx.task.is_dying()) {
        if !is_writable_now(&to.file) {
            if done > 0 {
                break;
            }
            return Err(wait_for(ctx, &to.file, PollEvents::OUT, nonblocking, 0));
        }
        let room = match to.file.downcast::<PipeEnd>() {
            // What is certain to fit.
            Some(end) => end.pipe().capacity().saturating_sub(end.pipe().len()).clamp(1, STEP),
            None if regular => match limit_size(ctx, &to.file, to.offset.map(|at| at + to_u64(done)), STEP) {
                Ok(room) => room,
                Err(_) if done > 0 => break,
                Err(e) => return Err(e.into()),
            },
            None => STEP,
        };
        let data = match from.read(done, room.min(len - done)) {
            Ok(data) => data,
            Err(_) if done > 0 => break,
            Err(Errno::EAGAIN) => return Err(wait_for(ctx, &from.file, PollEvents::IN, nonblocking, 0)),
            Err(e) => return Err(e.into()),
        };
        if data.is_empty() {
            break;
        }
        let written = match to.write(done, &data) {
            Ok(n) => n,
            Err(e) => {
                from.unread(&data);
                // Sockets that keep messages apart only fail.
                let signals = to.file.ops().as_socket().is_none_or(|s| s.kind().1 == 1);
                if e == Errno::EPIPE && signals && !bevor_abi::mutated!("splice/no-sigpipe") {
                    ctx.raise_sigpipe();
                }
                if done > 0 {
                    break;
                }
                return Err(match e {
                    Errno::EAGAIN => wait_for(ctx, &to.file, PollEvents::OUT, nonblocking, 0),
                    e => e.into(),
                });
            }
        };
        done += written;
        if written < data.len() {
            from.unread(data.get(bevor_abi::mutant!("sendfile/unread", written, data.len())..).unwrap_or_default());
            break;
        }
    }
    Ok(done)
}

/// sendfile(2).
pub fn sendfile(ctx: &mut SyscallContext<'_>, out_fd: Fd, in_fd: Fd, offset_at: UserAddr, len: usize) -> SyscallResult {
    let offset = copy_in_offset(ctx, offset_at)?;
    let from = Side { file: ctx.file(in_fd)?, offset };
    if !from.file.is_readable() {
        return Err(Errno::EBADF.into());
    }
    if offset.is_some() && !from.file.ops().seekable() {
        return Err(Errno::ESPIPE.into());
    }
    super::io::within_range(offset.unwrap_or(0), len)?;
    let to = Side { file: ctx.file(out_fd)?, offset: None };
    if !to.file.is_writable() {
        return Err(Errno::EBADF.into());
    }
    if to.file.flags() & o::APPEND != 0 && !bevor_abi::mutated!("sendfile/append-allowed") || from.file.inode().is_dir() {
        return Err(Errno::EINVAL.into());
    }
    // What has no positions can only go to a pipe, and from a socket.
    if !from.file.ops().seekable() && (from.file.inode().kind() != FileKind::Socket || to.file.downcast::<PipeEnd>().is_none()) {
        return Err(Errno::EINVAL.into());
    }
    let done = transfer(ctx, &from, &to, len, false)?;
    copy_out_offset(ctx, offset_at, offset, bevor_abi::mutant!("sendfile/offset-stale", done, 0))?;
    Ok(to_u64(done))
}

/// copy_file_range(2).
pub fn copy_file_range(
    ctx: &mut SyscallContext<'_>,
    in_fd: Fd,
    in_at: UserAddr,
    out_fd: Fd,
    out_at: UserAddr,
    len: usize,
    flags: u32,
) -> SyscallResult {
    let (from, to) = (ctx.file(in_fd)?, ctx.file(out_fd)?);
    let (in_offset, out_offset) = (copy_in_start(ctx, in_at, len)?, copy_in_start(ctx, out_at, len)?);
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    if [&from, &to].iter().any(|file| file.inode().is_dir()) {
        return Err(bevor_abi::mutant!("copy_file_range/directory", Errno::EISDIR, Errno::EINVAL).into());
    }
    for file in [&from, &to] {
        if file.inode().kind() != FileKind::Regular {
            return Err(Errno::EINVAL.into());
        }
    }
    if !from.is_readable() || !to.is_writable() || to.flags() & o::APPEND != 0 && !bevor_abi::mutated!("copy_file_range/append") {
        return Err(Errno::EBADF.into());
    }
    let start_in = in_offset.unwrap_or_else(|| *from.position());
    let start_out = out_offset.unwrap_or_else(|| *to.position());
    let size = to_u64(len);
    if Arc::ptr_eq(from.inode(), to.inode())
        && bevor_abi::mutant!(
            "copy_file_range/touching",
            start_in < start_out.saturating_add(size),
            start_in <= start_out.saturating_add(size)
        )
        && start_out < start_in.saturating_add(size)
    {
        return Err(Errno::EINVAL.into());
    }
    let len = limit_size(ctx, &to, Some(start_out), len)?;
    let from = Side { file: from, offset: in_offset };
    let to = Side { file: to, offset: out_offset };
    let done = transfer(ctx, &from, &to, len, false)?;
    copy_out_offset(ctx, in_at, in_offset, done)?;
    copy_out_offset(ctx, out_at, out_offset, bevor_abi::mutant!("copy_file_range/out-offset", done, 0))?;
    Ok(to_u64(done))
}

/// splice(2): at least one side is a pipe.
pub fn splice(
    ctx: &mut SyscallContext<'_>,
    in_fd: Fd,
    in_at: UserAddr,
    out_fd: Fd,
    out_at: UserAddr,
    len: usize,
    flags: u32,
) -> SyscallResult {
    const NONBLOCK: u32 = 2;
    if flags & !0xf != 0 && !bevor_abi::mutated!("splice/flags") {
        return Err(Errno::EINVAL.into());
    }
    if len == 0 && !bevor_abi::mutated!("splice/zero-first") {
        return Ok(0);
    }
    let (from, to) = (ctx.file(in_fd)?, ctx.file(out_fd)?);
    let (pipe_in, pipe_out) = (from.downcast::<PipeEnd>(), to.downcast::<PipeEnd>());
    if !bevor_abi::mutated!("splice/pipe-offset") && (pipe_in.is_some() && !in_at.is_null())
        || (pipe_out.is_some() && !out_at.is_null())
    {
        return Err(Errno::ESPIPE.into());
    }
    if !from.is_readable() || !to.is_writable() {
        return Err(Errno::EBADF.into());
    }
    if pipe_in.is_none() && pipe_out.is_none() || from.inode().is_dir() {
        return Err(Errno::EINVAL.into());
    }
    if let (Some(a), Some(b)) = (pipe_in, pipe_out)
        && Arc::ptr_eq(a.pipe(), b.pipe())
        && !bevor_abi::mutated!("splice/same-pipe")
    {
        return Err(Errno::EINVAL.into());
    }
    if to.flags() & o::APPEND != 0 && !bevor_abi::mutated!("splice/append") {
        return Err(Errno::EINVAL.into());
    }
    let (in_offset, out_offset) = (copy_in_offset(ctx, in_at)?, copy_in_offset(ctx, out_at)?);
    for (file, offset) in [(&from, in_offset), (&to, out_offset)] {
        if offset.is_some() && !file.ops().seekable() {
            return Err(Errno::EINVAL.into());
        }
    }
    let (from, to) = (Side { file: from, offset: in_offset }, Side { file: to, offset: out_offset });
    // Only the pipe side may be waited for; SPLICE_F_NONBLOCK says not even that.
    let done = transfer(ctx, &from, &to, len, flags & NONBLOCK != 0)?;
    copy_out_offset(ctx, in_at, in_offset, done)?;
    copy_out_offset(ctx, out_at, out_offset, bevor_abi::mutant!("splice/out-offset", done, 0))?;
    Ok(to_u64(done))
}

/// tee(2): both sides are pipes.
pub fn tee(ctx: &mut SyscallContext<'_>, in_fd: Fd, out_fd: Fd, len: usize, flags: u32) -> SyscallResult {
    const NONBLOCK: u32 = 2;
    if flags & !0xf != 0 {
        return Err(Errno::EINVAL.into());
    }
    if len == 0 {
        return Ok(0);
    }
    let (from, to) = (ctx.file(in_fd)?, ctx.file(out_fd)?);
    if !from.is_readable() || !to.is_writable() {
        return Err(Errno::EBADF.into());
    }
    let (Some(a), Some(b)) = (from.downcast::<PipeEnd>(), to.downcast::<PipeEnd>()) else {
        return Err(Errno::EINVAL.into());
    };
    if Arc::ptr_eq(a.pipe(), b.pipe()) && !bevor_abi::mutated!("tee/same-pipe") {
        return Err(Errno::EINVAL.into());
    }
    let nonblocking = flags & NONBLOCK != 0 && !bevor_abi::mutated!("tee/nonblock");
    let data = match a.pipe().peek(len.min(b.pipe().capacity())) {
        Ok(data) => data,
        Err(Errno::EAGAIN) => return Err(wait_for(ctx, &from, PollEvents::IN, nonblocking, 0)),
        Err(e) => return Err(e.into()),
    };
    if data.is_empty() {
        return Ok(0);
    }
    let room = b.pipe().capacity().saturating_sub(b.pipe().len()).max(1);
    match to.write(&mut SliceSource(&data[..data.len().min(room)])) {
        Ok(n) => Ok(to_u64(n)),
        Err(Errno::EAGAIN) => Err(wait_for(ctx, &to, PollEvents::OUT, nonblocking, 0)),
        Err(e) => {
            if e == Errno::EPIPE {
                ctx.raise_sigpipe();
            }
            Err(e.into())
        }
    }
}
