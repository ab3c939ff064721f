//! The command line.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::failure::{Failure, OWN_FAILURE};
use crate::sandbox;
use crate::spec::Spec;

const EXIT_STATUS: &str = "\
Exit status:
  N      the command's own exit status
  128+N  the command was killed by signal N
  125    Bevor itself failed, or was used wrongly (one line on stderr says how)
  126    the command was found but cannot be executed
  127    the command was not found";

#[derive(Debug, Parser)]
#[command(name = "bevor", version, about = "Runs programs in a userspace Linux kernel", after_help = EXIT_STATUS)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a command over the host's files; what it writes stays in memory
    Do(Box<DoArgs>),
    /// List the system calls, one JSON object a line
    #[command(hide = true)]
    Syscalls,
    /// List the mutants, one JSON object a line
    #[cfg(feature = "mutants")]
    #[command(hide = true)]
    Mutants,
    /// Run a check inside a confined sentry instead of a kernel
    #[cfg(feature = "test-faults")]
    #[command(name = "selftest-confinement", hide = true)]
    Selftest {
        /// What the pretended kernel does
        action: crate::selftest::Action,
        /// Writable directory for the check
        directory: Option<OsString>,
    },
}

/// Arguments of `bevor do`.
#[derive(Debug, Default, Args)]
#[command(after_help = EXIT_STATUS)]
pub(crate) struct DoArgs {
    /// Show the host's SRC at DST, writable unless :ro is added; set-id bits stay only with :suid (may be repeated)
    #[arg(long, value_name = "SRC:DST[:ro][:suid]")]
    pub(crate) bind: Vec<OsString>,
    /// Show the host's file or directory PATH empty, wherever it is met inside (may be repeated)
    #[arg(long, value_name = "PATH")]
    pub(crate) hide: Vec<PathBuf>,
    /// Directory on the host that becomes the root; never written
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub(crate) root: PathBuf,
    /// Start from an empty environment instead of the caller's, as 'env -i' does
    #[arg(long)]
    pub(crate) clean_env: bool,
    /// Set or change an environment variable (may be repeated)
    #[arg(long, value_name = "K=V")]
    pub(crate) env: Vec<OsString>,
    /// How much files in memory, pipes and sockets may keep: bytes, or with K, M, G [default: half of the host's memory]
    #[arg(long, value_name = "SIZE", value_parser = crate::memory::parse_size)]
    pub(crate) file_memory: Option<u64>,
    /// Working directory inside [default: the present one, or / if the root has no such directory]
    #[arg(long, value_name = "DIR")]
    pub(crate) cwd: Option<PathBuf>,
    /// Say on stderr, once each, what the program asked for that is not there yet
    #[arg(long)]
    pub(crate) hints: bool,
    /// Log every system call
    #[arg(long)]
    pub(crate) strace: bool,
    /// Append the log, hints included, to FILE instead of stderr
    #[arg(long, value_name = "FILE")]
    pub(crate) debug_log: Option<PathBuf>,
    /// Answer simple calls without asking the kernel process
    #[arg(long, value_name = "on|off", default_value = "on")]
    pub(crate) local_calls: Switch,
    /// A hexadecimal number that the kernel repeats in its log, as proof of where a program ran
    #[arg(long, value_name = "N", value_parser = nonce)]
    pub(crate) boot_nonce: Option<String>,
    /// Make a system call lie (noop-success, wrong-errno, drop-flags, short-count, effect-skipped)
    #[cfg(feature = "test-faults")]
    #[arg(long, value_name = "CALL:KIND")]
    pub(crate) fault: Option<String>,
    /// Take defences away, so that a test can show what they are good for; not in builds without debug assertions
    #[cfg(debug_assertions)]
    #[arg(long, value_name = "DEFENCE", value_delimiter = ',', hide = true)]
    pub(crate) weaken: Vec<bevor_platform::Defence>,
    /// Switch a mutant on: a bug in the kernel (`bevor mutants` lists them)
    #[cfg(feature = "mutants")]
    #[arg(long, value_name = "ID")]
    pub(crate) mutant: Option<String>,
    /// Wake blocked calls at random
    #[arg(long, value_name = "SEED")]
    pub(crate) torture: Option<u64>,
    /// The command and its arguments
    #[arg(last = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

/// A switch on the command line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    #[default]
    On,
    Off,
}

/// Parses the command line and does what it says; the exit status.
pub(crate) fn run() -> Result<u8, Failure> {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => return usage(&e),
    };
    match cli.command {
        Command::Do(args) => {
            #[cfg(feature = "mutants")]
            if let Some(id) = args.mutant.as_ref().filter(|id| !bevor_abi::mutants::choose(id)) {
                return Err(Failure::new(format_args!("--mutant {id}: no such mutant; see 'bevor mutants'")));
            }
            let spec = Spec::new(*args)?;
            sandbox::run(&spec, crate::boot::Bevor::new())
        }
        Command::Syscalls => list_syscalls().map_err(|e| Failure::new(format_args!("cannot write the list: {e}"))).map(|()| 0),
        #[cfg(feature = "mutants")]
        Command::Mutants => list_mutants().map_err(|e| Failure::new(format_args!("cannot write the list: {e}"))).map(|()| 0),
        #[cfg(feature = "test-faults")]
        Command::Selftest { action, directory } => {
            sandbox::run(&Spec::for_selftest(directory)?, crate::selftest::Selftest(action))
        }
    }
}

/// The table of system calls. Names and notes are plain text without quotes.
fn list_syscalls() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for entry in bevor_sentry::table::TABLE {
        let (nr, name, answered, note) = (entry.nr, entry.name, entry.answered(), entry.note);
        writeln!(out, r#"{{"nr":{nr},"name":"{name}","answered":{answered},"note":"{note}"}}"#)?;
    }
    Ok(())
}

/// The mutants. Ids and texts are plain text without quotes.
#[cfg(feature = "mutants")]
fn list_mutants() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for m in bevor_abi::mutants::all() {
        let calls: Vec<String> = m.calls.split_whitespace().map(|c| format!("\"{c}\"")).collect();
        let kind = match m.kind {
            bevor_abi::mutants::Kind::Rule => "rule",
            bevor_abi::mutants::Kind::Bug => "bug",
        };
        writeln!(out, r#"{{"id":"{}","calls":[{}],"kind":"{kind}","text":"{}"}}"#, m.id, calls.join(","), m.text)?;
    }
    Ok(())
}

/// Help and version go to stdout; anything else is one line.
fn usage(e: &clap::Error) -> Result<u8, Failure> {
    match e.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // A closed stdout is no reason to fail.
            let _ = e.print();
            Ok(0)
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = e.print();
            Ok(OWN_FAILURE)
        }
        _ => {
            let text = e.to_string();
            let first = text.lines().next().unwrap_or("bad usage").trim_start_matches("error: ");
            Err(Failure::new(format_args!("{first}; try 'bevor --help'")))
        }
    }
}

/// Up to 64 hexadecimal digits.
fn nonce(word: &str) -> Result<String, &'static str> {
    let digits = (1..=64).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_hexdigit());
    if digits { Ok(word.to_owned()) } else { Err("expected 1 to 64 hexadecimal digits") }
}
