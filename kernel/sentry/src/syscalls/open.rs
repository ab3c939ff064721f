//! open(2) and its relatives, close(2), pipe(2).

use std::sync::Arc;

use bevor_abi::fs::{mode, o, resolve};
use bevor_abi::{Errno, Fd, UserAddr};
use bevor_core::context::SyscallContext;
use bevor_core::error::{Restart, SyscallError, SyscallResult};
use bevor_core::pipe::{Pipe, PipeEnd};
use bevor_core::vfs::file::fd_result;
use bevor_core::vfs::{File, OpenRequest, Opened, Path, WalkFlags};
use bevor_core::wait::PollEvents;
use bevor_platform::Defence;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::hooks::{self, Env, start_of};

/// Puts `file` into the caller's table.
///
/// # Errors
/// EMFILE.
pub fn install(ctx: &SyscallContext<'_>, file: Arc<File>, cloexec: bool) -> SyscallResult {
    let limit = hooks::nofile_limit(ctx);
    let fd = ctx.task.files.lock().alloc(file, cloexec, 0, limit)?;
    Ok(fd_result(fd))
}

fn open_common(ctx: &mut SyscallContext<'_>, dirfd: Fd, path: UserAddr, request: OpenRequest) -> SyscallResult {
    if ctx.progress.phase == FIFO_WAIT {
        return fifo_again(ctx, &request);
    }
    let path = ctx.copy_in_path(path)?;
    let start = start_of(ctx, dirfd, &path)?;
    let env = Env::new(ctx);
    let cloexec = request.flags & o::CLOEXEC != 0;
    if request.flags & (o::CREAT | o::TRUNC) != 0 && !bevor_abi::mutated!("openat/made-without-number") {
        ctx.task.files.lock().has_room(hooks::nofile_limit(ctx))?;
    }
    match env.fs.open(start.as_ref(), &path, env.caller(), &request)? {
        Opened::File(file) => {
            if file.inode().ops().is_host_file() && ctx.task.kernel.options.defences.has(Defence::Objects) {
                env.fs.ns.vfs.reclaim().admit(ctx.timers.now().0, ctx.task.files.lock().hoards())?;
            }
            install(ctx, file, cloexec)
        }
        Opened::Fifo(place) => open_fifo(ctx, &place, request.flags),
    }
}

/// The phase of an open(2) that waits for the other end of a FIFO; `progress.half_open` is the description.
const FIFO_WAIT: u32 = 1;

/// Opens a FIFO (fifo(7)): waits for the other side unless O_NONBLOCK or O_RDWR, or if it is a pipe.
fn open_fifo(ctx: &mut SyscallContext<'_>, place: &Path, flags: u32) -> SyscallResult {
    let pipe = place.dentry.inode().fifo(ctx.fs().ns.vfs.memory());
    let (reads, writes) = match flags & o::ACCMODE {
        o::RDONLY => (true, false),
        o::WRONLY => (false, true),
        _ => (true, true),
    };
    let (readers, writers) = pipe.ends();
    let nonblocking = flags & o::NONBLOCK != 0;
    if nonblocking && !bevor_abi::mutated!("open/fifo-no-reader") && !pipe.is_anonymous() && writes && !reads && readers == 0 {
        return Err(Errno::ENXIO.into());
    }
    let opens_before = pipe.opens();
    let file = File::new(place.clone(), PipeEnd::attach(pipe, reads, writes), flags);
    let waits = !nonblocking && !pipe.is_anonymous();
    let met = (reads && writes) || !waits || if reads { writers > 0 } else { readers > 0 };
    if met {
        return install(ctx, file, flags & o::CLOEXEC != 0);
    }
    // Counts of openings that must be exceeded: the other side may come and go before this task runs.
    let other = if reads { opens_before.1 } else { opens_before.0 };
    ctx.progress.phase = FIFO_WAIT;
    ctx.progress.half_open = Some(file);
    ctx.progress.done = usize::try_from(other).unwrap_or(usize::MAX);
    wait_fifo(ctx, pipe)
}

fn wait_fifo(ctx: &mut SyscallContext<'_>, pipe: &Arc<Pipe>) -> SyscallResult {
    let e = ctx.block_on(&[(pipe.queue(), PollEvents::all())], None, Restart::IfSaRestart);
    if !matches!(e, SyscallError::Block) {
        ctx.progress.half_open = None;
        ctx.progress.phase = 0;
    }
    Err(e)
}

