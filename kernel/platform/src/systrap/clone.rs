//! Threads and forks: the parent's side of a clone, from the kernel's reply to the child's claim.
//!
//! A child's owner hears [`Event::Started`] before the host call is made, so that the child runs application code at once; the parent's stub
//! returns by itself when the host call has succeeded, and asks only when it has failed or when its kernel holds it (vfork).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bevor_abi::Errno;
use bevor_stub::layout as l;

use super::gate::Waiting;
use super::space::Space;
use super::thread::SysThread;
use crate::api::{CloneOp, Event, OwnerRef, Reply, Thread};

/// A clone under way on the parent's side.
pub(crate) struct Cloning {
    pub(crate) child: Arc<SysThread>,
    pub(crate) tid: i32,
    pub(crate) hold: bool,
    /// A host fork, whose child claims its channel.
    forked: bool,
    pub(crate) claimed: bool,
    /// A second reply that came before the parent asked for it.
    pub(crate) deferred: Option<Reply>,
}

impl Cloning {
    /// A fork whose child has not come for its channel yet.
    pub(crate) fn unclaimed(&self) -> bool {
        self.forked && !self.claimed
    }
}

impl Waiting {
    /// The process is gone before its clone could begin: the child's owner hears so.
    pub(crate) fn refuse(self) {
        let parent: Arc<dyn Thread> = self.parent;
        self.owner.0.handle(&parent, Event::NotStarted);
    }
}

/// A child's side, ready before the host clone.
pub(crate) struct Prepared {
    pub(crate) child: Arc<SysThread>,
    pub(crate) flags: u64,
    pub(crate) words: [u64; 2],
}

impl SysThread {
    /// A clone: begun at once, or when the address space's other clones and patches are through.
    pub(crate) fn reply_clone(self: &Arc<Self>, op: CloneOp, owner: OwnerRef) {
        let clone = Waiting { parent: Arc::clone(self), op, owner };
        if let Some(mut state) = self.stopped() {
            state.queued = true;
        }
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

    pub(crate) fn begin_waiting(space: &Arc<Space>) {
        loop {
            let next = space.gate.lock().next();
            let Some(clone) = next else { return };
            clone.parent.begin_clone(&clone.op, clone.owner);
        }
    }

    fn begin_clone(self: &Arc<Self>, op: &CloneOp, owner: OwnerRef) {
        let owner_of_child = owner.clone();
        // Before there is a claim for which an earlier fork's process could be taken.
        if let Some(_state) = self.stopped() {
            self.channel.forget_fork();
        }
        let prepared = if op.share_vm { self.prepare_thread(owner) } else { self.platform.prepare_fork(self, owner) };
        let prepared = match prepared {
            Ok(p) => p,
            Err(errno) => {
                self.space.gate.lock().leave(op.share_vm);
                self.finish(l::REP_RETURN, errno.to_result());
                return Self::begin_waiting(&self.space);
            }
        };
        if prepared.flags & l::CLONE_OP_REPORT != 0 || !op.share_vm {
            *prepared.child.token.lock() = Some((Arc::clone(&self.space), op.share_vm));
        } else {
            // Nothing that a fork could catch half done.
            self.space.gate.lock().leave(op.share_vm);
            Self::begin_waiting(&self.space);
        }
        prepared.child.channel.set_sigmask(self.channel.sigmask());
        // A thread starts without one; a fork's or vfork's child has its parent's.
        if !op.share_vm || op.hold_parent {
            prepared.child.channel.set_altstack(self.channel.altstack());
        }
        // It runs as soon as the host call has been made.
        let started: Arc<dyn Thread> = Arc::<Self>::clone(&prepared.child) as Arc<dyn Thread>;
        owner_of_child.0.handle(&started, Event::Started);
        prepared.child.cpu.store(self.cpu.load(Ordering::Relaxed), Ordering::Relaxed);
        self.platform.warm(&prepared.child);
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
            return self.platform.clone_failed(&child, Event::NotStarted);
        };
        for (i, w) in words.into_iter().enumerate() {
            self.channel.set_op(i, w);
        }
        // A stub that asks for a clone in the middle of one is not ours any more.
        let forgotten = state.cloning.take().filter(Cloning::unclaimed);
        state.cloning =
            Some(Cloning { child, tid: op.tid, hold: op.hold_parent, forked: !op.share_vm, claimed: false, deferred: None });
        self.finish_locked(&mut state, l::REP_CLONE, 0);
        drop(state);
        if let Some(forgotten) = forgotten {
            self.platform.clone_failed(&forgotten.child, Event::Gone { status: 0 });
        }
    }

    fn prepare_thread(self: &Arc<Self>, owner: OwnerRef) -> Result<Prepared, Errno> {
        let mut tables = self.space.tables.lock();
        let (slot, map_region, map_slab) = self.space.take_slot(&mut tables)?;
        let channel = Space::channel(&tables, slot).ok_or(Errno::EAGAIN)?;
        let child = SysThread::new(&self.platform, &self.space, channel, slot, Some(owner), false);
        tables.threads.push(Arc::clone(&child));
        self.space.threaded.store(true, Ordering::Release);
        let mut flags = if map_region { l::CLONE_OP_MAP_REGION } else { 0 } | if map_slab { l::CLONE_OP_MAP_SLAB } else { 0 };
        if flags != 0 {
            flags |= l::CLONE_OP_REPORT;
        }
        Ok(Prepared { child, flags, words: [u64::from(slot), 0] })
    }

    /// The parent's host call has returned `result`: an error, or anything for a parent that is held.
    pub(crate) fn cloned(self: &Arc<Self>, result: i64) {
        let mut state = self.state.lock();
        let Some(mut cloning) = state.cloning.take() else {
            return self.finish_locked(&mut state, l::REP_RETURN, Errno::EINVAL.to_result());
        };
        if result < 0 && !cloning.claimed {
            self.finish_locked(&mut state, l::REP_RETURN, result.max(-4095));
            drop(state);
            self.platform.clone_failed(&cloning.child, Event::NotStarted);
            return;
        }
        if !cloning.hold {
            return self.finish_locked(&mut state, l::REP_RETURN, i64::from(cloning.tid));
        }
        // Otherwise the reply comes from the kernel later.
        if let Some(reply) = cloning.deferred.take() {
            drop(state);
            self.reply(reply);
        }
    }

    /// The child of this thread's fork has claimed its channel.
    pub(crate) fn child_claimed(&self) {
        let mut state = self.state.lock();
        match state.cloning.as_mut() {
            // Its host call has not returned yet.
            Some(cloning) if cloning.hold => cloning.claimed = true,
            Some(_) => state.cloning = None,
            None => {}
        }
    }
}
