//! Channels that wait for the forked children that they were made for.
//!
//! A claim that is being answered is out of everybody's reach. Should a signal end the child's notification meanwhile, the child claims again
//! at once, and another listener may take that up before the first one knows: it waits until the first one has put the claim back.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::{Condvar, Mutex};

use super::thread::SysThread;

/// The one-shot secret by which a child is known.
pub(crate) type Nonce = (u64, u64);

/// A channel that waits for the forked child that it was made for.
pub(crate) struct Claim {
    pub(crate) child: Arc<SysThread>,
    pub(crate) parent: Option<Weak<SysThread>>,
}

enum Entry<C> {
    Waiting(C),
    /// This host thread is being answered.
    Answering(i32),
}

/// All claims.
pub(crate) struct Claims<C = Claim> {
    entries: Mutex<HashMap<Nonce, Entry<C>>>,
    answered: Condvar,
}

impl<C> Default for Claims<C> {
    fn default() -> Self {
        Self { entries: Mutex::default(), answered: Condvar::new() }
    }
}

impl<C> Claims<C> {
    pub(crate) fn insert(&self, nonce: Nonce, claim: C) {
        self.entries.lock().insert(nonce, Entry::Waiting(claim));
    }

    /// Waits for another listener that is about to see that its answer has not reached `pid`.
    pub(crate) fn await_earlier(&self, nonce: Nonce, pid: i32) {
        let mut entries = self.entries.lock();
        while matches!(entries.get(&nonce), Some(Entry::Answering(other)) if *other == pid) {
            self.answered.wait(&mut entries);
        }
    }

    /// Takes a claim out to answer `pid`; [`Claims::put_back`] or [`Claims::settle`] must follow.
    pub(crate) fn take(&self, nonce: Nonce, pid: i32) -> Option<C> {
        let mut entries = self.entries.lock();
        let entry = entries.get_mut(&nonce).filter(|e| matches!(e, Entry::Waiting(_)))?;
        match std::mem::replace(entry, Entry::Answering(pid)) {
            Entry::Waiting(claim) => Some(claim),
            Entry::Answering(_) => None,
        }
    }

    /// The answer has not been heard.
    pub(crate) fn put_back(&self, nonce: Nonce, claim: C) {
        self.insert(nonce, claim);
        self.answered.notify_all();
    }

    /// The claim that was taken is through, or has failed for good.
    pub(crate) fn settle(&self, nonce: Nonce) {
        self.entries.lock().remove(&nonce);
        self.answered.notify_all();
    }

    pub(crate) fn contains(&self, nonce: Nonce) -> bool {
        matches!(self.entries.lock().get(&nonce), Some(Entry::Waiting(_)))
    }

    /// Any one's nonce.
    pub(crate) fn any(&self) -> Option<Nonce> {
        self.entries.lock().iter().find(|(_, e)| matches!(e, Entry::Waiting(_))).map(|(nonce, _)| *nonce)
    }

    pub(crate) fn remove(&self, nonce: Nonce) -> Option<C> {
        let mut entries = self.entries.lock();
        match entries.remove(&nonce)? {
            Entry::Waiting(claim) => Some(claim),
            answering @ Entry::Answering(_) => {
                entries.insert(nonce, answering);
                None
            }
        }
    }

    /// Removes those for which `lost` holds. With them comes whether `counts` holds for one that is left.
    pub(crate) fn remove_where(&self, lost: impl Fn(&C) -> bool, counts: impl Fn(&C) -> bool) -> (Vec<C>, bool) {
        let mut entries = self.entries.lock();
        let taken = entries.extract_if(|_, e| matches!(e, Entry::Waiting(c) if lost(c)));
        let taken = taken.filter_map(|(_, e)| if let Entry::Waiting(claim) = e { Some(claim) } else { None }).collect();
        let left = entries.values().any(|e| matches!(e, Entry::Waiting(c) if counts(c)));
        (taken, left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: Nonce = (1, 2);

    #[test]
    fn a_claim_made_again_waits_for_the_answer_that_was_not_heard() {
        let claims = Claims::default();
        claims.insert(NONCE, "channel");
        let taken = claims.take(NONCE, 7).expect("the claim");
        assert!(!claims.contains(NONCE) && claims.remove(NONCE).is_none() && claims.any().is_none());
        assert_eq!(claims.remove_where(|_| true, |_| true), (vec![], false));
        std::thread::scope(|scope| {
            // Its notification was interrupted: the same process asks again, and another listener hears it.
            let again = scope.spawn(|| {
                claims.await_earlier(NONCE, 7);
                claims.take(NONCE, 7)
            });
            claims.put_back(NONCE, taken);
            assert_eq!(again.join().unwrap(), Some("channel"));
        });
        claims.settle(NONCE);
        assert_eq!(claims.take(NONCE, 7), None);
    }

    #[test]
    fn nobody_waits_for_the_answer_to_another_process() {
        let claims = Claims::default();
        claims.insert(NONCE, "channel");
        claims.take(NONCE, 7).expect("the claim");
        claims.await_earlier(NONCE, 8);
        assert_eq!(claims.take(NONCE, 8), None);
    }
}
