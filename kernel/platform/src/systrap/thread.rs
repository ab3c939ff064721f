//! One host thread: its events, its replies, and how it is woken.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use bevor_abi::Errno;
use bevor_hostcall::{HostFd, SharedSlice};
use bevor_stub::layout as l;
use parking_lot::{Mutex, MutexGuard, RwLock};

use super::Inner;
use super::channel::{Channel, Place, Request, Window};
use super::clone::Cloning;
use super::space::Space;
use super::{replies, sys};
use crate::api::{AddressSpace, AltStack, EndWords, Event, ExecImage, Fault, FileMapping, Identity, OwnerRef, Reply, Thread};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Running application (or stub) code; no event is unanswered.
    Running,
    /// An event has been taken and not been answered.
    Stopped,
    /// No longer there; replies go nowhere.
    Dead,
}

/// Ticks of the watchdog (seconds in which the sentry itself ran) after which a thread that does not stop takes its process with it: it
/// may have blocked the signal.
const INTERRUPT_TICKS: u32 = 20;

pub(crate) struct State {
    pub(crate) phase: Phase,
    pub(crate) request: Option<Request>,
    /// The sleeping stub's notification.
    pub(crate) notif: Option<u64>,
    /// It has spun for the reply before it went to sleep.
    pub(crate) spun: bool,
    /// End of the data area's part that is in use by the request and reply data.
    pub(crate) used: usize,
    pub(crate) outs: [Window; 2],
    pub(crate) nouts: usize,
    /// Descriptors that the current reply lets the stub ask for.
    pub(crate) donations: Vec<FileMapping>,
    pub(crate) cloning: Option<Cloning>,
    /// A spare: its first request is answered with an image, which has come already or not.
    pub(crate) needs_image: bool,
    pub(crate) arrived: bool,
    pub(crate) image: Option<ExecImage>,
    /// The last reply was an image: what breaks is one of its steps.
    pub(crate) imaging: bool,
    pub(crate) exiting: bool,
    /// The process ends with the thread.
    pub(crate) last: bool,
    /// The current event's answer takes long.
    parked: bool,
    /// The current event is the platform's own: the kernel does not know of it.
    internal: bool,
    /// The kernel has answered, with a clone that waits for its turn.
    pub(crate) queued: bool,
    /// It has made a request.
    pub(crate) heard: bool,
    /// Interrupted when it could not be signalled: done with the next reply.
    kick: bool,
    /// Sequence of the last request when the thread was first interrupted since, and the watchdog's ticks from then on.
    pub(crate) interrupted: Option<(u32, u32)>,
}

pub(crate) struct SysThread {
    pub(crate) me: Weak<SysThread>,
    /// The platform lives as long as the sentry; its threads do not count.
    pub(crate) platform: Arc<Inner>,
    pub(crate) space: Arc<Space>,
    pub(crate) channel: Channel,
    pub(crate) slot: u32,
    /// Sequence of the last request taken.
    pub(crate) seq: AtomicU32,
    /// In the hot set; and: the spinner polls it.
    pub(crate) watched: AtomicBool,
    pub(crate) polled: AtomicBool,
    pub(crate) idle_polls: AtomicU32,
    /// Times (ns) of the last reply to a sleeping stub and of the last call that came by notification.
    pub(crate) last_reply: AtomicU64,
    pub(crate) stopped_at: AtomicU64,
    /// Quick calls in a row.
    pub(crate) streak: AtomicI32,
    /// The CPU on which it last went to sleep (the stub's word), and whether that is news to the spinner.
    pub(crate) cpu: AtomicU32,
    pub(crate) cpu_news: AtomicBool,
    /// How often its spins were in vain lately: grows with each, wanes with each that was not.
    pub(crate) in_vain: AtomicI32,
    /// Where the host counts its CPU time, once somebody has asked.
    schedstat: OnceLock<HostFd>,
    /// Its image is new up to this sequence.
    pub(crate) new_until: AtomicU32,
    /// Host tid as the host kernel told it (0: not yet known; the channel's word is only the stub's claim).
    pub(crate) tid: AtomicI32,
    pub(crate) owner: RwLock<Option<OwnerRef>>,
    /// Held until the clone that makes this thread is through: the parent's space, and whether it is shared.
    pub(crate) token: Mutex<Option<(Arc<Space>, bool)>>,
    pub(crate) state: Mutex<State>,
    /// A kind of its own: the zygote's main thread.
    pub(crate) zygote: bool,
}

