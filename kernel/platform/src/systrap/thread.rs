//! One host thread: its events, its replies, and how it is woken.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use bevor_abi::Errno;
use bevor_hostcall::SharedSlice;
use bevor_stub::layout as l;
use parking_lot::{Mutex, MutexGuard, RwLock};

use super::Inner;
use super::channel::{Channel, Request, Window};
use super::gate::Waiting;
use super::space::Space;
use super::sys;
use crate::api::{
    AddressSpace, AltStack, CloneOp, Event, ExecImage, Fault, FileMapping, Identity, ImageOp, MmapOp, OwnerRef, Reply,
    SignalFrame, Thread,
};

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

/// A clone under way on the parent's side.
pub(crate) struct Cloning {
    pub(crate) child: Arc<SysThread>,
    pub(crate) tid: i32,
    hold: bool,
    /// A host fork: the parent returns after the child has claimed its channel.
    forked: bool,
    pub(crate) claimed: bool,
    /// The host call has returned in the parent, with this process for a fork.
    returned: bool,
    host_pid: i32,
    /// The child died before the host call had returned here.
    lost: bool,
    /// A second reply that came before the parent asked for it.
    deferred: Option<Reply>,
}

impl Cloning {
    /// A fork whose child has not come for its channel yet.
    fn unclaimed(&self) -> bool {
        self.forked && !self.claimed
    }
}

pub(crate) struct State {
    pub(crate) phase: Phase,
    pub(crate) request: Option<Request>,
    /// The sleeping stub's notification.
    pub(crate) notif: Option<u64>,
    /// It has spun for the reply before it went to sleep.
    pub(crate) spun: bool,
    /// End of the data area's part that is in use by the request and reply data.
    used: usize,
    outs: [Window; 2],
    nouts: usize,
    /// Descriptors that the current reply lets the stub ask for.
    pub(crate) donations: Vec<FileMapping>,
    pub(crate) cloning: Option<Cloning>,
    /// A spare: its first request is answered with an image, which has come already or not.
    needs_image: bool,
    arrived: bool,
    image: Option<ExecImage>,
    pub(crate) exiting: bool,
    /// The current event's answer takes long.
    parked: bool,
    /// The current event is the platform's own: the kernel does not know of it.
    internal: bool,
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
    /// Host tid as the host kernel told it (0: not yet known; the channel's word is only the stub's claim).
    pub(crate) tid: AtomicI32,
    pub(crate) owner: RwLock<Option<OwnerRef>>,
    /// Held until the clone that makes this thread is through: the parent's space, and whether it is shared.
    token: Mutex<Option<(Arc<Space>, bool)>>,
    pub(crate) state: Mutex<State>,
    /// A kind of its own: the zygote's main thread.
    pub(crate) zygote: bool,
}

