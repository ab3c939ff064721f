//! eventfd(2), epoll(7), timerfd(2), memfd_create(2).

use bevor_abi::fs::{Timespec, o};
use bevor_abi::{Errno, Fd, UserAddr};
use bevor_core::context::SyscallContext;
use bevor_core::epoll::{self, Epoll};
use bevor_core::error::{Restart, SyscallResult};
use bevor_core::eventfd::EventFd;
use bevor_core::num::to_u64;
use bevor_core::timerfd::TimerFd;
use bevor_core::wait::PollEvents;
use bevor_fs::tmpfs::TmpFs;

use super::hooks::Env;
use super::open::install;
use super::poll::{Wait, use_mask};

/// eventfd2(2).
pub fn eventfd2(ctx: &mut SyscallContext<'_>, initial: u32, flags: u32) -> SyscallResult {
    const SEMAPHORE: u32 = 1;
    if flags & !(SEMAPHORE | o::NONBLOCK | o::CLOEXEC) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let env = Env::new(ctx);
    let file = EventFd::create(&env.fs.ns.vfs, initial, flags & SEMAPHORE != 0, flags, env.owner());
    install(ctx, file, flags & o::CLOEXEC != 0)
}

/// eventfd(2).
pub fn eventfd(ctx: &mut SyscallContext<'_>, initial: u32) -> SyscallResult {
    eventfd2(ctx, initial, 0)
}

/// epoll_create1(2).
pub fn epoll_create1(ctx: &mut SyscallContext<'_>, flags: u32) -> SyscallResult {
    if flags & !o::CLOEXEC != 0 {
        return Err(Errno::EINVAL.into());
    }
    let env = Env::new(ctx);
    let file = Epoll::create(&env.fs.ns.vfs, env.owner(), env.creds.uid)?;
    install(ctx, file, flags & o::CLOEXEC != 0)
}

/// epoll_create(2).
pub fn epoll_create(ctx: &mut SyscallContext<'_>, size: i32) -> SyscallResult {
    if size <= 0 {
        return Err(Errno::EINVAL.into());
    }
    epoll_create1(ctx, 0)
}

/// Size of `struct epoll_event`, which is packed on x86-64.
const EVENT: usize = 12;

/// epoll_ctl(2).
pub fn epoll_ctl(ctx: &mut SyscallContext<'_>, epfd: Fd, op: u32, fd: Fd, event: UserAddr) -> SyscallResult {
    const ADD: u32 = 1;
    const DEL: u32 = 2;
    const MOD: u32 = 3;
    let (mut wanted, mut data) = (0, 0);
    if bevor_abi::mutated!("epoll/fault-first") {
        ctx.file(epfd)?;
        ctx.file(fd)?;
    }
    if op != DEL || bevor_abi::mutated!("epoll/del-event") {
        let mut raw = [0; EVENT];
        ctx.copy_in(event, &mut raw)?;
        let (events, rest) = raw.split_at(4);
        wanted = events.first_chunk().map_or(0, |b| u32::from_le_bytes(*b));
        data = rest.first_chunk().map_or(0, |b| u64::from_le_bytes(*b));
    }
    let me = ctx.file(epfd)?;
    let file = ctx.file(fd)?;
    if file.queue().is_none() {
        return Err(Errno::EPERM.into());
    }
    let instance = me.downcast::<Epoll>().filter(|_| me.id() != file.id()).ok_or(Errno::EINVAL)?;
    if wanted & epoll::EXCLUSIVE != 0 {
        // EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP and the input flags only.
        const ALLOWED: u32 = 0x1 | 0x4 | 0x8 | 0x10 | epoll::WAKEUP | epoll::EDGE | epoll::EXCLUSIVE;
        if op == MOD || (op == ADD && wanted & !(ALLOWED | bevor_abi::mutant!("epoll/exclusive-oneshot", 0, epoll::ONESHOT)) != 0)
        {
            return Err(Errno::EINVAL.into());
        }
    }
    match op {
        ADD => instance.add(&me, fd.0, &file, wanted, data)?,
        MOD => instance.modify(fd.0, &file, wanted, data)?,
        DEL => instance.remove(fd.0, &file)?,
        _ => return Err(Errno::EINVAL.into()),
    }
    Ok(0)
}

fn do_epoll_wait(ctx: &mut SyscallContext<'_>, epfd: Fd, events: UserAddr, max: i32, wait: Wait) -> SyscallResult {
    let file = ctx.file(epfd)?;
    let max = usize::try_from(max).ok().filter(|n| (1..=0x7fff_ffff / EVENT).contains(n)).ok_or(Errno::EINVAL)?;
    events.add(to_u64(max * EVENT))?;
    let instance = file.downcast::<Epoll>().ok_or(Errno::EINVAL)?;
    let mut out: smallvec::SmallVec<[u8; 16 * EVENT]> = smallvec::SmallVec::new();
    let count = instance.collect(max, &mut |e| {
        out.extend_from_slice(&e.events.to_le_bytes());
        out.extend_from_slice(&e.data.to_le_bytes());
    });
    if count > 0 {
        ctx.copy_out(events, &out)?;
        return Ok(to_u64(count));
    }
    if wait.is_over(ctx) {
        return Ok(0);
    }
    let deadline = wait.deadline(ctx);
    let e = ctx.block_on(&[(instance.ready_queue(), PollEvents::IN)], deadline, Restart::IfNoHandler);
    Err(super::poll::no_restart(e))
}

