//! `selfcheck`: does the harness see nothing where there is nothing, and exactly what was put in where there is?

use std::collections::BTreeSet;
use std::process::ExitCode;

use bevor_compat_table::results::Results;

use crate::container::{Column, Container, LogPolicy, NONCE};
use crate::discover::{self, Suite};
use crate::error::{EXIT_REGRESSION, Error, Result};
use crate::expect::Expectations;
use crate::liar::{CALLS, ERRNOS};
use crate::manifest::Probe;
use crate::progress::Progress;
use crate::runner::{self, Plan};
use crate::{jail, provenance, report};

/// Name of the column that is native once more.
const AGAIN: &str = "native-again";
/// Name of the lying column.
const LIAR: &str = "liar";

/// Runs all checks on `suite` (`None`: only on the fixture) and prints one line each.
///
/// # Errors
/// [`Error::Infrastructure`] if a container doesn't start.
pub fn run(suite: Option<(&Suite, Vec<Probe>)>, seed: u64, jobs: usize) -> Result<ExitCode> {
    jail::set_limits()?;
    let fixture = discover::fixture()?;
    let all: Vec<Probe> = fixture.families.iter().flat_map(|f| &f.probes).cloned().collect();
    let mut ok = true;
    ok &= same("fixture", &fixture, all.clone(), seed, jobs)?;
    ok &= lies(&fixture, all, seed, jobs)?;
    ok &= unproven(&fixture)?;
    if let Some((suite, probes)) = suite {
        ok &= same("probes", suite, probes, seed, jobs)?;
    }
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::from(EXIT_REGRESSION) })
}

fn measure(suite: &Suite, probes: Vec<Probe>, column: Column, seed: u64, jobs: usize) -> Result<Results> {
    let plan = Plan {
        probes,
        native: suite.native()?,
        columns: vec![column],
        agent: suite.agent.clone(),
        policy: LogPolicy::default(),
        jobs,
        seed,
        repeat: 1,
        expectations: Expectations::default(),
        today: provenance::today(),
        fail_fast: false,
    };
    Ok(runner::execute(&plan, &Progress::new()).sound()?.results)
}

/// `probe observation` of everything in `column` that doesn't agree.
fn differing(results: &Results, column: &str) -> BTreeSet<String> {
    results
        .probes
        .iter()
        .filter(|p| p.skipped.is_none())
        .flat_map(|p| p.observations.iter().map(move |o| (p, o)))
        .filter(|(_, o)| o.columns.get(column).is_none_or(|v| !v.state.agrees()))
        .map(|(p, o)| format!("{} {}", p.id, o.id))
        .collect()
}

/// Native against native gives no difference.
fn same(what: &str, suite: &Suite, probes: Vec<Probe>, seed: u64, jobs: usize) -> Result<bool> {
    let results = measure(suite, probes, suite.jailed(AGAIN, &[])?, seed, jobs)?;
    let found = differing(&results, AGAIN);
    let planned = results.counts(AGAIN).planned;
    println!("native against native, {what}: {} differences in {planned} observations", found.len());
    if !found.is_empty() {
        print!("{}", report::summary(&results));
    }
    Ok(found.is_empty())
}

/// The lies that `seed` chooses, `CALL=WHAT`, at least one and never all.
#[must_use]
pub fn choose_lies(seed: u64) -> Vec<(String, String)> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut calls: Vec<&str> = CALLS.iter().map(|(n, _)| *n).collect();
    rng.shuffle(&mut calls);
    calls.truncate(rng.usize(1..CALLS.len()));
    calls
        .into_iter()
        .map(|call| {
            let what = if call == "umask" && rng.bool() {
                "noop".to_owned()
            } else {
                format!("errno:{}", ERRNOS[rng.usize(..ERRNOS.len())].0)
            };
            (call.to_owned(), what)
        })
        .collect()
}

/// Native against a liar gives exactly the observations of the calls lied about.
fn lies(fixture: &Suite, probes: Vec<Probe>, seed: u64, jobs: usize) -> Result<bool> {
    let chosen = choose_lies(seed);
    let mut inner = liar_command(true)?;
    for (call, what) in &chosen {
        inner.insert(inner.len() - 1, format!("--lie={call}={what}"));
    }
    let results = measure(fixture, probes, fixture.jailed(LIAR, &inner)?, seed, jobs)?;
    let expected: BTreeSet<String> = results
        .probes
        .iter()
        .flat_map(|p| p.observations.iter().map(move |o| (p, o)))
        .filter(|(_, o)| chosen.iter().any(|(call, _)| *call == o.call))
        .map(|(p, o)| format!("{} {}", p.id, o.id))
        .collect();
    let found = differing(&results, LIAR);
    let texts: Vec<String> = chosen.iter().map(|(c, w)| format!("{c}={w}")).collect();
    println!("native against a liar ({}): {} differences, {} seeded", texts.join(" "), found.len(), expected.len());
    for missed in expected.difference(&found) {
        println!("    not seen: {missed}");
    }
    for invented in found.difference(&expected) {
        println!("    not seeded: {invented}");
    }
    Ok(found == expected)
}

fn liar_command(with_nonce: bool) -> Result<Vec<String>> {
    let exe = discover::harness()?;
    let exe = exe.to_str().ok_or_else(|| Error::infra("own path is not UTF-8"))?;
    let nonce = if with_nonce {
        format!("--boot-nonce={NONCE}")
    } else {
        // Asks for proof, and gives a wrong one.
        format!("--boot-nonce=not-{NONCE}")
    };
    Ok(vec![exe.into(), "liar".into(), nonce, "--".into()])
}

/// A sandbox whose log lacks the nonce is refused.
fn unproven(fixture: &Suite) -> Result<bool> {
    let column = fixture.jailed(LIAR, &liar_command(false)?)?;
    let refused = match Container::start(&column, &fixture.agent, &LogPolicy::default()) {
        Err(Error::Infrastructure(why)) => why.contains("lacks the boot nonce"),
        Err(e) => return Err(e),
        Ok(container) => {
            container.quit();
            false
        }
    };
    println!("a sandbox without the boot nonce: {}", if refused { "refused" } else { "BELIEVED" });
    Ok(refused)
}
