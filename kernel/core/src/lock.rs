//! Lock ranks: the one place that says which lock may be taken while which other is held.
//!
//! A thread may take a lock only if its rank is higher than those of all ranked locks that it holds. Debug builds check this at run
//! time; release builds are plain `parking_lot`. Locks without a rank are innermost: nothing is taken under them.
//!
//! | rank | lock | under it |
//! |---|---|---|
//! | 10 | [`Rank::Tree`] | process relations; taken first by exit, wait, setpgid |
//! | 20 | [`Rank::Group`] | a thread group's shared signals, thread list, stop and exit state |
//! | 30 | [`Rank::Handlers`] | the table of signal actions |
//! | 40 | [`Rank::Pending`] | a task's own pending signals |
//!
//! Never hold a lock over a copy from or to application memory, nor over a call of a system call handler.

use std::ops::{Deref, DerefMut};

use parking_lot::{Mutex, MutexGuard};

/// Takes a lock that others may hold over work which takes long; waiting for it counts as such work of the caller's (`long.rs`).
pub fn lock_as_work<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.try_lock().unwrap_or_else(|| {
        let start = std::time::Instant::now();
        let guard = mutex.lock();
        crate::long::waited(start.elapsed());
        guard
    })
}

/// The order of ranked locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Rank {
    /// Process relations.
    Tree = 10,
    /// A thread group's shared state.
    Group = 20,
    /// Signal actions.
    Handlers = 30,
    /// A task's pending signals.
    Pending = 40,
}

#[cfg(debug_assertions)]
thread_local! {
    static HELD: std::cell::RefCell<Vec<Rank>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// A mutex with a place in the order of locks.
#[derive(Debug)]
pub struct RankedMutex<T> {
    rank: Rank,
    inner: Mutex<T>,
}

impl<T> RankedMutex<T> {
    /// An unlocked mutex.
    pub const fn new(rank: Rank, value: T) -> Self {
        Self { rank, inner: Mutex::new(value) }
    }

    /// Locks.
    ///
    /// # Panics
    /// In debug builds, if the thread holds a lock of the same or a higher rank.
    pub fn lock(&self) -> RankedGuard<'_, T> {
        #[cfg(debug_assertions)]
        HELD.with_borrow_mut(|held| {
            assert!(held.last().is_none_or(|last| *last < self.rank), "lock order: {:?} while holding {held:?}", self.rank);
            held.push(self.rank);
        });
        RankedGuard { rank: self.rank, inner: self.inner.lock() }
    }
}

/// Unlocks when dropped.
pub struct RankedGuard<'a, T> {
    #[cfg_attr(not(debug_assertions), allow(dead_code))]
    rank: Rank,
    inner: MutexGuard<'a, T>,
}

impl<T> Deref for RankedGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T> DerefMut for RankedGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

impl<T> Drop for RankedGuard<'_, T> {
    fn drop(&mut self) {
        #[cfg(debug_assertions)]
        HELD.with_borrow_mut(|held| {
            if let Some(at) = held.iter().rposition(|r| *r == self.rank) {
                held.remove(at);
            }
        });
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::*;

    #[test]
    fn ascending_ranks_are_allowed() {
        let (tree, group) = (RankedMutex::new(Rank::Tree, 1), RankedMutex::new(Rank::Group, 2));
        let a = tree.lock();
        let b = group.lock();
        assert_eq!(*a + *b, 3);
    }

    #[test]
    #[should_panic(expected = "lock order")]
    fn a_lower_rank_under_a_higher_one_panics() {
        let (tree, group) = (RankedMutex::new(Rank::Tree, ()), RankedMutex::new(Rank::Group, ()));
        let _b = group.lock();
        let _a = tree.lock();
    }
}
