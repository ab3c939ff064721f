//! The command line of `bevor-harness bench`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Args, Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::accounting::Accounting;
use crate::catalogue::{Filter, ROWS, Row, Variant};
use crate::programs::Programs;
use crate::provenance::{Provenance, allowed_cpus};
use crate::report::{Report, SCHEMA, Skipped};
use crate::runtime::{BEVOR, Runtime};
use crate::suite::{Effort, Suite, go_program};
use crate::{render, system, wait};

/// Exit status if something could not be measured (missed targets do not count).
const EXIT_INCOMPLETE: u8 = 1;
/// Exit status for a bad command line.
const EXIT_USAGE: u8 = 2;

/// Names under which `--rows` selects the measurements of a whole sandbox.
const STARTUP: &str = "startup";
const IDLE: &str = "idle";

/// Compares the speed of sandboxes with the native kernel.
#[derive(Debug, Parser)]
#[command(no_binary_name = true, bin_name = "bevor-harness bench", args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    bench: BenchArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Compare ways in which two processes hand work to each other and wait.
    Wait(WaitArgs),
}

#[derive(Debug, Args)]
struct BenchArgs {
    /// Also write the report to FILE, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Another runtime: the measuring program's command line goes behind CMD. `bevor=CMD…` replaces
    /// the default, `bevor do --` beside this executable. May be given several times.
    #[arg(long = "runtime", value_name = "NAME=CMD…", value_parser = Runtime::parse)]
    runtimes: Vec<Runtime>,
    /// Only rows whose name contains one of these comma-separated words ("startup" and "idle" are
    /// the measurements of a whole sandbox).
    #[arg(long, value_name = "FILTER", default_value = "")]
    rows: String,
    /// Only these variants.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "LIST")]
    variants: Vec<Variant>,
    /// Runs of each row in each runtime.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    repeat: u16,
    /// Measure briefly: one run of each row. For smoke tests.
    #[arg(long)]
    quick: bool,
    /// The Go command (default: `go` from PATH; without one the go variant is skipped).
    #[arg(long, value_name = "PATH")]
    go: Option<PathBuf>,
    /// Print the names of the rows and end.
    #[arg(long)]
    list: bool,
}

#[derive(Debug, Args)]
struct WaitArgs {
    /// Also write the report to FILE, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Round trips in each of five batches.
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u64).range(1..))]
    rounds: u64,
    /// How often spinfutex looks before it sleeps.
    #[arg(long, default_value_t = 2000)]
    spins: u64,
}

/// Runs the benchmark. `args` are the words behind `bench`, without a program name.
///
/// Prints tables to standard output, progress and errors to standard error. The status is 0 if
/// everything that was asked for has been measured, however slow it is; 1 if something could not
/// be measured (the report says what and why); 2 for a bad command line.
pub fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Nothing is left to do if even the message cannot be printed.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(EXIT_USAGE) } else { ExitCode::SUCCESS };
        }
    };
    let result = match &cli.command {
        Some(Command::Wait(args)) => run_wait(args),
        None => run_bench(&cli.bench),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(EXIT_INCOMPLETE),
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::from(EXIT_INCOMPLETE)
        }
    }
}

fn run_wait(args: &WaitArgs) -> Result<bool> {
    let programs = Programs::install()?;
    let report = wait::measure(&programs.waitbench, args.rounds, args.spins)?;
    print!("{}", render::wait(&report));
    write_json(args.json.as_deref(), &report)?;
    // A mechanism that the kernel lacks is a result.
    Ok(true)
}