impl SysThread {
    /// Whether the vDSO is still there for the next image.
    fn has_vdso(&self) -> bool {
        let at = self.space.layout().vdso;
        let mut magic = [0; 4];
        at == 0 || sys::vm_read(self.space.pid(), at, &mut magic) == 4 && magic == *b"\x7fELF"
    }

    pub(crate) fn new(
        platform: &Arc<Inner>,
        space: &Arc<Space>,
        channel: Channel,
        slot: u32,
        owner: Option<OwnerRef>,
        zygote: bool,
    ) -> Arc<Self> {
        if zygote {
            channel.adopt(slot, space.id);
        } else {
            channel.init(slot, space.id);
        }
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            platform: Arc::clone(platform),
            space: Arc::clone(space),
            channel,
            slot,
            seq: AtomicU32::new(0),
            watched: AtomicBool::new(false),
            polled: AtomicBool::new(false),
            idle_polls: AtomicU32::new(0),
            last_reply: AtomicU64::new(0),
            stopped_at: AtomicU64::new(0),
            streak: AtomicI32::new(0),
            cpu: AtomicU32::new(0),
            cpu_news: AtomicBool::new(false),
            in_vain: AtomicI32::new(0),
            schedstat: OnceLock::new(),
            new_until: AtomicU32::new(0),
            tid: AtomicI32::new(0),
            owner: RwLock::new(owner),
            token: Mutex::new(None),
            state: Mutex::new(State {
                phase: Phase::Running,
                request: None,
                notif: None,
                spun: false,
                used: 0,
                outs: [Window::default(); 2],
                nouts: 0,
                donations: Vec::new(),
                cloning: None,
                needs_image: false,
                arrived: false,
                image: None,
                imaging: false,
                exiting: false,
                last: false,
                parked: false,
                internal: false,
                queued: false,
                heard: false,
                kick: false,
                interrupted: None,
            }),
            zygote,
        })
    }

    /// Takes a new request if there is one and handles it. True if there was one.
    pub(crate) fn poll(self: &Arc<Self>) -> bool {
        if self.channel.request_seq() == self.seq.load(Ordering::Acquire) {
            return false;
        }
        let (imaging, forked);
        let request = {
            let mut state = self.state.lock();
            // Looked at again under the lock: another worker may have been here in between.
            let seq = self.channel.request_seq();
            if state.phase != Phase::Running || seq == self.seq.load(Ordering::Acquire) {
                return false;
            }
            self.seq.store(seq, Ordering::Release);
            let request = self.channel.request();
            state.phase = Phase::Stopped;
            state.heard = true;
            state.parked = false;
            state.internal = matches!(request.kind, l::REQ_STARTED | l::REQ_PATCH | l::REQ_CLONED);
            imaging = std::mem::take(&mut state.imaging);
            forked = state.cloning.as_ref().is_some_and(Cloning::unclaimed);
            state.used = request.used.next_multiple_of(64);
            state.nouts = 0;
            if !state.donations.is_empty() {
                state.donations.clear();
            }
            state.request = Some(request);
            request
        };
        if forked {
            self.platform.fork_returned(self);
        }
        self.dispatch(&request, imaging);
        true
    }

    fn dispatch(self: &Arc<Self>, request: &Request, imaging: bool) {
        let event = match request.kind {
            l::REQ_SYSCALL => Event::Syscall(request.call),
            l::REQ_FAULT => Event::Fault(Fault {
                signo: low_i32(request.call.args[0]),
                code: low_i32(request.call.args[1]),
                addr: request.call.args[2],
            }),
            l::REQ_INTERRUPTED => Event::Interrupted,
            l::REQ_STARTED => {
                self.space.slab_confirmed(self.slot);
                self.leave_gate();
                if !self.start_image() {
                    self.finish(l::REP_CONTINUE, 0);
                }
                return;
            }
            l::REQ_BROKEN => {
                let errno = Errno::from_code(low_i32(request.call.args[0])).unwrap_or(Errno::EFAULT);
                if imaging { Event::ImageFailed(errno) } else { Event::Broken(errno) }
            }
            l::REQ_PATCH => return self.patch(&request.call.args),
            l::REQ_CLONED => return self.cloned(request.call.args[0].cast_signed()),
            l::REQ_ZYGOTE if self.zygote => {
                self.platform.zygote_ready(self, request.call.args[0].cast_signed());
                return;
            }
            // A kind that the stub does not have: the application has forged a request.
            _ => return self.finish(l::REP_RETURN, Errno::ENOSYS.to_result()),
        };
        let owner = self.owner.read().clone();
        if let Some(owner) = owner {
            let me: Arc<dyn Thread> = Arc::<Self>::clone(self) as Arc<dyn Thread>;
            // A panic over one program's event ends that program.
            if catch_unwind(AssertUnwindSafe(|| owner.0.handle(&me, event))).is_err() {
                self.space.kill();
            }
        }
        // Without an owner it is a spare: it stays stopped until `exec` gives it an image.
    }

    /// The state, if an event is unanswered. Otherwise nothing may be written to the channel: its slot may have a new owner.
    pub(crate) fn stopped(&self) -> Option<MutexGuard<'_, State>> {
        let state = self.state.lock();
        (state.phase == Phase::Stopped).then_some(state)
    }

    /// CPU time of a thread that shares its process or has shared it (nanoseconds): proc(5) has it, the process's clock has not.
    fn schedstat_time(&self) -> Option<u64> {
        if !self.space.threaded.load(Ordering::Acquire) || !self.space.alive.load(Ordering::Acquire) {
            return None;
        }
        if self.schedstat.get().is_none() {
            let opened = self.space.files.get()?.schedstat(self.known_tid()).ok()?;
            // Another may have been faster.
            let _ = self.schedstat.set(opened);
        }
        let text = sys::read_whole(self.schedstat.get()?, 256);
        std::str::from_utf8(&text).ok()?.split_ascii_whitespace().next()?.parse().ok()
    }

    /// The state, unless the thread is gone.
    fn alive(&self) -> Option<MutexGuard<'_, State>> {
        let state = self.state.lock();
        (state.phase != Phase::Dead).then_some(state)
    }

    /// Publishes a reply and wakes the stub if it sleeps.
    pub(crate) fn finish(&self, kind: u32, result: i64) {
        let mut state = self.state.lock();
        self.finish_locked(&mut state, kind, result);
    }

    pub(crate) fn finish_locked(&self, state: &mut State, kind: u32, result: i64) {
        if state.phase != Phase::Stopped {
            return;
        }
        for i in 0..state.nouts {
            self.channel.set_out(i, state.outs[i]);
        }
        state.phase = Phase::Running;
        state.queued = false;
        state.request = None;
        let outs = u32::try_from(state.nouts).unwrap_or(0);
        let notif = state.notif.take();
        self.platform.before_reply(self, notif.map(|_| state.spun), state.parked);
        self.channel.publish(self.seq.load(Ordering::Relaxed), kind, result, outs);
        // A signal may have ended the notification, and the stub sleeps in the channel since then.
        let woken = notif.is_some_and(|id| {
            if state.last
                && let Some(me) = self.me.upgrade()
            {
                self.platform.wake_elsewhere(id, me);
                return true;
            }
            self.platform.wake_notified(id)
        });
        if !woken && state.parked {
            self.channel.wake_parked();
        }
        if state.kick {
            self.kick(state);
        }
    }

    /// Signals a running thread to stop, or remembers to.
    fn kick(&self, state: &mut State) {
        if self.known_tid() == 0 {
            // It looks here before it runs application code. If the host thread came to be meanwhile, it may have looked already.
            self.channel.set_kick();
        }
        let tid = self.known_tid();
        if tid == 0 {
            return;
        }
        let signalled = tid > 0 && sys::tgkill(self.space.pid(), tid, l::KICK_SIGNAL).is_ok();
        state.kick = !signalled;
        if signalled {
            self.watch_interrupt(state);
        }
    }

    /// From now on the thread has some time to stop.
    fn watch_interrupt(&self, state: &mut State) {
        let seq = self.seq.load(Ordering::Relaxed);
        if state.interrupted.is_none_or(|(at, _)| at != seq) {
            let watched = state.interrupted.replace((seq, 0)).is_some();
            if !watched {
                self.platform.watch_interrupt(self.me.clone());
            }
        }
    }

    /// A tick of the watchdog: whether the thread must still be watched.
    pub(crate) fn interrupt_tick(&self) -> bool {
        let mut state = self.state.lock();
        let seq = self.seq.load(Ordering::Relaxed);
        match state.interrupted {
            Some((at, ticks))
                if at == seq && (state.phase == Phase::Running || state.phase == Phase::Stopped && state.queued) =>
            {
                state.interrupted = Some((at, ticks + 1));
                if ticks >= INTERRUPT_TICKS {
                    drop(state);
                    self.space.kill();
                    return false;
                }
                true
            }
            _ => {
                state.interrupted = None;
                false
            }
        }
    }

    /// A sleeping stub: answers at once if the reply is already there, else remembers whom to wake.
    pub(crate) fn notified(self: &Arc<Self>, id: u64, spun: bool, cpu: u32) {
        {
            let mut state = self.state.lock();
            let answered = state.phase == Phase::Running && self.channel.request_seq() == self.seq.load(Ordering::Acquire);
            if answered || state.phase == Phase::Dead {
                drop(state);
                self.platform.wake_notified(id);
                return;
            }
            // An interrupted wait is made again under a later id, and two listeners may come here in either order: the earlier
            // notification is gone, and only the later one can be answered.
            let newer = state.notif.filter(|old| old.wrapping_sub(id).cast_signed() > 0);
            state.notif = Some(newer.unwrap_or(id));
            state.spun = spun;
            self.cpu.store(cpu, Ordering::Relaxed);
            self.cpu_news.store(true, Ordering::Relaxed);
        }
        self.platform.note_arrival(&self.stopped_at);
        self.poll();
    }

    /// The reply data area's free part, as a window for `addr`.
    pub(crate) fn reserve(&self, state: &mut State, addr: u64, len: usize) -> Option<Window> {
        if state.phase != Phase::Stopped || state.nouts == 2 || len > l::BOUNCE_SIZE - state.used {
            return None;
        }
        let place = if state.nouts == 0 && len <= l::SMALL {
            Place::Small
        } else {
            let off = state.used;
            state.used = (off + len).next_multiple_of(16).min(l::BOUNCE_SIZE);
            Place::Data(off)
        };
        let window = Window { addr, len, place };
        state.outs[state.nouts] = window;
        state.nouts += 1;
        Some(window)
    }

    fn reply_exit(self: &Arc<Self>, clear_tid: u64, robust_list: u64) {
        // A process's end takes a while. Whoever waits for it does so on this CPU, it need not happen here.
        let last = self.space.tables.lock().threads.len() == 1;
        let lent;
        {
            let Some(mut state) = self.stopped() else { return };
            lent = state.nouts > 0;
            self.channel.set_op(0, clear_tid);
            self.channel.set_op(1, robust_list);
            state.exiting = true;
            state.last = last;
            self.finish_locked(&mut state, l::REP_EXIT, 0);
        }
        self.platform.thread_exits(self, lent);
    }

    /// Marks the thread as gone; true if it was not expected to go.
    pub(crate) fn mark_dead(&self) -> bool {
        let mut state = self.state.lock();
        let unexpected = state.phase != Phase::Dead && !state.exiting;
        state.phase = Phase::Dead;
        state.notif = None;
        if let Some(cloning) = state.cloning.take().filter(Cloning::unclaimed) {
            // The child may exist and be about to claim: it outlives its parent.
            self.platform.orphan(cloning.child);
        }
        unexpected
    }

    /// The host thread, as far as is known (0: not yet) and maybe by the stub's word only.
    pub(crate) fn known_tid(&self) -> i32 {
        match self.tid.load(Ordering::Acquire) {
            0 => self.channel.host_tid(),
            tid => tid,
        }
    }
}

