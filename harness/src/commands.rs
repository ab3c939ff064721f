//! The subcommands' work.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::cli::{Choice, Run};
use crate::container::LogPolicy;
use crate::discover::{self, Suite};
use crate::error::{Error, Result};
use crate::expect::Expectations;
use crate::progress::Progress;
use crate::provenance::{self, Provenance};
use crate::{jail, report, runner};

/// The suite that the command line asks for.
///
/// # Errors
/// As [`discover::suite`].
pub fn suite(choice: &Choice) -> Result<Suite> {
    if choice.fixture {
        discover::fixture()
    } else {
        discover::suite(choice.manifests.as_deref(), choice.probes_dir.as_deref())
    }
}

/// `list`: one id a line and nothing else.
///
/// # Errors
/// [`Error::Input`] for faulty manifests or filters.
pub fn list(choice: &Choice) -> Result<ExitCode> {
    let probes = choice.selection().choose(&suite(choice)?.families)?;
    let mut out = std::io::stdout().lock();
    for probe in probes {
        if writeln!(out, "{}", probe.id).is_err() {
            break;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Default of `--json` and `--results`.
///
/// # Errors
/// As [`discover::repository`].
pub fn results_path(given: Option<&PathBuf>) -> Result<PathBuf> {
    match given {
        Some(path) => Ok(path.clone()),
        None => Ok(discover::repository()?.join("target/conformance/results.json")),
    }
}

/// Default of `--expectations`.
///
/// # Errors
/// As [`discover::repository`].
pub fn expectations_dir(given: Option<&PathBuf>) -> Result<PathBuf> {
    match given {
        Some(path) => Ok(path.clone()),
        None => Ok(discover::repository()?.join("harness/expectations")),
    }
}

/// `run`.
///
/// # Errors
/// [`Error::Input`] or [`Error::Infrastructure`]; a red gate is an exit code, not an error.
pub fn run(args: &Run) -> Result<ExitCode> {
    let suite = suite(&args.choice)?;
    let probes = args.choice.selection().choose(&suite.families)?;
    suite.require_built()?;
    let mut columns = args
        .runtime
        .iter()
        .map(|s| discover::column(s))
        .collect::<Result<Vec<_>>>()?;
    if columns.is_empty() && !args.native_only {
        columns.push(discover::bevor(&[])?);
    }
    for (i, c) in columns.iter().enumerate() {
        if columns[..i].iter().any(|d| d.name == c.name) {
            return Err(Error::input(format!("two columns are called {}", c.name)));
        }
    }
    let dir = expectations_dir(args.expectations.as_ref())?;
    let families = suite.families.iter().map(|f| f.family.as_str());
    let expectations = Expectations::load(&dir, columns.iter().map(|c| c.name.as_str()), families)?;
    jail::set_limits()?;
    let plan = runner::Plan {
        probes,
        native: suite.native()?,
        columns,
        agent: suite.agent.clone(),
        policy: LogPolicy::default(),
        jobs: args.jobs,
        seed: args.seed,
        repeat: args.repeat,
        expectations,
        today: provenance::today(),
    };
    let measured = runner::execute(&plan, &Progress::new())?;
    let path = results_path(args.json.as_ref())?;
    report::write(&path, &report::json(&measured.results)?)?;
    let columns = plan
        .columns
        .iter()
        .map(|c| (c.name.clone(), c.command.clone()))
        .collect();
    let provenance = serde_json::to_string_pretty(&Provenance::gather(args.seed, columns))
        .map_err(|e| Error::infra(format!("provenance: {e}")))?;
    report::write(&provenance::side_file(&path), &(provenance + "\n"))?;
    if let Some(path) = &args.junit {
        report::write(path, &report::junit(&measured.results)?)?;
    }
    if let Some(path) = &args.traces {
        let mut by_column: std::collections::BTreeMap<
            &str,
            std::collections::BTreeMap<&str, &Vec<String>>,
        > = std::collections::BTreeMap::new();
        for ((column, probe), lines) in &measured.traces {
            by_column.entry(column).or_default().insert(probe, lines);
        }
        let text = serde_json::to_string_pretty(&by_column)
            .map_err(|e| Error::infra(format!("traces: {e}")))?;
        report::write(path, &(text + "\n"))?;
    }
    let _ = write!(std::io::stdout(), "{}", report::summary(&measured.results));
    Ok(ExitCode::from(report::gate(&measured.results)))
}
