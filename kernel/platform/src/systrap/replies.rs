//! Replies that are more than a result: signal frames, mappings, images.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bevor_abi::Errno;
use bevor_stub::layout as l;
use parking_lot::MutexGuard;

use super::channel::{Place, Window};
use super::place;
use super::sys;
use super::text::{self, Text};
use super::thread::{Phase, State, SysThread};
use crate::api::{AddressSpace as _, ExecImage, FileMapping, ImageOp, MmapOp, SignalFrame, SpaceLayout};
use crate::defence::Defence;

/// Steps before those of an image, at most: the old one goes, the vDSO with its data is moved, there is a stack, and what keeps mappings away.
const LAYOUT_OPS: usize = 10;
/// Mappings that a vDSO has at most.
const VDSO_PIECES: usize = LAYOUT_OPS - 4;
/// Steps more for trampolines of text that is patched already: the interpreter's.
const TEXT_OPS: usize = 1;

fn range(op: &MmapOp) -> (u64, u64) {
    (op.addr, op.addr.saturating_add(op.len))
}

pub(super) fn overlap(a: (u64, u64), b: (u64, u64)) -> bool {
    a.0 < b.1 && b.0 < a.1
}

/// The file that is run first, if it is another than the program's own.
fn interpreter(image: &ExecImage) -> Option<u64> {
    let files = image.ops.iter().filter_map(|op| match op {
        ImageOp::Mmap(m) => m.file.as_ref().map(|file| (m, file.id)),
        ImageOp::Zero { .. } | ImageOp::Write { .. } => None,
    });
    let mut files = files.peekable();
    let program = files.peek().map(|(_, id)| *id);
    files.find(|(m, id)| Some(*id) != program && (m.addr..range(m).1).contains(&image.entry)).map(|(_, id)| id)
}

impl SysThread {
    /// Carries out the reply's copy-outs now. False if one faults.
    pub(crate) fn store_outs(&self) -> bool {
        let outs = {
            let mut state = self.state.lock();
            let count = std::mem::take(&mut state.nouts);
            state.outs.into_iter().take(count)
        };
        outs.into_iter().all(|out| {
            let mut data = vec![0; out.len];
            self.channel.read_out(&out, &mut data);
            sys::vm_write(self.space.pid(), out.addr, &data) == data.len()
        })
    }

