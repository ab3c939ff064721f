//! `mutation.json`: which faults injected into the kernel's dispatch the probes catch.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Result of a mutation run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mutation {
    /// Format version.
    pub schema: u32,
    /// The column the faults were injected into.
    pub column: String,
    /// Every pair tried, sorted.
    pub pairs: Vec<Pair>,
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// The call.
    pub call: String,
    /// The kind of fault.
    pub kind: String,
    /// What became of it.
    pub fate: Fate,
    /// The first observation that saw it, `probe observation`, or why it does not apply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// What became of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// An observation differed from the run without the fault.
    Caught,
    /// The faulty sandbox no longer ran the probe at all.
    CaughtByCrash,
    /// Nothing differed.
    Missed,
    /// The call has nothing for this fault to change.
    NotApplicable,
}

/// Caught of applicable.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Score {
    /// Faults seen.
    pub caught: usize,
    /// Faults that could be seen.
    pub applicable: usize,
}

impl Mutation {
    /// Score over all calls.
    #[must_use]
    pub fn score(&self) -> Score {
        self.by_call()
            .values()
            .fold(Score::default(), |a, b| Score { caught: a.caught + b.caught, applicable: a.applicable + b.applicable })
    }

    /// Score by call.
    #[must_use]
    pub fn by_call(&self) -> BTreeMap<&str, Score> {
        let mut out: BTreeMap<&str, Score> = BTreeMap::new();
        for pair in self.pairs.iter().filter(|p| p.fate != Fate::NotApplicable) {
            let score = out.entry(&pair.call).or_default();
            score.applicable += 1;
            score.caught += usize::from(pair.fate != Fate::Missed);
        }
        out
    }
}
