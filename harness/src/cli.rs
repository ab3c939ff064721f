//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::commands;
use crate::error::{EXIT_USAGE, Result};
use crate::select::{Selection, Shard};

const EXIT_CODES: &str = "Exit codes:
  0   all as expected
  1   regression: new or changed difference, crash, incomplete plan, error of a probe's author
  2   stale expectation or table
  3   infrastructure: a container doesn't start, its kernel log lacks the boot nonce, a file can't be written
  64  bad input: command line, manifests, expectations, results file";

/// Runs conformance probes natively and in sandboxes, and keeps the compatibility table.
#[derive(Debug, Parser)]
#[command(name = "bevor-harness", version, after_help = EXIT_CODES, after_long_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Cmd,
}

#[derive(Debug, Subcommand)]
enum Cmd {
    /// Run probes natively and in every column, compare, and gate.
    Run(Run),
    /// Print one probe id a line.
    List(List),
    /// Make one results file of those of all shards, and gate.
    Merge(Merge),
    /// Check manifests, probe binaries, catalogue and expectations against each other.
    Lint(Lint),
    /// See natively, by strace(1), which flags the probes pass, for the table in place of what manifests declare.
    Trace(Trace),
    /// Write what a run measured into the expectations, and print the change for review.
    Bless(Bless),
    /// Render the compatibility table from a run's results.
    Table(Table),
    /// Generate the catalogue of system calls from the committed facts of kernel headers and manual.
    Catalogue(Catalogue),
    /// Inject faults into the sandbox's kernel and report which the probes catch.
    Mutate(Mutate),
    /// Switch the bugs of a test build of the kernel on, one at a time, and report which the probes catch.
    Mutants(Mutants),
    /// Check the harness itself: native against native, and against a lying runtime.
    Selfcheck(Selfcheck),
    /// Measure speed natively and in sandboxes (arguments: `bench --help`).
    #[command(disable_help_flag = true)]
    Bench {
        /// Passed on.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Run a command under a runtime that lies about chosen calls to the probes in it (for selfcheck).
    #[command(hide = true)]
    Liar(Liar),
    /// Enter the native jail and execute a command in it.
    #[command(hide = true)]
    Jail(Jail),
    /// The harness's own probes and agent.
    #[command(hide = true)]
    Fixture(Fixture),
}

/// Which probes, and where they are.
#[derive(Debug, Clone, Args)]
pub struct Choice {
    /// Take probes whose id holds this (repeatable).
    #[arg(long, value_name = "TEXT")]
    pub filter: Vec<String>,
    /// Filters are whole ids.
    #[arg(long)]
    pub exact: bool,
    /// Take part i of n.
    #[arg(long, value_name = "I/N")]
    pub shard: Option<Shard>,
    /// Folder of the manifests [default: syscall-tests/manifests].
    #[arg(long, value_name = "DIR")]
    pub manifests: Option<PathBuf>,
    /// Folder of probes-c and probes-rust [default: where this program lies].
    #[arg(long, value_name = "DIR")]
    pub probes_dir: Option<PathBuf>,
    /// Take the harness's own fixture probes.
    #[arg(long, hide = true)]
    pub fixture: bool,
}

impl Choice {
    /// The selection among the probes.
    #[must_use]
    pub fn selection(&self) -> Selection {
        Selection { filters: self.filter.clone(), exact: self.exact, shard: self.shard, ..Selection::default() }
    }
}

/// What of the choice is left out.
#[derive(Debug, Clone, Default, Args)]
pub struct Narrow {
    /// Leave out probes whose id holds this (with --exact: is this; repeatable).
    #[arg(long, value_name = "TEXT")]
    pub skip: Vec<String>,
    /// Take probes that cover this call (repeatable).
    #[arg(long, value_name = "NAME")]
    pub call: Vec<String>,
}

impl Narrow {
    /// The selection that `choice` and this make.
    #[must_use]
    pub fn of(&self, choice: &Choice) -> Selection {
        Selection { skip: self.skip.clone(), calls: self.call.clone(), ..choice.selection() }
    }
}

/// `list`.
#[derive(Debug, Args)]
pub struct List {
    /// Which probes.
    #[command(flatten)]
    pub choice: Choice,
    /// Which not.
    #[command(flatten)]
    pub narrow: Narrow,
}

/// `merge`.
#[derive(Debug, Args)]
pub struct Merge {
    /// Results of all shards of one run.
    #[arg(required = true, value_name = "FILE")]
    pub results: Vec<PathBuf>,
    /// Write the whole here [default: target/conformance/results.json].
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write JUnit here.
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// This column must have been measured (repeatable).
    #[arg(long, value_name = "COLUMN")]
    pub require: Vec<String>,
}

/// `run`.
#[derive(Debug, Args)]
pub struct Run {
    /// Which probes.
    #[command(flatten)]
    pub choice: Choice,
    /// Which not.
    #[command(flatten)]
    pub narrow: Narrow,
    /// A column: its command, to which the agent's is appended; `{nonce}` in it stands for the boot nonce.
    /// `bevor` alone means `bevor do --boot-nonce {nonce} --` with the bevor beside this program (repeatable)
    /// and so do `bevor-overlay` (work folder on the root's overlay), `bevor-bind` (on a bind mount), `bevor-local-off`
    /// (--local-calls=off) and `bevor-torture` (--torture=1) [default: all but the last].
    #[arg(long, value_name = "NAME=CMD")]
    pub runtime: Vec<String>,
    /// Only the native column: are the probes themselves sound?
    #[arg(long, conflicts_with = "runtime")]
    pub native_only: bool,
    /// Containers at a time.
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub jobs: usize,
    /// Seed of the order within a family.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Run the sandbox columns this often; any run that differs counts.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub repeat: usize,
    /// This column must be measured: its absence is red (repeatable).
    #[arg(long, value_name = "COLUMN")]
    pub require: Vec<String>,
    /// End at the first failure.
    #[arg(long)]
    pub fail_fast: bool,
    /// Write results here [default: target/conformance/results.json; those of a part of the suite beside it, as part.json].
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write JUnit here.
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Write the raw streams here, by column and probe.
    #[arg(long, value_name = "FILE")]
    pub traces: Option<PathBuf>,
    /// Folder of the expectations [default: harness/expectations].
    #[arg(long, value_name = "DIR")]
    pub expectations: Option<PathBuf>,
}

/// `lint`.
#[derive(Debug, Args)]
pub struct Lint {
    /// Which probes.
    #[command(flatten)]
    pub choice: Choice,
    /// Folder of the expectations [default: harness/expectations].
    #[arg(long, value_name = "DIR")]
    pub expectations: Option<PathBuf>,
    /// Results in which native Linux must have answered every errno that a probe claims [default: none].
    #[arg(long, value_name = "FILE")]
    pub results: Option<PathBuf>,
}

/// `trace`.
#[derive(Debug, Args)]
pub struct Trace {
    /// Which probes; what is known of the others stays.
    #[command(flatten)]
    pub choice: Choice,
    /// Which not.
    #[command(flatten)]
    pub narrow: Narrow,
    /// Probes at a time.
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub jobs: usize,
    /// Write nothing; exit with 2 if a flag that is written down is no longer passed, or one that is passed is not written down.
    #[arg(long)]
    pub check: bool,
}

/// `bless`.
#[derive(Debug, Args)]
pub struct Bless {
    /// Results to take over [default: target/conformance/results.json].
    #[arg(long, value_name = "FILE")]
    pub results: Option<PathBuf>,
    /// Folder of the expectations [default: harness/expectations].
    #[arg(long, value_name = "DIR")]
    pub expectations: Option<PathBuf>,
    /// Why the new entries differ.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// The issue that tracks the new entries.
    #[arg(long, value_name = "REF")]
    pub issue: Option<String>,
    /// The design note that argues the new entries.
    #[arg(long, value_name = "REF")]
    pub note: Option<String>,
    /// State of the new entries [default: missing for ENOSYS, else known-diff].
    #[arg(long, value_enum)]
    pub state: Option<BlessState>,
    /// Record crashes and unfinished runs too.
    #[arg(long)]
    pub crashes: bool,
    /// Only print the change.
    #[arg(long)]
    pub dry_run: bool,
}

/// States that `bless --state` gives.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum BlessState {
    /// To be mended.
    KnownDiff,
    /// Meant.
    ByDesign,
    /// Not there yet.
    Missing,
}

