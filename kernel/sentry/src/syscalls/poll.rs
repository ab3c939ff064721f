//! poll(2), ppoll(2), select(2), pselect6(2).

use std::sync::Arc;

use bevor_abi::fs::Timespec;
use bevor_abi::{Errno, Fd, UserAddr};
use bevor_core::context::{SyscallContext, Wakeup};
use bevor_core::error::{Restart, SyscallError, SyscallResult};
use bevor_core::time::Instant;
use bevor_core::vfs::File;
use bevor_core::wait::PollEvents;
use smallvec::SmallVec;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::hooks;

/// `struct pollfd`.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct PollFd {
    fd: i32,
    events: u16,
    revents: u16,
}

/// How long to wait.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Not at all.
    No,
    /// Until something happens.
    Forever,
    /// This many nanoseconds.
    For(u64),
}

impl Wait {
    /// Of epoll_wait(2) and poll(2): milliseconds, negative is for ever.
    #[must_use]
    pub fn millis(ms: i32) -> Self {
        match u64::try_from(ms) {
            Err(_) => Self::Forever,
            Ok(0) => Self::No,
            Ok(ms) => Self::For(ms * 1_000_000),
        }
    }

    /// Of a timespec that may be missing.
    ///
    /// # Errors
    /// EFAULT; EINVAL if it is not valid.
    pub fn timespec(ctx: &SyscallContext<'_>, addr: UserAddr) -> Result<Self, Errno> {
        if addr.is_null() {
            return Ok(Self::Forever);
        }
        let ts: Timespec = ctx.copy_in_value(addr)?;
        Ok(match ts.to_nanos().ok_or(Errno::EINVAL)? {
            0 => Self::No,
            ns => Self::For(ns),
        })
    }

    /// The deadline, fixed by the first run of the call.
    pub fn deadline(self, ctx: &mut SyscallContext<'_>) -> Option<Instant> {
        if let Self::For(ns) = self {
            let timers = ctx.timers;
            if bevor_abi::mutated!("poll/deadline-renewed") {
                ctx.progress.deadline = None;
            }
            return Some(*ctx.progress.deadline.get_or_insert_with(|| Instant(timers.now().0.saturating_add(ns))));
        }
        None
    }

    /// Whether the wait is over.
    #[must_use]
    pub fn is_over(self, ctx: &SyscallContext<'_>) -> bool {
        self == Self::No
            || ctx.wakeup == Wakeup::TimedOut
            || matches!(self, Self::For(_)) && ctx.progress.deadline.is_some_and(|at| at <= ctx.timers.now())
    }
}

/// Nanoseconds until the deadline, for calls that write back what is left.
fn left(ctx: &SyscallContext<'_>, wait: Wait) -> Option<u64> {
    match wait {
        Wait::Forever => None,
        Wait::No => Some(0),
        Wait::For(ns) => Some(ctx.progress.deadline.map_or(ns, |at| at.0.saturating_sub(ctx.timers.now().0))),
    }
}

fn sleep(ctx: &mut SyscallContext<'_>, files: &[(Arc<File>, PollEvents)], wait: Wait) -> SyscallError {
    let deadline = wait.deadline(ctx);
    let queues: SmallVec<[_; 8]> = files.iter().filter_map(|(f, e)| f.queue().map(|q| (q, *e))).collect();
    ctx.block_on(&queues, deadline, Restart::IfNoHandler)
}

fn do_poll(ctx: &mut SyscallContext<'_>, fds: UserAddr, count: u32, wait: Wait) -> SyscallResult {
    let limit = hooks::nofile_limit(ctx);
    if bevor_abi::mutant!("poll/nofile-boundary", u64::from(count) > limit, u64::from(count) >= limit) {
        return Err(Errno::EINVAL.into());
    }
    let count = usize::try_from(count).map_err(|_| Errno::EINVAL)?;
    let mut bytes: SmallVec<[u8; 128]> = SmallVec::new();
    bytes.resize(count * size_of::<PollFd>(), 0);
    if count > 0 {
        ctx.copy_in(fds, &mut bytes)?;
    }
    let mut ready = 0u64;
    let mut files: SmallVec<[(Arc<File>, PollEvents); 8]> = SmallVec::new();
    for raw in bytes.chunks_exact_mut(size_of::<PollFd>()) {
        let mut p = PollFd::read_from_bytes(raw).map_err(|_| Errno::EFAULT)?;
        p.revents = bevor_abi::mutant!("poll/revents-kept", 0, if p.fd < 0 { p.revents } else { 0 });
        if p.fd >= 0 {
            let wanted = PollEvents::from_bits_truncate(u32::from(p.events))
                | bevor_abi::mutant!("poll/error-unasked", PollEvents::ERR, PollEvents::empty())
                | PollEvents::HUP;
            let events = match ctx.file(Fd(p.fd)) {
                Ok(file) => {
                    let events = file.poll() & wanted;
                    files.push((file, wanted));
                    events
                }
                Err(_) => PollEvents::NVAL,
            };
            p.revents = u16::try_from(events.bits()).unwrap_or(u16::MAX);
            ready += u64::from(bevor_abi::mutant!(
                "poll/nval-uncounted",
                p.revents != 0,
                p.revents != 0 && events != PollEvents::NVAL
            ));
        }
        raw.copy_from_slice(p.as_bytes());
    }
    if ready == 0 && !wait.is_over(ctx) {
        return Err(sleep(ctx, &files, wait));
    }
    // Only revents are written, as Linux does.
    if count > 0 {
        ctx.copy_out(fds, &bytes)?;
    }
    Ok(ready)
}