fn write_json(path: Option<&Path>, report: &impl Serialize) -> Result<()> {
    let Some(path) = path else { return Ok(()) };
    let mut text = serde_json::to_string_pretty(report)?;
    text.push('\n');
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// True if everything was measured.
fn run_bench(args: &BenchArgs) -> Result<bool> {
    if args.list {
        ROWS.iter().for_each(|row| println!("{}", row.name));
        println!("{STARTUP}\n{IDLE}");
        return Ok(true);
    }
    let filter = Filter::parse(&args.rows);
    let plan = plan(&filter, &args.variants);
    let (startup, idle) = (filter.selects(STARTUP), filter.selects(IDLE));
    ensure!(!plan.is_empty() || startup || idle, "no row matches {:?}", args.rows);

    let mut skipped = Vec::new();
    let runtimes = runtimes(&args.runtimes, &mut skipped)?;
    let programs = Programs::install()?;
    let accounting = Accounting::detect()?;
    let go = if plan.iter().any(|(_, variant)| *variant == Variant::Go) {
        note_failure("variant go", go_program(&programs, args.go.as_deref()), &mut skipped)
    } else {
        None
    };
    if programs.static_.is_none() {
        note_skip("variant static, row fork_exec_static", "built without a static C library", &mut skipped);
    }
    let line = note_failure("line round trip", wait::line_round_trip_ns(&programs.waitbench), &mut skipped);
    let suite = Suite {
        accounting: &accounting,
        programs: &programs,
        go: go.as_deref(),
        runtimes: &runtimes,
        effort: effort(args),
        pin: allowed_cpus().last().copied().context("no CPU")?,
        line_round_trip_ns: line,
    };
    let mut report = Report {
        schema: SCHEMA.to_owned(),
        provenance: Provenance::gather(),
        cpu_accounting: accounting.method(),
        quick: args.quick,
        repeat: suite.effort.repeat,
        runtimes: runtimes.iter().map(|runtime| (runtime.name.clone(), runtime.command_line())).collect(),
        line_round_trip_ns: line,
        rows: measure_rows(&suite, &plan),
        startup: BTreeMap::new(),
        idle: BTreeMap::new(),
        warnings: warnings(&suite),
        skipped,
    };
    let everywhere: Vec<Runtime> = std::iter::once(Runtime::native()).chain(runtimes.iter().cloned()).collect();
    if startup {
        report.startup = system::startup(&accounting, &everywhere, if args.quick { 3 } else { 10 });
    }
    if idle {
        let (settle, watch) = if args.quick { (1, 1) } else { (2, 10) };
        report.idle = system::idle(&accounting, &everywhere, Duration::from_secs(settle), Duration::from_secs(watch));
    }
    print!("{}", render::report(&report));
    write_json(args.json.as_deref(), &report)?;
    Ok(report.failures().is_empty())
}

fn effort(args: &BenchArgs) -> Effort {
    if args.quick {
        return Effort { repeat: 1, batches: 3, batch: Duration::from_millis(2), timeout: Duration::from_secs(30) };
    }
    Effort { repeat: usize::from(args.repeat), batches: 3, batch: Duration::from_millis(20), timeout: Duration::from_secs(60) }
}

/// Which runtimes' CPU time and memory are counted in part only.
fn warnings(suite: &Suite<'_>) -> Vec<String> {
    let escaped = |runtime: &Runtime| {
        // A runtime that does not work at all is reported with its rows.
        let count = suite.escaped(runtime).unwrap_or(0);
        let name = &runtime.name;
        (count > 0).then(|| {
            format!(
                "{count} processes of {name} leave the control group of their run: {name}'s CPU time and idle cost are too low"
            )
        })
    };
    suite.runtimes.iter().filter_map(escaped).collect()
}

/// The selected rows in the selected variants; rows of one variant together.
fn plan(filter: &Filter, variants: &[Variant]) -> Vec<(&'static Row, Variant)> {
    let wanted = |variant: &Variant| variants.is_empty() || variants.contains(variant);
    Variant::ALL
        .into_iter()
        .filter(wanted)
        .flat_map(|variant| ROWS.iter().map(move |row| (row, variant)))
        .filter(|(row, variant)| variant.has(row) && filter.selects(row.name))
        .collect()
}

/// Bevor, if it is there or given, and the others that were given.
fn runtimes(given: &[Runtime], skipped: &mut Vec<Skipped>) -> Result<Vec<Runtime>> {
    let mut all = given.to_vec();
    if !all.iter().any(|runtime| runtime.name == BEVOR) {
        let executable = std::env::current_exe().context("cannot find this executable")?;
        all.extend(note_failure("runtime bevor", Runtime::default_bevor(&executable), skipped));
    }
    all.sort_by(|left, right| left.name.cmp(&right.name));
    let before = all.len();
    all.dedup_by(|left, right| left.name == right.name);
    ensure!(all.len() == before, "two runtimes have the same name");
    Ok(all)
}

fn note_skip(what: &str, reason: &str, skipped: &mut Vec<Skipped>) {
    eprintln!("skipping {what}: {reason}");
    skipped.push(Skipped { what: what.to_owned(), reason: reason.to_owned() });
}

fn note_failure<T>(what: &str, result: Result<T>, skipped: &mut Vec<Skipped>) -> Option<T> {
    result.map_err(|error| note_skip(what, &format!("{error:#}"), skipped)).ok()
}

fn measure_rows(suite: &Suite<'_>, plan: &[(&'static Row, Variant)]) -> Vec<crate::report::RowReport> {
    let bar = ProgressBar::new(u64::try_from(plan.len()).unwrap_or(0));
    if let Ok(style) = ProgressStyle::with_template("{pos}/{len} {msg} [{elapsed}, {eta} left]") {
        bar.set_style(style);
    }
    let mut rows = Vec::new();
    for &(row, variant) in plan {
        bar.set_message(format!("{} {}", variant.name(), row.name));
        // Rows without a program have been noted as skipped.
        let needs_static = row.name == "fork_exec_static" && suite.programs.static_.is_none();
        rows.extend((!needs_static).then(|| suite.measure(row, variant)).flatten());
        bar.inc(1);
    }
    bar.finish_and_clear();
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(words)
    }

    #[test]
    fn the_definition_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn all_options_parse() {
        let words = [
            "--json",
            "out.json",
            "--runtime",
            "runsc=runsc do",
            "--rows",
            "stat,pipe",
            "--quick",
            "--repeat",
            "7",
            "--variants",
            "base,trap",
        ];
        let bench = parse(&words).unwrap().bench;
        assert_eq!(bench.json.as_deref(), Some(Path::new("out.json")));
        assert_eq!(bench.runtimes[0].name, "runsc");
        assert_eq!(bench.variants, [Variant::Base, Variant::Trap]);
        assert_eq!((bench.repeat, bench.quick, bench.rows.as_str()), (7, true, "stat,pipe"));
    }

    #[test]
    fn variant_names_are_those_of_the_report() {
        for variant in Variant::ALL {
            let bench = parse(&["--variants", variant.name()]).unwrap().bench;
            assert_eq!(bench.variants, [variant]);
            assert_eq!(serde_json::to_value(variant).unwrap(), variant.name());
        }
    }

    #[test]
    fn bad_arguments_are_refused() {
        for words in [&["--runtime", "x"][..], &["--repeat", "0"], &["--variants", "fast"], &["wait", "--rounds", "0"], &["x"]] {
            assert!(parse(words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn plan_crosses_variants_with_the_rows_they_have() {
        let names = |filter: &str, variants: &[Variant]| -> Vec<String> {
            let plan = plan(&Filter::parse(filter), variants);
            plan.iter().map(|(row, variant)| format!("{} {}", variant.name(), row.name)).collect()
        };
        assert_eq!(
            names("fork_exit,stat_root", &[Variant::Trap, Variant::Base]),
            ["base stat_root", "base fork_exit_wait", "trap stat_root"]
        );
        assert_eq!(names("poll_ready", &[Variant::Go]), Vec::<String>::new());
        assert_eq!(names("stat_root", &[]).len(), Variant::ALL.len());
    }

    #[test]
    fn two_runtimes_of_one_name_are_refused() {
        let given = [Runtime::parse("bevor=a").unwrap(), Runtime::parse("bevor=b").unwrap()];
        assert!(runtimes(&given, &mut Vec::new()).is_err());
    }

    #[test]
    fn missing_bevor_is_skipped_with_its_path_as_the_reason() {
        let mut skipped = Vec::new();
        let found = runtimes(&[Runtime::parse("other=x").unwrap()], &mut skipped).unwrap();
        // Beside a test executable there is no bevor.
        assert_eq!(found.len(), 1);
        assert_eq!(skipped[0].what, "runtime bevor");
        assert!(skipped[0].reason.ends_with("bevor does not exist"));
    }
}
