//! Front end for `cargo test` and nextest: every probe a test of its own.
//!
//! Runs the fixture probes always, and the real ones when they are built beside the test (as
//! `cargo test --workspace` does), each against Bevor if it is built and else natively against itself.

use std::process::ExitCode;

use bevor_compat_table::results::Gate;
use bevor_harness::container::{Column, LogPolicy};
use bevor_harness::discover::{self, Suite};
use bevor_harness::error::Result;
use bevor_harness::expect::Expectations;
use bevor_harness::manifest::Probe;
use bevor_harness::progress::Progress;
use bevor_harness::runner::{self, Plan};
use bevor_harness::{commands, jail, provenance, report};
use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    match trials() {
        Ok(trials) => libtest_mimic::run(&arguments, trials).exit_code(),
        Err(e) => {
            eprintln!("{e}");
            e.exit_code()
        }
    }
}

fn trials() -> Result<Vec<Trial>> {
    jail::set_limits()?;
    let mut trials = of(discover::fixture, false)?;
    if discover::suite(None, None).is_ok_and(|s| s.require_built().is_ok()) {
        trials.extend(of(|| discover::suite(None, None), true)?);
    } else {
        eprintln!("probes: the probe binaries are not built here; only the fixture runs");
    }
    Ok(trials)
}

fn of(suite: impl Fn() -> Result<Suite>, sandbox: bool) -> Result<Vec<Trial>> {
    let first = suite()?;
    let sandbox = sandbox && discover::bevor(&[])?.command.first().is_some_and(|p| std::path::Path::new(p).is_file());
    let mut trials = Vec::new();
    for probe in first.families.into_iter().flat_map(|f| f.probes) {
        let suite = suite()?;
        let column = if sandbox { discover::bevor(&[])? } else { suite.jailed("native-again", &[])? };
        let (kind, name) = (column.name.clone(), probe.id.clone());
        let test = move || one(&suite, probe, column).map_err(|e| e.to_string())?;
        trials.push(Trial::test(name, test).with_kind(kind));
    }
    Ok(trials)
}

/// Runs one probe and fails with the summary if the gate is not green.
fn one(suite: &Suite, probe: Probe, column: Column) -> Result<std::result::Result<(), Failed>> {
    if let Some(reason) = runner::unmet(&probe.needs) {
        eprintln!("{}: cannot run here: {reason}", probe.id);
        return Ok(Ok(()));
    }
    let expectations = Expectations::load(
        &commands::expectations_dir(None)?,
        std::iter::once(column.name.as_str()),
        std::iter::once(probe.family()),
    )?;
    let plan = Plan {
        probes: vec![probe],
        native: suite.native()?,
        columns: vec![column],
        agent: suite.agent.clone(),
        policy: LogPolicy::default(),
        jobs: 1,
        seed: 0,
        repeat: 1,
        expectations,
        today: provenance::today(),
        fail_fast: false,
    };
    let results = runner::execute(&plan, &Progress::new()).sound()?.results;
    let verdicts = results.probes.iter().flat_map(|p| &p.observations).flat_map(|o| o.columns.values());
    let green = verdicts.map(|v| v.state.gate()).all(|g| g == Gate::Pass) && report::gate(&results) == 0;
    Ok(if green { Ok(()) } else { Err(report::summary(&results).into()) })
}
