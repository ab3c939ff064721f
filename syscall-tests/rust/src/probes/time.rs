//! Clocks, sleeping, timers.

use libc::{CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID, CLOCK_REALTIME, CLOCK_THREAD_CPUTIME_ID, SIGALRM};

use super::prelude::*;

pub(super) const PROBES: &[Probe] = &[
    probe("time/clocks", &["monotonic", "realtime", "boottime", "coarse", "cpu", "cpu_short", "bad_clock", "efault"], clocks),
    probe("time/getres", &["monotonic", "coarse", "null", "bad_clock"], getres),
    probe("time/agree", &["gettimeofday", "time", "time_pointer"], agree),
    probe("time/nanosleep", &["sleeps", "zero", "bad_nsec", "negative", "interrupted"], nanosleep),
    probe(
        "time/clock_nanosleep",
        &["relative", "absolute", "past", "cpu_clock", "bad_clock", "interrupted_absolute"],
        clock_nanosleep,
    ),
    probe("time/itimer", &["set", "fires", "replaced", "disarmed", "bad_which", "alarm", "alarm_again"], itimer),
    probe("time/posix_timer", &["create", "armed", "fires", "overrun", "deleted", "bad_clock"], posix_timer),
    probe(
        "time/timer_state",
        &["disarmed", "left", "old", "absolute", "overruns", "missing", "missing_settime", "efault"],
        timer_state,
    ),
    probe("timerfd/absolute", &["future", "past", "relative_far", "bad_flags"], timerfd_absolute),
    probe("timerfd/once", &["create", "armed", "left", "expired", "again", "poll", "short"], timerfd_once),
    probe("timerfd/interval", &["count", "disarm", "absolute_past", "bad_nsec", "bad_flags", "not_timerfd"], timerfd_interval),
];

fn read_clock(clock: i32) -> (Answer, i64) {
    let mut t = libc::timespec::zero();
    let r = sys!(clock_gettime, clock, &mut t);
    (r, t.tv_sec * 1_000_000_000 + t.tv_nsec)
}

fn clocks() {
    let ((r, a), (_, b)) = (read_clock(CLOCK_MONOTONIC), read_clock(CLOCK_MONOTONIC));
    obs("monotonic", r).state("time", time(a)).state("forward", yes(b >= a)).state("positive", yes(a > 0));
    let (r, a) = read_clock(CLOCK_REALTIME);
    obs("realtime", r).state("time", time(a)).state("after_2020", yes(a > 1_577_836_800_000_000_000));
    let ((r, boot), (_, mono)) = (read_clock(libc::CLOCK_BOOTTIME), read_clock(CLOCK_MONOTONIC));
    obs("boottime", r).state("not_behind_monotonic", yes(boot + 1000 * MS >= mono));
    let ((_, fine), (r, coarse), (_, later)) =
        (read_clock(CLOCK_MONOTONIC), read_clock(libc::CLOCK_MONOTONIC_COARSE), read_clock(CLOCK_MONOTONIC));
    obs("coarse", r).state("behind", dur(fine - coarse, -5000 * MS, 100 * MS)).state("not_ahead", yes(coarse <= later));
    let (_, before) = read_clock(CLOCK_PROCESS_CPUTIME_ID);
    let mut sum = 0_u64;
    for i in 0..2_000_000_u64 {
        sum = std::hint::black_box(sum.wrapping_add(i));
    }
    let (r, after) = read_clock(CLOCK_PROCESS_CPUTIME_ID);
    let (_, thread) = read_clock(CLOCK_THREAD_CPUTIME_ID);
    obs("cpu", r).state("advanced", rel(after, before)).state("thread_used", yes(thread > 0));
    // Each of many short turns shows, on whichever CPU the time is read.
    let mut stood = [0; 2];
    for (i, clock) in [CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID].into_iter().cycle().take(400).enumerate() {
        let (_, before) = read_clock(clock);
        for i in 0..2000_u64 {
            sum = std::hint::black_box(sum.wrapping_add(i));
        }
        stood[i % 2] += i64::from(read_clock(clock).1 <= before);
    }
    obs("cpu_short", r).state("process_stood", int(stood[0])).state("thread_stood", int(stood[1]));
    obs("bad_clock", read_clock(99).0).arg("clock", int(99));
    obs("efault", sys!(clock_gettime, CLOCK_MONOTONIC, NOWHERE));
}

