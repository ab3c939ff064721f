//! The subcommands' work.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use bevor_compat_table::results::{Part, Results};

use crate::cli::{self, Bless, BlessState, Choice, Lint, List, Mutants, Mutate, Run, Selfcheck};
use crate::container::{Column, LogPolicy};
use crate::discover::{self, Suite};
use crate::error::{EXIT_REGRESSION, Error, Result};
use crate::expect::{self, Expectations, Kind};
use crate::manifest::{self, Lang, Probe};
use crate::mutants::{self as switched, Fate, Mutant};
use crate::progress::Progress;
use crate::provenance::{self, Provenance};
use crate::{bless as blessing, jail, lint, mutate as mutation, place, report, runner, selfcheck as checks, trace};

/// The suite that the command line asks for.
///
/// # Errors
/// As [`discover::suite`].
pub fn suite(choice: &Choice) -> Result<Suite> {
    if choice.fixture { discover::fixture() } else { discover::suite(choice.manifests.as_deref(), choice.probes_dir.as_deref()) }
}

/// `list`: one id a line and nothing else.
///
/// # Errors
/// [`Error::Input`] for faulty manifests or filters.
pub fn list(args: &List) -> Result<ExitCode> {
    let probes = args.narrow.of(&args.choice).choose(&suite(&args.choice)?.families)?;
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
/// [`Error::Input`] or [`Error::Infrastructure`]; a red gate is an exit code, not an error. Whatever was measured is written first.
pub fn run(args: &Run) -> Result<ExitCode> {
    let suite = suite(&args.choice)?;
    let selection = args.narrow.of(&args.choice);
    let probes = selection.choose(&suite.families)?;
    let mut part = selection.part(&suite.families)?;
    suite.require_built()?;
    let mut columns = args.runtime.iter().map(|s| discover::column(s)).collect::<Result<Vec<_>>>()?;
    if columns.is_empty() && !args.native_only {
        columns = discover::DEFAULT.iter().map(|name| discover::column(name)).collect::<Result<_>>()?;
    }
    for (i, c) in columns.iter().enumerate() {
        if columns[..i].iter().any(|d| d.name == c.name) {
            return Err(Error::input(format!("two columns are called {}", c.name)));
        }
    }
    let dir = expectations_dir(args.expectations.as_ref())?;
    let families = suite.families.iter().map(|f| f.family.as_str());
    let expectations = Expectations::load(&dir, columns.iter().map(|c| c.name.as_str()), families)?;
    if let Some(path) = &args.json {
        let names: Vec<&str> = columns.iter().map(|c| c.name.as_str()).collect();
        place::check(path, part.as_ref(), &names, args.fail_fast)?;
    }
    jail::set_limits()?;
    let plan = runner::Plan {
        probes,
        native: suite.native()?,
        columns,
        agent: suite.agent.clone(),
        policy: LogPolicy::load(&dir.join("log-allow.yaml"))?,
        jobs: args.jobs,
        seed: args.seed,
        repeat: args.repeat,
        expectations,
        today: provenance::today(),
        fail_fast: args.fail_fast,
    };
    let mut measured = runner::execute(&plan, &Progress::new());
    if let Some(stopped) = measured.results.part.take() {
        part = Some(part.map_or_else(|| stopped.clone(), |p| Part { stopped: true, ..p }));
    }
    measured.results.part = part;
    let written = write_all(args, &plan, &measured)?;
    let results = &measured.results;
    let mut out = std::io::stdout();
    let columns = std::iter::once(&plan.native).chain(&plan.columns);
    let guide = report::Guide {
        repository: discover::repository().ok(),
        columns: columns.map(|c| (c.name.clone(), c.command.clone())).collect(),
        agent: plan.agent.command.clone(),
    };
    let _ = write!(out, "{}", report::guided(results, &guide));
    let _ = writeln!(out, "results: {}", written.display());
    finish(results, &measured.failures, &args.require)
}

/// Writes results, provenance, JUnit and traces; where the results went.
fn write_all(args: &Run, plan: &runner::Plan, measured: &runner::Measured) -> Result<PathBuf> {
    let results = &measured.results;
    let path = match &args.json {
        Some(path) => path.clone(),
        None => place::default(&results_path(None)?, results),
    };
    report::write(&path, &report::json(results)?)?;
    let columns = plan.columns.iter().map(|c| (c.name.clone(), c.command.clone())).collect();
    let provenance = serde_json::to_string_pretty(&Provenance::gather(args.seed, columns))
        .map_err(|e| Error::infra(format!("provenance: {e}")))?;
    // A pipe or terminal has no place beside it.
    if path.is_file() {
        report::write(&provenance::side_file(&path), &(provenance + "\n"))?;
    }
    if let Some(path) = &args.junit {
        report::write(path, &report::junit(results)?)?;
    }
    if let Some(path) = &args.traces {
        let mut by_column: std::collections::BTreeMap<&str, std::collections::BTreeMap<&str, &Vec<String>>> =
            std::collections::BTreeMap::new();
        for ((column, probe), lines) in &measured.traces {
            by_column.entry(column).or_default().insert(probe, lines);
        }
        let text = serde_json::to_string_pretty(&by_column).map_err(|e| Error::infra(format!("traces: {e}")))?;
        report::write(path, &(text + "\n"))?;
    }
    Ok(path)
}

/// The exit code of results that have been written: of failures of the infrastructure, of a run of nothing, then the gate's.
///
/// # Errors
/// [`Error::Infrastructure`] if a container did not start, [`Error::Input`] if no probe ran.
pub fn finish(results: &Results, failures: &[String], require: &[String]) -> Result<ExitCode> {
    let missing = report::missing(results, require);
    for line in &missing {
        println!("{line}");
    }
    if let Some(first) = failures.first() {
        let more = if failures.len() > 1 { format!(" (and {} more like it)", failures.len() - 1) } else { String::new() };
        return Err(Error::infra(format!("{first}{more}")));
    }
    if results.probes.iter().all(|p| p.skipped.is_some()) {
        let why = results.probes.iter().find_map(|p| p.skipped.as_deref()).unwrap_or("nothing was selected");
        return Err(Error::input(format!(
            "no probe ran: all {} were skipped ({why}); choose others, or run where their needs are met",
            results.probes.len()
        )));
    }
    let gate = report::gate(results);
    Ok(ExitCode::from(if missing.is_empty() { gate } else { EXIT_REGRESSION }))
}

/// `lint`: one fault a line.
///
/// # Errors
/// [`Error::Input`] for manifests, catalogue or expectations that can't be read at all.
pub fn lint(args: &Lint) -> Result<ExitCode> {
    let suite = suite(&args.choice)?;
    let mut faults = Vec::new();
    suite.require_built()?;
    if !args.choice.fixture {
        for lang in [Lang::C, Lang::Rust] {
            faults.extend(manifest::orphans(&suite.families, lang, &suite.listed(lang)?));
        }
    }
    let catalogue = bevor_compat_table::catalogue::load(&crate::table::dir(None)?.join("catalogue"))
        .map_err(|e| Error::input(format!("{e:#}")))?
        .0;
    let known: std::collections::BTreeSet<_> =
        catalogue.calls.iter().flat_map(bevor_compat_table::catalogue::Call::items).map(|(_, item)| item).collect();
    let probes: Vec<&Probe> = suite.families.iter().flat_map(|f| &f.probes).collect();
    if !args.choice.fixture {
        let dir = discover::manifests_dir(args.choice.manifests.as_deref())?;
        let declared = manifest::load(&dir)?;
        let declared: Vec<&Probe> = declared.iter().flat_map(|f| &f.probes).collect();
        faults.extend(lint::unknown(&declared, &known));
        faults.extend(trace::faults(&declared, &trace::load(&trace::path(&dir))?));
        let path = expectations_dir(args.expectations.as_ref())?.join("unprobed.yaml");
        let text = std::fs::read_to_string(&path).map_err(|e| Error::input(format!("can't read {}: {e}", path.display())))?;
        let reviewed = serde_yaml::from_str(&text).map_err(|e| Error::input(format!("{}: {e}", path.display())))?;
        faults.extend(lint::unprobed(&probes, &discover::answered()?, &reviewed));
    }
    let results = args.results.as_ref().map(|path| report::read(path)).transpose()?;
    faults.extend(results.iter().flat_map(lint::unanswered));
    let dir = expectations_dir(args.expectations.as_ref())?;
    for column in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
        let column_name = column.file_name().to_string_lossy().into_owned();
        if column.path().is_dir() {
            faults.extend(lint::unread(&column_name));
        }
        for file in std::fs::read_dir(column.path()).into_iter().flatten().flatten() {
            let path = file.path();
            let Some(family) = path.file_stem().and_then(|s| s.to_str()) else {
                continue;
            };
            for e in expect::read(&dir, &column_name, family)?.expectations {
                faults.extend(lint::unnamed(&path, &e));
                faults.extend(lint::orphan(&path, &e, &probes, results.as_ref()));
            }
        }
    }
    for fault in &faults {
        println!("{fault}");
    }
    eprintln!("{} probes, {} faults", probes.len(), faults.len());
    Ok(if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_REGRESSION) })
}

