//! `mutants`: switches the bugs that a test build of the kernel holds on, one at a time, and reports which the probes catch.

use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use bevor_compat_table::results::Results;
use serde::{Deserialize, Serialize};

use crate::container::{Agent, Column, Container, LogPolicy};
use crate::error::{Error, Result};
use crate::manifest::Probe;
use crate::mutate::changed;
use crate::progress::Progress;
use crate::stream;

/// What a user has to run for a build with mutants.
pub const BUILD: &str = "cargo build --profile mutants --features mutants -p bevor";

/// Where mutants are tried: files of the work folder in memory, on the host, and in the root's layers.
pub const RUNTIMES: [&str; 3] = ["bevor", "bevor-bind", "bevor-overlay"];

/// The column `runtime` as `program` runs it. Local calls are answered outside of the handlers that hold the mutants.
///
/// # Errors
/// As [`crate::discover::column`]; [`Error::Input`] for a command that is not this project's.
pub fn column(runtime: &str, program: &Path) -> Result<Column> {
    let mut column = crate::discover::column(runtime)?;
    if !column.needs_proof() {
        return Err(Error::input(format!("--runtime `{runtime}`: holds no mutants")));
    }
    column.command[0] = program.display().to_string();
    let off = "--local-calls=off";
    if !column.command.iter().any(|a| a == off) {
        let at = column.command.iter().position(|a| a == "--").unwrap_or(column.command.len());
        column.command.insert(at, off.to_owned());
    }
    Ok(column)
}

/// What a mutant is derived from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// By rule from the source.
    Rule,
    /// A bug as people make it.
    Bug,
}

/// One mutant, as `bevor mutants` lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mutant {
    /// `area/what`.
    pub id: String,
    /// The calls in which it shows.
    pub calls: Vec<String>,
    /// What it is derived from.
    pub kind: Kind,
    /// What it does.
    pub text: String,
}

/// What became of a mutant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// An observation, or how the run ended, changed.
    Caught {
        /// `PROBE OBSERVATION`.
        by: String,
    },
    /// The sandbox no longer starts.
    Crashed,
    /// No probe noticed.
    Survived,
}

/// A mutant and what became of it.
#[derive(Debug, Clone, Serialize)]
pub struct Tried {
    /// The mutant.
    #[serde(flatten)]
    pub mutant: Mutant,
    /// What became of it.
    pub fate: Fate,
}

/// Asks `program` for its mutants.
///
/// # Errors
/// [`Error::Infrastructure`], saying how to build it, if it isn't there or holds none.
pub fn list(program: &Path) -> Result<Vec<Mutant>> {
    let bad = |e: &dyn std::fmt::Display| Error::infra(format!("{} mutants: {e}; build it with `{BUILD}`", program.display()));
    let out = Command::new(program).arg("mutants").output().map_err(|e| bad(&e))?;
    if !out.status.success() {
        return Err(bad(&"it holds no mutants"));
    }
    let text = String::from_utf8_lossy(&out.stdout);
    let mutants: Vec<Mutant> =
        text.lines().map(serde_json::from_str).collect::<std::result::Result<_, _>>().map_err(|e| bad(&e))?;
    if mutants.is_empty() {
        return Err(bad(&"it lists none"));
    }
    Ok(mutants)
}

/// Those of `mutants` whose id holds one of `ids` and that show in one of `calls`; empty lists choose all.
///
/// # Errors
/// [`Error::Input`] for an id or call that chooses none.
pub fn choose(mutants: Vec<Mutant>, ids: &[String], calls: &[String]) -> Result<Vec<Mutant>> {
    if let Some(id) = ids.iter().find(|id| !mutants.iter().any(|m| m.id.contains(id.as_str()))) {
        return Err(Error::input(format!("no mutant's id holds `{id}`; `bevor mutants` of that build lists them")));
    }
    if let Some(call) = calls.iter().find(|call| !mutants.iter().any(|m| m.calls.contains(call))) {
        return Err(Error::input(format!("no mutant shows in `{call}`")));
    }
    let by_id = |m: &Mutant| ids.is_empty() || ids.iter().any(|id| m.id.contains(id.as_str()));
    let by_call = |m: &Mutant| calls.is_empty() || calls.iter().any(|call| m.calls.contains(call));
    Ok(mutants.into_iter().filter(|m| by_id(m) && by_call(m)).collect())
}

