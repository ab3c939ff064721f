//! `results.json`: what one run measured. The harness writes it, the table is derived from it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Version of the format; a change that readers must know about raises it.
pub const SCHEMA: u32 = 2;

/// All that one run measured. Holds no hosts or commits: those are in the side file (`results.provenance.json`), so that equal
/// measurements give files that differ in `times` only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Results {
    /// Format version, [`SCHEMA`].
    pub schema: u32,
    /// Name of the column that the others are compared with.
    pub reference: String,
    /// What part of the suite this is; absent for all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
    /// The columns compared with the reference.
    pub columns: Vec<Column>,
    /// Every probe selected, sorted by id; probes that could not run are here too.
    pub probes: Vec<ProbeResult>,
}

/// Part of the suite that a run took.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// The options that chose it, but for the shard; none chose every probe.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub selection: Vec<String>,
    /// Part `i/n` of what was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<String>,
    /// Number of probes chosen, in all shards.
    pub of: usize,
    /// Whether the run ended at its first failure.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stopped: bool,
}

/// When and how long one probe ran.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Time {
    /// Start, in milliseconds since 1970.
    pub start_ms: u64,
    /// Duration in microseconds.
    pub duration_us: u64,
}

/// A column compared with the reference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Whether every container proved by the boot nonce that the sandbox answered.
    pub proven: bool,
    /// Why it was not measured, if it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_measured: Option<String>,
}

/// One probe in all columns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProbeResult {
    /// `family/name`.
    pub id: String,
    /// Its family.
    pub family: String,
    /// `c` or `rust`.
    pub lang: String,
    /// Catalogue items it exercises.
    pub covers: Vec<String>,
    /// The unmet need, if it was skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
    /// Errors of the probe's author: varies natively, broken natively, malformed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub author_errors: Vec<String>,
    /// How the run ended, by column, where it didn't simply complete.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outcomes: BTreeMap<String, String>,
    /// When its first run was and how long it took, by column; the reference is one of them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub times: BTreeMap<String, Time>,
    /// The planned observations, in plan order. A probe without a plan has one, called `(probe)`.
    pub observations: Vec<ObservationResult>,
}

/// One planned observation in all columns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ObservationResult {
    /// Its id within the probe.
    pub id: String,
    /// Name of the system call; empty if the observation was never made.
    pub call: String,
    /// The reference's normalised fields.
    pub reference: BTreeMap<String, String>,
    /// Verdict by column.
    pub columns: BTreeMap<String, Verdict>,
}

/// How one column answered one observation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// The state.
    pub state: State,
    /// Fields that differ from the reference, by path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<Difference>,
    /// Why the difference is known or the probe skipped, from the expectations or the manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Issue or design note that a recorded difference names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// False if the difference did not come back when the probe ran alone in a fresh container.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub confirmed: bool,
}

fn yes() -> bool {
    true
}

// The signature is serde's.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_true(b: &bool) -> bool {
    *b
}

/// State of an observation in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Every field equals the reference's.
    Agree,
    /// Differs exactly as recorded.
    KnownDiff,
    /// Differs exactly as recorded, and is meant to.
    ByDesign,
    /// Differs exactly as recorded, because the call isn't there.
    Missing,
    /// Recorded as flaky, within its rate and before its expiry.
    Flaky,
    /// Not run, for an unmet need.
    Skipped,
    /// Differs, and nothing is recorded.
    NewDiff,
    /// Differs otherwise than recorded.
    ChangedDiff,
    /// Agrees although a difference is recorded.
    UnexpectedAgreement,
    /// The probe crashed, hung or took its container down before or in it.
    Crash,
    /// The plan named it, but it was not observed.
    NotRun,
    /// The reference itself gives no usable answer.
    BrokenReference,
}

/// What a gate makes of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// As expected.
    Pass,
    /// Red: exit code 1.
    Regression,
    /// Red: exit code 2.
    Stale,
}

impl State {
    /// Kebab-case name as in `results.json`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Agree => "agree",
            Self::KnownDiff => "known-diff",
            Self::ByDesign => "by-design",
            Self::Missing => "missing",
            Self::Flaky => "flaky",
            Self::Skipped => "skipped",
            Self::NewDiff => "new-diff",
            Self::ChangedDiff => "changed-diff",
            Self::UnexpectedAgreement => "unexpected-agreement",
            Self::Crash => "crash",
            Self::NotRun => "not-run",
            Self::BrokenReference => "broken-reference",
        }
    }

    /// What the gate makes of it.
    #[must_use]
    pub fn gate(self) -> Gate {
        match self {
            Self::Agree | Self::KnownDiff | Self::ByDesign | Self::Missing | Self::Flaky | Self::Skipped => Gate::Pass,
            Self::UnexpectedAgreement => Gate::Stale,
            Self::NewDiff | Self::ChangedDiff | Self::Crash | Self::NotRun | Self::BrokenReference => Gate::Regression,
        }
    }

    /// Whether the column answered as the reference did, whatever was recorded.
    #[must_use]
    pub fn agrees(self) -> bool {
        matches!(self, Self::Agree | Self::UnexpectedAgreement)
    }
}

/// One differing field.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Difference {
    /// Field path; `run` stands for the run itself.
    pub field: String,
    /// The reference's value.
    pub native: String,
    /// The column's value.
    pub sandbox: String,
}

/// Value that a [`Difference`] shows for a field that isn't there.
pub const ABSENT: &str = "(absent)";

/// Counts over one column of a [`Results`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Planned observations; a skipped or planless probe counts as one.
    pub planned: usize,
    /// Those that agree.
    pub agree: usize,
    /// Observations by state.
    pub states: BTreeMap<String, usize>,
}

impl Results {
    /// Counts of `column`.
    #[must_use]
    pub fn counts(&self, column: &str) -> Counts {
        let mut counts = Counts::default();
        for verdict in self.probes.iter().flat_map(|p| &p.observations).filter_map(|o| o.columns.get(column)) {
            counts.planned += 1;
            counts.agree += usize::from(verdict.state.agrees());
            *counts.states.entry(verdict.state.name().into()).or_default() += 1;
        }
        counts
    }
}

/// The JSON Schema of `results.json`, pretty-printed.
#[must_use]
pub fn schema_text() -> String {
    let schema = schemars::schema_for!(Results);
    serde_json::to_string_pretty(&schema).unwrap_or_default() + "\n"
}