impl SysThread {
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
                exiting: false,
                parked: false,
                internal: false,
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
            state.parked = false;
            let starting = request.kind == l::REQ_STARTED && state.needs_image;
            state.internal = starting || matches!(request.kind, l::REQ_PATCH | l::REQ_CLONED);
            state.used = request.used.next_multiple_of(64);
            state.nouts = 0;
            if !state.donations.is_empty() {
                state.donations.clear();
            }
            state.request = Some(request);
            request
        };
        self.dispatch(&request);
        true
    }

    fn dispatch(self: &Arc<Self>, request: &Request) {
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
                if self.start_image() {
                    return;
                }
                Event::Started
            }
            l::REQ_BROKEN => Event::Broken(Errno::from_code(low_i32(request.call.args[0])).unwrap_or(Errno::EFAULT)),
            l::REQ_PATCH => return self.patch(&request.call.args),
            l::REQ_CLONED => return self.cloned(request.call.args[0].cast_signed()),
            l::REQ_ZYGOTE => {
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
    fn stopped(&self) -> Option<MutexGuard<'_, State>> {
        let state = self.state.lock();
        (state.phase == Phase::Stopped).then_some(state)
    }

    /// The state, unless the thread is gone.
    fn alive(&self) -> Option<MutexGuard<'_, State>> {
        let state = self.state.lock();
        (state.phase != Phase::Dead).then_some(state)
    }

    /// Publishes a reply and wakes the stub if it sleeps.
    fn finish(&self, kind: u32, result: i64) {
        let mut state = self.state.lock();
        self.finish_locked(&mut state, kind, result);
    }

    fn finish_locked(&self, state: &mut State, kind: u32, result: i64) {
        if state.phase != Phase::Stopped {
            return;
        }
        for i in 0..state.nouts {
            self.channel.set_out(i, state.outs[i]);
        }
        state.phase = Phase::Running;
        state.request = None;
        let outs = u32::try_from(state.nouts).unwrap_or(0);
        let notif = state.notif.take();
        self.platform.before_reply(self, notif.map(|_| state.spun), state.parked);
        self.channel.publish(self.seq.load(Ordering::Relaxed), kind, result, outs);
        if let Some(id) = notif {
            self.platform.wake_notified(id);
        }
        if state.kick {
            self.kick(state);
        }
    }

    /// Signals a running thread to stop, or remembers to.
    fn kick(&self, state: &mut State) {
        let tid = self.known_tid();
        let signalled = tid > 0 && sys::tgkill(self.space.pid(), tid, l::KICK_SIGNAL).is_ok();
        state.kick = !signalled;
        let seq = self.seq.load(Ordering::Relaxed);
        if signalled && state.interrupted.is_none_or(|(at, _)| at != seq) {
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
            Some((at, ticks)) if at == seq && state.phase == Phase::Running => {
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
    fn reserve(&self, state: &mut State, addr: u64, len: usize) -> Option<usize> {
        if state.phase != Phase::Stopped || state.nouts == 2 || len > l::BOUNCE_SIZE - state.used {
            return None;
        }
        let off = state.used;
        state.outs[state.nouts] = Window { addr, len, off };
        state.nouts += 1;
        state.used = (off + len).next_multiple_of(16).min(l::BOUNCE_SIZE);
        Some(off)
    }

    /// Carries out the reply's copy-outs now. False if one faults.
    fn store_outs(&self) -> bool {
        let outs = {
            let mut state = self.state.lock();
            let count = std::mem::take(&mut state.nouts);
            state.outs.into_iter().take(count)
        };
        outs.into_iter().all(|out| {
            let mut data = vec![0; out.len];
            self.channel.read_data(out.off, &mut data);
            sys::vm_write(self.space.pid(), out.addr, &data) == data.len()
        })
    }

    fn reply_signal(&self, frame: &SignalFrame) {
        use crate::api::CallOutcome;
        use l::signal_frame as at;
        // What a finished call has stored in the reply must reach the application before the handler runs; there is no room for it
        // beside the frame.
        let stored = matches!(frame.outcome, CallOutcome::None | CallOutcome::Restart) || self.store_outs();
        let (outcome, value) = match frame.outcome {
            CallOutcome::None => (0u32, 0i64),
            CallOutcome::Return(_) if !stored => (1, Errno::EFAULT.to_result()),
            CallOutcome::Return(value) => (1, value),
            CallOutcome::Restart => (2, 0),
            CallOutcome::RestartBlock => (3, 0),
        };
        let mut bytes = [0u8; at::SIZE];
        let mut put = |field: usize, data: &[u8]| bytes[field..field + data.len()].copy_from_slice(data);
        put(at::SIGNO, &frame.signo.to_le_bytes());
        put(at::OUTCOME, &outcome.to_le_bytes());
        put(at::VALUE, &value.to_le_bytes());
        put(at::HANDLER, &frame.handler.to_le_bytes());
        put(at::FLAGS, &frame.flags.to_le_bytes());
        put(at::RESTORER, &frame.restorer.to_le_bytes());
        put(at::OLD_MASK, &frame.old_mask.to_le_bytes());
        put(at::NEW_MASK, &frame.new_mask.to_le_bytes());
        put(at::INFO, &frame.info);
        let Some(mut state) = self.stopped() else { return };
        // Copy-outs of a call that is made again are dropped; the frame goes where nothing else is.
        state.nouts = 0;
        state.used = 0;
        if let Some(off) = self.reserve(&mut state, 0, at::SIZE) {
            self.channel.write_data(off, &bytes);
        }
        self.finish_locked(&mut state, l::REP_SIGNAL, 0);
    }

    fn donate(state: &mut State, file: Option<FileMapping>) -> (u64, i32) {
        match file {
            None => (0, -1),
            Some(file) => {
                let id = file.id;
                if let Some(at) = state.donations.iter().position(|f| f.id == id && id != 0) {
                    return (id, i32::try_from(at).unwrap_or(-1));
                }
                state.donations.push(file);
                (id, i32::try_from(state.donations.len() - 1).unwrap_or(-1))
            }
        }
    }

    fn patch(&self, args: &[u64; 6]) {
        use super::patch::Step;
        let [site, nr, result, ..] = *args;
        let step = if self.space.gate.lock().enter_patch(self.slot) {
            let step = self.platform.patch_step(self, site, nr, result.cast_signed());
            if matches!(step, Step::Done) {
                self.space.gate.lock().leave_patch();
                Self::begin_waiting(&self.space);
            }
            step
        } else {
            Step::Done
        };
        let (kind, a, b) = match step {
            Step::Done => (l::PATCH_DONE, 0, 0),
            Step::Map(addr, len) => (l::PATCH_MAP, addr, len),
            Step::Barrier(window, header) => (l::PATCH_BARRIER, window, header),
        };
        let Some(mut state) = self.stopped() else { return };
        self.channel.set_op(0, kind);
        self.channel.set_op(1, a);
        self.channel.set_op(2, b);
        self.finish_locked(&mut state, l::REP_PATCH, 0);
    }

    /// To the zygote: fork a stub that claims with `nonce`.
    pub(crate) fn reply_fork(&self, nonce: (u64, u64)) {
        let Some(mut state) = self.stopped() else { return };
        self.channel.set_op(6, nonce.0);
        self.channel.set_op(7, nonce.1);
        self.finish_locked(&mut state, l::REP_FORK, 0);
    }

    fn reply_mmap(&self, op: MmapOp) {
        let Some(mut state) = self.stopped() else { return };
        let (id, index) = Self::donate(&mut state, op.file);
        let words = [
            op.addr,
            op.len,
            u64::from(op.prot.cast_unsigned()),
            u64::from(op.flags.cast_unsigned()),
            op.offset,
            id,
            i64::from(index).cast_unsigned(),
        ];
        for (i, w) in words.into_iter().enumerate() {
            self.channel.set_op(i, w);
        }
        self.finish_locked(&mut state, l::REP_MMAP, 0);
    }

    /// The first request of a spare; its image may have come already.
    fn start_image(self: &Arc<Self>) -> bool {
        let Some(mut state) = self.stopped() else { return true };
        if !state.needs_image {
            return false;
        }
        state.arrived = true;
        if let Some(image) = state.image.take() {
            self.reply_exec(state, image);
        }
        true
    }

    /// Gives a spare its image, at once or when it arrives.
    pub(crate) fn give_image(self: &Arc<Self>, image: ExecImage) {
        let mut state = self.state.lock();
        match state.phase {
            Phase::Stopped if state.arrived => self.reply_exec(state, image),
            Phase::Stopped | Phase::Running => state.image = Some(image),
            Phase::Dead => {
                drop(state);
                self.platform.report_gone(self, 0);
            }
        }
    }

    /// A thread of a spare, which asks for an image first.
    pub(crate) fn make_spare(&self) {
        self.state.lock().needs_image = true;
    }

    /// Whether an image's steps find room in a channel.
    pub(crate) fn image_fits(image: &ExecImage) -> bool {
        image.ops.len() <= l::BOUNCE_SIZE / l::image_op::SIZE
    }

    fn reply_exec(&self, mut state: MutexGuard<'_, State>, image: ExecImage) {
        use l::image_op as at;
        state.needs_image = false;
        state.nouts = 0;
        state.used = 0;
        let mut ops = Vec::with_capacity(image.ops.len() * at::SIZE);
        let table = image.ops.len() * at::SIZE;
        let mut data_at = table.next_multiple_of(16);
        let mut count = 0u64;
        for op in image.ops {
            let mut b = [0u8; at::SIZE];
            let mut put = |field: usize, data: &[u8]| b[field..field + data.len()].copy_from_slice(data);
            match op {
                ImageOp::Mmap(m) => {
                    let (id, index) = Self::donate(&mut state, m.file);
                    put(at::KIND, &l::OP_MMAP.to_le_bytes());
                    put(at::FD, &index.to_le_bytes());
                    put(at::ADDR, &m.addr.to_le_bytes());
                    put(at::LEN, &m.len.to_le_bytes());
                    put(at::PROT, &m.prot.to_le_bytes());
                    put(at::FLAGS, &m.flags.to_le_bytes());
                    put(at::OFFSET, &m.offset.to_le_bytes());
                    put(at::ID, &id.to_le_bytes());
                }
                ImageOp::Zero { addr, len } => {
                    put(at::KIND, &l::OP_ZERO.to_le_bytes());
                    put(at::ADDR, &addr.to_le_bytes());
                    put(at::LEN, &len.to_le_bytes());
                }
                ImageOp::Write { addr, data } => {
                    if data_at + data.len() > l::BOUNCE_SIZE {
                        // Too large for the channel: the spare's stack is already there and can be written from here.
                        if sys::vm_write(self.space.pid(), addr, &data) != data.len() {
                            drop(state);
                            return self.space.kill();
                        }
                        continue;
                    }
                    self.channel.write_data(data_at, &data);
                    put(at::KIND, &l::OP_WRITE.to_le_bytes());
                    put(at::ADDR, &addr.to_le_bytes());
                    put(at::LEN, &u64::try_from(data.len()).unwrap_or(0).to_le_bytes());
                    put(at::OFFSET, &u64::try_from(data_at).unwrap_or(0).to_le_bytes());
                    data_at = (data_at + data.len()).next_multiple_of(16);
                }
            }
            ops.extend_from_slice(&b);
            count += 1;
        }
        self.channel.write_data(0, &ops);
        self.channel.set_out(0, Window { addr: 0, len: ops.len(), off: 0 });
        for (i, w) in [count, image.entry, image.stack, image.brk].into_iter().enumerate() {
            self.channel.set_op(i, w);
        }
        self.space.brk.store(image.brk, Ordering::Relaxed);
        self.finish_locked(&mut state, l::REP_EXEC, 0);
    }

    /// A clone: begun at once, or when the address space's other clones and patches are through.
    fn reply_clone(self: &Arc<Self>, op: CloneOp, owner: OwnerRef) {
        let clone = Waiting { parent: Arc::clone(self), op, owner };
        let turn = self.space.gate.lock().enter(clone);
        match turn {
            Ok(Some(clone)) => self.begin_clone(&clone.op, clone.owner),
            Ok(None) => self.park(),
            Err(clone) => clone.refuse(),
        }
    }

    /// The clone that made this thread is through or has failed: the next ones in the parent's address space begin.
    pub(crate) fn leave_gate(&self) {
        let token = self.token.lock().take();
        if let Some((space, share_vm)) = token {
            space.gate.lock().leave(share_vm);
            Self::begin_waiting(&space);
        }
    }

    fn begin_waiting(space: &Arc<Space>) {
        loop {
            let next = space.gate.lock().next();
            let Some(clone) = next else { return };
            clone.parent.begin_clone(&clone.op, clone.owner);
        }
    }

    fn begin_clone(self: &Arc<Self>, op: &CloneOp, owner: OwnerRef) {
        let prepared = if op.share_vm { self.prepare_thread(owner) } else { self.platform.prepare_fork(self, owner) };
        let prepared = match prepared {
            Ok(p) => p,
            Err(errno) => {
                self.space.gate.lock().leave(op.share_vm);
                self.finish(l::REP_RETURN, errno.to_result());
                return Self::begin_waiting(&self.space);
            }
        };
        *prepared.child.token.lock() = Some((Arc::clone(&self.space), op.share_vm));
        prepared.child.channel.set_sigmask(self.channel.sigmask());
        // A thread starts without one; a fork's or vfork's child has its parent's.
        if !op.share_vm || op.hold_parent {
            prepared.child.channel.set_altstack(self.channel.altstack());
        }
        let mut flags = prepared.flags;
        let mut set = |on: bool, bit: u64| flags |= if on { bit } else { 0 };
        set(op.share_vm, l::CLONE_OP_SHARE_VM);
        set(op.tls.is_some(), l::CLONE_OP_SETTLS);
        set(op.parent_tid.is_some(), l::CLONE_OP_PARENT_SETTID);
        set(op.child_tid.is_some(), l::CLONE_OP_CHILD_SETTID);
        set(op.stack != 0, l::CLONE_OP_NEW_STACK);
        set(op.hold_parent, l::CLONE_OP_HOLD);
        let words = [
            flags,
            op.stack,
            op.tls.unwrap_or(0),
            op.parent_tid.unwrap_or(0),
            op.child_tid.unwrap_or(0),
            u64::from(op.tid.cast_unsigned()),
            prepared.words[0],
            prepared.words[1],
        ];
        let child = prepared.child;
        let Some(mut state) = self.stopped() else {
            return self.platform.clone_failed(&child);
        };
        for (i, w) in words.into_iter().enumerate() {
            self.channel.set_op(i, w);
        }
        // A stub that asks for a clone in the middle of one is not ours any more.
        let forgotten = state.cloning.take().filter(Cloning::unclaimed);
        state.cloning = Some(Cloning {
            host_pid: 0,
            lost: false,
            child,
            tid: op.tid,
            hold: op.hold_parent,
            forked: !op.share_vm,
            claimed: false,
            returned: false,
            deferred: None,
        });
        self.finish_locked(&mut state, l::REP_CLONE, 0);
        drop(state);
        if let Some(forgotten) = forgotten {
            self.platform.clone_failed(&forgotten.child);
        }
    }

    fn prepare_thread(self: &Arc<Self>, owner: OwnerRef) -> Result<Prepared, Errno> {
        let mut tables = self.space.tables.lock();
        let (slot, map_region, map_slab) = self.space.take_slot(&mut tables)?;
        let channel = Space::channel(&tables, slot).ok_or(Errno::EAGAIN)?;
        let child = SysThread::new(&self.platform, &self.space, channel, slot, Some(owner), false);
        tables.threads.push(Arc::clone(&child));
        let flags = if map_region { l::CLONE_OP_MAP_REGION } else { 0 } | if map_slab { l::CLONE_OP_MAP_SLAB } else { 0 };
        Ok(Prepared { child, flags, words: [u64::from(slot), 0] })
    }

    /// The parent's host call has returned `result`.
    fn cloned(self: &Arc<Self>, result: i64) {
        let mut state = self.state.lock();
        let Some(mut cloning) = state.cloning.take() else {
            return self.finish_locked(&mut state, l::REP_RETURN, Errno::EINVAL.to_result());
        };
        if result < 0 && !cloning.claimed {
            self.finish_locked(&mut state, l::REP_RETURN, result.max(-4095));
            drop(state);
            self.platform.clone_failed(&cloning.child);
            return;
        }
        if cloning.lost {
            return self.finish_locked(&mut state, l::REP_RETURN, Errno::EAGAIN.to_result());
        }
        cloning.returned = true;
        if cloning.hold {
            match cloning.deferred.take() {
                Some(reply) => {
                    drop(state);
                    self.reply(reply);
                }
                // The reply comes from the kernel.
                None if cloning.unclaimed() => self.keep_waiting(state, cloning, result),
                None => {}
            }
            return;
        }
        if !cloning.unclaimed() {
            self.finish_locked(&mut state, l::REP_RETURN, i64::from(cloning.tid));
            return;
        }
        self.keep_waiting(state, cloning, result);
    }

    /// The forked process `pid` has not claimed its channel yet.
    fn keep_waiting(&self, mut state: MutexGuard<'_, State>, mut cloning: Cloning, pid: i64) {
        let host_pid = i32::try_from(pid).unwrap_or(0);
        cloning.host_pid = host_pid;
        state.cloning = Some(cloning);
        drop(state);
        self.platform.await_claim(host_pid, Unclaimed::Fork(self.me.clone()));
    }

    /// The host process of this thread's fork died before it claimed its channel.
    pub(crate) fn child_died(&self, pid: i32) {
        let mut state = self.state.lock();
        if let Some(cloning) = state.cloning.take_if(|c| c.unclaimed() && c.returned && c.host_pid == pid) {
            self.finish_locked(&mut state, l::REP_RETURN, Errno::EAGAIN.to_result());
            drop(state);
            self.platform.clone_failed(&cloning.child);
        }
    }

    /// As `child_died`, when the process died while it claimed.
    pub(crate) fn child_lost(&self, child: &Arc<SysThread>) {
        let mut state = self.state.lock();
        let Some(cloning) = state.cloning.as_mut().filter(|c| Arc::ptr_eq(&c.child, child)) else {
            drop(state);
            return self.platform.clone_failed(child);
        };
        if cloning.returned {
            state.cloning = None;
            self.finish_locked(&mut state, l::REP_RETURN, Errno::EAGAIN.to_result());
        } else {
            cloning.lost = true;
        }
        drop(state);
        self.platform.clone_failed(child);
    }

    /// The child of this thread's fork has claimed its channel.
    pub(crate) fn child_claimed(&self) {
        let mut state = self.state.lock();
        let Some(cloning) = state.cloning.as_mut() else { return };
        cloning.claimed = true;
        if cloning.returned {
            let (tid, hold) = (cloning.tid, cloning.hold);
            state.cloning = None;
            if hold {
                return;
            }
            self.finish_locked(&mut state, l::REP_RETURN, i64::from(tid));
        }
    }

    fn reply_exit(self: &Arc<Self>, clear_tid: u64, robust_list: u64) {
        let lent;
        {
            let Some(mut state) = self.stopped() else { return };
            lent = state.nouts > 0;
            self.channel.set_op(0, clear_tid);
            self.channel.set_op(1, robust_list);
            state.exiting = true;
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

    fn known_tid(&self) -> i32 {
        match self.tid.load(Ordering::Acquire) {
            0 => self.channel.host_tid(),
            tid => tid,
        }
    }
}

/// Who waits for a forked host process to claim its channel.
pub(crate) enum Unclaimed {
    /// An application's fork: the parent.
    Fork(Weak<SysThread>),
    /// The zygote's.
    Spare((u64, u64)),
}

impl Waiting {
    /// The process is gone before its clone could begin: the child's owner hears so.
    pub(crate) fn refuse(self) {
        let parent: Arc<dyn Thread> = self.parent;
        self.owner.0.handle(&parent, Event::NotMade);
    }
}

/// A child's side, ready before the host clone.
pub(crate) struct Prepared {
    pub(crate) child: Arc<SysThread>,
    pub(crate) flags: u64,
    pub(crate) words: [u64; 2],
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
            Reply::Local => self.finish(l::REP_LOCAL, 0),
            Reply::Signal(frame) => self.reply_signal(&frame),
            Reply::Mmap(op) => self.reply_mmap(*op),
            Reply::Clone(op, owner) => {
                if let Some(me) = self.me.upgrade() {
                    me.reply_clone(op, owner);
                }
            }
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
            Phase::Stopped | Phase::Dead => {}
        }
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

    fn read_memory(&self, addr: u64, dst: &mut [u8]) -> usize {
        let request = self.state.lock().request;
        let mut done = 0;
        if let Some(request) = request {
            for w in &request.windows {
                let Some(skip) = addr.checked_sub(w.addr).and_then(|s| usize::try_from(s).ok()) else {
                    continue;
                };
                if w.len == 0 || skip >= w.len {
                    continue;
                }
                done = dst.len().min(w.len - skip);
                self.channel.read_data(w.off + skip, &mut dst[..done]);
                break;
            }
        }
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
        let off = self.reserve(&mut state, addr, len)?;
        self.channel.data_slice(off, len)
    }

    fn shrink_reply(&self, len: usize) {
        let mut state = self.state.lock();
        let Some(last) = state.nouts.checked_sub(1) else { return };
        state.outs[last].len = state.outs[last].len.min(len);
        if len == 0 {
            state.nouts = last;
        }
    }

    fn host_tid(&self) -> i32 {
        self.known_tid()
    }

    fn cpu_time(&self) -> (u64, u64) {
        let (user, total) = sys::process_cpu_time(self.space.pid());
        (user, total.saturating_sub(user))
    }
}
