//! Host descriptors as files: what the sandbox was started with (standard input, output, error).
//!
//! The descriptions are shared with the outer shell, so O_NONBLOCK is never set on them and the host's position is the position. A
//! read or write that would block returns EAGAIN and leaves a helper thread waiting in poll(2).

use std::any::Any;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use bevor_abi::fs::{Timespec, mode, o};
use bevor_abi::{Errno, UserAddr};
use bevor_core::context::SyscallContext;
use bevor_core::error::SyscallResult;
use bevor_core::io::{DataSink, DataSource};
use bevor_core::vfs::{Attr, File, FileKind, FileOps, Inode, InodeOps, SetAttr, SuperBlock, Vfs};
use bevor_core::wait::{PollEvents, WaitQueue};
use bevor_hostcall::{HostFd, file};

/// Runs a closure on a thread that may block.
pub type Spawn = Arc<dyn Fn(Box<dyn FnOnce() + Send>) + Send + Sync>;

const POLLIN: i16 = 1;
const POLLOUT: i16 = 4;
/// What a terminal takes at once without blocking, for all practical purposes.
const STEP: usize = 4096;

struct Shared {
    fd: HostFd,
    queue: WaitQueue,
    /// Events that helper threads are waiting for.
    waiting: AtomicU32,
}

/// An open host file whose description is shared with others.
pub struct HostFile {
    shared: Arc<Shared>,
    kind: FileKind,
    terminal: bool,
    spawn: Spawn,
    /// The foreground process group as the sandbox sees it.
    foreground: AtomicI32,
}

impl HostFile {
    /// Wraps `fd`, found to be of the type and access mode that the host says.
    ///
    /// # Errors
    /// The host's errno.
    pub fn open(vfs: &Arc<Vfs>, fd: HostFd, spawn: Spawn) -> Result<Arc<File>, Errno> {
        let st = file::fstat(&fd)?;
        let flags = file::status_flags(&fd)? & (o::ACCMODE | o::APPEND | o::LARGEFILE);
        let kind = FileKind::from_mode(st.mode).unwrap_or(FileKind::Anonymous);
        let terminal = kind == FileKind::CharDevice && file::tty_ioctl(&fd, 0x5401, &mut [0; 64]).is_ok();
        let name = match kind {
            FileKind::Fifo => format!("pipe:[{}]", vfs.next_ino()),
            FileKind::Socket => format!("socket:[{}]", vfs.next_ino()),
            _ if terminal => "/dev/tty".to_owned(),
            FileKind::CharDevice => "/dev/null".to_owned(),
            _ => "/dev/stdio".to_owned(),
        };
        let sb = Arc::new(SuperBlock::new(vfs.next_dev(), "stdio", 0x0904_1934));
        // Root's, as the first process is: the host shows this process no owner but its own.
        let inode = Inode::new(sb, vfs.next_ino(), st.mode, 0, 0, Box::new(HostInode(fd.clone(), OnceLock::new())));
        let ops = Arc::new(Self {
            shared: Arc::new(Shared { fd, queue: WaitQueue::new(), waiting: AtomicU32::new(0) }),
            kind,
            terminal,
            spawn,
            foreground: AtomicI32::new(1),
        });
        if let Some(node) = inode.ops().as_any().downcast_ref::<HostInode>() {
            node.1.set(Arc::downgrade(&ops)).ok();
        }
        Ok(vfs.anon_file_of(&name, inode, ops, flags))
    }

    /// Whether it is a terminal.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Makes a helper wait until the host reports `events`, then wakes the queue.
    fn watch(&self, events: i16) {
        let bit = u32::from(events.unsigned_abs());
        if self.shared.waiting.fetch_or(bit, Ordering::AcqRel) & bit != 0 {
            return;
        }
        let shared = Arc::clone(&self.shared);
        (self.spawn)(Box::new(move || {
            let result = file::poll_one(&shared.fd, events, -1);
            shared.waiting.fetch_and(!bit, Ordering::AcqRel);
            let events = match result {
                Ok(revents) => PollEvents::from_bits_truncate(u32::from(revents.unsigned_abs())),
                Err(_) => PollEvents::all(),
            };
            shared.queue.wake(events | PollEvents::from_bits_truncate(bit));
        }));
    }