/// epoll_wait(2).
pub fn epoll_wait(ctx: &mut SyscallContext<'_>, epfd: Fd, events: UserAddr, max: i32, timeout: i32) -> SyscallResult {
    do_epoll_wait(ctx, epfd, events, max, Wait::millis(timeout))
}

/// epoll_pwait(2).
pub fn epoll_pwait(
    ctx: &mut SyscallContext<'_>,
    epfd: Fd,
    events: UserAddr,
    max: i32,
    timeout: i32,
    mask: UserAddr,
    size: usize,
) -> SyscallResult {
    if !bevor_abi::mutated!("epoll/mask-ignored") {
        use_mask(ctx, mask, size)?;
    }
    do_epoll_wait(ctx, epfd, events, max, Wait::millis(timeout))
}

/// epoll_pwait2(2).
pub fn epoll_pwait2(
    ctx: &mut SyscallContext<'_>,
    epfd: Fd,
    events: UserAddr,
    max: i32,
    timeout: UserAddr,
    mask: UserAddr,
    size: usize,
) -> SyscallResult {
    let wait = Wait::timespec(ctx, timeout)?;
    if !bevor_abi::mutated!("epoll/pwait2-mask") {
        use_mask(ctx, mask, size)?;
    }
    do_epoll_wait(ctx, epfd, events, max, wait)
}

/// timerfd_create(2).
pub fn timerfd_create(ctx: &mut SyscallContext<'_>, clock: u32, flags: u32) -> SyscallResult {
    if flags & !(o::NONBLOCK | o::CLOEXEC) != 0 {
        return Err(Errno::EINVAL.into());
    }
    // CLOCK_REALTIME, MONOTONIC, BOOTTIME, REALTIME_ALARM, BOOTTIME_ALARM
    let realtime = match clock {
        0 | 8 => true,
        1 | 7 | 9 => false,
        _ => return Err(Errno::EINVAL.into()),
    };
    let env = Env::new(ctx);
    if clock >= 8 && !bevor_abi::mutated!("timerfd/alarm-anybody") && !env.creds.capable(bevor_core::creds::Capability::WakeAlarm)
    {
        return Err(Errno::EPERM.into());
    }
    let file = TimerFd::create(&env.fs.ns.vfs, realtime, flags, env.owner());
    install(ctx, file, flags & o::CLOEXEC != 0)
}

fn itimerspec((value, interval): (u64, u64)) -> [i64; 4] {
    let (v, i) = (Timespec::from_nanos(value), Timespec::from_nanos(interval));
    [i.sec, i.nsec, v.sec, v.nsec]
}

/// timerfd_settime(2).
pub fn timerfd_settime(ctx: &mut SyscallContext<'_>, fd: Fd, flags: u32, new: UserAddr, old: UserAddr) -> SyscallResult {
    const ABSTIME: u32 = 1;
    const CANCEL_ON_SET: u32 = 2;
    let [isec, insec, vsec, vnsec]: [i64; 4] = ctx.copy_in_value(new)?;
    let nanos = |sec, nsec| Timespec { sec, nsec }.to_nanos().ok_or(Errno::EINVAL);
    let (value, interval) = (nanos(vsec, vnsec)?, nanos(isec, insec)?);
    if flags & !(ABSTIME | CANCEL_ON_SET) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let file = ctx.file(fd)?;
    let timer = file.downcast::<TimerFd>().ok_or(Errno::EINVAL)?;
    let before = timer.set(value, interval, flags & ABSTIME != 0);
    let before = bevor_abi::mutant!("timerfd/old-is-new", before, timer.get());
    if !old.is_null() {
        ctx.copy_out_value(old, &itimerspec(before))?;
    }
    Ok(0)
}

/// timerfd_gettime(2).
pub fn timerfd_gettime(ctx: &mut SyscallContext<'_>, fd: Fd, out: UserAddr) -> SyscallResult {
    let file = ctx.file(fd)?;
    let timer = file.downcast::<TimerFd>().ok_or(Errno::EINVAL)?;
    ctx.copy_out_value(out, &itimerspec(timer.get()))?;
    Ok(0)
}

/// memfd_create(2). Huge pages are not offered.
pub fn memfd_create(ctx: &mut SyscallContext<'_>, name: UserAddr, flags: u32) -> SyscallResult {
    const CLOEXEC: u32 = 1;
    const ALLOW_SEALING: u32 = 2;
    const NOEXEC_SEAL: u32 = 8;
    const EXEC: u32 = 16;
    if flags & !(CLOEXEC | ALLOW_SEALING | NOEXEC_SEAL | EXEC) != 0 || flags & (NOEXEC_SEAL | EXEC) == NOEXEC_SEAL | EXEC {
        return Err(Errno::EINVAL.into());
    }
    // 255 less "memfd:", with the NUL.
    let name = ctx.copy_in_string(name, bevor_abi::mutant!("memfd_create/name-boundary", 250, 249), Errno::EINVAL)?;
    let env = Env::new(ctx);
    let noexec = flags & NOEXEC_SEAL != 0;
    let file = TmpFs::memfd(
        &env.fs.ns.vfs,
        &name,
        if noexec { bevor_abi::mutant!("memfd_create/noexec-mode", 0o666, 0o777) } else { 0o777 },
        noexec || flags & ALLOW_SEALING != 0 || bevor_abi::mutated!("memfd_create/unsealable"),
        o::RDWR | o::LARGEFILE,
        env.owner(),
    )?;
    install(ctx, file, flags & CLOEXEC != 0)
}