/// `trace`.
///
/// # Errors
/// [`Error::Infrastructure`] if strace is missing or a probe doesn't come to its end under it.
pub fn trace(args: &cli::Trace) -> Result<ExitCode> {
    let suite = suite(&args.choice)?;
    suite.require_built()?;
    let dir = discover::manifests_dir(args.choice.manifests.as_deref())?;
    // As declared, so that what an earlier trace showed has no say.
    let families = manifest::load(&dir)?;
    let mut probes = args.narrow.of(&args.choice).choose(&families)?;
    probes.retain(|p| runner::unmet(&p.needs).is_none());
    let catalogue = bevor_compat_table::catalogue::load(&crate::table::dir(None)?.join("catalogue"))
        .map_err(|e| Error::input(format!("{e:#}")))?
        .0;
    jail::set_limits()?;
    let found = trace::run(&suite, &probes, &trace::Reader::new(&catalogue), args.jobs, &Progress::new())?;
    let path = trace::path(&dir);
    let mut traced = trace::load(&path)?;
    traced.retain(|id, _| families.iter().any(|f| f.probes.iter().any(|p| p.id == *id)));
    traced.extend(found);
    crate::table::settle(&[(path, trace::render(&traced)?)], args.check)
}

/// `bless`.
///
/// # Errors
/// [`Error::Input`] if a new entry lacks its wording.
pub fn bless(args: &Bless) -> Result<ExitCode> {
    let results = report::read(&results_path(args.results.as_ref())?)?;
    let dir = expectations_dir(args.expectations.as_ref())?;
    let wording = blessing::Wording {
        reason: args.reason.clone(),
        issue: args.issue.clone(),
        note: args.note.clone(),
        state: args.state.map(|s| match s {
            BlessState::KnownDiff => Kind::KnownDiff,
            BlessState::ByDesign => Kind::ByDesign,
            BlessState::Missing => Kind::Missing,
        }),
        crashes: args.crashes,
    };
    let changes = blessing::propose(&dir, &results, &wording)?;
    for change in &changes {
        print!("{}", change.diff());
        if !args.dry_run {
            expect::write(&dir, &change.new)?;
        }
    }
    eprintln!("{} files {}", changes.len(), if args.dry_run { "would change" } else { "changed" });
    Ok(ExitCode::SUCCESS)
}

