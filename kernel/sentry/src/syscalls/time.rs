//! Clocks, sleeps, interval timers.

use std::sync::Arc;

use bevor_abi::process::RLIMIT_SIGPENDING;
use bevor_abi::signal::{NSIG, SIGALRM, SIGEV_NONE, SIGEV_SIGNAL, SIGEV_THREAD, SIGEV_THREAD_ID};
use bevor_abi::{Errno, UserAddr};
use bevor_core::context::{SyscallContext, Wakeup};
use bevor_core::error::{Restart, SyscallResult};
use bevor_core::memory::Kind;
use bevor_core::signal::info::SigInfo;
use bevor_core::signal::itimer::{IntervalTimer, TimerClock, TimerTarget};
use bevor_core::task::CpuTime;
use bevor_core::time::Instant;
use bevor_hostcall::clock;
use zerocopy::IntoBytes;

const NANOS: u64 = 1_000_000_000;
/// Longer times count as this one, in nanoseconds (Linux's KTIME_MAX): sums with a clock fit.
const FOREVER: u64 = i64::MAX.cast_unsigned();
const REALTIME: i32 = 0;
const MONOTONIC: i32 = 1;
const PROCESS_CPUTIME: i32 = 2;
const THREAD_CPUTIME: i32 = 3;
const BOOTTIME: i32 = 7;
const REALTIME_ALARM: i32 = 8;
const BOOTTIME_ALARM: i32 = 9;
const TAI: i32 = 11;
const TIMER_ABSTIME: i32 = 1;

/// Nanoseconds of a `struct timespec`'s fields.
///
/// # Errors
/// EINVAL for a negative time or a fraction that is none.
pub fn timespec_nanos([sec, nsec]: [i64; 2]) -> Result<u64, Errno> {
    let sec = u64::try_from(sec).map_err(|_| Errno::EINVAL)?;
    let nsec = u64::try_from(nsec)
        .ok()
        .filter(|n| bevor_abi::mutant!("timer/nsec-boundary", *n < NANOS, *n <= NANOS))
        .ok_or(Errno::EINVAL)?;
    Ok(sec.saturating_mul(NANOS).saturating_add(nsec).min(FOREVER))
}

/// Copies a `struct timespec` in, as nanoseconds.
///
/// # Errors
/// EFAULT, EINVAL.
pub fn copy_in_timespec(ctx: &SyscallContext<'_>, addr: UserAddr) -> Result<u64, Errno> {
    timespec_nanos(ctx.copy_in_value(addr)?)
}

fn parts(nanos: u64, unit: u64) -> [i64; 2] {
    let to = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    [to(nanos / NANOS), to(nanos % NANOS / unit)]
}

fn copy_out_timespec(ctx: &SyscallContext<'_>, addr: UserAddr, nanos: u64) -> Result<(), Errno> {
    ctx.copy_out_value(addr, &parts(nanos, 1))
}

fn total(time: CpuTime) -> u64 {
    time.user.saturating_add(time.system)
}

/// The CPU time that a dynamic clock id (clock_getcpuclockid(3)) names.
fn dynamic_clock(ctx: &SyscallContext<'_>, id: i32) -> Result<u64, Errno> {
    let (pid, thread, kind) = (!(id >> 3), id & 4 != 0, id & 3);
    if kind == 3 {
        return Err(Errno::EINVAL);
    }
    let tree = ctx.task.kernel.tree.lock();
    if thread {
        let task = if pid == 0 { Some(Arc::clone(ctx.task)) } else { tree.task(pid) };
        let task =
            task.filter(|t| bevor_abi::mutated!("clock/foreign-thread") || t.pid() == ctx.task.pid()).ok_or(Errno::EINVAL)?;
        drop(tree);
        return Ok(total(task.cpu_time()));
    }
    let pid = if pid == 0 || bevor_abi::mutated!("clock/process-own") { ctx.task.pid() } else { pid };
    let group = tree.process(pid).map(|p| Arc::clone(&p.group)).ok_or(Errno::EINVAL)?;
    drop(tree);
    Ok(total(group.cpu_time()))
}

fn read_clock(ctx: &SyscallContext<'_>, id: i32) -> Result<u64, Errno> {
    match id {
        PROCESS_CPUTIME => Ok(total(ctx.task.group.cpu_time())),
        THREAD_CPUTIME => Ok(total(ctx.task.cpu_time())),
        0..=11 => clock::gettime(id),
        i32::MIN..=-1 => dynamic_clock(ctx, id),
        _ => Err(Errno::EINVAL),
    }
}

