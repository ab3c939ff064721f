//! Runs the rows: natively and in each runtime in turn, so that all see the same machine.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::accounting::{Accounting, only_children};
use crate::catalogue::{CPU_RATIO, Kind, ROWS, Row, Variant, limit_ns, target_ratio};
use crate::launch::{Launch, run};
use crate::programs::Programs;
use crate::protocol::{Record, parse_line};
use crate::report::{Compared, Measured, Outcome, RowReport};
use crate::runtime::Runtime;
use crate::stats::{Summary, median};
use crate::tie::tie;

/// Version of the measuring programs' output that is understood here.
const PROTOCOL: u32 = 1;
/// Busy loops beside in [`Variant::Loaded`].
const BUSY_LOOPS: usize = 2;

/// Batches of rows that start threads or processes are so many times as long: a few dozen of them would mostly measure what only a
/// program's first ones pay for. With busy loops beside, each takes time slices, and a few dozen are enough.
const LONGER_FOR_PROCESSES: u32 = 4;

/// How long and how often to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// Runs of each row in each runtime.
    pub(crate) repeat: usize,
    /// Timed batches in each run.
    pub(crate) batches: u32,
    /// Length of a batch.
    pub(crate) batch: Duration,
    /// When to give a run up.
    pub(crate) timeout: Duration,
}

/// Everything that a row needs.
#[derive(Debug)]
pub(crate) struct Suite<'a> {
    pub(crate) accounting: &'a Accounting,
    pub(crate) programs: &'a Programs,
    /// The Go program, if it could be built.
    pub(crate) go: Option<&'a Path>,
    /// Without native.
    pub(crate) runtimes: &'a [Runtime],
    pub(crate) effort: Effort,
    /// The CPU of [`Variant::Pinned`].
    pub(crate) pin: usize,
    pub(crate) line_round_trip_ns: Option<f64>,
}

/// One run of one row.
#[derive(Debug)]
struct Sample {
    ns: f64,
    cpu_ns: f64,
    total_cpu_s: f64,
    total_wall_s: f64,
}

impl Suite<'_> {
    /// The program and arguments of `row` in `variant`; `None` if the program does not exist.
    fn command(&self, row: &Row, variant: Variant) -> Option<Vec<OsString>> {
        let static_ = self.programs.static_.as_deref();
        let program: &Path = match variant {
            Variant::Static => static_?,
            Variant::Go => self.go?,
            _ => &self.programs.dynamic,
        };
        let mut argv: Vec<OsString> = vec![program.into(), "run".into()];
        let mut option = |name: &str, value: OsString| argv.extend([name.into(), value]);
        option("--batches", self.effort.batches.to_string().into());
        let longer = row.kind == Kind::Process && variant != Variant::Loaded;
        let batch = self.effort.batch * if longer { LONGER_FOR_PROCESSES } else { 1 };
        option("--batch-us", batch.as_micros().to_string().into());
        match variant {
            Variant::Trap => option("--via", "anon".into()),
            Variant::Sites => option("--via", "sites".into()),
            _ => (),
        }
        if let (Some(path), true) = (static_, variant != Variant::Go) {
            option("--exec-static", path.into());
        }
        argv.push(row.name.into());
        Some(argv)
    }

    /// Measures `row` in `variant` everywhere; `None` if its program does not exist.
    pub(crate) fn measure(&self, row: &Row, variant: Variant) -> Option<RowReport> {
        let command = self.command(row, variant)?;
        let native = Runtime::native();
        let everywhere: Vec<&Runtime> = std::iter::once(&native).chain(self.runtimes).collect();
        let mut samples: Vec<Result<Vec<Sample>>> = everywhere.iter().map(|_| Ok(Vec::new())).collect();
        let busy = match variant {
            Variant::Loaded => BusyLoops::start(&self.programs.dynamic, BUSY_LOOPS),
            _ => Ok(BusyLoops::default()),
        };
        if let Err(error) = &busy {
            samples.iter_mut().for_each(|slot| *slot = Err(anyhow::anyhow!("{error:#}")));
        }
        for repeat in 0..self.effort.repeat {
            // Everyone goes first once in a while.
            for offset in 0..everywhere.len() {
                let index = (repeat + offset) % everywhere.len();
                // After a failure there are no further attempts: they may take a timeout each.
                if let Ok(so_far) = &mut samples[index] {
                    match self.sample(row, variant, everywhere[index], &command) {
                        Ok(sample) => so_far.push(sample),
                        Err(error) => samples[index] = Err(error),
                    }
                }
            }
        }
        drop(busy);
        let mut outcomes = samples.into_iter().map(|samples| samples.and_then(|samples| summarise(&samples)));
        let native = outcomes.next()?;
        Some(self.compare(row, variant, native, outcomes))
    }

    fn compare(
        &self,
        row: &Row,
        variant: Variant,
        native: Result<Measured>,
        others: impl Iterator<Item = Result<Measured>>,
    ) -> RowReport {
        let reference = native.as_ref().ok().copied();
        let limit = reference.and_then(|native| limit_ns(row, variant, native.ns.median, self.line_round_trip_ns));
        let compared = |measured: Measured| {
            let cpu_ratio = reference.and_then(|native| quotient(measured.cpu_ns, native.cpu_ns));
            Compared {
                measured,
                ratio: reference.and_then(|native| quotient(measured.ns.median, native.ns.median)),
                cpu_ratio,
                met: limit.map(|limit| measured.ns.median <= limit),
                cpu_met: cpu_ratio.filter(|_| variant != Variant::Trap).map(|ratio| ratio <= CPU_RATIO),
            }
        };
        RowReport {
            row: row.name.to_owned(),
            variant,
            target_ratio: target_ratio(row, variant),
            limit_ns: limit,
            native: outcome(native),
            runtimes: self
                .runtimes
                .iter()
                .map(|runtime| runtime.name.clone())
                .zip(others.map(|other| outcome(other.map(compared))))
                .collect::<BTreeMap<_, _>>(),
        }
    }

    /// How many processes of `runtime` escape the accounting, as sandboxes that make control groups of
    /// their own let them. Seen in one run of a cheap row.
    pub(crate) fn escaped(&self, runtime: &Runtime) -> Result<usize> {
        let group = self.accounting.group()?;
        let row = ROWS.iter().find(|row| row.hot).context("no hot row")?;
        let command = self.command(row, Variant::Base).context("no command")?;
        let launch =
            Launch { argv: runtime.prefix.iter().chain(&command).cloned().collect(), pin: None, timeout: self.effort.timeout };
        let mut escaped = 0;
        run(&launch, &group, &mut |line, first| {
            if matches!(parse_line(line)?, Record::TmpDir(_)) {
                escaped = group.escaped(first)?;
            }
            Ok(())
        })?;
        Ok(escaped)
    }

    /// One run.
    fn sample(&self, row: &Row, variant: Variant, runtime: &Runtime, command: &[OsString]) -> Result<Sample> {
        let group = self.accounting.group()?;
        let launch = Launch {
            argv: runtime.prefix.iter().chain(command).cloned().collect(),
            pin: (variant == Variant::Pinned).then_some(self.pin),
            timeout: self.effort.timeout,
        };
        let mut window = Window::default();
        let started = Instant::now();
        run(&launch, &group, &mut |line, _| window.record(row.name, parse_line(line)?, || group.cpu_ns()))?;
        let total_wall_s = started.elapsed().as_secs_f64();
        let (ns, cpu_ns) = window.finish()?;
        Ok(Sample { ns, cpu_ns, total_cpu_s: Duration::from_nanos(group.cpu_ns()?).as_secs_f64(), total_wall_s })
    }
}

