//! Derives `compat.json` from what was measured: states, the two numbers, the weighted score, what comes next.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::catalogue::{Catalogue, Excluded, Item, Scopes};
use crate::results::{ObservationResult, ProbeResult, Results, State, Verdict};
use crate::weights::{Demand, Weights};

/// Version of the format.
pub const SCHEMA: u32 = 2;
/// Share of a call's items, in percent, that must be probed before it can be called full.
pub const FULL_PERCENT: usize = 80;
/// Observations that a call needs to be called full.
pub const FULL_OBSERVATIONS: usize = 3;
/// Probed items that a call needs to be called full.
pub const FULL_ITEMS: usize = 2;
/// The probe that makes every number's call and says in `state.NAME` whether anything but ENOSYS is behind it.
pub const SWEEP: &str = "sweep/numbers";
/// Rows of "what to implement next".
const NEXT_ROWS: usize = 25;

/// `compat.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Compat {
    /// Format version, [`SCHEMA`].
    pub schema: u32,
    /// Sources of the catalogue.
    pub catalogue_sources: Vec<String>,
    /// Items by status.
    pub items: ItemCounts,
    /// Applications behind the weighted score.
    pub applications: u32,
    /// Columns by name.
    pub columns: BTreeMap<String, ColumnSummary>,
    /// Every system call, by number.
    pub calls: Vec<CallRow>,
    /// `covers` entries that the catalogue doesn't have; they count nowhere.
    pub uncatalogued: Vec<String>,
    /// Errnos that a probe says it covers and that native Linux never answered in it.
    pub unsubstantiated: Vec<String>,
}

/// The catalogue's items by status.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ItemCounts {
    /// All.
    pub total: usize,
    /// Probed.
    pub probed: usize,
    /// In scope and not probed.
    pub to_do: usize,
    /// No probe can bring them about.
    pub unreachable: usize,
    /// Not aimed at.
    pub out_of_scope: usize,
}

/// One column's numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ColumnSummary {
    /// Why there are none, if it was not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_measured: Option<String>,
    /// Whether the nonce proved that the sandbox answered.
    pub proven: bool,
    /// Planned observations.
    pub observations: usize,
    /// Those that agree.
    pub observations_agree: usize,
    /// Probed items that agree.
    pub items_agree: usize,
    /// Calls by state.
    pub calls: BTreeMap<CallState, usize>,
    /// Loupe-weighted score in thousandths: each "application requires call" pair counts by the share of the call's items in
    /// scope that are probed and agree.
    pub weighted_permille: u32,
    /// What to implement next: calls by the applications that need them and don't get them.
    pub next: Vec<Next>,
}

/// A row of "what to implement next".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Next {
    /// The call.
    pub call: String,
    /// Its state now.
    pub state: CallState,
    /// Applications that require it.
    pub requiring: u32,
}

/// One system call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CallRow {
    /// x86-64 number.
    pub nr: u32,
    /// Name.
    pub name: String,
    /// Why the whole call isn't in scope, if it isn't.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excluded: Option<ExcludedRow>,
    /// Items in scope.
    pub in_scope: usize,
    /// Of them, probed.
    pub probed: usize,
    /// Items in scope that no probe covers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to_do: Vec<String>,
    /// Items that are probed, with the columns' verdicts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub verdicts: BTreeMap<String, BTreeMap<String, ItemVerdict>>,
    /// Applications that require it.
    pub requiring: u32,
    /// Probes that observe it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub probes: Vec<String>,
    /// How each column answers it.
    pub columns: BTreeMap<String, CallCell>,
}

/// Why a call isn't in scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExcludedRow {
    /// In which way.
    pub scope: Excluded,
    /// The reason.
    pub why: String,
}

/// How one column answers one call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CallCell {
    /// The derived state.
    pub state: CallState,
    /// Observations of the call.
    pub observations: usize,
    /// Those that agree.
    pub agree: usize,
    /// Probed items that agree.
    pub items_agree: usize,
    /// Observations that differ, `probe observation: state`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differing: Vec<String>,
}

/// How a column answers one probed item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ItemVerdict {
    /// As native Linux, in every observation that speaks of it.
    Agrees,
    /// Otherwise.
    Differs,
}

/// Derived state of a call, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CallState {
    /// A probe of it crashed, hung or killed the sandbox.
    Crash,
    /// Every answer is ENOSYS, or nothing but the sweep over all numbers observes it, and that hears ENOSYS.
    Missing,
    /// Not one call that succeeds natively has the effect it should.
    Stub,
    /// Some of it agrees, or too little of it is probed.
    Partial,
    /// All observations agree, and they are [`FULL_OBSERVATIONS`] of [`FULL_ITEMS`] items and [`FULL_PERCENT`] of those in scope.
    Full,
    /// It differs, and only where it is meant to.
    ByDesign,
    /// No probe observes it.
    Untested,
}