/// clock_gettime(2).
pub fn clock_gettime(ctx: &mut SyscallContext<'_>, id: i32, ts: UserAddr) -> SyscallResult {
    let now = read_clock(ctx, id)?;
    copy_out_timespec(ctx, ts, now)?;
    Ok(0)
}

/// clock_getres(2).
pub fn clock_getres(ctx: &mut SyscallContext<'_>, id: i32, ts: UserAddr) -> SyscallResult {
    let resolution = match id {
        // What the vDSO answers; for the others libc would make a host call, and their answer is always the same.
        0 | 1 | 4..=7 | 11 => clock::getres(id)?,
        2 | 3 | 8 | 9 => bevor_abi::mutant!("clock_getres/cpu", 1, 1_000_000),
        i32::MIN..=-1 => dynamic_clock(ctx, id).map(|_| 1)?,
        _ => return Err(Errno::EINVAL.into()),
    };
    if !ts.is_null() {
        copy_out_timespec(ctx, ts, resolution)?;
    }
    Ok(0)
}

/// gettimeofday(2).
pub fn gettimeofday(ctx: &mut SyscallContext<'_>, tv: UserAddr, tz: UserAddr) -> SyscallResult {
    if !tv.is_null() {
        ctx.copy_out_value(tv, &parts(ctx.timers.realtime(), 1000))?;
    }
    if !tz.is_null() {
        ctx.copy_out_value(tz, &[0i32; 2])?;
    }
    Ok(0)
}

/// time(2).
pub fn time(ctx: &mut SyscallContext<'_>, at: UserAddr) -> SyscallResult {
    let seconds = ctx.timers.realtime() / NANOS;
    if !at.is_null() {
        ctx.copy_out_value(at, &seconds)?;
    }
    Ok(seconds)
}

/// times(2).
pub fn times(ctx: &mut SyscallContext<'_>, buf: UserAddr) -> SyscallResult {
    if !buf.is_null() {
        let own = ctx.task.group.cpu_time().ticks();
        let children = bevor_abi::mutant!("times/children", ctx.task.group.times.lock().children.ticks(), (0, 0));
        ctx.copy_out_value(buf, &[own.0, own.1, children.0, children.1])?;
    }
    Ok(ctx.timers.now().0 / bevor_abi::mutant!("times/unit", 10_000_000, 1_000_000))
}

/// Sleeps until `progress.deadline`; on a signal stores the rest at `rem`.
fn sleep_until(ctx: &mut SyscallContext<'_>, deadline: Instant, rem: UserAddr, restart: Restart) -> SyscallResult {
    let now = ctx.timers.now();
    if ctx.wakeup == Wakeup::TimedOut || deadline <= now {
        return Ok(0);
    }
    if ctx.wakeup == Wakeup::Interrupted && !rem.is_null() {
        copy_out_timespec(ctx, rem, deadline.0 - now.0)?;
    }
    Err(ctx.block_on(&[], Some(deadline), restart))
}

/// nanosleep(2).
pub fn nanosleep(ctx: &mut SyscallContext<'_>, request: UserAddr, rem: UserAddr) -> SyscallResult {
    clock_nanosleep(ctx, MONOTONIC, 0, request, rem)
}

/// clock_nanosleep(2).
pub fn clock_nanosleep(ctx: &mut SyscallContext<'_>, id: i32, flags: i32, request: UserAddr, rem: UserAddr) -> SyscallResult {
    match id {
        REALTIME | MONOTONIC | BOOTTIME | TAI | PROCESS_CPUTIME => {}
        REALTIME_ALARM | BOOTTIME_ALARM => return Err(Errno::EPERM.into()),
        // CLOCK_THREAD_CPUTIME_ID, MONOTONIC_RAW and the coarse ones.
        3..=6 => return Err(bevor_abi::mutant!("clock_nanosleep/errno", Errno::EOPNOTSUPP, Errno::EINVAL).into()),
        _ => return Err(Errno::EINVAL.into()),
    }
    let absolute = flags & TIMER_ABSTIME != 0;
    let deadline = match ctx.progress.deadline {
        Some(deadline) => deadline,
        None => {
            let time = copy_in_timespec(ctx, request)?;
            let after = if absolute { time.saturating_sub(read_clock(ctx, id)?) } else { time };
            let deadline = Instant(ctx.timers.now().0.saturating_add(after));
            ctx.progress.deadline = Some(deadline);
            deadline
        }
    };
    if absolute {
        return sleep_until(ctx, deadline, bevor_abi::mutant!("nanosleep/absolute-rest", UserAddr(0), rem), Restart::IfNoHandler);
    }
    let rem = if bevor_abi::mutated!("nanosleep/rest-stale") && ctx.wakeup == Wakeup::Interrupted && !rem.is_null() {
        let whole = copy_in_timespec(ctx, request)?;
        copy_out_timespec(ctx, rem, whole)?;
        UserAddr(0)
    } else {
        rem
    };
    sleep_until(ctx, deadline, rem, Restart::Block)
}