fn getres() {
    let mut t = libc::timespec::zero();
    let r = sys!(clock_getres, CLOCK_MONOTONIC, &mut t);
    obs("monotonic", r).state("ns", int(t.tv_nsec)).state("s", int(t.tv_sec));
    let r = sys!(clock_getres, libc::CLOCK_MONOTONIC_COARSE, &mut t);
    obs("coarse", r).state("ns", dur(t.tv_nsec, MS, 10 * MS));
    obs("null", sys!(clock_getres, CLOCK_REALTIME, 0));
    obs("bad_clock", sys!(clock_getres, 99, &mut t)).arg("clock", int(99));
}

fn agree() {
    let mut tv = libc::timeval::zero();
    let r = sys!(gettimeofday, &mut tv, 0);
    let us = (tv.tv_sec * 1_000_000 + tv.tv_usec) * 1000;
    obs("gettimeofday", r)
        .state("apart", dur(clock_ns(CLOCK_REALTIME) - us, -MS, 2000 * MS))
        .state("usec", dur(tv.tv_usec, 0, 999_999));
    let r = sys!(time, 0);
    obs("time", r).ret(time(r.raw)).state("apart", dur(clock_ns(CLOCK_REALTIME) / 1_000_000_000 - r.raw, -1, 2));
    let mut at = 0_i64;
    let r = sys!(time, &mut at);
    obs("time_pointer", r).ret(time(r.raw)).state("same", yes(at == r.raw));
}

static HANDLED: AtomicI64 = AtomicI64::new(0);

extern "C" fn count(_: i32, _: *mut libc::siginfo_t, _: *mut libc::ucontext_t) {
    HANDLED.fetch_add(1, SeqCst);
}

/// A child that sends SIGUSR1 to this process once it sleeps.
fn interrupt_when_asleep() -> i32 {
    on_signal(libc::SIGUSR1, count, libc::SA_RESTART, 0);
    let parent = getpid();
    fork(|| {
        await_sleep(parent, parent);
        i32::from(sys!(kill, parent, libc::SIGUSR1).raw != 0)
    })
}

fn nanosleep() {
    let start = now();
    let r = sys!(nanosleep, &timespec(15 * MS), 0);
    obs("sleeps", r).state("slept", dur(now() - start, 15 * MS, 5000 * MS));
    obs("zero", sys!(nanosleep, &timespec(0), 0));
    let bad = libc::timespec { tv_sec: 0, tv_nsec: 1_000_000_000 };
    obs("bad_nsec", sys!(nanosleep, &bad, 0)).arg("nsec", int(bad.tv_nsec));
    obs("negative", sys!(nanosleep, &timespec(-1_000_000_000), 0)).arg("sec", int(-1));
    let child = interrupt_when_asleep();
    let mut left = libc::timespec::zero();
    let r = sys!(nanosleep, &timespec(8000 * MS), &mut left);
    reap(child);
    let ns = left.tv_sec * 1_000_000_000 + left.tv_nsec;
    obs("interrupted", r).state("left", dur(ns, 1, 8100 * MS)).state("handled", int(HANDLED.load(SeqCst)));
}

