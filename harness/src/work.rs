//! Works off the queue of probe runs with several containers at a time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bevor_compat_table::results::{Gate, Time};

use crate::compare;
use crate::container::{self, Column, Container};
use crate::error::Error;
use crate::manifest::Probe;
use crate::progress::Progress;
use crate::runner::{NATIVE_ROUNDS, Plan};
use crate::stream::{self, Outcome, RawRun, Run};

/// Failed starts of a column's containers after which no more are tried.
const STARTS: usize = 3;

/// One family's share of one column's run, or one exclusive probe.
pub(crate) struct Unit<'a> {
    pub(crate) column: &'a Column,
    pub(crate) round: usize,
    pub(crate) probes: Vec<&'a Probe>,
}

/// Runs by column and probe, in the order of rounds.
pub(crate) type Runs = BTreeMap<(String, String), Vec<RawRun>>;

/// A column whose containers failed to start.
#[derive(Debug)]
pub(crate) struct Broken {
    /// The first failure.
    pub(crate) why: String,
    /// How many there were.
    pub(crate) starts: usize,
    /// Whether no more are tried.
    pub(crate) dead: bool,
    /// Whether those that started count: not if one gave no proof.
    pub(crate) believed: bool,
}

/// All that came out.
pub(crate) struct Worked {
    pub(crate) runs: Runs,
    /// Of the first run, by column and probe.
    pub(crate) times: BTreeMap<(String, String), Time>,
    /// By column.
    pub(crate) broken: BTreeMap<String, Broken>,
    /// Whether a failure ended the run early.
    pub(crate) stopped: bool,
}

#[derive(Default)]
struct Found {
    /// By column, probe and round.
    runs: BTreeMap<(String, String, usize), (RawRun, Time)>,
    broken: BTreeMap<String, Broken>,
    stopped: bool,
}

/// Works the queue off with `plan.jobs` threads.
pub(crate) fn work(plan: &Plan, queue: VecDeque<Unit<'_>>, progress: &Progress) -> Worked {
    progress.begin(queue.iter().map(|u| u.probes.len()).sum());
    let queue = Mutex::new(queue);
    let found: Mutex<Found> = Mutex::default();
    let worker = || {
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some(unit) = next.filter(|_| !lock(&found).stopped) else {
                return;
            };
            run_unit(plan, &unit, &found, progress);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..plan.jobs.max(1) {
            scope.spawn(worker);
        }
        worker();
    });
    progress.finish();
    let Found { runs: all, broken, stopped } = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut runs = Runs::new();
    let mut times = BTreeMap::new();
    for ((column, probe, round), (raw, time)) in all {
        if round == 0 {
            times.insert((column.clone(), probe.clone()), time);
        }
        runs.entry((column, probe)).or_default().push(raw);
    }
    Worked { runs, times, broken, stopped }
}

fn lock(found: &Mutex<Found>) -> MutexGuard<'_, Found> {
    found.lock().unwrap_or_else(PoisonError::into_inner)
}

fn run_unit(plan: &Plan, unit: &Unit<'_>, found: &Mutex<Found>, progress: &Progress) {
    let mut pool: Option<Container> = None;
    for probe in &unit.probes {
        if lock(found).broken.get(&unit.column.name).is_some_and(|b| b.dead) {
            break;
        }
        progress.step(&unit.column.name, &probe.id);
        let start_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(0));
        let start = Instant::now();
        let raw = match pool
            .take()
            .filter(Container::is_usable)
            .map_or_else(|| Container::start(unit.column, &plan.agent, &plan.policy), Ok)
        {
            Ok(mut container) => {
                let raw = container.run(probe);
                pool = Some(container);
                raw
            }
            Err(e) => match not_started(unit.column, &e, &mut lock(found)) {
                Some(raw) => raw,
                None => break,
            },
        };
        let duration_us = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        let mut found = lock(found);
        found.runs.insert((unit.column.name.clone(), probe.id.clone(), unit.round), (raw, Time { start_ms, duration_us }));
        found.stopped |= plan.fail_fast && is_red(plan, &found, unit, probe);
        if found.stopped {
            break;
        }
    }
    if let Some(container) = pool {
        container.quit();
    }
}

/// Notes that a container did not start. A column that never did, or gave no proof, is given up; the run of the probe otherwise.
fn not_started(column: &Column, error: &Error, found: &mut Found) -> Option<RawRun> {
    let why = error.to_string();
    let started = found.runs.iter().any(|((c, ..), (raw, _))| *c == column.name && !matches!(raw.outcome, Outcome::Container(_)));
    let unproven = why.contains(container::LACKS_NONCE);
    let broken = found.broken.entry(column.name.clone()).or_insert_with(|| Broken {
        why: why.clone(),
        starts: 0,
        dead: false,
        believed: true,
    });
    broken.starts += 1;
    broken.dead |= unproven || !started || broken.starts >= STARTS;
    if unproven {
        why.clone_into(&mut broken.why);
        broken.believed = false;
    }
    started.then(|| RawRun { lines: Vec::new(), outcome: Outcome::Container(why) })
}

/// Whether what is known of `probe` in the unit's column makes the gate red.
fn is_red(plan: &Plan, found: &Found, unit: &Unit<'_>, probe: &Probe) -> bool {
    let run = |column: &str, round: usize| -> Option<Run> {
        let (raw, _) = found.runs.get(&(column.to_owned(), probe.id.clone(), round))?;
        Some(stream::parse(raw, &probe.normalisers))
    };
    let native: Vec<Run> = (0..NATIVE_ROUNDS).filter_map(|round| run(&plan.native.name, round)).collect();
    if native.len() < NATIVE_ROUNDS {
        return false;
    }
    let reference = compare::reference(&native);
    if !reference.author_errors.is_empty() {
        return true;
    }
    if unit.column.name == plan.native.name {
        return false;
    }
    let Some(run) = run(&unit.column.name, unit.round) else { return false };
    compare::compare(&reference, &run).into_iter().any(|(id, found)| {
        plan.expectations.judge(&unit.column.name, &probe.id, &id, found, &plan.today).state.gate() == Gate::Regression
    })
}