impl CallState {
    /// Kebab-case name as in `compat.json`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Missing => "missing",
            Self::Stub => "stub",
            Self::Partial => "partial",
            Self::Full => "full",
            Self::ByDesign => "by-design",
            Self::Untested => "untested",
        }
    }
}

/// Where an observation was made.
struct Seen<'a> {
    probe: &'a ProbeResult,
    observation: &'a ObservationResult,
}

impl Seen<'_> {
    fn native_errno(&self) -> Option<&str> {
        self.observation.reference.get("errno").map(String::as_str).filter(|e| *e != "none")
    }

    fn succeeded_natively(&self) -> bool {
        !self.observation.reference.is_empty() && self.native_errno().is_none()
    }

    fn verdict(&self, column: &str) -> Option<&Verdict> {
        self.observation.columns.get(column)
    }
}

/// Derives everything.
#[must_use]
pub fn derive(catalogue: &Catalogue, scopes: &Scopes, results: &Results, weights: &Weights) -> Compat {
    let demand = weights.by_name();
    let by_call = observations_by_call(results);
    let (covered, unsubstantiated) = covered_items(results);
    let mut items = ItemCounts::default();
    let mut known: BTreeSet<Item> = BTreeSet::new();
    let absent = absent(results);
    let mut calls = Vec::new();
    for call in &catalogue.calls {
        let seen = by_call.get(call.name.as_str()).map_or(&[][..], Vec::as_slice);
        let mut row = CallRow {
            nr: call.nr,
            name: call.name.clone(),
            excluded: scopes.calls.get(&call.name).map(|e| ExcludedRow { scope: e.scope, why: e.why.clone() }),
            in_scope: 0,
            probed: 0,
            to_do: Vec::new(),
            verdicts: BTreeMap::new(),
            requiring: demand.get(call.name.as_str()).copied().unwrap_or_default().requiring,
            probes: probes_of(seen),
            columns: BTreeMap::new(),
        };
        for (id, item) in call.items() {
            known.insert(item.clone());
            let by = covered.get(&item);
            let excluded = scopes.excluded(&call.name, &id, &item);
            items.add(&mut row, id.clone(), by.is_some(), excluded.map(|e| e.scope));
            if let Some(probes) = by {
                row.verdicts.insert(id, verdicts(probes, &item, results));
            }
        }
        for column in results.columns.iter().filter(|c| c.not_measured.is_none()) {
            let gone = absent.contains(&(column.name.as_str(), call.name.as_str()));
            row.columns.insert(column.name.clone(), cell(&column.name, seen, &row, gone));
        }
        calls.push(row);
    }
    let columns = results
        .columns
        .iter()
        .map(|c| {
            let mut summary = summarise(&c.name, results, &calls, &demand);
            summary.not_measured.clone_from(&c.not_measured);
            summary.proven = c.proven;
            summary.items_agree = calls.iter().filter_map(|r| r.columns.get(&c.name)).map(|cell| cell.items_agree).sum();
            (c.name.clone(), summary)
        })
        .collect();
    Compat {
        schema: SCHEMA,
        catalogue_sources: catalogue.sources.clone(),
        items,
        applications: weights.applications,
        columns,
        calls,
        uncatalogued: uncatalogued(results, &known),
        unsubstantiated,
    }
}

/// Each measured column's verdict on `item`, which `probes` exercise.
fn verdicts(probes: &[&ProbeResult], item: &Item, results: &Results) -> BTreeMap<String, ItemVerdict> {
    let measured = results.columns.iter().filter(|c| c.not_measured.is_none());
    measured
        .map(|c| {
            let agrees = probes.iter().all(|p| item_agrees(p, item, &c.name));
            (c.name.clone(), if agrees { ItemVerdict::Agrees } else { ItemVerdict::Differs })
        })
        .collect()
}

/// Columns and calls where the sweep heard ENOSYS and native Linux something else.
fn absent(results: &Results) -> BTreeSet<(&str, &str)> {
    let observations = results.probes.iter().filter(|p| p.id == SWEEP).flat_map(|p| &p.observations);
    let verdicts = observations.flat_map(|o| &o.columns);
    verdicts
        .flat_map(|(column, v)| v.differences.iter().map(move |d| (column.as_str(), d)))
        .filter(|(_, d)| d.native == "true" && d.sandbox == "false")
        .filter_map(|(column, d)| Some((column, d.field.strip_prefix("state.")?)))
        .collect()
}

