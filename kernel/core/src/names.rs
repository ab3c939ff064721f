//! Maps by what programs choose.
//!
//! Names (of files, of sockets) are the guest's. With a hash that is known beforehand it could make any number of them that fall into one
//! place, and each look into the map would compare them all. So maps by name have a key of their own in every run; maps by numbers that
//! the kernel gives keep the faster hash without one.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;
use std::sync::OnceLock;

use ahash::{AHasher, RandomState};

/// Hashes with a key that is drawn once for the process.
#[derive(Clone, Copy, Debug, Default)]
pub struct NameHash;

impl BuildHasher for NameHash {
    type Hasher = AHasher;

    fn build_hasher(&self) -> AHasher {
        static KEY: OnceLock<RandomState> = OnceLock::new();
        // The standard library's key is from getrandom(2).
        let draw = |n: u8| std::hash::RandomState::new().hash_one(n);
        KEY.get_or_init(|| RandomState::with_seeds(draw(0), draw(1), draw(2), draw(3))).build_hasher()
    }
}

/// A map by names.
pub type NameMap<K, V> = HashMap<K, V, NameHash>;

/// A set of names.
pub type NameSet<K> = HashSet<K, NameHash>;

#[cfg(test)]
mod tests {
    use rustc_hash::{FxBuildHasher, FxHashSet};

    use super::*;

    #[test]
    fn names_that_are_made_for_it_do_not_collide() {
        // Sixteen bytes are folded by a product, one factor of which these make zero.
        let names = || (1..=10_000_u64).map(|n| [0x243f_6a88_85a3_08d3_u64.to_le_bytes(), n.to_le_bytes()].concat());
        let fixed: FxHashSet<u64> = names().map(|name| FxBuildHasher.hash_one(name)).collect();
        assert_eq!(fixed.len(), 1, "the attack works on a hash without a key");
        let keyed: FxHashSet<u64> = names().map(|name| NameHash.hash_one(name)).collect();
        assert!(keyed.len() > 9_990, "{}", keyed.len());
    }
}