/// `table`.
#[derive(Debug, Args)]
pub struct Table {
    /// Results to render [default: target/conformance/results.json].
    #[arg(long, value_name = "FILE")]
    pub results: Option<PathBuf>,
    /// Folder with catalogue and data, where TABLE.md and compat.json go [default: compat-table].
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Also fail with 1 if a measured column agrees in less than so many percent of its observations.
    #[arg(long, value_name = "PERCENT")]
    pub min_agree: Option<usize>,
    /// Write nothing; exit with 2 if what is there is stale.
    #[arg(long)]
    pub check: bool,
}

/// `catalogue`.
#[derive(Debug, Args)]
pub struct Catalogue {
    /// First take the facts anew from this machine's header and manual; without it, only committed files are read.
    #[arg(long, conflicts_with = "check")]
    pub refresh: bool,
    /// The kernel's header of numbers.
    #[arg(long, value_name = "FILE", default_value = "/usr/include/x86_64-linux-gnu/asm/unistd_64.h")]
    pub header: PathBuf,
    /// Section 2 of the manual (Debian: manpages-dev).
    #[arg(long, value_name = "DIR", default_value = "/usr/share/man/man2")]
    pub manual: PathBuf,
    /// Folder with catalogue and data [default: compat-table].
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Write nothing; exit with 2 if what is there is stale.
    #[arg(long)]
    pub check: bool,
}

