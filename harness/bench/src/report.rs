//! The report: what `--json` writes.
//!
//! One JSON object, [`Report`]; the documentation of the fields below is its schema. Fields are only
//! ever added while [`SCHEMA`] stays the same. All times are nanoseconds unless a name says otherwise.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::accounting::Method;
#[cfg(doc)]
use crate::catalogue::CPU_RATIO;
use crate::catalogue::Variant;
use crate::provenance::Provenance;
use crate::stats::Summary;

/// Name and version of the report's format.
pub const SCHEMA: &str = "bevor-bench/1";

/// A whole measurement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// Machine and moment.
    pub provenance: Provenance,
    /// How CPU time of all processes of a run was counted.
    pub cpu_accounting: Method,
    /// Whether `--quick` shortened everything: such numbers are for smoke tests.
    pub quick: bool,
    /// Runs of each row in each runtime (each gives the median of its batches).
    pub repeat: usize,
    /// The runtimes besides native and the command of each.
    pub runtimes: BTreeMap<String, String>,
    /// One round trip of a cache line between two CPUs in the fastest batch; absent on one CPU.
    pub line_round_trip_ns: Option<f64>,
    /// The rows, in the order in which they ran.
    pub rows: Vec<RowReport>,
    /// Start-up time by runtime (native included), in milliseconds.
    pub startup: BTreeMap<String, Outcome<Startup>>,
    /// Cost of an idle sandbox by runtime (native included).
    pub idle: BTreeMap<String, Outcome<Idle>>,
    /// What makes some of the numbers doubtful.
    pub warnings: Vec<String>,
    /// What was left out, and why.
    pub skipped: Vec<Skipped>,
}

/// A result, or why there is none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Outcome<T> {
    /// Measured.
    Measured(T),
    /// Failed.
    Failed {
        /// What went wrong.
        error: String,
    },
}

impl<T> Outcome<T> {
    /// The result, if there is one.
    pub fn measured(&self) -> Option<&T> {
        match self {
            Self::Measured(value) => Some(value),
            Self::Failed { .. } => None,
        }
    }

    /// What went wrong, if something did.
    pub fn error(&self) -> Option<&str> {
        match self {
            Self::Measured(_) => None,
            Self::Failed { error } => Some(error),
        }
    }
}

/// One row in one variant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RowReport {
    /// The row's name.
    pub row: String,
    /// The variant.
    pub variant: Variant,
    /// Largest wanted ratio to native.
    pub target_ratio: Option<f64>,
    /// Longest wanted time, from the target ratio, native's time and, for hand-off rows, the line
    /// round trip.
    pub limit_ns: Option<f64>,
    /// The native measurement.
    pub native: Outcome<Measured>,
    /// The measurement in each runtime.
    pub runtimes: BTreeMap<String, Outcome<Compared>>,
}

/// Time and CPU time of one operation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Wall time of one operation over the runs.
    pub ns: Summary,
    /// CPU time of all processes of the run for one operation: median of the runs.
    pub cpu_ns: f64,
    /// CPU seconds of all processes over all runs of the row, starting and ending included.
    pub total_cpu_s: f64,
    /// Wall seconds of all runs of the row, starting and ending included.
    pub total_wall_s: f64,
}

/// A measurement and how it compares with native.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Compared {
    /// The measurement.
    #[serde(flatten)]
    pub measured: Measured,
    /// Wall time divided by native's.
    pub ratio: Option<f64>,
    /// CPU time divided by native's.
    pub cpu_ratio: Option<f64>,
    /// Whether the time is within the limit; absent without a limit.
    pub met: Option<bool>,
    /// Whether the CPU time is at most [`CPU_RATIO`] times native's; absent in the trap variant.
    pub cpu_met: Option<bool>,
}

/// Start-up time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Startup {
    /// Wall milliseconds from fork to the end of `/bin/true`.
    pub ms: Summary,
    /// CPU milliseconds of all processes: median.
    pub cpu_ms: f64,
}

/// Cost of a sandbox that sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Idle {
    /// Number of processes.
    pub processes: usize,
    /// Sum of their PSS (proportional share of memory, see proc_pid_smaps(5)) in bytes.
    pub pss_bytes: u64,
    /// Processes whose PSS could not be read and is missing from the sum.
    pub unreadable: usize,
    /// Seconds over which CPU use was watched.
    pub watched_s: f64,
    /// Clock ticks that the processes used in that time.
    pub ticks: u64,
    /// CPU time that they used by the report's accounting.
    pub cpu_ns: u64,
}

/// Something that was not measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Skipped {
    /// A runtime, variant or row.
    pub what: String,
    /// Why.
    pub reason: String,
}

impl Report {
    /// Names of the runtimes besides native, in the order of the tables.
    pub fn runtime_names(&self) -> impl Iterator<Item = &str> {
        self.runtimes.keys().map(String::as_str)
    }

    /// All failures as (what, error).
    pub fn failures(&self) -> Vec<(String, &str)> {
        let mut failures = Vec::new();
        for row in &self.rows {
            let native = ("native", row.native.error());
            let others = row.runtimes.iter().map(|(name, outcome)| (name.as_str(), outcome.error()));
            for (runtime, error) in std::iter::once(native).chain(others) {
                let what = || format!("{} ({}) in {runtime}", row.row, row.variant.name());
                failures.extend(error.map(|error| (what(), error)));
            }
        }
        let startup = self.startup.iter().map(|(name, outcome)| ("start-up", name, outcome.error()));
        let idle = self.idle.iter().map(|(name, outcome)| ("idle", name, outcome.error()));
        for (what, runtime, error) in startup.chain(idle) {
            failures.extend(error.map(|error| (format!("{what} in {runtime}"), error)));
        }
        failures
    }
}