fn clock_nanosleep() {
    let start = now();
    let r = sys!(clock_nanosleep, CLOCK_MONOTONIC, 0, &timespec(10 * MS), 0);
    obs("relative", r).state("slept", dur(now() - start, 10 * MS, 5000 * MS));
    let at = now() + 12 * MS;
    let r = sys!(clock_nanosleep, CLOCK_MONOTONIC, libc::TIMER_ABSTIME, &timespec(at), 0);
    obs("absolute", r).arg("flags", hex(libc::TIMER_ABSTIME)).state("late", dur(now() - at, 0, 5000 * MS));
    let start = now();
    let r = sys!(clock_nanosleep, CLOCK_REALTIME, libc::TIMER_ABSTIME, &timespec(1), 0);
    obs("past", r).arg("flags", hex(libc::TIMER_ABSTIME)).state("slept", dur(now() - start, 0, 2000 * MS));
    obs("cpu_clock", sys!(clock_nanosleep, CLOCK_THREAD_CPUTIME_ID, 0, &timespec(1), 0));
    obs("bad_clock", sys!(clock_nanosleep, 99, 0, &timespec(1), 0)).arg("clock", int(99));
    let child = interrupt_when_asleep();
    let mut left = timespec(77);
    let r = sys!(clock_nanosleep, CLOCK_MONOTONIC, libc::TIMER_ABSTIME, &timespec(now() + 8000 * MS), &mut left);
    reap(child);
    obs("interrupted_absolute", r).arg("flags", hex(libc::TIMER_ABSTIME)).state("left", int(left.tv_nsec));
}

fn itimer() {
    on_signal(SIGALRM, count, 0, 0);
    mask(libc::SIG_BLOCK, bit(SIGALRM));
    let wait = || {
        let wanted = bit(SIGALRM);
        sys!(rt_sigtimedwait, &wanted, 0, &timespec(5000 * MS), 8).raw
    };
    let value = |interval: i64, us: i64| libc::itimerval {
        it_interval: libc::timeval { tv_sec: 0, tv_usec: interval },
        it_value: libc::timeval { tv_sec: us / 1_000_000, tv_usec: us % 1_000_000 },
    };
    let mut current = libc::itimerval::zero();
    let r = sys!(setitimer, 0, &value(7000, 100_000_000), 0);
    sys!(getitimer, 0, &mut current).must();
    obs("set", r).state("interval", int(current.it_interval.tv_usec)).state("left", dur(current.it_value.tv_sec, 90, 100));
    sys!(setitimer, 0, &value(0, 5000), 0).must();
    obs("fires", answer("rt_sigtimedwait", wait()));
    sys!(setitimer, 0, &value(0, 100_000_000), 0).must();
    let mut old = libc::itimerval::zero();
    let r = sys!(setitimer, 0, &value(0, 0), &mut old);
    sys!(getitimer, 0, &mut current).must();
    obs("replaced", r).state("old", dur(old.it_value.tv_sec, 90, 100));
    obs("disarmed", sys!(getitimer, 0, &mut current))
        .state("s", int(current.it_value.tv_sec))
        .state("us", int(current.it_value.tv_usec));
    obs("bad_which", sys!(setitimer, 9, &value(0, 1), 0)).arg("which", int(9));
    obs("alarm", sys!(alarm, 100)).arg("seconds", int(100));
    obs("alarm_again", sys!(alarm, 0)).arg("seconds", int(0));
}

fn posix_timer() {
    mask(libc::SIG_BLOCK, bit(libc::SIGUSR2));
    // struct sigevent: value, signal, notify, then padding to 64 bytes.
    let mut event = [0_u64; 8];
    event[0] = 4242;
    event[1] = u64::from(libc::SIGUSR2.cast_unsigned());
    let mut id = -1_i32;
    let r = sys!(timer_create, CLOCK_MONOTONIC, &event, &mut id);
    obs("create", r).arg("clock", int(CLOCK_MONOTONIC)).state("id", yes(id >= 0));
    let once = libc::itimerspec { it_interval: timespec(0), it_value: timespec(5 * MS) };
    let far = libc::itimerspec { it_interval: timespec(0), it_value: timespec(100_000 * MS) };
    let r = sys!(timer_settime, id, 0, &far, 0);
    let mut left = libc::itimerspec::zero();
    sys!(timer_gettime, id, &mut left).must();
    obs("armed", r).state("left", dur(left.it_value.tv_sec, 90, 100));
    sys!(timer_settime, id, 0, &once, 0).must();
    let wanted = bit(libc::SIGUSR2);
    let mut info = libc::siginfo_t::zero();
    let r = sys!(rt_sigtimedwait, &wanted, &mut info, &timespec(5000 * MS), 8);
    // SAFETY: the signal came from a timer, whose siginfo holds a value.
    let value = unsafe { info.si_value() }.sival_ptr.addr();
    obs("fires", r).state("code", int(info.si_code)).state("value", uint(value));
    obs("overrun", sys!(timer_getoverrun, id));
    sys!(timer_delete, id).must();
    obs("deleted", sys!(timer_delete, id));
    obs("bad_clock", sys!(timer_create, 99, 0, &mut id)).arg("clock", int(99));
}