fn low_i32(word: u64) -> i32 {
    <i32 as bevor_abi::FromArg>::from_arg(word)
}

impl Thread for SysThread {
    fn space(&self) -> Arc<dyn AddressSpace> {
        Arc::<Space>::clone(&self.space) as Arc<dyn AddressSpace>
    }

    fn reply(&self, reply: Reply) {
        {
            // A held parent's second reply may come before its host call has returned.
            let mut state = self.state.lock();
            if state.phase == Phase::Running {
                if let Some(cloning) = state.cloning.as_mut()
                    && cloning.hold
                {
                    cloning.deferred = Some(reply);
                }
                return;
            }
        }
        match reply {
            Reply::Return(value) => self.finish(l::REP_RETURN, value),
            Reply::Continue => self.finish(l::REP_CONTINUE, 0),
            Reply::Again => self.finish(l::REP_AGAIN, 0),
            Reply::Local(declined) => self.finish(l::REP_LOCAL, declined.to_result()),
            Reply::Signal(frame) => self.reply_signal(&frame),
            Reply::Mmap(op) => self.reply_mmap(*op),
            Reply::Clone(op, owner) => {
                if let Some(me) = self.me.upgrade() {
                    me.reply_clone(op, owner);
                }
            }
            Reply::Exec { image, robust_list } => self.replace_image(*image, robust_list),
            Reply::Exit { clear_tid, robust_list } => {
                if let Some(me) = self.me.upgrade() {
                    me.reply_exit(clear_tid, robust_list);
                }
            }
        }
    }