/// What the output of one run has said so far.
#[derive(Debug, Default)]
struct Window {
    operations: u64,
    cpu_at_begin: Option<u64>,
    cpu_ns: Option<u64>,
    samples: Vec<f64>,
}

impl Window {
    fn record(&mut self, wanted: &str, record: Record, cpu_now: impl Fn() -> Result<u64>) -> Result<()> {
        match record {
            Record::Version(PROTOCOL) | Record::TmpDir(_) => (),
            Record::Version(other) => bail!("the measuring program's output has version {other}"),
            Record::Begin { row, iterations, batches } => {
                ensure!(row == wanted, "asked for {wanted}, got {row}");
                self.operations = iterations.checked_mul(batches).context("too many operations")?;
                self.cpu_at_begin = Some(cpu_now()?);
            }
            Record::End(_) => {
                let begin = self.cpu_at_begin.context("an end without a begin")?;
                self.cpu_ns = Some(cpu_now()?.saturating_sub(begin));
            }
            Record::Sample(_, ns) => self.samples.push(ns),
            Record::Skip(_, reason) => bail!("{reason}"),
        }
        Ok(())
    }

    /// Median time and mean CPU time of one operation.
    fn finish(self) -> Result<(f64, f64)> {
        let cpu_ns = self.cpu_ns.context("the measuring program did not finish its row")?;
        ensure!(self.operations > 0, "no operations were timed");
        let ns = median(&self.samples).context("the measuring program gave no times")?;
        Ok((ns, cpu_ns as f64 / self.operations as f64))
    }
}

fn summarise(samples: &[Sample]) -> Result<Measured> {
    let times: Vec<f64> = samples.iter().map(|sample| sample.ns).collect();
    let cpu: Vec<f64> = samples.iter().map(|sample| sample.cpu_ns).collect();
    Ok(Measured {
        ns: Summary::of(&times).context("no runs")?,
        cpu_ns: median(&cpu).context("no runs")?,
        total_cpu_s: samples.iter().map(|sample| sample.total_cpu_s).sum(),
        total_wall_s: samples.iter().map(|sample| sample.total_wall_s).sum(),
    })
}

/// `numerator / denominator`, unless that is not a number JSON can hold.
pub(crate) fn quotient(numerator: f64, denominator: f64) -> Option<f64> {
    Some(numerator / denominator).filter(|ratio| ratio.is_finite())
}

