//! Field-by-field comparison of runs, and the reference made of several native ones.

use std::collections::{BTreeMap, BTreeSet};

use bevor_compat_table::results::{ABSENT, Difference};

use crate::stream::{Observation, Outcome, Run};

/// Field that stands for the run itself in a [`Difference`].
pub const RUN_FIELD: &str = "run";
/// Observation id of a probe that has no plan.
pub const WHOLE_PROBE: &str = "(probe)";

/// What native Linux answers, after several runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Observation ids in the order planned.
    pub plan: Vec<String>,
    /// The observations of the first run.
    pub observations: BTreeMap<String, Observation>,
    /// What is wrong with the probe itself; empty if it is sound.
    pub author_errors: Vec<String>,
}

/// Makes the reference of native `runs`. Whatever isn't alike in all of them, and any run that didn't complete,
/// is an error of the probe's author.
#[must_use]
pub fn reference(runs: &[Run]) -> Reference {
    let mut errors = Vec::new();
    let Some(first) = runs.first() else {
        return Reference { plan: Vec::new(), observations: BTreeMap::new(), author_errors: vec!["no native run".into()] };
    };
    for (i, run) in runs.iter().enumerate() {
        if run.outcome != Outcome::Completed {
            errors.push(format!("native run {}: {}", i + 1, run.outcome));
        }
        if run.plan != first.plan {
            errors.push(format!("native run {}: another plan", i + 1));
        }
    }
    let mut varying: BTreeSet<String> = BTreeSet::new();
    for run in &runs[1..] {
        for id in &first.plan {
            for d in differences(first.observations.get(id), run, id) {
                if d.field != RUN_FIELD {
                    varying.insert(format!("{id}: {} varies natively: {} / {}", d.field, d.native, d.sandbox));
                }
            }
        }
    }
    for id in &first.plan {
        if first.outcome == Outcome::Completed && !first.observations.contains_key(id) {
            errors.push(format!("{id}: planned, but never observed natively"));
        }
    }
    errors.extend(varying);
    errors.dedup();
    Reference { plan: first.plan.clone(), observations: first.observations.clone(), author_errors: errors }
}

/// Fields of observation `id` in which `run` differs from `native`.
#[must_use]
pub fn differences(native: Option<&Observation>, run: &Run, id: &str) -> Vec<Difference> {
    let Some(native) = native else {
        return Vec::new();
    };
    let Some(other) = run.observations.get(id) else {
        return vec![Difference {
            field: RUN_FIELD.into(),
            native: Outcome::Completed.to_string(),
            sandbox: match &run.outcome {
                Outcome::Completed => "not observed".into(),
                outcome => outcome.to_string(),
            },
        }];
    };
    let mut out = Vec::new();
    let mut push = |field: &str, a: Option<&String>, b: Option<&String>| {
        if a != b {
            let text = |v: Option<&String>| v.cloned().unwrap_or_else(|| ABSENT.into());
            out.push(Difference { field: field.into(), native: text(a), sandbox: text(b) });
        }
    };
    push("call", Some(&native.call), Some(&other.call));
    let fields: BTreeSet<&String> = native.fields.keys().chain(other.fields.keys()).collect();
    for field in fields {
        push(field, native.fields.get(field), other.fields.get(field));
    }
    out
}

/// Differences of all planned observations of `run`, by observation id. A run that observed everything
/// and fell over afterwards differs in its last observation's `run` field, so that no crash goes unseen.
#[must_use]
pub fn compare(reference: &Reference, run: &Run) -> BTreeMap<String, Vec<Difference>> {
    let mut out: BTreeMap<String, Vec<Difference>> =
        reference.plan.iter().map(|id| (id.clone(), differences(reference.observations.get(id), run, id))).collect();
    let reported = out.values().flatten().any(|d| d.field == RUN_FIELD);
    if run.outcome != Outcome::Completed
        && !reported
        && let Some(last) = reference.plan.last()
    {
        out.entry(last.clone()).or_default().push(Difference {
            field: RUN_FIELD.into(),
            native: Outcome::Completed.to_string(),
            sandbox: run.outcome.to_string(),
        });
    }
    out
}

#[cfg(test)]
#[path = "compare_tests.rs"]
mod tests;
