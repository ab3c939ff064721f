//! Interval timers (getitimer(2)) and POSIX timers (timer_create(2)): one kind of object that sends a signal when its clock gets there.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Weak};

use bevor_abi::signal::{SI_TIMER, SIGALRM, SIGPROF, SIGVTALRM, bit};
use parking_lot::Mutex;

use super::info::SigInfo;
use crate::kernel::{Kernel, Runnable};
use crate::memory::ObjectCharge;
use crate::task::{Task, ThreadGroup};
use crate::time::{Instant, TimerId};
use crate::wait::{PollEvents, Waiter};

/// What a timer counts, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerClock {
    /// CLOCK_MONOTONIC.
    Monotonic,
    /// The process's user CPU time.
    User,
    /// The process's whole CPU time.
    Process,
}

impl TimerClock {
    fn now(self, kernel: &Kernel, group: &ThreadGroup) -> u64 {
        match self {
            Self::Monotonic => kernel.timers.now().0,
            Self::User => group.cpu_time().user,
            Self::Process => {
                let time = group.cpu_time();
                time.user + time.system
            }
        }
    }
}

/// Whom a timer tells.
#[derive(Clone)]
pub enum TimerTarget {
    /// Nobody (SIGEV_NONE).
    None,
    /// The process.
    Process(SigInfo),
    /// One thread (SIGEV_THREAD_ID).
    Thread(SigInfo, Weak<Task>),
}

/// A periodic timer is looked at this often at most, in nanoseconds; what expires meanwhile is counted.
const MIN_PERIOD: u64 = 20_000;
/// And first after so long, then less and less often, while its signal is pending: it may be dropped rather than taken.
const UNTAKEN_PERIODS: (u64, u64) = (10_000_000, 5_120_000_000);
/// While it is ignored.
const IGNORED_PERIODS: (u64, u64) = (10_000_000, 640_000_000);
/// As often as that a CPU clock is looked at whose process runs, and that of one which does not.
const CPU_PERIODS: (u64, u64) = (1_000_000, 256_000_000);

#[derive(Default)]
struct TimerState {
    expires: Option<u64>,
    interval: u64,
    scheduled: Option<TimerId>,
    /// Expiries that no signal has told of yet.
    expired: u64,
    /// Expiries beyond the one that the last signal told of.
    overrun: u64,
    /// How long the timer waited in vain for its signal to be taken or heeded, or for its process to run; 0 if it did not.
    idle: u64,
    /// What a CPU clock showed at the last look.
    seen: u64,
}

impl TimerState {
    /// The next time to wait, twice as long as the last.
    fn wait_in_vain(&mut self, (least, most): (u64, u64)) -> u64 {
        self.idle = self.idle.saturating_mul(2).clamp(least, most);
        self.idle
    }

    /// Counts the expiries up to `now`, and goes on to the next one.
    fn advance(&mut self, now: u64) {
        let Some(at) = self.expires.filter(|at| *at <= now) else { return };
        let count = (now - at).checked_div(self.interval).unwrap_or(0).saturating_add(1);
        self.expired = self.expired.saturating_add(count);
        self.expires = (self.interval != 0).then(|| at.saturating_add(count.saturating_mul(self.interval)));
    }
}

/// One timer.
pub struct IntervalTimer {
    me: Weak<Self>,
    kernel: Arc<Kernel>,
    group: Weak<ThreadGroup>,
    clock: TimerClock,
    target: TimerTarget,
    clock_id: AtomicI32,
    /// A POSIX timer's, and that of its signal.
    place: Option<Arc<ObjectCharge>>,
    state: Mutex<TimerState>,
}

