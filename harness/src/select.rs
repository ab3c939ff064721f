//! Selection of probes: filters and shards.

use std::str::FromStr;

use bevor_compat_table::results::Part;

use crate::error::{Error, Result};
use crate::manifest::{Family, Probe};

/// Which probes to take.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Substrings of ids (or whole ids, see `exact`); none takes all.
    pub filters: Vec<String>,
    /// Filters and skips are whole ids.
    pub exact: bool,
    /// Substrings of ids (or whole ids) that are left out.
    pub skip: Vec<String>,
    /// Calls of which a probe has to cover one; none takes all.
    pub calls: Vec<String>,
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

    /// Number of the part, from 1.
    #[must_use]
    pub fn index(self) -> usize {
        self.index
    }

    /// Number of parts.
    #[must_use]
    pub fn count(self) -> usize {
        self.count
    }
}

impl std::fmt::Display for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
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

/// The call of a catalogue item, or the whole of one that is a path.
#[must_use]
pub fn call_of(item: &str) -> &str {
    item.split('/').next().filter(|call| !call.is_empty()).unwrap_or(item)
}

impl Selection {
    /// The chosen probes, sorted by id.
    ///
    /// # Errors
    /// [`Error::Input`] if an exact id doesn't exist, or nothing is left.
    pub fn choose(&self, families: &[Family]) -> Result<Vec<Probe>> {
        let mut all = self.before_sharding(families)?;
        if all.is_empty() {
            return Err(Error::input(format!(
                "no probe matches {}; `bevor-harness list` prints their ids",
                self.words().join(" ")
            )));
        }
        if let Some(shard) = self.shard {
            let whole = all.len();
            shard.keep(&mut all);
            if all.is_empty() {
                return Err(Error::input(format!("no probe is in shard {shard} of {whole}; ask for at most {whole} shards")));
            }
        }
        Ok(all)
    }

    fn before_sharding(&self, families: &[Family]) -> Result<Vec<Probe>> {
        let mut all: Vec<Probe> = families.iter().flat_map(|f| &f.probes).cloned().collect();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        if self.exact
            && let Some(missing) = self.filters.iter().chain(&self.skip).find(|f| !all.iter().any(|p| p.id == **f))
        {
            return Err(Error::input(format!("no probe `{missing}`; `bevor-harness list` prints their ids")));
        }
        let matches = |p: &Probe, texts: &[String]| texts.iter().any(|f| if self.exact { p.id == *f } else { p.id.contains(f) });
        let covers = |p: &Probe| p.covers.iter().any(|item| self.calls.iter().any(|c| call_of(item) == c));
        all.retain(|p| {
            (self.filters.is_empty() || matches(p, &self.filters))
                && !matches(p, &self.skip)
                && (self.calls.is_empty() || covers(p))
        });
        Ok(all)
    }

    /// What part of the suite this takes; `None` for all of it.
    ///
    /// # Errors
    /// As [`Self::choose`].
    pub fn part(&self, families: &[Family]) -> Result<Option<Part>> {
        let all: usize = families.iter().map(|f| f.probes.len()).sum();
        let of = self.before_sharding(families)?.len();
        if of == all && self.shard.is_none() {
            return Ok(None);
        }
        Ok(Some(Part { selection: self.words(), shard: self.shard.map(|s| s.to_string()), of, stopped: false }))
    }

    /// The options that make it, but for the shard.
    fn words(&self) -> Vec<String> {
        let option = |name: &str, values: &[String]| values.iter().map(|v| format!("--{name} {v}")).collect::<Vec<_>>();
        let mut words = option("filter", &self.filters);
        words.extend(option("skip", &self.skip));
        words.extend(option("call", &self.calls));
        if self.exact && !words.is_empty() {
            words.push("--exact".into());
        }
        words
    }
}

#[cfg(test)]
#[path = "select_tests.rs"]
mod tests;