/// `mutate`.
#[derive(Debug, Args)]
pub struct Mutate {
    /// Which probes; a shard is one of the calls.
    #[command(flatten)]
    pub choice: Choice,
    /// The sandbox, whose command holds `{fault}` for CALL:KIND
    /// [default: bevor=…/bevor do --boot-nonce {nonce} --local-calls=off --fault={fault} --].
    #[arg(long, value_name = "NAME=CMD")]
    pub runtime: Option<String>,
    /// Only these calls (repeatable).
    #[arg(long, value_name = "NAME")]
    pub call: Vec<String>,
    /// Containers at a time.
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub jobs: usize,
    /// Write the result here; a result of other calls that is there already is kept [default: it is printed only].
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Exit with 1 if a smaller share, in percent, is caught.
    #[arg(long, value_name = "PERCENT")]
    pub min: Option<usize>,
}

/// `mutants`.
#[derive(Debug, Args)]
pub struct Mutants {
    /// Which probes are asked.
    #[command(flatten)]
    pub choice: Choice,
    /// The build that holds the mutants [default: target/mutants/bevor].
    #[arg(long, value_name = "FILE")]
    pub bevor: Option<PathBuf>,
    /// Only mutants whose id holds this (repeatable).
    #[arg(long, value_name = "TEXT")]
    pub mutant: Vec<String>,
    /// Only mutants that show in this call (repeatable).
    #[arg(long, value_name = "NAME")]
    pub call: Vec<String>,
    /// Where they are tried (repeatable): what survives in one is tried in the next. Answers of the stub are off in each
    /// [default: bevor, bevor-bind, bevor-overlay].
    #[arg(long, value_name = "NAME")]
    pub runtime: Vec<String>,
    /// Mutants at a time.
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub jobs: usize,
    /// Write what became of each here.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Exit with 1 if a smaller share, in percent, is caught.
    #[arg(long, value_name = "PERCENT")]
    pub min: Option<usize>,
}

/// `selfcheck`.
#[derive(Debug, Args)]
pub struct Selfcheck {
    /// Which probes are run natively against themselves.
    #[command(flatten)]
    pub choice: Choice,
    /// Containers at a time.
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub jobs: usize,
    /// Seed of the lies.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
}

#[derive(Debug, Args)]
struct Liar {
    #[arg(long)]
    stopped: bool,
    #[arg(long, value_name = "N")]
    boot_nonce: Option<String>,
    #[arg(long, value_name = "CALL=WHAT")]
    lie: Vec<crate::liar::Lie>,
    #[arg(last = true)]
    command: Vec<OsString>,
}

#[derive(Debug, Args)]
struct Jail {
    #[arg(long)]
    init: bool,
    #[arg(long, value_name = "SRC:DST[:ro]")]
    bind: Vec<String>,
    #[arg(last = true)]
    command: Vec<OsString>,
}

#[derive(Debug, Args)]
struct Fixture {
    #[command(subcommand)]
    what: FixtureCmd,
}

#[derive(Debug, Subcommand)]
enum FixtureCmd {
    Agent,
    Run { id: String },
}

/// Parses the command line and runs the command.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            let _ = e.print();
            return if e.use_stderr() { ExitCode::from(EXIT_USAGE) } else { ExitCode::SUCCESS };
        }
    };
    dispatch(cli.command).unwrap_or_else(|e| {
        eprintln!("bevor-harness: {e}");
        e.exit_code()
    })
}

fn dispatch(command: Cmd) -> Result<ExitCode> {
    match command {
        Cmd::Run(args) => commands::run(&args),
        Cmd::List(args) => commands::list(&args),
        Cmd::Merge(args) => crate::merge::merge(&args),
        Cmd::Lint(args) => commands::lint(&args),
        Cmd::Bless(args) => commands::bless(&args),
        Cmd::Table(args) => crate::table::table(&args),
        Cmd::Catalogue(args) => crate::table::catalogue(&args),
        Cmd::Trace(args) => commands::trace(&args),
        Cmd::Mutate(args) => commands::mutate(&args),
        Cmd::Mutants(args) => commands::mutants(&args),
        Cmd::Selfcheck(args) => commands::selfcheck(&args),
        Cmd::Bench { args } => Ok(bevor_bench::main(args.into_iter())),
        Cmd::Liar(liar) if liar.stopped => crate::liar::stopped(&liar.command),
        Cmd::Liar(liar) => crate::liar::run(&liar.command, &liar.lie, liar.boot_nonce.as_deref()),
        Cmd::Jail(jail) if jail.init => crate::jail::init(&jail.command, &jail.bind),
        Cmd::Jail(jail) => crate::jail::enter(&jail.command, &jail.bind),
        Cmd::Fixture(f) => match f.what {
            FixtureCmd::Agent => crate::fixture::agent(),
            FixtureCmd::Run { id } => crate::fixture::run(&id),
        },
    }
}