/// What a run needs.
#[derive(Debug)]
pub struct Setup<'a> {
    /// The sandbox without a mutant; `--mutant ID` is added before its `--`.
    pub column: &'a Column,
    /// The agent.
    pub agent: &'a Agent,
    /// The probes of the baseline.
    pub probes: &'a [Probe],
    /// The column's run without a mutant.
    pub baseline: &'a Results,
    /// Mutants at a time.
    pub jobs: usize,
}

/// Tries `mutants`, in any order; the answer is in theirs.
#[must_use]
pub fn run(setup: &Setup<'_>, mutants: Vec<Mutant>, progress: &Progress) -> Vec<Tried> {
    progress.begin(mutants.len());
    let queue: Mutex<VecDeque<(usize, Mutant)>> = Mutex::new(mutants.into_iter().enumerate().collect());
    let tried: Mutex<Vec<(usize, Tried)>> = Mutex::default();
    let worker = || {
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some((at, mutant)) = next else {
                return;
            };
            progress.step("mutant", &mutant.id);
            let fate = attempt(setup, &mutant);
            tried.lock().unwrap_or_else(PoisonError::into_inner).push((at, Tried { mutant, fate }));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..setup.jobs.max(1) {
            scope.spawn(worker);
        }
        worker();
    });
    progress.finish();
    let mut tried = tried.into_inner().unwrap_or_else(PoisonError::into_inner);
    tried.sort_by_key(|(at, _)| *at);
    tried.into_iter().map(|(_, tried)| tried).collect()
}

/// The command of `column` with the mutant switched on.
fn mutated(column: &Column, id: &str) -> Column {
    let at = column.command.iter().position(|a| a == "--").unwrap_or(column.command.len());
    let mut command = column.command.clone();
    command.splice(at..at, ["--mutant".to_owned(), id.to_owned()]);
    Column { name: column.name.clone(), command }
}

/// The probes in the order in which they are asked: first those that observe one of the mutant's calls.
fn order<'a>(setup: &Setup<'a>, mutant: &Mutant) -> Vec<&'a Probe> {
    let observes = |p: &bevor_compat_table::results::ProbeResult| p.observations.iter().any(|o| mutant.calls.contains(&o.call));
    let own: BTreeSet<&str> = setup.baseline.probes.iter().filter(|p| observes(p)).map(|p| p.id.as_str()).collect();
    let (mut first, rest): (Vec<&Probe>, Vec<&Probe>) = setup.probes.iter().partition(|p| own.contains(p.id.as_str()));
    first.extend(rest);
    first
}

fn attempt(setup: &Setup<'_>, mutant: &Mutant) -> Fate {
    let column = mutated(setup.column, &mutant.id);
    let mut pool: Option<Container> = None;
    for probe in order(setup, mutant) {
        match noticed(setup, &column, probe, &mut pool) {
            // It is asked once more in a fresh sandbox: what only happens now and then is no catch.
            Ok(Some(_)) => match noticed(setup, &column, probe, &mut None) {
                Ok(Some(by)) => return Fate::Caught { by },
                Ok(None) => {}
                Err(_) => return Fate::Crashed,
            },
            Ok(None) => {}
            Err(_) => return Fate::Crashed,
        }
    }
    if let Some(container) = pool {
        container.quit();
    }
    Fate::Survived
}

/// What `probe` shows that it did not in the baseline.
fn noticed(setup: &Setup<'_>, column: &Column, probe: &Probe, pool: &mut Option<Container>) -> Result<Option<String>> {
    let base = setup.baseline.probes.iter().find(|p| p.id == probe.id && p.skipped.is_none() && p.author_errors.is_empty());
    let Some(base) = base else {
        return Ok(None);
    };
    let mut container = match pool.take() {
        Some(c) if c.is_usable() && !probe.exclusive => c,
        _ => Container::start(column, setup.agent, &LogPolicy::default())?,
    };
    let run = stream::parse(&container.run(probe), &probe.normalisers);
    *pool = Some(container);
    Ok(changed(base, &column.name, &run))
}

#[cfg(test)]
#[path = "mutants_tests.rs"]
mod tests;