fn timerfd_once() {
    let r = sys!(timerfd_create, CLOCK_MONOTONIC, libc::TFD_NONBLOCK | libc::TFD_CLOEXEC);
    let t = r.must_i32();
    obs("create", r)
        .fd()
        .arg("flags", hex(libc::TFD_NONBLOCK | libc::TFD_CLOEXEC))
        .state("status", hex(status_flags(t)))
        .state("cloexec", hex(sys!(fcntl, t, libc::F_GETFD).raw));
    let set = |ns| libc::itimerspec { it_interval: timespec(0), it_value: timespec(ns) };
    let r = sys!(timerfd_settime, t, 0, &set(100_000 * MS), 0);
    let mut left = libc::itimerspec::zero();
    let got = sys!(timerfd_gettime, t, &mut left);
    obs("left", got).state("left", dur(left.it_value.tv_sec, 90, 100));
    let mut v = 0_u64;
    obs("armed", r).state("left", dur(left.it_value.tv_sec, 90, 100)).state("read", errno(sys!(read, t, &mut v, 8).errno()));
    sys!(timerfd_settime, t, 0, &set(5 * MS), 0).must();
    let mut p = libc::pollfd { fd: t, events: libc::POLLIN, revents: 0 };
    let r = sys!(poll, &mut p, 1, 5000);
    obs("poll", r).state("revents", hex(p.revents));
    let r = sys!(read, t, &mut v, 8);
    obs("expired", r).state("count", uint(v));
    obs("again", sys!(read, t, &mut v, 8)).state("ready", hex(ready(t, libc::POLLIN)));
    obs("short", sys!(read, t, &mut v, 4)).arg("count", int(4));
}

fn timerfd_interval() {
    let t = sys!(timerfd_create, CLOCK_REALTIME, 0).must_i32();
    let set = |interval, value| libc::itimerspec { it_interval: timespec(interval), it_value: timespec(value) };
    let start = now();
    sys!(timerfd_settime, t, 0, &set(2 * MS, 2 * MS), 0).must();
    let mut v = 0_u64;
    let mut total = 0;
    while total < 4 {
        sys!(read, t, &mut v, 8).must();
        total += i64::try_from(v).unwrap_or(0);
    }
    obs("count", answer("read", 8)).state("waited", dur(now() - start, 8 * MS, 5000 * MS));
    let mut old = libc::itimerspec::zero();
    let r = sys!(timerfd_settime, t, 0, &set(0, 0), &mut old);
    let mut left = timespec_pair(t);
    obs("disarm", r).state("old_interval", int(old.it_interval.tv_nsec)).state("left", int(left.it_value.tv_nsec));
    let r = sys!(timerfd_settime, t, libc::TFD_TIMER_ABSTIME, &set(0, 1), 0);
    sys!(read, t, &mut v, 8).must();
    obs("absolute_past", r).arg("flags", hex(libc::TFD_TIMER_ABSTIME)).state("count", uint(v));
    left.it_value.tv_nsec = 1_000_000_000;
    obs("bad_nsec", sys!(timerfd_settime, t, 0, &left, 0)).arg("nsec", int(left.it_value.tv_nsec));
    obs("bad_flags", sys!(timerfd_create, CLOCK_MONOTONIC, 1)).fd().arg("flags", hex(1));
    let p = pipe(0);
    obs("not_timerfd", sys!(timerfd_settime, p[0], 0, &set(0, 1), 0));
}