    fn is_ready(&self, events: i16) -> Result<bool, Errno> {
        Ok(file::poll_one(&self.shared.fd, events, 0)? != 0)
    }

    fn would_block(&self, events: i16) -> Errno {
        self.watch(events);
        Errno::EAGAIN
    }

    fn read_some(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        match file::read_nowait(&self.shared.fd, buffer) {
            Err(Errno::EAGAIN) => Err(self.would_block(POLLIN)),
            Err(Errno::EOPNOTSUPP) if self.kind == FileKind::Regular || self.is_ready(POLLIN)? => {
                file::read(&self.shared.fd, buffer)
            }
            Err(Errno::EOPNOTSUPP) => Err(self.would_block(POLLIN)),
            other => other,
        }
    }

    fn write_some(&self, data: &[u8]) -> Result<usize, Errno> {
        if self.kind == FileKind::Regular {
            return file::write(&self.shared.fd, data);
        }
        match file::write_nowait(&self.shared.fd, data) {
            Err(Errno::EAGAIN) => Err(self.would_block(POLLOUT)),
            Err(Errno::EOPNOTSUPP) if self.is_ready(POLLOUT)? => file::write(&self.shared.fd, &data[..data.len().min(STEP)]),
            Err(Errno::EOPNOTSUPP) => Err(self.would_block(POLLOUT)),
            other => other,
        }
    }
}

/// How many bytes a terminal request carries, and whether the host writes them.
fn request_size(request: u32) -> Option<(usize, bool)> {
    Some(match request {
        0x5401 => (36, true),
        0x5402..=0x5404 => (36, false),
        0x802c_542a => (44, true),
        0x402c_542b..=0x402c_542d => (44, false),
        0x5413 => (8, true),
        0x5414 => (8, false),
        0x541b | 0x5411 | 0x5424 => (4, true),
        _ => return None,
    })
}