fn fifo_again(ctx: &mut SyscallContext<'_>, request: &OpenRequest) -> SyscallResult {
    let file = ctx.progress.half_open.clone().ok_or(Errno::EINTR)?;
    let pipe = Arc::clone(file.downcast::<PipeEnd>().ok_or(Errno::EINTR)?.pipe());
    let opens = pipe.opens();
    let other = if request.flags & o::ACCMODE == o::RDONLY { opens.1 } else { opens.0 };
    let seen = u64::try_from(ctx.progress.done).unwrap_or(u64::MAX);
    if other > seen
        && (!bevor_abi::mutated!("open/fifo-writer-waits") || {
            let (r, w) = pipe.ends();
            r > 0 && w > 0
        })
    {
        ctx.progress.half_open = None;
        return install(ctx, file, request.flags & o::CLOEXEC != 0 && !bevor_abi::mutated!("open/fifo-cloexec"));
    }
    wait_fifo(ctx, &pipe)
}

/// open(2)'s and openat(2)'s way of reading flags: unknown ones are ignored.
fn lenient(flags: u32, mode: u32) -> Result<OpenRequest, Errno> {
    let mut flags = flags & o::VALID;
    if flags & o::PATH != 0 {
        flags &= o::PATH | o::DIRECTORY | o::NOFOLLOW | o::CLOEXEC;
    } else {
        // As for every 64-bit program.
        flags |= o::LARGEFILE;
    }
    flags = with_data_sync(flags);
    check_flags(flags)?;
    let mode = if flags & (o::CREAT | o::TMPFILE_BIT) != 0 { mode & mode::ALL } else { 0 };
    Ok(OpenRequest { flags, mode, resolve: WalkFlags::empty() })
}

/// The half of O_SYNC that is new says what the old one does, too.
fn with_data_sync(flags: u32) -> u32 {
    flags | if flags & o::SYNC_BIT != 0 { o::DSYNC } else { 0 }
}