    fn park(&self) {
        let mut state = self.state.lock();
        if state.phase == Phase::Stopped {
            state.parked = true;
            self.channel.park(self.seq.load(Ordering::Relaxed));
        }
    }

    fn interrupt(&self) {
        let mut state = self.state.lock();
        match state.phase {
            Phase::Running => self.kick(&mut state),
            // The kernel has no event to answer: it would never hear of the interruption.
            Phase::Stopped if state.internal => state.kick = true,
            // Nor here. What it waits for may be a fork that a hostile stub has asked for and does not make.
            Phase::Stopped if state.queued => {
                state.kick = true;
                self.watch_interrupt(&mut state);
            }
            Phase::Stopped | Phase::Dead => {}
        }
    }

    fn may_replace_image(&self, image: &ExecImage) -> bool {
        let ground = &self.platform.ground;
        let [old, new] = [self.space.layout(), image.layout.unwrap_or(ground.plain)];
        // The vDSO cannot be moved by a little.
        let beside = old.vdso == new.vdso || !replies::overlap(ground.vdso(&old), ground.vdso(&new));
        Self::image_fits_whole(image) && beside && self.space.is_alone(self.slot) && self.has_vdso()
    }

    fn sigmask(&self) -> u64 {
        self.channel.sigmask() & !((1 << 8) | (1 << 18))
    }

