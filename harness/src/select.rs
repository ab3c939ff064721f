//! Selection of probes: filters and shards.

use std::str::FromStr;

use crate::error::{Error, Result};
use crate::manifest::{Family, Probe};

/// Which probes to take.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Substrings of ids (or whole ids, see `exact`); none takes all.
    pub filters: Vec<String>,
    /// Filters are whole ids.
    pub exact: bool,
    /// One part of several.
    pub shard: Option<Shard>,
}

/// Part `index` (from 1) of `count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    index: usize,
    count: usize,
}

impl Shard {
    /// Keeps this part of `all`.
    pub fn keep<T>(self, all: &mut Vec<T>) {
        let mut n = 0;
        all.retain(|_| {
            n += 1;
            n % self.count == self.index % self.count
        });
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let parts = text.split_once('/').and_then(|(i, n)| Some((i.parse::<usize>().ok()?, n.parse::<usize>().ok()?)));
        match parts {
            Some((index, count)) if (1..=count).contains(&index) => Ok(Self { index, count }),
            _ => Err("a shard is i/n with 1 ≤ i ≤ n".into()),
        }
    }
}

impl Selection {
    /// The chosen probes, sorted by id.
    ///
    /// # Errors
    /// [`Error::Input`] if an exact id doesn't exist, or nothing matches the filters.
    pub fn choose(&self, families: &[Family]) -> Result<Vec<Probe>> {
        let mut all: Vec<Probe> = families.iter().flat_map(|f| &f.probes).cloned().collect();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        if self.exact
            && let Some(missing) = self.filters.iter().find(|f| !all.iter().any(|p| p.id == **f))
        {
            return Err(Error::input(format!("no probe `{missing}`")));
        }
        all.retain(|p| {
            self.filters.is_empty()
                || self.filters.iter().any(|f| if self.exact { p.id == *f } else { p.id.contains(f.as_str()) })
        });
        if all.is_empty() {
            return Err(Error::input(format!("no probe matches {}", self.filters.join(", "))));
        }
        if let Some(shard) = self.shard {
            shard.keep(&mut all);
        }
        Ok(all)
    }
}

#[cfg(test)]
#[path = "select_tests.rs"]
mod tests;