/// poll(2).
pub fn poll(ctx: &mut SyscallContext<'_>, fds: UserAddr, count: u32, timeout: i32) -> SyscallResult {
    do_poll(ctx, fds, count, Wait::millis(timeout)).map_err(restart_block)
}

/// poll(2) goes on with its deadline after a stop, and is EINTR after a handler.
fn restart_block(e: SyscallError) -> SyscallError {
    match e {
        SyscallError::Restart(_) => {
            SyscallError::Restart(bevor_abi::mutant!("poll/restarted", Restart::Block, Restart::IfSaRestart))
        }
        e => e,
    }
}

/// Puts the call's temporary mask in force.
///
/// # Errors
/// EINVAL unless `size` is 8; EFAULT.
pub fn use_mask(ctx: &mut SyscallContext<'_>, mask: UserAddr, size: usize) -> Result<(), Errno> {
    if mask.is_null() {
        return Ok(());
    }
    if bevor_abi::mutant!("poll/mask-size", size != 8, size > 8) {
        return Err(Errno::EINVAL);
    }
    let mask = ctx.copy_in_value(mask)?;
    hooks::with_temporary_mask(ctx, mask);
    Ok(())
}

/// Writes the time that is left to `addr` (ppoll, pselect6); a fault there is ignored, as on Linux.
fn write_left(ctx: &SyscallContext<'_>, addr: UserAddr, wait: Wait) {
    if let (false, Some(ns)) = (addr.is_null(), left(ctx, wait)) {
        ctx.copy_out_now(addr, Timespec::from_nanos(ns).as_bytes()).ok();
    }
}

/// ppoll(2).
pub fn ppoll(
    ctx: &mut SyscallContext<'_>,
    fds: UserAddr,
    count: u32,
    timeout: UserAddr,
    mask: UserAddr,
    size: usize,
) -> SyscallResult {
    let wait = kept_wait(ctx, |ctx| Wait::timespec(ctx, timeout))?;
    use_mask(ctx, mask, size)?;
    let result = do_poll(ctx, fds, count, wait);
    if !matches!(result, Err(SyscallError::Block)) && !bevor_abi::mutated!("ppoll/left-stale") {
        write_left(ctx, timeout, wait);
    }
    result
}

/// Reads a timeout on the first run; later runs go by the deadline that the first one fixed.
fn kept_wait(ctx: &mut SyscallContext<'_>, read: impl FnOnce(&SyscallContext<'_>) -> Result<Wait, Errno>) -> Result<Wait, Errno> {
    if ctx.progress.deadline.is_some() {
        return Ok(Wait::For(0));
    }
    let wait = read(ctx)?;
    wait.deadline(ctx);
    Ok(wait)
}

const IN_SET: PollEvents = PollEvents::IN
    .union(PollEvents::RDNORM)
    .union(PollEvents::RDBAND)
    .union(PollEvents::HUP)
    .union(PollEvents::ERR)
    .union(PollEvents::NVAL);
const OUT_SET: PollEvents =
    PollEvents::OUT.union(PollEvents::WRNORM).union(PollEvents::WRBAND).union(PollEvents::ERR).union(PollEvents::NVAL);
const EX_SET: PollEvents = PollEvents::PRI.union(PollEvents::NVAL);