/// The run of `probes` natively and in `column` that later runs of the column are compared with.
fn baseline(suite: &Suite, probes: Vec<Probe>, column: Column, jobs: usize) -> Result<runner::Plan> {
    jail::set_limits()?;
    Ok(runner::Plan {
        probes,
        native: suite.native()?,
        columns: vec![column],
        agent: suite.agent.clone(),
        policy: LogPolicy::default(),
        jobs,
        seed: 0,
        repeat: 1,
        expectations: Expectations::default(),
        today: provenance::today(),
        fail_fast: false,
    })
}

/// `mutate`.
///
/// # Errors
/// [`Error::Infrastructure`] if the sandbox doesn't start, with or without faults.
pub fn mutate(args: &Mutate) -> Result<ExitCode> {
    let suite = suite(&args.choice)?;
    // A shard is one of calls: all probes of a call have to see its faults.
    let selection = crate::select::Selection { shard: None, ..args.choice.selection() };
    let probes = selection.choose(&suite.families)?;
    suite.require_built()?;
    let faulty = match &args.runtime {
        Some(spec) => discover::column(spec)?,
        None => discover::bevor(&["--local-calls=off".into(), format!("--fault={}", mutation::FAULT)])?,
    };
    if !faulty.command.iter().any(|a| a.contains(mutation::FAULT)) {
        return Err(Error::input(format!("--runtime: the command must hold {}", mutation::FAULT)));
    }
    let part = !args.call.is_empty() || args.choice.shard.is_some();
    let earlier = match args.output.as_ref().filter(|path| part && path.is_file()) {
        Some(path) => Some(crate::table::mutation(path)?),
        None => None,
    };
    // The baseline is the same sandbox without the argument that brings the fault.
    let sound = Column {
        name: faulty.name.clone(),
        command: faulty.command.iter().filter(|a| !a.contains(mutation::FAULT)).cloned().collect(),
    };
    let plan = baseline(&suite, probes, sound, args.jobs)?;
    let progress = Progress::new();
    let baseline = runner::execute(&plan, &progress).sound()?.results;
    let setup = mutation::Setup {
        column: &faulty,
        agent: &suite.agent,
        probes: &plan.probes,
        baseline: &baseline,
        calls: &args.call,
        shard: args.choice.shard,
        earlier: earlier.filter(|m| m.column == faulty.name),
        jobs: args.jobs,
    };
    let result = mutation::run(&setup, &progress)?;
    if let Some(path) = &args.output {
        let text = serde_json::to_string_pretty(&result).map_err(|e| Error::infra(format!("mutation: {e}")))?;
        report::write(path, &(text + "\n"))?;
    }
    for pair in result.pairs.iter().filter(|p| p.fate == bevor_compat_table::mutation::Fate::Missed) {
        println!("MISSED {}:{}", pair.call, pair.kind);
    }
    let score = result.score();
    println!(
        "{} of {} applicable faults caught ({})",
        score.caught,
        score.applicable,
        report::percent(score.caught, score.applicable)
    );
    let enough = args.min.is_none_or(|min| score.caught * 100 >= min * score.applicable);
    Ok(ExitCode::from(if enough { 0 } else { EXIT_REGRESSION }))
}

