//! Runs selected probes in every column and judges what came out.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;

use bevor_compat_table::results::{
    self, Difference, ObservationResult, Part, ProbeResult, Results, SCHEMA, State, Time, Verdict,
};

use crate::compare::{self, Reference, WHOLE_PROBE};
use crate::container::{Agent, Column, Container, LogPolicy};
use crate::error::{Error, Result};
use crate::expect::Expectations;
use crate::manifest::{Needs, Probe};
use crate::progress::Progress;
use crate::stream::{self, Outcome, Run};
use crate::work::{self, Broken, Runs, Unit, Worked};

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
    /// Whether the first failure ends the run.
    pub fail_fast: bool,
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
    /// Failures of the infrastructure, one line each: containers that did not start. What they cost is in the results.
    pub failures: Vec<String>,
}

impl Measured {
    /// Itself, unless the infrastructure failed.
    ///
    /// # Errors
    /// [`Error::Infrastructure`] with the first failure.
    pub fn sound(self) -> Result<Self> {
        match self.failures.first() {
            None => Ok(self),
            Some(why) => Err(Error::infra(why.as_str())),
        }
    }
}

/// Runs the plan. What goes wrong with a container is in the answer: nothing that was measured is lost by it.
#[must_use]
pub fn execute(plan: &Plan, progress: &Progress) -> Measured {
    let mut not_measured: BTreeMap<&str, String> = BTreeMap::new();
    for column in &plan.columns {
        let program = column.command.first().map(String::as_str).unwrap_or_default();
        if crate::jail::which(program.as_ref()).is_none() {
            not_measured.insert(&column.name, format!("{program} is not installed"));
        }
    }
    let mut failures = Vec::new();
    if !plan.columns.is_empty() && not_measured.len() == plan.columns.len() {
        let why: Vec<&str> = not_measured.values().map(String::as_str).collect();
        failures.push(format!("no column to measure: {}", why.join("; ")));
    }
    let skipped: BTreeMap<&str, String> = plan.probes.iter().filter_map(|p| Some((p.id.as_str(), unmet(&p.needs)?))).collect();
    let runnable: Vec<&Probe> = plan.probes.iter().filter(|p| !skipped.contains_key(p.id.as_str())).collect();
    let mut measured: Vec<&Column> = plan.columns.iter().filter(|c| !not_measured.contains_key(c.name.as_str())).collect();

    let mut queue = VecDeque::new();
    for round in 0..NATIVE_ROUNDS {
        queue.extend(units(&plan.native, round, &runnable, plan.seed));
    }
    for column in &measured {
        for round in 0..plan.repeat.max(1) {
            queue.extend(units(column, round, &runnable, plan.seed));
        }
    }
    let Worked { runs, times, broken, stopped } = work::work(plan, queue, progress);
    for column in &plan.columns {
        if let Some(Broken { why, dead: true, believed, .. }) = broken.get(&column.name)
            && (!believed || !runs.keys().any(|(c, _)| *c == column.name))
        {
            not_measured.insert(&column.name, why.clone());
        }
    }
    measured.retain(|c| !not_measured.contains_key(c.name.as_str()));
    failures.extend(broken.values().map(|b| b.why.clone()));
    let mut judge = Judge { plan, runs, times, broken, measured, stopped, progress, failures };
    let ran = |p: &Probe, judge: &Judge<'_>| !stopped || judge.is_complete(p);
    let mut probes: Vec<ProbeResult> = Vec::new();
    for probe in &plan.probes {
        if ran(probe, &judge) {
            probes.push(judge.probe(probe, skipped.get(probe.id.as_str())));
        }
    }
    probes.sort_by(|a, b| a.id.cmp(&b.id));
    let results = Results {
        schema: SCHEMA,
        reference: plan.native.name.clone(),
        part: stopped.then(|| Part { of: plan.probes.len(), stopped, ..Part::default() }),
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
    Measured { results, traces, failures: judge.failures }
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
    if nix::unistd::geteuid().is_root() {
        return mask;
    }
    // An ordinary user's jail has a user namespace of its own, in which it holds them all. But it has one id there, so that those to
    // change ids can do nothing.
    let idle = ["CAP_CHOWN", "CAP_SETGID", "CAP_SETUID"].iter().filter_map(|name| capability_number(name));
    idle.fold(u64::MAX, |mask, n| mask & !(1 << n))
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

struct Judge<'a> {
    plan: &'a Plan,
    runs: Runs,
    times: BTreeMap<(String, String), Time>,
    broken: BTreeMap<String, Broken>,
    measured: Vec<&'a Column>,
    stopped: bool,
    progress: &'a Progress,
    failures: Vec<String>,
}

impl Judge<'_> {
    /// Whether enough of `probe` was run before the stop to say something of it.
    fn is_complete(&self, probe: &Probe) -> bool {
        let runs = |column: &str| self.runs.get(&(column.to_owned(), probe.id.clone())).map_or(0, Vec::len);
        runs(&self.plan.native.name) == NATIVE_ROUNDS
            && (self.plan.columns.is_empty() || self.measured.iter().any(|c| runs(&c.name) > 0))
    }

    fn parsed(&self, column: &str, probe: &Probe) -> Vec<Run> {
        self.runs
            .get(&(column.to_owned(), probe.id.clone()))
            .map(|raws| raws.iter().map(|r| stream::parse(r, &probe.normalisers)).collect())
            .unwrap_or_default()
    }

    fn probe(&mut self, probe: &Probe, skipped: Option<&String>) -> ProbeResult {
        let mut result = ProbeResult {
            id: probe.id.clone(),
            family: probe.family().into(),
            lang: probe.lang.name().into(),
            covers: probe.covers.clone(),
            skipped: skipped.cloned(),
            author_errors: Vec::new(),
            outcomes: BTreeMap::new(),
            times: self.times.iter().filter(|((_, p), _)| *p == probe.id).map(|((c, _), t)| (c.clone(), *t)).collect(),
            observations: Vec::new(),
        };
        if let Some(why) = skipped {
            result.observations.push(self.uniform(State::Skipped, Some(why.clone())));
            return result;
        }
        let mut reference = compare::reference(&self.parsed(&self.plan.native.name, probe));
        if let Some(broken) = self.broken.get(&self.plan.native.name).filter(|_| !reference.author_errors.is_empty()) {
            reference.author_errors.push(broken.why.clone());
        }
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
            return result;
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
            self.column(probe, column, &reference, &mut result);
        }
        result
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

    fn column(&mut self, probe: &Probe, column: &Column, reference: &Reference, result: &mut ProbeResult) {
        let plan = self.plan;
        for id in plan.expectations.orphans(&column.name, &probe.id, &reference.plan) {
            result.author_errors.push(format!("an expectation of column {} names `{id}`, which is not planned", column.name));
        }
        let mut runs = self.parsed(&column.name, probe);
        if runs.is_empty() {
            if self.stopped {
                return;
            }
            let why = self.broken.get(&column.name).map_or("not run", |b| b.why.as_str());
            let outcome = Outcome::Container(why.to_owned());
            runs.push(Run { plan: reference.plan.clone(), observations: BTreeMap::new(), outcome });
        }
        let mut compared: Vec<Compared> = runs.iter().map(|r| compare::compare(reference, r)).collect();
        // Any repetition that differs counts; retries classify and never turn red to green.
        let worst = (0..runs.len()).max_by_key(|i| {
            let differing = compared[*i].values().filter(|d| !d.is_empty()).count();
            (differing, usize::MAX - i)
        });
        let Some(worst) = worst else { return };
        let mut differences = compared[worst].clone();
        if runs[worst].outcome != Outcome::Completed {
            result.outcomes.insert(column.name.clone(), runs[worst].outcome.to_string());
        }
        let mut alone = None;
        if differences.values().any(|d| !d.is_empty()) {
            let more = plan.expectations.runs_to_judge(&column.name, &probe.id, &differences);
            let mut again = self.alone(probe, column, reference, 1 + more.saturating_sub(compared.len()));
            alone = again.first().cloned();
            if more > 0 {
                compared.append(&mut again);
            }
        }
        for o in &mut result.observations {
            let found = differences.remove(&o.id).unwrap_or_default();
            let confirmed = found.is_empty() || alone.as_ref().is_some_and(|a| a.get(&o.id) == Some(&found));
            let differing: Vec<&Vec<Difference>> =
                compared.iter().filter_map(|c| c.get(&o.id)).filter(|d| !d.is_empty()).collect();
            let judge =
                |found: &[Difference]| plan.expectations.judge(&column.name, &probe.id, &o.id, found.to_vec(), &plan.today);
            let mut verdict = judge(&found);
            if verdict.state == State::Flaky {
                // One run that differs otherwise than recorded is enough.
                let verdicts = differing.iter().map(|d| judge(d));
                verdict = verdicts.max_by_key(|v| v.state != State::Flaky).unwrap_or(verdict);
            }
            verdict.confirmed = confirmed;
            if verdict.state == State::Flaky
                && let Some(why) = plan.expectations.exceeded(&column.name, &probe.id, &o.id, differing.len(), compared.len())
            {
                verdict.state = State::ChangedDiff;
                verdict.reason = Some(why);
            }
            o.columns.insert(column.name.clone(), verdict);
        }
    }

    /// The probe run `times` more, by itself in a container.
    fn alone(&mut self, probe: &Probe, column: &Column, reference: &Reference, times: usize) -> Vec<Compared> {
        let mut out = Vec::new();
        let mut pool: Option<Container> = None;
        for _ in 0..times {
            self.progress.step(&column.name, &probe.id);
            let mut container = match pool.take().filter(Container::is_usable) {
                Some(c) => c,
                None => match Container::start(column, &self.plan.agent, &self.plan.policy) {
                    Ok(c) => c,
                    Err(e) => {
                        self.failures.push(e.to_string());
                        break;
                    }
                },
            };
            let raw = container.run(probe);
            out.push(compare::compare(reference, &stream::parse(&raw, &probe.normalisers)));
            pool = Some(container);
        }
        if let Some(container) = pool {
            container.quit();
        }
        out
    }
}

/// Differences by observation id.
type Compared = BTreeMap<String, Vec<Difference>>;
