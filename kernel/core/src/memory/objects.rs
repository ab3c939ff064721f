//! Counting what guests make the kernel keep: one number per kind, one for all, and those of users.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bevor_abi::Errno;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use super::MemoryBudget;
use super::kinds::{Kind, PerUser};

/// The least memory for objects: enough for what usual programs do, whatever the files may take.
pub const MIN_OBJECT_MEMORY: u64 = 64 << 20;

/// What objects may take and do.
pub(super) struct Objects {
    limit: u64,
    used: AtomicU64,
    kinds: [AtomicU64; Kind::ALL.len()],
    users: Mutex<FxHashMap<u32, [u64; PerUser::COUNT]>>,
}

impl Objects {
    pub(super) fn new(limit: u64) -> Self {
        Self { limit, used: AtomicU64::new(0), kinds: [const { AtomicU64::new(0) }; Kind::ALL.len()], users: Mutex::default() }
    }

    fn of(&self, kind: Kind) -> &AtomicU64 {
        &self.kinds[kind as usize]
    }

    /// Bytes that all objects of `kind` may take.
    fn ceiling(&self, kind: Kind) -> u64 {
        self.limit / kind.share()
    }

    fn add(&self, kind: Kind, bytes: u64, spare: u64) -> bool {
        let fits = |counter: &AtomicU64, limit: u64| {
            let fits = counter.fetch_add(bytes, Ordering::Relaxed).checked_add(bytes).is_some_and(|sum| sum <= limit);
            if !fits {
                counter.fetch_sub(bytes, Ordering::Relaxed);
            }
            fits
        };
        let ceiling = self.ceiling(kind);
        if !fits(self.of(kind), ceiling - ceiling.checked_div(spare).unwrap_or(0)) {
            return false;
        }
        if !fits(&self.used, self.limit - self.limit.checked_div(spare).unwrap_or(0)) {
            self.of(kind).fetch_sub(bytes, Ordering::Relaxed);
            return false;
        }
        true
    }

    fn add_anyway(&self, kind: Kind, bytes: u64) {
        self.of(kind).fetch_add(bytes, Ordering::Relaxed);
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    fn sub(&self, kind: Kind, bytes: u64) {
        self.of(kind).fetch_sub(bytes, Ordering::Relaxed);
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn add_user(&self, uid: u32, what: PerUser, limit: u64) -> bool {
        let mut users = self.users.lock();
        let counts = users.entry(uid).or_default();
        let Some(count) = counts.get_mut(what as usize) else { return false };
        let fits = *count < limit;
        *count += u64::from(fits);
        if !fits && counts.iter().all(|n| *n == 0) {
            users.remove(&uid);
        }
        fits
    }

    fn sub_user(&self, uid: u32, what: PerUser) {
        let mut users = self.users.lock();
        let Some(counts) = users.get_mut(&uid) else { return };
        if let Some(count) = counts.get_mut(what as usize) {
            *count = count.saturating_sub(1);
        }
        if counts.iter().all(|n| *n == 0) {
            users.remove(&uid);
        }
    }
}

/// Who makes an object, where that matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// The real user id for kinds that are counted by user, and how many of them it may have.
    pub user: Option<(u32, u64)>,
    /// The process has much already: it may not touch the last eighth, which is for those that have little.
    pub hoards: bool,
}

impl MemoryBudget {
    /// Charges one object of `kind`. The caller keeps what comes back with the object.
    ///
    /// # Errors
    /// [`Kind::errno`] if there are too many, or too much is in use.
    pub fn object(self: &Arc<Self>, kind: Kind) -> Result<ObjectCharge, Errno> {
        self.object_of(kind, kind.cost(), Owner::default())
    }

    /// As [`MemoryBudget::object`] for the user `uid`, who may have `limit` objects of its class.
    ///
    /// # Errors
    /// [`Kind::errno`].
    pub fn object_for(self: &Arc<Self>, kind: Kind, uid: u32, limit: u64) -> Result<ObjectCharge, Errno> {
        self.object_of(kind, kind.cost(), Owner { user: Some((uid, limit)), hoards: false })
    }

    /// Charges an object of `kind` that takes `bytes`.
    ///
    /// # Errors
    /// [`Kind::errno`].
    pub fn object_of(self: &Arc<Self>, kind: Kind, bytes: u64, owner: Owner) -> Result<ObjectCharge, Errno> {
        if !self.objects.add(kind, bytes, if owner.hoards { 8 } else { 0 }) {
            return Err(kind.errno());
        }
        // Gives the bytes back if the user has too many.
        let mut charge = ObjectCharge { memory: Arc::clone(self), bytes, user: None, kind };
        if let (Some(what), Some((uid, limit))) = (kind.per_user(), owner.user) {
            if !self.objects.add_user(uid, what, limit) {
                return Err(kind.errno());
            }
            charge.user = Some(uid);
        }
        Ok(charge)
    }

    /// Charges what cannot be refused.
    #[must_use]
    pub fn object_anyway(self: &Arc<Self>, kind: Kind) -> ObjectCharge {
        self.objects.add_anyway(kind, kind.cost());
        ObjectCharge { memory: Arc::clone(self), bytes: kind.cost(), user: None, kind }
    }