    pub(crate) fn reply_signal(&self, frame: &SignalFrame) {
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
        if let Some(Place::Data(off)) = self.reserve(&mut state, 0, at::SIZE).map(|w| w.place) {
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

    /// To the zygote: fork a stub that claims with `nonce`.
    pub(crate) fn reply_fork(&self, nonce: (u64, u64)) {
        let Some(mut state) = self.stopped() else { return };
        self.channel.set_op(6, nonce.0);
        self.channel.set_op(7, nonce.1);
        self.finish_locked(&mut state, l::REP_FORK, 0);
    }

    /// A step of a patch that the stub carries out.
    pub(crate) fn patch(&self, args: &[u64; 6]) {
        use super::patch::Step;
        let [site, nr, result, ..] = *args;
        if site == 0 {
            // Trampolines that were to be mapped below a text found no room.
            self.space.patches.lock().texts.stop();
        }
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

    /// The patched copy that takes the place of a mapping. Not in processes with limits on their memory: they do not expect trampolines.
    fn patched(&self, op: &MmapOp) -> Option<Arc<Text>> {
        if op.prot & libc::PROT_EXEC == 0 || self.space.files.get().is_none() || self.space.is_limited() {
            return None;
        }
        if !self.space.patches.lock().texts.more() {
            return None;
        }
        let text = self.platform.patched_text(op)?;
        let trampolines = text.trampolines_op(op.addr);
        (!overlap(range(&trampolines), (l::STUB_BASE, l::STUB_END))).then_some(text)
    }

    /// `image` with the patched copy of its interpreter's text, if there is one and its trampolines find room. A program's own text stays
    /// as it is: it may hold code that it means to copy.
    fn patched_image(&self, image: ExecImage) -> ExecImage {
        let Some(interpreter) = interpreter(&image) else {
            // What such a program maps it may not run but translate (emulators, valgrind), and then trampolines lead nowhere.
            self.space.patches.lock().texts.stop();
            return image;
        };
        let ranges = image.ops.iter().filter_map(|op| match op {
            ImageOp::Mmap(m) => Some(range(m)),
            ImageOp::Zero { .. } | ImageOp::Write { .. } => None,
        });
        let ground = &self.platform.ground;
        let layout = image.layout.unwrap_or(ground.plain);
        let mut taken: Vec<_> = ranges.chain([place::stack(&layout), ground.vdso(&layout), layout.reserved]).collect();
        let mut ops = Vec::with_capacity(image.ops.len() + TEXT_OPS);
        let mut texts = 0;
        for op in image.ops {
            if let ImageOp::Mmap(m) = &op
                && texts < TEXT_OPS
                && m.file.as_ref().is_some_and(|file| file.id == interpreter)
                && let Some(text) = self.patched(m)
            {
                let trampolines = text.trampolines_op(m.addr);
                if !taken.iter().any(|t| overlap(*t, range(&trampolines))) {
                    let stand_in = text.stand_in(m);
                    taken.push(range(&trampolines));
                    self.space.patches.lock().texts.add(trampolines.addr, text);
                    ops.extend([ImageOp::Mmap(trampolines), ImageOp::Mmap(stand_in)]);
                    texts += 1;
                    continue;
                }
            }
            ops.push(op);
        }
        ExecImage { ops, ..image }
    }

    pub(crate) fn reply_mmap(&self, mut op: MmapOp) {
        let mut distance = 0;
        if let Some(text) = self.patched(&op) {
            op = text.stand_in(&op);
            distance = text::DISTANCE;
            self.space.patches.lock().texts.add(op.addr - distance, text);
        }
        let Some(mut state) = self.stopped() else { return };
        let (id, index) = Self::donate(&mut state, op.file);
        // What not everybody may read, or what can write, is closed once it is mapped.
        let public = id & FileMapping::FOR_EVERYBODY != 0 || !self.platform.defences.has(Defence::Keeping);
        let id = if public { id } else { 0 };
        let words = [
            op.addr,
            op.len,
            u64::from(op.prot.cast_unsigned()),
            u64::from(op.flags.cast_unsigned()),
            op.offset,
            id,
            i64::from(index).cast_unsigned(),
            distance,
        ];
        for (i, w) in words.into_iter().enumerate() {
            self.channel.set_op(i, w);
        }
        self.finish_locked(&mut state, l::REP_MMAP, 0);
    }

    /// The first request of a spare; its image may have come already.
    pub(crate) fn start_image(self: &Arc<Self>) -> bool {
        let Some(mut state) = self.stopped() else { return true };
        if !state.needs_image {
            return false;
        }
        state.arrived = true;
        if let Some(image) = state.image.take() {
            self.reply_exec(state, image, None);
        }
        true
    }

    /// Gives a spare its image, at once or when it arrives.
    pub(crate) fn give_image(self: &Arc<Self>, image: ExecImage) {
        let image = self.patched_image(image);
        let mut state = self.state.lock();
        match state.phase {
            Phase::Stopped if state.arrived => self.reply_exec(state, image, None),
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
        image.ops.len() + LAYOUT_OPS + TEXT_OPS <= l::BOUNCE_SIZE / l::image_op::SIZE
    }

    /// Whether an image, with what it stores, finds room in a channel. (What does not is written to a spare's memory directly.)
    pub(crate) fn image_fits_whole(image: &ExecImage) -> bool {
        let stored = image.ops.iter().map(|op| match op {
            ImageOp::Write { data, .. } => data.len().next_multiple_of(16),
            ImageOp::Mmap(_) | ImageOp::Zero { .. } => 0,
        });
        (image.ops.len() + LAYOUT_OPS + TEXT_OPS + 1) * l::image_op::SIZE + stored.sum::<usize>() <= l::BOUNCE_SIZE
    }

    /// A new image in place of the old one, for a thread that has its address space alone.
    pub(crate) fn replace_image(&self, image: ExecImage, robust_list: u64) {
        *self.space.patches.lock() = super::patch::Patches::default();
        let image = self.patched_image(image);
        if let Some(state) = self.stopped() {
            self.reply_exec(state, image, Some(robust_list));
        }
    }

    /// The steps that lead from one layout to another. With a robust list, the old image is unmapped first.
    fn layout_ops(&self, old: &SpaceLayout, new: &SpaceLayout, robust_list: Option<u64>) -> Vec<[u8; l::image_op::SIZE]> {
        use l::image_op as at;
        let op = |kind: u32, (start, end): (u64, u64), prot: i32, flags: i32, offset: u64| {
            let mut b = [0u8; at::SIZE];
            let mut put = |field: usize, data: &[u8]| b[field..field + data.len()].copy_from_slice(data);
            put(at::KIND, &kind.to_le_bytes());
            put(at::FD, &(-1i32).to_le_bytes());
            put(at::ADDR, &start.to_le_bytes());
            put(at::LEN, &(end - start).to_le_bytes());
            put(at::PROT, &prot.to_le_bytes());
            put(at::FLAGS, &flags.to_le_bytes());
            put(at::OFFSET, &offset.to_le_bytes());
            b
        };
        let ground = &self.platform.ground;
        let anonymous = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
        let mut ops = Vec::with_capacity(LAYOUT_OPS);
        if let Some(head) = robust_list {
            ops.push(op(l::OP_RESET, ground.vdso(old), 0, 0, head));
        }
        if old.vdso != new.vdso {
            for (from, (to, len)) in ground.pieces(old).into_iter().zip(ground.pieces(new)).take(VDSO_PIECES) {
                ops.push(op(l::OP_MOVE, (to, to + len), 0, 0, from.0));
            }
            ops.push(op(l::OP_VDSO, (new.vdso, new.vdso), 0, 0, 0));
        }
        let (from, to) = (place::stack(old), place::stack(new));
        if robust_list.is_some() {
            ops.push(op(l::OP_MMAP, to, 3, anonymous | libc::MAP_GROWSDOWN | libc::MAP_STACK, 0));
        } else if from != to {
            ops.push(op(l::OP_MOVE, to, 0, 0, from.0));
        }
        if new.reserved.0 < new.reserved.1 {
            ops.push(op(l::OP_RESERVE, new.reserved, 0, anonymous | libc::MAP_NORESERVE, 0));
        }
        ops
    }

    /// `robust_list`: of the thread whose old image goes first.
    fn reply_exec(&self, mut state: MutexGuard<'_, State>, image: ExecImage, robust_list: Option<u64>) {
        use l::image_op as at;
        state.needs_image = false;
        state.imaging = true;
        state.nouts = 0;
        state.used = 0;
        let (old, new) = (self.space.layout(), image.layout.unwrap_or(self.platform.ground.plain));
        let before = self.layout_ops(&old, &new, robust_list);
        self.space.set_layout(new);
        let table = (image.ops.len() + before.len()) * at::SIZE;
        let mut ops = Vec::with_capacity(table);
        ops.extend(before.iter().flatten());
        let mut data_at = table.next_multiple_of(16);
        let mut count = u64::try_from(before.len()).unwrap_or(0);
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
                        // Too large for the channel: the spare's stack is already there, though to be moved, and can be written from here.
                        let addr = addr.wrapping_sub(new.stack_top).wrapping_add(old.stack_top);
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
        self.channel.set_out(0, Window { addr: 0, len: ops.len(), place: Place::Data(0) });
        for (i, w) in [count, image.entry, image.stack, image.brk].into_iter().enumerate() {
            self.channel.set_op(i, w);
        }
        self.new_until.store(self.seq.load(Ordering::Relaxed).saturating_add(super::worker::NEW_CALLS), Ordering::Relaxed);
        self.space.brk.store(image.brk, Ordering::Relaxed);
        self.finish_locked(&mut state, l::REP_EXEC, 0);
    }
}
