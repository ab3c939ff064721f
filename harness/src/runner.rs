//! Runs selected probes in every column and judges what came out.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use bevor_compat_table::results::{self, ObservationResult, ProbeResult, Results, SCHEMA, State, Verdict};

use crate::compare::{self, Reference, WHOLE_PROBE};
use crate::container::{Agent, Column, Container, LogPolicy};
use crate::error::{Error, Result};
use crate::expect::Expectations;
use crate::manifest::{Needs, Probe};
use crate::progress::Progress;
use crate::stream::{self, Outcome, RawRun, Run};

/// Name of the reference column.
pub const NATIVE: &str = "native";
/// Native runs that a probe must answer alike.
pub const NATIVE_ROUNDS: usize = 3;

/// What to run and how.
#[derive(Debug)]
pub struct Plan {
    /// The selected probes.
    pub probes: Vec<Probe>,
    /// The reference.
    pub native: Column,
    /// The columns compared with it.
    pub columns: Vec<Column>,
    /// The agent started in every container.
    pub agent: Agent,
    /// What a sandbox's own log may hold.
    pub policy: LogPolicy,
    /// Containers at a time.
    pub jobs: usize,
    /// Seed of the order within a family.
    pub seed: u64,
    /// Runs of each sandbox column; more than one finds flakes.
    pub repeat: usize,
    /// Known differences.
    pub expectations: Expectations,
    /// Today, "YYYY-MM-DD", for expiries.
    pub today: String,
}

/// The raw streams of a run, for traces: (column, probe) to the first run's lines.
pub type Traces = BTreeMap<(String, String), Vec<String>>;

/// Result of [`execute`].
#[derive(Debug)]
pub struct Measured {
    /// What goes into `results.json`.
    pub results: Results,
    /// The raw streams.
    pub traces: Traces,
}

/// One family's share of one column's run, or one exclusive probe.
struct Unit<'a> {
    column: &'a Column,
    round: usize,
    probes: Vec<&'a Probe>,
}

type Runs = BTreeMap<(String, String), Vec<RawRun>>;

/// Runs the plan.
///
/// # Errors
/// [`Error::Infrastructure`] if a container doesn't start or lacks its proof.
pub fn execute(plan: &Plan, progress: &Progress) -> Result<Measured> {
    let mut not_measured: BTreeMap<&str, String> = BTreeMap::new();
    for column in &plan.columns {
        let program = column.command.first().map(String::as_str).unwrap_or_default();
        if crate::jail::which(program.as_ref()).is_none() {
            not_measured.insert(&column.name, format!("{program} is not installed"));
        }
    }
    if !plan.columns.is_empty() && not_measured.len() == plan.columns.len() {
        let why: Vec<&str> = not_measured.values().map(String::as_str).collect();
        return Err(Error::infra(format!("no column to measure: {}", why.join("; "))));
    }
    let skipped: BTreeMap<&str, String> = plan.probes.iter().filter_map(|p| Some((p.id.as_str(), unmet(&p.needs)?))).collect();
    let runnable: Vec<&Probe> = plan.probes.iter().filter(|p| !skipped.contains_key(p.id.as_str())).collect();
    let measured: Vec<&Column> = plan.columns.iter().filter(|c| !not_measured.contains_key(c.name.as_str())).collect();

    let mut queue = VecDeque::new();
    for round in 0..NATIVE_ROUNDS {
        queue.extend(units(&plan.native, round, &runnable, plan.seed));
    }
    for column in &measured {
        for round in 0..plan.repeat.max(1) {
            queue.extend(units(column, round, &runnable, plan.seed));
        }
    }
    let runs = work(plan, queue, progress)?;
    let mut judge = Judge { plan, runs, measured, progress };
    let mut probes = Vec::new();
    for probe in &plan.probes {
        probes.push(judge.probe(probe, skipped.get(probe.id.as_str()))?);
    }
    probes.sort_by(|a, b| a.id.cmp(&b.id));
    let results = Results {
        schema: SCHEMA,
        reference: plan.native.name.clone(),
        columns: plan
            .columns
            .iter()
            .map(|c| results::Column {
                name: c.name.clone(),
                proven: c.needs_proof() && !not_measured.contains_key(c.name.as_str()),
                not_measured: not_measured.get(c.name.as_str()).cloned(),
            })
            .collect(),
        probes,
    };
    let traces = judge.runs.into_iter().filter_map(|(key, runs)| Some((key, runs.into_iter().next()?.lines))).collect();
    Ok(Measured { results, traces })
}