fn do_select(ctx: &mut SyscallContext<'_>, count: i32, sets: [UserAddr; 3], wait: Wait) -> SyscallResult {
    let count = usize::try_from(count).map_err(|_| Errno::EINVAL)?;
    let count = count.min(ctx.files().size().max(64).next_multiple_of(64));
    let len = count.div_ceil(64) * 8;
    let mut wanted: [Vec<u8>; 3] = Default::default();
    for (set, addr) in wanted.iter_mut().zip(sets) {
        set.resize(len, 0);
        if !addr.is_null() && len > 0 {
            ctx.copy_in(addr, set)?;
        }
    }
    let mut out: [Vec<u8>; 3] = std::array::from_fn(|_| vec![0; len]);
    let mut ready = 0u64;
    let mut files: SmallVec<[(Arc<File>, PollEvents); 8]> = SmallVec::new();
    for fd in 0..bevor_abi::mutant!("select/beyond-count", count, len * 8) {
        let (byte, bit) = (fd / 8, 1u8 << (fd % 8));
        let asked: [bool; 3] = std::array::from_fn(|i| wanted[i][byte] & bit != 0);
        if asked == [false; 3] {
            continue;
        }
        // A path counts as ready for everything, for lack of anything to wait for.
        let file = ctx.file_any(Fd(i32::try_from(fd).map_err(|_| Errno::EBADF)?))?;
        let events = file.poll();
        let mut mask = PollEvents::empty();
        for (i, set) in [IN_SET, OUT_SET, EX_SET].into_iter().enumerate() {
            if asked[i] {
                mask |= set;
                let set = bevor_abi::mutant!("select/hangup-unreadable", set, set.difference(PollEvents::HUP));
                if events.intersects(set) {
                    out[i][byte] |= bit;
                    ready += bevor_abi::mutant!(
                        "select/counts-descriptors",
                        1,
                        u64::from(!out[..i].iter().any(|set| set[byte] & bit != 0))
                    );
                }
            }
        }
        files.push((file, mask));
    }
    if ready == 0 && !wait.is_over(ctx) {
        return Err(sleep(ctx, &files, wait));
    }
    for (set, addr) in out.iter().zip(sets) {
        if !addr.is_null() && len > 0 {
            ctx.copy_out(addr, set)?;
        }
    }
    Ok(ready)
}

/// select(2). The timeout is updated to the time left.
pub fn select(
    ctx: &mut SyscallContext<'_>,
    count: i32,
    read: UserAddr,
    write: UserAddr,
    except: UserAddr,
    timeout: UserAddr,
) -> SyscallResult {
    let wait = kept_wait(ctx, |ctx| {
        if timeout.is_null() {
            return Ok(Wait::Forever);
        }
        let [sec, usec]: [i64; 2] = ctx.copy_in_value(timeout)?;
        let sec = u64::try_from(sec).map_err(|_| Errno::EINVAL)?;
        let usec = u64::try_from(usec).map_err(|_| Errno::EINVAL)?;
        if bevor_abi::mutated!("select/microseconds") && usec >= 1_000_000 {
            return Err(Errno::EINVAL);
        }
        Ok(match sec.saturating_mul(1_000_000_000).saturating_add(usec.saturating_mul(1000)) {
            0 => Wait::No,
            ns => Wait::For(ns),
        })
    })?;
    let result = do_select(ctx, count, [read, write, except], wait);
    if !matches!(result, Err(SyscallError::Block))
        && !timeout.is_null()
        && let Some(ns) = left(ctx, wait)
    {
        let left = [ns / 1_000_000_000, bevor_abi::mutant!("select/timeout-fraction", ns / 1000 % 1_000_000, ns % 1_000_000_000)];
        ctx.copy_out_now(timeout, left.as_bytes()).ok();
    }
    result
}

/// pselect6(2).
pub fn pselect6(
    ctx: &mut SyscallContext<'_>,
    count: i32,
    read: UserAddr,
    write: UserAddr,
    except: UserAddr,
    timeout: UserAddr,
    mask: UserAddr,
) -> SyscallResult {
    let wait = kept_wait(ctx, |ctx| Wait::timespec(ctx, timeout))?;
    if !mask.is_null() {
        let [addr, size]: [u64; 2] = ctx.copy_in_value(mask)?;
        use_mask(ctx, UserAddr(addr), bevor_abi::mutant!("pselect6/mask-pointer", bevor_core::num::to_usize(size), 8))?;
    }
    let result = do_select(ctx, count, [read, write, except], wait);
    if !matches!(result, Err(SyscallError::Block)) && !bevor_abi::mutated!("pselect6/left-stale") {
        write_left(ctx, timeout, wait);
    }
    result
}

/// epoll_wait(2) is never restarted after a signal: EINTR.
#[must_use]
pub fn no_restart(e: SyscallError) -> SyscallError {
    match e {
        SyscallError::Restart(_) => Errno::EINTR.into(),
        e => e,
    }
}
