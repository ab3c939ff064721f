//! `mutate`: injects faults into the sandbox's kernel, one call and kind at a time, and reports which the probes catch.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use bevor_compat_table::mutation::{Fate, Mutation, Pair};
use bevor_compat_table::results::{Difference, ObservationResult, ProbeResult, Results};

use crate::compare::{self, Reference};
use crate::container::{Agent, Column, Container, LogPolicy};
use crate::error::{Error, Result};
use crate::manifest::Probe;
use crate::progress::Progress;
use crate::select::Shard;
use crate::stream::{self, Observation, Outcome};

/// Placeholder in a column's command that stands for `CALL:KIND`.
pub const FAULT: &str = "{fault}";
/// The kinds of faults, as `bevor do --fault=CALL:KIND` names them.
pub const KINDS: [&str; 5] = ["noop-success", "wrong-errno", "drop-flags", "short-count", "effect-skipped"];

/// Of a pair whose fault never changed anything: its call has no such argument, passes through, or fails otherwise.
const NO_EFFECT: &str = "the kernel says that it never took effect";

/// Calls that return how much was moved.
const COUNTING: [&str; 34] = [
    "copy_file_range",
    "flistxattr",
    "fgetxattr",
    "getcwd",
    "getdents",
    "getdents64",
    "getrandom",
    "getxattr",
    "lgetxattr",
    "listxattr",
    "llistxattr",
    "pread64",
    "preadv",
    "preadv2",
    "process_vm_readv",
    "process_vm_writev",
    "pwrite64",
    "pwritev",
    "pwritev2",
    "read",
    "readlink",
    "readlinkat",
    "readv",
    "recvfrom",
    "recvmmsg",
    "recvmsg",
    "sendfile",
    "sendmmsg",
    "sendmsg",
    "sendto",
    "splice",
    "tee",
    "write",
    "writev",
];

/// Calls whose success shows in nothing that a program can read back.
const EFFECTLESS: [&str; 11] = [
    "fadvise64",
    "fdatasync",
    "fsync",
    "madvise",
    "membarrier",
    "msync",
    "readahead",
    "sched_yield",
    "sync",
    "sync_file_range",
    "syncfs",
];

/// What a mutation run needs.
#[derive(Debug)]
pub struct Setup<'a> {
    /// The sandbox; its command holds [`FAULT`].
    pub column: &'a Column,
    /// The agent.
    pub agent: &'a Agent,
    /// The probes of the baseline.
    pub probes: &'a [Probe],
    /// The same column's run without faults.
    pub baseline: &'a Results,
    /// Calls to try; empty means all that were observed.
    pub calls: &'a [String],
    /// Part of the calls to try.
    pub shard: Option<Shard>,
    /// An earlier result, whose other calls are kept.
    pub earlier: Option<Mutation>,
    /// Faulty sandboxes at a time.
    pub jobs: usize,
}

/// Why fault `kind` isn't one for the probes of `call`, given what native Linux answered; `None` if it is.
///
/// That flags are dropped and effects skipped where there are none is not judged here: the kernel that has the fault says whether it ever
/// took effect.
#[must_use]
pub fn inapplicable(call: &str, kind: &str, observations: &[&ObservationResult]) -> Option<&'static str> {
    let failed = |o: &&ObservationResult| o.reference.get("errno").is_some_and(|e| e != "none");
    let succeeded = |o: &&ObservationResult| !failed(o);
    let moved = |o: &&ObservationResult| o.reference.get("ret").and_then(|r| r.parse::<i64>().ok()).is_some_and(|n| n > 0);
    match kind {
        "noop-success" if EFFECTLESS.contains(&call) && !observations.iter().any(failed) => {
            Some("success has no effect that can be read back")
        }
        "wrong-errno" if !observations.iter().any(failed) => Some("no probe makes it fail"),
        "short-count" if !COUNTING.contains(&call) => Some("returns no count"),
        "short-count" if !observations.iter().any(moved) => Some("no probe makes it move anything"),
        "effect-skipped" if !observations.iter().any(succeeded) => Some("no probe makes it succeed"),
        _ => None,
    }
}

/// Whether the sandbox's kernel says that the fault `text` changed an argument, an answer or an effect. What cannot be known counts as
/// said, so that it is for the probes to notice.
fn took_effect(column: &Column, container: &mut Container, text: &str) -> bool {
    if !column.needs_proof() {
        return true;
    }
    // The log's end is enough as long as it still shows the first line.
    let complete = |log: &String| log.contains("Bevor: boot nonce");
    container.kernel_log().filter(complete).is_none_or(|log| log.contains(&format!("fault {text} took effect")))
}