fn itimer(ctx: &SyscallContext<'_>, which: i32) -> Result<Arc<IntervalTimer>, Errno> {
    let group = &ctx.task.group;
    group.itimers.lock().slot(&ctx.task.kernel, group, which).ok_or(Errno::EINVAL)
}

/// `struct itimerval`: interval, then value, in microseconds (rounded up so that an armed timer never shows zero).
fn itimerval((left, interval): (u64, u64)) -> [[i64; 2]; 2] {
    let round = |n: u64| n.div_ceil(1000).saturating_mul(1000);
    bevor_abi::mutant!(
        "itimer/swapped",
        [parts(interval, 1000), parts(round(left), 1000)],
        [parts(round(left), 1000), parts(interval, 1000)]
    )
}

/// alarm(2).
pub fn alarm(ctx: &mut SyscallContext<'_>, seconds: u32) -> SyscallResult {
    let timer = itimer(ctx, 0)?;
    let interval = bevor_abi::mutant!("alarm/interval-kept", 0, timer.get().1);
    let (left, _) = timer.set(u64::from(seconds) * NANOS, interval);
    // Linux rounds to the nearest second, but never an armed timer to zero.
    let rounded = left.saturating_add(bevor_abi::mutant!("alarm/rounding", NANOS / 2, 0)) / NANOS;
    Ok(if left > 0 { rounded.max(1) } else { 0 })
}

/// getitimer(2).
pub fn getitimer(ctx: &mut SyscallContext<'_>, which: i32, value: UserAddr) -> SyscallResult {
    let timer = itimer(ctx, which)?;
    ctx.copy_out_value(value, &itimerval(timer.get()))?;
    Ok(0)
}

/// setitimer(2).
pub fn setitimer(ctx: &mut SyscallContext<'_>, which: i32, new: UserAddr, old: UserAddr) -> SyscallResult {
    let value: [[i64; 2]; 2] =
        if new.is_null() && !bevor_abi::mutated!("itimer/null-faults") { [[0; 2]; 2] } else { ctx.copy_in_value(new)? };
    let nanos = |[sec, usec]: [i64; 2]| {
        let usec = Some(usec)
            .filter(|u| (0..bevor_abi::mutant!("itimer/microseconds", 1_000_000, 1_000_001)).contains(u))
            .ok_or(Errno::EINVAL)?;
        timespec_nanos(bevor_abi::mutant!(
            "itimer/microseconds",
            [sec, usec * 1000],
            [sec + usec / 1_000_000, usec % 1_000_000 * 1000]
        ))
    };
    let (interval, after) = (nanos(value[0])?, nanos(value[1])?);
    // The real one forgets its interval when it is disarmed, the others do not.
    let interval = if (which == 0 || bevor_abi::mutated!("itimer/disarm-others")) && after == 0 { 0 } else { interval };
    let before = itimer(ctx, which)?.set(after, interval);
    if !old.is_null() {
        ctx.copy_out_value(old, &itimerval(before))?;
    }
    Ok(0)
}

fn posix_timer(ctx: &SyscallContext<'_>, id: i32) -> Result<Arc<IntervalTimer>, Errno> {
    ctx.task.group.itimers.lock().posix.get(&id).cloned().ok_or(Errno::EINVAL)
}

/// Parses a `struct sigevent` (null: SIGALRM to the process with the timer's id as value).
fn timer_target(ctx: &SyscallContext<'_>, event: UserAddr, id: i32) -> Result<TimerTarget, Errno> {
    if event.is_null() {
        let value = bevor_abi::mutant!("timer/null-event", u64::try_from(id).unwrap_or(0), 0);
        return Ok(TimerTarget::Process(SigInfo::timer(SIGALRM, id, 0, value)));
    }
    let value: u64 = ctx.copy_in_value(event)?;
    let [signo, notify, tid]: [i32; 3] = ctx.copy_in_value(event.add(8)?)?;
    if notify == SIGEV_NONE {
        return Ok(TimerTarget::None);
    }
    if !(bevor_abi::mutant!("timer/event-signal", 1, 0)..=NSIG).contains(&signo) {
        return Err(Errno::EINVAL);
    }
    let info = SigInfo::timer(signo, id, 0, value);
    match notify {
        // SIGEV_THREAD is for libc, which makes the thread.
        SIGEV_SIGNAL | SIGEV_THREAD => Ok(TimerTarget::Process(info)),
        SIGEV_THREAD_ID => {
            let task = ctx.task.kernel.tree.lock().task(tid);
            let task =
                task.filter(|t| bevor_abi::mutated!("timer/foreign-thread") || t.pid() == ctx.task.pid()).ok_or(Errno::EINVAL)?;
            Ok(bevor_abi::mutant!(
                "timer/thread-event",
                TimerTarget::Thread(info, Arc::downgrade(&task)),
                TimerTarget::Process(info)
            ))
        }
        _ => Err(Errno::EINVAL),
    }
}

