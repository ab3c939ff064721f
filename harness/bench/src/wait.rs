//! `bench wait`: compares ways in which two processes hand work to each other
//! (`c/waitbench.c`), and measures the round trip of a cache line between two CPUs.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::accounting::only_children;
use crate::provenance::{Provenance, allowed_cpus};
use crate::report::Outcome;
use crate::stats::Summary;
use crate::suite::outcome;
use crate::tie::tie;

/// Name and version of the format of `bench wait --json`.
pub const SCHEMA: &str = "bevor-bench-wait/1";
/// Rounds in a batch of the line round trip.
const LINE_ROUNDS: u64 = 20_000;
/// A spinner that shares its CPU with the one it waits for waits for whole time slices.
const SPIN_ROUNDS_ON_ONE_CPU: u64 = 20;

/// The result of `bench wait`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WaitReport {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// Machine and moment.
    pub provenance: Provenance,
    /// Looks at the shared word before `spinfutex` sleeps.
    pub spins: u64,
    /// One entry for each mechanism and placement.
    pub mechanisms: Vec<Mechanism>,
}

/// Where the two sides run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Placement {
    /// Each on a CPU of its own.
    TwoCpus,
    /// Both on one CPU.
    OneCpu,
    /// Wherever the scheduler puts them.
    Anywhere,
}

/// One mechanism in one placement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mechanism {
    /// Name in `waitbench`.
    pub mechanism: String,
    /// Where the sides ran.
    pub placement: Placement,
    /// One round trip over the batches, in nanoseconds.
    pub round_trip_ns: Outcome<Summary>,
}

/// Measures all mechanisms in all placements that this machine has.
pub(crate) fn measure(waitbench: &Path, rounds: u64, spins: u64) -> Result<WaitReport> {
    let output = {
        let _only = only_children();
        Command::new(waitbench).arg("list").output().context("cannot run waitbench")?
    };
    let names = String::from_utf8(output.stdout)?;
    let cpus = allowed_cpus();
    let first = cpus.first().copied().context("no CPU")?;
    let mut placements = vec![(Placement::OneCpu, Some((first, first))), (Placement::Anywhere, None)];
    if let Some(&second) = cpus.get(1) {
        placements.insert(0, (Placement::TwoCpus, Some((first, second))));
    }
    let mut mechanisms = Vec::new();
    for mechanism in names.lines() {
        for &(placement, cpus) in &placements {
            let rounds = match (mechanism, placement) {
                ("spin", Placement::OneCpu) => SPIN_ROUNDS_ON_ONE_CPU,
                _ => rounds,
            };
            mechanisms.push(Mechanism {
                mechanism: mechanism.to_owned(),
                placement,
                round_trip_ns: outcome(run_one(waitbench, mechanism, cpus, rounds, spins)),
            });
        }
    }
    Ok(WaitReport { schema: SCHEMA.to_owned(), provenance: Provenance::gather(), spins, mechanisms })
}

/// The round trip of a cache line between two CPUs in nanoseconds, undisturbed (the fastest batch);
/// an error on one CPU.
pub(crate) fn line_round_trip_ns(waitbench: &Path) -> Result<f64> {
    let [first, second, ..] = allowed_cpus()[..] else {
        bail!("there is one CPU only");
    };
    Ok(run_one(waitbench, "spin", Some((first, second)), LINE_ROUNDS, 0)?.min)
}

fn run_one(waitbench: &Path, mechanism: &str, cpus: Option<(usize, usize)>, rounds: u64, spins: u64) -> Result<Summary> {
    let _only = only_children();
    let cpu = |number: Option<usize>| number.map_or_else(|| "-1".to_owned(), |number| number.to_string());
    let mut command = Command::new(waitbench);
    tie(&mut command)?;
    let output = command
        .args(["run", mechanism, &cpu(cpus.map(|pair| pair.0)), &cpu(cpus.map(|pair| pair.1))])
        .args([rounds.to_string(), spins.to_string()])
        .output()
        .context("cannot run waitbench")?;
    if !output.status.success() {
        bail!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    parse(&String::from_utf8(output.stdout)?)
}

/// The output is one number a line.
fn parse(text: &str) -> Result<Summary> {
    let values: Result<Vec<f64>, _> = text.lines().map(str::parse::<f64>).collect();
    Summary::of(&values.context("bad number from waitbench")?).context("waitbench gave no numbers")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::programs::Programs;

    #[test]
    fn output_is_one_number_a_line() {
        assert_eq!(parse("3.0\n1.0\n2.0\n").unwrap().median, 2.0);
        assert!(parse("").is_err());
        assert!(parse("1.0\nx\n").is_err());
    }

    #[test]
    fn every_mechanism_works_or_is_unsupported_by_the_kernel() {
        let programs = Programs::install().unwrap();
        let report = measure(&programs.waitbench, 20, 100).unwrap();
        for mechanism in &report.mechanisms {
            let name = &mechanism.mechanism;
            match &mechanism.round_trip_ns {
                Outcome::Measured(summary) => assert!(summary.median > 0.0, "{name}"),
                Outcome::Failed { error } => {
                    assert!(error.contains("exit status: 3") && name.starts_with("notify"), "{name}: {error}");
                }
            }
        }
        for wanted in ["spin", "spinfutex", "eventfd", "pipe", "unix", "notify", "notify_sync", "yield"] {
            assert!(report.mechanisms.iter().any(|entry| entry.mechanism == wanted), "{wanted} is missing");
        }
    }
}