fn check_flags(flags: u32) -> Result<(), Errno> {
    if flags & o::TMPFILE_BIT != 0 {
        if flags & o::TMPFILE != o::TMPFILE
            || flags & o::CREAT != 0
            || flags & o::ACCMODE == o::RDONLY && !bevor_abi::mutated!("openat/tmpfile-rdonly")
        {
            return Err(Errno::EINVAL);
        }
    } else if flags & (o::CREAT | o::DIRECTORY) == o::CREAT | o::DIRECTORY {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

/// open(2).
pub fn open(ctx: &mut SyscallContext<'_>, path: UserAddr, flags: u32, mode: u32) -> SyscallResult {
    open_common(ctx, Fd::CWD, path, lenient(flags, mode)?)
}

/// openat(2).
pub fn openat(ctx: &mut SyscallContext<'_>, dirfd: Fd, path: UserAddr, flags: u32, mode: u32) -> SyscallResult {
    open_common(ctx, dirfd, path, lenient(flags, mode)?)
}

/// creat(2).
pub fn creat(ctx: &mut SyscallContext<'_>, path: UserAddr, mode: u32) -> SyscallResult {
    open_common(ctx, Fd::CWD, path, lenient(o::CREAT | o::WRONLY | bevor_abi::mutant!("creat/keeps", o::TRUNC, 0), mode)?)
}

/// `struct open_how`.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct OpenHow {
    flags: u64,
    mode: u64,
    resolve: u64,
}

/// openat2(2).
pub fn openat2(ctx: &mut SyscallContext<'_>, dirfd: Fd, path: UserAddr, how: UserAddr, size: usize) -> SyscallResult {
    if size < size_of::<OpenHow>() {
        return Err(Errno::EINVAL.into());
    }
    if size > 4096 {
        return Err(Errno::E2BIG.into());
    }
    let mut extra = vec![0; size];
    ctx.copy_in(how, &mut extra)?;
    if extra[size_of::<OpenHow>()..].iter().any(|b| *b != 0) && !bevor_abi::mutated!("openat2/trailing") {
        return Err(Errno::E2BIG.into());
    }
    let (how, _) = OpenHow::read_from_prefix(&extra).map_err(|_| Errno::EINVAL)?;
    let flags = u32::try_from(how.flags).map_err(|_| Errno::EINVAL)?;
    if flags & !o::VALID != 0 || how.resolve & !resolve::VALID != 0 {
        return Err(Errno::EINVAL.into());
    }
    let creating = flags & (o::CREAT | o::TMPFILE_BIT) != 0;
    if how.mode & !u64::from(mode::ALL) != 0
        || (!creating && !bevor_abi::mutated!("openat2/mode-without-create") && how.mode != 0)
    {
        return Err(Errno::EINVAL.into());
    }
    if flags & o::PATH != 0 && flags & !(o::PATH | o::DIRECTORY | o::NOFOLLOW | o::CLOEXEC) != 0 {
        return Err(Errno::EINVAL.into());
    }
    check_flags(flags)?;
    if how.resolve & (resolve::BENEATH | resolve::IN_ROOT) == resolve::BENEATH | resolve::IN_ROOT
        && !bevor_abi::mutated!("openat2/beneath-in-root")
    {
        return Err(Errno::EINVAL.into());
    }
    let mut walk = WalkFlags::empty();
    for (bit, flag) in [
        (resolve::NO_XDEV, WalkFlags::NO_XDEV),
        (resolve::NO_MAGICLINKS, WalkFlags::NO_MAGICLINKS),
        (resolve::NO_SYMLINKS, bevor_abi::mutant!("openat2/no-symlinks", WalkFlags::NO_SYMLINKS, WalkFlags::empty())),
        (resolve::BENEATH, WalkFlags::BENEATH),
        (resolve::IN_ROOT, WalkFlags::IN_ROOT),
        (resolve::CACHED, WalkFlags::CACHED),
    ] {
        walk.set(flag, how.resolve & bit != 0);
    }
    if walk.contains(WalkFlags::CACHED) && flags & (o::TRUNC | o::CREAT | o::TMPFILE_BIT) != 0 {
        return Err(Errno::EAGAIN.into());
    }
    let flags = if flags & o::PATH != 0 { flags } else { with_data_sync(flags) | o::LARGEFILE };
    let request = OpenRequest { flags, mode: u32::try_from(how.mode).map_err(|_| Errno::EINVAL)?, resolve: walk };
    open_scoped(ctx, dirfd, path, request)
}

/// Under RESOLVE_IN_ROOT an absolute path starts at `dirfd` as well.
fn open_scoped(ctx: &mut SyscallContext<'_>, dirfd: Fd, path: UserAddr, request: OpenRequest) -> SyscallResult {
    if !request.resolve.intersects(WalkFlags::IN_ROOT | WalkFlags::BENEATH) || dirfd == Fd::CWD {
        return open_common(ctx, dirfd, path, request);
    }
    let text = ctx.copy_in_path(path)?;
    let start = ctx.file_any(dirfd)?.path().clone();
    let env = Env::new(ctx);
    match env.fs.open(Some(&start), &text, env.caller(), &request)? {
        Opened::File(file) => install(ctx, file, request.flags & o::CLOEXEC != 0),
        Opened::Fifo(place) => open_fifo(ctx, &place, request.flags | o::NONBLOCK),
    }
}

/// close(2).
pub fn close(ctx: &mut SyscallContext<'_>, fd: Fd) -> SyscallResult {
    let file = ctx.task.files.lock().remove(fd)?;
    ctx.files().after_remove(&file)?;
    Ok(0)
}

/// close_range(2).
pub fn close_range(ctx: &mut SyscallContext<'_>, first: u32, last: u32, flags: u32) -> SyscallResult {
    const UNSHARE: u32 = 2;
    const CLOEXEC: u32 = 4;
    if flags & !(UNSHARE | CLOEXEC) != 0 || first > last {
        return Err(Errno::EINVAL.into());
    }
    if flags & UNSHARE != 0 && !bevor_abi::mutated!("close_range/not-unshared") {
        let mut files = ctx.task.files.lock();
        if Arc::strong_count(&files) > 1 {
            let own = files.fork()?;
            *files = own;
        }
    }
    ctx.files().close_range(first, last, flags & CLOEXEC != 0);
    Ok(0)
}

/// pipe2(2).
pub fn pipe2(ctx: &mut SyscallContext<'_>, fds: UserAddr, flags: u32) -> SyscallResult {
    if flags & !(o::CLOEXEC | o::NONBLOCK | o::DIRECT) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let env = Env::new(ctx);
    let ends = Pipe::create(&env.fs.ns.vfs, flags & (o::NONBLOCK | o::DIRECT), env.owner());
    install_pair(ctx, ends, flags & o::CLOEXEC != 0, fds)
}

/// pipe(2).
pub fn pipe(ctx: &mut SyscallContext<'_>, fds: UserAddr) -> SyscallResult {
    pipe2(ctx, fds, 0)
}

/// Puts two files into the table and their numbers to `out`; neither stays if that fails.
///
/// # Errors
/// EMFILE, EFAULT.
pub fn install_pair(ctx: &SyscallContext<'_>, files: [Arc<File>; 2], cloexec: bool, out: UserAddr) -> SyscallResult {
    let table = ctx.files();
    let [a, b] = table.alloc_pair(files, cloexec, hooks::nofile_limit(ctx))?;
    if let Err(e) = ctx.copy_out_now(out, [a.0, b.0].as_bytes()) {
        for fd in [a, b].into_iter().filter(|_| !bevor_abi::mutated!("pipe/efault-leak")) {
            table.close(fd).ok();
        }
        return Err(e.into());
    }
    Ok(0)
}