impl IntervalTimer {
    /// A disarmed timer. `place`: what a POSIX timer is counted by.
    #[must_use]
    pub fn new(
        kernel: &Arc<Kernel>,
        group: &Arc<ThreadGroup>,
        clock: TimerClock,
        target: TimerTarget,
        place: Option<ObjectCharge>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            kernel: Arc::clone(kernel),
            group: Arc::downgrade(group),
            clock,
            target,
            clock_id: AtomicI32::new(1),
            place: place.map(Arc::new),
            state: Mutex::default(),
        })
    }

    /// The clock id that the application chose, for absolute times.
    #[must_use]
    pub fn clock_id(&self) -> i32 {
        self.clock_id.load(Ordering::Relaxed)
    }

    /// Stores the clock id that the application chose.
    pub fn remember_clock(&self, id: i32) {
        self.clock_id.store(id, Ordering::Relaxed);
    }

    /// Time left and interval; (0, interval) if disarmed. An armed timer has at least one nanosecond left.
    #[must_use]
    pub fn get(&self) -> (u64, u64) {
        let Some(group) = self.group.upgrade() else { return (0, 0) };
        let now = self.clock.now(&self.kernel, &group);
        let mut state = self.state.lock();
        if matches!(self.target, TimerTarget::None) {
            // Nothing runs at its expiries.
            if !bevor_abi::mutated!("timer/none-stands") {
                state.advance(now);
            }
        }
        let left = state.expires.map_or(0, |at| at.saturating_sub(now).max(1));
        (left, state.interval)
    }

    /// Arms for `after` nanoseconds from now (0 disarms), then every `interval`. Returns what [`IntervalTimer::get`] said before.
    pub fn set(&self, after: u64, interval: u64) -> (u64, u64) {
        let old = self.get();
        let Some(group) = self.group.upgrade() else { return old };
        let expires = (after != 0).then(|| self.clock.now(&self.kernel, &group).saturating_add(after));
        self.arm(expires, interval);
        old
    }

    /// As `set`, but for the time `at` (0 disarms) of a clock that shows `clock_now`; times that have passed count as expiries.
    pub fn set_absolute(&self, at: u64, clock_now: u64, interval: u64) -> (u64, u64) {
        let old = self.get();
        let Some(group) = self.group.upgrade() else { return old };
        let expires = |now: u64| now.saturating_add(at).saturating_sub(clock_now);
        self.arm((at != 0).then(|| expires(self.clock.now(&self.kernel, &group))), interval);
        old
    }

    /// Arms for an absolute time of the timer's clock, 0 or `None` disarms.
    pub fn arm(&self, expires: Option<u64>, interval: u64) {
        let mut state = self.state.lock();
        if let Some(id) = state.scheduled.take() {
            self.kernel.timers.cancel(id);
        }
        state.expires = expires;
        state.interval = interval;
        (state.expired, state.overrun, state.idle) = (0, 0, 0);
        self.schedule(&mut state, 0);
    }

    /// Expiries beyond the one that the last signal told of.
    #[must_use]
    pub fn overrun(&self) -> u64 {
        self.state.lock().overrun
    }

    /// Its signal was taken: the expiries beyond the one that it tells of.
    fn taken(&self, group: &ThreadGroup) -> u64 {
        let now = self.clock.now(&self.kernel, group);
        let mut state = self.state.lock();
        state.advance(now);
        state.idle = 0;
        state.overrun = std::mem::take(&mut state.expired).saturating_sub(bevor_abi::mutant!("timer/overrun-boundary", 1, 0));
        // It looked seldom while nobody took the signal.
        if state.interval != 0
            && let Some(id) = state.scheduled.take()
        {
            self.kernel.timers.cancel(id);
            self.schedule(&mut state, MIN_PERIOD);
        }
        state.overrun
    }

    /// Whether this timer's signal (an interval timer's: one like it) is pending where this timer sends it.
    fn is_pending(&self, group: &ThreadGroup) -> bool {
        if let Some(place) = &self.place {
            // The other holder is the signal in its queue.
            return Arc::strong_count(place) > 1;
        }
        let pending = |info: &SigInfo, set: u64| set & bit(info.signo()) != 0;
        match &self.target {
            TimerTarget::None => false,
            TimerTarget::Process(info) => pending(info, group.signals.lock().shared.set()),
            TimerTarget::Thread(info, task) => task.upgrade().is_some_and(|task| pending(info, task.pending.lock().set())),
        }
    }

    /// The signal that it sends.
    fn signo(&self) -> Option<i32> {
        match &self.target {
            TimerTarget::None => None,
            TimerTarget::Process(info) | TimerTarget::Thread(info, _) => Some(info.signo()),
        }
    }

    /// Whether nobody hears of its signal; of a blocked one as long as it is not pending.
    fn is_ignored(&self, group: &ThreadGroup) -> bool {
        self.signo().is_some_and(|signo| group.handlers().ignores(signo))
    }

    /// Its signal is not ignored any more.
    fn heed(&self) {
        let mut state = self.state.lock();
        if state.idle > 0
            && let Some(id) = state.scheduled.take()
        {
            state.idle = 0;
            self.kernel.timers.cancel(id);
            self.schedule(&mut state, MIN_PERIOD);
        }
    }

    /// Has the timer looked at when it expires, in `least` nanoseconds at the earliest.
    fn schedule(&self, state: &mut TimerState, least: u64) {
        if matches!(self.target, TimerTarget::None) {
            return;
        }
        let (Some(expires), Some(me), Some(group)) = (state.expires, self.me.upgrade(), self.group.upgrade()) else {
            return;
        };
        // CPU clocks run at most as fast as the wall clock per thread: look again when the time may have come.
        let after = |nanos: u64| self.kernel.timers.now().0.saturating_add(nanos);
        let at = match self.clock {
            TimerClock::Monotonic if least == 0 => expires,
            TimerClock::Monotonic => expires.max(after(least)),
            _ => {
                let now = self.clock.now(&self.kernel, &group);
                let runs = std::mem::replace(&mut state.seen, now) != now;
                let least = if runs { CPU_PERIODS.0 } else { state.wait_in_vain(CPU_PERIODS) };
                state.idle = if runs { 0 } else { state.idle };
                after(expires.saturating_sub(now).max(least))
            }
        };
        let at = Instant(at);
        state.scheduled = Some(self.kernel.timers.schedule(at, PollEvents::IN, me));
    }
}

