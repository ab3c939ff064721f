//! Expectations: the differences that are known, recorded exactly.
//!
//! Agreement is the default and not written down. One file per column and family,
//! `expectations/<column>/<family>.yaml`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bevor_compat_table::results::{Difference, State, Verdict};
use serde::{Deserialize, Serialize};

use crate::compare::RUN_FIELD;
use crate::error::{Error, Result};

/// Most runs that are made to judge a flaky observation.
const MOST_RUNS: usize = 100;

/// One expectations file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Column it speaks of, equal to its folder.
    pub column: String,
    /// Family it speaks of, equal to its file's stem.
    pub family: String,
    /// The recorded differences.
    pub expectations: Vec<Expectation>,
}

/// One recorded difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// Probe id.
    pub probe: String,
    /// Observation id.
    pub obs: String,
    /// How the table counts it.
    pub state: Kind,
    /// The differing fields, with both values.
    pub fields: Vec<Difference>,
    /// Why it differs.
    pub reason: String,
    /// The issue that tracks it; this or `note` is required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issue: Option<String>,
    /// The design note that argues it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// For `flaky`: highest share of runs that may differ, 0 to 1, as text ("0.05").
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_rate: Option<String>,
    /// For `flaky`: the day after which it is an error, "YYYY-MM-DD".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
}

/// Kind of a recorded difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// To be mended.
    KnownDiff,
    /// Meant.
    ByDesign,
    /// The call isn't there yet.
    Missing,
    /// Comes and goes.
    Flaky,
}

impl From<Kind> for State {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::KnownDiff => State::KnownDiff,
            Kind::ByDesign => State::ByDesign,
            Kind::Missing => State::Missing,
            Kind::Flaky => State::Flaky,
        }
    }
}

/// All expectations, by (column, probe, observation).
#[derive(Debug, Clone, Default)]
pub struct Expectations {
    map: BTreeMap<(String, String, String), Expectation>,
}

/// The file of `column` and `family` under `dir`.
#[must_use]
pub fn path(dir: &Path, column: &str, family: &str) -> PathBuf {
    dir.join(column).join(format!("{family}.yaml"))
}

/// Reads one file; none is the same as an empty one.
///
/// # Errors
/// [`Error::Input`] naming the file if it isn't well formed.
pub fn read(dir: &Path, column: &str, family: &str) -> Result<File> {
    let path = path(dir, column, family);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Ok(File { column: column.into(), family: family.into(), expectations: Vec::new() });
        }
        Err(e) => return Err(Error::input(format!("can't read {}: {e}", path.display()))),
    };
    let file: File = serde_yaml::from_str(&text).map_err(|e| Error::input(format!("{}: {e}", path.display())))?;
    if file.column != column || file.family != family {
        return Err(Error::input(format!(
            "{}: says column {} and family {}, but lies elsewhere",
            path.display(),
            file.column,
            file.family
        )));
    }
    if let Some(fault) = file.expectations.iter().find_map(|e| fault(e, family)) {
        return Err(Error::input(format!("{}: {fault}", path.display())));
    }
    Ok(file)
}

fn fault(e: &Expectation, family: &str) -> Option<String> {
    let at = format!("{} {}", e.probe, e.obs);
    if e.probe.split('/').next() != Some(family) {
        return Some(format!("{at}: not of this family"));
    }
    if e.probe.contains('*') || e.obs.contains('*') || e.fields.iter().any(|f| f.field.contains('*')) {
        return Some(format!("{at}: wildcards hide new failures"));
    }
    if e.reason.trim().is_empty() {
        return Some(format!("{at}: no reason"));
    }
    if e.issue.is_none() && e.note.is_none() {
        return Some(format!("{at}: neither issue nor note"));
    }
    if e.fields.is_empty() {
        return Some(format!("{at}: no fields"));
    }
    if let Some(f) = e.fields.iter().find(|f| f.native == f.sandbox) {
        return Some(format!("{at}: `{}` is no difference", f.field));
    }
    if e.state == Kind::Flaky {
        let rate = e.max_rate.as_deref().and_then(|r| r.parse::<f64>().ok());
        if !rate.is_some_and(|r| (0.0..=1.0).contains(&r)) {
            return Some(format!("{at}: flaky needs max_rate from 0 to 1"));
        }
        if !e.expires.as_deref().is_some_and(is_date) {
            return Some(format!("{at}: flaky needs expires: YYYY-MM-DD"));
        }
    } else if e.max_rate.is_some() || e.expires.is_some() {
        return Some(format!("{at}: max_rate and expires are for flaky"));
    }
    None
}

fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    matches!(parts.as_slice(), [y, m, d] if y.len() == 4 && m.len() == 2 && d.len() == 2)
        && text.chars().all(|c| c.is_ascii_digit() || c == '-')
}