fn timespec_pair(t: i32) -> libc::itimerspec {
    let mut left = libc::itimerspec::zero();
    sys!(timerfd_gettime, t, &mut left).must();
    left
}

fn timer_state() {
    mask(libc::SIG_BLOCK, bit(libc::SIGUSR2));
    let mut event = [0_u64; 8];
    event[1] = u64::from(libc::SIGUSR2.cast_unsigned());
    let mut id = -1_i32;
    sys!(timer_create, CLOCK_MONOTONIC, &event, &mut id).must();
    let spec = |interval, value| libc::itimerspec { it_interval: timespec(interval), it_value: timespec(value) };
    let mut now_set = spec(7, 7);
    let r = sys!(timer_gettime, id, &mut now_set);
    obs("disarmed", r).state("value", int(now_set.it_value.tv_nsec)).state("interval", int(now_set.it_interval.tv_nsec));
    sys!(timer_settime, id, 0, &spec(3000 * MS, 100_000 * MS), 0).must();
    let r = sys!(timer_gettime, id, &mut now_set);
    obs("left", r).state("left", dur(now_set.it_value.tv_sec, 90, 100)).state("interval", int(now_set.it_interval.tv_sec));
    let mut old = libc::itimerspec::zero();
    let r = sys!(timer_settime, id, libc::TIMER_ABSTIME, &spec(0, now() + 50_000 * MS), &mut old);
    obs("old", r).state("left", dur(old.it_value.tv_sec, 90, 100)).state("interval", int(old.it_interval.tv_sec));
    sys!(timer_gettime, id, &mut now_set).must();
    obs("absolute", answer("timer_settime", 0))
        .arg("flags", hex(libc::TIMER_ABSTIME))
        .state("left", dur(now_set.it_value.tv_sec, 40, 50));
    // Expired long ago and every millisecond since: one signal, the others are overruns.
    sys!(timer_settime, id, libc::TIMER_ABSTIME, &spec(MS, now() - 50 * MS), 0).must();
    let wanted = bit(libc::SIGUSR2);
    sys!(rt_sigtimedwait, &wanted, 0, &timespec(5000 * MS), 8).must();
    let r = sys!(timer_getoverrun, id);
    obs("overruns", r).ret(yes(r.raw >= 40));
    sys!(timer_delete, id).must();
    obs("missing", sys!(timer_gettime, id, &mut now_set));
    obs("missing_settime", sys!(timer_settime, id, 0, &now_set, 0));
    sys!(timer_create, CLOCK_MONOTONIC, &event, &mut id).must();
    obs("efault", sys!(timer_gettime, id, NOWHERE));
}

fn timerfd_absolute() {
    let t = sys!(timerfd_create, CLOCK_MONOTONIC, libc::TFD_NONBLOCK).must_i32();
    let set = |value| libc::itimerspec { it_interval: timespec(0), it_value: timespec(value) };
    let r = sys!(timerfd_settime, t, libc::TFD_TIMER_ABSTIME, &set(now() + 50_000 * MS), 0);
    obs("future", r).arg("flags", hex(libc::TFD_TIMER_ABSTIME)).state("left", dur(timespec_pair(t).it_value.tv_sec, 40, 50));
    let r = sys!(timerfd_settime, t, libc::TFD_TIMER_ABSTIME, &set(now() - 1000 * MS), 0);
    obs("past", r).arg("flags", hex(libc::TFD_TIMER_ABSTIME)).state("ready", hex(ready(t, libc::POLLIN)));
    let r = sys!(timerfd_settime, t, 0, &set(50_000 * MS), 0);
    obs("relative_far", r).arg("flags", hex(0)).state("left", dur(timespec_pair(t).it_value.tv_sec, 40, 50));
    obs("bad_flags", sys!(timerfd_settime, t, 8, &set(1), 0)).arg("flags", hex(8));
}