impl FileOps for HostFile {
    fn read_at(&self, _file: &File, _offset: u64, sink: &mut dyn DataSink) -> Result<usize, Errno> {
        let len = sink.remaining().min(1 << 16);
        if len == 0 {
            return Ok(0);
        }
        let mut buffer = vec![0; len];
        let n = self.read_some(&mut buffer)?;
        sink.put(&buffer[..n])
    }
    fn write_at(&self, _file: &File, _offset: u64, source: &mut dyn DataSource) -> Result<usize, Errno> {
        let len = source.remaining().min(1 << 16);
        if len == 0 {
            return Ok(0);
        }
        if self.kind != FileKind::Regular && !self.is_ready(POLLOUT)? {
            return Err(self.would_block(POLLOUT));
        }
        let step = if self.terminal { len.min(STEP) } else { len };
        let mut buffer = vec![0; step];
        let n = source.get(&mut buffer)?;
        let mut done = self.write_some(&buffer[..n])?;
        // What was taken from the source has to go out: a short write of a pipe is finished or reported.
        while done < n {
            match self.write_some(&buffer[done..n]) {
                Ok(more) => done += more,
                Err(_) => break,
            }
        }
        Ok(done)
    }
    fn seek(&self, _file: &File, offset: i64, whence: u32) -> Option<Result<u64, Errno>> {
        if self.kind != FileKind::Regular {
            return Some(Err(Errno::ESPIPE));
        }
        let whence = match i32::try_from(whence) {
            Ok(w @ 0..=4) => w,
            _ => return Some(Err(Errno::EINVAL)),
        };
        Some(file::lseek(&self.shared.fd, offset, whence))
    }
    fn poll(&self, file: &File) -> PollEvents {
        if self.kind == FileKind::Regular {
            return PollEvents::IN | PollEvents::OUT | PollEvents::RDNORM | PollEvents::WRNORM;
        }
        let mut wanted = 0;
        if file.is_readable() {
            wanted |= POLLIN;
        }
        if file.is_writable() {
            wanted |= POLLOUT;
        }
        let Ok(revents) = file::poll_one(&self.shared.fd, wanted, 0) else {
            return PollEvents::ERR;
        };
        for bit in [POLLIN, POLLOUT] {
            if wanted & bit != 0 && revents & bit == 0 {
                self.watch(bit);
            }
        }
        PollEvents::from_bits_truncate(u32::from(revents.unsigned_abs()))
    }
    fn queue(&self) -> Option<&WaitQueue> {
        (self.kind != FileKind::Regular).then_some(&self.shared.queue)
    }
    fn ioctl(&self, _file: &File, ctx: &mut SyscallContext<'_>, request: u32, arg: u64) -> SyscallResult {
        if !self.terminal && request != 0x541b {
            return Err(Errno::ENOTTY.into());
        }
        match request {
            // TIOCGPGRP, TIOCSPGRP: host process groups mean nothing inside.
            0x540f => ctx.copy_out_value(UserAddr(arg), &self.foreground.load(Ordering::Relaxed))?,
            0x5410 => self.foreground.store(ctx.copy_in_value(UserAddr(arg))?, Ordering::Relaxed),
            // TCSBRK, TCXONC, TCFLSH
            0x5409..=0x540b => {
                let arg = <i32 as bevor_abi::FromArg>::from_arg(arg);
                file::tty_ioctl_int(&self.shared.fd, request, arg)?;
            }
            _ => {
                let (size, out) = request_size(request).ok_or(Errno::ENOTTY)?;
                let mut buffer = [0; 64];
                if !out {
                    ctx.copy_in(UserAddr(arg), &mut buffer[..size])?;
                }
                file::tty_ioctl(&self.shared.fd, request, &mut buffer)?;
                if out {
                    ctx.copy_out(UserAddr(arg), &buffer[..size])?;
                }
            }
        }
        Ok(0)
    }
    fn truncate(&self, _file: &File, size: u64) -> Result<(), Errno> {
        file::ftruncate(&self.shared.fd, size)
    }
    fn fsync(&self, _file: &File, data_only: bool) -> Result<(), Errno> {
        file::fsync(&self.shared.fd, data_only)
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The status of a host file, asked for each time, and the way to open it again.
struct HostInode(HostFd, OnceLock<Weak<HostFile>>);

impl InodeOps for HostInode {
    fn getattr(&self, inode: &Inode) -> Result<Attr, Errno> {
        let st = file::fstat(&self.0)?;
        let time = |(sec, nsec)| Timespec { sec, nsec };
        Ok(Attr {
            dev: inode.sb().dev,
            ino: inode.ino(),
            mode: inode.kind().to_mode() | st.mode & mode::ALL,
            nlink: u32::try_from(st.nlink).unwrap_or(u32::MAX),
            uid: inode.uid(),
            gid: inode.gid(),
            rdev: st.rdev,
            size: st.size,
            blksize: u32::try_from(st.blksize).unwrap_or(4096),
            blocks: st.blocks,
            atime: time(st.atime),
            mtime: time(st.mtime),
            ctime: time(st.ctime),
            btime: None,
        })
    }
    fn open(&self, _inode: &Arc<Inode>, _flags: u32) -> Result<Arc<dyn FileOps>, Errno> {
        let ops = self.1.get().and_then(Weak::upgrade).ok_or(Errno::ENXIO)?;
        Ok(ops)
    }
    fn open_special(&self, inode: &Arc<Inode>, flags: u32) -> Option<Result<Arc<dyn FileOps>, Errno>> {
        Some(self.open(inode, flags))
    }
    fn setattr(&self, _inode: &Inode, set: &SetAttr) -> Result<(), Errno> {
        match set.size {
            Some(size) => file::ftruncate(&self.0, size),
            None => Err(Errno::EPERM),
        }
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}