/// The first unmet need, in words.
#[must_use]
pub fn unmet(needs: &Needs) -> Option<String> {
    if let Some(wanted) = &needs.kernel {
        let release = nix::sys::utsname::uname().ok()?;
        let release = release.release().to_string_lossy().into_owned();
        let have = crate::manifest::parse_version(&release);
        if have < crate::manifest::parse_version(wanted) {
            return Some(format!("needs Linux {wanted}, this is {release}"));
        }
    }
    if !needs.caps.is_empty() {
        let have = effective_capabilities();
        for cap in &needs.caps {
            match capability_number(cap) {
                None => return Some(format!("needs {cap}, which is no capability")),
                Some(n) if have & (1 << n) == 0 => return Some(format!("needs {cap}")),
                Some(_) => {}
            }
        }
    }
    match &needs.device {
        Some(device) if !Path::new(device).exists() => Some(format!("needs {}", device.display())),
        _ => None,
    }
}

fn effective_capabilities() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask =
        status.lines().find_map(|l| l.strip_prefix("CapEff:")).and_then(|v| u64::from_str_radix(v.trim(), 16).ok()).unwrap_or(0);
    // An ordinary user's jail has a user namespace of its own, in which it holds them all; but with one id there, some are of no use.
    const OF_IDS: u64 = 1 << 0 | 1 << 6 | 1 << 7; // CHOWN, SETGID, SETUID
    if nix::unistd::geteuid().is_root() { mask } else { !OF_IDS }
}

/// Capability numbers by position (capabilities(7)).
const CAPABILITIES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

fn capability_number(name: &str) -> Option<usize> {
    let name = name.strip_prefix("CAP_")?;
    CAPABILITIES.iter().position(|c| *c == name)
}

/// One unit per family, exclusive probes alone; the order within a family is a shuffle by seed and round.
fn units<'a>(column: &'a Column, round: usize, probes: &[&'a Probe], seed: u64) -> Vec<Unit<'a>> {
    let mut families: BTreeMap<&str, Vec<&Probe>> = BTreeMap::new();
    let mut out = Vec::new();
    for probe in probes {
        if probe.exclusive {
            out.push(Unit { column, round, probes: vec![probe] });
        } else {
            families.entry(probe.family()).or_default().push(probe);
        }
    }
    let mut rng = fastrand::Rng::with_seed(seed.wrapping_add(u64::try_from(round).unwrap_or(0)));
    for (_, mut probes) in families {
        rng.shuffle(&mut probes);
        out.push(Unit { column, round, probes });
    }
    out
}

/// Works the queue off with `plan.jobs` threads.
fn work(plan: &Plan, queue: VecDeque<Unit<'_>>, progress: &Progress) -> Result<Runs> {
    progress.begin(queue.iter().map(|u| u.probes.len()).sum());
    let queue = Mutex::new(queue);
    let found: Mutex<BTreeMap<(String, String, usize), RawRun>> = Mutex::default();
    let failure: Mutex<Option<Error>> = Mutex::default();
    let worker = || {
        loop {
            let failed = failure.lock().unwrap_or_else(PoisonError::into_inner).is_some();
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some(unit) = next.filter(|_| !failed) else {
                return;
            };
            match run_unit(plan, &unit, progress) {
                Ok(runs) => {
                    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                    for (id, raw) in runs {
                        found.insert((unit.column.name.clone(), id, unit.round), raw);
                    }
                }
                Err(e) => *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(e),
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..plan.jobs.max(1) {
            scope.spawn(worker);
        }
        worker();
    });
    progress.finish();
    if let Some(e) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(e);
    }
    let mut runs = Runs::new();
    for ((column, probe, _), raw) in found.into_inner().unwrap_or_else(PoisonError::into_inner) {
        runs.entry((column, probe)).or_default().push(raw);
    }
    Ok(runs)
}

fn run_unit(plan: &Plan, unit: &Unit<'_>, progress: &Progress) -> Result<Vec<(String, RawRun)>> {
    let mut out = Vec::with_capacity(unit.probes.len());
    let mut pool: Option<Container> = None;
    for probe in &unit.probes {
        let mut container = match pool.take().filter(Container::is_usable) {
            Some(c) => c,
            None => Container::start(unit.column, &plan.agent, &plan.policy)?,
        };
        progress.step(&unit.column.name, &probe.id);
        out.push((probe.id.clone(), container.run(probe)));
        pool = Some(container);
    }
    if let Some(container) = pool {
        container.quit();
    }
    Ok(out)
}

struct Judge<'a> {
    plan: &'a Plan,
    runs: Runs,
    measured: Vec<&'a Column>,
    progress: &'a Progress,
}