/// timer_create(2).
pub fn timer_create(ctx: &mut SyscallContext<'_>, id: i32, event: UserAddr, out: UserAddr) -> SyscallResult {
    let clock = match id {
        REALTIME | MONOTONIC | BOOTTIME | TAI => TimerClock::Monotonic,
        PROCESS_CPUTIME => TimerClock::Process,
        REALTIME_ALARM | BOOTTIME_ALARM => return Err(Errno::EPERM.into()),
        // The clock of a thread, MONOTONIC_RAW and the coarse ones.
        THREAD_CPUTIME..=6 => return Err(Errno::EOPNOTSUPP.into()),
        _ => return Err(Errno::EINVAL.into()),
    };
    let limit = ctx.task.group.rlimit(RLIMIT_SIGPENDING).cur;
    let place = ctx.task.kernel.memory().object_for(Kind::Timer, ctx.task.creds().uid, limit)?;
    let number = ctx.task.group.itimers.lock().next_id();
    let target = timer_target(ctx, event, number)?;
    let timer = IntervalTimer::new(&ctx.task.kernel, &ctx.task.group, clock, target, Some(place));
    ctx.copy_out_now(out, number.as_bytes())?;
    timer.remember_clock(id);
    ctx.task.group.itimers.lock().posix.insert(number, timer);
    Ok(0)
}

/// timer_settime(2).
pub fn timer_settime(ctx: &mut SyscallContext<'_>, id: i32, flags: i32, new: UserAddr, old: UserAddr) -> SyscallResult {
    if new.is_null() {
        return Err(Errno::EINVAL.into());
    }
    let [interval, value]: [[i64; 2]; 2] = ctx.copy_in_value(new)?;
    let (interval, value) = (timespec_nanos(interval)?, timespec_nanos(value)?);
    // A disarmed timer forgets its interval.
    let interval = if value == 0 && !bevor_abi::mutated!("timer/disarm-interval") { 0 } else { interval };
    let timer = posix_timer(ctx, id)?;
    let (left, period) = if flags & TIMER_ABSTIME == 0 || bevor_abi::mutated!("timer/absolute-relative") {
        timer.set(value, interval)
    } else {
        timer.set_absolute(value, read_clock(ctx, timer.clock_id())?, interval)
    };
    if !old.is_null() {
        ctx.copy_out_value(old, &[parts(period, 1), parts(left, 1)])?;
    }
    Ok(0)
}

/// timer_gettime(2).
pub fn timer_gettime(ctx: &mut SyscallContext<'_>, id: i32, value: UserAddr) -> SyscallResult {
    let (left, interval) = posix_timer(ctx, id)?.get();
    ctx.copy_out_value(value, &[parts(interval, 1), parts(left, 1)])?;
    Ok(0)
}

/// timer_getoverrun(2).
pub fn timer_getoverrun(ctx: &mut SyscallContext<'_>, id: i32) -> SyscallResult {
    Ok(posix_timer(ctx, id)?.overrun().min(0x7fff_ffff))
}

/// timer_delete(2).
pub fn timer_delete(ctx: &mut SyscallContext<'_>, id: i32) -> SyscallResult {
    let timer = ctx.task.group.itimers.lock().posix.remove(&id).ok_or(Errno::EINVAL)?;
    if !bevor_abi::mutated!("timer/deleted-runs") {
        timer.arm(None, 0);
        return Ok(0);
    }
    std::mem::forget(timer);
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_time_can_be_added_to_and_shown() {
        let longest = timespec_nanos([i64::MAX, 999_999_999]).unwrap();
        assert_eq!(timespec_nanos([9_223_372_036, 854_775_808]), Ok(longest));
        assert!(longest.checked_add(longest).is_some());
        // As Linux shows them.
        assert_eq!(itimerval((0, longest))[0], [9_223_372_036, 854_775]);
        assert_eq!(itimerval((u64::MAX, u64::MAX))[0][0], 18_446_744_073);
        assert_eq!(itimerval((1, 0))[1], [0, 1]);
    }
}