/// Tries every pair.
///
/// # Errors
/// [`Error::Infrastructure`] if no fault at all could be injected.
pub fn run(setup: &Setup<'_>, progress: &Progress) -> Result<Mutation> {
    let mut by_call: BTreeMap<&str, Places<'_>> = BTreeMap::new();
    for probe in setup.baseline.probes.iter().filter(|p| p.author_errors.is_empty()) {
        for o in probe.observations.iter().filter(|o| !o.call.is_empty()) {
            by_call.entry(&o.call).or_default().push((probe, o));
        }
    }
    if let Some(unknown) = setup.calls.iter().find(|c| !by_call.contains_key(c.as_str())) {
        return Err(Error::input(format!("no probe observes `{unknown}`")));
    }
    let mut chosen: Vec<&str> =
        by_call.keys().copied().filter(|call| setup.calls.is_empty() || setup.calls.iter().any(|c| c == call)).collect();
    if let Some(shard) = setup.shard {
        shard.keep(&mut chosen);
    }
    let tasks: Vec<(&str, &str, &Places<'_>)> =
        chosen.iter().flat_map(|call| KINDS.map(|kind| (*call, kind, &by_call[call]))).collect();
    progress.begin(tasks.len());
    let queue = Mutex::new(tasks.into_iter());
    let tried: Mutex<Vec<Tried>> = Mutex::default();
    let worker = || {
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((call, kind, places)) = next else {
                return;
            };
            progress.step(kind, call);
            let one = attempt(setup, call, kind, places);
            tried.lock().unwrap_or_else(PoisonError::into_inner).push(one);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..setup.jobs.max(1) {
            scope.spawn(worker);
        }
        worker();
    });
    progress.finish();
    let tried = tried.into_inner().unwrap_or_else(PoisonError::into_inner);
    let started = tried.iter().any(|t| matches!(t.pair.fate, Fate::Caught | Fate::Missed));
    let mut pairs = Vec::with_capacity(tried.len());
    for one in tried {
        match one.failure {
            Some(e) if !started => return Err(e),
            _ => pairs.push(one.pair),
        }
    }
    // What is no longer observed is dropped with the rest.
    let kept = |pair: &Pair| by_call.contains_key(pair.call.as_str()) && !chosen.contains(&pair.call.as_str());
    pairs.extend(setup.earlier.iter().flat_map(|m| &m.pairs).filter(|pair| kept(pair)).cloned());
    pairs.sort();
    Ok(Mutation { schema: 1, column: setup.column.name.clone(), pairs })
}

/// Where a call is observed.
type Places<'a> = Vec<(&'a ProbeResult, &'a ObservationResult)>;

/// One pair, and why the sandbox didn't start if it didn't.
struct Tried {
    pair: Pair,
    failure: Option<Error>,
}

fn attempt(setup: &Setup<'_>, call: &str, kind: &str, places: &Places<'_>) -> Tried {
    let observations: Vec<&ObservationResult> = places.iter().map(|(_, o)| *o).collect();
    let (fate, by, failure) = match inapplicable(call, kind, &observations) {
        Some(why) => (Fate::NotApplicable, Some(why.to_owned()), None),
        None => match fault(setup, call, kind, places) {
            Ok(Seen::By(by)) => (Fate::Caught, Some(by), None),
            Ok(Seen::Nowhere) => (Fate::Missed, None, None),
            Ok(Seen::NoEffect) => (Fate::NotApplicable, Some(NO_EFFECT.to_owned()), None),
            // The error holds nonces and pids; the file holds only what is the same each time.
            Err(e) => (Fate::CaughtByCrash, Some("the sandbox no longer started a probe".to_owned()), Some(e)),
        },
    };
    Tried { pair: Pair { call: call.to_owned(), kind: kind.to_owned(), fate, by }, failure }
}

/// What became of one fault.
enum Seen {
    /// The first observation that changed.
    By(String),
    /// None changed.
    Nowhere,
    /// None could.
    NoEffect,
}

/// Runs the probes that observe `call` in a sandbox with the fault.
fn fault(setup: &Setup<'_>, call: &str, kind: &str, places: &Places<'_>) -> Result<Seen> {
    let text = format!("{call}:{kind}");
    let column = Column {
        name: setup.column.name.clone(),
        command: setup.column.command.iter().map(|a| a.replace(FAULT, &text)).collect(),
    };
    let ids: BTreeSet<&str> = places.iter().map(|(p, _)| p.id.as_str()).collect();
    let mut pool: Option<Container> = None;
    let mut effect = false;
    for probe in setup.probes.iter().filter(|p| ids.contains(p.id.as_str())) {
        let Some(base) = setup.baseline.probes.iter().find(|p| p.id == probe.id) else {
            continue;
        };
        let mut container = match pool.take() {
            Some(c) if c.is_usable() && !probe.exclusive => c,
            old => {
                effect |= old.is_some_and(|mut c| took_effect(&column, &mut c, &text));
                Container::start(&column, setup.agent, &LogPolicy::default())?
            }
        };
        let run = stream::parse(&container.run(probe), &probe.normalisers);
        if let Some(place) = changed(base, &column.name, &run) {
            // What differs although the fault has done nothing yet comes from elsewhere.
            effect |= took_effect(&column, &mut container, &text);
            if effect {
                return Ok(Seen::By(place));
            }
        }
        pool = Some(container);
    }
    if let Some(mut container) = pool {
        effect |= took_effect(&column, &mut container, &text);
        container.quit();
    }
    Ok(if effect { Seen::Nowhere } else { Seen::NoEffect })
}

/// The first observation of `run` that is not as it was in column `name` of the baseline, or that the run ended otherwise.
pub(crate) fn changed(base: &ProbeResult, name: &str, run: &stream::Run) -> Option<String> {
    let found = compare::compare(&reference(base), run);
    for o in &base.observations {
        let before: &[Difference] = o.columns.get(name).map_or(&[], |v| &v.differences);
        let mut now = found.get(&o.id).cloned().unwrap_or_default();
        now.sort();
        if now != before {
            return Some(format!("{} {}", base.id, o.id));
        }
    }
    let was = base.outcomes.get(name).map_or("completed", String::as_str);
    (run.outcome != Outcome::Completed && run.outcome.to_string() != was).then(|| format!("{} (run)", base.id))
}

/// The native reference as the results hold it.
fn reference(probe: &ProbeResult) -> Reference {
    Reference {
        plan: probe.observations.iter().map(|o| o.id.clone()).collect(),
        observations: probe
            .observations
            .iter()
            .map(|o| {
                let observation = Observation { call: o.call.clone(), fields: o.reference.clone() };
                (o.id.clone(), observation)
            })
            .collect(),
        author_errors: Vec::new(),
    }
}

#[cfg(test)]
#[path = "mutate_tests.rs"]
mod tests;