impl Judge<'_> {
    fn parsed(&self, column: &str, probe: &Probe) -> Vec<Run> {
        self.runs
            .get(&(column.to_owned(), probe.id.clone()))
            .map(|raws| raws.iter().map(|r| stream::parse(r, &probe.normalisers)).collect())
            .unwrap_or_default()
    }

    fn probe(&mut self, probe: &Probe, skipped: Option<&String>) -> Result<ProbeResult> {
        let mut result = ProbeResult {
            id: probe.id.clone(),
            family: probe.family().into(),
            lang: probe.lang.name().into(),
            covers: probe.covers.clone(),
            skipped: skipped.cloned(),
            author_errors: Vec::new(),
            outcomes: BTreeMap::new(),
            observations: Vec::new(),
        };
        if let Some(why) = skipped {
            result.observations.push(self.uniform(State::Skipped, Some(why.clone())));
            return Ok(result);
        }
        let reference = compare::reference(&self.parsed(&self.plan.native.name, probe));
        result.author_errors.clone_from(&reference.author_errors);
        if !reference.author_errors.is_empty() || reference.plan.is_empty() {
            if result.author_errors.is_empty() {
                result.author_errors.push("plans no observation".into());
            }
            let ids = if reference.plan.is_empty() { vec![WHOLE_PROBE.to_owned()] } else { reference.plan.clone() };
            for id in ids {
                let mut o = self.uniform(State::BrokenReference, Some(result.author_errors.join("; ")));
                o.id = id;
                result.observations.push(o);
            }
            return Ok(result);
        }
        for id in &reference.plan {
            let Some(o) = reference.observations.get(id) else {
                continue;
            };
            result.observations.push(ObservationResult {
                id: id.clone(),
                call: o.call.clone(),
                reference: o.fields.clone(),
                columns: BTreeMap::new(),
            });
        }
        for column in self.measured.clone() {
            self.column(probe, column, &reference, &mut result)?;
        }
        Ok(result)
    }

    /// A single pseudo-observation in one state in all columns.
    fn uniform(&self, state: State, reason: Option<String>) -> ObservationResult {
        let verdict = Verdict { state, differences: Vec::new(), reason, link: None, confirmed: true };
        ObservationResult {
            id: WHOLE_PROBE.into(),
            call: String::new(),
            reference: BTreeMap::new(),
            columns: self.measured.iter().map(|c| (c.name.clone(), verdict.clone())).collect(),
        }
    }

    fn column(&mut self, probe: &Probe, column: &Column, reference: &Reference, result: &mut ProbeResult) -> Result<()> {
        for id in self.plan.expectations.orphans(&column.name, &probe.id, &reference.plan) {
            result.author_errors.push(format!("an expectation of column {} names `{id}`, which is not planned", column.name));
        }
        let runs = self.parsed(&column.name, probe);
        let compared: Vec<_> = runs.iter().map(|r| compare::compare(reference, r)).collect();
        // Any repetition that differs counts; retries classify and never turn red to green.
        let worst = (0..runs.len()).max_by_key(|i| {
            let differing = compared[*i].values().filter(|d| !d.is_empty()).count();
            (differing, usize::MAX - i)
        });
        let Some(worst) = worst else { return Ok(()) };
        let mut differences = compared[worst].clone();
        if runs[worst].outcome != Outcome::Completed {
            result.outcomes.insert(column.name.clone(), runs[worst].outcome.to_string());
        }
        let differs = differences.values().any(|d| !d.is_empty());
        let mut alone = None;
        if differs {
            self.progress.step(&column.name, &probe.id);
            let mut container = Container::start(column, &self.plan.agent, &self.plan.policy)?;
            let raw = container.run(probe);
            container.quit();
            let run = stream::parse(&raw, &probe.normalisers);
            alone = Some(compare::compare(reference, &run));
        }
        for o in &mut result.observations {
            let found = differences.remove(&o.id).unwrap_or_default();
            let same_alone = alone.as_ref().is_none_or(|a| a.get(&o.id) == Some(&found));
            let mut verdict = self.plan.expectations.judge(&column.name, &probe.id, &o.id, found, &self.plan.today);
            verdict.confirmed = same_alone;
            o.columns.insert(column.name.clone(), verdict);
        }
        Ok(())
    }
}