impl Waiter for IntervalTimer {
    fn notify(&self, _events: PollEvents) {
        if let Some(me) = self.me.upgrade() {
            self.kernel.push_ready(me);
        }
    }
}

impl Runnable for IntervalTimer {
    fn run(self: Arc<Self>) {
        let Some(group) = self.group.upgrade() else { return };
        let now = self.clock.now(&self.kernel, &group);
        let pending = self.is_pending(&group);
        let ignored = !pending && self.is_ignored(&group);
        {
            let mut state = self.state.lock();
            state.scheduled = None;
            match state.expires {
                None => return,
                Some(at) if at > now => return self.schedule(&mut state, 0),
                Some(_) => {}
            }
            let told = pending && (self.place.is_some() || state.expired > 0);
            if !told {
                // The last signal was taken, or dropped before anybody did.
                state.expired = 0;
            }
            state.advance(now);
            // However short its period: nobody looks at what it counts while its signal is pending.
            // Nobody says that an interval timer's signal was taken.
            let most = if self.place.is_some() { UNTAKEN_PERIODS.1 } else { 8 * UNTAKEN_PERIODS.0 };
            let least = match (told, ignored) {
                (true, _) => state.wait_in_vain((UNTAKEN_PERIODS.0, most)),
                (false, true) => state.wait_in_vain(IGNORED_PERIODS),
                (false, false) => MIN_PERIOD,
            };
            state.idle = if told || ignored { state.idle } else { 0 };
            self.schedule(&mut state, least);
            if told {
                return;
            }
        }
        // A timer has its place in the queue; an interval timer's signal is pending only once.
        let _ = match &self.target {
            TimerTarget::None => Ok(()),
            TimerTarget::Process(info) => group.send(*info, None, self.place.clone()),
            TimerTarget::Thread(info, task) => task.upgrade().map_or(Ok(()), |task| {
                // The group is the task's: a timer tells only threads of its process.
                group.send(*info, Some(&task), self.place.clone())
            }),
        };
    }
}

impl Task {
    /// What a signal of a POSIX timer says when it is taken: how many expiries it also stands for.
    pub(super) fn with_overrun(&self, info: SigInfo) -> SigInfo {
        if info.code() != SI_TIMER {
            return info;
        }
        let timer = self.group.itimers.lock().posix.get(&info.timer_id()).cloned();
        match timer {
            None => info,
            Some(timer) => info.with_overrun(
                i32::try_from(bevor_abi::mutant!("timer/no-overrun", timer.taken(&self.group), 0)).unwrap_or(i32::MAX),
            ),
        }
    }
}

/// The timers of a process.
#[derive(Default)]
pub struct Itimers {
    slots: [Option<Arc<IntervalTimer>>; 3],
    /// POSIX timers by id.
    pub posix: BTreeMap<i32, Arc<IntervalTimer>>,
    /// The next POSIX timer's id, unless it is taken.
    next_id: i32,
}

impl Itimers {
    /// The timer of `which` (ITIMER_REAL 0, ITIMER_VIRTUAL 1, ITIMER_PROF 2), made on first use; `None` for another number.
    pub fn slot(&mut self, kernel: &Arc<Kernel>, group: &Arc<ThreadGroup>, which: i32) -> Option<Arc<IntervalTimer>> {
        let (clock, signo) = match which {
            0 => (TimerClock::Monotonic, SIGALRM),
            1 => (bevor_abi::mutant!("itimer/real-cpu", TimerClock::User, TimerClock::Monotonic), SIGVTALRM),
            2 => (TimerClock::Process, bevor_abi::mutant!("itimer/signals", SIGPROF, SIGVTALRM)),
            _ => return None,
        };
        let slot = self.slots.get_mut(usize::try_from(which).ok()?)?;
        let timer = slot
            .get_or_insert_with(|| IntervalTimer::new(kernel, group, clock, TimerTarget::Process(SigInfo::kernel(signo)), None));
        Some(Arc::clone(timer))
    }

    /// `signo` is not ignored any more: timers that send it are looked at again.
    pub fn heed(&self, signo: i32) {
        for timer in self.posix.values().chain(self.slots.iter().flatten()).filter(|timer| timer.signo() == Some(signo)) {
            timer.heed();
        }
    }

    /// A number for a new POSIX timer.
    pub fn next_id(&mut self) -> i32 {
        loop {
            let id = self.next_id;
            self.next_id = id.wrapping_add(1) & i32::MAX;
            if !self.posix.contains_key(&id) {
                return id;
            }
        }
    }

    /// Disarms everything (exit), or POSIX timers only (execve keeps interval timers).
    pub fn clear(&mut self, interval_timers_too: bool) {
        for timer in std::mem::take(&mut self.posix).into_values() {
            timer.arm(None, 0);
        }
        if interval_timers_too {
            for timer in self.slots.iter_mut().filter_map(Option::take) {
                timer.arm(None, 0);
            }
        }
    }
}
