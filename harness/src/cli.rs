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
    List(Choice),
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
        Selection {
            filters: self.filter.clone(),
            exact: self.exact,
            shard: self.shard,
        }
    }
}

/// `run`.
#[derive(Debug, Args)]
pub struct Run {
    /// Which probes.
    #[command(flatten)]
    pub choice: Choice,
    /// A column: its command, to which the agent's is appended; `{nonce}` in it stands for the boot nonce.
    /// `bevor` alone means `bevor do --boot-nonce {nonce} --` with the bevor beside this program (repeatable)
    /// [default: bevor].
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
    /// Write results here [default: target/conformance/results.json].
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
            return if e.use_stderr() {
                ExitCode::from(EXIT_USAGE)
            } else {
                ExitCode::SUCCESS
            };
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
        Cmd::List(choice) => commands::list(&choice),
        Cmd::Jail(jail) if jail.init => crate::jail::init(&jail.command, &jail.bind),
        Cmd::Jail(jail) => crate::jail::enter(&jail.command, &jail.bind),
        Cmd::Fixture(f) => match f.what {
            FixtureCmd::Agent => crate::fixture::agent(),
            FixtureCmd::Run { id } => crate::fixture::run(&id),
        },
    }
}