/// A result as it stands in the report.
pub(crate) fn outcome<T>(result: Result<T>) -> Outcome<T> {
    match result {
        Ok(value) => Outcome::Measured(value),
        Err(error) => Outcome::Failed { error: format!("{error:#}") },
    }
}

/// Processes that use all the CPU they get; they end when this is dropped.
#[derive(Debug, Default)]
struct BusyLoops(Vec<Child>);

impl BusyLoops {
    fn start(program: &Path, count: usize) -> Result<Self> {
        let _only = only_children();
        let mut loops = Self::default();
        for _ in 0..count {
            let mut command = Command::new(program);
            tie(&mut command)?;
            let child = command.arg("busy").stdin(Stdio::null()).spawn();
            loops.0.push(child.context("cannot start a busy loop")?);
        }
        Ok(loops)
    }
}

impl Drop for BusyLoops {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // Both fail only if the child is gone.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The Go program or why there is none.
pub(crate) fn go_program(programs: &Programs, go: Option<&Path>) -> Result<PathBuf> {
    programs.build_go(go).context("no Go program")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(lines: &str) -> Result<(f64, f64)> {
        let mut window = Window::default();
        let clock = std::cell::Cell::new(0_u64);
        for line in lines.lines() {
            window.record("stat_root", parse_line(line)?, || {
                clock.set(clock.get() + 5000);
                Ok(clock.get())
            })?;
        }
        window.finish()
    }

    #[test]
    fn cpu_time_between_begin_and_end_is_shared_among_all_operations() {
        let text = "microbench 1\nbegin stat_root 5 2\nend stat_root\nsample stat_root 30\nsample stat_root 10\n";
        assert_eq!(window(text).unwrap(), (20.0, 500.0));
    }

    #[test]
    fn incomplete_or_foreign_output_is_an_error() {
        for (text, complaint) in [
            ("microbench 2\n", "version 2"),
            ("begin stat_tmpfs 5 2\n", "asked for stat_root, got stat_tmpfs"),
            ("begin stat_root 5 2\n", "did not finish"),
            ("end stat_root\n", "end without a begin"),
            ("begin stat_root 5 2\nend stat_root\n", "gave no times"),
            ("begin stat_root 0 2\nend stat_root\nsample stat_root 1\n", "no operations"),
            ("skip stat_root for a reason\n", "for a reason"),
        ] {
            let error = window(text).unwrap_err().to_string();
            assert!(error.contains(complaint), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_quotient_by_zero_is_left_out() {
        assert_eq!(quotient(1.0, 0.0), None);
        assert_eq!(quotient(3.0, 2.0), Some(1.5));
    }

    /// All variants run for real, with a runtime that only passes the command on.
    #[test]
    fn every_row_runs_in_every_variant() {
        let programs = Programs::install().unwrap();
        let accounting = Accounting::detect().unwrap();
        let runtimes = [Runtime::parse("env=/usr/bin/env").unwrap()];
        let suite = Suite {
            accounting: &accounting,
            programs: &programs,
            go: None,
            runtimes: &runtimes,
            effort: Effort { repeat: 1, batches: 1, batch: Duration::from_micros(50), timeout: Duration::from_secs(60) },
            pin: crate::provenance::allowed_cpus()[0],
            line_round_trip_ns: None,
        };
        for variant in Variant::ALL {
            for row in crate::catalogue::ROWS.iter().filter(|row| variant.has(row)) {
                let Some(report) = suite.measure(row, variant) else {
                    assert_eq!(variant, Variant::Go, "{} was skipped", row.name);
                    continue;
                };
                let label = format!("{} {}", row.name, variant.name());
                let native = report.native.measured().unwrap_or_else(|| panic!("{label}: {:?}", report.native));
                assert!(native.ns.median > 0.0, "{label}");
                assert!(report.runtimes["env"].measured().is_some(), "{label}: {:?}", report.runtimes);
            }
        }
    }

    #[test]
    fn a_runtime_that_fails_is_reported_and_does_not_stop_the_others() {
        let programs = Programs::install().unwrap();
        let accounting = Accounting::detect().unwrap();
        let runtimes = [
            Runtime::parse("broken=/bin/sh -c 'echo no such sandbox >&2; exit 9'").unwrap(),
            Runtime::parse("env=/usr/bin/env").unwrap(),
        ];
        let suite = Suite {
            accounting: &accounting,
            programs: &programs,
            go: None,
            runtimes: &runtimes,
            effort: Effort { repeat: 2, batches: 1, batch: Duration::from_micros(50), timeout: Duration::from_secs(60) },
            pin: 0,
            line_round_trip_ns: None,
        };
        let row = &crate::catalogue::ROWS[1];
        let report = suite.measure(row, Variant::Base).unwrap();
        assert_eq!(report.runtimes["broken"].error(), Some("exit status: 9: no such sandbox"));
        assert_eq!(report.runtimes["env"].measured().unwrap().measured.ns.runs, 2);
        assert!(report.native.measured().is_some());
    }
}