/// `covers` entries that aren't among the catalogue's items.
fn uncatalogued(results: &Results, known: &BTreeSet<Item>) -> Vec<String> {
    let strange: BTreeSet<&String> =
        results.probes.iter().flat_map(|p| &p.covers).filter(|c| !known.contains(&Item::parse(c))).collect();
    strange.into_iter().cloned().collect()
}

impl ItemCounts {
    /// Counts item `id` of `row`'s call. What is probed is in scope, whatever the scopes say.
    fn add(&mut self, row: &mut CallRow, id: String, probed: bool, excluded: Option<Excluded>) {
        self.total += 1;
        match (probed, excluded) {
            (true, _) => {
                self.probed += 1;
                row.in_scope += 1;
                row.probed += 1;
            }
            (false, None) => {
                self.to_do += 1;
                row.in_scope += 1;
                row.to_do.push(id);
            }
            (false, Some(Excluded::Unreachable)) => self.unreachable += 1,
            (false, Some(Excluded::OutOfScope)) => self.out_of_scope += 1,
        }
    }
}

/// Observations by call. One that was never made counts for every call its probe covers; the sweep's speak of presence only.
fn observations_by_call(results: &Results) -> BTreeMap<&str, Vec<Seen<'_>>> {
    let mut out: BTreeMap<&str, Vec<Seen<'_>>> = BTreeMap::new();
    for probe in &results.probes {
        let covered: BTreeSet<&str> = probe.covers.iter().map(|c| c.split('/').next().unwrap_or(c)).collect();
        for observation in probe.observations.iter().filter(|o| probe.id != SWEEP || !o.call.is_empty()) {
            let calls = if observation.call.is_empty() { covered.clone() } else { BTreeSet::from([observation.call.as_str()]) };
            for call in calls {
                out.entry(call).or_default().push(Seen { probe, observation });
            }
        }
    }
    out
}

/// Items with the probes that exercise them, and errnos claimed that native Linux didn't answer. A probe that
/// was skipped or is broken exercises nothing; an errno that was observed is exercised, claimed or not.
#[must_use]
pub fn covered_items(results: &Results) -> (BTreeMap<Item, Vec<&ProbeResult>>, Vec<String>) {
    let mut out: BTreeMap<Item, Vec<&ProbeResult>> = BTreeMap::new();
    let mut unsubstantiated = Vec::new();
    for probe in results.probes.iter().filter(|p| p.skipped.is_none() && p.author_errors.is_empty()) {
        let mut items: BTreeSet<Item> = BTreeSet::new();
        let mut answered: BTreeSet<Item> = BTreeSet::new();
        for o in probe.observations.iter().filter(|o| !o.call.is_empty()) {
            items.insert(Item::parse(&o.call));
            if let Some(errno) = o.reference.get("errno").filter(|e| *e != "none") {
                answered.insert(Item::errno(&o.call, errno));
            }
        }
        for text in &probe.covers {
            let item = Item::parse(text);
            if item.errno && !answered.contains(&item) {
                unsubstantiated.push(format!("{} {text}", probe.id));
            } else {
                items.insert(item);
            }
        }
        items.extend(answered);
        for item in items {
            out.entry(item).or_default().push(probe);
        }
    }
    unsubstantiated.sort();
    (out, unsubstantiated)
}

/// Whether `column` agrees in every observation of `probe` that speaks of `item`.
fn item_agrees(probe: &ProbeResult, item: &Item, column: &str) -> bool {
    let of_call = |o: &&ObservationResult| o.call == item.call;
    let of_item = |o: &&ObservationResult| {
        of_call(o) && (!item.errno || o.reference.get("errno").is_some_and(|e| crate::catalogue::canonical_errno(e) == item.name))
    };
    let agrees = |o: &ObservationResult| o.columns.get(column).is_some_and(|v| v.state.agrees());
    if probe.observations.iter().any(|o| of_item(&o)) {
        probe.observations.iter().filter(of_item).all(agrees)
    } else if probe.observations.iter().any(|o| of_call(&o)) {
        probe.observations.iter().filter(of_call).all(agrees)
    } else {
        probe.observations.iter().all(agrees)
    }
}