impl Expectations {
    /// Reads the files of `columns` and `families` under `dir`.
    ///
    /// # Errors
    /// [`Error::Input`] naming the file at fault, also for two entries on one observation.
    pub fn load<'a>(
        dir: &Path,
        columns: impl Iterator<Item = &'a str> + Clone,
        families: impl Iterator<Item = &'a str>,
    ) -> Result<Self> {
        let mut all = Self::default();
        for family in families {
            for column in columns.clone() {
                let own = read(dir, column, family)?.expectations;
                if let Some(base) = crate::discover::base(column) {
                    let same = |e: &Expectation| own.iter().any(|o| o.probe == e.probe && o.obs == e.obs);
                    for e in read(dir, base, family)?.expectations.into_iter().filter(|e| !same(e)) {
                        all.add(column, e)?;
                    }
                }
                for e in own {
                    all.add(column, e)?;
                }
            }
        }
        Ok(all)
    }

    /// Adds one expectation.
    ///
    /// # Errors
    /// [`Error::Input`] if there is one on the same observation.
    pub fn add(&mut self, column: &str, e: Expectation) -> Result<()> {
        let key = (column.to_owned(), e.probe.clone(), e.obs.clone());
        match self.map.insert(key, e) {
            None => Ok(()),
            Some(old) => Err(Error::input(format!("two expectations for {} {} in column {column}", old.probe, old.obs))),
        }
    }

    /// The expectations of `column` on `probe` that name an observation outside of `plan`.
    #[must_use]
    pub fn orphans(&self, column: &str, probe: &str, plan: &[String]) -> Vec<String> {
        self.map.keys().filter(|(c, p, o)| c == column && p == probe && !plan.contains(o)).map(|(_, _, o)| o.clone()).collect()
    }

    fn max_rate(&self, column: &str, probe: &str, obs: &str) -> Option<f64> {
        let e = self.map.get(&(column.to_owned(), probe.to_owned(), obs.to_owned()))?;
        e.max_rate.as_deref()?.parse().ok()
    }

    /// Number of runs that it takes to judge the flaky ones among `differences`: enough for two differing runs within the rate.
    #[must_use]
    pub fn runs_to_judge(&self, column: &str, probe: &str, differences: &BTreeMap<String, Vec<Difference>>) -> usize {
        let flaky = differences.iter().filter(|(_, d)| !d.is_empty()).filter_map(|(obs, _)| self.max_rate(column, probe, obs));
        let lowest = flaky.fold(f64::INFINITY, f64::min);
        if lowest <= 0.0 || !lowest.is_finite() {
            return 0;
        }
        (1..MOST_RUNS).find(|n| runs(*n) * lowest >= 2.0).unwrap_or(MOST_RUNS)
    }

    /// What to say if a flaky observation differed in too many of `runs`.
    #[must_use]
    pub fn exceeded(&self, column: &str, probe: &str, obs: &str, differing: usize, all: usize) -> Option<String> {
        let rate = self.max_rate(column, probe, obs)?;
        (runs(differing) > rate * runs(all)).then(|| format!("differs in {differing} of {all} runs, its max_rate is {rate}"))
    }

    /// The verdict on `differences` of one observation, on the day `today` ("YYYY-MM-DD").
    #[must_use]
    pub fn judge(&self, column: &str, probe: &str, obs: &str, mut differences: Vec<Difference>, today: &str) -> Verdict {
        differences.sort();
        let key = (column.to_owned(), probe.to_owned(), obs.to_owned());
        let expected = self.map.get(&key);
        let mut verdict = Verdict {
            state: State::Agree,
            differences,
            reason: expected.map(|e| e.reason.clone()),
            link: expected.and_then(|e| e.issue.clone().or_else(|| e.note.clone())),
            confirmed: true,
        };
        let crash = verdict.differences.iter().any(is_crash);
        let not_run = verdict.differences.iter().any(|d| d.field == RUN_FIELD);
        verdict.state = match expected {
            None if verdict.differences.is_empty() => State::Agree,
            None if crash => State::Crash,
            None if not_run => State::NotRun,
            None => State::NewDiff,
            Some(e) if e.state == Kind::Flaky && e.expires.as_deref().is_some_and(|x| x < today) => State::ChangedDiff,
            Some(e) if e.state == Kind::Flaky && verdict.differences.is_empty() => State::Flaky,
            Some(_) if verdict.differences.is_empty() => State::UnexpectedAgreement,
            Some(e) if same(&e.fields, &verdict.differences) => e.state.into(),
            Some(_) if crash => State::Crash,
            Some(_) => State::ChangedDiff,
        };
        verdict
    }
}

fn runs(n: usize) -> f64 {
    f64::from(u32::try_from(n).unwrap_or(u32::MAX))
}

fn same(a: &[Difference], b: &[Difference]) -> bool {
    let mut a = a.to_vec();
    a.sort();
    a == b
}

fn is_crash(d: &Difference) -> bool {
    d.field == RUN_FIELD && ["crashed", "timeout", "container", "sandbox log"].iter().any(|p| d.sandbox.starts_with(p))
}

/// Writes `file` under `dir`, or removes it if it holds nothing. The text is returned by [`render`].
///
/// # Errors
/// [`Error::Infrastructure`] if it can't be written.
pub fn write(dir: &Path, file: &File) -> Result<()> {
    let path = path(dir, &file.column, &file.family);
    let result = if file.expectations.is_empty() {
        match fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    } else {
        let parent = path.parent().unwrap_or(dir);
        fs::create_dir_all(parent).and_then(|()| fs::write(&path, render(file)?))
    };
    result.map_err(|e| Error::infra(format!("can't write {}: {e}", path.display())))
}

/// The file's text.
///
/// # Errors
/// If it can't be put into YAML.
pub fn render(file: &File) -> std::io::Result<String> {
    let yaml = serde_yaml::to_string(file).map_err(std::io::Error::other)?;
    Ok(format!("# Recorded differences; `bevor-harness bless` proposes changes, a human reviews them.\n{yaml}"))
}

#[cfg(test)]
#[path = "expect_tests.rs"]
mod tests;
