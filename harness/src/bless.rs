//! `bless`: writes into the expectations what a run measured, for review.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bevor_compat_table::results::{Difference, Results, State, Verdict};

use crate::error::{Error, Result};
use crate::expect::{self, Expectation, File, Kind};

/// What a new entry says.
#[derive(Debug, Clone, Default)]
pub struct Wording {
    /// Why it differs.
    pub reason: Option<String>,
    /// The issue that tracks it.
    pub issue: Option<String>,
    /// The design note that argues it.
    pub note: Option<String>,
    /// Its state; without one, `missing` for ENOSYS and else `known-diff`.
    pub state: Option<Kind>,
    /// Also record crashes, time-outs and unfinished runs.
    pub crashes: bool,
}

/// A file before and after.
#[derive(Debug)]
pub struct Change {
    /// As it was.
    pub old: File,
    /// As it should be.
    pub new: File,
}

impl Change {
    /// A unified diff of the two files' texts.
    #[must_use]
    pub fn diff(&self) -> String {
        let text = |f: &File| {
            if f.expectations.is_empty() { String::new() } else { expect::render(f).unwrap_or_default() }
        };
        let (old, new) = (text(&self.old), text(&self.new));
        let name = format!("{}/{}.yaml", self.new.column, self.new.family);
        similar::TextDiff::from_lines(&old, &new).unified_diff().header(&format!("a/{name}"), &format!("b/{name}")).to_string()
    }
}

/// The changes that make the expectations under `dir` match `results`. Entries of probes that the run didn't
/// select stay; existing entries keep their wording.
///
/// # Errors
/// [`Error::Input`] if a new entry has no reason, or neither issue nor note.
pub fn propose(dir: &Path, results: &Results, wording: &Wording) -> Result<Vec<Change>> {
    let families: BTreeSet<&str> = results.probes.iter().map(|p| p.family.as_str()).collect();
    let mut changes = Vec::new();
    for column in results.columns.iter().filter(|c| c.not_measured.is_none()) {
        for family in &families {
            let old = expect::read(dir, &column.name, family)?;
            let new = updated(&old, results, wording)?;
            if new != old {
                changes.push(Change { old, new });
            }
        }
    }
    Ok(changes)
}

fn updated(old: &File, results: &Results, wording: &Wording) -> Result<File> {
    let mut entries: BTreeMap<(String, String), Expectation> =
        old.expectations.iter().map(|e| ((e.probe.clone(), e.obs.clone()), e.clone())).collect();
    for probe in results.probes.iter().filter(|p| p.family == old.family) {
        if probe.skipped.is_some() || !probe.author_errors.is_empty() {
            continue;
        }
        let planned: BTreeSet<&str> = probe.observations.iter().map(|o| o.id.as_str()).collect();
        entries.retain(|(p, o), _| *p != probe.id || planned.contains(o.as_str()));
        for o in &probe.observations {
            let Some(verdict) = o.columns.get(&old.column) else {
                continue;
            };
            let key = (probe.id.clone(), o.id.clone());
            match verdict.state {
                State::UnexpectedAgreement => {
                    entries.remove(&key);
                }
                State::Crash | State::NotRun if !wording.crashes => {}
                State::NewDiff | State::ChangedDiff | State::Crash | State::NotRun => {
                    let entry = match entries.remove(&key) {
                        Some(e) => Expectation { fields: verdict.differences.clone(), ..e },
                        None => fresh(&key, verdict, wording)?,
                    };
                    entries.insert(key, entry);
                }
                _ => {}
            }
        }
    }
    Ok(File { column: old.column.clone(), family: old.family.clone(), expectations: entries.into_values().collect() })
}

fn fresh((probe, obs): &(String, String), verdict: &Verdict, wording: &Wording) -> Result<Expectation> {
    let reason = wording
        .reason
        .clone()
        .ok_or_else(|| Error::input(format!("{probe} {obs} is new: give --reason, and --issue or --note")))?;
    if wording.issue.is_none() && wording.note.is_none() {
        return Err(Error::input(format!("{probe} {obs} is new: give --issue or --note")));
    }
    let enosys = |d: &Difference| d.field == "errno" && d.sandbox == "ENOSYS";
    let derived = if verdict.differences.iter().any(enosys) { Kind::Missing } else { Kind::KnownDiff };
    Ok(Expectation {
        probe: probe.clone(),
        obs: obs.clone(),
        state: wording.state.unwrap_or(derived),
        fields: verdict.differences.clone(),
        reason,
        issue: wording.issue.clone(),
        note: wording.note.clone(),
        max_rate: None,
        expires: None,
    })
}

#[cfg(test)]
#[path = "bless_tests.rs"]
mod tests;