/// `mutants`.
///
/// # Errors
/// [`Error::Infrastructure`] if there is no build with mutants or it doesn't start without one.
pub fn mutants(args: &Mutants) -> Result<ExitCode> {
    let suite = suite(&args.choice)?;
    let probes = args.choice.selection().choose(&suite.families)?;
    suite.require_built()?;
    let program = match &args.bevor {
        Some(path) => path.clone(),
        None => discover::repository()?.join("target/mutants/bevor"),
    };
    let chosen = switched::choose(switched::list(&program)?, &args.mutant, &args.call)?;
    let runtimes: Vec<&str> =
        if args.runtime.is_empty() { switched::RUNTIMES.to_vec() } else { args.runtime.iter().map(String::as_str).collect() };
    let mut tried: Vec<switched::Tried> =
        chosen.into_iter().map(|mutant| switched::Tried { mutant, fate: Fate::Survived }).collect();
    for runtime in runtimes {
        let left: Vec<usize> = (0..tried.len()).filter(|at| tried[*at].fate == Fate::Survived).collect();
        if left.is_empty() {
            break;
        }
        let column = switched::column(runtime, &program)?;
        let plan = baseline(&suite, probes.clone(), column, args.jobs)?;
        let progress = Progress::new();
        let baseline = runner::execute(&plan, &progress).sound()?.results;
        let setup = switched::Setup {
            column: &plan.columns[0],
            agent: &suite.agent,
            probes: &plan.probes,
            baseline: &baseline,
            jobs: args.jobs,
        };
        let again = left.iter().map(|at| tried[*at].mutant.clone()).collect();
        for (at, one) in left.iter().zip(switched::run(&setup, again, &progress)) {
            tried[*at] = one;
        }
    }
    for one in &tried {
        let Mutant { id, calls, text, .. } = &one.mutant;
        match &one.fate {
            Fate::Caught { by } => println!("caught   {id} by {by}"),
            Fate::Crashed => println!("caught   {id}: the sandbox doesn't start"),
            Fate::Survived => println!("SURVIVED {id} ({}): {text}", calls.join(", ")),
        }
    }
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&tried).map_err(|e| Error::infra(format!("mutants: {e}")))?;
        report::write(path, &(text + "\n"))?;
    }
    let caught = tried.iter().filter(|t| t.fate != Fate::Survived).count();
    println!("{caught} of {} mutants caught ({})", tried.len(), report::percent(caught, tried.len()));
    let enough = args.min.is_none_or(|min| caught * 100 >= min * tried.len());
    Ok(ExitCode::from(if enough { 0 } else { EXIT_REGRESSION }))
}

/// `selfcheck`.
///
/// # Errors
/// [`Error::Infrastructure`] if a container doesn't start or the probes aren't built.
pub fn selfcheck(args: &Selfcheck) -> Result<ExitCode> {
    if args.choice.fixture {
        return checks::run(None, args.seed, args.jobs);
    }
    let suite = suite(&args.choice)?;
    let probes = args.choice.selection().choose(&suite.families)?;
    suite.require_built()?;
    checks::run(Some((&suite, probes)), args.seed, args.jobs)
}