    fn set_sigmask(&self, mask: u64) {
        if let Some(_state) = self.alive() {
            self.channel.set_sigmask(mask);
        }
    }

    fn set_pending(&self, pending: u64) {
        if let Some(_state) = self.alive() {
            self.channel.set_pending(pending);
        }
    }

    fn end_words(&self) -> EndWords {
        self.channel.end_words()
    }

    fn set_end_words(&self, words: EndWords) {
        if let Some(_state) = self.alive() {
            self.channel.set_end_words(words);
        }
    }

    fn reset_altstack(&self) {
        if let Some(_state) = self.alive() {
            self.channel.set_altstack(AltStack::default());
        }
    }

    fn altstack(&self) -> AltStack {
        self.channel.altstack()
    }

    fn set_identity(&self, identity: Identity) {
        if let Some(_state) = self.alive() {
            self.channel.set_identity(identity);
        }
    }

    fn set_local_calls(&self, on: bool) {
        if let Some(_state) = self.alive() {
            self.channel.set_local_calls(on);
        }
    }

    fn read_sent(&self, addr: u64, dst: &mut [u8]) -> usize {
        let windows = self.state.lock().request.as_ref().map_or_else(Default::default, |r| r.windows);
        for w in &windows {
            let Some(skip) = addr.checked_sub(w.addr).and_then(|s| usize::try_from(s).ok()).filter(|s| *s < w.len) else {
                continue;
            };
            let done = dst.len().min(w.len - skip);
            self.channel.read_window(w, skip, &mut dst[..done]);
            return done;
        }
        0
    }