fn probes_of(seen: &[Seen<'_>]) -> Vec<String> {
    let ids: BTreeSet<&str> = seen.iter().map(|s| s.probe.id.as_str()).collect();
    ids.into_iter().map(str::to_owned).collect()
}

fn is_crash(verdict: &Verdict) -> bool {
    verdict.state == State::Crash
        || verdict.differences.iter().any(|d| {
            d.field == "run" && ["crashed", "timeout", "container", "sandbox log"].iter().any(|p| d.sandbox.starts_with(p))
        })
}

fn answers_enosys(verdict: &Verdict) -> bool {
    verdict.differences.iter().any(|d| d.field == "errno" && d.sandbox == "ENOSYS")
}

fn cell(column: &str, seen: &[Seen<'_>], row: &CallRow, absent: bool) -> CallCell {
    let verdicts: Vec<(&Seen<'_>, &Verdict)> = seen.iter().filter_map(|s| Some((s, s.verdict(column)?))).collect();
    let differing: Vec<_> = verdicts.iter().filter(|(_, v)| !v.state.agrees()).collect();
    let agree = verdicts.len() - differing.len();
    let succeeding: Vec<_> = verdicts.iter().filter(|(s, _)| s.succeeded_natively()).collect();
    let items_agree = row.verdicts.values().filter(|v| v.get(column) == Some(&ItemVerdict::Agrees)).count();
    let enough = verdicts.len() >= FULL_OBSERVATIONS && row.probed >= FULL_ITEMS;
    let state = if verdicts.is_empty() {
        if absent { CallState::Missing } else { CallState::Untested }
    } else if verdicts.iter().any(|(_, v)| is_crash(v)) {
        CallState::Crash
    } else if agree == 0 && differing.iter().all(|(_, v)| answers_enosys(v)) {
        CallState::Missing
    } else if !differing.is_empty() && differing.iter().all(|(_, v)| v.state == State::ByDesign) {
        CallState::ByDesign
    } else if !succeeding.is_empty() && succeeding.iter().all(|(_, v)| !v.state.agrees()) {
        CallState::Stub
    } else if differing.is_empty() && enough && row.probed * 100 >= row.in_scope * FULL_PERCENT {
        CallState::Full
    } else {
        CallState::Partial
    };
    CallCell {
        state,
        observations: verdicts.len(),
        agree,
        items_agree,
        differing: differing.iter().map(|(s, v)| format!("{} {}: {}", s.probe.id, s.observation.id, v.state.name())).collect(),
    }
}

/// Share of a call's items in scope that are probed and agree, in thousandths.
fn value(row: &CallRow, cell: &CallCell) -> u32 {
    match cell.state {
        CallState::Full | CallState::Partial | CallState::ByDesign => {
            let share = (cell.items_agree * 1000).checked_div(row.in_scope).unwrap_or(0);
            u32::try_from(share).unwrap_or(0)
        }
        CallState::Crash | CallState::Missing | CallState::Stub | CallState::Untested => 0,
    }
}

fn summarise(column: &str, results: &Results, calls: &[CallRow], demand: &BTreeMap<&str, Demand>) -> ColumnSummary {
    let counts = results.counts(column);
    let mut states: BTreeMap<CallState, usize> = BTreeMap::new();
    let (mut answered, mut next) = (0u64, Vec::new());
    for row in calls {
        let Some(cell) = row.columns.get(column) else {
            continue;
        };
        if row.excluded.is_none() || cell.state != CallState::Untested {
            *states.entry(cell.state).or_default() += 1;
        }
        let lacking = 1000u32.saturating_sub(value(row, cell));
        answered += u64::from(row.requiring) * u64::from(value(row, cell));
        if lacking > 0 && row.requiring > 0 && row.excluded.is_none() {
            next.push((u64::from(row.requiring) * u64::from(lacking), row, cell));
        }
    }
    next.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.nr.cmp(&b.1.nr)));
    let required: u64 = demand.values().map(|d| u64::from(d.requiring)).sum();
    ColumnSummary {
        not_measured: None,
        proven: false,
        observations: counts.planned,
        observations_agree: counts.agree,
        items_agree: 0,
        calls: states,
        weighted_permille: u32::try_from(answered.checked_div(required).unwrap_or(0)).unwrap_or(0),
        next: next
            .into_iter()
            .take(NEXT_ROWS)
            .map(|(_, row, cell)| Next { call: row.name.clone(), state: cell.state, requiring: row.requiring })
            .collect(),
    }
}

/// The JSON Schema of `compat.json`, pretty-printed.
#[must_use]
pub fn schema_text() -> String {
    serde_json::to_string_pretty(&schemars::schema_for!(Compat)).unwrap_or_default() + "\n"
}

/// The text of `compat.json`.
///
/// # Errors
/// If it can't be put into JSON.
pub fn json(compat: &Compat) -> serde_json::Result<String> {
    Ok(serde_json::to_string_pretty(compat)? + "\n")
}

#[cfg(test)]
#[path = "derive_tests.rs"]
pub(crate) mod tests;