    /// Bytes of `kind` in use.
    #[must_use]
    pub fn objects_used(&self, kind: Kind) -> u64 {
        self.objects.of(kind).load(Ordering::Relaxed)
    }

    /// Bytes that objects of `kind` may take.
    #[must_use]
    pub fn objects_ceiling(&self, kind: Kind) -> u64 {
        self.objects.ceiling(kind)
    }

    /// Bytes that all objects take.
    #[must_use]
    pub fn all_objects_used(&self) -> u64 {
        self.objects.used.load(Ordering::Relaxed)
    }

    /// How many of `what` the user has.
    #[must_use]
    pub fn user_count(&self, uid: u32, what: PerUser) -> u64 {
        self.objects.users.lock().get(&uid).and_then(|counts| counts.get(what as usize).copied()).unwrap_or(0)
    }
}

/// An object that is counted for as long as this lives.
pub struct ObjectCharge {
    memory: Arc<MemoryBudget>,
    bytes: u64,
    user: Option<u32>,
    kind: Kind,
}

impl ObjectCharge {
    /// The object takes `bytes` from now on.
    ///
    /// # Errors
    /// [`Kind::errno`] if that is more than there is; then nothing changes.
    pub fn resize(&mut self, bytes: u64) -> Result<(), Errno> {
        if bytes > self.bytes {
            if !self.memory.objects.add(self.kind, bytes - self.bytes, 0) {
                return Err(self.kind.errno());
            }
        } else {
            self.memory.objects.sub(self.kind, self.bytes - bytes);
        }
        self.bytes = bytes;
        Ok(())
    }

    /// Bytes that are counted.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl std::fmt::Debug for ObjectCharge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ObjectCharge({:?}, {})", self.kind, self.bytes)
    }
}

impl Drop for ObjectCharge {
    fn drop(&mut self) {
        self.memory.objects.sub(self.kind, self.bytes);
        if let (Some(uid), Some(what)) = (self.user, self.kind.per_user()) {
            self.memory.objects.sub_user(uid, what);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory() -> Arc<MemoryBudget> {
        MemoryBudget::with_objects(0, 1 << 20)
    }

    #[test]
    fn every_kind_has_a_ceiling_and_gives_all_back() {
        let memory = memory();
        for kind in Kind::ALL.iter().copied() {
            let mut held = Vec::new();
            let refused = loop {
                match memory.object(kind) {
                    Ok(charge) => held.push(charge),
                    Err(errno) => break errno,
                }
                assert!(held.len() <= 1 << 20, "{kind:?} has no ceiling");
            };
            assert_eq!(refused, kind.errno(), "{kind:?}");
            assert!(memory.objects_used(kind) <= memory.objects_ceiling(kind), "{kind:?}");
            assert!(memory.objects_used(kind) + kind.cost() > memory.objects_ceiling(kind), "{kind:?} stops early");
            assert!(kind == Kind::ProcText || memory.object(Kind::ProcText).is_ok(), "{kind:?} takes everything");
            drop(held);
            assert_eq!((memory.objects_used(kind), memory.all_objects_used()), (0, 0), "{kind:?}");
        }
    }

    #[test]
    fn all_kinds_together_have_a_ceiling() {
        let memory = memory();
        let held: Vec<_> =
            Kind::ALL.iter().flat_map(|kind| std::iter::from_fn(|| memory.object(*kind).ok()).collect::<Vec<_>>()).collect();
        assert!(memory.all_objects_used() <= 1 << 20);
        drop(held);
        assert_eq!(memory.all_objects_used(), 0);
    }

    #[test]
    fn users_have_limits_of_their_own() {
        let memory = memory();
        let signal = memory.object_for(Kind::QueuedSignal, 7, 2).unwrap();
        let timer = memory.object_for(Kind::Timer, 7, 2).unwrap();
        assert_eq!(memory.object_for(Kind::Timer, 7, 2).err(), Some(Errno::EAGAIN), "both are of one class");
        assert!(memory.object_for(Kind::Timer, 8, 2).is_ok(), "another user's");
        assert_eq!(memory.user_count(7, PerUser::Signals), 2);
        drop((signal, timer));
        assert_eq!(memory.user_count(7, PerUser::Signals), 0);
        assert!(memory.objects.users.lock().is_empty(), "users that have nothing take nothing");
        assert_eq!(memory.all_objects_used(), 0);
    }

    #[test]
    fn the_last_eighth_is_for_those_that_have_little() {
        let memory = memory();
        let hoarder = Owner { hoards: true, ..Owner::default() };
        let held: Vec<_> = std::iter::from_fn(|| memory.object_of(Kind::File, 1024, hoarder).ok()).collect();
        assert_eq!(memory.object_of(Kind::File, 1024, hoarder).err(), Some(Errno::ENFILE));
        assert!(memory.object(Kind::File).is_ok());
        drop(held);
    }

    #[test]
    fn a_charge_follows_the_objects_size() {
        let memory = memory();
        let mut charge = memory.object_of(Kind::ProcText, 100, Owner::default()).unwrap();
        assert_eq!(charge.resize(1 << 20), Err(Errno::ENOMEM));
        assert_eq!((charge.resize(200), memory.objects_used(Kind::ProcText)), (Ok(()), 200));
        assert_eq!((charge.resize(10), memory.objects_used(Kind::ProcText)), (Ok(()), 10));
    }
}