    fn read_memory(&self, addr: u64, dst: &mut [u8]) -> usize {
        let done = self.read_sent(addr, dst);
        if done == dst.len() {
            return done;
        }
        let Some(rest) = u64::try_from(done).ok().and_then(|d| addr.checked_add(d)) else {
            return done;
        };
        done + self.space.read_memory(rest, &mut dst[done..])
    }

    fn write_memory(&self, addr: u64, src: &[u8]) -> usize {
        if self.space.alive.load(Ordering::Acquire) { sys::vm_write(self.space.pid(), addr, src) } else { 0 }
    }

    fn reply_buffer(&self, addr: u64, len: usize) -> Option<SharedSlice> {
        let mut state = self.state.lock();
        let window = self.reserve(&mut state, addr, len)?;
        self.channel.out_slice(&window)
    }

    fn store_reply(&self) {
        // A fault shows when the call is made again.
        let _ = self.store_outs();
    }

    fn shrink_reply(&self, len: usize) {
        let mut state = self.state.lock();
        let Some(last) = state.nouts.checked_sub(1) else { return };
        state.outs[last].len = state.outs[last].len.min(len);
        if len == 0 {
            state.nouts = last;
        }
    }

    fn host_tid(&self) -> Option<i32> {
        // The stub may have named anybody's, also the sentry's own.
        Some(self.known_tid()).filter(|tid| *tid > 0 && sys::tgkill(self.space.pid(), *tid, 0).is_ok())
    }

    fn cpu_time(&self) -> (u64, u64) {
        let (user, system) = AddressSpace::cpu_time(self.space.as_ref());
        match self.schedstat_time() {
            // The host does not say how much of it was the application's: as much as of the process's.
            Some(own) => {
                let whole = u128::from(user) + u128::from(system);
                let own_user = u128::from(own) * u128::from(user) / whole.max(1);
                let own_user = u64::try_from(own_user).unwrap_or(own).min(own);
                (own_user, own - own_user)
            }
            None => (user, system),
        }
    }

    fn waits(&self) -> bool {
        // Between an answer and the next request a stub sleeps only for the application.
        let answered = || {
            let phase = self.state.lock().phase;
            let seq = self.seq.load(Ordering::Relaxed);
            (phase == Phase::Running && self.channel.request_seq() == seq).then_some(seq)
        };
        let before = answered();
        let asleep = before.is_some() && self.space.host_stat(self.known_tid()).is_ok_and(|stat| stat.state == b'S');
        asleep && answered() == before
    }
}
